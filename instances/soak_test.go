// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/soaktest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// usualSoak is how long a soak takes where it is one test of many.
const usualSoak = 3 * time.Second

// A soakModule is what a thorough module has on one instance: a notifier at every level, a handle on every protocol, and a
// hook on every PHYSICAL_IN.
type soakModule struct {
	t    *testing.T
	inst *netstack.Instance
	hits *atomic.Uint64
	late atomic.Bool // came when the instance was being shut down

	mu        sync.Mutex
	protocols []*netstack.Protocol
	notifiers []*hooks.Notifier // families first, then those on events: given back in reverse
	handles   []*hooks.Handle
	told      map[string]int // object to REGISTERs less UNREGISTERs
}

// failed reports an error, unless it is that the instance's end has been announced: a guest may be on its way out while the
// module is still being set up in it.
func (m *soakModule) failed(what string, err error) bool {
	if err == nil {
		return false
	}
	if !errors.Is(err, hooks.ErrShutdown) {
		m.t.Errorf("%s: %v", what, err)
	}
	m.late.Store(true)
	return true
}

func (m *soakModule) keep(n *hooks.Notifier, err error) {
	if m.failed("notifier", err) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notifiers = append(m.notifiers, n)
}

func (m *soakModule) count(object string, c hooks.Command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch c {
	case hooks.CommandRegister:
		m.told[object]++
	case hooks.CommandUnregister:
		m.told[object]--
	}
}

// onFamily looks the announced family's protocol up and watches its events.
func (m *soakModule) onFamily(n hooks.Notification) {
	m.count(n.Family, n.Command)
	if n.Command != hooks.CommandRegister {
		return
	}
	p, err := m.inst.Protocol(n.Family)
	if m.failed("protocol "+n.Family, err) {
		return
	}
	m.mu.Lock()
	m.protocols = append(m.protocols, p)
	m.mu.Unlock()
	f, err := p.Family()
	if m.failed("family "+n.Family, err) {
		return
	}
	m.keep(f.Notify("soak", func(n hooks.Notification) { m.onEvent(f, n) }))
}

// onEvent watches the announced event's hooks, and hooks PHYSICAL_IN.
func (m *soakModule) onEvent(f *hooks.Family, n hooks.Notification) {
	m.count(n.Family+" "+n.Event, n.Command)
	if n.Command != hooks.CommandRegister {
		return
	}
	watch := func(n hooks.Notification) { m.count(n.Family+" "+n.Event+" "+n.Hook, n.Command) }
	switch n.Event {
	case packet.Observing.String():
		watchEvent[packet.Observation](m, f, n.Event, watch)
	case packet.NICEvents.String():
		watchEvent[packet.NICEvent](m, f, n.Event, watch)
	default:
		e := watchEvent[*packet.Context](m, f, n.Event, watch)
		if e == nil || n.Event != packet.PhysicalIn.String() {
			return
		}
		h, err := e.Register(packet.Hook{Name: "soak", Func: m.hook})
		if m.failed("hook on "+n.Event, err) {
			return
		}
		m.mu.Lock()
		m.handles = append(m.handles, h)
		m.mu.Unlock()
	}
}

func watchEvent[C any](m *soakModule, f *hooks.Family, name string, watch func(hooks.Notification)) *hooks.Event[C] {
	e, err := hooks.FindEvent[C](f, name)
	if m.failed("event "+name, err) {
		return nil
	}
	m.keep(e.Notify("soak", watch))
	return e
}

// hook checks that what it is told is whole.
func (m *soakModule) hook(c *packet.Context) hooks.Verdict {
	if c.Instance != m.inst.ID() || c.Event != packet.PhysicalIn || c.Family != c.Packet.Family() || c.In == 0 || c.Out != 0 {
		m.t.Errorf("context: %+v", *c)
	}
	m.hits.Add(1)
	return hooks.Accept
}

