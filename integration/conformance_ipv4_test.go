// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"slices"

	"github.com/hooknet/hooknet/integration/testbed"
)

// one is a case's only packet: IPv4 UDP from the left host to one behind the right interface, after changes.
func one(changes ...func([]byte) []byte) [][]byte { return [][]byte{ipv4(all(changes...))} }

// spoilt makes the header checksum wrong, after everything else.
func spoilt(packets [][]byte) [][]byte {
	for _, b := range packets {
		b[10] ^= 0x55
	}
	return packets
}

// ttl, flags and the like set fields of the IPv4 header; offset is in units of 8 bytes.
func ttl(n byte) func([]byte) []byte      { return set(8, n) }
func protocol(n byte) func([]byte) []byte { return set(9, n) }
func id(n uint16) func([]byte) []byte     { return set(4, byte(n>>8), byte(n)) }

const (
	moreFragments = 0x2000
	dontFragment  = 0x4000
)

func fragment(flags, offset uint16) func([]byte) []byte {
	return set(6, byte((flags|offset)>>8), byte(offset))
}

// icmp makes the packet an ICMP message of a type and code, with zeroes and an A behind, and the right checksum.
func icmp(typ, code byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b[9] = 1
		message := b[int(b[0]&15)*4:]
		clear(message)
		message[0], message[1], message[len(message)-1] = typ, code, 'A'
		binary.BigEndian.PutUint16(message[2:], ^onesSum(message))
		return b
	}
}

// checksumOf chooses the identification so that the header checksum is what it is to be.
func checksumOf(want uint16) func([]byte) []byte {
	return func(b []byte) []byte {
		for n := range 1 << 16 {
			binary.BigEndian.PutUint16(b[4:], uint16(n))
			if fixHeader(b); binary.BigEndian.Uint16(b[10:]) == want {
				break
			}
		}
		return b
	}
}

var (
	nothing = []string(nil)
	passed  = []string{"right: forwarded"}
)

// silently is for packets that vanish: hooknet counts one drop.
func silently(name, reason string, in [][]byte) conformance {
	return conformance{name: name, in: in, want: nothing, counted: reason}
}

// passes is for packets that go on to the right host.
func passes(name string, in [][]byte) conformance {
	return conformance{name: name, in: in, want: passed, counted: "forwarded"}
}

// answers is for packets that are dropped with an ICMP error to the left host.
func answers(name, reason, want string, in [][]byte) conformance {
	return conformance{name: name, in: in, want: []string{"left: " + want}, counted: reason}
}

