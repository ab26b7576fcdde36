// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/netstack"
)

// Which address an ICMP error is from: RFC 1812 section 4.3.2.4 and RFC 4443 section 2.2.
func TestErrorSource(t *testing.T) {
	address := netip.MustParseAddr
	linkLocal := prefixes("fe80::a/64")[0]
	for name, c := range map[string]struct {
		from, to, want netip.Addr
		right          bool // the error goes to the right
	}{
		"IPv4":                            {from: left4, to: right4, want: a4},
		"IPv4, back by another":           {from: address("10.0.2.98"), to: right4, want: b4, right: true},
		"IPv6":                            {from: left6, to: right6, want: a6},
		"IPv6, back by another":           {from: address("fd00:2::98"), to: right6, want: a6, right: true},
		"IPv6, to a link-local address":   {from: address("fe80::98"), to: right6, want: linkLocal.Addr()},
		"IPv6, no route, to a link-local": {from: address("fe80::98"), to: address("2001:db8::1"), want: linkLocal.Addr()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			if err := errors.Join(r.b.AddAddress(prefixes("fe80::b/64")[0]), r.a.AddAddress(linkLocal)); err != nil {
				t.Fatal(err)
			}
			r.left.send(udp(t, c.from, c.to, 1, nil))
			wire := r.left
			if c.right {
				wire = r.right
			}
			if p := wire.receive(); p.Source() != c.want || p.Destination() != c.from {
				t.Errorf("error %v, want it from %v", p, c.want)
			}
		})
	}
}

// RFC 4443 section 2.4 (e) allows errors about later fragments, unlike RFC 1812 section 4.3.2.7; but of an ICMPv6 message
// they do not tell whether it is an error itself.
func TestErrorAboutLaterFragment6(t *testing.T) {
	fragment := func(next layers.IPProtocol) []byte {
		return serialize(t, ip(left6, right6, 1, layers.IPProtocolIPv6Fragment),
			&layers.IPv6Fragment{NextHeader: next, FragmentOffset: 100, Identification: 7})
	}
	r := newRouter(t, netstack.Config{})
	r.left.send(fragment(layers.IPProtocolICMPv6))
	r.left.send(fragment(layers.IPProtocolUDP))
	if typ, code, _, _ := icmpOf(r.left.receive()); typ != 3 || code != 0 {
		t.Errorf("type %d code %d, want 3 and 0", typ, code)
	}
	if s := r.settled(2); s.Made != 1 {
		t.Errorf("%d errors, want 1: %+v", s.Made, s)
	}
}

// RFC 7112 section 5: a first fragment without the whole header chain is not delivered; one with it is.
func TestFirstFragmentWithoutAllHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		next    layers.IPProtocol
		payload []byte
		reason  string // empty: delivered
	}{
		"options and nothing behind":     {layers.IPProtocolIPv6Destination, []byte{58, 0, 1, 4, 0, 0, 0, 0}, "transport_header"},
		"options that are not all there": {layers.IPProtocolIPv6Destination, []byte{58, 1, 1, 12, 0, 0, 0, 0}, "transport_header"},
		"TCP header cut":                 {layers.IPProtocolTCP, make([]byte, 16), "transport_header"},
		"all":                            {layers.IPProtocolICMPv6, []byte("an ICMPv6 message, or so"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			r.left.send(serialize(t, ip(left6, a6, 64, layers.IPProtocolIPv6Fragment),
				&layers.IPv6Fragment{NextHeader: c.next, MoreFragments: true, Identification: 7}, gopacket.Payload(c.payload)))
			s := r.settled(1)
			if c.reason == "" && s.Delivered != 1 || c.reason != "" && s.Drops[c.reason] != 1 {
				t.Errorf("want %q: %+v", c.reason, s)
			}
		})
	}
}

// Beyond Scope is about the source's scope (RFC 4443 section 3.1): a link-local destination is dropped in silence.
func TestLinkLocalDestinationIsNoErrorOfScope(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.b.AddAddress(prefixes("fe80::b/64")[0]); err != nil {
		t.Fatal(err)
	}
	r.left.send(udp(t, left6, netip.MustParseAddr("fe80::99"), 64, nil))
	if s := r.settled(1); s.Drops["link_local"] != 1 || s.Made != 0 {
		t.Errorf("want one link_local and no error: %+v", s)
	}
}

// RFC 6864 section 4.3: an error may be fragmented on its way, so that no two have the same identification.
func TestRFC6864_4_3_ErrorsOnSmallMTU(t *testing.T) {
	const mtu = 300
	r := newRouter4(t, mtu, 1500, offloads)
	sent := udp(t, left4, right4, 1, counting(1000))
	var last []byte // identification
	for range 2 {
		r.left.send(sent)
		first, second := r.left.receive(), r.left.receive()
		id := first.Bytes()[4:6]
		if first.DontFragment() || first.Len() > mtu || !first.MoreFragments() || !bytes.Equal(id, second.Bytes()[4:6]) {
			t.Errorf("%v and %v, want two fragments of one error", first, second)
		}
		message := slices.Concat(first.Bytes()[20:], second.Bytes()[20:])
		if message[0] != 11 || len(message) != 576-20 || !bytes.Equal(message[8:], sent[:len(message)-8]) {
			t.Errorf("type %d, %d bytes", message[0], len(message))
		}
		if bytes.Equal(id, last) {
			t.Errorf("two errors have the identification % x", id)
		}
		last = id
	}
}
