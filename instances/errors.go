// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import "syscall"

// The errors of this package are those of netstack: a name that is taken is netstack.ErrExists, an unknown id is
// netstack.ErrNotFound, a descriptor without a function is netstack.ErrInvalid, a closed manager is netstack.ErrClosed. It
// adds one, which also matches the errno in its comment.

// ErrInCallback (EDEADLK): the call would wait for the callback from inside which it was made, directly or by way of another
// callback that waits for that one. Nothing has changed. Let somebody else do it, or do it after the callback. The original
// deadlocks.
var ErrInCallback error = &sentinel{"would wait for the callback it is called from", syscall.EDEADLK}

type sentinel struct {
	text  string
	errno syscall.Errno
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.errno }

// An OpError says which operation of a manager on which instance or descriptor failed.
type OpError struct {
	Op     string // e.g. "destroy instance"
	Object string // the name of an instance or descriptor, or an instance's id
	Err    error
}

func (e *OpError) Error() string { return "instances: " + e.Op + " " + e.Object + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// opError wraps err; nil stays nil.
func opError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Object: object, Err: err}
}
