// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// Faults that a review found, each shown here by what went wrong.

// A hook may make a segment a superpacket again, which is cut while the first is still being cut: no segment is lost.
func TestSplitInsideSplit(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	dst := netip.MustParseAddr("192.0.2.9")
	plain := plainLeg(t, r, dst)
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "segments", Flags: hooks.FlagSegments, Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }})
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "smaller", Func: func(c *packet.Context) hooks.Verdict {
		if len(c.Packet.Transport()) > 700 && c.Packet.DeferChecksum() {
			c.Packet.Offload.GSO, c.Packet.Offload.SegmentSize = packet.GSOTCP4, 500
			c.Packet.Mutable()
		}
		return hooks.Accept
	}})
	b, o := superpacket(t, left4, dst, 10000, 1000)
	r.left.sendOffload(b, o)
	for range 20 {
		plain.receive()
	}
	r.settled(1)
}

// An address on lo is answered from to other hosts: its packets come without checksums and must not leave so.
func TestAddressOnLoopback(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	lo, _ := r.Interface("lo")
	address := netip.MustParseAddr("10.9.9.9")
	if err := lo.AddAddress(netip.PrefixFrom(address, 32)); err != nil {
		t.Fatal(err)
	}
	echoUDP(t, r.Instance, "10.9.9.9:4321")
	r.left.send(udp(t, left4, address, 64, []byte("hello")))
	if p := r.left.receive(); p.Source() != address || !p.TransportChecksumValid() {
		t.Errorf("answer: %v", p)
	}
}

// Close does not wait for traffic to cease: only for what was queued before.
func TestCloseUnderPingFlood(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	register(t, r.Instance, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "slow", Func: func(*packet.Context) hooks.Verdict {
		for start := time.Now(); time.Since(start) < 50*time.Microsecond; { // a sleep would take a timer's tick, for each of 1024 in the queue
		}
		return hooks.Accept
	}})
	stop := make(chan struct{})
	var flood sync.WaitGroup
	flood.Go(func() {
		p := filled(t, echoRequest(t, left4, a4))
		defer p.Release()
		for {
			select {
			case <-stop:
				return
			case <-r.left.seen:
			default:
				r.left.dev.Write(0, []*packet.Packet{p}) // full now and then, and gone in the end
			}
		}
	})
	eventually(t, "the flood", func() bool { return r.Stats().Sent >= 100 })
	closed := make(chan struct{})
	go func() {
		r.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(25 * time.Second):
		t.Error("Close waits for the flood to end")
	}
	close(stop)
	flood.Wait()
	<-closed
}

// A datagram whose fragments add up to a wrong checksum is not delivered; a right one is.
func TestReassembledChecksumIsVerified(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	c, err := r.ListenPacket("udp", ":4321")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := func(corrupt bool) {
		b := udp(t, left4, a4, 64, make([]byte, 1000))
		if corrupt {
			b[500] ^= 0xff
		}
		whole := filled(t, b)
		defer whole.Release()
		whole.Parse()
		var fragmenter packet.Fragmenter
		if reason := fragmenter.Init(whole, 576); reason != hooks.ReasonNone {
			t.Fatal(packet.ReasonName(reason))
		}
		part := packet.Get(576)
		defer part.Release()
		for fragmenter.Next(part) {
			r.left.send(part.Bytes())
		}
	}
	send(true)
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, _, err := c.ReadFrom(make([]byte, 2000)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a corrupt datagram of %d bytes was delivered; %v", n, err)
	}
	send(false)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := c.ReadFrom(make([]byte, 2000)); n != 1000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// RFC 8200 section 5: no IPv6 route leads by an MTU of less than 1280. TestRFC8200NoIPv6BelowMinimumMTU has what shrinks later.
func TestNoIPv6OnSmallMTU(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "small", MTU: 1000})
	route := netstack.Route{Destination: netip.MustParsePrefix("2001:db8::/32"), Interface: "small"}
	if err := r.AddRoute(route); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("IPv6 route by an MTU of 1000: %v", err)
	}
}

