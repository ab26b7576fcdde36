// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A watched device tells what the test lets it tell of its host's side.
type watched struct {
	tun.Device
	mu      sync.Mutex
	changed sync.Cond
	state   tun.LinkState
	err     error
}

func newWatched(dev tun.Device, state tun.LinkState) *watched {
	w := &watched{Device: dev, state: state}
	w.changed.L = &w.mu
	return w
}

func (w *watched) NextLinkState(last tun.LinkState) (tun.LinkState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.state == last {
		w.changed.Wait()
	}
	return w.state, w.err
}

func (w *watched) tell(state tun.LinkState, err error) {
	w.mu.Lock()
	w.state, w.err = state, err
	w.mu.Unlock()
	w.changed.Broadcast()
}

func (w *watched) Close() error {
	w.tell(tun.LinkState{}, net.ErrClosed)
	return w.Device.Close()
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

// A down interface sends and receives nothing, its routes do not count, its addresses remain ours.
func TestSetDown(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	must(t, r.AddRoute(netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "b"}))
	must(t, r.b.SetUp(false))
	if s := r.b.State(); s.Up || s.Running() || !s.Carrier || s.Gone {
		t.Errorf("state: %+v", s)
	}
	r.right.send(udp(t, right4, left4, 64, nil))
	if s := r.settled(1); s.Drops["interface_down"] != 1 {
		t.Errorf("received while down: %+v", s)
	}
	for _, dst := range []string{"10.0.2.2", "192.0.2.1"} {
		r.left.send(udp(t, left4, addr(dst), 64, nil))
		if typ, code, _, _ := icmpOf(r.left.receive()); typ != 3 || code != 0 {
			t.Errorf("to %s: ICMP %d %d, want network unreachable", dst, typ, code)
		}
	}
	r.left.send(echoRequest(t, left4, b4))
	if typ, _, _, _ := icmpOf(r.left.receive()); typ != 0 {
		t.Error("the address of a down interface does not answer")
	}
	p := packet.Get(100)
	must(t, p.Fill(udp(t, left4, right4, 64, nil)))
	if err := r.DirectOut(p, r.b.Index()); !errors.Is(err, tun.ErrDown) {
		t.Errorf("DirectOut: %v", err)
	}
	r.settled(4)
	r.right.none()

	must(t, r.b.SetUp(true))
	for _, dst := range []string{"10.0.2.2", "192.0.2.1"} {
		r.left.send(udp(t, left4, addr(dst), 64, nil))
		r.right.receive()
	}
	r.settled(6)
}

// A route of another interface takes over where that of a down one stood.
func TestSetDownLetsOthersTakeOver(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	must(t, r.a.AddAddress(prefix("172.16.0.1/24")))
	must(t, r.b.AddAddress(prefix("172.16.0.2/24")))
	must(t, r.AddRoute(netstack.Route{Destination: prefix("172.16.0.0/16"), Interface: "a"}))
	send := func(out *wire) {
		t.Helper()
		r.left.send(udp(t, left4, addr("172.16.0.9"), 64, nil))
		out.receive()
	}
	send(r.left) // the older of two connected rows
	must(t, r.a.SetUp(false))
	must(t, r.a.SetUp(true))
	send(r.left)
	must(t, r.b.SetUp(false))
	must(t, r.a.RemoveAddress(addr("172.16.0.1")))
	send(r.left) // by the shorter prefix
	must(t, r.b.SetUp(true))
	send(r.right)
}

