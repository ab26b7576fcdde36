// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// What gVisor's forwarder was found to do wrong, and ours must not: a test for each finding, with the input that showed it.
// Row 9, the cost of a packet, is in bench_test.go. The numbers are those of the list of findings.

// gvisorRow4 is an IPv4 packet of the test's own making.
func gvisorRow4(t *testing.T, l3 layers.IPv4, payload []byte) []byte {
	t.Helper()
	l3.Version = 4
	if l3.TTL == 0 {
		l3.TTL = 64
	}
	if l3.SrcIP == nil {
		l3.SrcIP = left4.AsSlice()
	}
	if l3.DstIP == nil {
		l3.DstIP = right4.AsSlice()
	}
	return serialize(t, &l3, gopacket.Payload(payload))
}

// counting returns n bytes that are all different from their neighbours.
func counting(n int) []byte {
	b := make([]byte, n)
	for k := range b {
		b[k] = byte(k*7 + k>>8)
	}
	return b
}

// A refusing device accepts nothing, for a reason of the test's.
type refusingDevice struct {
	tun.Device
	err atomic.Pointer[error]
}

func (d *refusingDevice) Write(queue int, pkts []*packet.Packet) (int, error) {
	if err := d.err.Load(); err != nil {
		return 0, *err
	}
	return d.Device.Write(queue, pkts)
}

// gVisor panics on any error of a device that it does not know, and on an egress that is too small.
func TestGVisorRow0101NoPanicOnDeviceErrors(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"c", "far-c"}})
	dev := &refusingDevice{Device: near}
	if _, err := r.AddInterface(dev, netstack.InterfaceConfig{Addresses: prefixes("10.0.3.1/24", "fd00:3::1/64")}); err != nil {
		t.Fatal(err)
	}
	c := newWire(t, far)
	var sent uint64
	for _, test := range []struct {
		err    error
		reason string
	}{
		{tun.ErrFull, "device_full"},
		{tun.ErrDown, "interface_down"},
		{tun.ErrRefused, "device_write"},
		{syscall.ECONNABORTED, "device_write"},
		{syscall.EINVAL, "device_write"},
		{errors.New("an error that nobody has heard of"), "device_write"},
	} {
		before := r.Stats().Drops[test.reason]
		dev.err.Store(&test.err)
		r.left.send(udp(t, left4, addr("10.0.3.2"), 64, nil))
		r.left.send(udp(t, left6, addr("fd00:3::2"), 64, nil))
		sent += 2
		if s := r.settled(sent); s.Drops[test.reason] != before+2 {
			t.Errorf("%v: %+v", test.err, s)
		}
	}
	dev.err.Store(nil)
	r.left.send(udp(t, left4, addr("10.0.3.2"), 64, nil))
	c.receive()

	// Too small an interface cannot be had, nor one that IPv6 leads out by.
	for mtu, address := range map[int]string{1200: "fd00:4::1/64", 67: "10.0.4.1/24"} {
		small, _ := tun.Pair(tun.PairConfig{Names: [2]string{"d", "far-d"}})
		if _, err := r.AddInterface(small, netstack.InterfaceConfig{MTU: mtu, Addresses: prefixes(address)}); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("MTU %d with %s: %v", mtu, address, err)
		}
		small.Close()
	}
	if err := r.b.SetMTU(1200); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("MTU 1200 set on an interface with an IPv6 address: %v", err)
	}

	// ::1 from outside is nobody's.
	r.left.send(udp(t, left6, addr("::1"), 64, nil))
	if s := r.settled(sent + 2); s.Drops["martian_destination"] != 1 {
		t.Errorf("to ::1: %+v", s)
	}
}

// gVisor computes the transport checksum of what it forwards anew: corruption leaves with a right one.
func TestGVisorRow0102TransportChecksumIsNotLaundered(t *testing.T) {
	for name, f := range families {
		for device, features := range map[string]packet.Features{"plain": 0, "offload": offloads} {
			t.Run(name+"/"+device, func(t *testing.T) {
				r := newRouterMTU(t, netstack.Config{}, 1500, 1500, features)
				b := udp(t, f.left, f.right, 64, []byte("corrupted"))
				at := len(b) - len("corrupted") - 2
				binary.BigEndian.PutUint16(b[at:], 0x1234)
				r.left.send(b)
				if p := r.right.receive(); binary.BigEndian.Uint16(p.Bytes()[at:]) != 0x1234 || p.TransportChecksumValid() {
					t.Errorf("checksum %#x, want 0x1234 as it came", p.Bytes()[at:at+2])
				}
			})
		}
	}
}

