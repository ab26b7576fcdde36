// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/hooknet/hooknet/internal/inside"
)

// A Command says what a notification is about.
type Command uint8

const (
	// CommandNone is no command (HN_NONE).
	CommandNone Command = iota
	// CommandRegister: the child is there (HN_REGISTER).
	CommandRegister
	// CommandUnregister: the child is no longer there, or has been shut down
	// and will go (HN_UNREGISTER).
	CommandUnregister
)

// String returns "none", "register" or "unregister".
func (c Command) String() string {
	switch c {
	case CommandRegister:
		return "register"
	case CommandUnregister:
		return "unregister"
	}
	return "none"
}

// A Notification tells of a family of a stack, an event of a family, or a hook
// of an event. The parts below the child are empty. It has names where the
// original has five positional arguments whose meaning changes by level.
type Notification struct {
	Command  Command
	Instance InstanceID
	Family   string
	Event    string // empty: it is about the family
	Hook     string // empty: it is about the family or the event
}

// A Notifier is told of every child of a stack, family or event.
//
// It hears of every child exactly once with CommandRegister, and then exactly
// once with CommandUnregister: of those that are there already before Notify
// returns (families and events newest first, hooks in running order), and of
// those that are still there before Unregister returns.
//
// All notifications of one stack are delivered one at a time, in the order of
// the changes they tell of, and for each change in the order in which the
// notifiers were registered. The call that made the change returns after its
// notifications have been delivered, by itself or by another goroutine that was
// delivering already. Callbacks run with no lock held and may use the whole
// API. What they change is in force at once; its notifications follow the ones
// that are queued already, so calls from inside a callback or a hook do not
// wait for them. (Two callbacks of two stacks would otherwise wait for each other.)
//
// A callback should not wait for a goroutine that makes changes to the same
// stack, nor take a lock under which such changes are made. A panic in a
// callback is logged and otherwise ignored.
type Notifier struct {
	stack    *Stack
	name     string
	callback func(Notification)
	owner    notifying
	gone     bool // guarded by stack.mu
}

// notifying is a stack, a family or an event: what has children to tell of.
// Its methods run with the stack's mu held.
type notifying interface {
	// admit returns ErrShutdown if no notifier may be added.
	admit() error
	// audience returns the list that a notifier joins.
	audience() *[]*Notifier
	// children returns a notification with command c for every live child.
	children(c Command) (told []Notification)
	// reap lets the object go if it is condemned and nothing holds it.
	reap()
	// fail returns an OpError about the object and its notifier or hook called
	// name, or nil for nil.
	fail(op, name string, err error, names ...string) error
}

// Notify tells callback of every family of the stack, see [Notifier]
// (net_instance_notify_register(9F)). The name identifies the notifier: no
// two on one object have the same. Errors: ErrInvalid (no name or callback),
// ErrShutdown, ErrExists.
func (s *Stack) Notify(name string, callback func(Notification)) (*Notifier, error) {
	return notifyOn(s, s, name, callback)
}

// Notify tells callback of every event of the family
// (net_protocol_notify_register(9F)). See [Stack.Notify].
func (f *Family) Notify(name string, callback func(Notification)) (*Notifier, error) {
	return notifyOn(f.stack, f, name, callback)
}

// Notify tells callback of every hook of the event
// (net_event_notify_register(9F)). See [Stack.Notify].
func (e *event) Notify(name string, callback func(Notification)) (*Notifier, error) {
	return notifyOn(e.family.stack, e, name, callback)
}

func notifyOn(s *Stack, owner notifying, name string, callback func(Notification)) (*Notifier, error) {
	n := &Notifier{stack: s, name: name, callback: callback, owner: owner}
	err := s.change(func() error {
		list := owner.audience()
		switch {
		case name == "" || callback == nil:
			return ErrInvalid
		case owner.admit() != nil:
			return ErrShutdown
		case slices.ContainsFunc(*list, func(o *Notifier) bool { return o.name == name }):
			return ErrExists
		}
		*list = append(*list, n)
		for _, told := range owner.children(CommandRegister) {
			s.notify([]*Notifier{n}, told)
		}
		return nil
	})
	if err != nil {
		return nil, owner.fail("notify", name, err)
	}
	return n, nil
}

