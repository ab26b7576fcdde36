// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"syscall"
)

// What Write and Read can answer, besides net.ErrClosed. Each also matches, with
// errors.Is, the errno it stands for. They are values: nothing is allocated to return
// them.
var (
	// ErrDown: the device is administratively down (EIO). The packet is lost; later
	// ones may pass.
	ErrDown error = &deviceError{"the device is down", syscall.EIO}

	// ErrRefused: the device does not take this packet (EINVAL). It is not IP, or its
	// Offload makes no sense or needs what Features does not list. Other packets may
	// pass.
	ErrRefused error = &deviceError{"the device refused the packet", syscall.EINVAL}

	// ErrFull: there is no room for this packet now (ENOBUFS). The packet is lost;
	// later ones may pass.
	ErrFull error = &deviceError{"the queue is full", syscall.ENOBUFS}

	// ErrGone: the device was deleted, or the other end of a pair was closed (EBADFD
	// on Linux). Nothing will pass any more; Close is still due.
	ErrGone error = &deviceError{"the device is gone", errnoGone}
)

// ErrUnsupported is in the error of Open if the driver asked for does not exist on
// this system. It is errors.ErrUnsupported.
var ErrUnsupported = errors.ErrUnsupported

// errNoEntries is a programming error: Read was given nowhere to put a packet.
var errNoEntries = errors.New("tun: Read needs at least one entry")

// deviceError is a sentinel that stands for an errno.
type deviceError struct {
	text  string
	errno syscall.Errno
}

func (e *deviceError) Error() string { return "tun: " + e.text }

// Is makes errors.Is(err, syscall.EIO) and the like work.
func (e *deviceError) Is(target error) bool {
	errno, ok := target.(syscall.Errno)
	return ok && errno == e.errno
}

// OpError is an error of Open: what was tried, on which device, and why it failed.
type OpError struct {
	Op     string // "open"
	Device string // the name asked for; may be empty
	Err    error
}

func newOpError(op, device string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Device: device, Err: err}
}

func (e *OpError) Error() string {
	if e.Device == "" {
		return "tun: " + e.Op + ": " + e.Err.Error()
	}
	return "tun: " + e.Op + " " + e.Device + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }
