// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"fmt"
	"testing"
)

// errorsOf sends packets that are all worth an error, and returns how many the left host has got, in words: all, some, none.
func errorsOf(t *testing.T, r *router, n int, packet []byte) string {
	t.Helper()
	for range n {
		r.send(t, left, packet)
	}
	r.settle(t)
	got := 0
	for _, p := range r.drain(t, left) {
		if icmpErrorAbout(p, packet) != "" {
			got++
		}
	}
	t.Logf("%d errors about %d packets", got, n)
	switch got {
	case 0:
		return "none"
	case n:
		return "all"
	}
	return "some"
}

// limited sends many packets, then one of another kind: the many get some errors, the one gets its own all the same.
func limited(name string, many, other []byte) conformance {
	const flood = 500
	return conformance{
		name: name, router: "limits", want: []string{"left: some errors about many packets, all about the other"},
		converse: func(t *testing.T, r *router) []string {
			return []string{fmt.Sprintf("left: %s errors about many packets, %s about the other", errorsOf(t, r, flood, many), errorsOf(t, r, 1, other))}
		},
	}
}

var requirementsLimits = []requirement{
	{text: "ICMP errors are rate limited, by kind and by receiver (RFC 4443 2.4 f, RFC 1812 4.3.2.8)", cases: []conformance{
		limited("RFC 1812 4.3.2.8 many to one host, one to another", ipv4(all(ttl(1), from4("10.0.1.81"))), ipv4(all(ttl(1), from4("10.0.1.82")))),
		limited("RFC 1812 4.3.2.8 many of one kind, one of another", ipv4(all(ttl(1), from4("10.0.1.83"))), ipv4(all(from4("10.0.1.83"), size(1401), fragment(dontFragment, 0)))),
		limited("RFC 4443 2.4 many to one host, one to another", udp(hopLimit(1), from6("fd00:9:1::1"))[0], udp(hopLimit(1), from6("fd00:9:2::1"))[0]),
		limited("RFC 4443 2.4 many of one kind, one of another", udp(hopLimit(1), from6("fd00:9:3::1"))[0], big(1401, from6("fd00:9:3::1"))[0]),
	}},
}
