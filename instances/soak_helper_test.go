// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/soaktest"
	"github.com/hooknet/hooknet/netstack"
)

// A soakHelper counts its data, and the calls of its hooks.
type soakHelper struct{ made, freed, calls, destroyed atomic.Int64 }

// config returns a helper on both TCP points. hook is called for each call with the number of those before.
func (s *soakHelper) config(name string, hook func(calls int64)) khelp.Config {
	type data struct{ calls int64 } // calls for one flow do not overlap: the race detector watches
	call := khelp.With(func(_ *hhook.Call, d *data) {
		d.calls++
		hook(s.calls.Add(1))
	})
	return khelp.Config{
		Name: name, Classes: khelp.TCP,
		Data: khelp.DataOf[data]{
			New:  func(*data) error { s.made.Add(1); return nil },
			Free: func(*data) { s.freed.Add(1) },
		},
		Destroy: func() { s.destroyed.Add(1) },
		Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: netstack.TCPEstablishedIn, Func: call},
			{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: call},
		},
	}
}

// Helpers under TCP traffic, on a router and on both hosts that it is between: one is loaded and unloaded every 5 ms, one
// panics, one makes no data now and then, one is never unloaded. Traffic goes on, and what was made is freed.
func TestSoakHelper(t *testing.T) {
	m := instances.New(instances.Config{})
	closed := false
	defer func() {
		if !closed {
			m.Close()
		}
	}()
	a, r, b := create(t, m, "a"), create(t, m, "r"), create(t, m, "b")
	end := func(i *netstack.Instance, name, address string) instances.CableEnd {
		return instances.CableEnd{Instance: i, InterfaceConfig: netstack.InterfaceConfig{Name: name, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}}
	}
	for _, ends := range [][2]instances.CableEnd{
		{end(a, "r", "10.8.1.1/24"), end(r, "a", "10.8.1.2/24")},
		{end(b, "r", "10.8.2.1/24"), end(r, "b", "10.8.2.2/24")},
	} {
		if _, _, err := m.Cable(ends[0], ends[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []*netstack.Instance{a, b} {
		if err := i.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("10.8.0.0/16"), Interface: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	all := []*netstack.Instance{a, r, b}

	stop := make(chan struct{})
	var traffic sync.WaitGroup
	endTraffic := sync.OnceFunc(func() { close(stop); traffic.Wait() })
	defer endTraffic()
	connections := soakTraffic(t, a, b, "10.8.2.1:7", stop, &traffic)

	var leaky, panicky, refusing soakHelper
	for _, i := range all {
		load(t, i, leaky.config("leaky", func(int64) {}))
		panics := panicky.config("panicky", func(int64) { panic("soak") })
		load(t, i, panics)
		refuses := refusing.config("refusing", func(int64) {})
		refuses.Data = khelp.DataOf[int]{
			New: func(*int) error {
				if refusing.made.Load()%5 == 4 {
					refusing.made.Add(1)
					refusing.freed.Add(1)
					return errors.New("now and then")
				}
				refusing.made.Add(1)
				return nil
			},
			Free: func(*int) { refusing.freed.Add(1) },
		}
		refuses.Hooks = nil
		load(t, i, refuses)
	}
	var every soakHelper
	rounds := int64(0)
	for deadline := time.Now().Add(soaktest.Time(t, usualSoak)); time.Now().Before(deadline); rounds++ {
		var loaded []*khelp.Helper
		for _, i := range all {
			loaded = append(loaded, load(t, i, every.config("every", func(int64) {})))
			if rounds%8 == 0 {
				if err := i.FlushFlows(); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
		for k, i := range all {
			if err := i.UnloadHelper(loaded[k]); err != nil {
				t.Fatal(err)
			}
		}
		if made, freed := every.made.Load(), every.freed.Load(); made != freed || every.destroyed.Load() != 3*(rounds+1) {
			t.Fatalf("round %d: %d made, %d freed, %d destroyed", rounds, made, freed, every.destroyed.Load())
		}
	}
	before := connections.Load()
	for deadline := time.Now().Add(10 * time.Second); connections.Load() < before+2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no connection succeeds any more")
		}
	}
	endTraffic()
	m.Close()
	closed = true
	for name, s := range map[string]*soakHelper{"leaky": &leaky, "panicky": &panicky, "refusing": &refusing, "every": &every} {
		if s.made.Load() == 0 || s.made.Load() != s.freed.Load() || s.destroyed.Load() == 0 {
			t.Errorf("%s: %d made, %d freed, %d destroyed", name, s.made.Load(), s.freed.Load(), s.destroyed.Load())
		}
	}
	if every.calls.Load() == 0 || leaky.calls.Load() == 0 || panicky.calls.Load() == 0 {
		t.Errorf("calls: %d, %d, %d", every.calls.Load(), leaky.calls.Load(), panicky.calls.Load())
	}
	t.Logf("%d rounds, %d connections, data made and freed: %d of the helper that comes and goes, %d of the one that stays",
		rounds, connections.Load(), every.made.Load(), leaky.made.Load())
}

func load(t *testing.T, i *netstack.Instance, cfg khelp.Config) *khelp.Helper {
	t.Helper()
	h, err := i.Helpers().Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// soakTraffic lets two goroutines open connections to an echo server and send 100 KB over each, until stop is closed. It
// returns how many have succeeded.
func soakTraffic(t *testing.T, from, to *netstack.Instance, address string, stop chan struct{}, traffic *sync.WaitGroup) *atomic.Int64 {
	t.Helper()
	l, err := to.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	traffic.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			traffic.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	var succeeded atomic.Int64
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := from.Dial(t.Context(), "tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				if err := echo(c, 100<<10); err != nil {
					t.Error(err)
				} else {
					succeeded.Add(1)
				}
				c.Close()
			}
		})
	}
	traffic.Go(func() {
		clients.Wait()
		l.Close()
	})
	return &succeeded
}

// echo sends n bytes and waits until they have come back.
func echo(c net.Conn, n int) error {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, n))
		sent <- err
	}()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err := io.ReadFull(c, make([]byte, n))
	return errors.Join(err, <-sent)
}
