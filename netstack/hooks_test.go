// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

var packetEvents = []packet.Event{packet.PhysicalIn, packet.PhysicalOut, packet.Forwarding, packet.LoopbackIn, packet.LoopbackOut}

// A sighting is what a hook was told about a packet.
type sighting struct {
	Family  packet.Family
	Event   packet.Event
	In, Out uint32
	Flags   packet.Flags
}

func (s sighting) String() string {
	return fmt.Sprintf("%v %v in %d out %d flags %v", s.Family, s.Event, s.In, s.Out, s.Flags)
}

// A watcher notes every packet at every event.
type watcher struct {
	mu   sync.Mutex
	seen []sighting
}

func watch(t *testing.T, inst *netstack.Instance) *watcher {
	t.Helper()
	w := new(watcher)
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		for _, event := range packetEvents {
			register(t, inst, family, event, packet.Hook{Name: "watcher", Hint: hooks.HintFirst, Func: func(c *packet.Context) hooks.Verdict {
				if c.Instance != inst.ID() || c.Packet.Family() != c.Family {
					t.Errorf("instance %d, family %v with a packet of %v", c.Instance, c.Family, c.Packet.Family())
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				w.seen = append(w.seen, sighting{c.Family, c.Event, c.In, c.Out, c.Flags})
				return hooks.Accept
			}})
		}
	}
	return w
}

func (w *watcher) all() []sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

func register(t *testing.T, inst *netstack.Instance, family packet.Family, event packet.Event, h packet.Hook) *hooks.Handle {
	t.Helper()
	handle, err := inst.Register(family, event, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handle.Unregister() })
	return handle
}