// gVisor takes the payload of an IPv4 fragment for a transport header and writes a checksum into it.
func TestGVisorRow0103FragmentsAreNotCorrupted(t *testing.T) {
	for device, features := range map[string]packet.Features{"plain": 0, "offload": offloads} {
		t.Run(device, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1500, features)
			for _, protocol := range []layers.IPProtocol{layers.IPProtocolUDP, layers.IPProtocolTCP, layers.IPProtocolICMPv4} {
				payload := counting(2000)
				r.left.send(gvisorRow4(t, layers.IPv4{Id: 7, Protocol: protocol, Flags: layers.IPv4MoreFragments}, payload[:1000]))
				r.left.send(gvisorRow4(t, layers.IPv4{Id: 7, Protocol: protocol, FragOffset: 125}, payload[1000:]))
				var got []byte
				for range 2 {
					got = append(got, r.right.receive().Bytes()[20:]...)
				}
				if !bytes.Equal(got, payload) {
					t.Errorf("%v: the payload of the fragments has changed", protocol)
				}
			}
			payload := counting(1000)
			for _, word := range []uint16{1, 125<<3 | 1, 250 << 3} { // offset and more-fragments bit
				l3 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolIPv6Fragment, SrcIP: left6.AsSlice(), DstIP: right6.AsSlice()}
				fragment := []byte{17, 0, byte(word >> 8), byte(word), 0, 0, 0, 7}
				r.left.send(serialize(t, l3, gopacket.Payload(slices.Concat(fragment, payload))))
				if got := r.right.receive().Bytes()[40:]; !bytes.Equal(got, slices.Concat(fragment, payload)) {
					t.Errorf("IPv6 fragment %#x has changed", word)
				}
			}
		})
	}
}

// gVisor begins at offset 0 again when it fragments a fragment.
func TestGVisorRow0104FragmentOfFragmentKeepsItsOffset(t *testing.T) {
	r := newRouter4(t, 1500, 576, offloads)
	for _, more := range []bool{true, false} {
		payload := counting(1480)
		l3 := layers.IPv4{Id: 7, Protocol: layers.IPProtocolUDP, FragOffset: 1480 / 8}
		if more {
			l3.Flags = layers.IPv4MoreFragments
		}
		r.left.send(gvisorRow4(t, l3, payload))
		type fragment struct {
			Offset, Len int
			More        bool
			ID          uint16
		}
		want := []fragment{{1480, 552, true, 7}, {2032, 552, true, 7}, {2584, 376, more, 7}}
		var got []fragment
		for range want {
			p := r.right.receive()
			b := p.Bytes()
			if from := p.FragmentOffset() - 1480; from < 0 || !bytes.Equal(b[20:], payload[from:from+len(b)-20]) {
				t.Errorf("fragment at %d holds something else", p.FragmentOffset())
			}
			got = append(got, fragment{p.FragmentOffset(), len(b) - 20, p.MoreFragments(), binary.BigEndian.Uint16(b[4:])})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("more fragments %v (-want +got):\n%s", more, diff)
		}
	}
}

// gVisor forwards TTL 1 as TTL 0, and is not seen by traceroute.
func TestGVisorRow0105TTL1(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			for _, ttl := range []uint8{1, 0} {
				r.left.send(udp(t, f.left, f.right, ttl, nil))
				e := r.left.receive()
				if typ, code, _, _ := icmpOf(e); e.Source() != f.a || code != 0 || typ != map[bool]uint8{true: 11, false: 3}[f.left.Is4()] {
					t.Errorf("TTL %d: answer %v, type %d, code %d", ttl, e, typ, code)
				}
			}
			r.left.send(udp(t, f.left, f.right, 2, nil))
			if p := r.right.receive(); p.TTL() != 1 {
				t.Errorf("TTL 2 leaves as %d", p.TTL())
			}
			if s := r.settled(3); s.Drops["ttl_expired"] != 2 || s.Forwarded != 1 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// gVisor forwards multicast with TTL 0 as TTL 255 and with TTL 1 as TTL 0, also what is for the link alone.
func TestGVisorRow0106MulticastTTL(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoutes(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "b"}, netstack.Route{Destination: prefix("::/0"), Interface: "b"}); err != nil {
		t.Fatal(err)
	}
	var sent uint64
	for _, dst := range []string{"224.0.0.9", "239.1.2.3", "ff02::9", "ff0e::9"} {
		for _, ttl := range []uint8{0, 1, 64} {
			src := left4
			if addr(dst).Is6() {
				src = left6
			}
			r.left.send(udp(t, src, addr(dst), ttl, nil))
			sent++
		}
	}
	if s := r.settled(sent); s.Forwarded != 0 || s.Sent != 0 {
		t.Errorf("multicast was forwarded or answered: %+v", s)
	}
	r.right.none()
	r.left.none()
}

