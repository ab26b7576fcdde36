// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"strconv"
	"strings"
	"syscall"
)

// The errors of this package, for errors.Is. Each also matches the errno that
// the original returns in its place: errors.Is(err, syscall.EEXIST) holds
// wherever errors.Is(err, ErrExists) does.
var (
	// ErrInvalid (EINVAL): an argument cannot be right: a nil function, an
	// empty name, an unknown hint or flag, a hook that names itself in its
	// hint, or an event asked for with a context type it does not have. Mend
	// the call.
	ErrInvalid error = &sentinel{"invalid argument", syscall.EINVAL}
	// ErrExists (EEXIST): the name is taken. Choose another one.
	ErrExists error = &sentinel{"name is taken", syscall.EEXIST}
	// ErrBusy (EBUSY): no order satisfies all hints ([OpError].Names are the
	// hooks in conflict), or something was left over at [Stack.Close] (Names
	// say what).
	ErrBusy error = &sentinel{"busy", syscall.EBUSY}
	// ErrShutdown (ESHUTDOWN): the object, or one above it, has been shut
	// down. It takes nothing new; what is there can still be taken away.
	ErrShutdown error = &sentinel{"shut down", syscall.ESHUTDOWN}
	// ErrLimit (ENOSPC): the stack has as many hooks as it may have
	// ([StackConfig].MaxHooks). Take one away first.
	ErrLimit error = &sentinel{"too many hooks", syscall.ENOSPC}
	// ErrNotFound (ENXIO): there is no family or event of this name.
	ErrNotFound error = &sentinel{"not found", syscall.ENXIO}
	// ErrGone (ESRCH): what the handle stands for is no longer there; mostly
	// the handle was used twice.
	ErrGone error = &sentinel{"no longer registered", syscall.ESRCH}
	// ErrInHook (EDEADLK): [Handle.Unregister] was called from inside a hook
	// or a callback, where waiting could last for ever. Nothing has changed;
	// use [Handle.Retire]. The original deadlocks.
	ErrInHook error = &sentinel{"not from inside a hook or callback", syscall.EDEADLK}
)

// A sentinel is a constant error that also is the errno it unwraps to.
type sentinel struct {
	text  string
	errno syscall.Errno
}

func (s *sentinel) Error() string { return s.text }
func (s *sentinel) Unwrap() error { return s.errno }

// An OpError says which operation failed on what. All errors of this package
// are OpErrors; Err is one of the sentinels.
type OpError struct {
	Op       string // the function that failed: "register", "add event", ...
	Instance InstanceID
	Family   string // empty if the operation is one of the stack
	Event    string // empty if the operation is one of a family
	Hook     string // the name of the hook or notifier, if it is about one
	Names    []string
	Err      error
}

// Error returns all that is known, as "hooks: register inet/PHYSICAL_IN/fw
// (instance 3): busy: nat".
func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString("hooks: " + e.Op)
	separator := " "
	for _, name := range []string{e.Family, e.Event, e.Hook} {
		if name != "" {
			b.WriteString(separator + name)
			separator = "/"
		}
	}
	b.WriteString(" (instance " + strconv.FormatUint(uint64(e.Instance), 10) + "): " + e.Err.Error())
	if len(e.Names) > 0 {
		b.WriteString(": " + strings.Join(e.Names, ", "))
	}
	return b.String()
}

// Unwrap returns the sentinel.
func (e *OpError) Unwrap() error { return e.Err }

// fail returns an OpError about the stack and what is called name, or nil for nil.
func (s *Stack) fail(op, name string, err error, names ...string) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Instance: s.instance, Hook: name, Names: names, Err: err}
}

func (f *Family) fail(op, name string, err error, names ...string) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Instance: f.stack.instance, Family: f.name, Hook: name, Names: names, Err: err}
}

func (e *event) fail(op, name string, err error, names ...string) error {
	if err == nil {
		return nil
	}
	return &OpError{
		Op: op, Instance: e.family.stack.instance, Family: e.family.name, Event: e.name, Hook: name, Names: names, Err: err,
	}
}
