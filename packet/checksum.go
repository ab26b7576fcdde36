// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// Checksums are ones' complement sums of 16-bit words (RFC 1071). A change of
// some words changes the sum by their difference, so an edit never looks at
// the payload (RFC 1624, equation 3) and a checksum that was wrong before
// stays wrong: corruption on the way is still found at the end.

// fold reduces a sum of 16-bit or 32-bit words, at most 2^32 of them, to 16
// bits. It is 0 only if all words were.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff // at most 33 bits
	sum = sum>>16 + sum&0xffff     // at most 0x2fffe
	sum = sum>>16 + sum&0xffff     // at most 0x10001
	return uint16(sum>>16 + sum)
}

// difference returns what has to be added to a sum when the word old in it
// becomes new.
func difference(old, new uint16) uint64 { return uint64(^old) + uint64(new) }

// difference32 is difference for two words at once.
func difference32(old, new uint32) uint64 { return uint64(^old) + uint64(new) }

// adjustHeader brings the IPv4 header checksum up to date with a difference.
func (p *Packet) adjustHeader(delta uint64) {
	field := p.data[10:12]
	sum := uint64(^binary.BigEndian.Uint16(field)) + delta
	binary.BigEndian.PutUint16(field, ^fold(sum))
}

// checksumField returns where the transport checksum is, for the protocols
// whose checksum covers the addresses; 0 if there is none in this packet. It
// reports false if there is one but the packet ends before it: nobody can keep
// it right then.
func (p *Packet) checksumField() (at int, ok bool) {
	if p.flags&flagTransport == 0 {
		return 0, true
	}
	switch p.protocol {
	case protocolTCP:
		at = tcpChecksum
	case protocolUDP, protocolUDPLite, protocolDCCP:
		at = udpChecksum
	case protocolICMPv6:
		if p.family != Inet6 {
			return 0, true
		}
		at = icmpChecksum
	default:
		return 0, true
	}
	at += int(p.transport)
	return at, at+2 <= len(p.data)
}

// partialAt reports whether the field at at holds a partial checksum, and not
// one that a partial checksum further in (a tunnel's) leaves alone.
func (p *Packet) partialAt(at int) bool {
	o := &p.Offload
	return o.Checksum == ChecksumPartial && o.ChecksumStart == p.transport &&
		int(o.ChecksumStart)+int(o.ChecksumOffset) == at
}

// adjustTransport brings the transport checksum in the field at at up to date
// with a difference in what its pseudo header covers (inPseudo) or in the
// transport header itself.
func (p *Packet) adjustTransport(at int, delta uint64, inPseudo bool) {
	if p.Offload.Checksum == ChecksumAbsent {
		return
	}
	field := p.data[at : at+2]
	old := binary.BigEndian.Uint16(field)
	if p.partialAt(at) {
		// Only the pseudo header is in the field yet, and not inverted.
		if inPseudo {
			binary.BigEndian.PutUint16(field, fold(uint64(old)+delta))
		}
		return
	}
	udp := p.protocol == protocolUDP
	if udp && old == 0 {
		return // sent without a checksum
	}
	sum := ^fold(uint64(^old) + delta)
	if sum == 0 && (udp || p.protocol == protocolUDPLite) {
		sum = 0xffff // 0 would say that there is none (RFC 768, RFC 3828)
	}
	binary.BigEndian.PutUint16(field, sum)
}

// coverage is what a transport checksum is computed over.
type coverage struct {
	field      int // where the checksum is
	start, end int
	pseudo     uint16 // sum of the pseudo header
}

// knowledge says whether a packet's transport checksum can be computed.
type knowledge uint8

const (
	known   knowledge = iota
	unknown           // no checksum, none we know, or not all it covers is here
	broken            // the transport header is cut short or its length wrong
)

// coverage finds what the transport checksum of TCP, UDP and ICMP covers.
func (p *Packet) coverage() (c coverage, k knowledge) {
	if p.flags&(flagTransport|flagSourceRoute) != flagTransport || p.IsFragment() {
		return c, unknown
	}
	c.start, c.end = int(p.transport), len(p.data)
	t := p.data[c.start:]
	switch {
	case p.protocol == protocolTCP:
		if len(t) < tcpMinimum {
			return c, broken
		}
		c.field = c.start + tcpChecksum
	case p.protocol == protocolUDP:
		if len(t) < udpHeader {
			return c, broken
		}
		n := int(binary.BigEndian.Uint16(t[udpLength:]))
		if n < udpHeader || n > len(t) {
			return c, broken
		}
		c.field, c.end = c.start+udpChecksum, c.start+n
	case p.protocol == protocolICMP && p.family == Inet:
		if len(t) < icmpHeader {
			return c, broken
		}
		c.field = c.start + icmpChecksum
		return c, known // no pseudo header (RFC 792)
	case p.protocol == protocolICMPv6 && p.family == Inet6:
		if len(t) < icmpv6Header {
			return c, broken
		}
		c.field = c.start + icmpChecksum
	default:
		return c, unknown
	}
	addresses := p.data[12:20]
	if p.family == Inet6 {
		addresses = p.data[8:40]
	}
	sum := uint64(checksum.Checksum(addresses, 0)) + uint64(p.protocol) + uint64(c.end-c.start)
	c.pseudo = fold(sum)
	return c, known
}

