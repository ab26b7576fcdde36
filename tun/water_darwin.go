// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import "github.com/songgao/water"

func waterParams(cfg Config) (water.PlatformSpecificParams, error) {
	return water.PlatformSpecificParams{Name: cfg.Name}, nil
}