// Who uses one of our addresses from outside cannot aim errors at our sockets.
func TestNoErrorToOurselvesForOthers(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	r.left.send(udp(t, b4, netip.MustParseAddr("203.0.113.1"), 64, []byte("x")))
	r.left.send(udp(t, b4, right4, 1, []byte("x")))
	if s := r.settled(2); s.Made != 0 || s.Delivered != 0 || s.Drops["martian_source"] != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// DirectOut says so if a superpacket cannot be cut.
func TestDirectOutOfWhatCannotBeCut(t *testing.T) {
	r := newRouterMTU(t, netstack.Config{}, 1500, 1500, 0)
	b, o := superpacket(t, a4, left4, 3000, 1000)
	b[20+13] |= 2 // SYN
	p := filled(t, b)
	p.Offload = o
	if err := r.DirectOut(p, r.a.Index()); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	r.settled(0)
}

// A hook that ends its goroutine, as t.Fatal in a test does, costs its packet; Unregister and Close still return.
func TestHookEndsItsGoroutine(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	h, err := r.Register(packet.Inet, packet.PhysicalOut, packet.Hook{Name: "goexit", Func: func(*packet.Context) hooks.Verdict {
		runtime.Goexit()
		return hooks.Accept
	}})
	if err != nil {
		t.Fatal(err)
	}
	w := watch(t, r.Instance)
	if err := r.QueueOut(filled(t, udp(t, a4, right4, 64, nil)), nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hook", func() bool { return len(w.all()) > 0 })
	if err := h.Unregister(); err != nil {
		t.Error(err)
	}
	if err := r.QueueOut(filled(t, udp(t, a4, right4, 64, nil)), nil); err != nil {
		t.Fatal(err)
	}
	r.right.receive()
}

// What comes while the goroutine ends waits for the next one, and is held as long as a hook has it.
func TestHookEndsItsGoroutineUnderPackets(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	ending, entered, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	register(t, r.Instance, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "goexit", Func: func(c *packet.Context) hooks.Verdict {
		if c.Packet.TTL() == 13 {
			ending <- struct{}{}
			runtime.Goexit()
		}
		entered <- struct{}{}
		<-goOn
		return hooks.Accept
	}})
	for range 500 {
		must(t, r.QueueOut(filled(t, udp(t, a4, right4, 13, nil)), nil))
		<-ending
		must(t, r.QueueOut(filled(t, udp(t, a4, right4, 64, nil)), nil))
		<-entered
		for range 20 {
			if s := r.Stats(); s.Held != 1 {
				t.Fatalf("held %d, want 1: %+v", s.Held, s)
			}
		}
		goOn <- struct{}{}
		r.right.receive()
	}
}

// It does not cost the device its reader either.
func TestHookEndsTheReader(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "goexit", Func: func(c *packet.Context) hooks.Verdict {
		if c.Packet.TTL() == 13 {
			runtime.Goexit()
		}
		return hooks.Accept
	}})
	for _, ttl := range []uint8{64, 13, 13, 64} {
		r.left.send(udp(t, left4, right4, ttl, nil))
		if ttl == 64 {
			r.right.receive()
		}
	}
	if s := r.settled(4); s.Forwarded != 2 || s.Drops["panic"] != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// A superpacket that a hook makes at PHYSICAL_OUT is cut for a device that takes none, as FuzzIngest found.
func TestSuperpacketMadeAtPhysicalOut(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	dst := netip.MustParseAddr("192.0.2.9")
	plain := plainLeg(t, r, dst)
	register(t, r.Instance, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "super", Func: func(c *packet.Context) hooks.Verdict {
		if c.Packet.DeferChecksum() {
			c.Packet.Offload.GSO, c.Packet.Offload.SegmentSize = packet.GSOUDP4, 100
		}
		return hooks.Accept
	}})
	r.left.send(udp(t, left4, dst, 64, make([]byte, 250)))
	for _, want := range []int{100, 100, 50} {
		if p := plain.receive(); p.Len() != 28+want || p.Offload != (packet.Offload{}) || !p.TransportChecksumValid() {
			t.Errorf("%v %+v, want %d bytes of payload", p, p.Offload, want)
		}
	}
}

// A hook on a TCP point that ends its goroutine each time, with a batch about to be written, costs nothing but the run: what it
// looked at is written, by the reader of a device and by the goroutine of a queue, and both go on.
func TestTCPPointEndsItsGoroutine(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	ended := 0
	if _, err := r.Points().AddLookup(hhook.Hook{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Name: "goexit", Func: func(*hhook.Call) {
		ended++
		runtime.Goexit()
	}}); err != nil {
		t.Fatal(err)
	}
	b := segment(t, netip.AddrPortFrom(left4, 1000), netip.AddrPortFrom(right4, 80), "A", 1, 1, 10)
	for range 3 {
		r.left.send(b)
		r.right.receive()
		if err := r.QueueOut(filled(t, b), nil); err != nil {
			t.Fatal(err)
		}
		r.right.receive()
	}
	if s := r.settled(3); s.Sent != 6 {
		t.Errorf("stats: %+v", s)
	}
	if ended != 6 {
		t.Errorf("the hook ran %d times, want 6", ended)
	}
}