// gVisor's Packet Too Big says MTU 0.
func TestGVisorRow0107PacketTooBigHasMTU(t *testing.T) {
	for _, mtu := range []int{1280, 1400} {
		r := newRouterMTU(t, netstack.Config{}, 1500, mtu, offloads)
		r.left.send(udp(t, left6, right6, 64, make([]byte, 1440)))
		if typ, code, rest, _ := icmpOf(r.left.receive()); typ != 2 || code != 0 || binary.BigEndian.Uint32(rest[:]) != uint32(mtu) {
			t.Errorf("type %d, code %d, MTU %d, want 2, 0, %d", typ, code, binary.BigEndian.Uint32(rest[:]), mtu)
		}
		r.settled(1)
		r.right.none() // IPv6 is never fragmented on its way
	}
}

// gVisor forgets that a packet is a superpacket, and answers 8 KB with "fragmentation needed".
func TestGVisorRow0108GSOIsKept(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			b, o := superpacket(t, f.left, f.right, 8000, 1440)
			r.left.sendOffload(b, o)
			p := r.right.receive()
			if p.Len() != len(b) || p.Offload.GSO != o.GSO || p.Offload.SegmentSize != 1440 || p.Offload.Checksum != packet.ChecksumPartial {
				t.Errorf("%v %+v, want %d bytes and %+v", p, p.Offload, len(b), o)
			}
			r.left.none()
		})
	}
}

// gVisor looks at the interface's MTU alone.
func TestGVisorRow0110RouteMTU(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoutes(netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "b", MTU: 1000}, netstack.Route{Destination: prefix("2001:db8::/64"), Interface: "b", MTU: 1300}); err != nil {
		t.Fatal(err)
	}
	b := udp(t, left4, addr("192.0.2.1"), 64, make([]byte, 1300))
	setDF(b)
	r.left.send(b)
	if typ, code, rest, _ := icmpOf(r.left.receive()); typ != 3 || code != 4 || binary.BigEndian.Uint32(rest[:]) != 1000 {
		t.Errorf("IPv4: type %d, code %d, rest %x", typ, code, rest)
	}
	r.left.send(udp(t, left6, addr("2001:db8::1"), 64, make([]byte, 1300)))
	if typ, code, rest, _ := icmpOf(r.left.receive()); typ != 2 || code != 0 || binary.BigEndian.Uint32(rest[:]) != 1300 {
		t.Errorf("IPv6: type %d, code %d, rest %x", typ, code, rest)
	}
	r.left.send(udp(t, left4, addr("192.0.2.1"), 64, make([]byte, 1300)))
	for range 2 {
		if p := r.right.receive(); p.Len() > 1000 || !p.IsFragment() {
			t.Errorf("without DF: %v", p)
		}
	}
}

