// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

var families = map[string]struct {
	left, right, a, b, nowhere netip.Addr
}{
	"inet":  {left4, right4, a4, b4, netip.MustParseAddr("192.0.2.9")},
	"inet6": {left6, right6, a6, b6, netip.MustParseAddr("2001:db8::9")},
}

// RFC 1812 section 5.3.1, RFC 8200 section 3: one hop less, nothing else changed, checksums right.
func TestForward(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			sent := udp(t, f.left, f.right, 64, []byte("over the river"))
			r.left.send(sent)
			got := r.right.receive()
			want := bytes.Clone(sent)
			if f.left.Is4() {
				want[8]--
				binary.BigEndian.PutUint16(want[10:], 0)
				want[10], want[11] = got.Bytes()[10], got.Bytes()[11] // Parse has verified it
			} else {
				want[7]--
			}
			if diff := cmp.Diff(want, got.Bytes()); diff != "" {
				t.Error(diff)
			}
			if !got.TransportChecksumValid() {
				t.Error("transport checksum wrong")
			}
			s := r.settled(1)
			if s.Forwarded != 1 || s.Sent != 1 || len(s.Drops) != 0 {
				t.Errorf("stats: %+v", s)
			}
			if got := r.b.Stats(); got.SentPackets != 1 || got.SentBytes != uint64(len(sent)) {
				t.Errorf("interface stats: %+v", got)
			}
		})
	}
}

// A wrong transport checksum is the receiver's business: a router passes it on as it is.
func TestForwardKeepsWrongTransportChecksum(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	sent := udp(t, left4, right4, 64, []byte("x"))
	sent[26] ^= 0x55
	r.left.send(sent)
	if got := r.right.receive(); !bytes.Equal(got.Bytes()[20:], sent[20:]) {
		t.Error("payload changed")
	}
}

// RFC 792, RFC 1812 sections 5.3.1, 4.3.2.3 and 4.3.2.4, RFC 4443 section 3.3: TTL 0 and 1 end here.
func TestTimeExceeded(t *testing.T) {
	for name, f := range families {
		for _, ttl := range []uint8{0, 1} {
			t.Run(name, func(t *testing.T) {
				r := newRouter(t, netstack.Config{})
				sent := udp(t, f.left, f.right, ttl, bytes.Repeat([]byte("q"), 1400))
				r.left.send(sent)
				e := r.left.receive()
				typ, code, rest, quote := icmpOf(e)
				want, limit := uint8(11), 576
				if f.left.Is6() {
					want, limit = 3, 1280
				}
				if typ != want || code != 0 || rest != [4]byte{} {
					t.Errorf("type %d code %d rest %x", typ, code, rest)
				}
				if e.Source() != f.a || e.Destination() != f.left {
					t.Errorf("from %v to %v", e.Source(), e.Destination())
				}
				if e.Len() != limit || !bytes.Equal(quote, sent[:len(quote)]) {
					t.Errorf("error of %d bytes quotes %d bytes; the packet must be quoted as it came", e.Len(), len(quote))
				}
				if !e.TransportChecksumValid() {
					t.Error("ICMP checksum wrong")
				}
				if s := r.settled(1); s.Drops["ttl_expired"] != 1 || s.Made != 1 {
					t.Errorf("stats: %+v", s)
				}
				r.right.none()
			})
		}
	}
}

// RFC 1191 section 4, RFC 4443 section 3.2: what is too big and may not be fragmented is answered with the MTU.
func TestTooBig(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1300, offloads)
			sent := udp(t, f.left, f.right, 64, make([]byte, 1400))
			if f.left.Is4() {
				setDF(sent)
			}
			r.left.send(sent)
			typ, code, rest, _ := icmpOf(r.left.receive())
			wantType, wantCode := uint8(3), uint8(4)
			if f.left.Is6() {
				wantType, wantCode = 2, 0
			}
			if mtu := binary.BigEndian.Uint32(rest[:]); typ != wantType || code != wantCode || mtu != 1300 {
				t.Errorf("type %d code %d MTU %d", typ, code, mtu)
			}
			if s := r.settled(1); s.Drops["too_big"] != 1 {
				t.Errorf("stats: %+v", s)
			}
			r.right.none()
		})
	}
}

// setDF sets Don't Fragment and mends the header checksum.
func setDF(b []byte) {
	b[6] |= 0x40
	fixHeader(b)
}

// RFC 791 section 2.3: without DF the datagram is fragmented; each fragment fits and the parts add up.
func TestFragmentation(t *testing.T) {
	r := newRouter4(t, 1500, 576, offloads)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 90)
	sent := udp(t, left4, right4, 64, payload)
	r.left.send(sent)
	var whole []byte
	for more := true; more; {
		f := r.right.receive()
		if f.Len() > 576 {
			t.Fatalf("fragment of %d bytes", f.Len())
		}
		if f.FragmentOffset() != len(whole) || f.TTL() != 63 {
			t.Fatalf("fragment at %d, expected %d; TTL %d", f.FragmentOffset(), len(whole), f.TTL())
		}
		whole = append(whole, f.Bytes()[f.HeaderLen():]...)
		more = f.MoreFragments()
	}
	if !bytes.Equal(whole, sent[20:]) {
		t.Error("fragments do not add up to the datagram")
	}
	if s := r.settled(1); s.Split != 1 || s.Made != 3 || s.Sent != 3 {
		t.Errorf("stats: %+v", s)
	}
}

// RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e): what may not be answered with an error.
func TestNoErrorAbout(t *testing.T) {
	icmp4 := func(typ uint8) []byte {
		return serialize(t, ip(left4, right4, 1, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0)}, gopacket.Payload("12345678"))
	}
	icmp6 := func(typ uint8) []byte {
		l3 := ip(left6, right6, 1, layers.IPProtocolICMPv6)
		i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		i.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
		return serialize(t, l3, i, gopacket.Payload("12345678"))
	}
	later := serialize(t, &layers.IPv4{Version: 4, TTL: 1, FragOffset: 10, Protocol: layers.IPProtocolUDP, SrcIP: left4.AsSlice(), DstIP: right4.AsSlice()}, gopacket.Payload("12345678"))
	for name, b := range map[string][]byte{
		"unreachable":       icmp4(3),
		"time exceeded":     icmp4(11),
		"redirect":          icmp4(5),
		"parameter problem": icmp4(12),
		"unreachable6":      icmp6(1),
		"too big 6":         icmp6(2),
		"redirect6":         icmp6(137),
		"later fragment":    later,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			r.left.send(b)
			if s := r.settled(1); s.Drops["ttl_expired"] != 1 || s.Made != 0 {
				t.Errorf("stats: %+v", s)
			}
			r.left.none()
		})
	}
	t.Run("echo is answered", func(t *testing.T) {
		r := newRouter(t, netstack.Config{})
		r.left.send(icmp4(8))
		r.left.receive()
	})
}

// What must not be forwarded, each under one reason.
func TestNotForwarded(t *testing.T) {
	addr := netip.MustParseAddr
	for name, c := range map[string]struct {
		src, dst netip.Addr
		reason   string
	}{
		"source this network":  {addr("0.1.2.3"), right4, "martian_source"},
		"source loopback":      {addr("127.0.0.1"), right4, "martian_source"},
		"source multicast":     {addr("224.0.0.5"), right4, "martian_source"},
		"source reserved":      {addr("240.0.0.1"), right4, "martian_source"},
		"source broadcast":     {addr("255.255.255.255"), right4, "martian_source"},
		"to loopback":          {left4, addr("127.0.0.1"), "martian_destination"},
		"to this network":      {left4, addr("0.0.0.0"), "martian_destination"},
		"to reserved":          {left4, addr("250.1.1.1"), "martian_destination"},
		"our own source":       {b4, a4, "martian_source"},
		"our own source 6":     {b6, a6, "martian_source"},
		"broadcast source":     {addr("10.0.1.255"), right4, "martian_source"},
		"network as source":    {addr("10.0.2.0"), right4, "martian_source"},
		"limited broadcast":    {left4, addr("255.255.255.255"), "broadcast"},
		"directed broadcast":   {left4, addr("10.0.2.255"), "broadcast"},
		"link-local source":    {addr("169.254.1.1"), right4, "link_local"},
		"source unspecified 6": {addr("::"), right6, "martian_source"},
		"source loopback 6":    {addr("::1"), right6, "martian_source"},
		"source multicast 6":   {addr("ff02::1"), right6, "martian_source"},
		"source mapped":        {addr("::ffff:10.0.1.2"), right6, "martian_source"},
		"to loopback 6":        {left6, addr("::1"), "martian_destination"},
		"to unspecified 6":     {left6, addr("::"), "martian_destination"},
		"to this interface 6":  {left6, addr("ff01::1"), "martian_destination"},
		"to reserved scope 6":  {left6, addr("ff00::1"), "martian_destination"},
		"link-local source 6":  {addr("fe80::2"), right6, "link_local"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			r.left.send(udp(t, c.src, c.dst, 64, []byte("x")))
			if s := r.settled(1); s.Drops[c.reason] != 1 || len(s.Drops) != 1 {
				t.Errorf("want one %s: %+v", c.reason, s)
			}
			r.right.none()
		})
	}
}

// A default route leads neither to multicast nor to broadcast nor to nowhere.
func TestDefaultRouteIsNotForEverything(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoutes(netstack.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "b"}, netstack.Route{Destination: netip.MustParsePrefix("::/0"), Interface: "b"}); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	r.left.send(udp(t, left4, addr("255.255.255.255"), 64, nil))
	r.left.send(udp(t, left4, addr("239.1.2.3"), 64, nil))
	r.left.send(udp(t, left6, addr("ff0e::9"), 64, nil))
	for _, dst := range []string{"239.1.2.3", "255.255.255.255"} {
		if err := r.QueueOut(filled(t, udp(t, a4, addr(dst), 64, nil)), nil); err != nil {
			t.Fatal(err)
		}
	}
	s := r.settledWhen(func(s netstack.Stats) bool { return s.Received >= 3 && s.Injected == 2 })
	if s.Sent != 0 || s.Delivered != 2 || s.Drops["multicast"] != 1 || s.Drops["broadcast"] != 2 {
		t.Errorf("stats: %+v", s)
	}
	r.left.send(udp(t, left4, addr("192.0.2.1"), 64, nil))
	r.right.receive()
}

