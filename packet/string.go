// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"fmt"
	"net/netip"
	"strconv"
)

// String returns one line about the packet, for tests and reports:
//
//	10.0.0.1:1234 > 10.0.1.1:80 TCP 60 ttl 64
//	2001:db8::1 > 2001:db8::2 ICMPv6 104 ttl 63
//	10.0.0.1 > 10.0.1.1 UDP 1500 ttl 64 frag 1480+
//	10.0.0.1:1234 > 10.0.1.1:80 TCP 64000 ttl 64 gso 1448
//
// The number behind the protocol is [Packet.Len]. It allocates.
func (p *Packet) String() string {
	p.check()
	if p.family == 0 {
		return fmt.Sprintf("not parsed, %d bytes", len(p.data))
	}
	source, destination := p.Source().String(), p.Destination().String()
	if port, ok := p.SourcePort(); ok {
		source = netip.AddrPortFrom(p.Source(), port).String()
	}
	if port, ok := p.DestinationPort(); ok {
		destination = netip.AddrPortFrom(p.Destination(), port).String()
	}
	s := fmt.Sprintf("%s > %s %s %d ttl %d", source, destination, protocolName(p.protocol), len(p.data), p.TTL())
	if p.IsFragment() {
		s += " frag " + strconv.Itoa(int(p.fragmentOffset))
		if p.MoreFragments() {
			s += "+"
		}
	}
	if p.Offload.GSO != GSONone {
		s += " gso " + strconv.Itoa(int(p.Offload.SegmentSize))
	}
	return s
}

func protocolName(protocol uint8) string {
	switch protocol {
	case protocolICMP:
		return "ICMP"
	case protocolTCP:
		return "TCP"
	case protocolUDP:
		return "UDP"
	case protocolICMPv6:
		return "ICMPv6"
	case protocolSCTP:
		return "SCTP"
	case protocolNone:
		return "no-next-header"
	}
	return "protocol-" + strconv.Itoa(int(protocol))
}
