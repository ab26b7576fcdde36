// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"slices"

	"github.com/hooknet/hooknet/integration/testbed"
)

// six is a case's only packet: IPv6 from the left host to one behind the right interface, after changes. Its payload is
// whatever follows headers.
func six(next byte, payload []byte, changes ...func([]byte) []byte) [][]byte {
	return [][]byte{ipv6(next, payload, all(changes...))}
}

// udp is six with a UDP datagram.
func udp(changes ...func([]byte) []byte) [][]byte { return six(17, udp6(), changes...) }

// big is a packet of n bytes in all.
func big(n int, changes ...func([]byte) []byte) [][]byte {
	return six(17, make([]byte, n-40), changes...)
}

func hopLimit(n byte) func([]byte) []byte { return set(7, n) }

// extension is an extension header of 8 bytes (hop-by-hop or destination options), its last 6 bytes given.
func extension(next byte, content ...byte) []byte {
	return append([]byte{next, 0}, append(content, make([]byte, 6-len(content))...)...)
}

// padded is an extension header without meaning.
func padded(next byte) []byte { return extension(next, 1, 4) }

// fragment6 is a fragment header: the offset is in bytes.
func fragment6(next byte, offset uint16, more bool, id byte) []byte {
	if more {
		offset |= 1
	}
	return []byte{next, 0, byte(offset >> 8), byte(offset), 0, 0, 0, id}
}

// routing is a routing header of a type with one address, and segments left.
func routing(next, typ, left byte) []byte {
	return append([]byte{next, 2, typ, left, 0, 0, 0, 0}, address("fd00:2::1")...)
}

// sum6 makes the checksum of an ICMPv6 message right that is the whole payload, once the addresses are.
func sum6(b []byte) []byte {
	if b[6] != 58 {
		return b
	}
	message := b[40:]
	message[2], message[3] = 0, 0
	pseudo := binary.BigEndian.AppendUint32(slices.Clone(b[8:40]), uint32(len(message)))
	binary.BigEndian.PutUint16(message[2:], ^onesSum(slices.Concat(pseudo, []byte{0, 0, 0, 58}, message)))
	return b
}

// icmp6 is a packet with an ICMPv6 message of a type and code in it.
func icmp6(typ, code byte, changes ...func([]byte) []byte) [][]byte {
	message := append([]byte{typ, code, 0, 0, 0x12, 0x34, 0, 1}, "An old message, of no interest to anyone."...)
	return six(58, message, append(changes, sum6)...)
}

