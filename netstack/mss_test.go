// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// syn builds a segment of a TCP handshake that announces a maximum segment size.
func syn(t *testing.T, src, dst netip.Addr, ack bool, mss uint16) []byte {
	t.Helper()
	flags := map[bool]string{false: "S", true: "SA"}[ack]
	return segment(t, netip.AddrPortFrom(src, 1234), netip.AddrPortFrom(dst, 80), flags, 1, 0, 0, layers.TCPOption{
		OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, mss),
	})
}

// TestRFC4459ClampMSS: what a handshake may announce is what fits the way in, the way out and the route back.
func TestRFC4459ClampMSS(t *testing.T) {
	for name, c := range map[string]struct {
		clampIn, clampOut bool
		in, out           int // MTUs
		route, back       int // MTUs of the routes, 0: none
		mss               uint16
		want4, want6      uint16
	}{
		"off":                   {in: 1500, out: 1400, mss: 1460, want4: 1460, want6: 1460},
		"way out":               {clampOut: true, in: 1500, out: 1400, mss: 1460, want4: 1360, want6: 1340},
		"way out, set on in":    {clampIn: true, in: 1500, out: 1400, mss: 1460, want4: 1360, want6: 1340},
		"way in":                {clampOut: true, in: 1400, out: 1500, mss: 1460, want4: 1360, want6: 1340},
		"both":                  {clampIn: true, clampOut: true, in: 1400, out: 1300, mss: 1460, want4: 1260, want6: 1240},
		"route":                 {clampIn: true, in: 1500, out: 1500, route: 1350, mss: 1460, want4: 1310, want6: 1290},
		"route back":            {clampIn: true, in: 1500, out: 1500, back: 1350, mss: 1460, want4: 1310, want6: 1290},
		"nothing to lower":      {clampIn: true, in: 1500, out: 1400, mss: 1200, want4: 1200, want6: 1200},
		"large MTUs":            {clampIn: true, in: 65535, out: 65535, mss: 65535, want4: 65495, want6: 65475},
		"never raised":          {clampIn: true, in: 9000, out: 9000, mss: 1460, want4: 1460, want6: 1460},
		"the least MTU of IPv6": {clampIn: true, in: 1500, out: 1280, mss: 1460, want4: 1240, want6: 1220},
	} {
		for family, src := range map[string]netip.Addr{"inet": left4, "inet6": left6} {
			for _, ack := range []bool{false, true} {
				t.Run(name+"/"+family, func(t *testing.T) {
					inst := newInstance(t, netstack.Config{})
					_, left := join(t, inst, offloads, netstack.InterfaceConfig{Name: "a", MTU: c.in, Addresses: prefixes("10.0.1.1/24", "fd00:1::1/64"), ClampMSS: c.clampIn})
					_, right := join(t, inst, offloads, netstack.InterfaceConfig{Name: "b", MTU: c.out, Addresses: prefixes("10.0.2.1/24", "fd00:2::1/64"), ClampMSS: c.clampOut})
					dst, want := right4, c.want4
					if src.Is6() {
						dst, want = right6, c.want6
					}
					for by, r := range map[string]netstack.Route{
						"b": {Destination: netip.PrefixFrom(dst, dst.BitLen()), MTU: c.route},
						"a": {Destination: netip.PrefixFrom(src, src.BitLen()), MTU: c.back},
					} {
						if r.Interface = by; r.MTU == 0 {
							continue
						}
						if err := inst.AddRoute(r); err != nil {
							t.Fatal(err)
						}
					}
					left.send(syn(t, src, dst, ack, c.mss))
					got := right.receive()
					if mss := binary.BigEndian.Uint16(got.Transport()[22:]); mss != want {
						t.Errorf("MSS %d, want %d", mss, want)
					}
					if !got.TransportChecksumValid() {
						t.Error("checksum wrong")
					}
				})
			}
		}
	}
}

// Packets that are no handshake are left alone, whatever they look like.
func TestClampMSSIsForHandshakes(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, right := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "c", MTU: 1400, Addresses: prefixes("10.0.3.1/24"), ClampMSS: true})
	data := syn(t, left4, netip.MustParseAddr("10.0.3.2"), true, 1460)
	data[33] = 0x10 // ACK; the checksum does not matter here
	r.left.send(data)
	if mss := binary.BigEndian.Uint16(right.receive().Transport()[22:]); mss != 1460 {
		t.Errorf("data that looks like an MSS became %d", mss)
	}
	r.left.send(udp(t, left4, netip.MustParseAddr("10.0.3.2"), 64, []byte{0: 2, 13: 2, 20: 2}))
	if p := right.receive(); !p.TransportChecksumValid() {
		t.Errorf("%v was changed", p)
	}
}

// RFC 8200 section 5: an interface whose MTU drops below 1280 carries no IPv6 any more, in neither direction, and does again
// when the MTU is back. IPv4 goes on.
func TestRFC8200NoIPv6BelowMinimumMTU(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	small, right := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "small", MTU: 1280})
	there6, there4 := netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("192.0.2.9")
	for _, a := range []netip.Addr{there6, there4} {
		if err := r.AddRoute(netstack.Route{Destination: netip.PrefixFrom(a, a.BitLen()), Interface: "small"}); err != nil {
			t.Fatal(err)
		}
	}
	setMTU := func(mtu int) {
		t.Helper()
		if err := small.SetMTU(mtu); err != nil {
			t.Fatal(err)
		}
	}
	pass := func() {
		t.Helper()
		r.left.send(udp(t, left6, there6, 64, []byte("there")))
		right.receive()
		right.send(udp(t, there6, left6, 64, []byte("and back")))
		r.left.receive()
	}
	pass()
	setMTU(1279)
	r.left.send(udp(t, left6, there6, 64, []byte("small enough")))
	if typ, code, _, _ := icmpOf(r.left.receive()); typ != 1 || code != 0 {
		t.Errorf("type %d code %d, want no route", typ, code)
	}
	right.send(udp(t, there6, left6, 64, []byte("small enough")))
	if err := r.QueueOut(filled(t, udp(t, a6, there6, 64, nil)), nil); err != nil {
		t.Fatal(err)
	}
	r.left.send(udp(t, left4, there4, 64, []byte("IPv4")))
	if p := right.receive(); p.Family() != packet.Inet {
		t.Errorf("received %v", p)
	}
	s := r.settledWhen(func(s netstack.Stats) bool { return s.Received >= 5 && s.Injected != 0 })
	if s.Drops["ipv6_disabled"] != 3 {
		t.Errorf("stats: %+v", s)
	}
	setMTU(1280)
	pass()
}
