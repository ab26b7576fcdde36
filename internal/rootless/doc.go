// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package rootless gets a program the rights to make network namespaces and TUN devices without being root, or says
// exactly what is in the way.
//
// Whoever makes a user namespace is root in it, also over the network namespaces made there (user_namespaces(7)). A Go
// program cannot move itself into one: it has threads. So it is run again, as a child, inside a new user and network
// namespace, with the same arguments and streams:
//
//	switch err := rootless.Check(); {
//	case errors.Is(err, rootless.ErrUnprivileged):
//		status, err = rootless.Rerun(ctx, rootless.Program{Args: os.Args[1:], ...})
//	case err != nil:
//		... a *MissingError: what is missing, and the commands that mend it
//	}
//
// The TUN device node is the other half: no namespace helps where /dev/net/tun is missing or closed to the user.
//
// All functions may be called by any goroutine and keep nothing. Outside Linux, Check returns an error that is
// errors.ErrUnsupported.
package rootless
