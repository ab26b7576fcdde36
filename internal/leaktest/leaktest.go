// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"os"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

// Main runs the tests and exits. It fails if a goroutine is left, and panics if one of gVisor's counted objects is: packets,
// routes, addresses.
func Main(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}
