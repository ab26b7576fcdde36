// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

const (
	off    = netstack.SourceValidationOff
	strict = netstack.SourceValidationStrict
	loose  = netstack.SourceValidationLoose
)

// validating is a router whose left interface validates sources. Behind the right one are 203.0.113.0/24 and
// 2001:db8:3::/48; 198.51.100.0/24 and 2001:db8:6::/48 are black holes; a third interface has the same subnet as the left one.
func validating(t *testing.T, mode netstack.SourceValidation) *router {
	t.Helper()
	r := newRouter(t, netstack.Config{})
	join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "c", Addresses: prefixes("10.0.1.9/24", "fd00:1::9/64", "fe80::9/64")})
	route := func(to string, kind netstack.RouteType, by string) netstack.Route {
		return netstack.Route{Destination: netip.MustParsePrefix(to), Type: kind, Interface: by}
	}
	if err := r.AddRoutes(
		route("203.0.113.0/24", netstack.Unicast, "b"), route("2001:db8:3::/48", netstack.Unicast, "b"),
		route("192.0.2.0/24", netstack.Unicast, "a"), route("2001:db8:2::/48", netstack.Unicast, "a"),
		route("198.51.100.0/24", netstack.Blackhole, ""), route("2001:db8:6::/48", netstack.Blackhole, ""),
		route("198.18.0.0/16", netstack.Unreachable, ""), route("198.19.0.0/16", netstack.Prohibit, ""),
	); err != nil {
		t.Fatal(err)
	}
	if err := r.a.SetSourceValidation(mode); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRFC3704: which sources each mode believes, for packets that are forwarded and for packets to us.
func TestRFC3704(t *testing.T) {
	const passes, unrouted = "", "reverse_path"
	for name, c := range map[string]struct {
		source             string
		off, strict, loose string
	}{
		"on link":               {"10.0.1.77", passes, passes, passes},
		"routed back":           {"192.0.2.7", passes, passes, passes},
		"behind another":        {"203.0.113.7", passes, unrouted, passes},
		"subnet of another":     {"10.0.2.77", passes, unrouted, passes},
		"no route":              {"8.8.8.8", passes, unrouted, unrouted},
		"black hole":            {"198.51.100.7", passes, unrouted, unrouted},
		"unreachable":           {"198.18.0.7", passes, unrouted, unrouted},
		"prohibited":            {"198.19.0.7", passes, unrouted, unrouted},
		"ours":                  {"10.0.1.1", "martian_source", "martian_source", "martian_source"},
		"ours elsewhere":        {"10.0.2.1", "martian_source", "martian_source", "martian_source"},
		"broadcast":             {"10.0.2.255", "martian_source", "martian_source", "martian_source"},
		"DHCP":                  {"0.0.0.0", "martian_source", "martian_source", "martian_source"},
		"on link, inet6":        {"fd00:1::77", passes, passes, passes},
		"routed back, inet6":    {"2001:db8:2::7", passes, passes, passes},
		"behind other, inet6":   {"2001:db8:3::7", passes, unrouted, passes},
		"no route, inet6":       {"2001:db8:8::8", passes, unrouted, unrouted},
		"black hole, inet6":     {"2001:db8:6::7", passes, unrouted, unrouted},
		"ours, inet6":           {"fd00:2::1", "martian_source", "martian_source", "martian_source"},
		"link-local of ours":    {"fe80::9", "martian_source", "martian_source", "martian_source"},
		"somebody's link-local": {"fe80::7", "link_local", "link_local", "link_local"},
	} {
		for mode, want := range map[netstack.SourceValidation]string{off: c.off, strict: c.strict, loose: c.loose} {
			t.Run(fmt.Sprintf("%s/%v", name, mode), func(t *testing.T) {
				r := validating(t, mode)
				src := netip.MustParseAddr(c.source)
				other, us := right4, a4
				if src.Is6() {
					other, us = right6, a6
				}
				r.left.send(udp(t, src, other, 64, []byte("forward")))
				r.left.send(echoRequest(t, src, us))
				s := r.settled(2)
				if want == passes {
					if s.Forwarded != 1 || s.Delivered == 0 || s.Drops[unrouted]+s.Drops["martian_source"] != 0 { // the answer may find no way
						t.Errorf("want it to pass: %+v", s)
					}
					return
				}
				refused := uint64(2)
				if want == "link_local" { // ping6 fe80::... is welcome
					refused = 1
				}
				if s.Drops[want] != refused || s.Forwarded != 0 {
					t.Errorf("want %d %s: %+v", refused, want, s)
				}
				if want != "link_local" && s.Made != 0 {
					t.Errorf("something was sent: %+v", s)
				}
			})
		}
	}
}

