// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hooknet/hooknet/integration/testbed"
)

// ipv4 returns a UDP packet from red to somebody behind right, whose answer nobody waits for, after a change. The header
// checksum is right, unless fix is false.
func ipv4(change func(b []byte) []byte) []byte {
	b := make([]byte, 60)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], 60)
	b[8], b[9] = 64, 17
	copy(b[12:], netip.MustParseAddr(testbed.Red4).AsSlice())
	copy(b[16:], netip.MustParseAddr("10.0.2.99").AsSlice())
	binary.BigEndian.PutUint16(b[20:], 1000) // UDP: ports, length; no checksum
	binary.BigEndian.PutUint16(b[22:], 9)
	binary.BigEndian.PutUint16(b[24:], 40)
	if change != nil {
		b = change(b)
	}
	fixHeader(b)
	return b
}

// fixHeader makes the header checksum of an IPv4 packet right, as far as there is a header.
func fixHeader(b []byte) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return
	}
	header := b[:min(len(b), max(20, int(b[0]&15)*4))]
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], ^onesSum(header))
}

func onesSum(b []byte) uint16 {
	var sum uint32
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// ipv6 returns a packet from red to somebody behind right, after a change: next is the protocol of the payload.
func ipv6(next byte, payload []byte, change func(b []byte) []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6], b[7] = next, 64
	copy(b[8:], netip.MustParseAddr(testbed.Red6).AsSlice())
	copy(b[24:], netip.MustParseAddr("fd00:2::99").AsSlice())
	b = append(b, payload...)
	if change != nil {
		b = change(b)
	}
	return b
}

// udp6 is a UDP header and 4 bytes with the right checksum, from red to fd00:2::99.
func udp6() []byte {
	b := []byte{0x03, 0xe8, 0, 9, 0, 12, 0, 0, 'a', 'b', 'c', 'd'}
	pseudo := slices.Concat(netip.MustParseAddr(testbed.Red6).AsSlice(), netip.MustParseAddr("fd00:2::99").AsSlice(), []byte{0, 0, 0, 12, 0, 0, 0, 17}, b)
	binary.BigEndian.PutUint16(b[6:], ^onesSum(pseudo))
	return b
}

// set returns a change that writes bytes at an offset.
func set(at int, bytes ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		copy(b[at:], bytes)
		return b
	}
}

// cut returns a change that keeps the first n bytes.
func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

// all makes one change of several.
func all(changes ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, c := range changes {
			b = c(b)
		}
		return b
	}
}

func address(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// to4 and to6 set the destination, from4 and from6 the source.
func from4(s string) func([]byte) []byte { return set(12, address(s)...) }
func to4(s string) func([]byte) []byte   { return set(16, address(s)...) }
func from6(s string) func([]byte) []byte { return set(8, address(s)...) }
func to6(s string) func([]byte) []byte   { return set(24, address(s)...) }

// options puts IPv4 options behind the header, padded.
func options(bytes ...byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for len(bytes)%4 != 0 {
			bytes = append(bytes, 0)
		}
		b = slices.Insert(b, 20, bytes...)
		b[0] += byte(len(bytes) / 4)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		return b
	}
}

// size makes the packet n bytes long, truthfully.
func size(n int) func([]byte) []byte {
	return func(b []byte) []byte {
		b = append(b, make([]byte, max(0, n-len(b)))...)[:n]
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		return b
	}
}

// virtioHeader is a struct virtio_net_hdr.
func virtioHeader(flags, gso byte, headerLen, size, start, offset uint16) []byte {
	b := []byte{flags, gso}
	for _, v := range []uint16{headerLen, size, start, offset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

// tcp4 is a TCP packet with n bytes of payload; its checksum is to be completed.
func tcp4(n int) []byte {
	return ipv4(all(size(40+n), set(9, 6), set(32, 0x50, 0x10, 0xff, 0xff)))
}

// udp4 is a UDP packet with n bytes of payload; its checksum is to be completed.
func udp4(n int) []byte {
	return ipv4(all(size(28+n), set(24, byte((n+8)>>8), byte(n+8))))
}

// A malformed is a packet and what has to become of it.
type malformed struct {
	name   string
	packet []byte
	want   string
}

var malformed4 = []malformed{
	{"well-formed", ipv4(nil), forwarded},

	// Lengths and versions.
	{"one byte of IPv4", []byte{0x45}, "truncated"},
	{"one byte of nothing", []byte{0}, "version"},
	{"version 0", ipv4(set(0, 0x05)), "version"},
	{"version 5", ipv4(set(0, 0x55)), "version"},
	{"version 15", ipv4(set(0, 0xf5)), "version"},
	{"19 bytes", ipv4(cut(19)), "truncated"},
	{"20 bytes", ipv4(cut(20)), "truncated"},
	{"header length 0", ipv4(set(0, 0x40)), "header_length"},
	{"header length 16", ipv4(set(0, 0x44)), "header_length"},
	{"header longer than the packet", ipv4(all(cut(40), set(0, 0x4f), set(2, 0, 40))), "truncated"},
	{"total length beyond the end", ipv4(set(2, 0, 61)), "truncated"},
	{"total length 65535", ipv4(set(2, 0xff, 0xff)), "truncated"},
	{"total length below the header", ipv4(set(2, 0, 19)), "total_length"},
	{"total length 0", ipv4(set(2, 0, 0)), "total_length"},
	{"padding behind the packet", ipv4(set(2, 0, 50)), forwarded},
	{"no payload", ipv4(all(cut(20), set(2, 0, 20))), forwarded},
	{"header checksum wrong", set(10, 0x12, 0x34)(ipv4(nil)), "header_checksum"},
	{"header checksum 0", set(10, 0, 0)(ipv4(nil)), "header_checksum"},
	{"header checksum before total length", set(10, 0, 0)(ipv4(set(2, 0, 0))), "header_checksum"}, // RFC 1812 section 5.2.2: it comes first

	// Fragments.
	{"fragment beyond 65535", ipv4(set(6, 0x1f, 0xff)), "fragment"},
	{"fragment of a length that is no multiple of 8, and more follow", ipv4(all(cut(59), set(2, 0, 59), set(6, 0x20, 0))), "fragment"},
	{"first fragment", ipv4(set(6, 0x20, 0)), forwarded},
	{"last fragment", ipv4(set(6, 0, 8)), forwarded},
	{"fragment with DF", ipv4(set(6, 0x60, 0)), forwarded},
	{"reserved flag", ipv4(set(6, 0x80, 0)), forwarded},

	// Options.
	{"option of length 0", ipv4(options(7, 0)), "ip_option"},
	{"option of length 1", ipv4(options(7, 1)), "ip_option"},
	{"option beyond the header", ipv4(options(7, 40)), "ip_option"},
	{"option cut after its type", ipv4(options(1, 1, 1, 7)), "ip_option"},
	{"unknown option", ipv4(options(0x5e, 4, 0, 0)), forwarded},
	{"record route", ipv4(options(7, 7, 4, 0, 0, 0, 0, 0)), forwarded},
	{"record route, pointer 3", ipv4(options(7, 7, 3, 0, 0, 0, 0, 0)), "ip_option"},
	{"record route, full", ipv4(options(7, 7, 8, 10, 0, 2, 9, 0)), forwarded},
	{"timestamp", ipv4(options(68, 8, 5, 0, 0, 0, 0, 0)), forwarded},
	{"timestamp, overflow", ipv4(options(68, 8, 9, 0xf0, 0, 0, 0, 0)), "ip_option"},
	{"loose source route", ipv4(options(131, 7, 4, 10, 0, 2, 9, 0)), "source_route"},
	{"strict source route", ipv4(options(137, 7, 4, 10, 0, 2, 9, 0)), "source_route"},
	{"source route behind others", ipv4(options(1, 1, 7, 3, 4, 131, 7, 4, 10, 0, 2, 9)), "source_route"},
	{"source route at its end", ipv4(options(131, 7, 8, 10, 0, 2, 9, 0)), forwarded},
	{"to us, source routed onward", ipv4(all(to4(testbed.Left4), options(131, 7, 4, 10, 0, 2, 9, 0))), delivered},

	// Addresses.
	{"from 0.0.0.0", ipv4(from4("0.0.0.0")), "martian_source"},
	{"from 0.1.2.3", ipv4(from4("0.1.2.3")), "martian_source"},
	{"from 127.0.0.1", ipv4(from4("127.0.0.1")), "martian_source"},
	{"from 224.0.0.1", ipv4(from4("224.0.0.1")), "martian_source"},
	{"from 240.0.0.1", ipv4(from4("240.0.0.1")), "martian_source"},
	{"from 255.255.255.255", ipv4(from4("255.255.255.255")), "martian_source"},
	{"to 0.0.0.0", ipv4(to4("0.0.0.0")), "martian_destination"},
	{"to 127.0.0.1", ipv4(to4("127.0.0.1")), "martian_destination"},
	{"to 240.0.0.1", ipv4(to4("240.0.0.1")), "martian_destination"},
	{"to 255.255.255.255", ipv4(to4("255.255.255.255")), "broadcast"},
	{"to the broadcast address of a subnet", ipv4(to4("10.0.2.255")), "broadcast"},
	{"to the network address of a subnet", ipv4(to4("10.0.2.0")), "broadcast"},
	{"to a multicast group", ipv4(to4("224.0.0.1")), delivered},
	{"from 169.254.1.1", ipv4(from4("169.254.1.1")), "link_local"},
	{"to nobody", ipv4(to4("192.0.2.1")), "no_route"},
	{"from us", ipv4(from4(testbed.Right4)), "martian_source"},
	{"from the broadcast address of a subnet", ipv4(from4("10.0.2.255")), "martian_source"},
	{"from 127.0.0.1 to 127.0.0.1", ipv4(all(from4("127.0.0.1"), to4("127.0.0.1"))), "martian_source"},
	{"to itself", ipv4(all(from4(testbed.Left4), to4(testbed.Left4))), "martian_source"}, // a "land" packet

	// What a router must not do.
	{"TTL 0", ipv4(set(8, 0)), "ttl_expired"},
	{"TTL 1", ipv4(set(8, 1)), "ttl_expired"},
	{"too big with DF", ipv4(all(size(1401), set(6, 0x40, 0))), "too_big"},
	{"unknown protocol", ipv4(set(9, 253)), forwarded},
	{"protocol 0", ipv4(set(9, 0)), forwarded},

	// Transport headers: of no interest on the way through, for us they must be right.
	{"UDP cut short", ipv4(all(cut(24), set(2, 0, 24))), forwarded},
	{"UDP checksum wrong", ipv4(set(26, 0x12, 0x34)), forwarded},
	{"TCP cut short", ipv4(all(cut(24), set(2, 0, 24), set(9, 6))), forwarded},
	{"to us, UDP cut short", ipv4(all(to4(testbed.Left4), cut(24), set(2, 0, 24))), "transport_checksum"},
	{"to us, UDP length beyond the end", ipv4(all(to4(testbed.Left4), set(24, 0xff, 0xff))), "transport_checksum"},
	{"to us, UDP length 0", ipv4(all(to4(testbed.Left4), set(24, 0, 0))), "transport_checksum"},
	{"to us, UDP checksum wrong", ipv4(all(to4(testbed.Left4), set(26, 0x12, 0x34))), "transport_checksum"},
	{"to us, TCP cut short", ipv4(all(to4(testbed.Left4), cut(24), set(2, 0, 24), set(9, 6))), "transport_checksum"},
	{"to us, TCP with zeroes", ipv4(all(to4(testbed.Left4), set(9, 6))), "transport_checksum"},
	{"to us, ICMP cut short", ipv4(all(to4(testbed.Left4), cut(24), set(2, 0, 24), set(9, 1))), "transport_checksum"},
	{"to us, unknown protocol", ipv4(all(to4(testbed.Left4), set(9, 253))), delivered},
	{"to us, IGMP", ipv4(all(to4(testbed.Left4), set(9, 2))), delivered},
}

var malformed6 = []malformed{
	{"well-formed", ipv6(17, udp6(), nil), forwarded},

	// Lengths.
	{"one byte of IPv6", []byte{0x60}, "truncated"},
	{"39 bytes", ipv6(17, udp6(), cut(39)), "truncated"},
	{"40 bytes", ipv6(17, udp6(), cut(40)), "truncated"},
	{"payload length beyond the end", ipv6(17, udp6(), set(4, 0, 13)), "truncated"},
	{"payload length 65535", ipv6(17, udp6(), set(4, 0xff, 0xff)), "truncated"},
	{"payload length 0 with a payload", ipv6(17, udp6(), set(4, 0, 0)), "total_length"},
	{"jumbogram", ipv6(0, []byte{17, 0, 0xc2, 4, 0, 1, 0, 0}, set(4, 0, 0)), "total_length"},
	{"padding behind the packet", ipv6(17, append(udp6(), 1, 2, 3), set(4, 0, 12)), forwarded},
	{"no next header", ipv6(59, nil, nil), forwarded},
	{"no next header, and something behind", ipv6(59, []byte("whatever"), nil), forwarded},
	{"no payload", ipv6(17, nil, nil), forwarded},

	// Hop-by-hop header: every router looks at it.
	{"hop-by-hop cut short", ipv6(0, []byte{17, 0, 1, 4}, nil), "extension_header"},
	{"hop-by-hop longer than the packet", ipv6(0, []byte{17, 1, 1, 4, 0, 0, 0, 0}, nil), "extension_header"},
	{"hop-by-hop option beyond the header", ipv6(0, append([]byte{17, 0, 1, 9, 0, 0, 0, 0}, udp6()...), nil), "extension_header"},
	{"hop-by-hop option without length", ipv6(0, append([]byte{17, 0, 1, 3, 0, 0, 0, 1}, udp6()...), nil), "extension_header"},
	{"hop-by-hop, unknown option, skip", ipv6(0, append([]byte{17, 0, 0x1e, 4, 0, 0, 0, 0}, udp6()...), nil), forwarded},
	{"hop-by-hop, unknown option, drop", ipv6(0, append([]byte{17, 0, 0x5e, 4, 0, 0, 0, 0}, udp6()...), nil), "extension_header"},
	{"hop-by-hop, unknown option, answer", ipv6(0, append([]byte{17, 0, 0x9e, 4, 0, 0, 0, 0}, udp6()...), nil), "extension_header"},
	{"hop-by-hop, unknown option, answer unicast", ipv6(0, append([]byte{17, 0, 0xde, 4, 0, 0, 0, 0}, udp6()...), nil), "extension_header"},
	{"two hop-by-hop headers", ipv6(0, append([]byte{0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udp6()...), nil), "extension_header"},

	// The other extension headers: not a router's business (RFC 8200 section 4).
	{"destination options cut short", ipv6(60, []byte{17, 0, 1, 4}, nil), forwarded},
	{"destination options longer than the packet", ipv6(60, []byte{17, 9, 1, 4, 0, 0, 0, 0}, nil), forwarded},
	{"hop-by-hop after destination options", ipv6(60, append([]byte{0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udp6()...), nil), forwarded},
	{"hundred destination options", ipv6(60, slices.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 100), nil), forwarded},
	{"fragment header cut short", ipv6(44, []byte{17, 0, 0}, nil), forwarded},
	{"two fragment headers", ipv6(44, append([]byte{44, 0, 0, 1, 0, 0, 0, 1, 17, 0, 0, 0, 0, 0, 0, 1}, udp6()...), nil), forwarded},
	{"fragment beyond 65535", ipv6(44, append([]byte{17, 0, 0xff, 0xf8, 0, 0, 0, 1}, udp6()...), nil), forwarded},
	{"authentication header cut short", ipv6(51, []byte{17, 0, 0, 0}, nil), forwarded},
	{"routing header cut short", ipv6(43, []byte{17, 0, 0, 1}, nil), forwarded},
	{"routing header type 0", ipv6(43, append([]byte{17, 2, 0, 1, 0, 0, 0, 0}, append(address("fd00:2::1"), udp6()...)...), nil), "source_route"},
	{"routing header type 0, none left", ipv6(43, append([]byte{17, 2, 0, 0, 0, 0, 0, 0}, append(address("fd00:2::1"), udp6()...)...), nil), forwarded},

	{"routing header type 4", ipv6(43, append([]byte{17, 2, 4, 1, 0, 0, 0, 0}, append(address("fd00:2::1"), udp6()...)...), nil), forwarded},

	// Addresses.
	{"from ::", ipv6(17, udp6(), from6("::")), "martian_source"},
	{"from ::1", ipv6(17, udp6(), from6("::1")), "martian_source"},
	{"from a multicast group", ipv6(17, udp6(), from6("ff02::1")), "martian_source"},
	{"from a mapped address", ipv6(17, udp6(), from6("::ffff:10.0.1.2")), "martian_source"},
	{"to ::", ipv6(17, udp6(), to6("::")), "martian_destination"},
	{"to ::1", ipv6(17, udp6(), to6("::1")), "martian_destination"},
	{"to a mapped address", ipv6(17, udp6(), to6("::ffff:10.0.2.99")), "martian_destination"},
	{"from fe80::1", ipv6(17, udp6(), from6("fe80::1")), "link_local"},
	{"to nobody", ipv6(17, udp6(), to6("2001:db8::1")), "no_route"},
	{"from us", ipv6(17, udp6(), from6(testbed.Right6)), "martian_source"},
	{"to itself", ipv6(59, nil, all(from6(testbed.Left6), to6(testbed.Left6))), "martian_source"},

	{"hop limit 0", ipv6(17, udp6(), set(7, 0)), "ttl_expired"},
	{"hop limit 1", ipv6(17, udp6(), set(7, 1)), "ttl_expired"},
	{"too big", ipv6(17, make([]byte, 1400-39), nil), "too_big"},

	// For us.
	{"to us, UDP without checksum", ipv6(17, udp6(), all(to6(testbed.Left6), set(46, 0, 0))), "transport_checksum"},
	{"to us, UDP cut short", ipv6(17, udp6()[:6], to6(testbed.Left6)), "transport_checksum"},
	{"to us, ICMPv6 cut short", ipv6(58, []byte{128, 0}, to6(testbed.Left6)), "transport_checksum"},
	{"to us, destination options cut short", ipv6(60, []byte{17, 0, 1, 4}, to6(testbed.Left6)), delivered},
	{"to us, hundred destination options", ipv6(60, slices.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 100), to6(testbed.Left6)), delivered},
	{"to us, fragment beyond 65535", ipv6(44, append([]byte{17, 0, 0xff, 0xf8, 0, 0, 0, 1}, udp6()...), to6(testbed.Left6)), delivered},
	{"to us, fragment of 3 bytes and more follow", ipv6(44, []byte{17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3}, to6(testbed.Left6)), "transport_header"},
}
