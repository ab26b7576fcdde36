// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A shaken router has traffic in both directions, to itself and from itself, while everything about it changes: by several
// goroutines, inside packet hooks, and inside hooks of NIC events. far holds the far end of the device that each interface has.
type shaken struct {
	*netstack.Instance
	t    *testing.T
	name [2]string
	f    [2]*netstack.Interface
	far  [2]atomic.Pointer[bundle]

	stop    chan struct{}
	workers sync.WaitGroup
	readers sync.WaitGroup
}

// A bundle is a device of several queues, each of which is a device.
type bundle struct {
	tun.Device // the first
	all        []tun.Device
}

func (b *bundle) Queues() int { return len(b.all) }

func (b *bundle) Read(queue int, pkts []*packet.Packet) (int, error) {
	return b.all[queue].Read(0, pkts)
}

func (b *bundle) Write(queue int, pkts []*packet.Packet) (int, error) {
	return b.all[queue].Write(0, pkts)
}

func (b *bundle) Close() error {
	for _, dev := range b.all {
		_ = dev.Close()
	}
	return nil
}

// device makes a device of one to three queues for an interface, whose far ends are read until they are gone.
func (s *shaken) device(n int) tun.Device {
	var near, far bundle
	for range 1 + rand.IntN(3) {
		a, b := tun.Pair(tun.PairConfig{Names: [2]string{s.name[n], ""}, Features: offloads, QueueLen: 64})
		near.all, far.all = append(near.all, a), append(far.all, b)
		s.readers.Go(func() { // ends with the device
			batch := make([]*packet.Packet, 32)
			for {
				if _, err := b.Read(0, batch); err != nil {
					break
				}
			}
			for _, p := range batch {
				if p != nil {
					p.Release()
				}
			}
		})
	}
	near.Device, far.Device = near.all[0], far.all[0]
	s.far[n].Store(&far)
	return &near
}

// repeat runs f, with random numbers of its own, until the end.
func (s *shaken) repeat(f func(rng *rand.Rand)) {
	seed := rand.Uint64()
	s.workers.Go(func() {
		for rng := rand.New(rand.NewPCG(seed, 0)); ; {
			select {
			case <-s.stop:
				return
			default:
				f(rng)
			}
		}
	})
}

// expect reports errors that are none of those that such changes may meet.
func (s *shaken) expect(err error) {
	for _, ok := range []error{nil, netstack.ErrClosed, netstack.ErrExists, netstack.ErrNotFound, netstack.ErrInvalid, hooks.ErrInHook} {
		if errors.Is(err, ok) {
			return
		}
	}
	s.t.Error(err)
}

// change makes one of the changes that may be made anywhere, inside packet hooks too.
func (s *shaken) change(rng *rand.Rand) {
	n := rng.IntN(2)
	f := s.f[n]
	route := netstack.Route{Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rng.IntN(8))}), 32), Interface: s.name[n], Metric: uint32(rng.IntN(2))}
	address := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n + 1), byte(rng.IntN(3) + 10)}), 24)
	switch rng.IntN(9) {
	case 0:
		s.expect(f.SetMTU(1280 + rng.IntN(300)))
	case 1:
		s.expect(f.SetUp(rng.IntN(8) != 0))
	case 2:
		s.expect(s.AddRoute(route))
	case 3:
		s.expect(s.RemoveRoute(route.Destination, route.Metric))
	case 4:
		s.expect(s.ReplaceRoute(route))
	case 5:
		s.expect(f.AddAddress(address))
	case 6:
		s.expect(f.RemoveAddress(address.Addr()))
	case 7:
		s.expect(f.ReplaceAddress(address.Addr(), netip.PrefixFrom(address.Addr(), 25+rng.IntN(4))))
	case 8:
		s.expect(f.SetSourceValidation(netstack.SourceValidation(rng.IntN(3))))
	}
}

