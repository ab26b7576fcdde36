// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestDemoElsewhere(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("for systems without network namespaces")
	}
	_, errOut, err := runHere(t, "demo")
	if exitStatus(err) != statusFailure || !strings.Contains(errOut, "needs Linux") {
		t.Errorf("exit status %d, %q; want 1, and that it needs Linux", exitStatus(err), errOut)
	}
}
