// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// hook registers a hook for the time of the test.
func hook(t *testing.T, i *netstack.Instance, family packet.Family, event packet.Event, h packet.Hook) {
	t.Helper()
	handle, err := i.Register(family, event, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Unregister(); err != nil {
			t.Error(err)
		}
	})
}

var (
	bothFamilies = []packet.Family{packet.Inet, packet.Inet6}
	packetEvents = []packet.Event{packet.PhysicalIn, packet.PhysicalOut, packet.Forwarding, packet.LoopbackIn, packet.LoopbackOut}
)

// Every packet event of both families fires with real traffic, at the interface where it happens.
func TestHooksSeeTraffic(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	var seen [packet.Inet6 + 1][packet.Observing + 1]atomic.Int32
	var wrong atomic.Int32
	left, right := r.Left.Interface.Index(), r.Right.Interface.Index()
	for _, family := range bothFamilies {
		for _, event := range packetEvents {
			hook(t, r.Instance, family, event, packet.Hook{Name: "count", Func: func(c *packet.Context) hooks.Verdict {
				if c.Family != family || c.Event != event || c.Instance != r.Instance.ID() {
					wrong.Add(1)
				}
				if event == packet.Forwarding && (c.In != left || c.Out != right) && (c.In != right || c.Out != left) {
					wrong.Add(1)
				}
				if p := c.Packet; p.TransportProtocol() == 1 || p.TransportProtocol() == 58 { // not the multicast reports
					seen[family][event].Add(1)
				}
				return hooks.Accept
			}})
		}
	}
	for f, addresses := range map[packet.Family][2]string{packet.Inet: {testbed.Blue4, testbed.Left4}, packet.Inet6: {testbed.Blue6, testbed.Left6}} {
		r.Red.Run(t, "ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", addresses[0])
		// One request and one answer a ping, each of them in, forwarded and out.
		for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
			if n := seen[f][event].Load(); n < 6 || n > 8 && f == packet.Inet {
				t.Errorf("%v %v has seen %d packets, want 6", f, event, n)
			}
		}
		// From the instance to itself: a closed port is answered with an ICMP error.
		c, err := r.Instance.Dial(t.Context(), "udp", net.JoinHostPort(addresses[1], "9"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Error(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: %v, want ECONNREFUSED", f, err)
		}
		_ = c.Close()
		for _, event := range []packet.Event{packet.LoopbackOut, packet.LoopbackIn} {
			if seen[f][event].Load() == 0 {
				t.Errorf("%v %v has seen nothing", f, event)
			}
		}
	}
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d contexts were wrong", n)
	}
}

// Hooks that translate addresses and ports, of superpackets with checksums yet to be completed: the kernels at both ends, and
// curl, are content.
func TestHooksTranslate(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl", "ping")
	for name, left := range map[string]testbed.LinkConfig{"offload": {}, "no offload": {NoOffload: true}} {
		t.Run(name, func(t *testing.T) {
			r := testbed.NewRouter(t, testbed.RouterConfig{Left: left})
			for _, test := range []struct {
				family         packet.Family
				public, inside netip.Addr
			}{
				{packet.Inet, netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr(testbed.Blue4)},
				{packet.Inet6, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr(testbed.Blue6)},
			} {
				hook(t, r.Instance, test.family, packet.PhysicalIn, packet.Hook{Name: "in", Func: func(c *packet.Context) hooks.Verdict {
					if p := c.Packet; p.Destination() == test.public {
						p.SetDestination(test.inside)
						if port, ok := p.DestinationPort(); ok && port == 80 {
							p.SetDestinationPort(8080)
						}
					}
					return hooks.Accept
				}})
				hook(t, r.Instance, test.family, packet.PhysicalOut, packet.Hook{Name: "out", Func: func(c *packet.Context) hooks.Verdict {
					if p := c.Packet; p.Source() == test.inside {
						p.SetSource(test.public)
						if port, ok := p.SourcePort(); ok && port == 8080 {
							p.SetSourcePort(80)
						}
					}
					return hooks.Accept
				}})
				serveFiles(t, r.Blue.Listen(t, "tcp", net.JoinHostPort(test.inside.String(), "8080")))
				address := net.JoinHostPort(test.public.String(), "80")
				curl(t, r.Red, address, mediumFile)
				upload(t, r.Red, address, mediumFile)
				pingSizes(t, r.Red, test.public.String(), 56, 1472)
			}
		})
	}
}

