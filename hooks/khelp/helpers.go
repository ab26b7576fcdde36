// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
)

// A Class is a set of kinds of objects, or-ed. Embedders take theirs from [FirstFreeClass] on.
type Class uint32

// The classes of the original.
const (
	TCP    Class = 0x1
	Socket Class = 0x2
	// FirstFreeClass is the first bit for embedders.
	FirstFreeClass Class = 0x10000
)

// A Config says what a helper is (struct helper). Load copies it.
type Config struct {
	// Name is unique among the helpers of the instance.
	Name string
	// Classes are the objects that get Data. At least one if there is Data.
	Classes Class
	// Data is what the helper keeps on each object, a [DataOf]. nil: nothing. With Data all hooks of the helper are
	// skipped on objects that have none of it.
	Data Data
	// Init is called first. nil does nothing. If it fails nothing is loaded.
	Init func() error
	// Destroy is called last: no hook of the helper runs any more, and none of its data is left. nil does nothing.
	Destroy func()
	// Hooks are added by look-up: a point need not be there yet. A hook without a name gets the helper's.
	Hooks []hhook.Hook
}

// Helpers are the helpers of one instance. All methods may be called at any time from any goroutine, also from inside
// hooks unless they say otherwise.
type Helpers struct {
	points *hhook.Points
	logger *slog.Logger

	withData atomic.Int32  // helpers that have Data and are loaded
	panics   atomic.Uint64 // of the functions of helpers

	mu     sync.Mutex
	list   []*Helper // by id, ascending; also those that are being loaded or unloaded
	closed bool
}

// New returns Helpers, of which there are none yet, whose hooks go to points. logger is told of panics in their functions;
// nil discards.
func New(points *hhook.Points, logger *slog.Logger) *Helpers {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Helpers{points: points, logger: logger}
}

// A Helper is one that was loaded. It may be used as [Helpers] may.
type Helper struct {
	helpers *Helpers
	name    string
	classes Class
	data    Data
	end     func() // Config.Destroy; may be nil
	id      int

	// Guarded by helpers.mu.
	loaded      bool
	drained     bool // gets no more objects
	objects     int  // that carry its data, or are being created
	attachments []attachment
}

// An attachment is a hook of the helper, and where.
type attachment struct {
	typ hhook.Type
	id  hhook.ID
	*hhook.Attachment
}

// Load loads a helper (khelp_register_helper): it calls Init, then adds all hooks at one moment or none, and gives data
// to the objects that are created from then on. A helper that is refused leaves no trace. Errors: hooks.ErrInvalid (no
// name, data without classes), hooks.ErrShutdown after Close, hooks.ErrExists (the name is taken), that of Init, those of
// hhook.Points.AddLookup.
func (s *Helpers) Load(cfg Config) (*Helper, error) {
	h := &Helper{helpers: s, name: cfg.Name, classes: cfg.Classes, data: cfg.Data, end: cfg.Destroy}
	if err := s.admit(h); err != nil {
		return nil, fail("load", h.name, err)
	}
	if cfg.Init != nil {
		if err := s.protect(h.name, "init", cfg.Init); err != nil {
			s.forget(h)
			return nil, fail("load", h.name, err)
		}
	}
	s.mu.Lock()
	err := hooks.ErrShutdown // Close has come in between
	if !s.closed {
		h.setLoadedLocked(true) // first: an object that is made because of the hooks has data
		if err = h.addLocked(cfg.Hooks...); err != nil {
			h.setLoadedLocked(false)
		}
	}
	s.mu.Unlock()
	if err != nil {
		h.destroyHelper()
		return nil, fail("load", h.name, err)
	}
	return h, nil
}

// admit gives h the lowest id that is free and puts it into the list.
func (s *Helpers) admit(h *Helper) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h.name == "" || h.data != nil && h.classes == 0:
		return hooks.ErrInvalid
	case s.closed:
		return hooks.ErrShutdown
	case slices.ContainsFunc(s.list, func(o *Helper) bool { return o.name == h.name }):
		return hooks.ErrExists
	}
	at := 0
	for at < len(s.list) && s.list[at].id == at+1 {
		at++
	}
	h.id = at + 1
	s.list = slices.Insert(s.list, at, h)
	return nil
}

// forget takes h out of the list; its name and id are free.
func (s *Helpers) forget(h *Helper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(o *Helper) bool { return o == h })
}

// ID returns the id of the helper called name, and whether it is loaded (khelp_get_id(9), -1 there). Ids begin at 1, and
// those of unloaded helpers are used again.
func (s *Helpers) ID(name string) (id int, loaded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.list {
		if h.name == name && h.loaded {
			return h.id, true
		}
	}
	return 0, false
}

// Panics returns how often functions of helpers have panicked: Init, Destroy, New and Free. Those of hooks are in
// hhook.Points.Stats.
func (s *Helpers) Panics() uint64 { return s.panics.Load() }

// Close unloads all helpers, the newest id first, and lets no more be loaded. It does not wait for those that others are unloading
// at the same time. If objects still carry data the error is ErrBusy with names as "helper ertt (objects: 3)", and those helpers
// stay: Close can be called again. Inside a hook nothing happens and the error is hooks.ErrInHook.
func (s *Helpers) Close() error {
	if hooks.InHook() {
		return fail("close", "", hooks.ErrInHook)
	}
	s.mu.Lock()
	s.closed = true
	list := slices.Clone(s.list)
	s.mu.Unlock()
	slices.Reverse(list)
	var left []string
	for _, h := range list {
		switch err := h.Unload(); {
		case errors.Is(err, ErrBusy):
			left = append(left, fmt.Sprintf("helper %s (objects: %d)", h.name, h.Objects()))
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		}
	}
	if len(left) > 0 {
		return &OpError{Op: "close", Names: left, Err: ErrBusy}
	}
	return nil
}

