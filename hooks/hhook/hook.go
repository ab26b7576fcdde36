// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook

import (
	"strconv"

	"github.com/hooknet/hooknet/hooks"
)

// A Type is the kind of object that a point is about. 0 is none. Embedders number theirs from [FirstFreeType] on.
type Type uint16

// The types of the original.
const (
	TCP      Type = 1
	Socket   Type = 2
	IPsecIn  Type = 3
	IPsecOut Type = 4
	// FirstFreeType is the first number for embedders.
	FirstFreeType Type = 256
)

// String returns "tcp", "socket", "ipsec_in", "ipsec_out", or "type_N".
func (t Type) String() string {
	switch t {
	case TCP:
		return "tcp"
	case Socket:
		return "socket"
	case IPsecIn:
		return "ipsec_in"
	case IPsecOut:
		return "ipsec_out"
	}
	return "type_" + strconv.Itoa(int(t))
}

// An ID tells the points of one type apart.
type ID uint32

// String returns the number.
func (id ID) String() string { return strconv.FormatUint(uint64(id), 10) }

// key is what a point is known by in its instance.
type key struct {
	typ Type
	id  ID
}

func (k key) String() string { return k.typ.String() + "/" + k.id.String() }

// Flags are those of [Points.Register]. The numbers are the original's.
type Flags uint32

const (
	// WaitOK and NoWait say whether the original may sleep until there is memory. Here memory is no reason to wait or
	// to fail, and nothing that adds waits for running hooks, so that both are accepted and mean the same. Not both at
	// once.
	WaitOK Flags = 0x1
	NoWait Flags = 0x2
	// InInstance (HHOOK_HEADISINVNET) says that the point is one of an instance. Every point of Points that have an
	// instance is, with the flag or without; in those of the process the flag is refused.
	InInstance Flags = 0x100
)

const allFlags = WaitOK | NoWait | InInstance

// valid reports whether the flags can be those of a point of instance.
func (f Flags) valid(instance hooks.InstanceID) bool {
	return f&^allFlags == 0 && f&(WaitOK|NoWait) != WaitOK|NoWait && (f&InInstance == 0 || instance != 0)
}

// An Object is what a run is about and helpers have data for, as a TCP connection (struct osd of the original). A
// khelp.Object is one, and so is what embeds it.
type Object interface {
	// Data returns the data that the helper with this id has on the object, nil if none. It takes no lock and
	// allocates nothing.
	Data(helper int) any
}

// A Call is what a hook is called with: the arguments of the original's hhook_func_t. It belongs to who runs the point: a hook
// only reads it, and keeps a copy if it must.
type Call struct {
	Type Type
	ID   ID
	// UserData is that of the hook.
	UserData any
	// Context is what the point hands out, always a pointer to a struct that the point's provider documents. It, and
	// what it points at, is valid until the hook returns.
	Context any
	// ObjectData is the data of the hook's helper on Object. nil if Hook.Helper is 0, otherwise never nil.
	ObjectData any
	// Object is what the run is about. nil if about none.
	Object Object
}

// A Func is called for every run of its point, from many goroutines at the same time. It should not block. It may use
// the whole API of this package, but for what waits for running hooks.
type Func func(c *Call)

// A Hook is what is added to a point (struct hookinfo). Adding copies it.
type Hook struct {
	// Type and ID say which point, for Points.AddLookup. Point.Add does not look at them.
	Type Type
	ID   ID
	// Name identifies the hook: no two on one point have the same.
	Name string
	Func Func
	// UserData is handed to Func.
	UserData any
	// Helper is the id of the helper whose data the hook needs: it is skipped on objects that have none, and in runs that
	// are about no object. 0 needs none. Package khelp sets it.
	Helper int
}

func (h *Hook) key() key { return key{h.Type, h.ID} }

func (h *Hook) valid() bool { return h.Name != "" && h.Func != nil && h.Helper >= 0 }

// called returns what the hook is on the event below.
func (h *Hook) called() func(*Call) hooks.Verdict {
	f, userData, helper := h.Func, h.UserData, h.Helper
	if helper == 0 {
		return func(c *Call) hooks.Verdict {
			c.UserData, c.ObjectData = userData, nil
			f(c)
			return hooks.Accept
		}
	}
	return func(c *Call) hooks.Verdict {
		if c.Object == nil {
			return hooks.Accept
		}
		data := c.Object.Data(helper)
		if data == nil {
			return hooks.Accept
		}
		c.UserData, c.ObjectData = userData, data
		f(c)
		return hooks.Accept
	}
}
