// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// The families and events of spec 6.4, in the order in which IP makes them; and the kstats of spec 5.4 see them.
func TestHookPoints(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	want := map[string][]string{
		"inet":  {"PHYSICAL_IN", "PHYSICAL_OUT", "FORWARDING", "LOOPBACK_IN", "LOOPBACK_OUT", "NIC_EVENTS", "OBSERVING"},
		"inet6": {"PHYSICAL_IN", "PHYSICAL_OUT", "FORWARDING", "LOOPBACK_IN", "LOOPBACK_OUT", "NIC_EVENTS", "OBSERVING"},
		"arp":   {"PHYSICAL_IN", "PHYSICAL_OUT", "NIC_EVENTS"},
	}
	got := map[string][]string{}
	for _, f := range r.Hooks().Stats().Families {
		for _, e := range f.Events {
			got[f.Name] = append(got[f.Name], e.Event)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	accept := func(*packet.Context) hooks.Verdict { return hooks.Accept }
	for _, c := range []struct {
		family packet.Family
		event  packet.Event
	}{{packet.ARP, packet.Forwarding}, {packet.Inet, packet.Observing}, {packet.Inet, packet.NICEvents}, {0, packet.PhysicalIn}, {packet.Inet, 0}, {9, 9}} {
		if _, err := r.Register(c.family, c.event, packet.Hook{Name: "h", Func: accept}); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("%v %v: %v", c.family, c.event, err)
		}
	}
	if _, err := r.RegisterObserver(packet.ARP, hooks.Hook[packet.Observation]{Name: "h"}); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("observing ARP: %v", err)
	}
	if _, err := r.RegisterNICEvents(9, hooks.Hook[packet.NICEvent]{Name: "h"}); !errors.Is(err, netstack.ErrInvalid) {
		t.Errorf("NIC events of no family: %v", err)
	}
}

// teardown order of spec 6.4: every event and family is told to be gone exactly once.
func TestHookPointsAreTakenDown(t *testing.T) {
	inst, err := netstack.New(netstack.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var told []string
	note := func(n hooks.Notification) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, n.Command.String()+" "+n.Family+" "+n.Event)
	}
	families, err := inst.Hooks().Notify("families", note)
	if err != nil {
		t.Fatal(err)
	}
	inet, err := inst.Hooks().Family("inet")
	if err != nil {
		t.Fatal(err)
	}
	events, err := inet.Notify("events", note)
	if err != nil {
		t.Fatal(err)
	}
	told = nil
	if err := inst.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"unregister inet FORWARDING", "unregister inet PHYSICAL_IN", "unregister inet PHYSICAL_OUT", "unregister inet LOOPBACK_IN",
		"unregister inet LOOPBACK_OUT", "unregister inet NIC_EVENTS", "unregister inet OBSERVING",
		"unregister inet ", "unregister inet6 ", "unregister arp ",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	for _, n := range []*hooks.Notifier{events, families} {
		if err := n.Unregister(); err != nil {
			t.Error(err)
		}
	}
	if len(told) != len(want) {
		t.Errorf("told again: %v", told[len(want):])
	}
}

// OBSERVING comes after PHYSICAL_IN and PHYSICAL_OUT and between the LOOPBACK events, with the fields of spec 6.2; what was
// dropped before is not observed, and an observer's verdict has no effect.
func TestObserving(t *testing.T) {
	r := newRouter(t, netstack.Config{ID: 42})
	echoUDP(t, r.Instance, "[::]:7")
	var mu sync.Mutex
	var seen []packet.Observation
	var clones []*packet.Packet
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		h, err := r.RegisterObserver(family, hooks.Hook[packet.Observation]{Name: "observer", Func: func(o packet.Observation) hooks.Verdict {
			mu.Lock()
			defer mu.Unlock()
			clone := o.Clone()
			if b := make([]byte, 20); o.Copy(b) != 20 || !slices.Equal(b, clone.Bytes()[:20]) || clone.Len() != o.Length {
				t.Error("the copy is not the packet")
			}
			if o.Source() != clone.Source() || o.Destination() != clone.Destination() || o.Offload() != clone.Offload {
				t.Error("the view is not the packet")
			}
			seen, clones = append(seen, o), append(clones, clone)
			return hooks.Drop
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Unregister()
	}
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "dropper", Func: func(c *packet.Context) hooks.Verdict {
		if c.Packet.TTL() == 13 {
			return hooks.Drop
		}
		return hooks.Accept
	}})
	sent := udp(t, left4, right4, 64, []byte("x"))
	r.left.send(udp(t, left4, right4, 13, nil)) // not observed
	r.left.send(sent)
	r.right.receive()
	c, err := r.Dial(t.Context(), "udp", net.JoinHostPort(a6.String(), "7"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c, "hello")
	mu.Lock()
	defer mu.Unlock()
	want := []packet.Observation{
		{Version: 1, Family: packet.Inet, Direction: packet.Inbound, Length: len(sent), Interface: r.a.Index(), Group: r.a.Index(), SourceZone: packet.AllZones, DestinationZone: packet.AllZones},
		{Version: 1, Family: packet.Inet, Direction: packet.Outbound, Length: len(sent), Interface: r.b.Index(), Group: r.b.Index(), SourceZone: packet.AllZones, DestinationZone: packet.AllZones},
		{Version: 1, Family: packet.Inet6, Direction: packet.Local, Length: 53, Interface: r.a.Index(), Group: r.a.Index(), SourceZone: 42, DestinationZone: 42},
	}
	want = append(want, want[2]) // the answer
	if diff := cmp.Diff(want, seen, cmp.Comparer(sameFields)); diff != "" {
		t.Error(diff)
	}
	if ttl := clones[1].TTL(); ttl != 63 {
		t.Errorf("observed on the way out with TTL %d", ttl)
	}
	for _, p := range clones {
		p.Release()
	}
}

func sameFields(a, b packet.Observation) bool {
	return a.Version == b.Version && a.Family == b.Family && a.Direction == b.Direction && a.Length == b.Length &&
		a.Interface == b.Interface && a.Group == b.Group && a.SourceZone == b.SourceZone && a.DestinationZone == b.DestinationZone
}
