// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"syscall"

	"github.com/hooknet/hooknet/hooks"
)

// The errors of this package, for errors.Is. Each also matches the errno in its comment.
var (
	// ErrClosed: the instance, interface or protocol was shut down or closed; make or look up a new one. It is the error of
	// the package hooks, so that one test is enough wherever ESHUTDOWN may come from. (net.ErrClosed is for sockets.)
	ErrClosed = hooks.ErrShutdown
	// ErrExists: the name, address or route is taken; remove the other first or choose another.
	ErrExists error = &sentinel{"already there", syscall.EEXIST}
	// ErrNotFound: no such interface, address, route or protocol.
	ErrNotFound error = &sentinel{"not found", syscall.ESRCH}
	// ErrQueueFull: too many packets wait already; drop it, or try again later.
	ErrQueueFull error = &sentinel{"queue full", syscall.ENOBUFS}
	// ErrTooBig: the packet is longer than the MTU and is not fragmented here.
	ErrTooBig error = &sentinel{"longer than the MTU", syscall.EMSGSIZE}
	// ErrBudget: the instance's budget is used up (see Budget); give something back first, or make it with a larger one. The
	// error is a BudgetError.
	ErrBudget error = &sentinel{"budget used up", syscall.ENOSPC}
	// ErrInvalid: the arguments do not make sense; the message says what was expected.
	ErrInvalid error = &sentinel{"invalid", syscall.EINVAL}
	// ErrUnsupported: the protocol does not do this; errors.ErrUnsupported.
	ErrUnsupported error = &sentinel{"not supported by the protocol", syscall.ENOTSUP}
)

type sentinel struct {
	text  string
	errno syscall.Errno
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.errno }

// An OpError says which operation on which object failed.
type OpError struct {
	Op     string // e.g. "add route"
	Object string // e.g. "10.0.0.0/8"
	Err    error
}

func (e *OpError) Error() string {
	if e.Object == "" {
		return "netstack: " + e.Op + ": " + e.Err.Error()
	}
	return "netstack: " + e.Op + " " + e.Object + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// opError wraps err once; nil stays nil.
func opError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	var already *OpError
	if errors.As(err, &already) {
		return err
	}
	return &OpError{Op: op, Object: object, Err: err}
}
