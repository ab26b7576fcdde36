// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// thirdInterface adds an interface c with 10.0.3.1/24 and fd00:3::1/64.
func thirdInterface(t *testing.T, r *router) (*netstack.Interface, *wire) {
	t.Helper()
	return join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "c", Addresses: prefixes("10.0.3.1/24", "fd00:3::1/64")})
}

// Of several routes to one destination the one with the lowest metric is in force; when it is removed, or its interface goes
// down or away, the next one is, and when it comes back it is again.
func TestRouteMetric(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	c, third := thirdInterface(t, r)
	for _, destination := range []netip.Prefix{prefix("192.0.2.0/24"), prefix("2001:db8:1::/48")} {
		must(t, r.AddRoutes(
			netstack.Route{Destination: destination, Type: netstack.Blackhole, Metric: 1 << 31},
			netstack.Route{Destination: destination, Interface: "c", Metric: 20},
			netstack.Route{Destination: destination, Interface: "b", Metric: 10}))
	}
	goesBy := func(what string, wire *wire) {
		t.Helper()
		t.Log(what)
		before := r.Stats()
		r.left.send(udp(t, left4, netip.MustParseAddr("192.0.2.7"), 64, nil))
		r.left.send(udp(t, left6, netip.MustParseAddr("2001:db8:1::7"), 64, nil))
		if wire == nil {
			if s := r.settled(before.Received + 2); s.Drops["blackhole"] != before.Drops["blackhole"]+2 {
				t.Errorf("%s: %+v", what, s)
			}
			return
		}
		for range 2 {
			wire.receive()
		}
	}
	metric := func(want uint32) {
		t.Helper()
		for route := range r.Routes() {
			if route.Destination == prefix("192.0.2.0/24") && route.Metric != want {
				t.Errorf("metric %d in force, want %d", route.Metric, want)
			}
		}
	}
	goesBy("lowest metric", r.right)
	metric(10)
	must(t, r.b.SetUp(false))
	goesBy("b down", third)
	metric(20)
	must(t, r.b.SetUp(true))
	goesBy("b up", r.right)
	must(t, r.RemoveRoute(prefix("192.0.2.0/24"), 10))
	must(t, r.RemoveRoute(prefix("2001:db8:1::/48"), 10))
	goesBy("removed", third)
	must(t, c.Close())
	goesBy("c closed", nil)
	metric(1 << 31)
	for _, gone := range []uint32{10, 20} {
		if err := r.RemoveRoute(prefix("192.0.2.0/24"), gone); !errors.Is(err, netstack.ErrNotFound) || !strings.Contains(err.Error(), "metric") {
			t.Errorf("metric %d: %v", gone, err)
		}
	}
}

// A connected subnet counts as a route of metric 0, behind one of AddRoute.
func TestRouteMetricAndConnectedSubnet(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, third := thirdInterface(t, r)
	subnet := prefix("10.0.2.0/24")
	must(t, r.AddRoute(netstack.Route{Destination: subnet, Interface: "c", Metric: 1}))
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
	must(t, r.AddRoute(netstack.Route{Destination: subnet, Interface: "c"}))
	r.left.send(udp(t, left4, right4, 64, nil))
	third.receive()
	must(t, r.RemoveRoute(subnet, 0))
	must(t, r.b.SetUp(false))
	r.left.send(udp(t, left4, right4, 64, nil))
	third.receive()
}

// Bad rows are named, by their place where there are several, and nothing of the others stays.
func TestAddRoutesNamesTheRow(t *testing.T) {
	r := newRouter(t, netstack.Config{Budget: netstack.Budget{Routes: 3}})
	before := routes(r.Instance)
	good := netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "b"}
	for name, c := range map[string]struct {
		second netstack.Route
		want   error
		text   string
	}{
		"twice":   {good, netstack.ErrExists, "192.0.2.0/24 (row 2 of 2): already there: a route to it with metric 0"},
		"invalid": {netstack.Route{Destination: prefix("192.0.3.0/24"), Interface: "z"}, netstack.ErrNotFound, `192.0.3.0/24 (row 2 of 2): not found: no interface "z" to route by`},
	} {
		err := r.AddRoutes(good, c.second)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, third := good, good
	other.Metric, third.Metric = 1, 2
	if err := r.AddRoutes(good, other, third, netstack.Route{Destination: prefix("192.0.3.0/24"), Interface: "b"}); !errors.Is(err, netstack.ErrBudget) {
		t.Errorf("beyond the budget: %v", err)
	}
	if diff := cmp.Diff(before, routes(r.Instance)); diff != "" {
		t.Errorf("refused rows left a trace (-before +after):\n%s", diff)
	}
	must(t, r.AddRoutes(good, other, third))
	must(t, r.ReplaceRoute(good)) // takes no more of the budget
	must(t, r.RemoveRoute(good.Destination, 1))
	must(t, r.AddRoute(other))
}

