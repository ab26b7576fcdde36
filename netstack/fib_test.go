// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// Every route that does not make sense is refused with an error that can be told apart, and leaves the table as it was.
func TestAddRouteErrors(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	before := routes(r.Instance)
	p := netip.MustParsePrefix
	for name, c := range map[string]struct {
		route netstack.Route
		want  error
	}{
		"no prefix":           {netstack.Route{Interface: "a"}, netstack.ErrInvalid},
		"no interface":        {netstack.Route{Destination: p("10.5.0.0/16")}, netstack.ErrNotFound},
		"unknown interface":   {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "z"}, netstack.ErrNotFound},
		"by loopback":         {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "lo"}, netstack.ErrNotFound},
		"blackhole with way":  {netstack.Route{Destination: p("10.5.0.0/16"), Type: netstack.Blackhole, Interface: "a"}, netstack.ErrInvalid},
		"multicast":           {netstack.Route{Destination: p("239.1.0.0/16"), Interface: "a"}, netstack.ErrInvalid},
		"multicast 6":         {netstack.Route{Destination: p("ff02::/16"), Interface: "a"}, netstack.ErrInvalid},
		"unknown type":        {netstack.Route{Destination: p("10.5.0.0/16"), Type: 9, Interface: "a"}, netstack.ErrInvalid},
		"gateway's family":    {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "a", Gateway: left6}, netstack.ErrInvalid},
		"source's family":     {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "a", Source: a6}, netstack.ErrInvalid},
		"source not ours":     {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "a", Source: left4}, netstack.ErrInvalid},
		"MTU too small":       {netstack.Route{Destination: p("2001:db8::/32"), Interface: "a", MTU: 1279}, netstack.ErrInvalid},
		"MTU too small for 4": {netstack.Route{Destination: p("10.5.0.0/16"), Interface: "a", MTU: 67}, netstack.ErrInvalid},
	} {
		if err := r.AddRoute(c.route); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	good := netstack.Route{Destination: p("10.5.1.2/16"), Interface: "a"}
	if err := r.AddRoutes(good, netstack.Route{Destination: p("10.5.0.0/16"), Interface: "b"}); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("twice in one call: %v", err)
	}
	if after := routes(r.Instance); !slices.Equal(before, after) {
		t.Errorf("refused routes left a trace: %v, before %v", after, before)
	}
	if err := r.AddRoute(good); err != nil {
		t.Fatal(err)
	}
	if err := r.AddRoute(good); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("twice: %v", err)
	}
	if err := r.RemoveRoute(good.Destination, 0); err != nil {
		t.Error(err)
	}
	if err := r.RemoveRoute(good.Destination, 0); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if after := routes(r.Instance); !slices.Equal(before, after) {
		t.Errorf("%v, before %v", after, before)
	}
}

func routes(i *netstack.Instance) []string {
	var list []string
	for r := range i.Routes() {
		list = append(list, r.Destination.String()+" "+r.Type.String()+" "+r.Interface)
	}
	slices.Sort(list)
	return list
}

// A static route hides the connected one of the same prefix until it is removed; a local address hides both.
func TestRoutePrecedence(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	subnet := netip.MustParsePrefix("10.0.2.0/24")
	if err := r.AddRoute(netstack.Route{Destination: subnet, Type: netstack.Blackhole}); err != nil {
		t.Fatal(err)
	}
	if err := r.AddRoute(netstack.Route{Destination: netip.PrefixFrom(b4, 32), Type: netstack.Blackhole}); err != nil {
		t.Fatal(err)
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	if s := r.settled(1); s.Drops["blackhole"] != 1 {
		t.Errorf("stats: %+v", s)
	}
	r.left.send(echoRequest(t, left4, b4))
	if typ, _, _, _ := icmpOf(r.left.receive()); typ != 0 {
		t.Errorf("local address: type %d", typ)
	}
	if err := r.RemoveRoute(subnet, 0); err != nil {
		t.Fatal(err)
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
}

// A route's MTU counts if it is smaller than the interface's.
func TestRouteMTU(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("192.0.2.0/24"), Interface: "b", MTU: 900}); err != nil {
		t.Fatal(err)
	}
	b := udp(t, left4, netip.MustParseAddr("192.0.2.1"), 64, make([]byte, 1000))
	setDF(b)
	r.left.send(b)
	if typ, code, rest, _ := icmpOf(r.left.receive()); typ != 3 || code != 4 || rest != [4]byte{0, 0, 900 >> 8, 900 & 255} {
		t.Errorf("type %d code %d rest %v", typ, code, rest)
	}
}

