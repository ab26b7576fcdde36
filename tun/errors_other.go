// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tun

import "syscall"

// errnoGone stands for a device that was deleted. EBADFD is Linux's own.
const errnoGone = syscall.ENXIO