// ReplaceRoute adds, and replaces what has the same prefix and metric only.
func TestReplaceRoute(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, third := thirdInterface(t, r)
	route := netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "b", Metric: 5}
	send := func() { r.left.send(udp(t, left4, netip.MustParseAddr("192.0.2.1"), 64, nil)) }
	must(t, r.ReplaceRoute(route))
	send()
	r.right.receive()
	route.Interface = "c"
	must(t, r.ReplaceRoute(route))
	send()
	third.receive()
	route.Interface, route.Metric = "b", 6
	must(t, r.ReplaceRoute(route))
	send()
	third.receive()
	route.Interface = "z"
	if err := r.ReplaceRoute(route); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("unknown interface: %v", err)
	}
	must(t, r.RemoveRoute(route.Destination, 5))
	send()
	r.right.receive()
}

// While routes come, go and are replaced, every packet leaves by one of the ways that some table of that time had, and none
// is lost.
func TestRouteChangeUnderLoad(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, third := thirdInterface(t, r)
	must(t, r.AddRoute(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "b", Metric: 9}))
	const packets, flows = 20000, 64
	stop := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		rng := rand.New(rand.NewPCG(1, 2))
		for {
			select {
			case <-stop:
				return
			default:
			}
			route := netstack.Route{Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.IntN(flows))}), 24+rng.IntN(9)), Metric: uint32(rng.IntN(3)), Interface: "b"}
			if rng.IntN(2) == 0 {
				route.Interface = "c"
			}
			switch rng.IntN(3) {
			case 0:
				_ = r.AddRoute(route) // there may be one
			case 1:
				must(t, r.ReplaceRoute(route))
			case 2:
				_ = r.RemoveRoute(route.Destination, route.Metric)
			}
			runtime.Gosched()
		}
	})
	got := make([]int, packets)
	deadline := time.Now().Add(25 * time.Second)
	drain := func(w *wire) (n int) {
		for {
			select {
			case p := <-w.seen:
				if reason := p.Parse(); reason != hooks.ReasonNone {
					t.Fatal(packet.ReasonName(reason))
				}
				got[binary.BigEndian.Uint32(p.Transport()[8:])]++
				n++
			default:
				return n
			}
		}
	}
	arrived := 0
	for n := range packets {
		payload := binary.BigEndian.AppendUint32(nil, uint32(n))
		r.left.send(udp(t, left4, netip.AddrFrom4([4]byte{198, 51, 100, byte(n % flows)}), 64, payload))
		for arrived += drain(r.right) + drain(third); n-arrived > 50; arrived += drain(r.right) + drain(third) { // no queue overflows
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d packets arrived; %+v", arrived, n, r.Stats())
			}
			runtime.Gosched()
		}
	}
	for ; arrived < packets && time.Now().Before(deadline); arrived += drain(r.right) + drain(third) {
		runtime.Gosched()
	}
	close(stop)
	changes.Wait()
	for n, times := range got {
		if times != 1 {
			t.Fatalf("packet %d arrived %d times; %+v", n, times, r.Stats())
		}
	}
	if s := r.Stats(); len(s.Drops) != 0 || s.Forwarded != packets {
		t.Errorf("%+v", s)
	}
}

// A route that has changed counts for the next batch, also for destinations that a worker has just looked up, in tables
// small and large.
func TestRouteChangeIsNotCached(t *testing.T) {
	for name, filler := range map[string]int{"small table": 0, "large table": 2000} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			_, third := thirdInterface(t, r)
			var table []netstack.Route
			for k := range filler {
				table = append(table, netstack.Route{Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(k >> 8), byte(k), 0}), 24), Interface: "b"},
					netstack.Route{Destination: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(k >> 8), byte(k)}), 32), Interface: "b"})
			}
			must(t, r.AddRoutes(table...))
			ways := []*wire{r.right, third}
			for n := range 20 {
				name := []string{"b", "c"}[n%2]
				must(t, r.ReplaceRoute(netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: name}))
				must(t, r.ReplaceRoute(netstack.Route{Destination: prefix("2001:db8::/64"), Interface: name}))
				for range 2 {
					r.left.send(udp(t, left4, netip.MustParseAddr("192.0.2.1"), 64, nil))
					ways[n%2].receive()
					r.left.send(udp(t, left6, netip.MustParseAddr("2001:db8::1"), 64, nil))
					ways[n%2].receive()
				}
			}
			must(t, r.RemoveRoute(prefix("192.0.2.0/24"), 0))
			r.left.send(udp(t, left4, netip.MustParseAddr("192.0.2.1"), 64, nil))
			if typ, code, _, _ := icmpOf(r.left.receive()); typ != 3 || code != 0 {
				t.Errorf("type %d code %d", typ, code)
			}
		})
	}
}
