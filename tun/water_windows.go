// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"fmt"

	"github.com/songgao/water"
)

// waterParams names the TAP adapter (tap-windows6, ComponentId tap0901).
func waterParams(cfg Config) (water.PlatformSpecificParams, error) {
	if !cfg.Network.IsValid() || !cfg.Network.Addr().Is4() {
		return water.PlatformSpecificParams{}, fmt.Errorf("the TAP driver of Windows needs Config.Network, an IPv4 address and its prefix length; got %v", cfg.Network)
	}
	return water.PlatformSpecificParams{
		ComponentID:   "tap0901",
		InterfaceName: cfg.Name,
		Network:       cfg.Network.String(),
	}, nil
}