var requirements6 = []requirement{
	{text: "IPv6: hop limit decrement; 0 or 1: Time Exceeded (RFC 8200 3, RFC 4443 3.3)", cases: []conformance{
		passes("RFC 8200 3 hop limit 64", udp()),
		passes("RFC 8200 3 hop limit 2", udp(hopLimit(2))),
		passes("RFC 8200 3 hop limit 255", udp(hopLimit(255))),
		answers("RFC 4443 3.3 hop limit 1", "ttl_expired", "time exceeded quoting all", udp(hopLimit(1))),
		answers("RFC 4443 3.3 hop limit 0", "ttl_expired", "time exceeded quoting all", udp(hopLimit(0))),
		answers("RFC 4443 3.3 hop limit 1, second fragment", "ttl_expired", "time exceeded quoting all", six(44, append(fragment6(17, 8, false, 1), udp6()...), hopLimit(1))),
		{name: "RFC 8200 3 hop limit 1, to the router", in: icmp6(128, 0, hopLimit(1), to6(testbed.Left6)), want: []string{"left: echo reply"}, counted: "delivered"},
		{
			name: "RFC 4443 2.2 hop limit 1, by the right interface", reverse: true, in: udp(hopLimit(1), from6("fd00:2::99"), to6("fd00:1::99")),
			want: []string{"right: time exceeded quoting all"}, counted: "ttl_expired",
		},
		{
			name: "RFC 4443 2.2 hop limit 1, back by another interface", in: udp(hopLimit(1), from6("fd00:2::98")),
			want: []string{"right: time exceeded from fd00:1::1 quoting all"}, counted: "ttl_expired",
		},
	}},
	{text: "IPv6: never fragments in transit: too big: Packet Too Big with MTU >= 1280 (RFC 8200 4.5, RFC 4443 3.2)", cases: []conformance{
		answers("RFC 4443 3.2 too big", "too_big", "too big mtu 1400 quoting 1232 bytes", big(1401)),
		passes("RFC 4443 3.2 fits", big(1400)),
		answers("RFC 4443 3.2 too big for a route", "too_big", "too big mtu 1300 quoting 1232 bytes", big(1301, to6("2001:db8:4::9"))),
		passes("RFC 4443 3.2 fits a route", big(1300, to6("2001:db8:4::9"))),
		answers("RFC 4443 3.2 too big, a fragment", "too_big", "too big mtu 1400 quoting 1232 bytes", six(44, append(fragment6(17, 0, true, 1), make([]byte, 1360)...))),
		answers("RFC 4443 3.2 too big and hop limit 1", "ttl_expired", "time exceeded quoting 1232 bytes", big(1401, hopLimit(1))),
	}, tests: []string{"netstack.TestNoIPv6OnSmallMTU"}},
	{text: "IPv6: PTB may answer multicast (RFC 4443 2.4 e.3)", cases: []conformance{
		{name: "RFC 4443 2.4 to a multicast group, too big", in: six(59, make([]byte, 1361), to6("ff0e::1234")), want: nothing, counted: "delivered"},
	}, not: "There is no multicast routing, in which a packet for a group could be too big."},
	{text: "IPv6: Hop-by-Hop looked at first only, other extension headers not processed in transit (RFC 8200 4)", cases: []conformance{
		passes("RFC 8200 4.3 hop-by-hop header", six(0, append(padded(17), udp6()...))),
		passes("RFC 8200 4.3 router alert", six(0, append(extension(17, 5, 2, 0, 0, 1, 0), udp6()...))),
		silently("RFC 8200 4.3 hop-by-hop header cut short", "extension_header", six(0, []byte{17, 0, 1, 4})),
		silently("RFC 8200 4.3 hop-by-hop header longer than the packet", "extension_header", six(0, []byte{17, 1, 1, 4, 0, 0, 0, 0})),
		silently("RFC 8200 4.2 hop-by-hop option beyond the header", "extension_header", six(0, append([]byte{17, 0, 1, 9, 0, 0, 0, 0}, udp6()...))),
		passes("RFC 8200 4 destination options with an unknown option", six(60, append(extension(17, 0x9e, 4), udp6()...))),
		passes("RFC 8200 4 destination options cut short", six(60, []byte{17, 0, 1, 4})),
		passes("RFC 8200 4 hop-by-hop header after destination options", six(60, slices.Concat(padded(0), padded(17), udp6()))),
		passes("RFC 8200 4 fragment header cut short", six(44, []byte{17, 0, 0})),
		passes("RFC 8200 4 fragments that add up to more than 65535 bytes", six(44, append(fragment6(17, 0xfff8, false, 1), udp6()...))),
		passes("RFC 8200 4 routing header of an unknown type, none left", six(43, append(routing(17, 99, 0), udp6()...))),
		passes("RFC 8200 4 unknown next header", six(253, udp6())),
		passes("RFC 8200 4 a hundred destination options", six(60, slices.Repeat(padded(60), 100))),
	}},
	{text: "IPv6: option action bits 00/01/10/11, Param Problem code 2 with right pointer; 11 silent for multicast (RFC 8200 4.2)", cases: []conformance{
		passes("RFC 8200 4.2 unknown option, skip", six(0, append(extension(17, 0x1e, 4), udp6()...))),
		silently("RFC 8200 4.2 unknown option, discard", "extension_header", six(0, append(extension(17, 0x5e, 4), udp6()...))),
		answers("RFC 8200 4.2 unknown option, answer", "extension_header", "unknown option at 42 quoting all", six(0, append(extension(17, 0x9e, 4), udp6()...))),
		answers("RFC 8200 4.2 unknown option, answer if unicast", "extension_header", "unknown option at 42 quoting all", six(0, append(extension(17, 0xde, 4), udp6()...))),
		answers("RFC 8200 4.2 unknown option behind padding", "extension_header", "unknown option at 45 quoting all", six(0, append(extension(17, 1, 1, 0, 0x9e, 1), udp6()...))),
		answers("RFC 8200 4.2 unknown option, answer, to a group", "delivered", "unknown option at 42 quoting all", six(0, extension(59, 0x9e, 4), to6("ff02::1"))),
		silently("RFC 8200 4.2 unknown option, answer if unicast, to a group", "delivered", six(0, extension(59, 0xde, 4), to6("ff02::1"))),
	}},
	{text: "IPv6: next header 0 after the first: Param Problem code 1 (RFC 8200 4)", cases: []conformance{
		answers("RFC 8200 4 two hop-by-hop headers", "extension_header", "unknown next header at 40 quoting all", six(0, slices.Concat(padded(0), padded(17), udp6()))),
		answers("RFC 8200 4 two hop-by-hop headers, to the router", "delivered", "unknown next header at 40 quoting all", six(0, slices.Concat(padded(0), padded(17), udp6()), to6(testbed.Left6))),
		answers("RFC 8200 4 hop-by-hop header after destination options, to the router", "delivered", "unknown next header at 40 quoting all", six(60, slices.Concat(padded(0), padded(17), udp6()), to6(testbed.Left6))),
	}},
	{text: "IPv6: RH0 dropped, with segments left > 0: Param Problem (RFC 5095 3)", cases: []conformance{
		answers("RFC 5095 3 routing header 0", "source_route", "erroneous header at 42 quoting all", six(43, append(routing(17, 0, 1), udp6()...))),
		answers("RFC 5095 3 routing header 0, to the router", "delivered", "erroneous header at 42 quoting all", six(43, append(routing(17, 0, 1), udp6()...), to6(testbed.Left6))),
		passes("RFC 5095 3 routing header 0, none left", six(43, append(routing(17, 0, 0), udp6()...))),
	}},
	{text: "IPv6: errors never about: ICMPv6 error, redirect, multicast (two exceptions), unspecified/multicast source (RFC 4443 2.4 e)", cases: []conformance{
		silently("RFC 4443 2.4 hop limit 1, destination unreachable", "ttl_expired", icmp6(1, 0, hopLimit(1))),
		silently("RFC 4443 2.4 hop limit 1, packet too big", "ttl_expired", icmp6(2, 0, hopLimit(1))),
		silently("RFC 4443 2.4 hop limit 1, time exceeded", "ttl_expired", icmp6(3, 0, hopLimit(1))),
		silently("RFC 4443 2.4 hop limit 1, unknown error", "ttl_expired", icmp6(100, 0, hopLimit(1))),
		silently("RFC 4443 2.4 hop limit 1, redirect", "ttl_expired", icmp6(137, 0, hopLimit(1))),
		answers("RFC 4443 2.4 hop limit 1, echo request", "ttl_expired", "time exceeded quoting all", icmp6(128, 0, hopLimit(1))),
		silently("RFC 4443 2.4 no route, time exceeded", "no_route", icmp6(3, 0, to6("2001:db8:9::1"))),
		answers("RFC 4443 3.1 no route", "no_route", "no route quoting all", udp(to6("2001:db8:9::1"))),
		answers("RFC 4443 3.1 unreachable route", "unreachable", "address unreachable quoting all", udp(to6("2001:db8:1::1"))),
		answers("RFC 4443 3.1 prohibiting route", "prohibited", "prohibited quoting all", udp(to6("2001:db8:2::1"))),
		silently("RFC 4443 3.1 black hole", "blackhole", udp(to6("2001:db8:3::1"))),
		{name: "RFC 4443 2.4 to a group, hop limit 1", in: six(59, nil, hopLimit(1), to6("ff0e::1234")), want: nothing, counted: "delivered"},
		silently("RFC 4443 2.4 hop limit 1, from ::", "martian_source", udp(hopLimit(1), from6("::"))),
		silently("RFC 4443 2.4 hop limit 1, from a group", "martian_source", udp(hopLimit(1), from6("ff02::1"))),
	}},
	{text: "IPv6: error size <= 1280 (RFC 4443 2.4 c)", cases: []conformance{
		answers("RFC 4443 2.4 error about 1500 bytes", "ttl_expired", "time exceeded quoting 1232 bytes", big(1500, hopLimit(1))),
		answers("RFC 4443 2.4 error about 1233 bytes", "ttl_expired", "time exceeded quoting 1232 bytes", big(1233, hopLimit(1))),
		answers("RFC 4443 2.4 error about 1232 bytes", "ttl_expired", "time exceeded quoting all", big(1232, hopLimit(1))),
		answers("RFC 4443 2.4 error about 40 bytes", "ttl_expired", "time exceeded quoting all", big(40, hopLimit(1))),
	}},
	{text: "IPv6: scope: link-local source not forwarded, code 2 beyond scope (RFC 4007 9, RFC 4443 3.1)", cases: []conformance{
		{
			name: "RFC 4443 3.1 from fe80::1", in: udp(from6("fe80::1")),
			want: []string{"left: beyond scope from fe80::1:1 quoting all"}, counted: "link_local",
		},
		silently("RFC 4291 2.5.6 to fe80::99", "link_local", udp(to6("fe80::99"))),
		silently("RFC 4291 2.5.6 from fe80::1 to fe80::99", "link_local", udp(from6("fe80::1"), to6("fe80::99"))),
	}},
	{text: "IPv6: ::1 and :: sources dropped (RFC 4291 2.5.2, 2.5.3)", cases: []conformance{
		silently("RFC 4291 2.5.2 from ::", "martian_source", udp(from6("::"))),
		silently("RFC 4291 2.5.3 from ::1", "martian_source", udp(from6("::1"))),
		silently("RFC 4291 2.5.3 from ::1, to the router", "martian_source", icmp6(128, 0, from6("::1"), to6(testbed.Left6))),
		silently("RFC 4291 2.7 from ff02::1", "martian_source", udp(from6("ff02::1"))),
		silently("RFC 4291 2.5.5.2 from a mapped address", "martian_source", udp(from6("::ffff:10.0.1.2"))),
		silently("RFC 4291 2.5.3 to ::1", "martian_destination", udp(to6("::1"))),
		silently("RFC 4291 2.5.2 to ::", "martian_destination", udp(to6("::"))),
		silently("RFC 4291 2.5.5.2 to a mapped address", "martian_destination", udp(to6("::ffff:10.0.2.99"))),
		silently("RFC 4291 2.8 from the router's own address, to it", "martian_source", icmp6(128, 0, from6(testbed.Right6), to6(testbed.Left6))),
	}},
	{text: "IPv6: flow label and traffic class untouched (RFC 6437 2, RFC 2474 3)", cases: []conformance{
		passes("RFC 6437 2 flow label and traffic class", udp(set(0, 0x6a, 0xbc, 0xde, 0xf1))),
		passes("RFC 2474 3 all bits of traffic class and flow label", udp(set(0, 0x6f, 0xff, 0xff, 0xff))),
		passes("RFC 3168 5 congestion experienced, IPv6", udp(set(0, 0x60, 0x30))),
	}},
	{text: "IPv6: no next header 59 forwarded (RFC 8200 4.7)", cases: []conformance{
		passes("RFC 8200 4.7 no next header", six(59, nil)),
		passes("RFC 8200 4.7 no next header, and bytes behind", six(59, []byte("whatever"))),
	}},
	{text: "IPv6: lengths, and forwarding off (RFC 8200 3)", cases: []conformance{
		silently("RFC 8200 3 39 bytes", "truncated", udp(cut(39))),
		silently("RFC 8200 3 payload length beyond the packet", "truncated", udp(set(4, 0, 13))),
		silently("RFC 2675 3 jumbogram", "total_length", six(0, []byte{17, 0, 0xc2, 4, 0, 1, 0, 0}, set(4, 0, 0))),
		passes("RFC 8200 3 padding is not passed on", [][]byte{append(udp()[0], 1, 2, 3)}),
		{name: "RFC 8200 3 no forwarding", router: "host", in: udp(), want: nothing, counted: "forwarding_disabled"},
		{name: "RFC 8200 3 no forwarding, hop limit 1", router: "host", in: udp(hopLimit(1)), want: nothing, counted: "forwarding_disabled"},
		{name: "RFC 8200 3 no forwarding, to the host", router: "host", in: icmp6(128, 0, to6(testbed.Left6)), want: []string{"left: echo reply"}, counted: "delivered"},
	}},
}
