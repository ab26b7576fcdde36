// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp

import (
	"strings"
	"syscall"

	"github.com/hooknet/hooknet/hooks"
)

// The errors of this package, for errors.Is. Each also matches the errno of the original. hooks.ErrInvalid, ErrExists
// and ErrInHook are used as well, and what package hhook returns.
var (
	// ErrBusy (EBUSY): objects carry the helper's data. Destroy them first.
	ErrBusy = hooks.ErrBusy
	// ErrNotFound (ENOENT): the helper is not loaded, or no longer.
	ErrNotFound error = &sentinel{"not loaded", syscall.ENOENT}
	// ErrData (ENOMEM): a helper could not make its data. The object carries none; its owner may go on without, or refuse it.
	ErrData error = &sentinel{"no data", syscall.ENOMEM}
	// ErrUsed (EEXIST): the object carries data already. Destroy it first.
	ErrUsed error = &sentinel{"object is in use", syscall.EEXIST}
	// ErrPanic (EFAULT): a function of the helper panicked; the log has its stack.
	ErrPanic error = &sentinel{"panicked", syscall.EFAULT}
)

// A sentinel is a constant error that also is the errno it unwraps to.
type sentinel struct {
	text  string
	errno syscall.Errno
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.errno }

// An OpError says which operation failed on which helper.
type OpError struct {
	Op     string // "load", "unload", "add hook", "create", "close"
	Helper string // its name, empty if the operation is about none
	Names  []string
	Err    error
}

// Error returns all that is known, as "khelp: unload ertt: busy".
func (e *OpError) Error() string {
	text := "khelp: " + e.Op
	if e.Helper != "" {
		text += " " + e.Helper
	}
	text += ": " + e.Err.Error()
	if len(e.Names) > 0 {
		text += ": " + strings.Join(e.Names, ", ")
	}
	return text
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// fail returns an OpError, or nil for nil.
func fail(op, helper string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Helper: helper, Err: err}
}
