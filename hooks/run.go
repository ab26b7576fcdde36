// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "github.com/hooknet/hooknet/internal/inside"

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
// and allocates nothing; with nothing hooked it is one atomic load. Who runs an
// event often uses a [Visitor].
//
// slot is the number of the worker that calls. It is a hint only: workers
// with different slots do not share cache lines, see [StackConfig].Stripes.
func (e *Event[C]) Run(slot uint32, c C) Verdict {
	// One more word here and the compiler would not inline Run: TestRunInlines.
	if e.interested.Load() == 0 {
		return Accept
	}
	return e.run(slot, c)
}

// run is what Run calls, so that Run is inlined and this is not.
//
//go:noinline
func (e *Event[C]) run(slot uint32, c C) Verdict { return e.RunExcept(slot, c, nil) }

// RunExcept is Run for what one of the hooks has put back on its way: the hook
// that origin stands for is passed over, and not counted. nil, a handle of another
// event, or of a hook that is gone, passes nothing over.
func (e *Event[C]) RunExcept(slot uint32, c C, origin *Handle) Verdict {
	v := Visitor[C]{event: e, slot: slot}
	verdict := v.run(c, origin)
	v.Leave()
	return verdict
}

// A Visitor runs one event for one worker, many times at the price of one: it
// enters the list of hooks at the first run and stays until Leave. Meanwhile
// [Handle.Unregister] waits. So a worker that takes packets in batches leaves
// after each batch, and above all before it goes to sleep. A Visitor belongs to
// one goroutine. It is not to be copied between a run and Leave.
type Visitor[C any] struct {
	event *Event[C]
	slot  uint32

	// The visit: nil outside.
	chain  *chain[C]
	stripe *stripe
	runs   uint64 // in this visit
}

// Visitor returns a visitor of the event. For slot see [Event.Run].
func (e *Event[C]) Visitor(slot uint32) Visitor[C] { return Visitor[C]{event: e, slot: slot} }

// Active is [Event.Active].
func (v *Visitor[C]) Active() bool { return v.event.interested.Load() != 0 }

// Flags is [Event.Flags].
func (v *Visitor[C]) Flags() Flags { return v.event.Flags() }

// Run is [Event.Run], and does not leave the list of hooks. It sees what has
// changed since the last run.
func (v *Visitor[C]) Run(c C) Verdict {
	if v.event.interested.Load() == 0 {
		return Accept
	}
	return v.run(c, nil)
}

// RunExcept is [Event.RunExcept], and does not leave the list of hooks.
func (v *Visitor[C]) RunExcept(c C, origin *Handle) Verdict {
	return v.run(c, origin)
}

// Leave ends the visit, and counts its runs. Outside of one it does nothing.
func (v *Visitor[C]) Leave() {
	if v.chain != nil {
		v.leave()
	}
}

// enter begins a visit to the list that is in force; there may be none any
// more. A visit that is under way in an older one is ended.
//
// A chain counts the visits that begin and end in it, so that whoever replaces
// it knows when it is quiet (snapshot.quiet):
//
//	enter:   load the chain, in++, load again: if it was replaced, in--, start over
//	leave:   out++, load again: if it was replaced, fold what is quiet
//	writer:  replace the chain, fold what is quiet
//
// The load after in++ keeps visits out of a chain that has been replaced and
// may have been found quiet. The load after out++ sees to it that somebody looks
// after the last visit has ended: one that does not see the replacement has done
// its out++ before it, and the writer sees that. Those that look take the stack's
// mu; the last of them finds the chain quiet. So nobody ever polls.
func (v *Visitor[C]) enter() {
	v.Leave()
	for {
		ch := v.event.running.Load()
		if ch == nil {
			return
		}
		st := &ch.stripes[int(v.slot)&(len(ch.stripes)-1)]
		st.in.Add(1)
		if v.event.running.Load() == ch {
			v.chain, v.stripe, v.runs = ch, st, 0
			return
		}
		st.in.Add(^uint64(0))
		v.event.left()
	}
}

func (v *Visitor[C]) leave() {
	if v.runs > 1 {
		v.stripe.more.Add(v.runs - 1)
	}
	v.stripe.out.Add(1)
	left := v.chain
	v.chain, v.stripe = nil, nil
	if v.event.running.Load() != left {
		v.event.left()
	}
}

func init() { inside.Mark(inside.Hook, (*Visitor[struct{}]).run) }

// run calls the hooks.
//
//go:noinline
func (v *Visitor[C]) run(c C, origin *Handle) (verdict Verdict) {
	ch := v.chain
	if ch == nil || v.event.running.Load() != ch {
		v.enter()
		if ch = v.chain; ch == nil {
			return Accept
		}
	}
	v.runs++

	at := 0 // the number of the hook that is being called, -1 behind the last
	defer func() {
		if at >= 0 {
			verdict = v.broken(at, recover(), c)
		}
	}()
	if ch.observer != nil || origin != nil {
		verdict = v.event.runSpecial(ch, &at, c, origin)
		last := at
		at = -1
		verdict = v.ended(last, verdict)
		v.event.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
		return verdict
	}
	for i, call := range ch.calls {
		at = i
		if verdict = call(c); verdict != Accept {
			at = -1
			return v.ended(i, verdict)
		}
	}
	at = -1
	return Accept
}

// ended returns what Run returns if hook number at was the last to be called
// and has answered verdict, and counts a run that it has ended early.
func (v *Visitor[C]) ended(at int, verdict Verdict) Verdict {
	if verdict == Accept {
		return Accept
	}
	v.chain.stops(v.stripe, at).Add(1)
	return v.event.outcome(verdict)
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
// t.FailNow does), and nobody will see the verdict or end the visit.
func (v *Visitor[C]) broken(at int, cause any, c C) Verdict {
	e, ch := v.event, v.chain
	h, verdict := ch.hooks[at], DropWith(ReasonPanic)
	ch.stops(v.stripe, at).Add(1)
	if cause == nil {
		v.Leave()
		return verdict
	}
	e.probe(ch, Probe[C]{Point: ProbeHookEnd, Hook: h.name, Verdict: verdict, Context: c})
	verdict = e.outcome(verdict)
	e.probe(ch, Probe[C]{Point: ProbeRunEnd, Verdict: verdict, Context: c})
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

// left folds what is quiet, for a visit that has left a chain that was replaced.
func (e *event) left() {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	e.fold()
}

// InHook reports whether the caller was called, however far up, by a hook
// or callback of this package, of whatever event or stack, or by a helper's
// functions that make and free its data on an object: where nobody may wait for
// hooks. It looks at the caller's stack, which takes some microseconds and costs
// the run path nothing.
func InHook() bool { return inside.Places()&(inside.Hook|inside.Notifier|inside.Helper) != 0 }
