// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import "syscall"

// errnoGone is what Linux answers on a TUN descriptor whose device was deleted.
const errnoGone = syscall.EBADFD