func (m *soakModule) shutdown() {
	m.mu.Lock()
	protocols, notifiers, handles := m.protocols, m.notifiers, m.handles
	m.protocols, m.notifiers, m.handles = nil, nil, nil
	m.mu.Unlock()
	for _, h := range handles {
		if err := h.Unregister(); err != nil {
			m.t.Errorf("hook: %v", err)
		}
	}
	for k := range notifiers {
		if err := notifiers[len(notifiers)-1-k].Unregister(); err != nil {
			m.t.Errorf("notifier: %v", err)
		}
	}
	for _, p := range protocols {
		if err := p.Release(); err != nil {
			m.t.Errorf("protocol: %v", err)
		}
	}
}

// destroy finds nothing left and every REGISTER answered by one UNREGISTER.
func (m *soakModule) destroy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.protocols)+len(m.notifiers)+len(m.handles) != 0 {
		m.t.Errorf("left: %d protocols, %d notifiers, %d hooks", len(m.protocols), len(m.notifiers), len(m.handles))
	}
	if len(m.told) == 0 && !m.late.Load() {
		m.t.Error("told of nothing")
	}
	for object, n := range m.told {
		if n != 0 {
			m.t.Errorf("%s: %d more REGISTERs than UNREGISTERs", object, n)
		}
	}
}

// The soak module: registered and unregistered every 5 ms under traffic, while instances come and go.
func TestSoakModule(t *testing.T) {
	m := instances.New(instances.Config{})
	defer m.Close()
	a, b := create(t, m, "a"), create(t, m, "b")
	if _, _, err := m.Cable(
		instances.CableEnd{Instance: a, InterfaceConfig: netstack.InterfaceConfig{Name: "c", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.1/30"), netip.MustParsePrefix("fd09::1/64")}}},
		instances.CableEnd{Instance: b, InterfaceConfig: netstack.InterfaceConfig{Name: "c", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/30"), netip.MustParsePrefix("fd09::2/64")}}},
	); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var background sync.WaitGroup
	defer background.Wait()
	defer close(stop)
	each := func(f func()) {
		background.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	for _, address := range []string{"10.9.0.2:9", "[fd09::2]:9"} {
		c, err := a.Dial(t.Context(), "udp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		each(func() {
			c.Write([]byte("traffic")) // nobody listens: the answers are traffic, too
			time.Sleep(50 * time.Microsecond)
		})
	}
	var guests atomic.Int64
	each(func() { // instances come and go, too
		i, err := m.Create(netstack.Config{Name: fmt.Sprintf("guest-%d", guests.Add(1))})
		if err != nil {
			t.Error(err)
			return
		}
		if err := m.Destroy(i.ID()); err != nil {
			t.Error(err)
		}
	})

	var hits atomic.Uint64
	var created, ended atomic.Int64
	descriptor := instances.Descriptor{
		Name: "soak",
		Create: func(i *netstack.Instance) (any, error) {
			created.Add(1)
			s := &soakModule{t: t, inst: i, hits: &hits, told: map[string]int{}}
			s.keep(i.Hooks().Notify("soak", s.onFamily))
			return s, nil
		},
		Shutdown: func(_ *netstack.Instance, context any) { context.(*soakModule).shutdown() },
		Destroy: func(_ *netstack.Instance, context any) {
			context.(*soakModule).destroy()
			ended.Add(1)
		},
	}
	rounds := 0
	for deadline := time.Now().Add(soaktest.Time(t, usualSoak)); time.Now().Before(deadline); rounds++ {
		r, err := m.Register(descriptor)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		if err := r.Unregister(); err != nil {
			t.Fatal(err)
		}
		if created.Load() != ended.Load() {
			t.Fatalf("round %d: %d created, %d destroyed", rounds, created.Load(), ended.Load())
		}
	}
	if hits.Load() == 0 {
		t.Error("no packet met the hook")
	}
	for _, i := range []*netstack.Instance{a, b} {
		for _, f := range i.Hooks().Stats().Families {
			for _, e := range f.Events {
				if e.HooksAdded != e.HooksRemoved {
					t.Errorf("%s of %s: %d hooks added, %d removed", e.Name, i.Name(), e.HooksAdded, e.HooksRemoved)
				}
			}
		}
	}
	t.Logf("%d rounds, %d lives of the module, %d packets hooked, %d instances came and went, %d goroutines",
		rounds, created.Load(), hits.Load(), guests.Load(), runtime.NumGoroutine())
}
