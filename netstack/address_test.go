// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func textOf(lifs []netstack.LIF) (text []string) {
	for _, l := range lifs {
		text = append(text, strings.Repeat("#", int(l.Number))+" "+l.Address.String())
	}
	return text
}

// routesOf returns the forwarding table in force, without local addresses.
func routesOf(inst *netstack.Instance) (text []string) {
	for r := range inst.Routes() {
		text = append(text, r.Destination.String()+" "+r.Interface)
	}
	slices.Sort(text)
	return text
}

// Addresses come and go with their numbers and routes. What two addresses of a subnet share stays with the second.
func TestAddressesChange(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f, _ := plug(t, inst, "a", "10.0.0.1/24")
	state := func(v4, v6, routes []string) {
		t.Helper()
		if diff := cmp.Diff([][]string{v4, v6, routes}, [][]string{textOf(f.LIFs(packet.Inet)), textOf(f.LIFs(packet.Inet6)), routesOf(inst)}); diff != "" {
			t.Errorf("addresses and routes (-want +got):\n%s", diff)
		}
	}
	state([]string{"# 10.0.0.1/24"}, nil, []string{"10.0.0.0/24 a"})
	must(t, f.AddAddress(prefix("10.0.0.2/24")))
	must(t, f.AddAddress(prefix("10.0.0.3/16")))
	must(t, f.AddAddress(prefix("fd00::1/64")))
	state([]string{"# 10.0.0.1/24", "## 10.0.0.2/24", "### 10.0.0.3/16"}, []string{"# fd00::1/64"}, []string{"10.0.0.0/16 a", "10.0.0.0/24 a", "fd00::/64 a"})
	must(t, f.RemoveAddress(addr("10.0.0.1")))
	state([]string{"## 10.0.0.2/24", "### 10.0.0.3/16"}, []string{"# fd00::1/64"}, []string{"10.0.0.0/16 a", "10.0.0.0/24 a", "fd00::/64 a"})
	must(t, f.ReplaceAddress(addr("10.0.0.2"), prefix("10.7.0.2/24")))
	must(t, f.AddAddress(prefix("192.0.2.1/32")))
	state([]string{"# 192.0.2.1/32", "## 10.7.0.2/24", "### 10.0.0.3/16"}, []string{"# fd00::1/64"}, []string{"10.0.0.0/16 a", "10.7.0.0/24 a", "fd00::/64 a"})
	if diff := cmp.Diff(prefixes("10.7.0.2/24", "10.0.0.3/16", "fd00::1/64", "192.0.2.1/32"), f.Addresses(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("Addresses (-want +got):\n%s", diff)
	}
	for _, a := range []string{"10.7.0.2", "10.0.0.3", "fd00::1", "192.0.2.1"} {
		must(t, f.RemoveAddress(addr(a)))
	}
	state(nil, nil, nil)
}

// The broadcast addresses of a subnet come and go with it.
func TestBroadcastFollowsAddress(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	must(t, r.b.ReplaceAddress(b4, prefix("10.0.2.1/25")))
	must(t, r.AddRoute(netstack.Route{Destination: prefix("10.0.2.0/24"), Interface: "b"}))
	r.left.send(udp(t, left4, addr("10.0.2.255"), 64, nil)) // a host's by now
	r.right.receive()
	r.left.send(udp(t, left4, addr("10.0.2.127"), 64, nil))
	if s := r.settled(2); s.Drops["broadcast"] != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// Errors say what is wrong and leave everything as it was: numbers, routes, the host stack's addresses, events.
func TestAddressErrorsChangeNothing(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f, _ := plug(t, inst, "a", "10.0.0.1/24", "10.0.0.2/24", "fd00::1/64")
	g, _ := plug(t, inst, "g", "10.1.0.1/24")
	lo, _ := inst.Interface("lo")
	small, _ := plug(t, inst, "small")
	must(t, small.SetMTU(1000))
	keep, err := inst.Listen("tcp", "10.1.0.1:80")
	must(t, err)
	defer keep.Close()
	l := recordNICEvents(t, inst)
	before, routes := f.Addresses(), routesOf(inst)
	for name, c := range map[string]struct{ got, want error }{
		"add one of its own":        {f.AddAddress(prefix("10.0.0.2/24")), netstack.ErrExists},
		"add another length":        {f.AddAddress(prefix("10.0.0.2/16")), netstack.ErrExists},
		"add one of another's":      {f.AddAddress(prefix("10.1.0.1/24")), netstack.ErrExists},
		"add one of lo's":           {f.AddAddress(prefix("127.0.0.1/8")), netstack.ErrExists},
		"add nothing":               {f.AddAddress(netip.Prefix{}), netstack.ErrInvalid},
		"add a group":               {f.AddAddress(prefix("224.0.0.1/24")), netstack.ErrInvalid},
		"add mapped":                {f.AddAddress(prefix("::ffff:1.2.3.4/128")), netstack.ErrInvalid},
		"add IPv6 to a small MTU":   {small.AddAddress(prefix("fd01::1/64")), netstack.ErrInvalid},
		"remove a stranger":         {f.RemoveAddress(addr("10.0.0.3")), netstack.ErrNotFound},
		"remove another's":          {f.RemoveAddress(addr("10.1.0.1")), netstack.ErrNotFound},
		"remove nothing":            {f.RemoveAddress(netip.Addr{}), netstack.ErrNotFound},
		"replace a stranger":        {f.ReplaceAddress(addr("10.0.0.3"), prefix("10.0.0.4/24")), netstack.ErrNotFound},
		"replace by its own second": {f.ReplaceAddress(addr("10.0.0.1"), prefix("10.0.0.2/24")), netstack.ErrExists},
		"replace by another's":      {f.ReplaceAddress(addr("10.0.0.1"), prefix("10.1.0.1/24")), netstack.ErrExists},
		"replace by another family": {f.ReplaceAddress(addr("10.0.0.1"), prefix("fd00::2/64")), netstack.ErrInvalid},
		"replace by nothing":        {f.ReplaceAddress(addr("10.0.0.1"), netip.Prefix{}), netstack.ErrInvalid},
		"replace lo's length":       {lo.ReplaceAddress(addr("127.0.0.1"), prefix("127.0.0.1/16")), netstack.ErrInvalid},
		"MTU too small":             {f.SetMTU(67), netstack.ErrInvalid},
		"MTU too small for IPv6":    {f.SetMTU(1279), netstack.ErrInvalid},
		"MTU too large":             {f.SetMTU(65536), netstack.ErrInvalid},
		"lo down":                   {lo.SetUp(false), netstack.ErrInvalid},
		"lo on a device":            {lo.ReplaceDevice(f.Device()), netstack.ErrInvalid},
		"no device":                 {f.ReplaceDevice(nil), netstack.ErrInvalid},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	l.expect()
	if !slices.Equal(before, f.Addresses()) || !slices.Equal(routes, routesOf(inst)) || f.MTU() != 1500 {
		t.Errorf("addresses %v, routes %v, MTU %d", f.Addresses(), routesOf(inst), f.MTU())
	}
	for _, a := range []string{"10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80", "10.1.0.1:81"} {
		s, err := inst.Listen("tcp", a)
		if err != nil {
			t.Errorf("listen on %s: %v", a, err)
			continue
		}
		s.Close()
	}
	must(t, g.RemoveAddress(addr("10.1.0.1")))
	must(t, f.AddAddress(prefix("10.1.0.1/24"))) // nothing of the refused one was left behind
	must(t, lo.AddAddress(prefix("127.0.0.2/8")))
}

// Sockets bound to an address end with it, each with the error its owner can act on; others stay.
func TestRemoveAddressEndsItsSockets(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	f, _ := server.Interface("cable")
	must(t, f.AddAddress(prefix("10.9.0.9/24"))) // stays
	must(t, client.AddRoute(netstack.Route{Destination: prefix("10.9.0.0/24"), Interface: "cable"}))
	for name, gone := range map[string]string{"inet": "10.9.0.2", "inet6": "fd09::2"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := dialer(t)
			defer cancel()
			at := netip.AddrPortFrom(addr(gone), 80).String()
			bound, err := server.Listen("tcp", at)
			must(t, err)
			defer bound.Close()
			wildcard, err := server.Listen("tcp", ":81")
			must(t, err)
			defer wildcard.Close()
			packets, err := server.ListenPacket("udp", at)
			must(t, err)
			defer packets.Close()
			anywhere, err := server.ListenPacket("udp", ":81")
			must(t, err)
			defer anywhere.Close()
			connect := func(l net.Listener, at string) (near, far net.Conn) {
				t.Helper()
				far, err := client.Dial(ctx, "tcp", at)
				must(t, err)
				near, err = l.Accept()
				must(t, err)
				t.Cleanup(func() { near.Close(); far.Close() })
				return near, far
			}
			byBound, farOfBound := connect(bound, at)
			byWildcard, _ := connect(wildcard, netip.AddrPortFrom(addr(gone), 81).String())
			stays, farOfStays := connect(wildcard, "10.9.0.9:81")
			dialled, err := server.Dial(ctx, "udp", map[string]string{"inet": "10.9.0.1:9", "inet6": "[fd09::1]:9"}[name])
			must(t, err)
			defer dialled.Close()

			type outcome struct {
				name string
				err  error
			}
			outcomes, waiting := make(chan outcome, 8), 0
			wait := func(name string, block func() error) {
				waiting++
				go func() { outcomes <- outcome{name, block()} }()
			}
			read := func(c io.Reader) func() error {
				return func() error { _, err := c.Read(make([]byte, 1)); return err }
			}
			wait("accepted", read(byBound))
			wait("accepted by the wildcard", read(byWildcard))
			wait("listener", func() error { _, err := bound.Accept(); return err })
			wait("packets", func() error { _, _, err := packets.ReadFrom(make([]byte, 1)); return err })
			wait("dialled packets", read(dialled))
			wait("far end", read(farOfBound))
			want := map[string]error{
				"accepted": syscall.ECONNABORTED, "accepted by the wildcard": syscall.ECONNABORTED, "far end": syscall.ECONNRESET,
				"listener": syscall.EADDRNOTAVAIL, "packets": syscall.EADDRNOTAVAIL, "dialled packets": syscall.EADDRNOTAVAIL,
			}
			must(t, f.RemoveAddress(addr(gone)))
			for range waiting {
				select {
				case o := <-outcomes:
					if !errors.Is(o.err, want[o.name]) {
						t.Errorf("%s: %v, want %v", o.name, o.err, want[o.name])
					}
				case <-time.After(5 * time.Second):
					t.Fatal("a socket outlives its address")
				}
			}
			// Afterwards, too.
			if _, err := packets.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.9.0.1:9"))); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("packets, written: %v", err)
			}
			if _, err := dialled.Write([]byte("x")); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("dialled packets, written: %v", err)
			}
			if _, err := bound.Accept(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("listener again: %v", err)
			}
			if _, err := server.Listen("tcp", at); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("a new listener: %v", err)
			}
			// What is bound elsewhere or nowhere goes on.
			_, err = stays.Write([]byte("x"))
			must(t, err)
			must(t, read(farOfStays)())
			must(t, byBound.Close())
			must(t, bound.Close())

			bits := map[string]int{"inet": 30, "inet6": 64}[name]
			must(t, f.AddAddress(netip.PrefixFrom(addr(gone), bits))) // and back
			bound, err = server.Listen("tcp", at)
			must(t, err)
			defer bound.Close()
			connect(bound, at)
			connect(wildcard, netip.AddrPortFrom(addr(gone), 81).String())
		})
	}
}

