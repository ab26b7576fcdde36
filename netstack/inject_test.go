// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// filled returns a packet of the caller's.
func filled(t testing.TB, b []byte) *packet.Packet {
	t.Helper()
	p := packet.Get(len(b))
	if err := p.Fill(b); err != nil {
		t.Fatal(err)
	}
	return p
}

// A source of 127.0.0.1 from outside is dropped before PHYSICAL_IN.
func TestCase095_LoopbackSourceNeverSeen(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	r.left.send(udp(t, netip.MustParseAddr("127.0.0.1"), a4, 64, nil))
	if s := r.settled(1); s.Drops["martian_source"] != 1 {
		t.Errorf("stats: %+v", s)
	}
	if seen := w.all(); len(seen) != 0 {
		t.Errorf("seen: %v", seen)
	}
}

// QueueIn: the packets appear at PHYSICAL_IN of the interface, in order, and go their way. The caller does not wait.
func TestCase096_QueueIn(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	hold := make(chan struct{})
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "slow", Func: func(*packet.Context) hooks.Verdict {
		<-hold
		return hooks.Accept
	}})
	const n = 100
	for k := range n {
		if err := r.QueueIn(filled(t, udp(t, left4, right4, 64, []byte{byte(k)})), r.a.Index(), nil); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	for k := range n {
		p := r.right.receive()
		if got := p.Bytes()[28]; got != byte(k) || p.TTL() != 63 {
			t.Fatalf("packet %d came as %d; TTL %d", got, k, p.TTL())
		}
	}
	want := []sighting{
		{packet.Inet, packet.PhysicalIn, r.a.Index(), 0, 0},
		{packet.Inet, packet.Forwarding, r.a.Index(), r.b.Index(), 0},
		{packet.Inet, packet.PhysicalOut, 0, r.b.Index(), 0},
	}
	if diff := cmp.Diff(want, w.all()[:3]); diff != "" {
		t.Error(diff)
	}
	if s := r.settled(0); s.Injected != n || s.Received != 0 || s.Sent != n {
		t.Errorf("stats: %+v", s)
	}
}

// DirectOut: written when the call returns, and no event fires.
func TestCase097_DirectOut(t *testing.T) {
	for name, features := range map[string]packet.Features{"offload": offloads, "plain": 0} {
		t.Run(name, func(t *testing.T) {
			r := newRouterMTU(t, netstack.Config{}, 1500, 1500, features)
			w := watch(t, r.Instance)
			sent := udp(t, left6, right6, 64, []byte("x"))
			if err := r.DirectOut(filled(t, sent), r.b.Index()); err != nil {
				t.Fatal(err)
			}
			if s := r.Stats(); s.Sent != 1 || s.Injected != 1 {
				t.Errorf("not written at once: %+v", s)
			}
			if p := r.right.receive(); !bytes.Equal(p.Bytes(), sent) {
				t.Errorf("changed on the way: %v", p)
			}
			b, o := superpacket(t, left4, right4, 5000, 1400)
			p := filled(t, b)
			p.Offload = o
			if err := r.DirectOut(p, r.b.Index()); err != nil {
				t.Fatal(err)
			}
			whole := 1
			if features == 0 {
				whole = 4
			}
			for range whole {
				if p := r.right.receive(); !p.TransportChecksumValid() {
					t.Error("checksum wrong")
				}
			}
			if err := r.DirectOut(filled(t, udp(t, left4, right4, 64, make([]byte, 1500))), r.b.Index()); !errors.Is(err, syscall.EMSGSIZE) {
				t.Errorf("too long: %v", err)
			}
			if err := r.DirectOut(filled(t, []byte("no packet")), r.b.Index()); !errors.Is(err, netstack.ErrInvalid) {
				t.Errorf("no packet: %v", err)
			}
			lo, _ := r.Interface("lo")
			if err := r.DirectOut(filled(t, sent), lo.Index()); !errors.Is(err, netstack.ErrInvalid) {
				t.Errorf("by lo: %v", err)
			}
			if err := r.DirectOut(filled(t, sent), 99); !errors.Is(err, netstack.ErrNotFound) {
				t.Errorf("by nothing: %v", err)
			}
			r.right.dev.Close()
			if err := r.DirectOut(filled(t, sent), r.b.Index()); !errors.Is(err, tun.ErrGone) && !errors.Is(err, tun.ErrDown) { // before or after the reader has noticed
				t.Errorf("device gone: %v", err)
			}
			if seen := w.all(); len(seen) != 0 {
				t.Errorf("seen: %v", seen)
			}
			r.settled(0)
		})
	}
}

