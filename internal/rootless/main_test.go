// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
