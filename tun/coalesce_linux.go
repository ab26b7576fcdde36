// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/packet"
)

// segmentation are the features that coalescing makes use of.
const segmentation = packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO

// worthwhile reports whether there may be anything to put together: two packets that are no superpackets yet.
func worthwhile(pkts []*packet.Packet) bool {
	singles := 0
	for _, p := range pkts {
		if p.Offload.GSO == packet.GSONone {
			if singles++; singles == 2 {
				return true
			}
		}
	}
	return false
}

// writeCoalesced writes at most coalesceBatch packets, those together that can be. It is Device.Write for them.
func (d *linuxDevice) writeCoalesced(fd uintptr, pkts []*packet.Packet, allowed packet.Features) (int, error) {
	var c coalescer
	c.plan(pkts, allowed)
	if c.joined == 0 {
		return d.writeEach(fd, pkts)
	}
	var written uint64 // a bit for each packet
	for i, p := range pkts {
		if c.joined>>i&1 != 0 {
			continue
		}
		var refused int
		var err error
		if c.next[i] == 0 {
			refused, err = i, d.writeOne(fd, p)
			written |= 1 << i
		} else {
			refused, err = d.writeRun(fd, pkts, &c, i, &written)
		}
		if err != nil {
			return sortRefused(pkts, written&^(1<<refused), refused), err
		}
	}
	return len(pkts), nil
}

// writeRun writes the packets that the one at index head begins, and marks those that were written. The error is about the
// packet whose index comes with it.
func (d *linuxDevice) writeRun(fd uintptr, pkts []*packet.Packet, c *coalescer, head int, written *uint64) (refused int, err error) {
	errno := writeSuper(fd, pkts, c, head)
	if errno != 0 && errno != unix.EINVAL {
		return head, writeError(errno)
	}
	for i := head; ; i = int(c.next[i]) {
		if errno != 0 {
			if err := d.writeOne(fd, pkts[i]); err != nil {
				return i, err
			}
		}
		*written |= 1 << i
		if c.next[i] == 0 {
			break
		}
	}
	if errno != 0 {
		d.giveUpCoalescing(pkts[head])
	}
	return head, nil
}

// giveUpCoalescing is for a kernel that refused a superpacket with EINVAL and then took all of its segments: there will be
// no more of that protocol.
func (d *linuxDevice) giveUpCoalescing(p *packet.Packet) {
	what, protocol := packet.FeatureUSO, "UDP"
	if p.TransportProtocol() == protocolTCP {
		what, protocol = packet.FeatureTSO4|packet.FeatureTSO6, "TCP"
	}
	if before := d.coalesce.And(^uint32(what)); packet.Features(before)&what != 0 {
		d.log.Warn("the kernel refuses superpackets: segments are written one by one from now on", "device", d.name, "protocol", protocol)
	}
}

// writeSuper is writev(2) of the superpacket that the packet at index head begins.
func writeSuper(fd uintptr, pkts []*packet.Packet, c *coalescer, head int) syscall.Errno {
	p := pkts[head]
	length, last := p.Len(), head
	network := p.TransportOffset()
	header := network + udpHeader
	if p.TransportProtocol() == protocolTCP {
		header = network + int(p.Bytes()[network+tcpDataOffset]>>4)*4
	}
	var vector [1 + coalesceBatch]unix.Iovec
	count := 1
	for i := head; ; i = int(c.next[i]) {
		payload := pkts[i].Bytes()[header:]
		vector[count].Base = unsafe.SliceData(payload)
		vector[count].SetLen(len(payload))
		count++
		if i != head {
			length += len(payload)
		}
		if last = i; c.next[i] == 0 {
			break
		}
	}
	var buf [virtioHeaderLen + superHeaderLimit]byte
	h, offload := superHeader(buf[virtioHeaderLen:], p, pkts[last], length)
	encodeVirtio(buf[:], offload)
	vector[0].Base = &buf[0]
	vector[0].SetLen(virtioHeaderLen + len(h))
	return rawWritev(fd, vector[:count])
}

// rawWritev is writev(2) without telling the scheduler.
func rawWritev(fd uintptr, vector []unix.Iovec) syscall.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(vector))), uintptr(len(vector)))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// sortRefused puts the written packets first, the refused one behind them, then the others, and returns where the refused
// one is.
func sortRefused(pkts []*packet.Packet, written uint64, refused int) (n int) {
	var rest [coalesceBatch]*packet.Packet
	left := 0
	p := pkts[refused]
	for i, q := range pkts {
		switch {
		case written>>i&1 != 0:
			pkts[n] = q
			n++
		case i != refused:
			rest[left] = q
			left++
		}
	}
	pkts[n] = p
	copy(pkts[n+1:], rest[:left])
	return n
}

// describeCoalescing says in words what is put together, if that is less than the features allow.
func describeCoalescing(enabled, features packet.Features) string {
	switch {
	case enabled == features&segmentation:
		return ""
	case enabled&packet.FeatureUSO != 0:
		return ", coalescing: udp"
	case enabled != 0:
		return ", coalescing: tcp"
	}
	return ", coalescing: none"
}
