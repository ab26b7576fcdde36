// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"iter"
	"log/slog"
	"math/bits"
	"runtime"
	"slices"
	"sync"
)

// An InstanceID names one network stack in the process. It is never 0 and
// never used again (netid_t of the original).
type InstanceID uint32

// A StackConfig says how a [Stack] is made. The zero value works.
type StackConfig struct {
	// Instance is carried by notifications, errors and log lines.
	Instance InstanceID
	// Logger is told of panics in hooks and callbacks. nil discards.
	Logger *slog.Logger
	// Stripes is how many workers can run an event of this stack without
	// sharing a cache line. It is rounded up to a power of two; 0 means
	// GOMAXPROCS. An event on which something is hooked takes 128 bytes for
	// each.
	Stripes int
	// MaxHooks is how many hooks all events together may have. 0 means any
	// number.
	MaxHooks int
}

// A Stack holds the hook families of one instance (hook_stack_t of the
// original). All methods may be called at any time from any goroutine, also
// from inside hooks and callbacks, unless they say otherwise.
type Stack struct {
	instance InstanceID
	logger   *slog.Logger
	stripes  int
	maxHooks int

	// mu guards the whole registry of this instance: the fields below, and
	// every field of families, events, hooks and notifiers that is not
	// constant or atomic. It is never held while a hook or callback runs.
	mu        sync.Mutex
	families  []*Family // oldest first
	hooks     int       // on all events
	notifiers []*Notifier
	shutdown  bool // nothing is added any more
	condemned bool // goes when the last family and notifier have gone
	gone      chan struct{}
	queue     queue
}

var discard = slog.New(slog.DiscardHandler)

// NewStack returns a stack without families. It starts no goroutine and needs
// no Close; [Stack.Close] tells who has left something behind.
func NewStack(cfg StackConfig) *Stack {
	s := &Stack{instance: cfg.Instance, logger: cfg.Logger, maxHooks: cfg.MaxHooks, gone: make(chan struct{})}
	if s.logger == nil {
		s.logger = discard
	}
	if cfg.Stripes <= 0 {
		cfg.Stripes = runtime.GOMAXPROCS(0)
	}
	s.stripes = 1 << bits.Len(uint(cfg.Stripes-1))
	s.queue.moved.L = &s.mu
	return s
}

// Instance returns the id the stack was made with.
func (s *Stack) Instance() InstanceID { return s.instance }

// AddFamily adds a family of events and tells the stack's notifiers
// (net_protocol_register(9F) and net_family_register(9F) in one). The name is
// understood as by [Stack.Family]. Errors: ErrInvalid (empty name),
// ErrShutdown, ErrExists.
func (s *Stack) AddFamily(name string) (*Family, error) {
	f := &Family{stack: s, name: familyName(name)}
	err := s.change(func() error {
		switch {
		case f.name == "":
			return ErrInvalid
		case s.shutdown:
			return ErrShutdown
		case s.find(f.name) != nil:
			return ErrExists
		}
		s.families = append(s.families, f)
		s.notify(s.notifiers, f.notification(CommandRegister))
		return nil
	})
	if err != nil {
		return nil, f.fail("add family", "", err)
	}
	return f, nil
}

// Family returns the family called name (net_protocol_lookup(9F); there is
// nothing to release). The original has two names for each protocol, both are
// understood: "inet" and "NHF_INET", "inet6" and "NHF_INET6", "arp" and
// "NHF_ARP". Errors: ErrShutdown if the stack has been shut down or the family
// removed, ErrNotFound.
func (s *Stack) Family(name string) (*Family, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(familyName(name)), ErrNotFound
	switch {
	case s.shutdown || f != nil && f.condemned:
		err = ErrShutdown
	case f != nil:
		return f, nil
	}
	return nil, &OpError{Op: "find family", Instance: s.instance, Family: name, Err: err}
}

// full reports whether there are as many hooks as there may be. s.mu is held.
func (s *Stack) full() bool { return s.maxHooks > 0 && s.hooks >= s.maxHooks }

// Families returns the families that are live when the walk starts, oldest
// first (net_protocol_walk(9F), which in fact returns dead ones only).
func (s *Stack) Families() iter.Seq[*Family] {
	return func(yield func(*Family) bool) {
		s.mu.Lock()
		live := slices.DeleteFunc(slices.Clone(s.families), func(f *Family) bool { return f.condemned })
		s.mu.Unlock()
		for _, f := range live {
			if !yield(f) {
				return
			}
		}
	}
}

// find returns the family called name, or nil. s.mu is held.
func (s *Stack) find(name string) *Family {
	for _, f := range s.families {
		if f.name == name {
			return f
		}
	}
	return nil
}

// familyName returns the one name a family goes by here.
func familyName(name string) string {
	switch name {
	case "NHF_INET":
		return "inet"
	case "NHF_INET6":
		return "inet6"
	case "NHF_ARP":
		return "arp"
	}
	return name
}

// A Family is a group of events of one protocol (hook_family_int_t of the
// original): "inet", "inet6" or "arp", or what an embedder adds. It may be used
// as [Stack] may.
type Family struct {
	stack *Stack
	name  string

	// Guarded by stack.mu.
	events    []anyEvent // oldest first
	notifiers []*Notifier
	shutdown  bool // takes no events and notifiers any more
	condemned bool // takes no hooks either; goes with its last event and notifier
	gone      bool
}

// Name returns the family's name: "inet", never "NHF_INET".
func (f *Family) Name() string { return f.name }

// Stack returns the stack the family belongs to.
func (f *Family) Stack() *Stack { return f.stack }

// find returns the event called name, or nil. The stack's mu is held.
func (f *Family) find(name string) anyEvent {
	for _, e := range f.events {
		if e.core().name == name {
			return e
		}
	}
	return nil
}

func (f *Family) notification(c Command) Notification {
	return Notification{Command: c, Instance: f.stack.instance, Family: f.name}
}