// The MTU of a live interface: routing and the host stack follow, connections that are there too.
func TestSetMTU(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	cable, _ := client.Interface("cable")
	l, err := server.Listen("tcp", ":80")
	must(t, err)
	defer l.Close()
	ctx, cancel := dialer(t)
	defer cancel()
	for _, address := range []string{"10.9.0.2:80", "[fd09::2]:80"} {
		must(t, cable.SetMTU(1500))
		c, err := client.Dial(ctx, "tcp", address)
		must(t, err)
		defer c.Close()
		s, err := l.Accept()
		must(t, err)
		defer s.Close()
		var longest int
		var mu sync.Mutex
		watch := packet.Hook{Name: "longest", Func: func(c *packet.Context) hooks.Verdict {
			mu.Lock()
			defer mu.Unlock()
			n := c.Packet.Len()
			if o := c.Packet.Offload; o.GSO != packet.GSONone {
				n = min(n, int(o.HeaderLen)+int(o.SegmentSize))
			}
			longest = max(longest, n)
			return hooks.Accept
		}}
		family := packet.Inet
		if address[0] == '[' {
			family = packet.Inet6
		}
		h, err := client.Register(family, packet.PhysicalOut, watch)
		must(t, err)
		send := func() int {
			t.Helper()
			mu.Lock()
			longest = 0
			mu.Unlock()
			data := bytes.Repeat([]byte("0123456789"), 20000)
			sent := make(chan error, 1)
			go func() { _, err := c.Write(data); sent <- err }()
			got := make([]byte, len(data))
			s.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%s: %v", address, err)
			}
			must(t, <-sent)
			mu.Lock()
			defer mu.Unlock()
			return longest
		}
		if n := send(); n > 1500 || n < 1460 { // gVisor leaves room for options
			t.Errorf("%s: segments of %d bytes with an MTU of 1500", address, n)
		}
		must(t, cable.SetMTU(1300))
		if n := send(); n != 1300 {
			t.Errorf("%s: segments of %d bytes after SetMTU(1300)", address, n)
		}
		// A new connection begins with it.
		must(t, cable.SetMTU(1400))
		c2, err := client.Dial(ctx, "tcp", address)
		must(t, err)
		c, s = c2, nil
		s, err = l.Accept()
		must(t, err)
		if n := send(); n > 1400 || n < 1360 {
			t.Errorf("%s: segments of %d bytes after SetMTU(1400)", address, n)
		}
		c.Close()
		s.Close()
		must(t, h.Unregister())
	}
	if s := client.Stats(); len(s.Drops) != 0 {
		t.Errorf("dropped on the way: %v", s.Drops)
	}
}

