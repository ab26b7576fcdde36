// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

func newBudgeted(t *testing.T, b netstack.Budget) *netstack.Instance {
	t.Helper()
	return newInstance(t, netstack.Config{Name: "small", Budget: b})
}

func accept(*packet.Context) hooks.Verdict { return hooks.Accept }

// wantBudget checks an error that says which budget does not allow more.
func wantBudget(t *testing.T, err error, want netstack.BudgetError) {
	t.Helper()
	var got *netstack.BudgetError
	if !errors.Is(err, netstack.ErrBudget) || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &got) || *got != want {
		t.Errorf("%v, want %v", err, &want)
	}
}

func TestBudgetInterfaces(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{Interfaces: 1})
	one, far := tun.Pair(tun.PairConfig{Names: [2]string{"one", "far"}})
	defer far.Close()
	added, err := i.AddInterface(one, netstack.InterfaceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	two, far2 := tun.Pair(tun.PairConfig{Names: [2]string{"two", "far"}})
	defer far2.Close()
	_, err = i.AddInterface(two, netstack.InterfaceConfig{})
	wantBudget(t, err, netstack.BudgetError{Budget: "interfaces", Limit: 1})
	if err := added.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := i.AddInterface(two, netstack.InterfaceConfig{}); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func TestBudgetRoutes(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{Routes: 3})
	route := func(n int) netstack.Route {
		return netstack.Route{Destination: netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", n)), Type: netstack.Blackhole}
	}
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"net0", "far"}})
	defer far.Close()
	if _, err := i.AddInterface(near, netstack.InterfaceConfig{ // what its addresses bring is free
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("10.8.0.1/24")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := i.AddRoutes(route(1), route(2)); err != nil {
		t.Fatal(err)
	}
	wantBudget(t, i.AddRoutes(route(3), route(4)), netstack.BudgetError{Budget: "routes", Limit: 3})
	if err := i.AddRoute(route(3)); err != nil {
		t.Errorf("a refusal left something behind: %v", err)
	}
	if err := i.AddRoute(route(3)); !errors.Is(err, netstack.ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	wantBudget(t, i.AddRoute(route(4)), netstack.BudgetError{Budget: "routes", Limit: 3})
	if err := i.RemoveRoute(route(1).Destination, 0); err != nil {
		t.Fatal(err)
	}
	if err := i.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("10.4.0.0/16"), Interface: "net0"}); err != nil {
		t.Errorf("after one was removed: %v", err)
	}
	f, _ := i.Interface("net0")
	if err := f.Close(); err != nil { // takes its route along
		t.Fatal(err)
	}
	if err := i.AddRoute(route(5)); err != nil {
		t.Errorf("after the interface was closed: %v", err)
	}
}

// Hooks of all kinds count together, those under way too, and those that are gone do not.
func TestBudgetHooks(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{Hooks: 3})
	first, err := i.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "h", Func: accept})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.RegisterObserver(packet.Inet6, hooks.Hook[packet.Observation]{
		Name: "h", Func: func(packet.Observation) hooks.Verdict { return hooks.Accept },
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "h", Func: accept}); !errors.Is(err, hooks.ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	if _, err := i.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{
		Name: "h", Func: func(packet.NICEvent) hooks.Verdict { return hooks.Accept },
	}); err != nil {
		t.Fatal(err)
	}
	_, err = i.Register(packet.Inet, packet.Forwarding, packet.Hook{Name: "h", Func: accept})
	wantBudget(t, err, netstack.BudgetError{Budget: "hooks", Limit: 3})
	if err := first.Unregister(); err != nil {
		t.Fatal(err)
	}

	// Many at once: exactly one finds room.
	var wg sync.WaitGroup
	var registered, refused atomic.Int32
	for n := range 8 {
		wg.Go(func() {
			_, err := i.Register(packet.Inet, packet.Forwarding, packet.Hook{Name: fmt.Sprint("h", n), Func: accept})
			switch {
			case err == nil:
				registered.Add(1)
			case errors.Is(err, netstack.ErrBudget):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if registered.Load() != 1 || refused.Load() != 7 {
		t.Errorf("%d registered, %d refused; want 1 and 7", registered.Load(), refused.Load())
	}
}

// A notification of one hook may register the next: what is under way is not counted twice.
func TestBudgetHooksInNotification(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{Hooks: 2})
	inet, err := i.Hooks().Family("inet")
	if err != nil {
		t.Fatal(err)
	}
	event, err := hooks.FindEvent[*packet.Context](inet, "PHYSICAL_IN")
	if err != nil {
		t.Fatal(err)
	}
	var told []error
	notifier, err := event.Notify("watcher", func(n hooks.Notification) {
		if n.Command == hooks.CommandRegister {
			_, err := i.Register(packet.Inet, packet.Forwarding, packet.Hook{Name: "second", Func: accept})
			told = append(told, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer notifier.Unregister()
	if _, err := i.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "first", Func: accept}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]error{nil}, told); diff != "" {
		t.Error(diff)
	}
}

// The queues behind QueueIn and QueueOut hold as many packets as the budget says, each.
func TestBudgetQueuedInjections(t *testing.T) {
	r := newRouter(t, netstack.Config{Budget: netstack.Budget{QueuedInjections: 4}})
	entered, hold := make(chan struct{}), make(chan struct{})
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "slow", Func: func(*packet.Context) hooks.Verdict {
		entered <- struct{}{}
		<-hold
		return hooks.Accept
	}})
	b := udp(t, left4, right4, 64, nil)
	in := func() error { return r.QueueIn(filled(t, b), r.a.Index(), nil) }
	if err := in(); err != nil {
		t.Fatal(err)
	}
	<-entered // that one waits no more
	for range 4 {
		if err := in(); err != nil {
			t.Fatal(err)
		}
	}
	err := in()
	wantBudget(t, err, netstack.BudgetError{Budget: "queued injections", Limit: 4})
	if !errors.Is(err, netstack.ErrQueueFull) {
		t.Error(err)
	}
	if err := r.QueueOut(filled(t, b), nil); err != nil {
		t.Errorf("the other queue: %v", err)
	}
	go func() {
		for range 4 {
			<-entered
		}
	}()
	close(hold)
	for range 6 {
		r.right.receive()
	}
	if s := r.settled(0); s.Drops["inject_queue_full"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestBudgetInvalid(t *testing.T) {
	for _, b := range []netstack.Budget{{Interfaces: -1}, {Hooks: -1}, {Routes: -1}, {Flows: -1}, {QueuedInjections: -1}} {
		if _, err := netstack.New(netstack.Config{Budget: b}); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}
