// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/hooknet/hooknet/internal/hostnet"
)

func TestUnsupported(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("for systems without network namespaces")
	}
	if _, err := hostnet.New(); !errors.Is(err, hostnet.ErrUnsupported) {
		t.Errorf("New: %v, want ErrUnsupported", err)
	}
	if _, err := hostnet.Current(); !errors.Is(err, hostnet.ErrUnsupported) {
		t.Errorf("Current: %v, want ErrUnsupported", err)
	}
}