// A route's own MTU costs the host stack nothing either.
func TestRouteMTUOfOwnConnections(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	for _, p := range prefixes("10.9.0.2/32", "fd09::2/128") {
		must(t, client.AddRoute(netstack.Route{Destination: p, Interface: "cable", MTU: 1280}))
	}
	l, err := server.Listen("tcp", ":80")
	must(t, err)
	defer l.Close()
	ctx, cancel := dialer(t)
	defer cancel()
	for _, address := range []string{"10.9.0.2:80", "[fd09::2]:80"} {
		c, err := client.Dial(ctx, "tcp", address)
		must(t, err)
		defer c.Close()
		s, err := l.Accept()
		must(t, err)
		defer s.Close()
		sent := bytes.Repeat([]byte("0123456789"), 20000)
		go func() { _, _ = c.Write(sent) }() // ends with c
		got := make([]byte, len(sent))
		s.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if s := client.Stats(); len(s.Drops) != 0 {
		t.Errorf("dropped on the way: %v", s.Drops)
	}
}

// The state, the events and the MTU follow the host's side; routes do not.
func TestHostSideIsFollowed(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	l := recordNICEvents(t, inst)
	near, far := tun.Pair(tun.PairConfig{})
	wire := newWire(t, far)
	host := tun.LinkState{Name: "hn0", Index: 7, MTU: 1480}
	dev := newWatched(near, host)
	f, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "a", Addresses: prefixes("10.0.0.1/24", "fd00::1/64")})
	must(t, err)
	l.expect("inet PLUMB a", "inet6 PLUMB a")
	if s := f.State(); s.Running() || s.Carrier || !s.Up || s.Host != host || f.MTU() != 1480 {
		t.Errorf("at first: %+v, MTU %d", s, f.MTU())
	}
	if got := routesOf(inst); len(got) != 2 {
		t.Errorf("routes without a carrier: %v", got)
	}
	step := func(change func()) {
		t.Helper()
		change()
		dev.tell(host, nil)
		eventually(t, "the host's state", func() bool { return f.State().Host == host })
		must(t, f.SetUp(true)) // comes behind what is being posted
	}
	step(func() { host.Up = true })
	l.expect("inet UP a", "inet LIF_UP a 1 10.0.0.1/24", "inet6 UP a", "inet6 LIF_UP a 1 fd00::1/64")
	step(func() { host.MTU = 9000 })
	if f.MTU() != 9000 {
		t.Errorf("MTU %d, want the host's 9000", f.MTU())
	}
	step(func() { host.MTU = 1000 })
	if f.MTU() != 1280 {
		t.Errorf("MTU %d, want the 1280 that IPv6 needs", f.MTU())
	}
	must(t, f.RemoveAddress(addr("fd00::1")))
	if f.MTU() != 1000 {
		t.Errorf("MTU %d, want the host's 1000", f.MTU())
	}
	must(t, f.AddAddress(prefix("fd00::2/64")))
	if f.MTU() != 1280 {
		t.Errorf("MTU %d, want the 1280 that IPv6 needs", f.MTU())
	}
	must(t, f.RemoveAddress(addr("fd00::2")))
	l.take()
	must(t, f.SetMTU(1400))
	step(func() { host.MTU = 1500 })
	if f.MTU() != 1400 {
		t.Errorf("MTU %d, want 1400 as was set", f.MTU())
	}
	must(t, f.SetMTU(0))
	if f.MTU() != 1500 {
		t.Errorf("MTU %d, want the host's 1500", f.MTU())
	}
	step(func() { host.Name = "renamed" })
	l.expect()
	step(func() { host.Up = false })
	l.expect("inet LIF_DOWN a 1 10.0.0.1/24", "inet DOWN a")
	// The router has not been told when the first packet is here: what arrives is welcome.
	wire.send(echoRequest(t, addr("10.0.0.2"), addr("10.0.0.1")))
	wire.receive()
}

// Not to be told any more is no reason to stop.
func TestHostSideIsNotFollowedAnyMore(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	for name, first := range map[string]error{"from the beginning": errors.ErrUnsupported, "later": nil} {
		t.Run(name, func(t *testing.T) {
			near, far := tun.Pair(tun.PairConfig{})
			wire := newWire(t, far)
			dev := newWatched(near, tun.LinkState{Name: "hn0", MTU: 1480, Up: true})
			dev.err = first
			f, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "a", Addresses: prefixes("10.0.0.1/24")})
			must(t, err)
			defer f.Close()
			dev.tell(tun.LinkState{}, errors.ErrUnsupported)
			wire.send(echoRequest(t, addr("10.0.0.2"), addr("10.0.0.1")))
			wire.receive()
			if s := f.State(); !s.Running() {
				t.Errorf("state: %+v", s)
			}
		})
	}
}

// A device that has gone is a DOWN and counted drops; a new one takes its place, and everything goes on.
func TestReplaceDeviceThatIsGone(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	l := recordNICEvents(t, r.Instance)
	echoUDP(t, r.Instance, "10.0.2.1:7")
	r.right.dev.Close() // the far end of a pair
	eventually(t, "the device is gone", func() bool { return r.b.State().Gone })
	must(t, r.b.SetUp(true)) // comes behind what is being posted
	l.expect("inet LIF_DOWN b 1 10.0.2.1/24", "inet DOWN b", "inet6 LIF_DOWN b 1 fd00:2::1/64", "inet6 DOWN b")
	for range 100 {
		r.left.send(udp(t, left4, right4, 64, nil))
	}
	if s := r.settled(100); s.Drops["no_route"] != 100 {
		t.Errorf("stats: %+v", s)
	}
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"again", "far"}})
	must(t, r.b.ReplaceDevice(near))
	right := newWire(t, far)
	l.expect("inet UP b", "inet LIF_UP b 1 10.0.2.1/24", "inet6 UP b", "inet6 LIF_UP b 1 fd00:2::1/64")
	if r.b.Name() != "b" || r.b.Device() != near || !r.b.State().Running() {
		t.Errorf("%s on %s: %+v", r.b.Name(), r.b.Device().Name(), r.b.State())
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	right.receive()
	right.send(echoRequest(t, right4, b4))
	right.receive()
	r.settled(102)
}