// RFC 1812 section 5.3.10: a host does not forward, and says nothing.
func TestForwardingDisabled(t *testing.T) {
	r := newRouter(t, netstack.Config{DisableForwarding: true})
	r.left.send(udp(t, left4, right4, 64, []byte("x")))
	if s := r.settled(1); s.Drops["forwarding_disabled"] != 1 || s.Made != 0 {
		t.Errorf("stats: %+v", s)
	}
	r.left.none()
}

// A superpacket whose segments fit passes whole, with its metadata; one hop less, partial checksum kept.
func TestSuperpacketPassesWhole(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			b, o := superpacket(t, f.left, f.right, 40000, 1400)
			r.left.sendOffload(b, o)
			got := r.right.receive()
			if got.Len() != len(b) || got.TTL() != 63 {
				t.Errorf("length %d, TTL %d", got.Len(), got.TTL())
			}
			o.HeaderLen = got.Offload.HeaderLen // computed by Parse
			if diff := cmp.Diff(o, got.Offload); diff != "" {
				t.Error(diff)
			}
			if !bytes.Equal(got.Bytes()[got.TransportOffset():], b[got.TransportOffset():]) {
				t.Error("transport bytes changed")
			}
		})
	}
}

// A superpacket for a device without offload is cut; the segments are whole packets with right checksums.
func TestSuperpacketIsCutForPlainDevice(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			plain := plainLeg(t, r, f.nowhere)
			b, o := superpacket(t, f.left, f.nowhere, 5000, 1400)
			r.left.sendOffload(b, o)
			total := 0
			for range 4 {
				s := plain.receive()
				if s.Len() > 1500 || s.Offload.GSO != packet.GSONone || s.Offload.Checksum == packet.ChecksumPartial || !s.TransportChecksumValid() {
					t.Errorf("bad segment: %v %+v", s, s.Offload)
				}
				total += s.Len() - s.TransportOffset() - 20
			}
			if total != 5000 {
				t.Errorf("%d bytes of payload arrived, want 5000", total)
			}
		})
	}
}

// A superpacket whose segments do not fit is answered like any packet that is too big.
func TestSuperpacketTooBig(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1300, offloads)
			b, o := superpacket(t, f.left, f.right, 20000, 1400)
			r.left.sendOffload(b, o)
			if _, _, rest, _ := icmpOf(r.left.receive()); binary.BigEndian.Uint32(rest[:]) != 1300 {
				t.Errorf("MTU %x", rest)
			}
			if s := r.settled(1); s.Drops["too_big"] != 1 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// A partial checksum is completed for a device that does not do it.
func TestPartialChecksumIsCompleted(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	plain := plainLeg(t, r, netip.MustParseAddr("192.0.2.9"))
	b, o := superpacket(t, left4, netip.MustParseAddr("192.0.2.9"), 100, 1400)
	o.GSO, o.SegmentSize, o.HeaderLen = packet.GSONone, 0, 0
	r.left.sendOffload(b, o)
	if s := plain.receive(); s.Offload.Checksum == packet.ChecksumPartial || !s.TransportChecksumValid() {
		t.Errorf("checksum not completed: %+v", s.Offload)
	}
}

// RFC 4443 section 2.4 (f), RFC 1812 section 4.3.2.8: a host that provokes all the errors that the router may send leaves
// another one's traceroute and path MTU discovery complete.
func TestRFC4443_2_4_f_FloodLeavesOthersTheirErrors(t *testing.T) {
	r := newRouterMTU(t, netstack.Config{}, 1500, 1400, offloads)
	for _, c := range []struct{ flooder, other, to netip.Addr }{
		{left4, netip.MustParseAddr("10.0.1.77"), right4},
		{left6, netip.MustParseAddr("fd00:1:0:1::77"), right6},
	} {
		must(t, r.AddRoute(netstack.Route{Destination: netip.PrefixFrom(c.other, c.other.BitLen()), Interface: "a"}))
		atFault := func(src netip.Addr) (expired, large []byte) {
			expired, large = udp(t, src, c.to, 1, nil), udp(t, src, c.to, 64, make([]byte, 1400))
			if src.Is4() {
				setDF(large)
			}
			return expired, large
		}
		expired, large := atFault(c.flooder)
		received := r.Stats().Received
		for range 5 {
			for range 500 {
				r.left.send(expired)
				r.left.send(large)
			}
			received += 1000
			r.settled(received)
		}
		expired, large = atFault(c.other)
		const each = 30
		for range each {
			r.left.send(expired)
			r.left.send(large)
		}
		r.settled(received + 2*each)
		flooded, answered := 0, 0
		for len(r.left.seen) > 0 || answered < 2*each {
			if r.left.receive().Destination() == c.other {
				answered++
			} else {
				flooded++
			}
		}
		if flooded > 1000 {
			t.Errorf("%d errors to who provoked 5000", flooded)
		}
	}
}