// TestRFC3704DefaultRoute: a default route is a way to everybody.
func TestRFC3704DefaultRoute(t *testing.T) {
	for _, c := range []struct {
		mode    netstack.SourceValidation
		by      string
		reverse uint64
	}{
		{strict, "a", 0},
		{strict, "b", 1},
		{loose, "a", 0},
		{loose, "b", 0},
	} {
		t.Run(fmt.Sprintf("%v by %s", c.mode, c.by), func(t *testing.T) {
			r := validating(t, c.mode)
			if err := r.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: c.by}); err != nil {
				t.Fatal(err)
			}
			r.left.send(udp(t, netip.MustParseAddr("8.8.8.8"), right4, 64, nil))
			if s := r.settled(1); s.Drops["reverse_path"] != c.reverse || s.Forwarded != 1-c.reverse {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// Packets see a change of the mode, of routes and of addresses at once.
func TestSourceValidationFollows(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	src := netip.MustParseAddr("203.0.113.7")
	n := uint64(0)
	send := func(want string) {
		t.Helper()
		before := r.Stats()
		r.left.send(udp(t, src, right4, 64, nil))
		n++
		s := r.settled(n)
		if want == "" && s.Forwarded != before.Forwarded+1 || want != "" && s.Drops[want] != before.Drops[want]+1 {
			t.Fatalf("want %q: %+v", want, s)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	send("")
	do(r.a.SetSourceValidation(strict))
	send("reverse_path")
	route := netstack.Route{Destination: netip.MustParsePrefix("203.0.113.0/24"), Interface: "a"}
	do(r.AddRoute(route))
	send("")
	do(r.RemoveRoute(route.Destination, 0))
	send("reverse_path")
	do(r.a.SetSourceValidation(off))
	send("")
	own := netip.MustParsePrefix("203.0.113.7/32")
	do(r.b.AddAddress(own))
	send("martian_source")
	do(r.b.ReplaceAddress(own.Addr(), netip.MustParsePrefix("203.0.113.8/32")))
	send("")
	do(r.b.ReplaceAddress(netip.MustParseAddr("203.0.113.8"), own))
	send("martian_source")
	do(r.b.RemoveAddress(own.Addr()))
	send("")
	do(r.b.AddAddress(own))
	do(r.b.Close())
	do(r.a.SetSourceValidation(loose))
	send("reverse_path") // not ours any more
}

// What is judged is the source that the packet goes on with: hooks see what is on the wire, and may mend it.
func TestSourceValidationComesAfterPhysicalIn(t *testing.T) {
	r := validating(t, strict)
	seen := 0
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "mend", Func: func(c *packet.Context) hooks.Verdict {
		seen++
		if c.Packet.TTL() == 50 {
			c.Packet.SetSource(left4)
		}
		return hooks.Accept
	}})
	spoofed := netip.MustParseAddr("203.0.113.7")
	r.left.send(udp(t, spoofed, right4, 64, nil))
	r.left.send(udp(t, spoofed, right4, 50, nil))
	if s := r.settled(2); seen != 2 || s.Drops["reverse_path"] != 1 || s.Forwarded != 1 {
		t.Errorf("seen %d, stats: %+v", seen, s)
	}
}

func TestSourceValidationIsChecked(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.a.SetSourceValidation(3); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("SetSourceValidation(3): %v", err)
	}
	near, far := tun.Pair(tun.PairConfig{})
	defer far.Close()
	defer near.Close()
	if _, err := r.AddInterface(near, netstack.InterfaceConfig{Name: "x", SourceValidation: 9}); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("AddInterface: %v", err)
	}
	if got := r.a.SourceValidation(); got != off {
		t.Errorf("default is %v", got)
	}
	for mode, want := range map[netstack.SourceValidation]string{off: "off", strict: "strict", loose: "loose", 7: "source validation 7"} {
		if mode.String() != want {
			t.Errorf("%d is called %q, want %q", mode, mode, want)
		}
	}
}

// RFC 7126 sections 4.3 and 4.4: dropped unless the interface lets them pass, and then not processed.
func TestRFC7126SourceRoute(t *testing.T) {
	for name, option := range map[string]layers.IPv4Option{
		"loose":  {OptionType: 131, OptionLength: 7, OptionData: []byte{4, 203, 0, 113, 9}},
		"strict": {OptionType: 137, OptionLength: 7, OptionData: []byte{4, 203, 0, 113, 9}},
	} {
		for _, pass := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/pass=%v", name, pass), func(t *testing.T) {
				r := newRouter(t, netstack.Config{})
				_, from := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "c", Addresses: prefixes("10.0.3.1/24"), PassSourceRoutes: pass})
				sent := optioned(t, netip.MustParseAddr("10.0.3.2"), right4, 64, option)
				from.send(sent)
				if !pass {
					if s := r.settled(1); s.Drops["source_route"] != 1 || s.Made != 0 {
						t.Errorf("stats: %+v", s)
					}
					return
				}
				got := r.right.receive()
				if got.Destination() != right4 || string(got.Bytes()[20:]) != string(sent[20:]) {
					t.Errorf("arrived as % x, sent % x", got.Bytes(), sent)
				}
			})
		}
	}
}
