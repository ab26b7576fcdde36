// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"math/bits"
)

// The option of TCP with the maximum segment size (RFC 9293, 3.2).
const (
	tcpOptionMSS     = 2
	tcpOptionMSSSize = 4
)

// ClampMSS lowers the maximum segment size that a TCP SYN or SYN-ACK announces
// to limit bytes, and reports whether it has. It never raises it, and adds no
// option where there is none: who announces nothing is sent segments of at most
// 536 bytes over IPv4 and 1220 over IPv6 (RFC 9293, 3.7.1), which fit every
// link but an IPv4 one of less than 576 bytes, where fragmentation helps.
//
// Everything else stays as it is: other packets, fragments, headers cut short.
// It is the forwarder's own edit, keeps the checksum right, full or partial,
// and does not mark the packet edited.
func (p *Packet) ClampMSS(limit uint16) bool {
	p.check()
	if p.protocol != protocolTCP || p.flags&flagTransport == 0 || p.IsFragment() {
		return false
	}
	tcp := p.data[p.transport:]
	if len(tcp) < tcpMinimum || tcp[tcpFlags]&tcpSYN == 0 {
		return false
	}
	header := int(tcp[tcpDataOffset]>>4) * 4
	if header > len(tcp) {
		return false
	}
	tcp = tcp[:header]
	for i, length := nextOption(tcp, tcpMinimum); length > 0; i, length = nextOption(tcp, i+length) {
		if tcp[i] == tcpOptionMSS && length == tcpOptionMSSSize {
			return p.lowerMSS(int(p.transport)+i+2, limit)
		}
	}
	return false
}

// lowerMSS writes the value of the option at at.
func (p *Packet) lowerMSS(at int, limit uint16) bool {
	field := p.data[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if old <= limit {
		return false
	}
	binary.BigEndian.PutUint16(field, limit)
	if (at-int(p.transport))%2 != 0 {
		// Its bytes are in two words of the sum, each in the place of the other.
		old, limit = bits.ReverseBytes16(old), bits.ReverseBytes16(limit)
	}
	p.adjustTransport(int(p.transport)+tcpChecksum, difference(old, limit), false)
	return true
}