// The way of each packet is that of a slow model: the longest of all matching prefixes.
func TestLongestPrefixMatch(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := netip.AddrFrom4([4]byte{20, byte(rapid.IntRange(0, 3).Draw(t, "b")), byte(rapid.IntRange(0, 3).Draw(t, "c")), byte(rapid.IntRange(0, 3).Draw(t, "d"))})
			return netip.PrefixFrom(a, rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
		})
		table := rapid.SliceOfDistinct(prefix, func(p netip.Prefix) netip.Prefix { return p }).Draw(t, "table")
		kinds := map[netip.Prefix]netstack.RouteType{}
		for _, p := range table {
			kinds[p] = netstack.RouteType(rapid.IntRange(1, 3).Draw(t, "kind"))
			if err := r.AddRoute(netstack.Route{Destination: p, Type: kinds[p]}); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			for _, p := range table {
				if err := r.RemoveRoute(p, 0); err != nil {
					t.Fatal(err)
				}
			}
		}()
		dst := prefix.Draw(t, "dst").Addr()
		want := "no_route"
		for bits := 32; bits >= 8 && want == "no_route"; bits-- {
			if kind, ok := kinds[netip.PrefixFrom(dst, bits).Masked()]; ok {
				want = map[netstack.RouteType]string{netstack.Blackhole: "blackhole", netstack.Unreachable: "unreachable", netstack.Prohibit: "prohibited"}[kind]
			}
		}
		before := r.Stats()
		r.left.send(udp(r.t, left4, dst, 64, nil))
		after := r.settled(before.Received + 1)
		if after.Drops[want] != before.Drops[want]+1 {
			t.Fatalf("to %v: want %s; %v, before %v", dst, want, after.Drops, before.Drops)
		}
	})
}

// Interfaces that do not make sense are refused, all problems at once, and the device stays the caller's.
func TestAddInterfaceErrors(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"c", ""}})
	defer near.Close()
	defer far.Close()
	for name, c := range map[string]struct {
		cfg  netstack.InterfaceConfig
		want error
	}{
		"name taken":        {netstack.InterfaceConfig{Name: "a"}, netstack.ErrExists},
		"name too long":     {netstack.InterfaceConfig{Name: "a-name-of-16-byte"}, netstack.ErrInvalid},
		"MTU 67":            {netstack.InterfaceConfig{MTU: 67}, netstack.ErrInvalid},
		"MTU 65536":         {netstack.InterfaceConfig{MTU: 65536}, netstack.ErrInvalid},
		"MTU 1279 with v6":  {netstack.InterfaceConfig{MTU: 1279, Addresses: prefixes("fd00:3::1/64")}, netstack.ErrInvalid},
		"no prefix":         {netstack.InterfaceConfig{Addresses: []netip.Prefix{{}}}, netstack.ErrInvalid},
		"multicast":         {netstack.InterfaceConfig{Addresses: prefixes("224.0.0.1/24")}, netstack.ErrInvalid},
		"unspecified":       {netstack.InterfaceConfig{Addresses: prefixes("::/64")}, netstack.ErrInvalid},
		"mapped":            {netstack.InterfaceConfig{Addresses: prefixes("::ffff:10.0.0.1/120")}, netstack.ErrInvalid},
		"address of other":  {netstack.InterfaceConfig{Addresses: prefixes("10.0.1.1/16")}, netstack.ErrExists},
		"address twice":     {netstack.InterfaceConfig{Addresses: prefixes("10.0.9.1/24", "10.0.9.1/24")}, netstack.ErrExists},
		"loopback's own":    {netstack.InterfaceConfig{Addresses: prefixes("127.0.0.1/8")}, netstack.ErrExists},
		"all at once wrong": {netstack.InterfaceConfig{Name: "a-name-of-16-byte", MTU: 5}, netstack.ErrInvalid},
	} {
		if _, err := r.AddInterface(near, c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := r.AddInterface(nil, netstack.InterfaceConfig{Name: "c"}); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("no device: %v", err)
	}
	f, err := r.AddInterface(near, netstack.InterfaceConfig{Addresses: prefixes("10.0.3.1/24")})
	if err != nil {
		t.Fatalf("after all the refusals: %v", err)
	}
	if f.Index() != 4 { // lo, a, b
		t.Errorf("index %d: refused interfaces used some up", f.Index())
	}
}

// Two interfaces may share a subnet: the older one is its way out; when that goes the other takes over.
func TestSharedSubnet(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, third := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "c", Addresses: prefixes("10.0.2.77/24")})
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
	if err := r.b.Close(); err != nil {
		t.Fatal(err)
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	third.receive()
}

// A closed interface takes its addresses and routes with it; the name is free, the index is not used again.
func TestCloseInterface(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("192.0.2.0/24"), Interface: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := r.b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dst := range []netip.Addr{right4, b4, right6, b6, netip.MustParseAddr("192.0.2.1")} {
		src := left4
		if dst.Is6() {
			src = left6
		}
		r.left.send(udp(t, src, dst, 64, nil))
	}
	if s := r.settled(5); s.Drops["no_route"] != 5 {
		t.Errorf("stats: %+v", s)
	}
	if _, ok := r.Interface("b"); ok {
		t.Error("closed interface is still there")
	}
	again, wire := join(t, r.Instance, packet.FeatureChecksum, netstack.InterfaceConfig{Name: "b", Addresses: prefixes("10.0.2.1/24")})
	if again.Index() <= r.b.Index() {
		t.Errorf("index %d after %d", again.Index(), r.b.Index())
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	wire.receive()
}