// A hook that wants single segments gets them, and the stream is none the worse.
func TestHooksWantSegments(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		t.Run(event.String(), func(t *testing.T) {
			var largest atomic.Int64
			for _, family := range bothFamilies {
				hook(t, r.Instance, family, event, packet.Hook{Name: "small", Flags: hooks.FlagSegments, Func: func(c *packet.Context) hooks.Verdict {
					if n := int64(c.Packet.Len()); n > largest.Load() {
						largest.Store(n)
					}
					return hooks.Accept
				}})
			}
			for _, host := range []string{testbed.Blue4, testbed.Blue6} {
				address := net.JoinHostPort(host, "80")
				serveFiles(t, r.Blue.Listen(t, "tcp", address))
				upload(t, r.Red, address, mediumFile)
				curl(t, r.Red, address, mediumFile)
			}
			if n := largest.Load(); n != 1500 {
				t.Errorf("the largest packet had %d bytes, want 1500", n)
			}
		})
	}
}

// What a hook drops does not arrive, is counted under its reason, and harms nothing else.
func TestHooksDrop(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	hook(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "no-81", Func: func(c *packet.Context) hooks.Verdict {
		if port, ok := c.Packet.DestinationPort(); ok && port == 81 {
			return hooks.DropWith(packet.ReasonProhibited)
		}
		return hooks.Accept
	}})
	for _, port := range []string{"80", "81"} {
		serveFiles(t, r.Blue.Listen(t, "tcp", net.JoinHostPort(testbed.Blue4, port)))
	}
	got := r.Red.Try(t, "curl", "-sS", "--noproxy", "*", "--max-time", "1", "http://"+testbed.Blue4+":81/1")
	if got.Code != 28 || !strings.Contains(got.Output, "timed out") {
		t.Errorf("want no answer: %v", got)
	}
	if s := r.Instance.Stats(); s.Drops["prohibited"] == 0 {
		t.Errorf("drops: %v", s.Drops)
	}
	curl(t, r.Red, testbed.Blue4+":80", mediumFile)
}

// Hooks come and go while traffic flows: none is lost by it, and none runs after it has gone.
func TestHooksUnderLoad(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	server := startIperf(t, r.Blue)
	stop, done := make(chan struct{}), make(chan int)
	go func() { // ends with stop
		rounds := 0
		defer func() { done <- rounds }()
		for ; ; rounds++ {
			select {
			case <-stop:
				return
			default:
			}
			var gone atomic.Bool
			var handles []*hooks.Handle
			for _, event := range packetEvents[:3] {
				h, err := r.Instance.Register(packet.Inet, event, packet.Hook{Name: fmt.Sprint("hook ", rounds), Func: func(*packet.Context) hooks.Verdict {
					if gone.Load() {
						t.Error("a hook ran after Unregister had returned")
					}
					return hooks.Accept
				}})
				if err != nil {
					t.Error(err)
					return
				}
				handles = append(handles, h)
			}
			for _, h := range slices.Backward(handles) {
				if err := h.Unregister(); err != nil {
					t.Error(err)
				}
			}
			gone.Store(true)
		}
	}()
	server.tcp(t, r.Red, testbed.Blue4)
	server.udp(t, r.Red, testbed.Blue4)
	close(stop)
	t.Logf("%d rounds", <-done)
	for reason, n := range r.Instance.Stats().Drops {
		if reason != "martian_source" { // the kernels' multicast listener reports
			t.Errorf("%d packets dropped: %s", n, reason)
		}
	}
}