// A hook that ends the reader's goroutine at a fragment costs that, those behind it and the datagram, and all are accounted for.
func TestHookEndsTheReaderAtAFragment(t *testing.T) {
	r := newRouterMTU(t, netstack.Config{}, 1500, 1280, offloads)
	register(t, r.Instance, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "goexit", Func: func(c *packet.Context) hooks.Verdict {
		if c.Packet.FragmentOffset() != 0 {
			runtime.Goexit()
		}
		return hooks.Accept
	}})
	r.left.send(udp(t, left4, right4, 64, make([]byte, 1400)))
	if p := r.right.receive(); !p.IsFragment() {
		t.Errorf("got %v, want the first fragment", p)
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
	r.settled(2) // looks at the books
}

// ending runs f, a hook's caller, on a goroutine that the hook ends, and waits for that.
func ending(f func()) {
	var caller sync.WaitGroup
	caller.Go(f)
	caller.Wait()
}

// A hook of NIC events that ends its goroutine costs its event; those behind it come, and Close returns.
func TestNICEventHookEndsItsGoroutine(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	seen := make(chan packet.NICEventType, 16)
	if _, err := r.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "goexit", Func: func(e packet.NICEvent) hooks.Verdict {
		seen <- e.Type
		runtime.Goexit()
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []packet.NICEventType{packet.NICLIFUp, packet.NICLIFDown, packet.NICLIFUp} {
		var err error
		if address := netip.MustParsePrefix("10.0.9.1/24"); want == packet.NICLIFUp {
			err = r.a.AddAddress(address)
		} else {
			err = r.a.RemoveAddress(address.Addr())
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%v did not come", want)
		}
	}
}

// A hook on a socket point that ends the goroutine of the socket's user leaves nothing that Close waits for.
func TestSocketHookEndsItsGoroutine(t *testing.T) {
	for name, id := range map[string]hhook.ID{"create": netstack.SocketCreate, "send": netstack.SocketSend, "receive": netstack.SocketReceive, "close": netstack.SocketClose} {
		t.Run(name, func(t *testing.T) {
			inst, err := netstack.New(netstack.Config{})
			if err != nil {
				t.Fatal(err)
			}
			a, err := inst.Points().AddLookup(hhook.Hook{Type: hhook.Socket, ID: id, Name: "goexit", Func: func(*hhook.Call) { runtime.Goexit() }})
			if err != nil {
				t.Fatal(err)
			}
			returned := false
			ending(func() {
				c, err := inst.ListenPacket("udp4", "127.0.0.1:0")
				if err == nil {
					_, err = c.WriteTo([]byte("x"), c.LocalAddr())
				}
				if err == nil {
					_, _, err = c.ReadFrom(make([]byte, 1))
				}
				if err == nil {
					err = c.Close()
				}
				if err != nil {
					t.Error(err)
				}
				returned = true
			})
			if returned {
				t.Error("the hook did not run")
			}
			if err := a[0].Remove(); err != nil {
				t.Error(err)
			}
			closed := make(chan error, 1)
			go func() { closed <- inst.Close() }() // it returns, or the test fails
			select {
			case err := <-closed:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("Close waits")
			}
		})
	}
}

// Whatever would wait for hooks is refused inside one, and does not wait for itself; nor for a function of a helper, whose object is
// locked meanwhile, or for EachFlow.
func TestCloseInsideHook(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	calls := make(map[string]int) // one goroutine after the other
	try := func(where string) {
		for name, err := range map[string]error{
			"Interface.Close, where the packet came from": r.a.Close(), "Interface.Close, where it goes to": r.b.Close(),
			"ReplaceDevice": r.a.ReplaceDevice(newBadDevice()), "Instance.Close": r.Close(),
		} {
			if !errors.Is(err, hooks.ErrInHook) {
				t.Errorf("%s, %s: %v, want %v", where, name, err, hooks.ErrInHook)
			}
		}
		calls[where]++
	}
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "close", Func: func(*packet.Context) hooks.Verdict {
		try("packet")
		return hooks.Accept
	}})
	if _, err := r.Helpers().Load(khelp.Config{
		Name: "close", Classes: khelp.TCP | khelp.Socket,
		Data:  khelp.DataOf[int]{New: func(*int) error { try("New"); return nil }, Free: func(*int) { try("Free") }},
		Hooks: []hhook.Hook{{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: func(*hhook.Call) { try("segment") }}},
	}); err != nil {
		t.Fatal(err)
	}
	r.left.send(segment(t, netip.AddrPortFrom(left4, 1000), netip.AddrPortFrom(right4, 80), "A", 1, 1, 10))
	r.right.receive()
	if err := errors.Join(r.EachFlow(func(_, _ *netstack.FlowEnd) { try("EachFlow") }), r.FlushFlows()); err != nil {
		t.Fatal(err)
	}
	socket, err := r.Dial(t.Context(), "udp", netip.AddrPortFrom(left4, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"packet": 1, "segment": 1, "EachFlow": 1, "New": 3, "Free": 3} // two ends of the flow, and the socket
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