// reserve returns the loaded helpers with data for the classes, by id, and counts the object that is to be created.
func (s *Helpers) reserve(classes Class) (list []*Helper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.list {
		if h.loaded && !h.drained && h.data != nil && h.classes&classes != 0 {
			h.objects++
			list = append(list, h)
		}
	}
	return list
}

// release counts the object out of these helpers.
func (s *Helpers) release(list []*Helper) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range list {
		h.objects--
	}
}

// protect calls f, a function of the helper called name. A panic is counted, logged, and becomes ErrPanic.
func (s *Helpers) protect(name, function string, f func() error) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		cause := recover()
		s.panics.Add(1)
		s.logger.Error("helper panicked",
			slog.Uint64("instance", uint64(s.points.Instance())), slog.String("helper", name), slog.String("function", function),
			slog.String("value", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack())))
		err = ErrPanic
	}()
	err = f()
	returned = true
	return err
}

// Name returns the helper's name.
func (h *Helper) Name() string { return h.name }

// ID returns the helper's id, by which [Get] finds its data.
func (h *Helper) ID() int { return h.id }

// Objects returns how many objects carry the helper's data now.
func (h *Helper) Objects() int {
	h.helpers.mu.Lock()
	defer h.helpers.mu.Unlock()
	return h.objects
}

// AddHook adds a hook to the helper's, as those of [Config].Hooks (khelp_add_hhook(9)). Errors: ErrNotFound if the helper
// has been unloaded, those of hhook.Points.AddLookup.
func (h *Helper) AddHook(hook hhook.Hook) error {
	h.helpers.mu.Lock()
	defer h.helpers.mu.Unlock()
	if !h.loaded {
		return fail("add hook", h.name, ErrNotFound)
	}
	return fail("add hook", h.name, h.addLocked(hook))
}

// RemoveHook takes a hook of the helper away and returns when its last running call has returned
// (khelp_remove_hhook(9)). No name stands for the helper's. That there is no such hook is no error. Inside a hook nothing
// happens and the error is hooks.ErrInHook.
func (h *Helper) RemoveHook(typ hhook.Type, id hhook.ID, name string) error {
	if name == "" {
		name = h.name
	}
	wanted := func(a attachment) bool { return a.typ == typ && a.id == id && a.Name() == name }
	h.helpers.mu.Lock()
	at := slices.IndexFunc(h.attachments, wanted)
	var found attachment
	if at >= 0 {
		found = h.attachments[at]
	}
	h.helpers.mu.Unlock()
	if at < 0 {
		return nil
	}
	if err := found.Remove(); err != nil {
		return fail("remove hook", h.name, err)
	}
	h.helpers.mu.Lock()
	defer h.helpers.mu.Unlock()
	h.attachments = slices.DeleteFunc(h.attachments, func(a attachment) bool { return a == found })
	return nil
}

// addLocked adds all hooks or none.
func (h *Helper) addLocked(list ...hhook.Hook) error {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Name == "" {
			list[i].Name = h.name
		}
		list[i].Helper = 0
		if h.data != nil {
			list[i].Helper = h.id
		}
	}
	added, err := h.helpers.points.AddLookup(list...)
	for i, a := range added {
		h.attachments = append(h.attachments, attachment{list[i].Type, list[i].ID, a})
	}
	return err
}

func (h *Helper) setLoadedLocked(loaded bool) {
	h.loaded = loaded
	if h.data == nil {
		return
	}
	if loaded {
		h.helpers.withData.Add(1)
	} else {
		h.helpers.withData.Add(-1)
	}
}

// Drain gives the helper's data to no object that is created from now on. Its hooks go on for those that have it. It is the
// first step of unloading a helper while objects are created all the time; there is no way back.
func (h *Helper) Drain() {
	h.helpers.mu.Lock()
	defer h.helpers.mu.Unlock()
	h.drained = true
}

// Unload takes the helper's hooks away, waits for their running calls, and calls Destroy (khelp_deregister_helper).
// Errors: ErrNotFound at the second use; ErrBusy while objects carry its data; hooks.ErrInHook inside a hook. Then
// nothing has changed.
func (h *Helper) Unload() error {
	s := h.helpers
	s.mu.Lock()
	err := error(nil)
	switch {
	case !h.loaded:
		err = ErrNotFound
	case h.objects > 0:
		err = ErrBusy
	default:
		h.setLoadedLocked(false)
	}
	list := slices.Clone(h.attachments)
	s.mu.Unlock()
	if err != nil {
		return fail("unload", h.name, err)
	}
	for _, a := range list {
		if err := a.Remove(); err != nil { // only ErrInHook, of the first
			s.mu.Lock()
			h.setLoadedLocked(true)
			s.mu.Unlock()
			return fail("unload", h.name, err)
		}
	}
	h.destroyHelper()
	return nil
}

// destroyHelper calls Destroy and forgets the helper, of which nothing is left.
func (h *Helper) destroyHelper() {
	if h.end != nil {
		_ = h.helpers.protect(h.name, "destroy", func() error { h.end(); return nil }) // counted and logged
	}
	h.helpers.forget(h)
}
