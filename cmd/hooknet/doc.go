// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Hooknet is a userspace router over TUN devices, with hooks at every point that a packet passes.
//
//	hooknet demo           show what hooknet does, on a network of its own
//	hooknet run -c FILE    run the routers that a YAML file describes
//	hooknet bench router   measure forwarding here, against the kernel, a copy loop and gVisor
//	hooknet version        print the version
//
// The exit status is 0 on success, 1 on a failure, 2 for a wrong command line or file, and 130 after an interrupt.
//
// This package holds what a command line needs and nothing that could be a library: flags, streams, signals, exit
// statuses. main calls run with the environment and a context that ends with SIGINT or SIGTERM; run (root.go) picks the
// subcommand. A subcommand is one function, newXCommand, in a file of its own, listed in root.go; it gets all it knows of
// the process as an environment, so that tests can run it in theirs. It returns errors, and run tells them on stderr; a
// *statusError chooses the exit status.
package main
