// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
)

// A KstatConfig describes a group of counters that a module shows on an instance. Module, Unit and Name identify it.
type KstatConfig struct {
	// Module is who counts, as "dropper". Not the name of a hook family, and without ":" and "/": those are the names of
	// the built-in kstats.
	Module string
	// Unit says which of the module's things is counted, from 0 (the instance number of kstat(9S), which has nothing to do
	// with instances of hooknet).
	Unit int
	// Name is what is counted, as "packets".
	Name string
	// Class is a word by which readers select kstats. Default: "misc".
	Class string
	// Counters are the fields, in the order in which they are shown.
	Counters []KstatCounter
}

// A KstatCounter is one field of a kstat. The value belongs to the module, which may change it at any time without asking;
// it may be a gauge as well.
type KstatCounter struct {
	Name  string
	Value *atomic.Uint64
}

func (c *KstatConfig) validate() error {
	switch {
	case c.Module == "" || strings.ContainsAny(c.Module, ":/"):
		return fmt.Errorf(`%w: module %q; expected a name without ":" and "/"`, ErrInvalid, c.Module)
	case c.Name == "" || strings.ContainsAny(c.Name, ":"):
		return fmt.Errorf(`%w: name %q; expected one without ":"`, ErrInvalid, c.Name)
	case c.Unit < 0:
		return fmt.Errorf("%w: unit %d; expected 0 or more", ErrInvalid, c.Unit)
	case len(c.Counters) == 0:
		return fmt.Errorf("%w: no counters", ErrInvalid)
	}
	names := make(map[string]bool, len(c.Counters))
	for _, counter := range c.Counters {
		if counter.Name == "" || counter.Value == nil || names[counter.Name] {
			return fmt.Errorf("%w: counter %q; expected a value and a name of its own", ErrInvalid, counter.Name)
		}
		names[counter.Name] = true
	}
	return nil
}

func (c *KstatConfig) id() string { return fmt.Sprintf("%s:%d:%s", c.Module, c.Unit, c.Name) }

// A Kstat stands for a group of counters that a module shows. Only who has it can take it away.
type Kstat struct {
	owner  *kstats
	config KstatConfig
}

// kstats are the kstats of an instance that modules made.
type kstats struct {
	mu    sync.Mutex
	list  []*Kstat // guarded by mu; oldest first
	ended bool     // guarded by mu; nothing is added any more
}

// CreateKstat shows a module's counters among the instance's kstats until Delete, or until the instance is closed
// (net_kstat_create(9F)). cfg is copied, the values are not. Errors: ErrInvalid, ErrExists, and ErrClosed once the instance
// is shutting down. It may be called from inside hooks.
func (i *Instance) CreateKstat(cfg KstatConfig) (*Kstat, error) {
	if cfg.Class == "" {
		cfg.Class = "misc"
	}
	cfg.Counters = slices.Clone(cfg.Counters)
	err := cfg.validate()
	for f := range i.hooks.Families() {
		if err == nil && f.Name() == cfg.Module {
			err = fmt.Errorf("%w: module %q; that is a hook family", ErrInvalid, cfg.Module)
		}
	}
	k := &Kstat{owner: &i.kstats, config: cfg}
	if err == nil && cfg.id() == flowKstat {
		err = ErrExists
	}
	if err == nil {
		err = i.kstats.add(k)
	}
	if err != nil {
		return nil, opError("create kstat", cfg.id(), err)
	}
	return k, nil
}

func (s *kstats) add(k *Kstat) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrClosed
	}
	for _, other := range s.list {
		if other.config.id() == k.config.id() {
			return ErrExists
		}
	}
	s.list = append(s.list, k)
	return nil
}

// Delete takes the kstat away (net_kstat_delete(9F)). It may be called at any time, from anywhere. ErrNotFound at the second
// use, and when the instance was closed before.
func (k *Kstat) Delete() error {
	k.owner.mu.Lock()
	defer k.owner.mu.Unlock()
	at := slices.Index(k.owner.list, k)
	if at < 0 {
		return opError("delete kstat", k.config.id(), ErrNotFound)
	}
	k.owner.list = slices.Delete(k.owner.list, at, at+1)
	return nil
}

// shutdown refuses new kstats.
func (s *kstats) shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// remove deletes what is left and returns its names.
func (s *kstats) remove() (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.list {
		left = append(left, k.config.id())
	}
	s.list = nil
	return left
}

// A KstatSnapshot is what a kstat showed when it was read.
type KstatSnapshot struct {
	Module string       `json:"module"`
	Unit   int          `json:"unit"`
	Name   string       `json:"name"`
	Class  string       `json:"class"`
	Values []KstatValue `json:"values"`
}

// String returns the kstat's name as kstat(8) writes it, "module:unit:name".
func (s KstatSnapshot) String() string { return fmt.Sprintf("%s:%d:%s", s.Module, s.Unit, s.Name) }

// A KstatValue is a field of a kstat.
type KstatValue struct {
	Name  string `json:"name"`
	Value any    `json:"value"` // uint64, int64 or string
}

// Kstats iterates over the instance's kstats as they are when the walk starts: those of the hook stack, class "hook_event"
// for each event and behind it class "hook" for each of its hooks, tcp:0:flows, then those that modules made, oldest first. It
// stops no traffic and may be used inside hooks.
func (i *Instance) Kstats() iter.Seq[KstatSnapshot] {
	return func(yield func(KstatSnapshot) bool) {
		all := append(hookKstats(i.hooks.Stats()), i.tcp.n.kstat())
		all = append(all, i.kstats.snapshot()...)
		for _, s := range all {
			if !yield(s) {
				return
			}
		}
	}
}

func (s *kstats) snapshot() []KstatSnapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]KstatSnapshot, 0, len(s.list))
	for _, k := range s.list {
		values := make([]KstatValue, 0, len(k.config.Counters))
		for _, c := range k.config.Counters {
			values = append(values, KstatValue{c.Name, c.Value.Load()})
		}
		all = append(all, KstatSnapshot{k.config.Module, k.config.Unit, k.config.Name, k.config.Class, values})
	}
	return all
}

// hookKstats turns the counters of a hook stack into kstats with the names and fields of the original.
func hookKstats(stats hooks.StackStats) (all []KstatSnapshot) {
	for _, f := range stats.Families {
		for _, e := range f.Events {
			all = append(all, KstatSnapshot{Module: f.Name, Name: e.Event, Class: "hook_event", Values: []KstatValue{
				{"hooksAdded", e.HooksAdded},
				{"hooksRemoved", e.HooksRemoved},
				{"events", e.Events},
				{"panics", e.Panics},
			}})
			for _, h := range e.Hooks {
				disabled := uint64(0)
				if h.Disabled {
					disabled = 1
				}
				all = append(all, KstatSnapshot{Module: f.Name + "/" + e.Event, Name: h.Hook, Class: "hook", Values: []KstatValue{
					{"version", int64(h.Version)},
					{"flags", uint64(h.Flags)},
					{"hint", int64(h.Hint)},
					{"hint_value", h.HintValue},
					{"position", int64(h.Position)},
					{"hook_hits", h.Hits},
					{"panics", h.Panics},
					{"disabled", disabled},
				}})
			}
		}
	}
	return all
}