// gVisor believes the source addresses 169.254/16 and 240/4 and those of the other side.
func TestGVisorRow0111SourceAddresses(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	if err := r.AddRoutes(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "b"}, netstack.Route{Destination: prefix("::/0"), Interface: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := r.a.SetSourceValidation(netstack.SourceValidationStrict); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{}
	var sent uint64
	for _, c := range []struct {
		src    string
		reason string
	}{
		{"0.0.0.1", "martian_source"}, {"127.0.0.1", "martian_source"}, {"240.0.0.1", "martian_source"}, {"255.255.255.255", "martian_source"},
		{"224.0.0.1", "martian_source"}, {"10.0.2.1", "martian_source"}, {"::1", "martian_source"}, {"fd00:2::1", "martian_source"},
		{"169.254.1.1", "link_local"}, {"fe80::1", "link_local"},
		{"10.0.2.2", "reverse_path"}, {"192.0.2.1", "reverse_path"}, {"fd00:2::2", "reverse_path"}, {"2001:db8::1", "reverse_path"},
	} {
		dst := right4
		if addr(c.src).Is6() {
			dst = right6
		}
		r.left.send(udp(t, addr(c.src), dst, 64, nil))
		want[c.reason]++
		sent++
	}
	if s := r.settled(sent); !cmp.Equal(want, s.Drops) || s.Forwarded != 0 {
		t.Errorf("drops (-want +got):\n%s", cmp.Diff(want, s.Drops))
	}
	r.right.none()
	r.left.send(udp(t, left4, right4, 64, nil))
	r.left.send(udp(t, left6, right6, 64, nil))
	r.right.receive()
	r.right.receive()
}

// gVisor sends ICMP errors about fragments other than the first.
func TestGVisorRow0112NoErrorAboutLaterFragments(t *testing.T) {
	for name, c := range map[string]struct {
		packet layers.IPv4
		reason string
	}{
		"TTL 1":    {layers.IPv4{TTL: 1}, "ttl_expired"},
		"too big":  {layers.IPv4{Flags: layers.IPv4DontFragment}, "too_big"},
		"no route": {layers.IPv4{DstIP: addr("192.0.2.9").AsSlice()}, "no_route"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1280, offloads)
			c.packet.Protocol = layers.IPProtocolUDP
			later, first := c.packet, c.packet
			later.FragOffset = 185
			first.Flags |= layers.IPv4MoreFragments
			r.left.send(gvisorRow4(t, later, counting(1400)))
			if s := r.settled(1); s.Drops[c.reason] != 1 || s.Made != 0 {
				t.Errorf("later fragment: %+v", s)
			}
			r.left.none()
			r.left.send(gvisorRow4(t, first, counting(1400)))
			if e := r.left.receive(); e.TransportProtocol() != 1 || e.Source() != a4 {
				t.Errorf("first fragment: %v", e)
			}
		})
	}
}

// gVisor passes source routes through.
func TestGVisorRow0114SourceRoutes(t *testing.T) {
	for name, kind := range map[string]byte{"loose": 131, "strict": 137} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			option := layers.IPv4Option{OptionType: kind, OptionLength: 7, OptionData: []byte{4, 10, 0, 2, 9}}
			b := gvisorRow4(t, layers.IPv4{Protocol: layers.IPProtocolUDP, Options: []layers.IPv4Option{option}}, counting(100))
			seen := make(chan []byte, 1)
			register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "look", Func: func(c *packet.Context) hooks.Verdict {
				seen <- bytes.Clone(c.Packet.Bytes())
				return hooks.Accept
			}})
			r.left.send(b)
			if s := r.settled(1); s.Drops["source_route"] != 1 || s.Forwarded != 0 {
				t.Errorf("stats: %+v", s)
			}
			if !bytes.Equal(<-seen, b) {
				t.Error("changed before anybody had seen it")
			}
			r.right.none()
		})
	}
}

// gVisor records the address of the way in, and writes before it has copied the packet.
func TestGVisorRow0114RecordRoute(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	option := layers.IPv4Option{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}
	b := gvisorRow4(t, layers.IPv4{Protocol: layers.IPProtocolUDP, Options: []layers.IPv4Option{option}}, counting(100))
	copied := make(chan *packet.Packet, 1)
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "copy", Func: func(c *packet.Context) hooks.Verdict {
		copied <- c.Packet.Clone()
		return hooks.Accept
	}})
	r.left.send(b)
	p := r.right.receive()
	if got, want := p.Bytes()[20:27], append([]byte{7, 7, 8}, b4.AsSlice()...); !bytes.Equal(got, want) {
		t.Errorf("option % d, want % d: the address of the way out", got, want)
	}
	before := <-copied
	defer before.Release()
	if !bytes.Equal(before.Bytes(), b) {
		t.Error("changed before PHYSICAL_IN")
	}
}

