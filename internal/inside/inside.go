// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"reflect"
	"runtime"
)

// A Place is a set of things to be inside of.
type Place uint8

// The places.
const (
	Hook     Place = 1 << iota // of package hooks, whatever event runs it
	Notifier                   // of package hooks
	Helper                     // a function of a helper that makes or frees its data
	NICEvent                   // the delivery of a NIC event; its hooks are inside Hook too
	Flows                      // something with a part of a flow table locked
)

// marked holds the places by the names of functions. Only package initialisation writes it.
var marked = map[string]Place{}

// Mark says that what these functions call is inside p. Of a method of a generic type any instance stands for all, which
// have one name. It is for package initialisation only.
func Mark(p Place, functions ...any) {
	for _, f := range functions {
		marked[runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()] |= p
	}
}

// Places returns all places that the caller is inside of.
func Places() (all Place) {
	var buf [64]uintptr
	for skip := 2; ; skip += len(buf) {
		n := runtime.Callers(skip, buf[:])
		frames := runtime.CallersFrames(buf[:n])
		for more := n > 0; more; {
			var frame runtime.Frame
			frame, more = frames.Next() // those of inlined calls too
			all |= marked[frame.Function]
		}
		if n < len(buf) {
			return all
		}
	}
}
