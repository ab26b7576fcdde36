// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"bytes"
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/packet"
)

// A tcpLast is what others have to fit to be joined to the last segment that was joined to none.
type tcpLast struct {
	number  uint8
	ports   uint32 // both, as in the header
	middle  uint64 // from the acknowledgment to the window, as in the header
	options []byte
	ip      []byte // from its header on
	next    uint32 // sequence number behind it and those that are joined to it
	size    uint   // bytes of its payload
	room    uint   // bytes of payload until there are as many as in the largest superpacket; 0 if nothing more can be joined to it
}

// largestJoined is the payload of the largest superpacket.
const largestJoined = 0xffff - header.IPv4MinimumSize - header.TCPMinimumSize

// begin makes segment number n the last one.
func (l *tcpLast) begin(n uint8, p *packet.Packet, h *[header.TCPMinimumSize]byte, options []byte, size uint) {
	l.room = 0
	if TCPFlags(h[13]) != TCPAck || size == 0 || p.Offload.GSO != packet.GSONone {
		return
	}
	l.number, l.ip, l.options, l.size = n, p.Bytes(), options, size
	l.ports, l.middle = binary.LittleEndian.Uint32(h[0:]), binary.LittleEndian.Uint64(h[8:])
	l.next = binary.BigEndian.Uint32(h[4:]) + uint32(size)
	l.room = largestJoined - min(size, largestJoined)
}

// joins reports whether a segment goes on where the last one, with those that are joined to it, ends, so that they could have come as
// one superpacket, and takes note of that: connection, traffic class, acknowledgment, window, flags and options are the same, all but
// the last are of one size, and only the last may have PSH (tcp_gro_receive of Linux).
func (l *tcpLast) joins(p *packet.Packet, h *[header.TCPMinimumSize]byte, options []byte, size uint) bool {
	const psh = uint64(TCPPsh) << 40 // of middle
	if size > l.room || size > l.size || size == 0 || binary.BigEndian.Uint32(h[4:]) != l.next || binary.LittleEndian.Uint32(h[0:]) != l.ports ||
		(binary.LittleEndian.Uint64(h[8:])^l.middle)&^psh != 0 || p.Offload.GSO != packet.GSONone {
		return false
	}
	// Version and traffic class, then the addresses.
	if ip := p.Bytes(); p.Family() == packet.Inet {
		a, b := (*[header.IPv4MinimumSize]byte)(ip), (*[header.IPv4MinimumSize]byte)(l.ip)
		if [2]byte(a[:]) != [2]byte(b[:]) || [8]byte(a[12:]) != [8]byte(b[12:]) {
			return false
		}
	} else if !bytes.Equal(ip[:2], l.ip[:2]) || !bytes.Equal(ip[8:header.IPv6MinimumSize], l.ip[8:header.IPv6MinimumSize]) {
		return false
	}
	if !bytes.Equal(options, l.options) {
		return false
	}
	l.next += uint32(size)
	l.room -= size
	if size < l.size || TCPFlags(h[13]) != TCPAck {
		l.room = 0
	}
	return true
}

// join makes the segment that fill has taken over a superpacket, of so many that are joined to it. last is the last of them.
func (c *TCPContext) join(joined uint8, last *packet.Packet) {
	tcp := last.Transport()
	c.Length, c.TSO = int(joined)*c.SegmentSize+len(tcp)-int(tcp[12]>>4)*4, true
	c.Flags |= TCPFlags(tcp[13])
}
