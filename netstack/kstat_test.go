// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// kstat returns the kstat of that name, false if there is none.
func kstat(i *netstack.Instance, name string) (netstack.KstatSnapshot, bool) {
	for k := range i.Kstats() {
		if k.String() == name {
			return k, true
		}
	}
	return netstack.KstatSnapshot{}, false
}

// The built-in kstats have the names, classes and fields of spec 5.4; a module's stand beside them until it deletes them.
func TestKstats(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{})
	handle, err := i.Register(packet.Inet, packet.PhysicalIn, packet.Hook{
		Name: "fw", Func: accept, Hint: hooks.HintBefore, HintValue: "nat",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Unregister()
	var seen, dropped atomic.Uint64
	k, err := i.CreateKstat(netstack.KstatConfig{
		Module: "dropper", Unit: 2, Name: "packets",
		Counters: []netstack.KstatCounter{{"seen", &seen}, {"dropped", &dropped}},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen.Store(7)
	dropped.Add(1)
	for _, want := range []netstack.KstatSnapshot{
		{Module: "inet", Name: "PHYSICAL_IN", Class: "hook_event", Values: []netstack.KstatValue{
			{"hooksAdded", uint64(1)}, {"hooksRemoved", uint64(0)}, {"events", uint64(0)}, {"panics", uint64(0)},
		}},
		{Module: "inet/PHYSICAL_IN", Name: "fw", Class: "hook", Values: []netstack.KstatValue{
			{"version", int64(1)}, {"flags", uint64(0)}, {"hint", int64(hooks.HintBefore)}, {"hint_value", "nat"},
			{"position", int64(1)}, {"hook_hits", uint64(0)}, {"panics", uint64(0)}, {"disabled", uint64(0)},
		}},
		{Module: "dropper", Unit: 2, Name: "packets", Class: "misc", Values: []netstack.KstatValue{
			{"seen", uint64(7)}, {"dropped", uint64(1)},
		}},
	} {
		got, _ := kstat(i, want.String())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if err := k.Delete(); err != nil {
		t.Error(err)
	}
	if _, there := kstat(i, "dropper:2:packets"); there {
		t.Error("deleted and still there")
	}
	if err := k.Delete(); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestKstatErrors(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{})
	var n atomic.Uint64
	counters := []netstack.KstatCounter{{"n", &n}}
	if _, err := i.CreateKstat(netstack.KstatConfig{Module: "m", Name: "k", Counters: counters}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config netstack.KstatConfig
		want   error
	}{
		"taken":              {netstack.KstatConfig{Module: "m", Name: "k", Counters: counters}, netstack.ErrExists},
		"no module":          {netstack.KstatConfig{Name: "k", Counters: counters}, netstack.ErrInvalid},
		"name of a family":   {netstack.KstatConfig{Module: "inet", Name: "k", Counters: counters}, netstack.ErrInvalid},
		"name of an event":   {netstack.KstatConfig{Module: "inet/PHYSICAL_IN", Name: "k", Counters: counters}, netstack.ErrInvalid},
		"colon":              {netstack.KstatConfig{Module: "m", Name: "k:", Counters: counters}, netstack.ErrInvalid},
		"no name":            {netstack.KstatConfig{Module: "m", Counters: counters}, netstack.ErrInvalid},
		"negative unit":      {netstack.KstatConfig{Module: "m", Unit: -1, Name: "k", Counters: counters}, netstack.ErrInvalid},
		"no counters":        {netstack.KstatConfig{Module: "m", Name: "l"}, netstack.ErrInvalid},
		"no value":           {netstack.KstatConfig{Module: "m", Name: "l", Counters: []netstack.KstatCounter{{Name: "n"}}}, netstack.ErrInvalid},
		"a name twice":       {netstack.KstatConfig{Module: "m", Name: "l", Counters: []netstack.KstatCounter{{"n", &n}, {"n", &n}}}, netstack.ErrInvalid},
		"counter of no name": {netstack.KstatConfig{Module: "m", Name: "l", Counters: []netstack.KstatCounter{{"", &n}}}, netstack.ErrInvalid},
	} {
		if _, err := i.CreateKstat(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := i.CreateKstat(netstack.KstatConfig{Module: "m", Unit: 1, Name: "k", Counters: counters}); err != nil {
		t.Errorf("another unit: %v", err)
	}
}

// Nobody adds to an instance that ends; what is left goes with it, and the log tells whose it was.
func TestKstatsEndWithTheInstance(t *testing.T) {
	var log bytes.Buffer
	i, err := netstack.New(netstack.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Uint64
	create := func(name string) (*netstack.Kstat, error) {
		return i.CreateKstat(netstack.KstatConfig{Module: "m", Name: name, Counters: []netstack.KstatCounter{{"n", &n}}})
	}
	tidy, err := create("tidy")
	if err != nil {
		t.Fatal(err)
	}
	forgotten, err := create("forgotten")
	if err != nil {
		t.Fatal(err)
	}
	i.Shutdown()
	if _, err := create("late"); !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("created after Shutdown: %v", err)
	}
	if err := tidy.Delete(); err != nil {
		t.Errorf("deleted after Shutdown: %v", err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "kstats=[m:0:forgotten]") {
		t.Errorf("log: %s", got)
	}
	if err := forgotten.Delete(); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("deleted after Close: %v", err)
	}
	if _, there := kstat(i, "m:0:forgotten"); there {
		t.Error("outlives its instance")
	}
}

// Reading, counting, creating and deleting may all happen at once.
func TestKstatsConcurrently(t *testing.T) {
	i := newBudgeted(t, netstack.Budget{})
	var wg sync.WaitGroup
	for unit := range 4 {
		wg.Go(func() {
			var n atomic.Uint64
			for range 50 {
				k, err := i.CreateKstat(netstack.KstatConfig{
					Module: "m", Unit: unit, Name: "k", Counters: []netstack.KstatCounter{{"n", &n}},
				})
				if err != nil {
					t.Error(err)
					return
				}
				n.Add(1)
				if got, there := kstat(i, fmt.Sprintf("m:%d:k", unit)); !there || got.Values[0].Value != n.Load() {
					t.Errorf("%v", got)
				}
				if err := k.Delete(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
