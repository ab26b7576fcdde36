// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook

import (
	"syscall"

	"github.com/hooknet/hooknet/hooks"
)

// ErrNotFound (ENOENT): there is no such point, or no longer. It also is what a method of a nil [Point] returns.
//
// The other errors are those of package hooks: ErrInvalid, ErrExists, ErrBusy, ErrShutdown, ErrInHook. All come in a
// [hooks.OpError] whose Family is the point's type and whose Event its id, and match the errno of the original.
var ErrNotFound error = notFound{}

type notFound struct{}

func (notFound) Error() string { return "no such point" }
func (notFound) Unwrap() error { return syscall.ENOENT }

// fail returns an OpError about the point and what is called name on it, or nil for nil.
func (s *Points) fail(op string, k key, name string, err error) error {
	if err == nil {
		return nil
	}
	return &hooks.OpError{Op: op, Instance: s.instance, Family: k.typ.String(), Event: k.id.String(), Hook: name, Err: err}
}