// Unregister takes the notifier away
// (net_instance_notify_unregister(9F), net_protocol_notify_unregister(9F),
// net_event_notify_unregister(9F)). It is told that every child it knows of
// is gone; after that the callback is not called again. Unregister waits for
// this, unless it is called from inside a hook or callback. The error is
// ErrGone at the second use.
func (n *Notifier) Unregister() error {
	return n.stack.change(func() error {
		if n.gone {
			return n.owner.fail("unregister notifier", n.name, ErrGone)
		}
		n.gone = true
		for _, told := range n.owner.children(CommandUnregister) {
			n.stack.notify([]*Notifier{n}, told)
		}
		list := n.owner.audience()
		*list = slices.DeleteFunc(*list, func(o *Notifier) bool { return o == n })
		n.owner.reap()
		// Also if it was told nothing now: what was queued for it before.
		n.stack.queue.awaited = n.stack.queue.added
		return nil
	})
}

func (s *Stack) audience() *[]*Notifier { return &s.notifiers }
func (s *Stack) admit() error {
	if s.shutdown {
		return ErrShutdown
	}
	return nil
}

func (s *Stack) children(c Command) (told []Notification) {
	for _, f := range slices.Backward(s.families) {
		if !f.shutdown {
			told = append(told, f.notification(c))
		}
	}
	return told
}

func (f *Family) audience() *[]*Notifier { return &f.notifiers }
func (f *Family) admit() error {
	if f.shutdown {
		return ErrShutdown
	}
	return f.stack.admit()
}

func (f *Family) children(c Command) (told []Notification) {
	for _, e := range slices.Backward(f.events) {
		if !e.core().shutdown {
			told = append(told, e.core().notification(c, ""))
		}
	}
	return told
}

func (e *event) audience() *[]*Notifier { return &e.notifiers }
func (e *event) admit() error {
	if e.shutdown {
		return ErrShutdown
	}
	return e.family.admit()
}

func (e *event) children(c Command) (told []Notification) {
	for _, h := range e.hooks {
		told = append(told, e.notification(c, h.name))
	}
	return told
}

// A queue holds the notifications of a stack that have not been delivered yet.
// There is no goroutine behind it: whoever changes something delivers until
// its own notifications are out. The stack's mu guards it.
type queue struct {
	waiting    []delivery // oldest first
	added      uint64     // how many were ever queued
	delivered  uint64     // how many have been delivered: the callback has returned
	awaited    uint64     // how many must have been when the change being made returns
	unowned    uint64     // the same for changes that could not wait; who delivers must go that far
	delivering bool       // a goroutine is inside a callback
	moved      sync.Cond  // delivered or delivering has changed
}

type delivery struct {
	to   *Notifier
	what Notification
}

// notify queues what for every notifier in to. It is called from the function
// that makes the change (see change), so that the queue has the order of the
// changes.
func (s *Stack) notify(to []*Notifier, what Notification) {
	for _, n := range to {
		s.queue.waiting = append(s.queue.waiting, delivery{n, what})
		s.queue.added++
		s.queue.awaited = s.queue.added
	}
}

// change runs f with s.mu held, then delivers: at its return the notifications
// that f has queued have been delivered, unless the caller is inside a hook or
// callback. It returns f's error.
func (s *Stack) change(f func() error) error { return s.changeAnd(true, f) }

// changeAnd is change; if wait is false and another goroutine is delivering
// now, it leaves the rest to that goroutine.
func (s *Stack) changeAnd(wait bool, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.queue
	q.awaited = 0
	err := f()
	mine := q.awaited
	for q.delivered < max(mine, q.unowned) {
		switch {
		case !q.delivering:
			s.deliverOne()
		case q.delivered >= mine:
			return err
		case !wait || InHook():
			q.unowned = max(q.unowned, mine)
			return err
		default:
			q.moved.Wait()
		}
	}
	return err
}

// deliverOne calls the callback of the oldest notification, with s.mu released
// meanwhile. s.mu is held again afterwards, also if the callback ends its goroutine
// (runtime.Goexit).
func (s *Stack) deliverOne() {
	q := &s.queue
	next := q.waiting[0]
	q.waiting = q.waiting[1:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	q.delivering = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		q.delivering = false
		q.delivered++
		q.moved.Broadcast()
	}()
	next.call()
}

func init() { inside.Mark(inside.Notifier, delivery.call) }

// call calls the callback and survives its panic.
func (d delivery) call() {
	defer func() {
		if p := recover(); p != nil {
			d.to.stack.logger.Error("notification callback panicked",
				slog.Any("notification", d.what), slog.String("name", d.to.name), panicked(p))
		}
	}()
	d.to.callback(d.what)
}
