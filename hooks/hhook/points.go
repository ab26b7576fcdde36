// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/hooknet/hooknet/hooks"
)

// A Config says how [Points] are made. The zero value works.
type Config struct {
	// Instance is whose points these are. 0 means the process's.
	Instance hooks.InstanceID
	// Logger is told of panics in hooks, and of what Close finds. nil discards.
	Logger *slog.Logger
	// Stripes is how many workers can run a point without sharing a cache line, see [hooks.StackConfig].
	Stripes int
	// PanicLimit is after how many panics a hook is disabled. 0 means 1; a negative number means never.
	PanicLimit int
}

// Points are the hook points of one instance. All methods may be called at any time from any goroutine, also from inside
// hooks unless they say otherwise.
type Points struct {
	instance   hooks.InstanceID
	logger     *slog.Logger
	panicLimit int
	stack      *hooks.Stack // a family for each type, an event for each point

	// mu guards the fields below and those of points and attachments. It is never held while a hook runs.
	mu      sync.Mutex
	points  map[key]*Point
	lookups []*Attachment // added by look-up, in order; attached or not
	closed  bool

	ended chan struct{} // closed when Close has finished
}

// New returns Points of which there are none yet. It starts no goroutine; [Points.Close] tells who has left something
// behind.
func New(cfg Config) *Points {
	s := &Points{instance: cfg.Instance, logger: cfg.Logger, panicLimit: cfg.PanicLimit,
		points: map[key]*Point{}, ended: make(chan struct{})}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.stack = hooks.NewStack(hooks.StackConfig{Instance: cfg.Instance, Logger: cfg.Logger, Stripes: cfg.Stripes})
	return s
}

// Instance returns whose points these are, 0 for the process's.
func (s *Points) Instance() hooks.InstanceID { return s.instance }

// Register makes the point (typ, id) and attaches the hooks that wait for it (hhook_head_register(9)). Errors:
// hooks.ErrInvalid (type 0, flags), hooks.ErrShutdown after Close, hooks.ErrExists.
func (s *Points) Register(typ Type, id ID, flags Flags) (*Point, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{typ, id}
	err := error(nil)
	switch {
	case typ == 0 || !flags.valid(s.instance):
		err = hooks.ErrInvalid
	case s.closed:
		err = hooks.ErrShutdown
	case s.points[k] != nil:
		err = hooks.ErrExists
	}
	if err != nil {
		return nil, s.fail("register point", k, "", err)
	}
	event, err := s.addEvent(k)
	if err != nil {
		return nil, err
	}
	p := &Point{points: s, key: k, event: event}
	s.points[k] = p
	for _, a := range s.lookups {
		if a.key == k {
			a.attach(p)
		}
	}
	return p, nil
}

// addEvent adds what the point k runs. s.mu is held.
func (s *Points) addEvent(k key) (*hooks.Event[*Call], error) {
	family, err := s.stack.Family(k.typ.String())
	if errors.Is(err, hooks.ErrNotFound) {
		family, err = s.stack.AddFamily(k.typ.String())
	}
	if err != nil {
		return nil, err
	}
	// Read only: no hook can end a run, and a disabled one does not stand in the way of the others.
	return hooks.AddEvent[*Call](family, hooks.EventConfig{Name: k.id.String(), ReadOnly: true, PanicLimit: s.panicLimit})
}

// Deregister takes the point (typ, id) away, as [Point.Deregister] does (hhook_head_deregister_lookup(9)). It is not in
// the way that the owner still has the pointer.
func (s *Points) Deregister(typ Type, id ID) error {
	s.mu.Lock()
	p := s.points[key{typ, id}]
	s.mu.Unlock()
	if p == nil {
		return s.fail("deregister point", key{typ, id}, "", ErrNotFound)
	}
	return p.Deregister()
}

// Get returns the point (typ, id), which then cannot be deregistered until [Point.Release] (hhook_head_get). The error
// is ErrNotFound.
func (s *Points) Get(typ Type, id ID) (*Point, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := key{typ, id}
	p := s.points[k]
	if p == nil {
		return nil, s.fail("get point", k, "", ErrNotFound)
	}
	p.references++
	return p, nil
}

// RunLookupIf looks the point up and runs it, if it is there and something is hooked on it (HHOOKS_RUN_LOOKUP_IF(9)). It
// takes a lock: on a busy path keep the [Point] and use [Point.RunIf]. While it runs the point is referenced.
func (s *Points) RunLookupIf(slot uint32, typ Type, id ID, context any, object Object) {
	s.mu.Lock()
	p := s.points[key{typ, id}]
	if p == nil || !p.event.Active() {
		s.mu.Unlock()
		return
	}
	p.references++
	s.mu.Unlock()
	defer func() { _ = p.Release() }() // no error: the reference is ours
	p.RunIf(slot, context, object)
}

