// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"slices"

	"github.com/hooknet/hooknet/integration/testbed"
)

// ping4 is an echo request to the router.
func ping4(data []byte, changes ...func([]byte) []byte) []byte {
	return ipv4(all(func(b []byte) []byte { return append(b[:20], echo4(8, data)...) }, size(28+len(data)), protocol(1), to4(testbed.Left4), all(changes...)))
}

// ping6 is the same in IPv6, behind extension headers of 8 bytes each, the first of them of type next. The last must say 58.
func ping6(data []byte, next byte, headers []byte, changes ...func([]byte) []byte) []byte {
	message := append([]byte{128, 0, 0, 0, 0x12, 0x34, 0, 1}, data...)
	b := sum6(ipv6(58, message, all(to6(testbed.Left6), all(changes...))))
	b = slices.Insert(b, 40, headers...)
	b[6] = next
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

// cut4 and cut6 cut a datagram into fragments, where its payload is to be cut: offsets that are multiples of 8. cut6 takes
// one without extension headers.
func cut4(b []byte, number uint16, at ...int) (fragments [][]byte) {
	id(number)(b)
	payload := b[20:]
	for i, from := range append([]int{0}, at...) {
		to, flags := len(payload), uint16(0)
		if i < len(at) {
			to, flags = at[i], moreFragments
		}
		f := all(size(20+to-from), fragment(flags, uint16(from/8)))(append(slices.Clone(b[:20]), payload[from:to]...))
		fixHeader(f)
		fragments = append(fragments, f)
	}
	return fragments
}

func cut6(b []byte, number byte, at ...int) (fragments [][]byte) {
	payload := b[40:]
	for i, from := range append([]int{0}, at...) {
		to := len(payload)
		if i < len(at) {
			to = at[i]
		}
		f := slices.Concat(b[:40], fragment6(b[6], uint16(from), i < len(at), number), payload[from:to])
		f[6] = 44
		binary.BigEndian.PutUint16(f[4:], uint16(len(f)-40))
		fragments = append(fragments, f)
	}
	return fragments
}

// letters are n bytes, all different from their neighbours.
func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%23)
	}
	return b
}

func reordered(packets [][]byte, order ...int) (list [][]byte) {
	for _, n := range order {
		list = append(list, packets[n])
	}
	return list
}

// replied is for packets to the router that are answered by one echo reply; whole is what fragments add up to.
func replied(name string, whole []byte, in ...[]byte) conformance {
	c := conformance{name: name, in: in, want: []string{"left: echo reply"}, counted: times("delivered", len(in))}
	if len(in) == 0 {
		c.in, c.counted = [][]byte{whole}, "delivered"
	} else {
		c.whole = whole
	}
	return c
}

// ignored is for packets to the router that its host stack takes and does not answer.
func ignored(name string, in ...[]byte) conformance {
	return conformance{name: name, in: in, want: nothing, counted: times("delivered", len(in))}
}

// objected is for packets to the router that its host stack answers with an error.
func objected(name, want string, in ...[]byte) conformance {
	return conformance{name: name, in: in, want: []string{"left: " + want}, counted: times("delivered", len(in))}
}

func times(word string, n int) string {
	s := word
	for range n - 1 {
		s += " " + word
	}
	return s
}

var (
	whole4 = ping4(letters(60))
	whole6 = ping6(letters(60), 58, nil)
)

