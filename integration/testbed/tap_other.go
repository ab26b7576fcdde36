// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testbed

import (
	"errors"
	"testing"
	"time"
)

// A Tap is a socket of Linux.
type Tap struct{}

// Tap fails the test.
func (n *Namespace) Tap(t testing.TB, _ TapConfig) *Tap {
	t.Helper()
	t.Fatal("testbed: AF_PACKET sockets: ", errors.ErrUnsupported)
	return nil
}

// OpenTUN fails the test.
func (n *Namespace) OpenTUN(t testing.TB, _ string) *Tap {
	t.Helper()
	t.Fatal("testbed: TUN devices for tests: ", errors.ErrUnsupported)
	return nil
}

// Send returns an error that is errors.ErrUnsupported.
func (tap *Tap) Send([]byte) error { return errors.ErrUnsupported }

// Receive returns an error that is errors.ErrUnsupported.
func (tap *Tap) Receive(time.Duration) ([]byte, error) { return nil, errors.ErrUnsupported }