// QueueOut: routed; PHYSICAL_OUT fires, or LOOPBACK_OUT and LOOPBACK_IN for one of our addresses.
func TestCase098_QueueOut(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	if err := r.QueueOut(filled(t, udp(t, a4, right4, 64, []byte("x"))), nil); err != nil {
		t.Fatal(err)
	}
	if p := r.right.receive(); p.TTL() != 64 {
		t.Errorf("TTL %d: it does not pass a router here", p.TTL())
	}
	if err := r.QueueOut(filled(t, echoRequest(t, a4, b4)), nil); err != nil {
		t.Fatal(err)
	}
	r.settledWhen(func(s netstack.Stats) bool { return s.Delivered == 2 }) // the request and the answer
	want := []sighting{
		{packet.Inet, packet.PhysicalOut, 0, r.b.Index(), 0},
		{packet.Inet, packet.LoopbackOut, 0, r.b.Index(), 0}, {packet.Inet, packet.LoopbackIn, r.b.Index(), 0, 0},
		{packet.Inet, packet.LoopbackOut, 0, r.a.Index(), 0}, {packet.Inet, packet.LoopbackIn, r.a.Index(), 0, 0},
	}
	if diff := cmp.Diff(want, w.all()); diff != "" {
		t.Error(diff)
	}
	for name, b := range map[string][]byte{"no route": udp(t, a4, netip.MustParseAddr("192.0.2.1"), 64, nil), "truncated": {0x45}} {
		before := r.Stats()
		if err := r.QueueOut(filled(t, b), nil); err != nil {
			t.Errorf("%s: %v; the queue does not look at packets", name, err)
		}
		r.settledWhen(func(s netstack.Stats) bool { return s.Injected > before.Injected })
	}
	if s := r.settled(0); s.Drops["no_route"] != 1 || s.Drops["truncated"] != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// QueueIn for an interface that goes before the packet's turn comes: released and counted.
func TestCase099_InterfaceGoesFirst(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	hold, holding := make(chan struct{}), make(chan struct{})
	var once sync.Once
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "slow", Func: func(*packet.Context) hooks.Verdict {
		once.Do(func() { close(holding) })
		<-hold
		return hooks.Accept
	}})
	b := udp(t, right4, left4, 64, nil)
	if err := r.QueueIn(filled(t, b), r.b.Index(), nil); err != nil {
		t.Fatal(err)
	}
	<-holding
	if err := r.QueueIn(filled(t, b), r.b.Index(), nil); err != nil {
		t.Fatal(err)
	}
	if err := r.b.Close(); err != nil {
		t.Fatal(err)
	}
	close(hold)
	r.left.receive()
	if s := r.settled(0); s.Drops["interface_down"] != 1 {
		t.Errorf("stats: %+v", s)
	}
	if err := r.QueueIn(filled(t, b), r.b.Index(), nil); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("no interface: %v", err)
	}
	if s := r.settled(0); s.Injected != 3 {
		t.Errorf("stats: %+v", s)
	}
}

// A full queue is an error and a counter; nothing is lost but the packet; a closed instance takes nothing.
func TestInjectQueueFull(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	hold := make(chan struct{})
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "slow", Func: func(*packet.Context) hooks.Verdict {
		<-hold
		return hooks.Accept
	}})
	b := udp(t, left4, right4, 64, nil)
	accepted := uint64(0)
	var err error
	for err == nil && accepted < 10000 {
		if err = r.QueueIn(filled(t, b), r.a.Index(), nil); err == nil {
			accepted++
		}
	}
	if !errors.Is(err, netstack.ErrQueueFull) || !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("after %d packets: %v", accepted, err)
	}
	close(hold)
	for range accepted {
		r.right.receive()
	}
	if s := r.settled(0); s.Drops["inject_queue_full"] != 1 || s.Injected != accepted+1 {
		t.Errorf("accepted %d: %+v", accepted, s)
	}
	r.Close()
	if err := r.QueueOut(filled(t, b), nil); !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	r.settled(0)
}

// The packet is the instance's from the call on: the giver's further use panics in -race builds.
func TestInjectTakesThePacket(t *testing.T) {
	if !invariant.Enabled {
		t.Skip("checked in -race builds only")
	}
	r := newRouter(t, netstack.Config{})
	for name, inject := range map[string]func(p *packet.Packet) error{
		"QueueIn":   func(p *packet.Packet) error { return r.QueueIn(p, r.a.Index(), nil) },
		"QueueOut":  func(p *packet.Packet) error { return r.QueueOut(p, nil) },
		"DirectOut": func(p *packet.Packet) error { return r.DirectOut(p, r.b.Index()) },
		"refused":   func(p *packet.Packet) error { r.DirectOut(p, 0); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			p := filled(t, udp(t, left4, right4, 64, nil))
			if err := inject(p); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if recover() == nil {
					t.Error("the giver could use the packet")
				}
			}()
			p.Len()
		})
	}
	r.settled(0)
}