var requirementsHost = []requirement{
	{text: "Hosts: echo reply copies data and ident, checksum, broadcast echo ignored (RFC 1122 3.2.2.6, RFC 4443 4.2)", cases: []conformance{
		replied("RFC 1122 3.2.2.6 echo", ping4(letters(56))),
		replied("RFC 1122 3.2.2.6 echo without data", ping4(nil)),
		replied("RFC 1122 3.2.2.6 echo with an odd number of bytes", ping4(letters(33))),
		replied("RFC 1122 3.2.2.6 echo of 1472 bytes", ping4(letters(1472))),
		replied("RFC 1122 3.2.2.6 echo to the other address", ping4(letters(56), to4(testbed.Right4))),
		silently("RFC 1122 3.2.2.6 echo with a wrong checksum", "transport_checksum", [][]byte{ping4(letters(56), set(22, 1, 2))}),
		silently("RFC 1122 3.2.2.6 echo to a directed broadcast", "broadcast", [][]byte{ping4(letters(56), to4("10.0.1.255"))}),
		silently("RFC 1122 3.2.2.6 echo to the limited broadcast", "broadcast", [][]byte{ping4(letters(56), to4("255.255.255.255"))}),
		replied("RFC 1122 3.2.2.6 echo to all hosts", ping4(letters(56), to4("224.0.0.1"))),
		ignored("RFC 1122 3.2.2 unknown ICMP type", one(icmp(99, 0), to4(testbed.Left4))...),
		ignored("RFC 1122 3.2.2.6 an echo reply that nobody waits for", one(icmp(0, 0), to4(testbed.Left4))...),
		ignored("RFC 1122 3.2.2.8 timestamp request", one(icmp(13, 0), to4(testbed.Left4))...),
		ignored("RFC 1122 3.2.2.9 address mask request", one(icmp(17, 0), to4(testbed.Left4))...),
		ignored("RFC 1122 3.2.2.2 redirect", one(icmp(5, 1), to4(testbed.Left4))...),
		replied("RFC 4443 4.2 echo", ping6(letters(56), 58, nil)),
		replied("RFC 4443 4.2 echo without data", ping6(nil, 58, nil)),
		replied("RFC 4443 4.2 echo to the other address", ping6(letters(56), 58, nil, to6(testbed.Right6))),
		replied("RFC 4443 4.2 echo behind destination options", ping6(letters(56), 60, padded(58))),
		silently("RFC 4443 4.2 echo with a wrong checksum", "transport_checksum", [][]byte{set(42, 1, 2)(ping6(letters(56), 58, nil))}),
		replied("RFC 4443 4.2 echo to all nodes", ping6(letters(56), 58, nil, to6("ff02::1"))),
		ignored("RFC 4443 2.4 unknown informational message", icmp6(200, 0, to6(testbed.Left6))...),
		ignored("RFC 4443 2.4 unknown error message", icmp6(100, 0, to6(testbed.Left6))...),
	}},
	{text: "Hosts: Destination Unreachable and Parameter Problem for what nobody takes (RFC 1122 3.2.2.1, RFC 4443 3.1, 3.4)", cases: []conformance{
		objected("RFC 1122 3.2.2.1 closed port", "port unreachable quoting all TOS 0 TTL 64", one(to4(testbed.Left4))...),
		objected("RFC 1122 3.2.2.1 unknown protocol", "protocol unreachable quoting all TOS 0 TTL 64", one(to4(testbed.Left4), protocol(253))...),
		objected("RFC 4443 3.1 closed port", "port unreachable quoting all", six(17, udp6To(testbed.Left6), to6(testbed.Left6))...),
		objected("RFC 4443 3.4 unknown next header", "unknown next header at 40 quoting all", six(253, udp6(), to6(testbed.Left6))...),
		objected("RFC 8200 4.2 unknown destination option", "unknown option at 42 quoting all", ping6(letters(56), 60, extension(58, 0x9e, 4))),
		ignored("RFC 8200 4.2 unknown destination option, discard", ping6(letters(56), 60, extension(58, 0x5e, 4))),
		objected("RFC 8200 4.4 unknown routing header", "erroneous header at 42 quoting all", six(43, routing(59, 99, 1), to6(testbed.Left6))...),
		ignored("RFC 8200 4.7 no next header, to the router", six(59, nil, to6(testbed.Left6))...),
	}},
	{text: "Hosts: IPv4 fragments are put together (RFC 1122 3.3.2, RFC 791 3.2)", cases: []conformance{
		replied("RFC 791 3.2 two fragments to the router", whole4, cut4(whole4, 1, 24)...),
		replied("RFC 791 3.2 three fragments, in reverse", whole4, reordered(cut4(whole4, 2, 24, 48), 2, 1, 0)...),
		replied("RFC 791 3.2 a fragment twice", whole4, reordered(cut4(whole4, 3, 24, 48), 0, 1, 1, 2)...),
		ignored("RFC 791 3.2 fragments of two datagrams", cut4(whole4, 4, 24)[0], cut4(whole4, 5, 24)[1]),
		ignored("RFC 1858 4 fragments that overlap", slices.Concat(cut4(whole4, 6, 24)[:1], cut4(whole4, 6, 16, 40)[1:])...),
		ignored("RFC 791 3.2 the last fragment alone", cut4(whole4, 7, 24)[1]),
	}},
	{text: "IPv6: fragment timeout 60 s: Time Exceeded code 1 only if first fragment was received (RFC 8200 4.5)", tests: []string{
		"integration.TestSoakReassemblyTimeout",
	}},
	{text: "IPv6: atomic fragments reassembled alone (RFC 6946 4)", cases: []conformance{
		replied("RFC 6946 4 atomic fragment", ping6(letters(60), 44, fragment6(58, 0, false, 1))),
		{
			name: "RFC 6946 4 atomic fragment among others of its ID", in: slices.Concat(cut6(whole6, 2, 24)[:1], [][]byte{ping6(letters(33), 44, fragment6(58, 0, false, 2))}, cut6(whole6, 2, 24)[1:]),
			whole: whole6, want: []string{"left: echo reply 2", "left: echo reply"}, counted: "delivered delivered delivered",
		},
	}},
	{text: "IPv6: overlapping fragments: drop whole datagram silently (RFC 8200 4.5)", cases: []conformance{
		replied("RFC 8200 4.5 two fragments to the router", whole6, cut6(whole6, 3, 24)...),
		replied("RFC 8200 4.5 three fragments, in reverse", whole6, reordered(cut6(whole6, 4, 24, 48), 2, 1, 0)...),
		replied("RFC 8200 4.5 a fragment twice", whole6, reordered(cut6(whole6, 5, 24, 48), 0, 1, 1, 2)...),
		ignored("RFC 8200 4.5 fragments that overlap", slices.Concat(cut6(whole6, 6, 24)[:1], cut6(whole6, 6, 16, 40)[1:])...),
		{
			name: "RFC 8200 4.5 a fragment within another", in: slices.Concat(cut6(whole6, 7, 40)[:1], cut6(whole6, 7, 16, 40)[1:]),
			whole: whole6, want: nothing, counted: "delivered delivered delivered",
		},
	}},
	{text: "IPv6: first fragment must hold the whole header chain (RFC 7112 5)", cases: []conformance{
		{
			name: "RFC 7112 5 header chain goes on in the second fragment", in: cut6(ping6(letters(60), 60, padded(58)), 8, 8),
			want: nothing, counted: "delivered transport_header",
		},
	}},
	{text: "IPv6: M-bit with length not multiple of 8: Param Problem (RFC 8200 4.5)", cases: []conformance{
		objected("RFC 8200 4.5 more follow after 20 bytes", "erroneous header at 4 quoting all", six(44, append(fragment6(17, 0, true, 9), letters(20)...), to6(testbed.Left6))...),
	}},
	{text: "IPv6: payload > 65535 after reassembly: Param Problem (RFC 8200 4.5)", cases: []conformance{
		objected("RFC 8200 4.5 beyond 65535 bytes", "erroneous header at 42 quoting all", six(44, append(fragment6(17, 0xfff8, false, 10), letters(16)...), to6(testbed.Left6))...),
	}},
}

// udp6To is udp6 with the checksum for another destination.
func udp6To(to string) []byte {
	b := udp6()
	b[6], b[7] = 0, 0
	pseudo := slices.Concat(address(testbed.Red6), address(to), []byte{0, 0, 0, 12, 0, 0, 0, 17}, b)
	binary.BigEndian.PutUint16(b[6:], ^onesSum(pseudo))
	return b
}