// The rows of hook_pkt_event(9S) and spec 1.2: which fields are set at which event, in which order.
func TestCase086_Forwarded(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{ID: 42})
			w := watch(t, r.Instance)
			r.left.send(udp(t, f.left, f.right, 64, []byte("x")))
			r.right.receive()
			family := packet.Inet
			if f.left.Is6() {
				family = packet.Inet6
			}
			want := []sighting{
				{family, packet.PhysicalIn, r.a.Index(), 0, 0},
				{family, packet.Forwarding, r.a.Index(), r.b.Index(), 0},
				{family, packet.PhysicalOut, 0, r.b.Index(), 0},
			}
			if diff := cmp.Diff(want, w.all()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Each fragment that goes out meets PHYSICAL_OUT.
func TestCase086_OutPerFragment(t *testing.T) {
	r := newRouter4(t, 1500, 576, offloads)
	w := watch(t, r.Instance)
	r.left.send(udp(t, left4, right4, 64, make([]byte, 1400)))
	for range 3 {
		r.right.receive()
	}
	out := sighting{packet.Inet, packet.PhysicalOut, 0, r.b.Index(), 0}
	want := []sighting{
		{packet.Inet, packet.PhysicalIn, r.a.Index(), 0, 0},
		{packet.Inet, packet.Forwarding, r.a.Index(), r.b.Index(), 0},
		out, out, out,
	}
	if diff := cmp.Diff(want, w.all()); diff != "" {
		t.Error(diff)
	}
}

// What is dropped at LOOPBACK_OUT never comes to LOOPBACK_IN.
func TestCase089_DropAtLoopbackOut(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	register(t, r.Instance, packet.Inet, packet.LoopbackOut, packet.Hook{Name: "dropper", Func: func(*packet.Context) hooks.Verdict { return hooks.Drop }})
	c, err := r.Dial(t.Context(), "udp", "127.0.0.1:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.settledWhen(func(s netstack.Stats) bool { return s.Drops["hook"] > 0 })
	if diff := cmp.Diff([]sighting{{packet.Inet, packet.LoopbackOut, 0, 1, 0}}, w.all()); diff != "" {
		t.Error(diff)
	}
}

// PHYSICAL_IN sees every fragment, before the host stack puts them together.
func TestCase092_Fragments(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	c, err := r.ListenPacket("udp", ":4321")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	whole := filled(t, udp(t, left4, a4, 64, make([]byte, 3000)))
	defer whole.Release()
	whole.Parse()
	var f packet.Fragmenter
	if reason := f.Init(whole, 1500); reason != hooks.ReasonNone {
		t.Fatal(packet.ReasonName(reason))
	}
	fragments := 0
	for part := packet.Get(1500); f.Next(part); fragments++ {
		r.left.send(part.Bytes())
	}
	if n, _, err := c.ReadFrom(make([]byte, 4000)); n != 3000 || err != nil {
		t.Errorf("%d bytes arrived, %v", n, err)
	}
	want := slices.Repeat([]sighting{{packet.Inet, packet.PhysicalIn, r.a.Index(), 0, 0}}, fragments)
	if diff := cmp.Diff(want, w.all()); diff != "" || fragments != 3 {
		t.Errorf("%d fragments; %s", fragments, diff)
	}
}

// The flags are those of the link-layer destination, and only at PHYSICAL_IN. A TUN device has none, and the IP destination
// stands in: what is left for devices with link-layer addresses (TAP) is a broadcast frame around an IP unicast.
func TestCase094_FlagsOfTheDestination(t *testing.T) {
	for name, c := range map[string]struct {
		src, dst string
		family   packet.Family
		flags    packet.Flags
	}{
		"multicast":  {"10.0.1.2", "224.0.0.251", packet.Inet, packet.Multicast},
		"broadcast":  {"10.0.1.2", "255.255.255.255", packet.Inet, packet.Broadcast},
		"unicast":    {"10.0.1.2", "10.0.1.1", packet.Inet, 0},
		"multicast6": {"fd00:1::2", "ff02::fb", packet.Inet6, packet.Multicast},
		"unicast6":   {"fd00:1::2", "fd00:1::1", packet.Inet6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			socket, err := r.ListenPacket("udp", ":4321") // or the unicast would be answered
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			w := watch(t, r.Instance)
			r.left.send(udp(t, netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst), 1, nil))
			r.settled(1)
			if diff := cmp.Diff([]sighting{{c.family, packet.PhysicalIn, r.a.Index(), 0, c.flags}}, w.all()); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("no flags at other events", func(t *testing.T) {
		r := newRouter(t, netstack.Config{})
		w := watch(t, r.Instance)
		c, err := r.Dial(t.Context(), "udp4", "224.0.0.251:9") // PHYSICAL_OUT with a multicast destination
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		r.left.send(udp(t, left4, right4, 64, nil)) // PHYSICAL_IN, FORWARDING, PHYSICAL_OUT
		r.right.receive()
		r.settled(1)
		events := map[packet.Event]bool{}
		for _, s := range w.all() {
			events[s.Event] = true
			if s.Flags != 0 {
				t.Error(s)
			}
		}
		for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
			if !events[event] {
				t.Errorf("%v was never run", event)
			}
		}
	})
}

// Local traffic meets LOOPBACK_OUT, then LOOPBACK_IN, both with the interface that owns the destination, and no PHYSICAL event.
func TestCase089_Loopback(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "10.0.1.1", "::1", "fd00:2::1"} {
		t.Run(address, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			echoUDP(t, r.Instance, "[::]:7")
			w := watch(t, r.Instance)
			c, err := r.Dial(t.Context(), "udp", net.JoinHostPort(address, "7"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			exchange(t, c, "hello")
			local := netip.MustParseAddrPort(c.LocalAddr().String())
			if local.Addr() != netip.MustParseAddr(address) {
				t.Errorf("source %v, want the destination itself", local)
			}
			family, index := packet.Inet, uint32(1) // lo
			switch address {
			case "::1":
				family = packet.Inet6
			case "10.0.1.1":
				index = r.a.Index()
			case "fd00:2::1":
				family, index = packet.Inet6, r.b.Index()
			}
			out, in := sighting{family, packet.LoopbackOut, 0, index, 0}, sighting{family, packet.LoopbackIn, index, 0, 0}
			if diff := cmp.Diff([]sighting{out, in, out, in}, w.all()); diff != "" { // the question and the answer
				t.Error(diff)
			}
		})
	}
}

// A packet for one of our addresses: PHYSICAL_IN and nothing else; the answer: PHYSICAL_OUT and nothing else.
func TestCase085_Local(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	w := watch(t, r.Instance)
	r.left.send(echoRequest(t, left4, b4)) // weak host model: it arrives on a and belongs to b
	p := r.left.receive()
	if typ, _, _, _ := icmpOf(p); typ != 0 || p.Source() != b4 {
		t.Errorf("answer of type %d from %v", typ, p.Source())
	}
	want := []sighting{
		{packet.Inet, packet.PhysicalIn, r.a.Index(), 0, 0},
		{packet.Inet, packet.PhysicalOut, 0, r.a.Index(), 0},
	}
	if diff := cmp.Diff(want, w.all()); diff != "" {
		t.Error(diff)
	}
}

// Drop, with and without a reason, and what later events see.
func TestDrop(t *testing.T) {
	for name, c := range map[string]struct {
		verdict hooks.Verdict
		reason  string
	}{
		"plain":   {hooks.Drop, "hook"},
		"zero":    {0, "hook"},
		"reason":  {hooks.DropWith(packet.ReasonProhibited), "prohibited"},
		"unknown": {hooks.DropWith(40000), "hook_other"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			w := watch(t, r.Instance)
			register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "dropper", Func: func(*packet.Context) hooks.Verdict { return c.verdict }})
			r.left.send(udp(t, left4, right4, 64, nil))
			if s := r.settled(1); s.Drops[c.reason] != 1 {
				t.Errorf("stats: %+v", s)
			}
			if seen := w.all(); len(seen) != 1 {
				t.Errorf("dropped at PHYSICAL_IN and yet seen: %v", seen)
			}
			r.right.none()
			r.left.none()
		})
	}
}