// The origin is passed over, once: a delay line that steals every packet and puts it back does not see it again, and all
// other hooks do.
func TestDelayLine(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	line := make(chan *packet.Packet, 16)
	handle := register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "delay", Func: func(c *packet.Context) hooks.Verdict {
		select {
		case line <- c.Packet:
			return hooks.Steal
		default:
			return hooks.Drop
		}
	}})
	w := watch(t, r.Instance)
	var worker sync.WaitGroup
	worker.Go(func() {
		for p := range line {
			time.Sleep(time.Millisecond) // the delay
			if err := r.QueueIn(p, r.a.Index(), handle); err != nil {
				t.Error(err)
			}
		}
	})
	for k := range 10 {
		r.left.send(udp(t, left4, right4, 64, []byte{byte(k)}))
	}
	for k := range 10 {
		if p := r.right.receive(); p.Bytes()[28] != byte(k) {
			t.Errorf("out of order: %d as number %d", p.Bytes()[28], k)
		}
	}
	close(line)
	worker.Wait()
	count := map[packet.Event]int{}
	for _, s := range w.all() {
		count[s.Event]++
	}
	want := map[packet.Event]int{packet.PhysicalIn: 20, packet.Forwarding: 10, packet.PhysicalOut: 10}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
	if s := r.settled(10); s.Stolen != 10 || s.Injected != 10 {
		t.Errorf("stats: %+v", s)
	}
}

// A hook that answers a SYN with a RST: the sender learns at once, the receiver never.
func TestResetHook(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "reset", Func: func(c *packet.Context) hooks.Verdict {
		tcp := c.Packet.Transport()
		if c.Packet.TransportProtocol() != 6 || len(tcp) < 20 || tcp[13] != 0x02 {
			return hooks.Accept
		}
		src, dst := c.Packet.Source(), c.Packet.Destination()
		l3 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: dst.AsSlice(), DstIP: src.AsSlice()}
		rst := &layers.TCP{
			SrcPort: layers.TCPPort(uint16(tcp[2])<<8 | uint16(tcp[3])), DstPort: layers.TCPPort(uint16(tcp[0])<<8 | uint16(tcp[1])),
			RST: true, ACK: true, Ack: (uint32(tcp[4])<<24 | uint32(tcp[5])<<16 | uint32(tcp[6])<<8 | uint32(tcp[7])) + 1,
		}
		rst.SetNetworkLayerForChecksum(l3)
		if err := r.QueueOut(filled(t, serialize(t, l3, rst)), nil); err != nil {
			t.Error(err)
		}
		return hooks.DropWith(packet.ReasonProhibited)
	}})
	l3 := ip(left4, right4, 64, layers.IPProtocolTCP)
	syn := &layers.TCP{SrcPort: 5000, DstPort: 80, SYN: true, Seq: 77}
	syn.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	r.left.send(serialize(t, l3, syn))
	p := r.left.receive()
	tcp := p.Transport()
	if p.Source() != right4 || tcp[13] != 0x14 || tcp[11] != 78 || !p.TransportChecksumValid() {
		t.Errorf("answer: %v", p)
	}
	r.settled(1)
	r.right.none()
}

// Injecting from inside hooks and closing at the same time neither blocks nor leaks.
func TestInjectWhileClosing(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	b := udp(t, left4, net4(r, 9), 64, nil)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				err := errors.Join(r.QueueIn(filled(t, b), r.a.Index(), nil), r.QueueOut(filled(t, b), nil))
				if err != nil && !errors.Is(err, netstack.ErrQueueFull) {
					if !errors.Is(err, netstack.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	eventually(t, "traffic", func() bool { return r.Stats().Injected >= 100 })
	r.Close()
	workers.Wait()
	r.settled(0)
}

func net4(r *router, host byte) netip.Addr {
	a := r.b.Addresses()[0].Addr().As4()
	a[3] = host
	return netip.AddrFrom4(a)
}

// A superpacket that makes more packets than a worker holds back is refused like any other: the first refusal is told.
func TestDirectOutTellsOfTheFirstSegments(t *testing.T) {
	r := newRouterMTU(t, netstack.Config{}, 1500, 1500, 0)
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"short", "far-short"}, QueueLen: 10})
	t.Cleanup(func() { far.Close() })
	short, err := r.AddInterface(near, netstack.InterfaceConfig{})
	must(t, err)
	b, o := superpacket(t, left4, right4, 100*64, 100) // 64 segments; nobody reads
	p := filled(t, b)
	p.Offload = o
	if err := r.DirectOut(p, short.Index()); !errors.Is(err, tun.ErrFull) {
		t.Errorf("error %v, want %v", err, tun.ErrFull)
	}
}