// A dial that waits for an answer ends, too.
func TestRemoveAddressEndsDials(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	ctx, cancel := dialer(t)
	defer cancel()
	failed := make(chan error)
	go func() {
		_, err := r.Dial(ctx, "tcp", netip.AddrPortFrom(left4, 80).String())
		failed <- err
	}()
	r.left.receive() // the SYN, which nobody answers
	must(t, r.a.RemoveAddress(a4))
	if err := <-failed; !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("dial: %v", err)
	}
}

// Whoever has no address of a family cannot dial others of it: the loopback interface's is no source for them, and a socket that
// had it would wait for ever. Between our own addresses all is well.
func TestDialWithoutAnAddress(t *testing.T) {
	_, inst := pairOfInstances(t, offloads)
	f, _ := inst.Interface("cable")
	must(t, f.RemoveAddress(addr("10.9.0.2")))
	must(t, f.RemoveAddress(addr("fd09::2")))
	dial := func(network, address string) error {
		ctx, cancel := dialer(t)
		defer cancel()
		c, err := inst.Dial(ctx, network, address)
		if err == nil {
			defer c.Close()
			return fmt.Errorf("dialled from %v", c.LocalAddr())
		}
		return err
	}
	for _, route := range []string{"no route", "10.9.0.1/32", "fd09::1/128"} {
		if route != "no route" {
			must(t, inst.AddRoute(netstack.Route{Destination: prefix(route), Interface: "cable"}))
		}
		for address, network := range map[string]string{
			"10.9.0.1:80": "tcp", "[fd09::1]:80": "tcp", "10.9.0.1:53": "udp", "[fd09::1]:53": "udp", "10.9.0.1": "ping", "fd09::1": "ping",
		} {
			if err := dial(network, address); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("%s: %s to %s: %v, want EADDRNOTAVAIL", route, network, address, err)
			}
		}
	}
	for address, network := range map[string]string{"127.0.0.1:53": "udp", "127.0.0.5:53": "udp", "[::1]:53": "udp", "127.0.0.1": "ping", "::1": "ping"} {
		if err := dial(network, address); err == nil || !strings.HasPrefix(err.Error(), "dialled") {
			t.Errorf("%s to %s: %v", network, address, err)
		}
	}
}

