// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

// RunExcept is Run for what one of the hooks has put back on its way: that hook
// is passed over, and not counted. A handle of another event, or of a hook that is
// gone, passes nothing over. Observers do not see these runs. It is a little slower
// than Run, whose loop is kept free of the question.
func (e *Event[C]) RunExcept(slot uint32, c C, origin *Handle) (verdict Verdict) {
	ch := e.running.Load()
	if ch == nil {
		return Accept
	}
	st := &ch.stripes[int(slot)&(len(ch.stripes)-1)]
	st.in.Add(1) // see run
	if e.running.Load() != ch {
		st.in.Add(^uint64(0))
		e.left()
		return e.RunExcept(slot, c, origin)
	}

	at, returned := 0, false
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
	verdict = Accept
	for i, call := range ch.calls {
		at = i
		if origin != nil && ch.hooks[i] == origin.entry {
			origin.entry.passed.Add(1)
			continue
		}
		if v := call(c); v != Accept {
			verdict = v
			break
		}
	}
	returned = true
	if verdict != Accept {
		ch.stops(st, at).Add(1)
		verdict = e.outcome(verdict)
	}
	return verdict
}
