// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"testing"

	"github.com/hooknet/hooknet/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
