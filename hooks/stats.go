// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "slices"

// The kstats: names, classes and fields are the original's; panics and disabled
// are ours. They can be read at any time and stop no run. A run is counted when
// it ends; the numbers never go back, and are exact when no run is under way.

// StackStats are the counters of a stack.
type StackStats struct {
	Instance InstanceID    `json:"instance"`
	Families []FamilyStats `json:"families"` // oldest first
}

// FamilyStats are the counters of a family.
type FamilyStats struct {
	Name   string       `json:"name"`   // as "inet"
	Events []EventStats `json:"events"` // oldest first
}

// EventStats are the counters of an event, kstat class "hook_event".
type EventStats struct {
	Name         string      `json:"name"`         // module:instance:name, as "inet:0:PHYSICAL_IN"
	Event        string      `json:"event"`        // as "PHYSICAL_IN"
	HooksAdded   uint64      `json:"hooksAdded"`   // hooks ever registered
	HooksRemoved uint64      `json:"hooksRemoved"` // hooks ever unregistered
	Events       uint64      `json:"events"`       // runs that have ended, of those that had a hook to call
	Panics       uint64      `json:"panics"`       // panics in hooks
	Hooks        []HookStats `json:"hooks"`        // in running order
}

// HookStats are the counters of a hook, kstat class "hook".
type HookStats struct {
	Name      string `json:"name"`       // module:instance:name, as "inet/PHYSICAL_IN:0:fw"
	Hook      string `json:"hook"`       // as "fw"
	Version   int32  `json:"version"`    // 1
	Flags     Flags  `json:"flags"`      //
	Hint      Hint   `json:"hint"`       // the number of the hint, as HH_BEFORE
	HintValue string `json:"hint_value"` // "<none>" unless the hint is HintBefore or HintAfter
	Position  int32  `json:"position"`   // from 1, as of now
	Hits      uint64 `json:"hook_hits"`  // runs that reached the hook, also if it is disabled
	Panics    uint64 `json:"panics"`     // how many times it panicked
	Disabled  bool   `json:"disabled"`   // it panicked too often and is not called any more
}

// Stats returns the counters of everything in the stack, all of one moment of the
// registry.
func (s *Stack) Stats() StackStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := StackStats{Instance: s.instance}
	for _, f := range s.families {
		stats.Families = append(stats.Families, f.stats())
	}
	return stats
}

// Stats returns the counters of the family's events.
func (f *Family) Stats() FamilyStats {
	f.stack.mu.Lock()
	defer f.stack.mu.Unlock()
	return f.stats()
}

func (f *Family) stats() FamilyStats {
	stats := FamilyStats{Name: f.name}
	for _, e := range f.events {
		stats.Events = append(stats.Events, e.stats())
	}
	return stats
}

// Stats returns the counters of the event and its hooks.
func (e *Event[C]) Stats() EventStats {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	return e.stats()
}

func (e *Event[C]) stats() EventStats {
	stats := EventStats{
		Name:         e.family.name + ":0:" + e.name,
		Event:        e.name,
		HooksAdded:   e.added,
		HooksRemoved: e.removed,
		Events:       e.runs,
		Panics:       e.panics,
	}

	// Folded counts, and those of the snapshots that are still in use.
	inUse := slices.Clone(e.retiring)
	if ch := e.running.Load(); ch != nil {
		inUse = append(inUse, &ch.snapshot)
	}
	hits := map[*entry]int64{}
	for _, s := range inUse {
		runs, counts := s.count()
		stats.Events += runs
		for i, h := range s.hooks {
			hits[h] += counts[i]
		}
	}

	for i, h := range e.hooks {
		if n := int64(h.hits) + hits[h] - int64(h.passed.Load()); n > int64(h.shown) {
			h.shown = uint64(n)
		}
		hintValue := h.hintValue
		if hintValue == "" {
			hintValue = "<none>"
		}
		stats.Hooks = append(stats.Hooks, HookStats{
			Name:      e.family.name + "/" + e.name + ":0:" + h.name,
			Hook:      h.name,
			Version:   1,
			Flags:     h.flags,
			Hint:      h.hint,
			HintValue: hintValue,
			Position:  int32(i + 1),
			Hits:      h.shown,
			Panics:    h.panics,
			Disabled:  h.disabled,
		})
	}
	return stats
}
