// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/leaktest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func create(t *testing.T, m *instances.Manager, name string) *netstack.Instance {
	t.Helper()
	i, err := m.Create(netstack.Config{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the manager's end
		if err := i.Stats().Balance(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return i
}

// Inside a hook, which they would wait for, Destroy and Close are refused and change nothing.
func TestDestroyInsideHook(t *testing.T) {
	m := instances.New(instances.Config{})
	i := create(t, m, "red")
	results := make(chan error, 2)
	if _, err := i.Register(packet.Inet, packet.LoopbackOut, packet.Hook{Name: "destroy", Func: func(*packet.Context) hooks.Verdict {
		results <- m.Destroy(i.ID())
		results <- m.Close()
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	c, err := i.Dial(context.Background(), "udp", "127.0.0.1:9")
	if err == nil {
		_, err = c.Write([]byte("x"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case err := <-results:
			if !errors.Is(err, hooks.ErrInHook) {
				t.Errorf("%v, want %v", err, hooks.ErrInHook)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the hook waits for itself")
		}
	}
	if _, ok := m.Get(i.ID()); !ok {
		t.Error("the instance is gone")
	}
	if err := errors.Join(m.Destroy(i.ID()), m.Close()); err != nil {
		t.Error(err)
	}
}

// Ids are never reused, names are free again after Destroy.
func TestCreateFindDestroy(t *testing.T) {
	m := instances.New(instances.Config{})
	defer m.Close()
	red, blue := create(t, m, "red"), create(t, m, "blue")
	if red.ID() == blue.ID() || red.ID() == 0 {
		t.Errorf("ids %d and %d", red.ID(), blue.ID())
	}
	if got, ok := m.Find("red"); !ok || got != red {
		t.Errorf("red not found by name")
	}
	if got, ok := m.Get(blue.ID()); !ok || got != blue {
		t.Errorf("blue not found by id")
	}
	if got := slices.Collect(m.All()); !slices.Equal(got, []*netstack.Instance{red, blue}) {
		t.Errorf("all: %v", got)
	}
	if _, err := m.Create(netstack.Config{Name: "red"}); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("name twice: %v", err)
	}
	if _, err := m.Create(netstack.Config{ID: 7}); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("own id: %v", err)
	}
	if err := m.Destroy(red.ID()); err != nil {
		t.Fatal(err)
	}
	if err := m.Destroy(red.ID()); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("destroyed twice: %v", err)
	}
	if _, ok := m.Find("red"); ok {
		t.Error("destroyed instance found")
	}
	if again := create(t, m, "red"); again.ID() <= blue.ID() {
		t.Errorf("id %d given again", again.ID())
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.Create(netstack.Config{}); !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("create after close: %v", err)
	}
	if n := len(slices.Collect(m.All())); n != 0 {
		t.Errorf("%d instances outlive their manager", n)
	}
}

// Managers share nothing, and creating and destroying from many goroutines is safe.
func TestConcurrentManagers(t *testing.T) {
	var wg sync.WaitGroup
	for range 2 {
		m := instances.New(instances.Config{})
		for worker := range 4 {
			wg.Go(func() {
				for round := range 5 {
					i, err := m.Create(netstack.Config{Name: fmt.Sprintf("%d-%d", worker, round)})
					if err != nil {
						t.Error(err)
						return
					}
					if err := m.Destroy(i.ID()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		t.Cleanup(func() { m.Close() })
	}
	wg.Wait()
}

// Three instances in a row, joined by cables: TCP from the first to the last, and one hop less at the middle.
func TestCable(t *testing.T) {
	m := instances.New(instances.Config{})
	defer m.Close()
	a, b, c := create(t, m, "a"), create(t, m, "b"), create(t, m, "c")
	cable := func(x, y *netstack.Instance, px, py string) {
		t.Helper()
		if _, _, err := m.Cable(
			instances.CableEnd{Instance: x, InterfaceConfig: netstack.InterfaceConfig{Name: "to-" + y.Name(), Addresses: []netip.Prefix{netip.MustParsePrefix(px)}}},
			instances.CableEnd{Instance: y, InterfaceConfig: netstack.InterfaceConfig{Name: "to-" + x.Name(), Addresses: []netip.Prefix{netip.MustParsePrefix(py)}}},
		); err != nil {
			t.Fatal(err)
		}
	}
	cable(a, b, "10.1.0.1/30", "10.1.0.2/30")
	cable(b, c, "fd02::1/64", "fd02::2/64")
	for _, r := range []struct {
		inst  *netstack.Instance
		route netstack.Route
	}{
		{b, netstack.Route{Destination: netip.MustParsePrefix("10.3.0.0/24"), Interface: "to-c"}},
		{a, netstack.Route{Destination: netip.MustParsePrefix("10.3.0.0/24"), Interface: "to-b"}},
		{c, netstack.Route{Destination: netip.MustParsePrefix("10.1.0.0/30"), Interface: "to-b"}},
	} {
		if err := r.inst.AddRoute(r.route); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := m.Cable( // an instance may be joined with itself; here it only carries the address
		instances.CableEnd{Instance: c, InterfaceConfig: netstack.InterfaceConfig{Name: "inner0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.3.0.1/24")}}},
		instances.CableEnd{Instance: c, InterfaceConfig: netstack.InterfaceConfig{Name: "inner1"}},
	); err != nil {
		t.Fatal(err)
	}
	ttl := make(chan uint8, 16)
	handle, err := c.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "ttl", Func: func(c *packet.Context) hooks.Verdict {
		select {
		case ttl <- c.Packet.TTL():
		default:
		}
		return hooks.Accept
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Unregister()
	l, err := c.Listen("tcp", "10.3.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "from afar")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := a.Dial(ctx, "tcp", "10.3.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "from afar" {
		t.Errorf("%q, %v", got, err)
	}
	if got := <-ttl; got != 63 {
		t.Errorf("TTL %d at the end of the chain, want 63", got)
	}
}

// A cable that cannot be attached leaves nothing behind.
func TestCableErrors(t *testing.T) {
	m := instances.New(instances.Config{})
	defer m.Close()
	a, b := create(t, m, "a"), create(t, m, "b")
	end := func(i *netstack.Instance, name string) instances.CableEnd {
		return instances.CableEnd{Instance: i, InterfaceConfig: netstack.InterfaceConfig{Name: name}}
	}
	if _, _, err := m.Cable(end(a, "x"), end(b, "lo")); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("name taken: %v", err)
	}
	if _, _, err := m.Cable(end(a, "lo"), end(b, "x")); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("name taken: %v", err)
	}
	if _, _, err := m.Cable(end(a, "x"), end(b, "x")); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
}
