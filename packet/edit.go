// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// The setters change one field and every checksum that covers it: the IPv4
// header's, and the transport's if it is in this packet. That holds for full
// and for partial checksums, for superpackets, and for fragments, where only
// the first one has the transport's. They mark the packet edited.

// SetSource changes the source address. It reports false, and changes
// nothing, if a is not of the packet's version or the packet ends before the
// checksum that would have to follow. A zone is ignored.
func (p *Packet) SetSource(a netip.Addr) bool {
	p.check()
	return p.setAddress(a, 12, 8, true)
}

// SetDestination changes the destination address of the IP header, under the
// same conditions as SetSource. With a source route ([Packet.SourceRouted])
// that is the next hop, which no transport checksum covers.
func (p *Packet) SetDestination(a netip.Addr) bool {
	p.check()
	return p.setAddress(a, 16, 24, p.flags&flagSourceRoute == 0)
}

// setAddress writes a at at4 or at6. covered says whether the transport's
// pseudo header holds this address.
func (p *Packet) setAddress(a netip.Addr, at4, at6 int, covered bool) bool {
	at, ok := p.checksumField()
	if !ok {
		return false
	}
	var delta uint64
	switch {
	case p.family == Inet && a.Is4():
		new := a.As4()
		field := p.data[at4 : at4+4]
		delta = difference32(binary.BigEndian.Uint32(field), binary.BigEndian.Uint32(new[:]))
		copy(field, new[:])
		p.adjustHeader(delta)
	case p.family == Inet6 && a.Is6():
		new := a.As16()
		field := p.data[at6 : at6+16]
		for i := 0; i < 16; i += 4 {
			delta += difference32(binary.BigEndian.Uint32(field[i:]), binary.BigEndian.Uint32(new[i:]))
		}
		copy(field, new[:])
	default:
		return false
	}
	if at != 0 && covered {
		p.adjustTransport(at, delta, true)
	}
	p.flags |= flagEdited
	return true
}

// SetSourcePort changes the source port of TCP, UDP, UDP-Lite and DCCP. It
// reports false, and changes nothing, for other protocols, in fragments after
// the first, and if the packet ends before the checksum. (SCTP has ports too,
// under a checksum that hooknet does not compute.)
func (p *Packet) SetSourcePort(port uint16) bool {
	p.check()
	return p.setPort(port, 0)
}

// SetDestinationPort is to the destination port what SetSourcePort is to the
// source port.
func (p *Packet) SetDestinationPort(port uint16) bool {
	p.check()
	return p.setPort(port, 2)
}

func (p *Packet) setPort(port uint16, offset int) bool {
	at, ok := p.checksumField()
	if at == 0 || !ok || !hasPorts(p.protocol) {
		return false
	}
	field := p.data[int(p.transport)+offset:]
	delta := difference(binary.BigEndian.Uint16(field), port)
	binary.BigEndian.PutUint16(field, port)
	p.adjustTransport(at, delta, false)
	p.flags |= flagEdited
	return true
}

// SetTTL changes the time to live or hop limit. It does nothing to a packet
// that is not parsed.
func (p *Packet) SetTTL(ttl uint8) {
	p.check()
	p.setTTL(ttl)
	p.flags |= flagEdited
}

// DecrementTTL takes 1 off the time to live or hop limit. It is the
// forwarder's own edit and does not mark the packet edited. A TTL of 0 stays;
// the forwarder answers those, and those of 1, before.
func (p *Packet) DecrementTTL() {
	p.check()
	b := p.data
	switch {
	case p.family == Inet && b[8] > 0:
		b[8]--
		// One less in the upper byte of a word is that much more in the complement of the sum, and a carry comes round
		// (RFC 1624 section 3, with all terms but the old sum known).
		sum := uint32(binary.BigEndian.Uint16(b[10:])) + 0x100
		binary.BigEndian.PutUint16(b[10:], uint16(sum+(sum+1)>>16))
	case p.family == Inet6 && b[7] > 0:
		b[7]--
	}
}

func (p *Packet) setTTL(ttl uint8) {
	switch p.family {
	case Inet:
		delta := difference(uint16(p.data[8])<<8, uint16(ttl)<<8)
		p.data[8] = ttl
		p.adjustHeader(delta)
	case Inet6:
		p.data[7] = ttl
	}
}

// SetTrafficClass changes DSCP (upper six bits) and ECN (lower two). It does
// nothing to a packet that is not parsed.
func (p *Packet) SetTrafficClass(class uint8) {
	p.check()
	switch p.family {
	case Inet:
		delta := difference(uint16(p.data[1]), uint16(class))
		p.data[1] = class
		p.adjustHeader(delta)
	case Inet6:
		word := binary.BigEndian.Uint16(p.data)
		binary.BigEndian.PutUint16(p.data, word&0xf00f|uint16(class)<<4)
	}
	p.flags |= flagEdited
}
