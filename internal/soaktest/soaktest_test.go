// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package soaktest_test

import (
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/soaktest"
)

func TestTime(t *testing.T) {
	for value, want := range map[string]time.Duration{"": 3 * time.Second, "10m": 10 * time.Minute} {
		t.Setenv("HOOKNET_SOAK", value)
		if got := soaktest.Time(t, 3*time.Second); got != want {
			t.Errorf("HOOKNET_SOAK=%q: %v, want %v", value, got, want)
		}
	}
	t.Setenv("HOOKNET_SOAK", "")
	t.Run("skipped", func(t *testing.T) {
		soaktest.Time(t, 0)
		t.Error("a soak that takes no time runs")
	})
}
