// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router

import (
	"github.com/hooknet/hooknet/internal/config"
)

// An Error is one thing in a configuration that this machine does not allow. [Open] joins several where they are known
// beforehand. errors.Is finds the cause: fs.ErrNotExist for a missing namespace, an errno of the kernel.
type Error struct {
	At     config.Position // of what cannot be made; the zero Position where the Config came from no file
	Object string          // what cannot be made, as "interface tun0 of instance r1"
	Found  string          // what is in the way; empty: Err says it
	Advice string          // what to do about it; empty where Err says that, too
	Err    error           // the cause
}

// Error returns all of it in one line.
func (e *Error) Error() string {
	text := e.Object + ": "
	if e.At != (config.Position{}) {
		text = e.At.String() + ": " + text
	}
	if e.Found != "" {
		text += e.Found
	} else {
		text += e.Err.Error()
	}
	if e.Advice != "" {
		text += "; " + e.Advice
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
