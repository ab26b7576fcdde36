// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "slices"

// This file takes things away again. An object is first shut down, then
// removed: Shutdown refuses additions and says goodbye to the notifiers above,
// Remove unlinks. What is still in use at Remove is condemned: for the remover it is
// gone, for the users it is there until the last of them has left. As in the
// original, hooks of a shut-down event still run; the provider stops calling.

// Shutdown makes the stack refuse everything new (hook_stack_shutdown of the
// original). It does not shut the families down: their provider does that, or
// [Stack.Close]. The error is ErrGone if the stack has gone.
func (s *Stack) Shutdown() error {
	return s.change(func() error {
		if s.isGone() {
			return s.fail("shutdown stack", "", ErrGone)
		}
		s.shutdown = true
		return nil
	})
}

// Remove shuts the stack down and lets it go as soon as its last family and
// notifier have gone (hook_stack_fini of the original). That it is busy is no
// error. The error is ErrGone if it has gone already.
func (s *Stack) Remove() error {
	return s.change(func() error {
		if s.isGone() {
			return s.fail("remove stack", "", ErrGone)
		}
		s.shutdown, s.condemned = true, true
		s.reap()
		return nil
	})
}

// Gone returns a channel that is closed when the stack has been removed and
// its last family and notifier have gone.
func (s *Stack) Gone() <-chan struct{} { return s.gone }

func (s *Stack) isGone() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// reap lets a condemned stack go if nothing holds it. s.mu is held.
func (s *Stack) reap() {
	if s.condemned && len(s.families) == 0 && len(s.notifiers) == 0 && !s.isGone() {
		close(s.gone)
	}
}

// Close takes the whole stack down: it shuts everything down, events before
// their family, oldest first, then removes everything in the same order. Who
// waits for the notifications gets them between the two and can leave in time.
// If somebody does not, the error is ErrBusy with [Stack.Leftovers] in
// [OpError].Names; the stack goes when they have left. Close may be called
// again, and returns nil once all is gone. Hooks that are left are still called as
// long as the provider runs their event.
func (s *Stack) Close() error {
	_ = s.change(func() error { // no error
		s.shutdown = true
		for _, f := range s.families {
			for _, e := range f.events {
				e.core().shutDown()
			}
			f.shutDown()
		}
		return nil
	})
	return s.change(func() error {
		for _, f := range slices.Clone(s.families) {
			for _, e := range slices.Clone(f.events) {
				e.core().remove()
			}
			f.remove()
		}
		s.condemned = true
		s.reap()
		if names := s.leftovers(); len(names) > 0 {
			return s.fail("close stack", "", ErrBusy, names...)
		}
		return nil
	})
}

// Leftovers names what keeps the stack, its families and its events alive:
// "hook inet/PHYSICAL_IN/fw", "notifier inet/PHYSICAL_IN/watch", and events and
// families that nobody has removed yet.
func (s *Stack) Leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leftovers()
}

func (s *Stack) leftovers() (names []string) {
	for _, n := range s.notifiers {
		names = append(names, "notifier "+n.name)
	}
	for _, f := range s.families {
		if !f.condemned {
			names = append(names, "family "+f.name)
		}
		for _, n := range f.notifiers {
			names = append(names, "notifier "+f.name+"/"+n.name)
		}
		for _, e := range f.events {
			path := f.name + "/" + e.core().name
			if !e.core().condemned {
				names = append(names, "event "+path)
			}
			for _, n := range e.core().notifiers {
				names = append(names, "notifier "+path+"/"+n.name)
			}
			for _, h := range e.core().hooks {
				names = append(names, "hook "+path+"/"+h.name)
			}
		}
	}
	return names
}

// Shutdown makes the family refuse new events, and new notifiers on itself and
// its events, and tells the stack's notifiers, once (net_family_shutdown(9F)).
// Hooks can still be registered on events that have not been shut down
// themselves. The error is ErrNotFound if the family has gone.
func (f *Family) Shutdown() error {
	return f.fail("shutdown family", "", f.stack.change(func() error {
		if f.gone {
			return ErrNotFound
		}
		f.shutDown()
		return nil
	}))
}

// Remove shuts the family down and unlinks it (net_family_unregister(9F) and
// net_protocol_unregister(9F)). If it still has events or notifiers it is
// condemned: its name stays taken, its events refuse hooks, and it goes with
// the last of them. The error is ErrNotFound if it has gone already.
func (f *Family) Remove() error {
	return f.fail("remove family", "", f.stack.change(func() error {
		if f.gone {
			return ErrNotFound
		}
		f.remove()
		return nil
	}))
}

// shutDown, remove and reap run with the stack's mu held.
func (f *Family) shutDown() {
	if !f.shutdown {
		f.shutdown = true
		f.stack.notify(f.stack.notifiers, f.notification(CommandUnregister))
	}
}

func (f *Family) remove() {
	f.shutDown()
	f.condemned = true
	f.reap()
}

// reap lets a condemned family go if nothing holds it, and then perhaps the
// stack.
func (f *Family) reap() {
	if !f.condemned || f.gone || len(f.events) > 0 || len(f.notifiers) > 0 {
		return
	}
	f.gone = true
	s := f.stack
	s.families = slices.DeleteFunc(s.families, func(other *Family) bool { return other == f })
	s.reap()
}

// Shutdown makes the event refuse new hooks and notifiers and tells the
// family's notifiers, once (net_event_shutdown(9F)). The hooks that are there
// still run. The error is ErrGone if the event has gone.
func (e *event) Shutdown() error {
	return e.fail("shutdown event", "", e.family.stack.change(func() error {
		if e.gone {
			return ErrGone
		}
		e.shutDown()
		return nil
	}))
}

// Remove shuts the event down and unlinks it (net_event_unregister(9F)). If it
// still has hooks or notifiers it is condemned: its name stays taken, it
// refuses additions, and it goes with the last of them. The error is ErrGone if it
// has gone already.
func (e *event) Remove() error {
	return e.fail("remove event", "", e.family.stack.change(func() error {
		if e.gone {
			return ErrGone
		}
		e.remove()
		return nil
	}))
}

// shutDown, remove and reap run with the stack's mu held.
func (e *event) shutDown() {
	if !e.shutdown {
		e.shutdown = true
		e.family.stack.notify(e.family.notifiers, e.notification(CommandUnregister, ""))
	}
}

func (e *event) remove() {
	e.shutDown()
	e.condemned = true
	e.reap()
}

// reap lets a condemned event go if nothing holds it, and then perhaps the
// family.
func (e *event) reap() {
	if !e.condemned || e.gone || len(e.hooks) > 0 || len(e.notifiers) > 0 {
		return
	}
	e.gone = true
	f := e.family
	f.events = slices.DeleteFunc(f.events, func(other anyEvent) bool { return other.core() == e })
	f.reap()
}