// Sockets that are opened while their address comes and goes fail at once or end with it.
func TestSocketsWhileAddressesChange(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	f, _ := server.Interface("cable")
	must(t, client.AddRoute(netstack.Route{Destination: prefix("10.9.7.0/24"), Interface: "cable"}))
	l, err := client.Listen("tcp", ":80")
	must(t, err)
	var workers sync.WaitGroup
	workers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			workers.Go(func() { _, _ = io.Copy(io.Discard, c); c.Close() })
		}
	})
	stop := make(chan struct{})
	var users sync.WaitGroup
	use := func(open func() (io.ReadCloser, error)) {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if c, err := open(); err == nil {
					_, err := c.Read(make([]byte, 1)) // nothing ever comes
					if err == nil || !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
						t.Errorf("a socket ended with %v", err)
					}
					c.Close()
				}
			}
		})
	}
	use(func() (io.ReadCloser, error) {
		c, err := server.Dial(t.Context(), "tcp", "10.9.0.1:80")
		return c, err
	})
	use(func() (io.ReadCloser, error) {
		c, err := server.Dial(t.Context(), "udp", "10.9.0.1:80")
		return c, err
	})
	use(func() (io.ReadCloser, error) {
		c, err := server.ListenPacket("udp", "10.9.7.1:53")
		if err != nil {
			return nil, err
		}
		return c.(io.ReadCloser), nil
	})
	use(func() (io.ReadCloser, error) {
		l, err := server.Listen("tcp", "10.9.7.1:53")
		return acceptReader{l}, err
	})
	must(t, server.AddRoute(netstack.Route{Destination: prefix("10.9.0.1/32"), Interface: "cable"}))
	old := addr("10.9.0.2")
	for n := range 200 {
		next := prefix([]string{"10.9.7.1/24", "10.9.7.2/24"}[n%2])
		must(t, f.ReplaceAddress(old, next))
		old = next.Addr()
	}
	close(stop)
	must(t, f.RemoveAddress(old)) // ends those that wait
	done := make(chan struct{})
	go func() { users.Wait(); close(done) }()
	for waiting := true; waiting; {
		select {
		case <-done:
			waiting = false
		case <-time.After(5 * time.Second):
			t.Fatal("a socket outlives its address")
		}
	}
	l.Close()
	client.Close()
	workers.Wait()
}

