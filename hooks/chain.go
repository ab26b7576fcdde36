// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"slices"
	"sync/atomic"
)

// A chain is what an event runs: the functions of its hooks and, in the
// snapshot, what does not depend on the context's type. It never changes;
// a change of the hooks publishes a new chain.
type chain[C any] struct {
	snapshot
	calls    []func(C) Verdict
	observer *func(Probe[C]) // nil: not observed
}

// A snapshot is a list of hooks with the counters of the visits to it. The
// counters are guard and statistics in one: they tell when nobody is inside any
// more, and they count a whole run once, not each hook. Only a hook that ends a
// run early is counted on its own. When a snapshot has been replaced and is
// quiet its counts are folded into the event and the hooks.
type snapshot struct {
	hooks     []*entry
	stripes   []stripe // a power of two of them
	moreStops []atomic.Uint64
}

// A stripe is one worker's share of the counters of a snapshot. It fills two
// cache lines, as processors fetch them in pairs.
type stripe struct {
	in, out atomic.Uint64     // visits that have begun and ended
	more    atomic.Uint64     // runs of ended visits beyond the first of each
	stops   [13]atomic.Uint64 // by hook, the runs it has ended
}

// stops returns the counter of runs that hook i has ended. Hooks beyond the
// 13th have one for all stripes.
func (s *snapshot) stops(st *stripe, i int) *atomic.Uint64 {
	if i < len(st.stops) {
		return &st.stops[i]
	}
	return &s.moreStops[i-len(st.stops)]
}

// quiet reports whether no visit is under way in s, which has been replaced.
func (s *snapshot) quiet() bool {
	for i := range s.stripes {
		st := &s.stripes[i]
		// In this order. Nobody enters any more, so that in, read second, is at
		// least out plus the visits that were under way when out was read.
		if out := st.out.Load(); out != st.in.Load() {
			return false
		}
	}
	return true
}

// count returns how many runs the ended visits to s had, and how many of them
// have reached each hook. A run of a visit under way may already be missing from
// the hooks behind the one that ended it (so much that hits is negative), but is
// never counted too early.
func (s *snapshot) count() (runs uint64, hits []int64) {
	for i := range s.stripes {
		runs += s.stripes[i].out.Load() + s.stripes[i].more.Load()
	}
	// The stops last: those of all runs above are among them.
	reached := int64(runs)
	for i := range s.hooks {
		hits = append(hits, reached)
		if i >= len(stripe{}.stops) {
			reached -= int64(s.moreStops[i-len(stripe{}.stops)].Load())
			continue
		}
		for j := range s.stripes {
			reached -= int64(s.stripes[j].stops[i].Load())
		}
	}
	return runs, hits
}

// publish makes the present hooks the ones that run. The stack's mu is held.
func (e *Event[C]) publish() {
	var next *chain[C]
	var interested Flags
	if len(e.hooks) > 0 {
		next, interested = e.newChain()
	}
	e.interested.Store(uint32(interested))
	if old := e.running.Swap(next); old != nil {
		e.retiring = append(e.retiring, &old.snapshot)
	}
	e.fold()
}

// newChain returns a chain of the present hooks and what callers of Run are to
// know of it.
func (e *Event[C]) newChain() (*chain[C], Flags) {
	ch, flags := &chain[C]{observer: e.observer}, hooked
	ch.hooks = slices.Clone(e.hooks)
	ch.stripes = make([]stripe, e.family.stack.stripes)
	ch.moreStops = make([]atomic.Uint64, max(0, len(e.hooks)-len(stripe{}.stops)))
	for _, h := range e.hooks {
		h.snapshots++
		flags |= h.flags
		call := h.call.(func(C) Verdict)
		switch {
		case !h.disabled:
		case e.readOnly || h.flags&FlagFailOpen != 0:
			call = func(C) Verdict { return Accept }
		default:
			call = func(C) Verdict { return DropWith(ReasonDisabled) }
		}
		ch.calls = append(ch.calls, call)
	}
	return ch, flags
}

// fold adds the counts of replaced snapshots that are quiet to the event and
// its hooks and forgets the snapshots. A hook that has been removed and was in
// the last of them is gone. The stack's mu is held.
func (e *event) fold() {
	e.retiring = slices.DeleteFunc(e.retiring, func(s *snapshot) bool {
		if !s.quiet() {
			return false
		}
		runs, hits := s.count()
		e.runs += runs
		for i, h := range s.hooks {
			h.hits += uint64(hits[i])
			h.snapshots--
			if h.removed && h.snapshots == 0 {
				close(h.gone)
			}
		}
		return true
	})
}
