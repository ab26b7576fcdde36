// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook

import (
	"slices"
	"sync"

	"github.com/hooknet/hooknet/hooks"
)

// A Point is where hooks are called (struct hhook_head). It may be used from any goroutine, also after it was
// deregistered: then nothing is hooked on it any more. The methods of a nil Point do nothing and return ErrNotFound.
type Point struct {
	event  *hooks.Event[*Call]
	points *Points
	key    key

	// Guarded by points.mu.
	references int           // of Get; the owner's is not counted
	attached   []*Attachment // in running order
	gone       bool
}

// Type returns the point's type.
func (p *Point) Type() Type { return p.key.typ }

// ID returns the point's number in its type.
func (p *Point) ID() ID { return p.key.id }

// IsVirtualised reports whether the point is one of an instance, not of the process (hhook_head_is_virtualised).
func (p *Point) IsVirtualised() bool { return p != nil && p.points.instance != 0 }

// Active reports whether anything is hooked: one atomic load.
func (p *Point) Active() bool { return p != nil && p.event.Active() }

// RunIf calls the hooks in the order in which they were added, if there are any (HHOOKS_RUN_IF(9)). If there are none,
// also if p is nil, it does one atomic load. It takes no lock and allocates nothing in the long run. Whoever wants to save even the
// call asks Active first, which is inlined.
//
// slot is the number of the worker that calls, see [hooks.Event.Run]. context is a pointer to what the hooks are to see;
// a value that is no pointer is allocated by Go on the way here. object is what the run is about, nil for none. Hooks
// that need a helper's data are skipped if the object has none.
func (p *Point) RunIf(slot uint32, context any, object Object) {
	if !p.Active() {
		return
	}
	c := calls.Get().(*Call)
	*c = Call{Type: p.key.typ, ID: p.key.id, Context: context, Object: object}
	p.event.Run(slot, c)
	*c = Call{}
	calls.Put(c)
}

// calls are what runs hand to the events below. Visitors have one of their own.
var calls = sync.Pool{New: func() any { return new(Call) }}

// A Visitor runs one point for one worker, many times at the price of one: it enters the list of hooks at the first run and
// stays until Leave. Whoever takes a hook away waits for that, so that a worker leaves after each batch of its work. A
// Visitor belongs to one goroutine and is not to be copied between a run and Leave. The zero value can only Leave.
type Visitor struct {
	visitor hooks.Visitor[*Call]
	call    *Call // of all its runs
}

// Visitor returns a visitor of the point. For slot see [Point.RunIf].
func (p *Point) Visitor(slot uint32) Visitor {
	return Visitor{p.event.Visitor(slot), &Call{Type: p.key.typ, ID: p.key.id}}
}

// Active is [Point.Active].
func (v *Visitor) Active() bool { return v.visitor.Active() }

// RunIf is [Point.RunIf], and does not leave the list of hooks. It sees what has changed since the last run.
func (v *Visitor) RunIf(context any, object Object) {
	v.call.Context, v.call.Object = context, object
	v.visitor.Run(v.call)
}

// Leave ends the visit, and counts its runs. Outside of one it does nothing.
func (v *Visitor) Leave() { v.visitor.Leave() }

// Release gives back what [Points.Get] has taken (hhook_head_release). The point stays. The error is hooks.ErrGone if
// there was nothing to give back.
func (p *Point) Release() error {
	if p == nil {
		return ErrNotFound
	}
	p.points.mu.Lock()
	defer p.points.mu.Unlock()
	if p.references == 0 {
		return p.points.fail("release point", p.key, "", hooks.ErrGone)
	}
	p.references--
	return nil
}

// Deregister takes the point and the hooks on it away, and returns when the last running call of a hook has returned
// (hhook_head_deregister(9)). Hooks that were added by look-up wait for a new point from then on. Errors, in this order:
// hooks.ErrInHook inside a hook; ErrNotFound if it has gone; hooks.ErrBusy while it is referenced.
func (p *Point) Deregister() error {
	if p == nil {
		return ErrNotFound
	}
	s := p.points
	if hooks.InHook() {
		return s.fail("deregister point", p.key, "", hooks.ErrInHook)
	}
	s.mu.Lock()
	err := error(nil)
	switch {
	case p.gone:
		err = ErrNotFound
	case p.references > 0:
		err = hooks.ErrBusy
	}
	if err != nil {
		s.mu.Unlock()
		return s.fail("deregister point", p.key, "", err)
	}
	running := p.remove()
	s.mu.Unlock()
	wait(running)
	return nil
}

