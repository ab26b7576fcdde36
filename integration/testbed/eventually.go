// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"testing"
	"time"
)

// patience is how long what must happen soon may take: a device to go, a program to end, a counter to be published.
const patience = 3 * time.Second

// Eventually waits until there is nothing to complain about. The test fails with the last complaint if that takes long.
// Counters, for example, are published a little after the packets they count have left.
func Eventually(t testing.TB, complaint func() string) {
	t.Helper()
	if s := poll(complaint); s != "" {
		t.Error(s)
	}
}

// poll asks until there is no complaint, or for too long, and returns the last.
func poll(complaint func() string) string {
	deadline := time.Now().Add(patience)
	for {
		s := complaint()
		if s == "" || time.Now().After(deadline) {
			return s
		}
		time.Sleep(time.Millisecond)
	}
}