// A stolen packet is the hook's: it may keep it and release it later.
func TestSteal(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	stolen := make(chan *packet.Packet, 1)
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "thief", Func: func(c *packet.Context) hooks.Verdict {
		stolen <- c.Packet
		return hooks.Steal
	}})
	sent := udp(t, left4, right4, 64, []byte("mine"))
	r.left.send(sent)
	p := <-stolen
	for range 100 { // the worker goes on and does not touch it
		r.left.send(udp(t, left6, right6, 64, []byte("yours")))
		r.right.receive()
	}
	if diff := cmp.Diff(sent, p.Bytes()); diff != "" {
		t.Error(diff)
	}
	p.Release()
	if s := r.settled(101); s.Stolen != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A destination rewritten at PHYSICAL_IN changes the route; at FORWARDING and PHYSICAL_OUT the way is decided.
func TestCase087_RewriteDestination(t *testing.T) {
	for _, c := range []struct {
		at       packet.Event
		rerouted bool
	}{{packet.PhysicalIn, true}, {packet.Forwarding, false}, {packet.PhysicalOut, false}} {
		t.Run(c.at.String(), func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			register(t, r.Instance, packet.Inet, c.at, packet.Hook{Name: "nat", Func: func(c *packet.Context) hooks.Verdict {
				c.Packet.SetDestination(left4)
				return hooks.Accept
			}})
			r.left.send(udp(t, left4, right4, 64, []byte("x")))
			at := r.right
			if c.rerouted {
				at = r.left
			}
			p := at.receive()
			if p.Destination() != left4 || !p.TransportChecksumValid() {
				t.Errorf("destination %v, checksum valid %v", p.Destination(), p.TransportChecksumValid())
			}
		})
	}
}

// A destination set to 0.0.0.0 or :: at PHYSICAL_IN ends the packet (spec 6.2).
func TestCase088_RewriteDestinationToNowhere(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		register(t, r.Instance, family, packet.PhysicalIn, packet.Hook{Name: "nat", Func: func(c *packet.Context) hooks.Verdict {
			c.Packet.SetDestination(map[packet.Family]netip.Addr{packet.Inet: netip.IPv4Unspecified(), packet.Inet6: netip.IPv6Unspecified()}[c.Family])
			return hooks.Accept
		}})
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	r.left.send(udp(t, left6, right6, 64, nil))
	if s := r.settled(2); s.Drops["martian_destination"] != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// Raw edits are parsed again: a header changed without its checksum is found out.
func TestCase093_RawEditIsParsedAgain(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "vandal", Func: func(c *packet.Context) hooks.Verdict {
		c.Packet.Mutable()[8] = 17 // TTL
		return hooks.Accept
	}})
	r.left.send(udp(t, left4, right4, 64, nil))
	if s := r.settled(1); s.Drops["header_checksum"] != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A packet may grow; past the MTU at PHYSICAL_OUT it is dropped.
