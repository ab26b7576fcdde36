// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tun

import (
	"fmt"
	"runtime"
)

// openDriver opens the device with the driver asked for.
func openDriver(cfg Config) (Device, error) {
	switch cfg.Driver {
	case DriverAuto, DriverWater:
		return openWater(cfg)
	case DriverLinux:
		return nil, fmt.Errorf("%w: the linux driver on %s; use water", ErrUnsupported, runtime.GOOS)
	default:
		return nil, fmt.Errorf("%w: %v", ErrUnsupported, cfg.Driver)
	}
}