// A slowClosing device takes its time to close.
type slowClosing struct {
	tun.Device
	closing, mayClose chan struct{}
}

func (d *slowClosing) Close() error {
	close(d.closing)
	<-d.mayClose
	return d.Device.Close()
}

// While a device takes the place of another, what is for it is dropped: it does not leave by a route with a shorter prefix
// or a higher metric, which may be one that must not see it.
func TestReplaceDeviceLeaksNothing(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	_, third := thirdInterface(t, r)
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"tunnel", ""}})
	defer far.Close()
	slow := &slowClosing{near, make(chan struct{}), make(chan struct{})}
	tunnel, err := r.AddInterface(slow, netstack.InterfaceConfig{})
	must(t, err)
	must(t, r.AddRoutes(
		netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "tunnel"},
		netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "c", Metric: 1},
		netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "c"}))
	again, end := tun.Pair(tun.PairConfig{})
	replaced := make(chan error)
	go func() { replaced <- tunnel.ReplaceDevice(again) }()
	<-slow.closing
	if s := tunnel.State(); s.Running() || s.Gone || !s.Up {
		t.Errorf("meanwhile: %+v", s)
	}
	secret := udp(t, left4, netip.MustParseAddr("192.0.2.1"), 64, nil)
	r.left.send(secret)
	if s := r.settled(1); s.Drops["interface_down"] != 1 {
		t.Errorf("meanwhile: %+v", s)
	}
	third.none()
	close(slow.mayClose)
	must(t, <-replaced)
	right := newWire(t, end)
	r.left.send(secret)
	right.receive()
	third.none()
}

// A device that works can be exchanged, too, under traffic, and by several at once.
func TestReplaceDeviceUnderTraffic(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	b := udp(t, left4, right4, 64, nil)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	workers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case p := <-r.left.seen: // ICMP errors
				p.Release()
			default:
				p := packet.Get(len(b))
				_ = p.Fill(b)
				_, _ = r.left.dev.Write(0, []*packet.Packet{p})
				p.Release()
			}
		}
	})
	var replacers sync.WaitGroup
	for range 2 {
		replacers.Go(func() {
			for range 50 {
				near, far := tun.Pair(tun.PairConfig{Features: offloads})
				if err := r.b.ReplaceDevice(near); err != nil {
					t.Error(err)
				}
				far.Close()
			}
		})
	}
	replacers.Wait()
	near, far := tun.Pair(tun.PairConfig{})
	must(t, r.b.ReplaceDevice(near))
	right := newWire(t, far)
	right.receive()
	close(stop)
	workers.Wait()
	r.settled(1)
	must(t, r.b.Close())
	if _, err := near.Read(0, make([]*packet.Packet, 1)); err != net.ErrClosed {
		t.Errorf("the last device after Close: %v", err)
	}
}

// AddInterface with a device that was refused once does not wait for its state to change.
func TestAddInterfaceAgainAfterError(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	near, far := tun.Pair(tun.PairConfig{})
	defer far.Close()
	dev := newWatched(near, tun.LinkState{Name: "hn0", MTU: 1500, Up: true})
	if _, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "a", Addresses: prefixes("127.0.0.1/8")}); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("a taken address: %v", err)
	}
	_, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "a"})
	must(t, err)
}
