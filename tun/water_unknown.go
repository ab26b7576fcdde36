// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux && !darwin && !windows

package tun

import "github.com/songgao/water"

// waterParams has nothing to say: water.New answers that it is not implemented.
func waterParams(Config) (water.PlatformSpecificParams, error) {
	return water.PlatformSpecificParams{}, nil
}
