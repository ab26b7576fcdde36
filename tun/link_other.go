// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tun

import (
	"fmt"
	"io"
	"runtime"
)

// linkWatcher is for Linux alone.
type linkWatcher struct{}

func watchWater(io.ReadWriteCloser) *linkWatcher { return new(linkWatcher) }

func (*linkWatcher) close() {}

func (*linkWatcher) next(LinkState) (LinkState, error) {
	return LinkState{}, fmt.Errorf("tun: link state: %w on %s", ErrUnsupported, runtime.GOOS)
}
