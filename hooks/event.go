// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"slices"
	"sync/atomic"
)

// An EventConfig says how an event is made (hook_event_t of the original).
type EventConfig struct {
	// Name is the event's name, as "PHYSICAL_IN". It is unique in its family.
	Name string
	// ReadOnly says that hooks may only look (HOOK_RDONLY). The type of the
	// context must keep them from writing. A verdict other than Accept ends the
	// run as everywhere, but Run returns Accept: what is only observed cannot be
	// dropped or stolen. A disabled hook does not stand in the way of the others.
	ReadOnly bool
	// PanicLimit is after how many panics a hook is disabled. 0 means 1; a
	// negative number means never.
	PanicLimit int
}

// A Hook is what is registered on an event (hook_t(9S)). Register copies it.
// The argument of the original's functions is Func's closure.
type Hook[C any] struct {
	// Name identifies the hook: no two on one event have the same.
	Name string
	// Func is called for every run of the event that reaches the hook, from
	// many goroutines at the same time. It owns c until it returns; what it
	// changes is seen by the hooks behind it. It may use the whole API but for
	// [Handle.Unregister], and should not block.
	//
	// If it panics the packet is dropped, and after EventConfig.PanicLimit panics
	// Func is not called any more (runs under way may still do so): its place
	// then answers Drop with ReasonDisabled, or Accept with FlagFailOpen.
	Func func(c C) Verdict
	// Hint and HintValue say where in the list the hook wants to stand.
	// HintValue is the name of another hook, which need not be there (yet);
	// only HintBefore and HintAfter use it.
	Hint      Hint
	HintValue string
	// Flags may be FlagFailOpen and FlagSegments.
	Flags Flags
}

// An Event is a point at which hooks are called (hook_event_int_t of the
// original). C is what it hands to them. [Event.Run], [Event.Active] and
// [Event.Flags] are for the packet path. The other methods take the stack's lock;
// all may be called at any time from any goroutine, also from inside hooks and
// callbacks.
type Event[C any] struct {
	// What Run reads stands first, together. interested is 0 if nothing is
	// hooked, otherwise the bit hooked and the flags of all hooks. running is
	// what Run executes.
	interested atomic.Uint32
	running    atomic.Pointer[chain[C]]
	event
	observer *func(Probe[C]) // guarded by the stack's mu
}

// event is the part of an Event that does not depend on the context's type.
// Everything below the constants is guarded by the stack's mu.
type event struct {
	family     *Family
	name       string
	panicLimit int
	readOnly   bool

	shutdown  bool // takes no hooks and notifiers any more
	condemned bool // goes with its last hook and notifier
	gone      bool

	hooks     []*entry    // in running order
	retiring  []*snapshot // replaced while runs were under way in them
	notifiers []*Notifier

	added   uint64 // hooks ever registered
	removed uint64 // hooks ever unregistered
	runs    uint64 // of snapshots that are no longer used
	panics  uint64
}

// anyEvent is an Event of any context type.
type anyEvent interface {
	core() *event
	stats() EventStats
	publish()
}

func (e *event) core() *event { return e }

// An entry is a registered hook.
type entry struct {
	name      string
	call      any // the func(C) Verdict; only publish needs its type
	hint      Hint
	hintValue string // empty unless hint is HintBefore or HintAfter
	flags     Flags

	passed atomic.Uint64 // runs that reached it but passed it over, see RunExcept

	// Guarded by the stack's mu.
	removed   bool
	disabled  bool
	panics    uint64
	snapshots int           // how many snapshots that are not folded contain it
	gone      chan struct{} // closed when it is removed and snapshots is 0
	hits      uint64        // of folded snapshots
	shown     uint64        // the highest hook_hits ever shown
}

// AddEvent adds an event with the context type C to f and tells the family's
// notifiers (net_event_register(9F)). Errors: ErrInvalid (empty name),
// ErrShutdown, ErrExists (the original accepts a second event of a name, and
// then finds the newer one).
func AddEvent[C any](f *Family, cfg EventConfig) (*Event[C], error) {
	e := &Event[C]{event: event{family: f, name: cfg.Name, readOnly: cfg.ReadOnly, panicLimit: cfg.PanicLimit}}
	if e.panicLimit == 0 {
		e.panicLimit = 1
	}
	err := f.stack.change(func() error {
		switch {
		case e.name == "":
			return ErrInvalid
		case f.admit() != nil:
			return ErrShutdown
		case f.find(e.name) != nil:
			return ErrExists
		}
		f.events = append(f.events, e)
		f.stack.notify(f.notifiers, e.notification(CommandRegister, ""))
		return nil
	})
	if err != nil {
		return nil, e.fail("add event", "", err)
	}
	return e, nil
}

