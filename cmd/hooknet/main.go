// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Hooknet is a userspace router over TUN devices, with hooks at every point that a packet passes.
//
//	hooknet demo        show what hooknet does, on a network of its own
//	hooknet version     print the version
//
// The exit status is 0 on success, 1 on a failure, 2 for a wrong command line and 130 after an interrupt.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, systemEnvironment())
	stop()
	os.Exit(exitStatus(err))
}
