// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
)

// cable joins two instances: the first gets the first address of each subnet, the second the second. Both interfaces are
// named "cable", or after the other instance where that name is taken.
func cable(t *testing.T, bed *testbed.Bed, a, b *netstack.Instance, subnet4, subnet6 string, mtu int) {
	t.Helper()
	end := func(i, other *netstack.Instance, n int) instances.CableEnd {
		name := "cable"
		if _, taken := i.Interface(name); taken {
			name = "to-" + other.Name()
		}
		e := instances.CableEnd{Instance: i, InterfaceConfig: netstack.InterfaceConfig{Name: name, MTU: mtu}}
		for _, subnet := range testbed.Prefixes(subnet4, subnet6) {
			address := subnet.Addr()
			for range n {
				address = address.Next()
			}
			e.Addresses = append(e.Addresses, netip.PrefixFrom(address, subnet.Bits()))
		}
		return e
	}
	bed.Cable(end(a, b, 1), end(b, a, 2))
}

// routes adds routes by an interface.
func routes(t *testing.T, i *netstack.Instance, by string, destinations ...string) {
	t.Helper()
	for _, p := range testbed.Prefixes(destinations...) {
		if err := i.AddRoute(netstack.Route{Destination: p, Interface: by}); err != nil {
			t.Fatal(err)
		}
	}
}

// exercise sends all kinds of traffic along a chain.
func exercise(t *testing.T, red, blue *testbed.Namespace, hops4, hops6 []string) {
	t.Helper()
	server := startIperf(t, blue)
	for _, hops := range [][]string{hops4, hops6} {
		target := hops[len(hops)-1]
		pingSizes(t, red, target, 0, 56, 1472, 8000, largestPing6)
		for name, args := range probes {
			if diff := cmp.Diff(hops, traceroute(t, red, target, args...)); diff != "" {
				t.Errorf("hops to %s by %s (-want +got):\n%s", target, name, diff)
			}
		}
		address := net.JoinHostPort(target, "80")
		serveFiles(t, blue.Listen(t, "tcp", address))
		curl(t, red, address, mediumFile)
		server.tcp(t, red, target)
		server.tcp(t, red, target, "-R")
		server.udp(t, red, target)
	}
}

// Three instances of one process, joined in memory:
//
//	red ---- a ==== b ==== c ---- blue
func TestChainOfCables(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping", "traceroute", "curl", "iperf3")
	bed := testbed.New(t)
	a, b, c := bed.Instance(netstack.Config{Name: "a"}), bed.Instance(netstack.Config{Name: "b"}), bed.Instance(netstack.Config{Name: "c"})
	red, blue := bed.Namespace("red"), bed.Namespace("blue")
	bed.Link(red, a, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.1.2/24", "fd00:1::2/64"), Router: testbed.Prefixes("10.0.1.1/24", "fd00:1::1/64"), Routes: testbed.Everything,
	})
	bed.Link(blue, c, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.2.2/24", "fd00:2::2/64"), Router: testbed.Prefixes("10.0.2.1/24", "fd00:2::1/64"), Routes: testbed.Everything,
	})
	cable(t, bed, a, b, "10.0.8.0/30", "fd00:8::/64", 0)
	cable(t, bed, b, c, "10.0.9.0/30", "fd00:9::/64", 0)
	routes(t, a, "cable", "0.0.0.0/0", "::/0")
	routes(t, b, "cable", "10.0.1.0/24", "fd00:1::/64")
	routes(t, b, "to-c", "10.0.2.0/24", "fd00:2::/64")
	routes(t, c, "cable", "0.0.0.0/0", "::/0")

	answerAll(red, blue)
	exercise(t, red, blue,
		[]string{"10.0.1.1", "10.0.8.2", "10.0.9.2", "10.0.2.2"},
		[]string{"fd00:1::1", "fd00:8::2", "fd00:9::2", "fd00:2::2"})
	for _, i := range []*netstack.Instance{a, b, c} {
		if s := i.Stats(); s.Drops["device_full"] != 0 {
			t.Logf("%s: the cable was full %d times", i.Name(), s.Drops["device_full"])
		}
	}
	// A host stack at the end of the chain.
	l, err := c.Listen("tcp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	serveFiles(t, l)
	curl(t, red, "10.0.9.2:8080", mediumFile)
	curl(t, red, "[fd00:2::1]:8080", mediumFile)
}

// Two instances with a kernel that routes between them:
//
//	red ---- a ---- green (kernel) ---- b ---- blue
func TestChainThroughKernel(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping", "traceroute", "curl", "iperf3")
	bed := testbed.New(t)
	a, b := bed.Instance(netstack.Config{Name: "a"}), bed.Instance(netstack.Config{Name: "b"})
	red, green, blue := bed.Namespace("red"), bed.Namespace("green"), bed.Namespace("blue")
	bed.Link(red, a, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.1.2/24", "fd00:1::2/64"), Router: testbed.Prefixes("10.0.1.1/24", "fd00:1::1/64"), Routes: testbed.Everything,
	})
	bed.Link(green, a, testbed.LinkConfig{
		Name: "green-a",
		Host: testbed.Prefixes("10.0.8.2/24", "fd00:8::2/64"), Router: testbed.Prefixes("10.0.8.1/24", "fd00:8::1/64"),
		Routes: testbed.Prefixes("10.0.1.0/24", "fd00:1::/64"),
	})
	bed.Link(green, b, testbed.LinkConfig{
		Name: "green-b",
		Host: testbed.Prefixes("10.0.9.1/24", "fd00:9::1/64"), Router: testbed.Prefixes("10.0.9.2/24", "fd00:9::2/64"),
		Routes: testbed.Prefixes("10.0.2.0/24", "fd00:2::/64"),
	})
	bed.Link(blue, b, testbed.LinkConfig{
		Host: testbed.Prefixes("10.0.2.2/24", "fd00:2::2/64"), Router: testbed.Prefixes("10.0.2.1/24", "fd00:2::1/64"), Routes: testbed.Everything,
	})
	green.Forward()
	routes(t, a, "green-a", "0.0.0.0/0", "::/0")
	routes(t, b, "green-b", "0.0.0.0/0", "::/0")

	answerAll(red, green, blue)
	exercise(t, red, blue,
		[]string{"10.0.1.1", "10.0.8.2", "10.0.9.2", "10.0.2.2"},
		[]string{"fd00:1::1", "fd00:8::2", "fd00:9::2", "fd00:2::2"})
}

// Two routers that know nothing of each other, in one process and with the same addresses.
func TestInstancesAreIndependent(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	bed := testbed.New(t)
	for _, name := range []string{"one", "two"} {
		i := bed.Instance(netstack.Config{Name: name})
		red, blue := bed.Namespace("red "+name), bed.Namespace("blue "+name)
		bed.Link(red, i, testbed.LinkConfig{Host: testbed.Prefixes("10.0.1.2/24"), Router: testbed.Prefixes("10.0.1.1/24"), Routes: testbed.Everything})
		bed.Link(blue, i, testbed.LinkConfig{Host: testbed.Prefixes("10.0.2.2/24"), Router: testbed.Prefixes("10.0.2.1/24"), Routes: testbed.Everything})
		red.Run(t, "ping", "-n", "-c", "1", "-W", "5", "10.0.2.2")
		testbed.Eventually(t, func() string {
			if s := i.Stats(); s.Forwarded != 2 {
				return fmt.Sprintf("%s: %+v", name, s)
			}
			return ""
		})
	}
}
