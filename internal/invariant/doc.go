// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package invariant says whether the expensive checks of the program's own
// invariants are compiled in. They are in builds with -race or -tags=invariant,
// and nowhere else:
//
//	if invariant.Enabled && p.buf == nil {
//		panic("packet: used after Release")
//	}
//
// Enabled is a constant, so in an ordinary build the condition and what it
// guards leave no trace in the binary. Such a check is for mistakes of the
// programmer only; what a device or a peer may send is checked always.
package invariant

import "sync/atomic"

// Packets counts the packets that are in use, from packet.Get to Release, if
// Enabled.
var Packets atomic.Int64
