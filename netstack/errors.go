// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

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

// What follows gives the errors of sockets, which come from gVisor by way of gonet, the meaning that the net package's users know.

// isEnded reports whether an error is what gonet answers on an endpoint that is closed.
func isEnded(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) {
		return errors.Is(err, io.EOF) // to a read
	}
	text := op.Err.Error()
	return text == (&tcpip.ErrInvalidEndpointState{}).String() || text == (&tcpip.ErrClosedForSend{}).String()
}

// ended is the error of a socket that its owner has not closed: the instance was closed, or RemoveAddress has ended it.
func (i *Instance) ended(network string, err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		op = &net.OpError{Op: "read", Net: network}
	}
	op.Err = os.NewSyscallError(op.Op, syscall.EADDRNOTAVAIL)
	if i.socketsOpen() != nil {
		op.Err = net.ErrClosed
	}
	return op
}

// translateOpen translates an error of a socket; after our own Close it is net.ErrClosed.
func translateOpen(err error, closed *atomic.Bool) error {
	if err == nil || !closed.Load() {
		return translate(err)
	}
	var op *net.OpError
	if !errors.As(err, &op) { // gonet's reads answer io.EOF, also of UDP sockets
		op = &net.OpError{Op: "read"}
	}
	op.Err = net.ErrClosed
	return op
}

// translate gives gonet's errors, which hold gVisor's texts only, their meaning back.
func translate(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	if op.Timeout() {
		op.Err = os.ErrDeadlineExceeded
	} else if errno, known := errnoByText[op.Err.Error()]; known {
		op.Err = os.NewSyscallError(op.Op, errno)
	}
	return op
}

func errnoOf(err tcpip.Error) error {
	if errno, known := errnoByText[err.String()]; known {
		return errno
	}
	return errors.New(err.String())
}

// errnoByText maps gVisor's errors to the errnos that Linux gives in their place.
var errnoByText = func() map[string]syscall.Errno {
	m := make(map[string]syscall.Errno)
	for _, e := range []struct {
		err   tcpip.Error
		errno syscall.Errno
	}{
		{&tcpip.ErrAborted{}, syscall.ECONNABORTED},
		{&tcpip.ErrAddressFamilyNotSupported{}, syscall.EAFNOSUPPORT},
		{&tcpip.ErrAlreadyBound{}, syscall.EINVAL},
		{&tcpip.ErrAlreadyConnected{}, syscall.EISCONN},
		{&tcpip.ErrBadLocalAddress{}, syscall.EADDRNOTAVAIL},
		{&tcpip.ErrBroadcastDisabled{}, syscall.EACCES},
		{&tcpip.ErrClosedForSend{}, syscall.EPIPE},
		{&tcpip.ErrConnectionAborted{}, syscall.ECONNABORTED},
		{&tcpip.ErrConnectionRefused{}, syscall.ECONNREFUSED},
		{&tcpip.ErrConnectionReset{}, syscall.ECONNRESET},
		{&tcpip.ErrDestinationRequired{}, syscall.EDESTADDRREQ},
		{&tcpip.ErrHostDown{}, syscall.EHOSTDOWN},
		{&tcpip.ErrHostUnreachable{}, syscall.EHOSTUNREACH},
		{&tcpip.ErrInvalidEndpointState{}, syscall.EINVAL},
		{&tcpip.ErrMessageTooLong{}, syscall.EMSGSIZE},
		{&tcpip.ErrNetworkUnreachable{}, syscall.ENETUNREACH},
		{&tcpip.ErrNoBufferSpace{}, syscall.ENOBUFS},
		{&tcpip.ErrNoPortAvailable{}, syscall.EADDRNOTAVAIL},
		{&tcpip.ErrNotConnected{}, syscall.ENOTCONN},
		{&tcpip.ErrNotPermitted{}, syscall.EPERM},
		{&tcpip.ErrPortInUse{}, syscall.EADDRINUSE},
		{&tcpip.ErrTimeout{}, syscall.ETIMEDOUT},
	} {
		m[e.err.String()] = e.errno
	}
	return m
}()