// An acceptReader reads by accepting.
type acceptReader struct{ net.Listener }

func (r acceptReader) Read([]byte) (int, error) {
	_, err := r.Accept()
	return 0, err
}

// A connection survives that the prefix length of its address changes.
func TestReplacePrefixLengthKeepsSockets(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	l, err := server.Listen("tcp", "10.9.0.2:80")
	must(t, err)
	defer l.Close()
	ctx, cancel := dialer(t)
	defer cancel()
	c, err := client.Dial(ctx, "tcp", "10.9.0.2:80")
	must(t, err)
	defer c.Close()
	s, err := l.Accept()
	must(t, err)
	defer s.Close()
	f, _ := server.Interface("cable")
	must(t, f.ReplaceAddress(addr("10.9.0.2"), prefix("10.9.0.2/24")))
	_, err = s.Write([]byte("x"))
	must(t, err)
	_, err = c.Read(make([]byte, 1))
	must(t, err)
}

// Source and egress of a dial agree with the forwarding table after every change of addresses, routes and state.
func TestSourceAndEgressFollowChanges(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	far := "192.0.2.9"
	dial := func(what, wantSource string, out *wire) {
		t.Helper()
		c, err := r.Dial(t.Context(), "udp", far+":9")
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer c.Close()
		if _, err := c.Write([]byte(what)); err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if p := out.receive(); p.Source().String() != wantSource {
			t.Errorf("%s: source %v, want %s", what, p.Source(), wantSource)
		}
	}
	must(t, r.AddRoute(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "b"}))
	dial("default route", "10.0.2.1", r.right)
	must(t, r.AddRoute(netstack.Route{Destination: prefix("192.0.2.0/24"), Interface: "a"}))
	dial("longer prefix", "10.0.1.1", r.left)
	must(t, r.a.AddAddress(prefix("192.0.2.1/28"))) // connected, and longer still
	dial("connected, first address", "10.0.1.1", r.left)
	must(t, r.a.RemoveAddress(a4))
	dial("first address gone", "192.0.2.1", r.left)
	must(t, r.a.ReplaceAddress(addr("192.0.2.1"), prefix("192.0.2.2/28")))
	dial("address replaced", "192.0.2.2", r.left)
	must(t, r.a.SetUp(false))
	dial("interface down", "10.0.2.1", r.right)
	must(t, r.a.SetUp(true))
	dial("interface up", "192.0.2.2", r.left)
	must(t, r.a.RemoveAddress(addr("192.0.2.2")))
	dial("unnumbered", "10.0.2.1", r.left)
	must(t, r.b.AddAddress(prefix("203.0.113.1/24")))
	must(t, r.RemoveRoute(prefix("192.0.2.0/24"), 0))
	must(t, r.RemoveRoute(prefix("0.0.0.0/0"), 0))
	must(t, r.AddRoute(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: "b", Source: addr("203.0.113.1")}))
	dial("the route's source", "203.0.113.1", r.right)
	must(t, r.b.RemoveAddress(addr("203.0.113.1")))
	dial("the route's source gone", "10.0.2.1", r.right)
}

// Addresses, routes and states change under traffic of all kinds, and every packet is accounted for.
func TestChangesUnderTraffic(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	recordNICEvents(t, r.Instance)
	go func() { // the far ends take what comes, until their devices are closed
		for range r.left.seen {
		}
	}()
	go func() {
		for range r.right.seen {
		}
	}()
	defer func() { // their readers end before the channels do
		r.left.dev.Close()
		r.right.dev.Close()
		r.left.reader.Wait()
		r.right.reader.Wait()
		close(r.left.seen)
		close(r.right.seen)
	}()
	u, err := r.ListenPacket("udp", ":4321")
	must(t, err)
	defer u.Close()
	stop := make(chan struct{})
	var workers sync.WaitGroup
	forever := func(f func(n int)) {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					f(n)
				}
			}
		})
	}
	forward, local, extra := udp(t, left4, right4, 64, nil), udp(t, right6, b6, 64, nil), udp(t, left4, addr("10.0.9.1"), 64, []byte("x"))
	super, offload := superpacket(t, left6, right6, 20000, 1400)
	sent := func(w *wire, b []byte, o packet.Offload) {
		p := packet.Get(len(b))
		defer p.Release()
		_ = p.Fill(b)
		p.Offload = o
		_, _ = w.dev.Write(0, []*packet.Packet{p}) // full at times
	}
	forever(func(int) {
		sent(r.left, forward, packet.Offload{})
		sent(r.left, extra, packet.Offload{})
		sent(r.left, super, offload)
	})
	forever(func(int) { sent(r.right, local, packet.Offload{}) })
	forever(func(int) { _, _ = u.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(right4, 9))) })
	forever(func(int) {
		if c, err := r.Dial(t.Context(), "udp", "10.0.9.1:9"); err == nil {
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	})
	var changes atomic.Int64
	forever(func(int) {
		changes.Add(1)
		must := func(err error) {
			if err != nil {
				t.Error(err)
			}
		}
		must(r.b.AddAddress(prefix("10.0.9.1/24")))
		must(r.b.ReplaceAddress(addr("10.0.9.1"), prefix("10.0.9.2/25")))
		must(r.b.RemoveAddress(addr("10.0.9.2")))
	})
	forever(func(n int) { _ = r.b.SetUp(n%2 == 1) })
	forever(func(n int) { _ = r.b.SetMTU(1280 + n%300) })
	forever(func(int) {
		_ = r.AddRoute(netstack.Route{Destination: prefix("10.0.2.2/32"), Interface: "a"})
		_ = r.RemoveRoute(prefix("10.0.2.2/32"), 0)
	})
	happened := func(s netstack.Stats) bool {
		return s.Drops["interface_down"]+s.Drops["no_route"] > 0 && s.Forwarded > 0 && s.Delivered > 0
	}
	const enough = 10
	for deadline := time.Now().Add(10 * time.Second); !happened(r.Stats()) || changes.Load() < enough; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			break // a busy machine: what has happened will do
		}
	}
	close(stop)
	workers.Wait()
	must(t, r.b.SetUp(true))
	if s := r.settled(1); !happened(s) {
		t.Errorf("nothing much happened: %+v", s)
	}
}
