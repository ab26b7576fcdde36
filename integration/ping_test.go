// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hooknet/hooknet/integration/testbed"
)

// The largest echo request of each family: 65535 bytes of IPv4 packet with 28 of headers in it, 65535 bytes of IPv6 payload
// with 8 of them ICMPv6.
const (
	largestPing4 = 65507
	largestPing6 = 65527
)

// pingSizes sends one echo request of each size and wants it answered.
func pingSizes(t *testing.T, from *testbed.Namespace, target string, sizes ...int) {
	t.Helper()
	for _, size := range sizes {
		if size > largestPing4 && !strings.Contains(target, ":") {
			size = largestPing4
		}
		out := from.Run(t, "ping", "-n", "-c", "1", "-W", "5", "-s", fmt.Sprint(size), target)
		if want := fmt.Sprintf("%d bytes from %s", size+8, target); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestPing(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, target := range []string{testbed.Blue4, testbed.Blue6} {
		pingSizes(t, r.Red, target, 0, 56, 1472, 8000, largestPing6)
	}
	// Nothing of this has to be cut by the router: the kernel's fragments fit.
	if s := r.Instance.Stats(); s.Made != 0 || s.Forwarded == 0 {
		t.Errorf("%+v", s)
	}
}

// A hop takes one from the TTL, and leaves the rest of the header alone.
func TestPingTTL(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, target := range []string{testbed.Blue4, testbed.Blue6} {
		out := r.Red.Run(t, "ping", "-n", "-c", "1", "-W", "5", target)
		if !strings.Contains(out, "ttl=63") {
			t.Errorf("no ttl=63 in\n%s", out)
		}
	}
	// Record Route shows what options meet on the way, there and back.
	out := r.Red.Run(t, "ping", "-n", "-R", "-c", "1", "-W", "5", testbed.Blue4)
	if !strings.Contains(out, testbed.Blue4) {
		t.Errorf("ping with options:\n%s", out)
	}
}

// The instance's own addresses answer: of both sides, from either.
func TestPingRouter(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, target := range []string{testbed.Left4, testbed.Left6, testbed.Right4, testbed.Right6} {
		pingSizes(t, r.Red, target, 0, 56, 1472, 8000, largestPing6)
	}
	pingSizes(t, r.Blue, testbed.Left4, 56)
	pingSizes(t, r.Blue, testbed.Left6, 56)
}

// RFC 1191, RFC 8201: what does not fit and must not be cut is answered with the MTU that is in the way, which the sender
// believes. What fits passes. Without DF the router cuts it.
func TestPathMTU(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	for _, test := range []struct {
		target, hop    string
		headers        int
		message, local string
	}{
		{testbed.Blue4, testbed.Left4, 28, "Frag needed and DF set (mtu = 1400)", "message too long, mtu=1400"},
		{testbed.Blue6, testbed.Left6, 48, "Packet too big: mtu=1400", "message too long, mtu: 1400"},
	} {
		t.Run(test.target, func(t *testing.T) {
			r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{MTU: 1400}})
			ping := func(length int) testbed.Result { // of the whole packet
				return r.Red.Try(t, "ping", "-n", "-c", "1", "-W", "5", "-M", "do", "-s", fmt.Sprint(length-test.headers), test.target)
			}
			if got := ping(1400); got.Code != 0 {
				t.Errorf("1400 bytes fit: %v", got)
			}
			got := ping(1401)
			if got.Code == 0 || !strings.Contains(got.Output, "From "+test.hop) || !strings.Contains(got.Output, test.message) {
				t.Errorf("want %q from %s: %v", test.message, test.hop, got)
			}
			// The sender's kernel has believed it and does not try again.
			if got := ping(1401); got.Code == 0 || !strings.Contains(got.Output, test.local) {
				t.Errorf("want %q: %v", test.local, got)
			}
			if s := r.Instance.Stats(); s.Drops["too_big"] != 1 {
				t.Errorf("drops: %v", s.Drops)
			}
		})
	}
}

// RFC 791: without DF, the router cuts what does not fit; also fragments that do not fit.
func TestPingFragmented(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{MTU: 1280}})
	for _, size := range []string{"1400", "1472", "8000", fmt.Sprint(largestPing4)} {
		r.Red.Run(t, "ping", "-n", "-c", "1", "-W", "5", "-M", "dont", "-s", size, testbed.Blue4)
	}
	if s := r.Instance.Stats(); s.Split == 0 || s.Made < 2*s.Split {
		t.Errorf("nothing was cut: %+v", s)
	}
	// IPv6 is cut by its sender, who has to be told first.
	r.Red.Try(t, "ping", "-n", "-c", "1", "-W", "1", "-s", "1400", testbed.Blue6)
	pingSizes(t, r.Red, testbed.Blue6, 1400, 8000, largestPing6)
}

// A destination that nobody has is answered.
func TestUnreachable(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, test := range []struct{ target, hop, message string }{
		{"192.0.2.1", testbed.Left4, "Destination Net Unreachable"},
		{"2001:db8::1", testbed.Left6, "Destination unreachable: No route"},
	} {
		got := r.Red.Try(t, "ping", "-n", "-c", "1", "-W", "5", test.target)
		if !strings.Contains(got.Output, "From "+test.hop) || !strings.Contains(got.Output, test.message) {
			t.Errorf("want %q from %s: %v", test.message, test.hop, got)
		}
	}
}

// Echo requests as fast as they go, larger than a packet: nothing is lost that the kernel gave us.
func TestPingFlood(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, target := range []string{testbed.Blue4, testbed.Blue6, testbed.Right4, testbed.Right6} {
		out := r.Red.Run(t, "ping", "-n", "-q", "-f", "-c", "500", "-s", "4000", "-W", "5", target)
		if !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s", out)
		}
	}
}
