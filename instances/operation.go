// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
)

// An operation is one call of Create, Destroy, Register or Unregister. Callbacks run on the goroutine of the operation that
// calls them and may call for further operations, so that a goroutine can be inside several.
//
// Only what takes pairs away waits for callbacks that others run: for those of the pairs in question. That could go round in
// a circle, of which the shortest is a callback that unregisters its own descriptor. Every circle has a last operation to
// begin, which closes it, and which finds the rest of it when it begins (see closesCircle). It is refused with
// ErrInCallback; all others can finish.
type operation struct {
	manager   *Manager
	goroutine uint64
	outer     *operation // that the goroutine was inside of before; nil: none

	// The pairs that the operation waits for are those of the registration that it takes away, or of the instance; nil: none.
	registration *Registration
	member       *member
}

// begin notes that the caller's goroutine is inside an operation, until end. mu is held.
func (m *Manager) begin(r *Registration, i *member) *operation {
	o := &operation{manager: m, goroutine: goroutine(), registration: r, member: i}
	o.outer = m.operations[o.goroutine]
	m.operations[o.goroutine] = o
	return o
}

// end is the opposite of begin. mu is held.
func (o *operation) end() {
	if o.outer == nil {
		delete(o.manager.operations, o.goroutine)
		return
	}
	o.manager.operations[o.goroutine] = o.outer
}

// closesCircle reports whether the operation, which has only begun, would wait for a callback that it was called from. mu
// is held.
func (o *operation) closesCircle() bool { return o.outer != nil && o.waitsFor(o.goroutine) }

// waitsFor reports whether the operation cannot finish before a callback that a goroutine is running: because it waits for
// that callback, or for another callback that has begun an operation of which the same is true. mu is held.
func (o *operation) waitsFor(goroutine uint64) bool {
	waits := func(p *pair) bool {
		if p.running == nil {
			return false
		}
		if p.running.goroutine == goroutine {
			return true
		}
		for inner := o.manager.operations[p.running.goroutine]; inner != p.running; inner = inner.outer {
			if inner.waitsFor(goroutine) {
				return true
			}
		}
		return false
	}
	if o.registration != nil {
		for _, p := range o.registration.pairs {
			if waits(p) {
				return true
			}
		}
	}
	if o.member != nil {
		for _, p := range o.member.pairs {
			if waits(p) {
				return true
			}
		}
	}
	return false
}

// goroutine returns the number of the caller's goroutine. Go has no function for it, but has put it at the top of every
// stack trace since 1.0. It takes a few us.
func goroutine() uint64 {
	var buf [64]byte
	trace := buf[:runtime.Stack(buf[:], false)]
	number, _, _ := bytes.Cut(bytes.TrimPrefix(trace, []byte("goroutine ")), []byte(" "))
	n, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("instances: no goroutine number in %q", trace))
	}
	return n
}
