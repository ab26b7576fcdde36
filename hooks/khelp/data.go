// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp

import (
	"fmt"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/internal/inside"
)

// Data says what a helper keeps on each object. [DataOf] is the only one.
type Data interface {
	create() (data any, err error)
	destroy(data any)
}

// DataOf is data of type T. The zero value works: a zero T for each object. New and Free are called by whoever makes and ends
// objects, on the packet path too, maybe with locks of the provider held: like hooks they should not block, and what waits for
// running hooks is refused with hooks.ErrInHook there.
type DataOf[T any] struct {
	// New makes a T, which is zero before, ready. nil does nothing. If it fails the whole object fails.
	New func(data *T) error
	// Free is called once for each T that New has made ready. nil does nothing.
	Free func(data *T)
}

func (d DataOf[T]) create() (any, error) {
	data := new(T)
	if d.New == nil {
		return data, nil
	}
	return data, d.New(data)
}

func (d DataOf[T]) destroy(data any) {
	if d.Free != nil {
		d.Free(data.(*T))
	}
}

// With returns a hook's function that calls f with the data of its helper on the object, which must be a T.
func With[T any](f func(c *hhook.Call, data *T)) hhook.Func {
	return func(c *hhook.Call) { f(c, c.ObjectData.(*T)) }
}

// Get returns the data that the helper with this id has on the object (khelp_get_osd(9)). It is nil if there is none,
// also for object nil, or if it is no T. It takes no lock; see [Object] for how long the data lives.
func Get[T any](object hhook.Object, id int) *T {
	if object == nil {
		return nil
	}
	data, _ := object.Data(id).(*T)
	return data
}

// An Object carries the data of helpers (struct osd of the original). The zero value carries none. Embed it in what the
// helpers are about. It has no lock: Create and Destroy must not overlap each other nor runs of points with the
// object. The data lives until Destroy.
type Object struct {
	slots []slot // by id, less 1
}

type slot struct {
	helper *Helper
	data   any // nil: none
}

// Data returns the data that the helper with this id has on the object, nil if none.
func (o *Object) Data(id int) any {
	if id < 1 || id > len(o.slots) {
		return nil
	}
	return o.slots[id-1].data
}

// Create makes the data of every helper that is for one of the classes, in the order of their ids (khelp_init_osd(9)).
// If one fails what was made is destroyed again, and the error is ErrData with the helper's name and its own
// error. It is ErrUsed if the object carries data already. With no such helper it is one atomic load.
func (s *Helpers) Create(o *Object, classes Class) error {
	if o.slots != nil {
		return fail("create", "", ErrUsed)
	}
	if s.withData.Load() == 0 {
		return nil
	}
	helpers := s.reserve(classes)
	if len(helpers) == 0 {
		return nil
	}
	made := Object{slots: make([]slot, helpers[len(helpers)-1].id)}
	missing := helpers
	defer func() {
		if len(missing) > 0 { // one has failed, or ends the goroutine
			made.Destroy()
			s.release(missing)
		}
	}()
	for i, h := range helpers {
		data, err := h.create()
		if err != nil {
			return fail("create", h.name, fmt.Errorf("%w: %w", ErrData, err))
		}
		made.slots[h.id-1] = slot{h, data}
		missing = helpers[i+1:]
	}
	*o = made
	return nil
}

// Destroy destroys all data on the object (khelp_destroy_osd(9)). After that, and before, it does nothing. The object
// can be created anew.
func (o *Object) Destroy() {
	slots := o.slots
	o.slots = nil
	for _, one := range slots {
		if one.helper != nil {
			one.helper.destroy(one.data)
			one.helper.helpers.release([]*Helper{one.helper})
		}
	}
}

// Drop destroys the data of one helper on the object, if there is any, and leaves that of the others (what osd_deregister does
// to every object). Overlaps are forbidden as with Destroy.
func (o *Object) Drop(h *Helper) {
	at := h.id - 1
	if at >= len(o.slots) || o.slots[at].helper != h {
		return
	}
	data := o.slots[at].data
	o.slots[at] = slot{}
	h.destroy(data)
	h.helpers.release([]*Helper{h})
}

func init() { inside.Mark(inside.Helper, (*Helper).create, (*Helper).destroy) }

// create makes data; a panic is an error.
func (h *Helper) create() (data any, err error) {
	err = h.helpers.protect(h.name, "new", func() error {
		data, err = h.data.create()
		return err
	})
	return data, err
}

func (h *Helper) destroy(data any) {
	_ = h.helpers.protect(h.name, "free", func() error { h.data.destroy(data); return nil }) // counted and logged
}
