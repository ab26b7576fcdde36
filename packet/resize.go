// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/hooknet/hooknet/hooks"
)

// Reparse is Parse for hooks: after raw edits it brings the accessors up to
// date for the rest of the hook and the hooks that follow. The packet is
// marked edited, so the data path still looks at it anew.
func (p *Packet) Reparse() hooks.Reason {
	r := p.Parse()
	p.flags |= flagEdited
	return r
}

// Replace makes b the packet: a whole one, with its network header and with
// all its checksums. Metadata is forgotten, so a hook that takes b out of this
// packet's own bytes, which it may, calls [Packet.FillChecksum] first. The new
// packet is parsed for the hooks that follow. It returns [ErrTooLong], with the
// packet unchanged, if b is longer than [MaxLen].
func (p *Packet) Replace(b []byte) error {
	p.check()
	if len(b) > MaxLen {
		return ErrTooLong
	}
	p.fill(b)
	p.Reparse()
	return nil
}

// Prepend puts n bytes before the packet and returns them, zeroed, for a new
// outer header. The packet then counts as not parsed; once the header is
// written, call [Packet.Reparse]. A partial checksum stays what it was, further
// in.
//
// It returns, with the packet unchanged, [ErrHeadroom] if there are not n
// bytes left ([Packet.Headroom]; [DeviceHeadroom] is never given away),
// [ErrTooLong] if the packet would exceed [MaxLen], and [ErrSuperpacket] for a
// superpacket, which can only be split by the headers it has.
func (p *Packet) Prepend(n int) ([]byte, error) {
	p.check()
	start := p.start()
	switch {
	case p.Offload.GSO != GSONone:
		return nil, ErrSuperpacket
	case n < 0 || n > start-DeviceHeadroom:
		return nil, ErrHeadroom
	case len(p.data)+n > MaxLen || int(p.Offload.ChecksumStart)+n > 65535:
		return nil, ErrTooLong
	}
	p.data = p.buf[start-n : start+len(p.data)]
	clear(p.data[:n])
	p.parsed = parsed{flags: flagEdited}
	if p.Offload.Checksum == ChecksumPartial {
		p.Offload.ChecksumStart += uint16(n)
	} else {
		p.Offload = Offload{}
	}
	return p.data[:n:n], nil
}

// Append makes the packet n bytes longer and returns them, zeroed. The length
// fields of the IP and UDP headers follow, and the transport checksum becomes
// partial as by [Packet.DeferChecksum], so the bytes may be written at any time
// before the packet leaves. It returns, with the packet unchanged,
// [ErrTooLong] if the length would exceed what the IP version can express.
func (p *Packet) Append(n int) ([]byte, error) {
	p.check()
	old := len(p.data)
	if n < 0 || n > MaxLen || old+n > p.longest() {
		return nil, ErrTooLong
	}
	if old+n > cap(p.data) {
		q := Get(old + n)
		q.data = append(q.data, p.data...)
		p.data, q.data = q.data, p.data
		p.buf, q.buf = q.buf, p.buf
		q.Release()
	}
	p.data = p.data[:old+n]
	clear(p.data[old:])
	p.resized(old)
	return p.data[old : old+n : old+n], nil
}

// Truncate makes the packet n bytes long, from the network header, by cutting
// off its end. The length fields and the transport checksum follow as for
// Append. It returns [ErrTooLong] if the packet is not that long, and
// [ErrTooShort] if its headers would not remain whole; the packet is unchanged
// then.
func (p *Packet) Truncate(n int) error {
	p.check()
	old := len(p.data)
	switch {
	case n > old:
		return ErrTooLong
	case n < p.headersLen():
		return ErrTooShort
	}
	p.data = p.data[:n]
	p.resized(old)
	return nil
}

// longest returns the greatest length the packet can have.
func (p *Packet) longest() int {
	if p.family == Inet {
		return 65535
	}
	return MaxLen
}

// headersLen returns the length of all headers. A transport header that is
// unknown or cut short counts as none.
func (p *Packet) headersLen() int {
	if p.flags&flagTransport == 0 {
		return int(p.transport)
	}
	t := p.data[p.transport:]
	n := 0
	switch p.protocol {
	case protocolTCP:
		if len(t) >= tcpMinimum {
			n = int(t[tcpDataOffset]>>4) * 4
		}
	case protocolUDP:
		n = udpHeader
	case protocolICMP:
		n = icmpHeader
	case protocolICMPv6:
		n = icmpv6Header
	}
	if n > len(t) {
		n = 0
	}
	return int(p.transport) + n
}

// resized brings the packet's length fields and checksums in line with a
// length that was old.
func (p *Packet) resized(old int) {
	p.flags |= flagEdited
	if p.Offload.Checksum == ChecksumVerified {
		p.Offload.Checksum = ChecksumFull
	}
	switch p.family {
	case 0:
		return
	case Inet:
		field := p.data[2:4]
		p.adjustHeader(difference(binary.BigEndian.Uint16(field), uint16(len(p.data))))
		binary.BigEndian.PutUint16(field, uint16(len(p.data)))
	case Inet6:
		binary.BigEndian.PutUint16(p.data[4:6], uint16(len(p.data)-ipv6Header))
	}
	if p.flags&flagTransport != 0 && p.protocol == protocolUDP && !p.IsFragment() &&
		len(p.data)-int(p.transport) >= udpHeader {
		// A length that did not reach to the end before is none of ours.
		field := p.data[int(p.transport)+udpLength:]
		if int(binary.BigEndian.Uint16(field)) == old-int(p.transport) {
			binary.BigEndian.PutUint16(field, uint16(len(p.data)-int(p.transport)))
		}
	}
	p.DeferChecksum()
}
