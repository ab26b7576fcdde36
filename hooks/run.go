// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

// The run path. A run executes one immutable chain of functions and takes no
// lock. Who changes the list of hooks publishes a new chain (the old one is then
// retiring) and must know when the last run in the old one has ended. For
// this every chain counts the runs that enter and leave it:
//
//	run:     load the chain, in++, load it again: if it was replaced, in--, start over
//	         call the functions
//	         out++, load it again: if it was replaced, look whether it is quiet
//	writer:  replace the chain; look whether the old one is quiet
//	quiet:   out == in, read in this order
//
// The second load makes sure that nobody enters a chain after it was replaced
// (and looked quiet). The third load makes sure that somebody looks after the last
// run has left: a run that does not see the replacement has done its out++
// before it, so that the writer sees that. What looks takes the stack's mu, and
// so the last one to look finds the chain quiet. Nobody polls.
//
// The counters stand in stripes, each on its own cache lines and used by one
// worker. They are also the statistics: one counter for a whole run, and on the
// way of those that a hook stops early, one for that hook. When a chain is
// quiet, its counts are folded into the event and its hooks.

// A chain is what an event runs: the functions and, beside them, the rest.
type chain[C any] struct {
	snapshot
	calls    []func(C) Verdict
	observer *func(Probe[C]) // nil: not observed
}

// A snapshot is the part of a chain that does not depend on the context's type.
// All but its counters is constant.
type snapshot struct {
	hooks   []*entry
	flags   Flags
	stripes []stripe // a power of two of them
	stops   []atomic.Uint64
}

// A stripe is one worker's share of a snapshot's counters: two pairs of cache
// lines, as processors fetch them in pairs.
type stripe struct {
	in, out atomic.Uint64
	stops   [14]atomic.Uint64 // runs that ended early, by the hook that ended them
}

// stop returns the counter of runs that hook i has stopped. Hooks beyond the
// 14th share theirs between all workers.
func (s *snapshot) stop(st *stripe, i int) *atomic.Uint64 {
	if i < len(st.stops) {
		return &st.stops[i]
	}
	return &s.stops[i-len(st.stops)]
}

// hooked is the bit of interested that says that there are hooks at all.
const hooked Flags = 1 << 31

// Active reports whether anything is hooked (he_interested of the original).
func (e *Event[C]) Active() bool { return e.interested.Load() != 0 }

// Flags returns the flags of all hooks, or-ed.
func (e *Event[C]) Flags() Flags { return Flags(e.interested.Load()) &^ hooked }

// Run calls the hooks in order until one answers something else than Accept,
// and returns that answer, or Accept (hook_run of the original). The list it
// runs is the one at its start, whatever changes meanwhile. Run takes no lock and
// allocates nothing; with no hook it is one atomic load.
//
// slot is the number of the worker that calls. It is a hint only: workers
// that use different slots do not share cache lines.
func (e *Event[C]) Run(slot uint32, c C) Verdict {
	if e.interested.Load() == 0 {
		return Accept
	}
	return e.run(slot, c)
}

// run is Run if something is hooked. insideHook looks for its name.
//
//go:noinline
func (e *Event[C]) run(slot uint32, c C) (verdict Verdict) {
	ch := e.running.Load()
	if ch == nil {
		return Accept
	}
	st := &ch.stripes[int(slot)&(len(ch.stripes)-1)]
	st.in.Add(1)
	if e.running.Load() != ch {
		st.in.Add(^uint64(0))
		e.left()
		return e.run(slot, c)
	}

	at, returned := 0, false // hook at is being called
	defer func() {
		if !returned {
			verdict = e.broken(ch, st, at, recover(), c)
			return
		}
		st.out.Add(1)
		if e.running.Load() != ch {
			e.left()
		}
	}()
	if ch.observer != nil {
		verdict = e.runObserved(ch, &at, c)
	} else {
		verdict = Accept
		for i, call := range ch.calls {
			at = i
			if v := call(c); v != Accept {
				verdict = v
				break
			}
		}
	}
	returned = true
	if verdict != Accept {
		ch.stop(st, at).Add(1)
		verdict = e.outcome(verdict)
	}
	if ch.observer != nil {
		e.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
	}
	return verdict
}

// outcome returns what a run returns that ended with v, which is not Accept.
func (e *event) outcome(v Verdict) Verdict {
	switch {
	case e.readOnly:
		return Accept
	case v == Steal || v < Accept:
		return v
	}
	return DropWith(ReasonVerdict)
}