// gVisor has one limit for all ICMP errors to everybody: one attacker starves path MTU discovery.
func TestGVisorRow0118ErrorsPerSource(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1280, offloads)
			attacker := addr("10.0.1.66")
			if f.left.Is6() {
				if err := r.AddRoute(netstack.Route{Destination: prefix("2001:db8:66::/48"), Interface: "a"}); err != nil {
					t.Fatal(err)
				}
				attacker = addr("2001:db8:66::1") // all addresses of a /64 count as one
			}
			tooBig := func(src netip.Addr) []byte {
				b := udp(t, src, f.right, 64, make([]byte, 1400))
				if src.Is4() {
					setDF(b)
				}
				return b
			}
			const flood = 1000
			for range flood / 2 {
				r.left.send(tooBig(attacker))
				r.left.send(udp(t, attacker, f.right, 1, nil))
			}
			r.settled(flood)
			const victims = 8
			for k := range victims {
				b := attacker.AsSlice() // of another host, or IPv6 network
				b[map[int]int{4: 3, 16: 7}[len(b)]] = byte(k + 2)
				victim, _ := netip.AddrFromSlice(b)
				r.left.send(tooBig(victim))
			}
			toAttacker, toVictims := 0, 0
			for range r.settled(flood + victims).Made {
				if r.left.receive().Destination() == attacker {
					toAttacker++
				} else {
					toVictims++
				}
			}
			if toAttacker == 0 || toAttacker > flood/2 {
				t.Errorf("%d errors for %d packets at fault", toAttacker, flood)
			}
			if toVictims < victims-1 { // one may by bad luck share the attacker's bucket
				t.Errorf("%d errors for %d others", toVictims, victims)
			}
		})
	}
}

// gVisor tells nobody that an interface went down, and keeps its routes.
func TestGVisorRow0121InterfaceEvents(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	told := make(chan packet.NICEventType, 10)
	h, err := r.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "listen", Func: func(e packet.NICEvent) hooks.Verdict {
		if e.Name == "b" && (e.Type == packet.NICUp || e.Type == packet.NICDown) {
			told <- e.Type
		}
		return hooks.Accept
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Unregister()
	if err := r.b.SetUp(false); err != nil {
		t.Fatal(err)
	}
	for e := range told { // what happened before the registration may come as well
		if e == packet.NICDown {
			break
		}
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	if typ, code, _, _ := icmpOf(r.left.receive()); typ != 3 || code != 0 {
		t.Errorf("by a down interface: type %d, code %d, want no route", typ, code)
	}
	if err := r.b.SetUp(true); err != nil {
		t.Fatal(err)
	}
	if e := <-told; e != packet.NICUp {
		t.Errorf("told %v, want UP", e)
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
}

// gVisor knows one code for all that cannot be reached. RFC 1812 section 5.2.7.1 and RFC 4443 section 3.1 have several.
func TestGVisorRow0123UnreachableCodes(t *testing.T) {
	for name, f := range families {
		for _, c := range []struct {
			kind   netstack.RouteType
			none   bool // no route at all
			v4, v6 [2]uint8
			reason string
			silent bool
		}{
			{none: true, v4: [2]uint8{3, 0}, v6: [2]uint8{1, 0}, reason: "no_route"},
			{kind: netstack.Unreachable, v4: [2]uint8{3, 1}, v6: [2]uint8{1, 3}, reason: "unreachable"},
			{kind: netstack.Prohibit, v4: [2]uint8{3, 13}, v6: [2]uint8{1, 1}, reason: "prohibited"},
			{kind: netstack.Blackhole, reason: "blackhole", silent: true},
		} {
			t.Run(name+"/"+c.reason, func(t *testing.T) {
				r := newRouter(t, netstack.Config{})
				if !c.none {
					if err := r.AddRoute(netstack.Route{Destination: netip.PrefixFrom(f.nowhere, 24), Type: c.kind}); err != nil {
						t.Fatal(err)
					}
				}
				r.left.send(udp(t, f.left, f.nowhere, 64, []byte("x")))
				if s := r.settled(1); s.Drops[c.reason] != 1 {
					t.Errorf("stats: %+v", s)
				}
				if c.silent {
					r.left.none()
					return
				}
				want := c.v4
				if f.left.Is6() {
					want = c.v6
				}
				if typ, code, _, _ := icmpOf(r.left.receive()); [2]uint8{typ, code} != want {
					t.Errorf("type %d code %d, want %v", typ, code, want)
				}
			})
		}
	}
}