// putChecksum writes a sum, inverted, into the field at at. For UDP the result 0
// would say that there is no checksum: it becomes the other zero (RFC 768). TCP
// and ICMP write 0: there are receivers that compute the checksum and compare
// (RFC 1624, 3). For what is not known, such as the inside of a tunnel, it is
// the other zero: all who add up take the two for the same.
func (p *Packet) putChecksum(at int, sum uint16) {
	sum = ^sum
	if sum == 0 {
		switch p.protocol {
		case protocolTCP, protocolICMP, protocolICMPv6:
		default:
			sum = 0xffff
		}
	}
	binary.BigEndian.PutUint16(p.data[at:], sum)
}

// computeChecksum writes the transport checksum anew.
func (p *Packet) computeChecksum(c coverage) {
	binary.BigEndian.PutUint16(p.data[c.field:], 0)
	p.putChecksum(c.field, checksum.Checksum(p.data[c.start:c.end], c.pseudo))
}

// FillChecksum makes a partial or absent transport checksum a full one, for a
// device or a reader that wants it in the packet. It does nothing if the
// checksum is there already. A superpacket has none of its own: for GSO it
// does nothing either; use a [Segmenter]. The cost is that of reading the
// whole payload.
func (p *Packet) FillChecksum() {
	p.check()
	if p.Offload.GSO != GSONone {
		return
	}
	switch p.Offload.Checksum {
	case ChecksumPartial:
		start := int(p.Offload.ChecksumStart)
		field := start + int(p.Offload.ChecksumOffset)
		if field+2 > len(p.data) {
			return // metadata that Parse did not see, and will refuse
		}
		p.putChecksum(field, checksum.Checksum(p.data[start:], 0))
	case ChecksumAbsent:
		if c, k := p.coverage(); k == known {
			p.computeChecksum(c)
		}
	default:
		return
	}
	p.Offload = Offload{}
}

// DeferChecksum is for a hook that has changed the transport header or the
// payload by [Packet.Mutable]: it makes the transport checksum partial, so
// that whatever the packet holds when it leaves, the device or
// [Packet.FillChecksum] completes it. It reports whether the checksum is taken
// care of: for TCP, UDP and ICMP of both versions. Not for fragments, whose
// checksum covers bytes that are not here, for source routed packets, and for
// headers cut short. A UDP packet over IPv4 without a checksum stays without.
//
// It vouches for what the packet holds. A hook that must not hide corruption
// calls [Packet.TransportChecksumValid] before its edit.
func (p *Packet) DeferChecksum() bool {
	p.check()
	if p.Offload.Checksum == ChecksumAbsent {
		return true
	}
	c, k := p.coverage()
	if k != known {
		return false
	}
	p.flags |= flagEdited
	if p.Offload.Checksum == ChecksumPartial && !p.partialAt(c.field) {
		p.FillChecksum() // the one inside a tunnel's packet
	}
	if p.withoutChecksum(c) {
		return true
	}
	if c.end != len(p.data) {
		// A partial checksum always reaches to the end of the packet.
		p.computeChecksum(c)
		p.Offload = Offload{}
		return true
	}
	binary.BigEndian.PutUint16(p.data[c.field:], c.pseudo)
	p.Offload.Checksum = ChecksumPartial
	p.Offload.ChecksumStart = p.transport
	p.Offload.ChecksumOffset = uint16(c.field - c.start)
	return true
}

// withoutChecksum reports whether this is a UDP packet over IPv4 that was sent
// without a checksum (RFC 768).
func (p *Packet) withoutChecksum(c coverage) bool {
	return p.family == Inet && p.protocol == protocolUDP && p.Offload.Checksum <= ChecksumVerified &&
		binary.BigEndian.Uint16(p.data[c.field:]) == 0
}

// HeaderChecksumValid reports whether the IPv4 header checksum is right. It is
// after every Parse, and the setters keep it; it may not be after
// [Packet.Mutable]. IPv6 has none: always true.
func (p *Packet) HeaderChecksumValid() bool {
	p.check()
	switch p.family {
	case Inet:
		return checksum.Checksum(p.data[:p.headerLen], 0) == 0xffff
	case Inet6:
		return true
	}
	return false
}

// TransportChecksumValid reports whether the checksum of TCP, UDP or ICMP of
// either version is right. It is true for what cannot be told: fragments,
// source routed packets, other protocols; and for what needs no look: a
// checksum that the device verified, and one that is partial or absent because
// the sender vouches for the data. UDP without a checksum is right over IPv4
// (RFC 768) and wrong over IPv6 (RFC 8200, 8.1). A header cut short is wrong.
// Not known: the Home Address option of Mobile IPv6, which stands in for the
// source address.
func (p *Packet) TransportChecksumValid() bool {
	p.check()
	if p.family == 0 {
		return false
	}
	if p.Offload.Checksum != ChecksumFull {
		return true
	}
	c, k := p.coverage()
	if k != known {
		return k == unknown
	}
	if p.protocol == protocolUDP && binary.BigEndian.Uint16(p.data[c.field:]) == 0 {
		return p.family == Inet
	}
	return checksum.Checksum(p.data[c.start:c.end], c.pseudo) == 0xffff
}