var requirements4 = []requirement{
	{text: "IPv4: header checksum verified before anything else (RFC 1812 5.2.2)", cases: []conformance{
		silently("RFC 1812 5.2.2 checksum wrong", "header_checksum", spoilt(one())),
		silently("RFC 1812 5.2.2 checksum wrong and TTL 1", "header_checksum", spoilt(one(ttl(1)))),
		silently("RFC 1812 5.2.2 checksum wrong and no route", "header_checksum", spoilt(one(to4("192.0.2.1")))),
		silently("RFC 1812 5.2.2 checksum wrong and too big with DF", "header_checksum", spoilt(one(size(1401), fragment(dontFragment, 0)))),
		silently("RFC 1812 5.2.2 checksum wrong, to the router", "header_checksum", spoilt(one(to4(testbed.Left4), icmp(8, 0)))),
		silently("RFC 1812 5.2.2 checksum wrong and source martian", "header_checksum", spoilt(one(from4("127.0.0.1")))),
		silently("RFC 1812 5.2.2 checksum 0", "header_checksum", [][]byte{set(10, 0, 0)(ipv4(nil))}),
		passes("RFC 1071 checksum 0 that is right", one(checksumOf(0))),
		passes("RFC 1071 checksum ffff that stands for 0", [][]byte{set(10, 0xff, 0xff)(ipv4(checksumOf(0)))}),
	}},
	{text: "IPv4: version, IHL, total length sanity (RFC 1812 5.2.2)", cases: []conformance{
		silently("RFC 1812 5.2.2 version 5", "version", one(set(0, 0x55))),
		silently("RFC 1812 5.2.2 version 0", "version", one(set(0, 0x05))),
		silently("RFC 1812 5.2.2 header of 16 bytes", "header_length", one(set(0, 0x44))),
		silently("RFC 1812 5.2.2 header of 0 bytes", "header_length", one(set(0, 0x40))),
		silently("RFC 1812 5.2.2 header longer than the packet", "truncated", one(cut(40), set(0, 0x4f), set(2, 0, 40))),
		silently("RFC 1812 5.2.2 total length beyond the packet", "truncated", one(set(2, 0, 61))),
		silently("RFC 1812 5.2.2 total length below the header", "total_length", one(set(2, 0, 19))),
		silently("RFC 1812 5.2.2 19 bytes", "truncated", one(cut(19))),
		passes("RFC 1812 5.2.2 padding is not passed on", one(set(2, 0, 50))),
	}},
	{text: "IPv4: TTL decrement by one and checksum updated incrementally (RFC 1812 5.3.1)", cases: []conformance{
		passes("RFC 1812 5.3.1 TTL 64", one()),
		passes("RFC 1812 5.3.1 TTL 2", one(ttl(2))),
		passes("RFC 1812 5.3.1 TTL 255", one(ttl(255))),
		passes("RFC 1624 3 checksum feff", one(checksumOf(0xfeff))),
		passes("RFC 1624 3 checksum fefe", one(checksumOf(0xfefe))),
		passes("RFC 1624 3 checksum ff00", one(checksumOf(0xff00))),
		passes("RFC 1624 3 checksum fffe", one(checksumOf(0xfffe))),
	}},
	{text: "IPv4: TTL 0/1: Time Exceeded code 0, not for fragments after the first nor for ICMP errors (RFC 1812 4.3.2.7, 5.3.1)", cases: []conformance{
		answers("RFC 1812 5.3.1 TTL 1", "ttl_expired", "time exceeded quoting all", one(ttl(1))),
		answers("RFC 1812 5.3.1 TTL 0", "ttl_expired", "time exceeded quoting all", one(ttl(0))),
		answers("RFC 1812 4.3.2.7 TTL 1, first fragment", "ttl_expired", "time exceeded quoting all", one(ttl(1), fragment(moreFragments, 0))),
		silently("RFC 1812 4.3.2.7 TTL 1, second fragment", "ttl_expired", one(ttl(1), fragment(0, 185))),
		answers("RFC 1812 4.3.2.7 TTL 1, echo request", "ttl_expired", "time exceeded quoting all", one(ttl(1), icmp(8, 0))),
		answers("RFC 1812 4.3.2.7 TTL 1, echo reply", "ttl_expired", "time exceeded quoting all", one(ttl(1), icmp(0, 0))),
		silently("RFC 1812 4.3.2.7 TTL 1, destination unreachable", "ttl_expired", one(ttl(1), icmp(3, 3))),
		silently("RFC 1812 4.3.2.7 TTL 1, source quench", "ttl_expired", one(ttl(1), icmp(4, 0))),
		silently("RFC 1812 4.3.2.7 TTL 1, redirect", "ttl_expired", one(ttl(1), icmp(5, 1))),
		silently("RFC 1812 4.3.2.7 TTL 1, time exceeded", "ttl_expired", one(ttl(1), icmp(11, 0))),
		silently("RFC 1812 4.3.2.7 TTL 1, parameter problem", "ttl_expired", one(ttl(1), icmp(12, 0))),
		{name: "RFC 1812 5.3.1 TTL 1, to the router", in: one(ttl(1), to4(testbed.Left4), icmp(8, 0)), want: []string{"left: echo reply"}, counted: "delivered"},
		{name: "RFC 1812 5.3.1 TTL 0, to the router", in: one(ttl(0), to4(testbed.Left4), icmp(8, 0)), want: []string{"left: echo reply"}, counted: "delivered"},
	}},
	{text: "IPv4: ICMP error quotes as much as fits 576 bytes (RFC 1812 4.3.2.3)", cases: []conformance{
		answers("RFC 1812 4.3.2.3 error about 1400 bytes", "ttl_expired", "time exceeded quoting 548 bytes", one(ttl(1), size(1400))),
		answers("RFC 1812 4.3.2.3 error about 549 bytes", "ttl_expired", "time exceeded quoting 548 bytes", one(ttl(1), size(549))),
		answers("RFC 1812 4.3.2.3 error about 548 bytes", "ttl_expired", "time exceeded quoting all", one(ttl(1), size(548))),
		answers("RFC 1812 4.3.2.3 error about 20 bytes", "ttl_expired", "time exceeded quoting all", one(ttl(1), size(20))),
		answers("RFC 1812 4.3.2.3 error about options", "ttl_expired", "time exceeded quoting all", one(ttl(1), options(0x94, 4, 0, 0))),
	}},
	{text: "IPv4: source of ICMP error = address of interface (RFC 1812 4.3.2.4)", cases: []conformance{
		answers("RFC 1812 4.3.2.4 by the left interface", "ttl_expired", "time exceeded quoting all", one(ttl(1))),
		{
			name: "RFC 1812 4.3.2.4 by the right interface", reverse: true, in: one(ttl(1), from4("10.0.2.99"), to4("10.0.1.99")),
			want: []string{"right: time exceeded quoting all"}, counted: "ttl_expired",
		},
		{
			name: "RFC 1812 4.3.2.4 by another interface than the packet came by", in: one(ttl(1), from4("10.0.2.98")),
			want: []string{"right: time exceeded quoting all"}, counted: "ttl_expired",
		},
	}},
	{text: "IPv4: no error about: ICMP error, multicast/broadcast destination, link broadcast, non-first fragment, source that is not one host (RFC 1812 4.3.2.7)", cases: []conformance{
		silently("RFC 1812 4.3.2.7 no route, ICMP error", "no_route", one(to4("192.0.2.1"), icmp(3, 1))),
		silently("RFC 1812 4.3.2.7 no route, second fragment", "no_route", one(to4("192.0.2.1"), fragment(0, 1))),
		answers("RFC 1812 4.3.2.7 no route, first fragment", "no_route", "net unreachable quoting all", one(from4("10.0.1.11"), to4("192.0.2.1"), fragment(moreFragments, 0))),
		silently("RFC 1812 4.3.2.7 too big, ICMP error", "too_big", one(size(1401), fragment(dontFragment, 0), icmp(11, 0))),
		silently("RFC 1812 4.3.2.7 too big, second fragment", "too_big", one(size(1401), fragment(dontFragment, 1))),
		{name: "RFC 1812 4.3.2.7 to a multicast group, TTL 1", in: one(ttl(1), to4("239.1.2.3")), want: nothing, counted: "delivered"},
		silently("RFC 1812 4.3.2.7 to the limited broadcast, TTL 1", "broadcast", one(ttl(1), to4("255.255.255.255"))),
		silently("RFC 1812 4.3.2.7 to a directed broadcast, TTL 1", "broadcast", one(ttl(1), to4("10.0.2.255"))),
		silently("RFC 1812 4.3.2.7 from a directed broadcast, TTL 1", "martian_source", one(ttl(1), from4("10.0.1.255"))),
		silently("RFC 1812 4.3.2.7 from a multicast group, TTL 1", "martian_source", one(ttl(1), from4("239.1.2.3"))),
		silently("RFC 1812 4.3.2.7 from 0.0.0.0, TTL 1", "martian_source", one(ttl(1), from4("0.0.0.0"))),
		silently("RFC 1812 4.3.2.7 from the router's own address, TTL 1", "martian_source", one(ttl(1), from4(testbed.Left4))),
	}, not: "Link broadcasts are for links that have them: a TUN device has none."},
	{text: "IPv4: DF + too big: code 4 with next-hop MTU (RFC 1191 4)", cases: []conformance{
		answers("RFC 1191 4 too big with DF", "too_big", "fragmentation needed mtu 1400 quoting 548 bytes", one(size(1401), fragment(dontFragment, 0))),
		passes("RFC 1191 4 fits with DF", one(size(1400), fragment(dontFragment, 0))),
		answers("RFC 1191 4 too big for a route with DF", "too_big", "fragmentation needed mtu 1300 quoting 548 bytes", one(to4("198.51.100.200"), size(1301), fragment(dontFragment, 0))),
		passes("RFC 1191 4 fits a route with DF", one(to4("198.51.100.200"), size(1300), fragment(dontFragment, 0))),
		answers("RFC 1191 4 too big with DF and TTL 1", "ttl_expired", "time exceeded quoting 548 bytes", one(ttl(1), size(1401), fragment(dontFragment, 0))),
		answers("RFC 1191 4 too big with DF, first fragment", "too_big", "fragmentation needed mtu 1400 quoting 548 bytes", one(size(1404), fragment(dontFragment|moreFragments, 0))),
	}},
	{text: "IPv4: fragmentation keeps ID, 8-byte offsets, options copied by copy bit (RFC 791 3.2)", cases: []conformance{
		{
			name: "RFC 791 3.2 two fragments", in: one(size(1500), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1376 more", "right: fragment 1376+104"},
		},
		{
			name: "RFC 791 3.2 one byte too many", in: one(size(1401), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1376 more", "right: fragment 1376+5"},
		},
		{
			name: "RFC 791 3.2 a fragment in fragments", in: one(size(1500), id(0x1234), fragment(moreFragments, 185)), counted: "forwarded split",
			want: []string{"right: fragment 1480+1376 more", "right: fragment 2856+104 more"},
		},
		{
			name: "RFC 791 3.2 a last fragment in fragments", in: one(size(1500), id(0x1234), fragment(0, 185)), counted: "forwarded split",
			want: []string{"right: fragment 1480+1376 more", "right: fragment 2856+104"},
		},
		{
			name: "RFC 791 3.2 fragments for a route", in: one(to4("198.51.100.200"), size(1400), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1280 more", "right: fragment 1280+100"},
		},
		{
			name: "RFC 791 3.1 option with the copy bit", in: one(options(0x9e, 4, 1, 2), size(1500), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1376 more options 9e040102", "right: fragment 1376+100 options 9e040102"},
		},
		{
			name: "RFC 791 3.1 option without the copy bit", in: one(options(0x1e, 4, 1, 2), size(1500), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1376 more options 1e040102", "right: fragment 1376+100"},
		},
	}, tests: []string{"packet.TestFragmentsOfFragments", "packet.TestFragmentSizes", "packet.TestFragmentOptions"}},
	{text: "IPv4: fragments are forwarded without reassembly unless a hook asks (RFC 1812 4.2.2.7)", cases: []conformance{
		{
			name: "RFC 1812 4.2.2.7 fragments in any order", counted: "forwarded forwarded forwarded",
			in:   slices.Concat(one(fragment(0, 10), id(7)), one(fragment(moreFragments, 0), id(7)), one(fragment(moreFragments, 5), id(7))),
			want: []string{"right: forwarded 1", "right: forwarded 2", "right: forwarded 3"},
		},
		{
			name: "RFC 1812 4.2.2.7 fragments that overlap", counted: "forwarded forwarded",
			in:   slices.Concat(one(fragment(moreFragments, 0), id(8)), one(fragment(0, 2), id(8))),
			want: []string{"right: forwarded 1", "right: forwarded 2"},
		},
		passes("RFC 1812 4.2.2.7 a fragment alone", one(fragment(0, 100), id(9))),
		passes("RFC 1858 3 a tiny first fragment", one(cut(28), set(2, 0, 28), fragment(moreFragments, 0))),
		silently("RFC 791 3.2 a fragment beyond 65535", "fragment", one(fragment(0, 0x1fff))),
		silently("RFC 791 3.2 a fragment of 39 bytes and more follow", "fragment", one(cut(59), set(2, 0, 59), fragment(moreFragments, 0))),
	}, not: "No hook asks yet: there is no reassembly for hooks."},
	// Sources differ: Linux tells one host of few Unreachables (net.ipv4.route.error_burst).
	{text: "IPv4: no route: Net Unreachable; neighbour failure: Host Unreachable (RFC 1812 5.2.7.1)", cases: []conformance{
		answers("RFC 1812 5.2.7.1 no route", "no_route", "net unreachable quoting all", one(from4("10.0.1.12"), to4("192.0.2.1"))),
		answers("RFC 1812 5.2.7.1 unreachable route", "unreachable", "host unreachable quoting all", one(from4("10.0.1.13"), to4("198.51.100.1"))),
		answers("RFC 1812 5.2.7.1 prohibiting route", "prohibited", "prohibited quoting all", one(from4("10.0.1.14"), to4("198.51.100.65"))),
		silently("RFC 1812 5.2.7.1 black hole", "blackhole", one(to4("198.51.100.129"))),
		answers("RFC 1812 5.2.7.1 no route and TTL 1", "no_route", "net unreachable quoting all", one(from4("10.0.1.15"), to4("192.0.2.1"), ttl(1))),
	}, not: "Neighbours are for TAP interfaces: on a TUN device none can fail."},
	{text: "IPv4: directed broadcast off by default (RFC 2644)", cases: []conformance{
		silently("RFC 2644 to the broadcast address of the right link", "broadcast", one(to4("10.0.2.255"))),
		silently("RFC 2644 to the broadcast address of the left link", "broadcast", one(to4("10.0.1.255"))),
		silently("RFC 1812 4.2.3.1 to the network address of the right link", "broadcast", one(to4("10.0.2.0"))),
	}},
	{text: "IPv4: martians: 0/8, 127/8, 240/4 source, multicast source, limited broadcast (RFC 1812 5.3.7, RFC 6890)", cases: []conformance{
		silently("RFC 1812 5.3.7 from 0.0.0.0", "martian_source", one(from4("0.0.0.0"))),
		silently("RFC 1812 5.3.7 from 0.1.2.3", "martian_source", one(from4("0.1.2.3"))),
		silently("RFC 1812 5.3.7 from 127.0.0.1", "martian_source", one(from4("127.0.0.1"))),
		silently("RFC 1812 5.3.7 from 127.1.2.3 to the router", "martian_source", one(from4("127.1.2.3"), to4(testbed.Left4), icmp(8, 0))),
		silently("RFC 1812 5.3.7 from 224.0.0.1", "martian_source", one(from4("224.0.0.1"))),
		silently("RFC 6890 2.2.2 from 240.0.0.1", "martian_source", one(from4("240.0.0.1"))),
		silently("RFC 1812 5.3.7 from 255.255.255.255", "martian_source", one(from4("255.255.255.255"))),
		silently("RFC 1812 5.3.7 to 0.0.0.0", "martian_destination", one(to4("0.0.0.0"))),
		silently("RFC 1812 5.3.7 to 127.0.0.1", "martian_destination", one(to4("127.0.0.1"))),
		silently("RFC 6890 2.2.2 to 240.0.0.1", "martian_destination", one(from4("10.0.1.60"), to4("240.0.0.1"))),
		silently("RFC 1812 5.3.4 to 255.255.255.255", "broadcast", one(to4("255.255.255.255"))),
		silently("RFC 1812 5.3.7 from the router's own address, to it", "martian_source", one(from4(testbed.Right4), to4(testbed.Left4), icmp(8, 0))),
		silently("RFC 1812 5.3.7 from the router's own address, to the same", "martian_source", one(from4(testbed.Left4), to4(testbed.Left4), icmp(8, 0))),
	}},
	{text: "IPv4: link-local 169.254/16 not forwarded (RFC 3927 7)", cases: []conformance{
		silently("RFC 3927 7 from 169.254.1.1", "link_local", one(from4("169.254.1.1"))),
		silently("RFC 3927 7 to 169.254.1.1", "link_local", one(to4("169.254.1.1"))),
	}},
	{text: "IPv4: source routing off by default (RFC 1812 5.2.4.1, RFC 7126 4.3)", cases: []conformance{
		silently("RFC 7126 4.3 loose source route", "source_route", one(options(131, 7, 4, 10, 0, 2, 9, 0))),
		silently("RFC 7126 4.4 strict source route", "source_route", one(options(137, 7, 4, 10, 0, 2, 9, 0))),
		silently("RFC 7126 4.3 source route behind another option", "source_route", one(options(1, 1, 7, 3, 4, 131, 7, 4, 10, 0, 2, 9))),
	}},
	{text: "IPv4: unknown option ignored (RFC 1812 5.2.4.1)", cases: []conformance{
		passes("RFC 1812 5.2.4.1 unknown option", one(options(0x5e, 4, 1, 2))),
		passes("RFC 1812 5.2.4.1 router alert", one(options(0x94, 4, 0, 0))),
		passes("RFC 791 3.1 end and no operation", one(options(1, 1, 1, 0))),
		passes("RFC 791 3.1 rubbish behind the end", one(options(0, 7, 200, 9))),
		answers("RFC 1812 5.2.4.1 option of length 0", "ip_option", "parameter problem at 20 quoting all", one(options(7, 0))),
		answers("RFC 1812 5.2.4.1 option beyond the header", "ip_option", "parameter problem at 20 quoting all", one(options(7, 40))),
	}},
	{text: "IPv4: redirects: not on point-to-point TUN (RFC 1812 5.2.7.2)", cases: []conformance{
		{name: "RFC 1812 5.2.7.2 back by the same interface", in: one(id(0x1234), to4("10.0.1.99")), want: []string{"left: forwarded"}, counted: "forwarded"},
	}},
	{text: "IPv4: TOS/DSCP and ECN untouched (RFC 2474 3, RFC 3168 5)", cases: []conformance{
		passes("RFC 3168 5 congestion experienced", one(set(1, 0x03))),
		passes("RFC 2474 3 expedited forwarding", one(set(1, 0xb8))),
		passes("RFC 2474 3 all bits", one(set(1, 0xff))),
	}},
	{text: "IPv4: ID of forwarded packets untouched (RFC 6864 4.1)", cases: []conformance{
		passes("RFC 6864 4.1 ID", one(id(0x1234))),
		passes("RFC 6864 4.1 ID with DF", one(id(0x1234), fragment(dontFragment, 0))),
		passes("RFC 6864 4.1 ID 0", one(id(0))),
		passes("RFC 791 3.1 reserved flag", one(set(6, 0x80))),
	}},
	{text: "IPv4: forwarding off: silent drop + counter (RFC 1122 3.3.1)", cases: []conformance{
		{name: "RFC 1122 3.3.1 no forwarding", router: "host", in: one(), want: nothing, counted: "forwarding_disabled"},
		{name: "RFC 1122 3.3.1 no forwarding, TTL 1", router: "host", in: one(ttl(1)), want: nothing, counted: "forwarding_disabled"},
		{name: "RFC 1122 3.3.1 no forwarding, no route", router: "host", in: one(to4("192.0.2.1")), want: nothing, counted: "forwarding_disabled"},
		{name: "RFC 1122 3.3.1 no forwarding, to the host", router: "host", in: one(to4(testbed.Left4), icmp(8, 0)), want: []string{"left: echo reply"}, counted: "delivered"},
	}},
	{text: "IPv4: IP protocol unknown still forwarded", cases: []conformance{
		passes("RFC 1812 5.2.1 protocol 253", one(protocol(253))),
		passes("RFC 1812 5.2.1 protocol 0", one(protocol(0))),
		passes("RFC 1812 5.2.1 protocol 255", one(protocol(255))),
		passes("RFC 1812 5.2.1 UDP with a wrong checksum", one(set(26, 0x12, 0x34))),
		passes("RFC 1812 5.2.1 TCP header cut short", one(protocol(6), cut(24), set(2, 0, 24))),
		passes("RFC 1812 5.2.1 ICMP with a wrong checksum", one(icmp(8, 0), set(22, 1, 2))),
	}},
	{text: "IPv4: zero-length payload forwarded", cases: []conformance{
		passes("RFC 1812 5.2.2 no payload", one(size(20))),
		passes("RFC 1812 5.2.2 no payload but options", one(size(20), options(1, 1, 1, 1))),
	}},
}
