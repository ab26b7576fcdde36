// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import "github.com/hooknet/hooknet/integration/testbed"

// becomes is for packets that go on to the right host with other options.
func becomes(name, options string, in [][]byte) conformance {
	return conformance{name: name, in: in, want: []string{"right: forwarded with options " + options}, counted: "forwarded"}
}

// The addresses in these are 10.0.2.1 (0a000201), which is the router's on the way out, and 10.9.9.9 (0a090909).
var requirementsOptions = []requirement{
	{text: "IPv4: Record Route and Timestamp updated (RFC 1812 5.2.4.1, RFC 791 3.1)", cases: []conformance{
		becomes("RFC 791 3.1 record route", "0707080a00020100", one(options(7, 7, 4, 0, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 record route, the second", "070b0c0a0909090a00020100", one(options(7, 11, 8, 10, 9, 9, 9, 0, 0, 0, 0, 0))),
		passes("RFC 791 3.1 record route, full", one(options(7, 7, 8, 10, 9, 9, 9, 0))),
		answers("RFC 791 3.1 record route, room for half an address", "ip_option", "parameter problem at 22 quoting all", one(options(7, 9, 8, 10, 9, 9, 9, 0, 0))),
		answers("RFC 791 3.1 record route, pointer too small", "ip_option", "parameter problem at 22 quoting all", one(options(7, 7, 3, 0, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 timestamp", "44080900<now>", one(options(68, 8, 5, 0, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 timestamp with address", "440c0d010a000201<now>", one(options(68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 timestamp of this router", "440c0d030a000201<now>", one(options(68, 12, 5, 3, 10, 0, 2, 1, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 timestamp of this router's other address", "440c0d030a000101<now>", one(options(68, 12, 5, 3, 10, 0, 1, 1, 0, 0, 0, 0))),
		passes("RFC 791 3.1 timestamp of another router", one(options(68, 12, 5, 3, 10, 9, 9, 9, 0, 0, 0, 0))),
		becomes("RFC 791 3.1 timestamp, full", "4408091000000001", one(options(68, 8, 9, 0, 0, 0, 0, 1))),
		answers("RFC 791 3.1 timestamp, full for the sixteenth time", "ip_option", "parameter problem at 23 quoting all", one(options(68, 8, 9, 0xf0, 0, 0, 0, 1))),
		silently("RFC 7126 4.3 record route and a source route", "source_route", one(options(7, 7, 4, 0, 0, 0, 0, 131, 7, 4, 10, 0, 2, 9, 0, 0))),
		{
			name: "RFC 791 3.1 record route, TTL 1", in: one(ttl(1), options(7, 7, 4, 0, 0, 0, 0, 0)),
			want: []string{"left: time exceeded quoting all"}, counted: "ttl_expired",
		},
		{
			name: "RFC 791 3.1 record route, in fragments", in: one(options(7, 7, 4, 0, 0, 0, 0, 0), size(1500), id(0x1234)), counted: "forwarded split",
			want: []string{"right: fragment 0+1368 more options 0707080a00020100", "right: fragment 1368+104"},
		},
	}},
	{text: "Source validation, strict and loose (RFC 3704 2.2 and 2.4, RFC 1812 5.3.8)", cases: []conformance{
		{name: "RFC 3704 2.2 strict, from this side", router: "strict", in: one(), want: passed, counted: "forwarded"},
		{name: "RFC 3704 2.2 strict, from the other side", router: "strict", in: one(from4("10.0.2.98")), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.2 strict, from nowhere", router: "strict", in: one(from4("192.0.2.1")), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.2 strict, to the router", router: "strict", in: one(from4("10.0.2.98"), to4(testbed.Left4), icmp(8, 0)), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.2 strict, TTL 1", router: "strict", in: one(from4("192.0.2.1"), ttl(1)), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.2 strict, from this side, IPv6", router: "strict", in: udp(), want: passed, counted: "forwarded"},
		{name: "RFC 3704 2.2 strict, from the other side, IPv6", router: "strict", in: udp(from6("fd00:2::98")), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.4 loose, from the other side", router: "loose", in: one(from4("10.0.2.98")), want: passed, counted: "forwarded"},
		{name: "RFC 3704 2.4 loose, from nowhere", router: "loose", in: one(from4("192.0.2.1")), want: nothing, counted: "reverse_path"},
		{name: "RFC 5635 3 loose, from a black hole", router: "loose", in: one(from4("198.51.100.129")), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.4 loose, from nowhere, IPv6", router: "loose", in: udp(from6("2001:db8:9::1")), want: nothing, counted: "reverse_path"},
		{name: "RFC 3704 2.1 off, from nowhere", in: one(from4("192.0.2.1")), want: passed, counted: "forwarded"},
	}},
}