func TestGrow(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	register(t, r.Instance, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "grow", Func: func(c *packet.Context) hooks.Verdict {
		b := append(slices.Clone(c.Packet.Bytes()), make([]byte, 100)...)
		b[2], b[3] = byte(len(b)>>8), byte(len(b))
		b[10], b[11] = 0, 0
		sum := uint32(0)
		for k := 0; k < 20; k += 2 {
			sum += uint32(b[k])<<8 | uint32(b[k+1])
		}
		sum = sum&0xffff + sum>>16
		sum = ^(sum&0xffff + sum>>16)
		b[10], b[11] = byte(sum>>8), byte(sum)
		if err := c.Packet.Replace(b); err != nil {
			t.Error(err)
		}
		return hooks.Accept
	}})
	small, big := udp(t, left4, right4, 64, make([]byte, 100)), udp(t, left4, right4, 64, make([]byte, 1450))
	r.left.send(small)
	if p := r.right.receive(); p.Len() != len(small)+100 {
		t.Errorf("length %d", p.Len())
	}
	r.left.send(big)
	if s := r.settled(2); s.Drops["hook_grew"] != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A hook that panics loses its packet, then answers Drop; FailOpen ones are passed over. The instance goes on.
func TestPanickingHook(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("failopen=%v", open), func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			var flags hooks.Flags
			if open {
				flags = hooks.FlagFailOpen
			}
			register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "clumsy", Flags: flags, Func: func(*packet.Context) hooks.Verdict { panic("oops") }})
			for range 3 {
				r.left.send(udp(t, left4, right4, 64, nil))
			}
			s := r.settled(3)
			want := map[string]uint64{"panic": 1, "disabled": 2}
			if open {
				want = map[string]uint64{"panic": 1}
			}
			if diff := cmp.Diff(want, s.Drops); diff != "" {
				t.Error(diff)
			}
			r.left.send(udp(t, left6, right6, 64, nil)) // the other family is not concerned
			for r.right.receive().Family() != packet.Inet6 {
			}
		})
	}
}

// One hook that wants segments makes the event see segments; events before it still see the superpacket.
func TestSegmentsWanted(t *testing.T) {
	for _, at := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		t.Run(at.String(), func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			register(t, r.Instance, packet.Inet6, at, packet.Hook{Name: "fine", Flags: hooks.FlagSegments, Func: func(c *packet.Context) hooks.Verdict {
				if c.Packet.Offload.GSO != packet.GSONone || c.Packet.Len() > 1500 {
					t.Errorf("saw a superpacket: %v", c.Packet)
				}
				return hooks.Accept
			}})
			w := watch(t, r.Instance)
			b, o := superpacket(t, left6, right6, 5000, 1400)
			r.left.sendOffload(b, o)
			for range 4 {
				r.right.receive()
			}
			s := r.settled(1)
			if s.Split != 1 || s.Made != 4 {
				t.Errorf("stats: %+v", s)
			}
			count := map[packet.Event]int{}
			for _, seen := range w.all() {
				count[seen.Event]++
			}
			for _, e := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
				want := 1
				if order[e] >= order[at] {
					want = 4
				}
				if count[e] != want {
					t.Errorf("%v saw %d packets, want %d", e, count[e], want)
				}
			}
		})
	}
}

var order = map[packet.Event]int{packet.PhysicalIn: 0, packet.Forwarding: 1, packet.PhysicalOut: 2}

// echoUDP answers datagrams in the instance's host stack.
func echoUDP(t *testing.T, inst *netstack.Instance, address string) {
	t.Helper()
	c, err := inst.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() {
		b := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if _, err := c.WriteTo(b[:n], from); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		server.Wait()
	})
}

// exchange writes a message and expects it back.
func exchange(t *testing.T, c net.Conn, message string) {
	t.Helper()
	if _, err := c.Write([]byte(message)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(message))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != message {
		t.Fatalf("got %q, %v", b, err)
	}
}
