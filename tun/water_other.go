// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tun

import (
	"fmt"
	"io"
	"runtime"
)

// explainWater names the system; water's own errors say the rest.
func explainWater(_ Config, err error) error {
	if runtime.GOOS != "darwin" && runtime.GOOS != "windows" {
		return fmt.Errorf("%w: no TUN driver for %s", ErrUnsupported, runtime.GOOS)
	}
	return fmt.Errorf("water on %s: %w", runtime.GOOS, err)
}

// closeOnExec and waterGone are for Linux alone: elsewhere water does not show its
// descriptor.
func closeOnExec(io.ReadWriteCloser) {}

func waterGone(io.ReadWriteCloser) bool { return false }