// FindEvent returns the event of f called name. Errors: ErrNotFound, and
// ErrInvalid if its context type is not C.
func FindEvent[C any](f *Family, name string) (*Event[C], error) {
	f.stack.mu.Lock()
	defer f.stack.mu.Unlock()
	err := ErrNotFound
	if found := f.find(name); found != nil {
		if e, ok := found.(*Event[C]); ok {
			return e, nil
		}
		err = ErrInvalid
	}
	return nil, &OpError{Op: "find event", Instance: f.stack.instance, Family: f.name, Event: name, Err: err}
}

// Name returns the event's name.
func (e *event) Name() string { return e.name }

// Family returns the family the event belongs to.
func (e *event) Family() *Family { return e.family }

// ReadOnly reports whether the event was added as read only.
func (e *event) ReadOnly() bool { return e.readOnly }

// Register puts a copy of h into the event's list and tells the event's
// notifiers (net_hook_register(9F)). The next run calls it. Errors, in
// this order: ErrInvalid (no name, no function, unknown flag); ErrShutdown;
// ErrExists (the name is taken); ErrInvalid (unknown hint, or the name that
// HintBefore and HintAfter need is missing or the hook's own); ErrLimit
// ([StackConfig].MaxHooks); ErrBusy (no
// order satisfies all hints; [OpError].Names are the hooks in conflict). A
// refused registration leaves no trace.
func (e *Event[C]) Register(h Hook[C]) (*Handle, error) {
	added := &entry{name: h.Name, call: h.Func, hint: h.Hint, flags: h.Flags}
	if h.Hint == HintBefore || h.Hint == HintAfter {
		added.hintValue = h.HintValue
	}
	var conflict []string // the hooks that speak against it
	err := e.family.stack.change(func() error {
		switch {
		case h.Name == "" || h.Func == nil || h.Flags&^allFlags != 0:
			return ErrInvalid
		case e.shutdown || e.family.condemned || e.family.stack.shutdown:
			return ErrShutdown
		case slices.ContainsFunc(e.hooks, func(o *entry) bool { return o.name == h.Name }):
			return ErrExists
		case !added.validHint():
			return ErrInvalid
		case e.family.stack.full():
			return ErrLimit
		}
		var placed []*entry
		if placed, conflict = place(e.hooks, added); placed == nil {
			return ErrBusy
		}
		e.hooks = placed
		e.added++
		e.family.stack.hooks++
		e.publish()
		e.family.stack.notify(e.notifiers, e.notification(CommandRegister, h.Name))
		return nil
	})
	if err != nil {
		return nil, e.fail("register", h.Name, err, conflict...)
	}
	return &Handle{added, e}, nil
}

func (h *entry) validHint() bool {
	switch h.hint {
	case HintNone, HintFirst, HintLast:
		return true
	case HintBefore, HintAfter:
		return h.hintValue != "" && h.hintValue != h.name
	}
	return false
}

// A Handle stands for one registered hook. Only who has it can take the hook
// away again.
type Handle struct {
	entry *entry
	event anyEvent
}

// Name returns the hook's name.
func (h *Handle) Name() string { return h.entry.name }

// Unregister takes the hook away, tells the event's notifiers, and returns when
// the last running call of the hook has returned (net_hook_unregister(9F)).
// Errors: ErrGone at the second use of the handle; ErrInHook when called from
// inside any hook or callback of this package, because two hooks that wait for
// each other would wait for ever: use [Handle.Retire] there.
//
// Do not call it while running calls of the hook wait for you; that includes a
// goroutine that a hook has started and waits for.
func (h *Handle) Unregister() error {
	if InHook() {
		return h.event.core().fail("unregister", h.entry.name, ErrInHook)
	}
	gone, err := h.remove("unregister", true)
	if err != nil {
		return err
	}
	<-gone
	return nil
}

// Retire takes the hook away and tells the event's notifiers, but does not
// wait: not for running calls, nor for other goroutines' notifications. No call of
// the hook starts after Retire returns, and the channel is closed when the last
// one has returned. The error is ErrGone at the second use of the handle.
func (h *Handle) Retire() (<-chan struct{}, error) { return h.remove("retire", false) }

func (h *Handle) remove(op string, wait bool) (gone <-chan struct{}, err error) {
	e := h.event.core()
	err = e.family.stack.changeAnd(wait, func() error {
		if h.entry.removed {
			return ErrGone
		}
		h.entry.removed = true
		h.entry.gone = make(chan struct{})
		gone = h.entry.gone
		e.removed++
		e.family.stack.hooks--
		e.hooks = slices.DeleteFunc(slices.Clone(e.hooks), func(o *entry) bool { return o == h.entry })
		h.event.publish()
		e.family.stack.notify(e.notifiers, e.notification(CommandUnregister, h.entry.name))
		e.reap()
		return nil
	})
	return gone, e.fail(op, h.entry.name, err)
}

func (e *event) notification(c Command, hook string) Notification {
	n := e.family.notification(c)
	n.Event, n.Hook = e.name, hook
	return n
}
