// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race && !invariant

package invariant

// Enabled is true in builds with -race or -tags=invariant.
const Enabled = false
