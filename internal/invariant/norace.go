// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package invariant

// Enabled is true in builds with -race.
const Enabled = false
