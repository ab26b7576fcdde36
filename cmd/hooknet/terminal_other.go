// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "io"

// isTerminal reports that w is no terminal: what would be prettier on one works on Linux only.
func isTerminal(io.Writer) bool { return false }
