// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package soaktest

import (
	"os"
	"testing"
	"time"
)

// Time returns how long a soak test goes on: what HOOKNET_SOAK says, as in "10m", or if it says nothing, otherwise. If that is
// 0, the test is skipped.
func Time(t testing.TB, otherwise time.Duration) time.Duration {
	t.Helper()
	value := os.Getenv("HOOKNET_SOAK")
	switch {
	case value != "":
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatalf("HOOKNET_SOAK: %v", err)
		}
		return d
	case otherwise == 0:
		t.Skip("HOOKNET_SOAK is not set (make soak)")
	}
	return otherwise
}