// remove unlinks the point and its hooks and returns what to wait for. points.mu is held.
func (p *Point) remove() (running []<-chan struct{}) {
	for _, a := range slices.Clone(p.attached) {
		running = append(running, a.detach())
	}
	p.gone = true
	delete(p.points.points, p.key)
	_ = p.event.Remove() // no error: it is there, and no longer used
	return running
}

// Add adds h behind the hooks that are there; the next run calls it (hhook_add_hook). It goes with the point. Errors:
// hooks.ErrInvalid (no name, no function), hooks.ErrShutdown if the point has gone, hooks.ErrExists (the name is taken
// on this point).
func (p *Point) Add(h Hook) (*Attachment, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	s := p.points
	s.mu.Lock()
	defer s.mu.Unlock()
	h.Type, h.ID = p.key.typ, p.key.id
	err := s.admit(&h)
	if p.gone {
		err = hooks.ErrShutdown
	}
	if err != nil {
		return nil, s.fail("add hook", p.key, h.Name, err)
	}
	a := &Attachment{points: s, key: p.key, hook: h}
	a.attach(p)
	return a, nil
}

// Remove takes the hook of this name away (hhook_remove_hook). It waits as [Attachment.Remove] does. That there is none
// is no error.
func (p *Point) Remove(name string) error {
	if p == nil {
		return ErrNotFound
	}
	p.points.mu.Lock()
	at := slices.IndexFunc(p.attached, func(a *Attachment) bool { return a.hook.Name == name })
	var a *Attachment
	if at >= 0 {
		a = p.attached[at]
	}
	p.points.mu.Unlock()
	if a == nil {
		return nil
	}
	return a.Remove()
}

// An Attachment stands for one hook that was added, whether its point is there yet or not.
type Attachment struct {
	points *Points
	key    key
	hook   Hook
	lookup bool

	// Guarded by points.mu.
	point   *Point            // nil: it waits for its point, or has gone
	handle  *hooks.Handle     // nil if point is
	running []<-chan struct{} // of each detach whose calls may not have returned yet
}

// Name returns the hook's name.
func (a *Attachment) Name() string { return a.hook.Name }

// Attached reports whether the hook is on its point now, and is neither waiting for it nor removed.
func (a *Attachment) Attached() bool {
	a.points.mu.Lock()
	defer a.points.mu.Unlock()
	return a.point != nil
}

// Remove takes the hook away and returns when its last running call has returned (hhook_remove_hook). That it has gone
// already is no error. Inside a hook nothing happens and the error is hooks.ErrInHook.
func (a *Attachment) Remove() error {
	s := a.points
	if hooks.InHook() {
		return s.fail("remove hook", a.key, a.hook.Name, hooks.ErrInHook)
	}
	s.mu.Lock()
	s.lookups = slices.DeleteFunc(s.lookups, func(o *Attachment) bool { return o == a })
	if a.point != nil {
		a.detach()
	}
	running := slices.Clone(a.running)
	s.mu.Unlock()
	wait(running)
	return nil
}

// attach puts the hook on p, where its name is free. points.mu is held.
func (a *Attachment) attach(p *Point) {
	handle, err := p.event.Register(hooks.Hook[*Call]{Name: a.hook.Name, Func: a.hook.called()})
	if err != nil {
		panic(err) // cannot be: admit has looked at all that Register refuses
	}
	a.point, a.handle = p, handle
	p.attached = append(p.attached, a)
}

// detach takes the hook off its point and returns what to wait for. points.mu is held.
func (a *Attachment) detach() <-chan struct{} {
	p := a.point
	p.attached = slices.DeleteFunc(p.attached, func(o *Attachment) bool { return o == a })
	running, err := a.handle.Retire()
	if err != nil {
		panic(err) // cannot be: nobody else has the handle
	}
	a.point, a.handle = nil, nil
	a.running = append(slices.DeleteFunc(a.running, returned), running)
	return running
}

// returned reports whether running is closed.
func returned(running <-chan struct{}) bool {
	select {
	case <-running:
		return true
	default:
		return false
	}
}
