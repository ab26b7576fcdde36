// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// The accessors describe the packet as the last successful Parse found it, and
// the setters left it. On a packet that is not parsed, or does not parse, they
// return zero values. They do not allocate.

// Family returns [Inet] or [Inet6].
func (p *Packet) Family() Family {
	p.check()
	return p.family
}

// Version returns the IP version, 4 or 6; 0 for a packet that is not parsed.
func (p *Packet) Version() int {
	p.check()
	switch p.family {
	case Inet:
		return 4
	case Inet6:
		return 6
	}
	return 0
}

// Source returns the source address. It never has a zone.
func (p *Packet) Source() netip.Addr {
	p.check()
	switch p.family {
	case Inet:
		return netip.AddrFrom4([4]byte(p.data[12:16]))
	case Inet6:
		return netip.AddrFrom16([16]byte(p.data[8:24]))
	}
	return netip.Addr{}
}

// Destination returns the destination address of the IP header. It never has
// a zone. With a source route ([Packet.SourceRouted]) it is the next hop's.
func (p *Packet) Destination() netip.Addr {
	p.check()
	switch p.family {
	case Inet:
		return netip.AddrFrom4([4]byte(p.data[16:20]))
	case Inet6:
		return netip.AddrFrom16([16]byte(p.data[24:40]))
	}
	return netip.Addr{}
}

// TTL returns the time to live, which IPv6 calls hop limit.
func (p *Packet) TTL() uint8 {
	p.check()
	switch p.family {
	case Inet:
		return p.data[8]
	case Inet6:
		return p.data[7]
	}
	return 0
}

// TrafficClass returns the DSCP in the upper six bits and the ECN field in the
// lower two (RFC 2474, RFC 3168). IPv4 calls the byte type of service.
func (p *Packet) TrafficClass() uint8 {
	p.check()
	switch p.family {
	case Inet:
		return p.data[1]
	case Inet6:
		return p.data[0]<<4 | p.data[1]>>4
	}
	return 0
}

// HeaderLen returns the length in bytes of the IP header: with options for
// IPv4, without extension headers, 40, for IPv6.
func (p *Packet) HeaderLen() int {
	p.check()
	return int(p.headerLen)
}

// TransportProtocol returns the protocol number of what is at
// [Packet.TransportOffset]: the transport protocol, also in fragments after
// the first. If the walk through the IPv6 extension headers could not go on,
// it is the number of the header where it ended.
func (p *Packet) TransportProtocol() uint8 {
	p.check()
	return p.protocol
}

// TransportOffset returns where the transport header begins, or the payload of
// a fragment after the first.
func (p *Packet) TransportOffset() int {
	p.check()
	return int(p.transport)
}

// Transport returns the packet from its transport header on, for reading. It
// is nil in a fragment after the first, and if the walk through the IPv6
// extension headers did not reach a transport header. It may be shorter than
// the header, even empty.
func (p *Packet) Transport() []byte {
	p.check()
	if p.flags&flagTransport == 0 {
		return nil
	}
	return p.data[p.transport:len(p.data):len(p.data)]
}

// IsFragment reports whether the packet is part of a datagram and not the
// whole. An IPv6 packet whose fragment header says it is whole (an atomic
// fragment, RFC 6946) is no fragment.
func (p *Packet) IsFragment() bool {
	p.check()
	return p.fragmentOffset != 0 || p.flags&flagMoreFragments != 0
}

// FragmentOffset returns where the packet's payload belongs in the datagram,
// in bytes.
func (p *Packet) FragmentOffset() int {
	p.check()
	return int(p.fragmentOffset)
}

// MoreFragments returns the flag of that name.
func (p *Packet) MoreFragments() bool {
	p.check()
	return p.flags&flagMoreFragments != 0
}

// DontFragment reports whether routers must not fragment the packet: the flag
// of that name for IPv4, always true for IPv6.
func (p *Packet) DontFragment() bool {
	p.check()
	return p.flags&flagDontFragment != 0
}

// FragmentHeaderOffset returns where the IPv6 fragment header begins, 0 if
// there is none.
func (p *Packet) FragmentHeaderOffset() int {
	p.check()
	return int(p.fragmentHeader)
}

// HopByHopOffset returns where the IPv6 hop-by-hop header begins, 0 if there
// is none.
func (p *Packet) HopByHopOffset() int {
	p.check()
	if p.flags&flagHopByHop == 0 {
		return 0
	}
	return ipv6Header
}

// HasOptions reports whether the IPv4 header has options.
func (p *Packet) HasOptions() bool {
	p.check()
	return p.family == Inet && p.headerLen > ipv4Minimum
}

// SourceRouted reports whether the packet carries a source route with hops
// still to visit: an IPv4 loose or strict source route option, or an IPv6
// routing header of any type. The destination address is not that of the
// final destination then, which is the one that transport checksums cover.
func (p *Packet) SourceRouted() bool {
	p.check()
	return p.flags&flagSourceRoute != 0
}

// Problem returns what is wrong with a packet that parsed but that a router
// must not forward, [ProblemNone] if nothing is.
func (p *Packet) Problem() Problem {
	p.check()
	return p.problem
}

// ProblemPointer returns the offset of the byte that Problem is about: the
// pointer of the Parameter Problem message.
func (p *Packet) ProblemPointer() uint32 {
	p.check()
	return uint32(p.pointer)
}

// SourcePort returns the source port of TCP, UDP, UDP-Lite, DCCP and SCTP. It
// reports false if the packet does not hold one: another protocol, a fragment
// after the first, a header cut short.
func (p *Packet) SourcePort() (uint16, bool) {
	p.check()
	return p.port(0)
}

// DestinationPort is to the destination port what SourcePort is to the source
// port.
func (p *Packet) DestinationPort() (uint16, bool) {
	p.check()
	return p.port(2)
}

func (p *Packet) port(offset int) (uint16, bool) {
	if p.flags&flagTransport == 0 || !hasPorts(p.protocol) || int(p.transport)+4 > len(p.data) {
		return 0, false
	}
	return binary.BigEndian.Uint16(p.data[int(p.transport)+offset:]), true
}

func hasPorts(protocol uint8) bool {
	switch protocol {
	case protocolTCP, protocolUDP, protocolUDPLite, protocolDCCP, protocolSCTP:
		return true
	}
	return false
}