// Nothing that changes at the same time as something else, or as packets pass, stops the instance, races, or loses a packet from
// the books; and Close ends it, by two at once and from inside a hook of NIC events.
func TestEverythingAtOnce(t *testing.T) {
	inst, err := netstack.New(netstack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &shaken{Instance: inst, t: t, name: [2]string{"a", "b"}, stop: make(chan struct{})}
	for n, addresses := range [][]string{{"10.0.1.1/24", "fd00:1::1/64"}, {"10.0.2.1/24", "fd00:2::1/64"}} {
		if s.f[n], err = inst.AddInterface(s.device(n), netstack.InterfaceConfig{Addresses: prefixes(addresses...)}); err != nil {
			t.Fatal(err)
		}
	}

	// Traffic: forwarded, fragmented, delivered, answered, refused.
	traffic := [2][][]byte{
		{segment(t, netip.AddrPortFrom(left4, 1000), netip.AddrPortFrom(right4, 80), "A", 1, 1, 1400), udp(t, left4, right4, 64, make([]byte, 1400)), udp(t, left6, right6, 64, nil), echoRequest(t, left4, a4), udp(t, left4, right4, 1, nil), udp(t, left4, netip.MustParseAddr("192.0.2.3"), 64, nil)},
		{segment(t, netip.AddrPortFrom(right4, 80), netip.AddrPortFrom(left4, 1000), "A", 1, 1401, 0), udp(t, right4, left4, 64, make([]byte, 1400)), udp(t, right6, left6, 64, nil), echoRequest(t, right4, b4), echoRequest(t, right6, b6)},
	}
	for n := range traffic {
		s.repeat(func(rng *rand.Rand) {
			p := packet.Get(packet.MaxLen)
			_ = p.Fill(traffic[n][rng.IntN(len(traffic[n]))])
			far := s.far[n].Load()
			_, _ = far.Write(rng.IntN(far.Queues()), []*packet.Packet{p})
			p.Release()
			if rng.IntN(64) == 0 {
				time.Sleep(time.Millisecond) // let others have the processor
			}
		})
	}
	s.repeat(func(rng *rand.Rand) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		defer cancel()
		c, err := inst.Dial(ctx, []string{"tcp", "udp"}[rng.IntN(2)], []string{"10.0.2.2:80", "10.0.1.1:80", "[fd00:2::2]:80"}[rng.IntN(3)])
		if err == nil {
			_, _ = c.Write(make([]byte, 100))
			_ = c.Close()
		}
	})
	s.repeat(func(*rand.Rand) {
		if l, err := inst.Listen("tcp", "10.0.1.1:80"); err == nil {
			time.Sleep(time.Millisecond)
			_ = l.Close()
		}
	})

	// Changes from outside.
	for range 2 {
		s.repeat(func(rng *rand.Rand) { s.change(rng); time.Sleep(100 * time.Microsecond) })
	}
	s.repeat(func(rng *rand.Rand) {
		n := rng.IntN(2)
		dev := s.device(n)
		if rng.IntN(4) == 0 {
			_ = s.far[n].Load().Close() // gone before it comes
		}
		if err := s.f[n].ReplaceDevice(dev); err != nil {
			s.expect(err)
			_ = dev.Close()
		}
		time.Sleep(time.Millisecond)
	})
	for range 2 {
		s.repeat(func(rng *rand.Rand) {
			near, far := tun.Pair(tun.PairConfig{Names: [2]string{fmt.Sprint("c", rng.IntN(2)), ""}})
			f, err := inst.AddInterface(near, netstack.InterfaceConfig{Addresses: prefixes(fmt.Sprintf("10.0.%d.1/24", 3+rng.IntN(2)))})
			if err != nil {
				s.expect(err)
				_ = near.Close()
				return
			}
			_ = inst.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("10.0.1.0/24"), Interface: f.Name(), Metric: 3})
			if rng.IntN(2) == 0 {
				_ = far.Close()
			}
			s.expect(f.Close())
		})
	}

	// Hooks that come and go; hooks that change things themselves.
	var mu sync.Mutex
	inside := rand.New(rand.NewPCG(7, 7))
	chosen := func(of int) *rand.Rand { // nil: not this time
		mu.Lock()
		defer mu.Unlock()
		if inside.IntN(of) != 0 {
			return nil
		}
		return rand.New(rand.NewPCG(inside.Uint64(), 0))
	}
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut, packet.LoopbackOut} {
		register(t, inst, packet.Inet, event, packet.Hook{Name: "changes", Func: func(*packet.Context) hooks.Verdict {
			if rng := chosen(500); rng != nil {
				s.change(rng)
			}
			return hooks.Accept
		}})
	}
	s.repeat(func(rng *rand.Rand) {
		event := []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut}[rng.IntN(3)]
		var h atomic.Pointer[hooks.Handle]
		registered, err := inst.Register(packet.Inet, event, packet.Hook{Name: "passes", Flags: hooks.FlagSegments, Func: func(c *packet.Context) hooks.Verdict {
			switch {
			case h.Load() != nil && c.Packet.Len()%2 != 0:
				h.Load().Retire()
			case c.Packet.Len()%5 == 0:
				_ = inst.QueueOut(c.Packet.Clone(), h.Load())
			}
			return hooks.Accept
		}})
		if err != nil {
			s.expect(err)
			return
		}
		h.Store(registered)
		time.Sleep(time.Millisecond)
		if err := registered.Unregister(); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.expect(err)
		}
	})
	var segments atomic.Uint64
	s.repeat(func(*rand.Rand) {
		helper, err := inst.Helpers().Load(khelp.Config{Name: "counts", Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: func(*hhook.Call) { segments.Add(1) }},
			{Type: hhook.TCP, ID: netstack.TCPEstablishedIn, Func: func(*hhook.Call) { segments.Add(1) }},
		}})
		if err != nil {
			s.expect(err)
			return
		}
		time.Sleep(2 * time.Millisecond)
		if err := inst.UnloadHelper(helper); !errors.Is(err, khelp.ErrNotFound) { // with the instance
			s.expect(err)
		}
	})
	var closedInside atomic.Bool
	closing := make(chan struct{})
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		_, err := inst.RegisterNICEvents(family, hooks.Hook[packet.NICEvent]{Name: "changes", Func: func(packet.NICEvent) hooks.Verdict {
			select {
			case <-closing:
				closedInside.Store(true)
				s.expect(inst.Close())
			default:
			}
			if rng := chosen(20); rng != nil {
				s.change(rng)
				n := rng.IntN(2)
				if dev := s.device(n); s.f[n].ReplaceDevice(dev) != nil {
					_ = dev.Close()
				}
			}
			return hooks.Accept
		}})
		if err != nil {
			t.Fatal(err)
		}
	}

	time.Sleep(2 * time.Second) // of trouble: nothing to wait for
	before := inst.Stats()
	close(closing)
	var closers sync.WaitGroup
	for range 2 {
		closers.Go(func() { s.expect(inst.Close()) })
	}
	closers.Wait()
	close(s.stop)
	s.workers.Wait()
	for n := range s.far {
		_ = s.far[n].Load().Close()
	}
	s.readers.Wait()
	after := inst.Stats()
	if err := after.Balance(); err != nil {
		t.Error(err)
	}
	for what, n := range map[string]uint64{"forwarded": before.Forwarded, "delivered": before.Delivered, "sent by the host stack": before.FromHost, "made": before.Made, "seen at a TCP point": segments.Load()} {
		if n == 0 {
			t.Errorf("no packet was %s: %+v", what, before)
		}
	}
	if _, err := inst.Dial(context.Background(), "udp", "10.0.2.2:80"); !errors.Is(err, net.ErrClosed) && !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("a closed instance dials: %v", err)
	}
	t.Logf("closed inside a hook: %v; %+v", closedInside.Load(), after)
}