// left folds what is quiet, after a run has left a chain that was replaced.
func (e *event) left() {
	e.family.stack.mu.Lock()
	e.fold()
	e.family.stack.mu.Unlock()
}

// broken ends a run in which hook i panicked with p, or ended its goroutine if
// p is nil (runtime.Goexit, also t.FailNow). It returns the verdict.
func (e *Event[C]) broken(ch *chain[C], st *stripe, i int, p any, c C) Verdict {
	h := ch.hooks[i]
	verdict := DropWith(ReasonPanic)
	if p != nil {
		e.probe(ch, Probe[C]{Point: ProbeHookEnd, Hook: h.name, Verdict: verdict, Context: c})
		verdict = e.outcome(verdict)
		e.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
	}
	ch.stop(st, i).Add(1)
	st.out.Add(1)
	if first := e.account(h, p != nil); first {
		e.log(h, p)
	}
	return verdict
}

// account folds what is quiet and counts a panic of h. It disables h if that
// was one too many and reports whether it was the first.
func (e *Event[C]) account(h *entry, panicked bool) (first bool) {
	s := e.family.stack
	s.mu.Lock()
	defer s.mu.Unlock()
	if panicked {
		e.panics++
		h.panics++
		if !h.disabled && e.panicLimit > 0 && h.panics >= uint64(e.panicLimit) {
			h.disabled = true
			if !h.removed {
				e.publish()
			}
		}
	}
	e.fold()
	return panicked && h.panics == 1
}

func (e *event) log(h *entry, p any) {
	e.family.stack.logger.Error("hook panicked",
		slog.Uint64("instance", uint64(e.family.stack.instance)),
		slog.String("family", e.family.name),
		slog.String("event", e.name),
		slog.String("hook", h.name),
		slog.Int("limit", e.panicLimit),
		slog.Any("panic", p),
		slog.String("stack", string(debug.Stack())))
}

// publish makes the present hooks the ones that run. The stack's mu is held.
func (e *Event[C]) publish() {
	var next *chain[C]
	if len(e.hooks) > 0 {
		next = &chain[C]{calls: make([]func(C) Verdict, len(e.hooks)), observer: e.observer}
		next.hooks = slices.Clone(e.hooks)
		next.stripes = make([]stripe, e.family.stack.stripes)
		if extra := len(e.hooks) - len(stripe{}.stops); extra > 0 {
			next.stops = make([]atomic.Uint64, extra)
		}
		for i, h := range e.hooks {
			h.snapshots++
			next.flags |= h.flags
			switch {
			case !h.disabled:
				next.calls[i] = h.call.(func(C) Verdict)
			case e.readOnly || h.flags&FlagFailOpen != 0:
				next.calls[i] = func(C) Verdict { return Accept }
			default:
				next.calls[i] = func(C) Verdict { return DropWith(ReasonDisabled) }
			}
		}
	}
	interested := Flags(0)
	if next != nil {
		interested = next.flags | hooked
	}
	e.interested.Store(uint32(interested))
	if old := e.running.Swap(next); old != nil {
		e.retiring = append(e.retiring, &old.snapshot)
	}
	e.fold()
}

// fold adds the counts of retiring snapshots that are quiet to the event and its
// hooks and forgets the snapshots. It wakes who waits for a hook to be gone.
// The stack's mu is held.
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

// quiet reports whether no run is under way in s. s has been replaced.
func (s *snapshot) quiet() bool {
	for i := range s.stripes {
		st := &s.stripes[i]
		// In this order: no run enters a replaced snapshot for good, so that in
		// is at least out plus the runs that were under way when out was read.
		if out := st.out.Load(); out != st.in.Load() {
			return false
		}
	}
	return true
}

// count returns how many runs have ended in s, and for each hook how many of
// these have called it. While runs are under way hits may be too low (even
// negative) by those, but never too high.
func (s *snapshot) count() (runs uint64, hits []int64) {
	for i := range s.stripes {
		runs += s.stripes[i].out.Load()
	}
	// Only now the stops: those of all runs counted above are among them.
	hits = make([]int64, len(s.hooks))
	reached := int64(runs)
	for i := range s.hooks {
		hits[i] = reached
		if extra := i - len(stripe{}.stops); extra >= 0 {
			reached -= int64(s.stops[extra].Load())
			continue
		}
		for j := range s.stripes {
			reached -= int64(s.stripes[j].stops[i].Load())
		}
	}
	return runs, hits
}
