// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

// hooked is the bit of Event.interested that says that there are hooks at all.
const hooked Flags = 1 << 31

// Active reports whether anything is hooked (he_interested of the original).
func (e *Event[C]) Active() bool { return e.interested.Load() != 0 }

// Flags returns the flags of all hooks, or-ed.
func (e *Event[C]) Flags() Flags { return Flags(e.interested.Load()) &^ hooked }

// Run calls the hooks in order until one answers something else than Accept,
// and returns that answer, or Accept (hook_run of the original). The list it
// runs is the one at its start, whatever changes meanwhile. A value that is no
// verdict drops with ReasonVerdict, a panic with ReasonPanic. Run takes no lock
// and allocates nothing; with nothing hooked it is one atomic load.
//
// slot is the number of the worker that calls. It is a hint only: workers
// with different slots do not share cache lines, see [StackConfig].Stripes.
func (e *Event[C]) Run(slot uint32, c C) Verdict {
	// One more word here and the compiler would not inline Run: TestRunInlines.
	if e.interested.Load() == 0 {
		return Accept
	}
	return e.run(slot, c, nil)
}

// RunExcept is Run for what one of the hooks has put back on its way: the hook
// that origin stands for is passed over, and not counted. nil, a handle of another
// event, or of a hook that is gone, passes nothing over.
func (e *Event[C]) RunExcept(slot uint32, c C, origin *Handle) Verdict {
	return e.run(slot, c, origin)
}

// run is Run if something is hooked, and RunExcept. insideHook looks for its
// name.
//
// A chain counts the runs that enter and leave it, so that whoever replaces it
// knows when it is quiet (snapshot.quiet):
//
//	run:     load the chain, in++, load again: if it was replaced, in--, start over
//	         call the functions
//	         out++, load again: if it was replaced, fold what is quiet
//	writer:  replace the chain, fold what is quiet
//
// The second load keeps runs out of a chain that has been replaced and may
// have been found quiet. The third sees to it that somebody looks after the last
// run has left: a run that does not see the replacement has done its out++
// before it, and the writer sees that. Those that look take the stack's mu; the
// last of them finds the chain quiet. So nobody ever polls.
//
//go:noinline
func (e *Event[C]) run(slot uint32, c C, origin *Handle) (verdict Verdict) {
	ch := e.running.Load()
	if ch == nil {
		return Accept
	}
	st := &ch.stripes[int(slot)&(len(ch.stripes)-1)]
	st.in.Add(1)
	if e.running.Load() != ch {
		st.in.Add(^uint64(0))
		e.left()
		return e.run(slot, c, origin)
	}

	at, returned := 0, false // hook number at is being called
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
	if ch.observer != nil || origin != nil {
		verdict = e.runSpecial(ch, &at, c, origin)
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
		ch.stops(st, at).Add(1)
		verdict = e.outcome(verdict)
	}
	if ch.observer != nil {
		e.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
	}
	return verdict
}

// runSpecial is the loop of run if the event is observed or a hook is to be
// passed over.
func (e *Event[C]) runSpecial(ch *chain[C], at *int, c C, origin *Handle) Verdict {
	e.probe(ch, Probe[C]{Point: ProbeRunStart, Context: c})
	for i, h := range ch.hooks {
		*at = i
		if origin != nil && origin.entry == h {
			h.passed.Add(1)
			continue
		}
		e.probe(ch, Probe[C]{Point: ProbeHookStart, Hook: h.name, Context: c})
		verdict := ch.calls[i](c)
		e.probe(ch, Probe[C]{Point: ProbeHookEnd, Hook: h.name, Verdict: verdict, Context: c})
		if verdict != Accept {
			return verdict
		}
	}
	return Accept
}

// outcome returns what Run returns if a hook has ended the run with v.
func (e *event) outcome(v Verdict) Verdict {
	switch {
	case e.readOnly:
		return Accept
	case v.Action() == Drop && v >= Accept:
		return DropWith(ReasonVerdict)
	}
	return v
}

// broken ends a run in which hook number at has not returned: it panicked with
// cause, or, if that is nil, is ending its goroutine (runtime.Goexit, as
// t.FailNow does), and nobody will see the verdict.
func (e *Event[C]) broken(ch *chain[C], st *stripe, at int, cause any, c C) Verdict {
	h, verdict := ch.hooks[at], DropWith(ReasonPanic)
	ch.stops(st, at).Add(1)
	if cause == nil {
		st.out.Add(1)
		e.left()
		return verdict
	}
	e.probe(ch, Probe[C]{Point: ProbeHookEnd, Hook: h.name, Verdict: verdict, Context: c})
	verdict = e.outcome(verdict)
	e.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
	st.out.Add(1)
	if first := e.countPanic(h); first {
		e.logPanic("hook panicked", h.name, cause)
	}
	return verdict
}

// countPanic counts a panic of h, disables h if that was one too many, and
// folds what is quiet. It reports whether it was h's first.
func (e *Event[C]) countPanic(h *entry) (first bool) {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	e.panics++
	h.panics++
	if e.panicLimit > 0 && h.panics >= uint64(e.panicLimit) && !h.disabled {
		h.disabled = true
		e.publish()
	}
	e.fold()
	return h.panics == 1
}

// left folds what is quiet, for a run that has left a chain that was replaced.
func (e *event) left() {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	e.fold()
}
