// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hooks lets code hook named points of a network stack, in the way of
// the Solaris packet filtering hooks.
package hooks
