// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/integration/testbed"
)

var hopLine = regexp.MustCompile(`(?m)^ *\d+ +(\S+)`)

// traceroute returns the addresses of the hops to target, by probes of the given kind: UDP if there are no arguments.
func traceroute(t *testing.T, from *testbed.Namespace, target string, args ...string) []string {
	t.Helper()
	args = append([]string{"-n", "-q", "1", "-w", "3", "-m", "8"}, args...)
	out := from.Run(t, "traceroute", append(args, target)...)
	var hops []string
	for _, m := range hopLine.FindAllStringSubmatch(out, -1) {
		hops = append(hops, m[1])
	}
	if t.Failed() {
		t.Log(out)
	}
	return hops
}

// answerAll lets the kernel of a namespace send as many ICMP errors as it is asked for: traceroute probes several hops at
// once, most of them past the target.
func answerAll(namespaces ...*testbed.Namespace) {
	for _, n := range namespaces {
		n.Sysctl("net/ipv4/icmp_ratelimit", "0")
		n.Sysctl("net/ipv6/icmp/ratelimit", "0")
	}
}

// probes are the kinds of traceroute(8).
var probes = map[string][]string{
	"udp":  nil,
	"icmp": {"-I"},
	"tcp":  {"-T", "-p", "80"},
}

func TestTraceroute(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "traceroute")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	answerAll(r.Red, r.Blue)
	for name, args := range probes {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				target string
				want   []string
			}{
				{testbed.Blue4, []string{testbed.Left4, testbed.Blue4}},
				{testbed.Blue6, []string{testbed.Left6, testbed.Blue6}},
				{testbed.Left4, []string{testbed.Left4}},
				{testbed.Left6, []string{testbed.Left6}},
				{testbed.Right4, []string{testbed.Right4}},
			} {
				if diff := cmp.Diff(test.want, traceroute(t, r.Red, test.target, args...)); diff != "" {
					t.Errorf("hops to %s (-want +got):\n%s", test.target, diff)
				}
			}
		})
	}
}