// AddLookup adds each hook to the point that its Type and ID name: now if the point is there, otherwise as soon as it
// is registered, and again should it go and come back (hhook_add_hook_lookup). It adds all hooks or none, without a run
// in between that meets only some. The attachments stand in the order of the hooks. Errors: hooks.ErrInvalid (no name, no
// function, type 0), hooks.ErrShutdown after Close, hooks.ErrExists (the name is taken on that point, or among those that
// wait for it).
func (s *Points) AddLookup(list ...Hook) ([]*Attachment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range list {
		err := s.admit(&h)
		if h.Type == 0 {
			err = hooks.ErrInvalid
		}
		if slices.ContainsFunc(list[:i], func(o Hook) bool { return o.key() == h.key() && o.Name == h.Name }) {
			err = cmp.Or(err, hooks.ErrExists)
		}
		if err != nil {
			return nil, s.fail("add hook", h.key(), h.Name, err)
		}
	}
	added := make([]*Attachment, 0, len(list))
	for _, h := range list {
		a := &Attachment{points: s, key: h.key(), hook: h, lookup: true}
		s.lookups = append(s.lookups, a)
		if p := s.points[a.key]; p != nil {
			a.attach(p)
		}
		added = append(added, a)
	}
	return added, nil
}

// admit returns why h cannot be added. s.mu is held.
func (s *Points) admit(h *Hook) error {
	switch {
	case !h.valid():
		return hooks.ErrInvalid
	case s.closed:
		return hooks.ErrShutdown
	case s.find(h.key(), h.Name) != nil:
		return hooks.ErrExists
	}
	return nil
}

// find returns the attachment of this name to the point k, or the one that waits for it, or nil. s.mu is held.
func (s *Points) find(k key, name string) *Attachment {
	list := s.lookups
	if p := s.points[k]; p != nil {
		list = p.attached
	}
	for _, a := range list {
		if a.key == k && a.hook.Name == name {
			return a
		}
	}
	return nil
}

// RemoveLookup takes the hook of this name away from the point (typ, id), or from those that wait for it
// (hhook_remove_hook_lookup). It waits as [Attachment.Remove] does. That there is none is no error.
func (s *Points) RemoveLookup(typ Type, id ID, name string) error {
	s.mu.Lock()
	a := s.find(key{typ, id}, name)
	s.mu.Unlock()
	if a == nil {
		return nil
	}
	return a.Remove()
}

// Stats returns the counters of all points and hooks: a family for each type, an event for each point.
func (s *Points) Stats() hooks.StackStats { return s.stack.Stats() }

// Leftovers names the points that are registered and the hooks that are added, as "point tcp/0 (references: 2)", "hook
// tcp/0/ertt", "hook tcp/1/ertt (no point)".
func (s *Points) Leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leftovers()
}

func (s *Points) leftovers() (names []string) {
	for _, k := range s.keys() {
		p := s.points[k]
		name := "point " + k.String()
		if p.references > 0 {
			name += fmt.Sprintf(" (references: %d)", p.references)
		}
		names = append(names, name)
		for _, a := range p.attached {
			names = append(names, "hook "+k.String()+"/"+a.hook.Name)
		}
	}
	for _, a := range s.lookups {
		if a.point == nil {
			names = append(names, "hook "+a.key.String()+"/"+a.hook.Name+" (no point)")
		}
	}
	return names
}

// keys returns the keys of the points in order. s.mu is held.
func (s *Points) keys() []key {
	return slices.SortedFunc(maps.Keys(s.points), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.typ, b.typ), cmp.Compare(a.id, b.id))
	})
}

// Close ends the points: it takes all away, references or not, and waits for the running calls of hooks. Nothing can be
// added any more. If anything was left it is taken away all the same, a warning is logged, and the error is hooks.ErrBusy with what
// [Points.Leftovers] has named in OpError.Names (vnet teardown of the original). Inside a hook nothing happens and the
// error is hooks.ErrInHook. Further calls wait for the first and return nil.
func (s *Points) Close() error {
	if hooks.InHook() {
		return &hooks.OpError{Op: "close points", Instance: s.instance, Err: hooks.ErrInHook}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.ended
		return nil
	}
	defer close(s.ended)
	names := s.leftovers()
	s.closed = true
	var running []<-chan struct{}
	for _, k := range s.keys() {
		running = append(running, s.points[k].remove()...)
	}
	s.lookups = nil
	s.mu.Unlock()
	wait(running)
	if err := s.stack.Close(); err != nil {
		return err
	}
	if len(names) == 0 {
		return nil
	}
	s.logger.Warn("hook points left over", slog.Uint64("instance", uint64(s.instance)), slog.Any("names", names))
	return &hooks.OpError{Op: "close points", Instance: s.instance, Names: names, Err: hooks.ErrBusy}
}

func wait(running []<-chan struct{}) {
	for _, gone := range running {
		<-gone
	}
}
