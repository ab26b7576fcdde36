// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package inside tells what its caller was called by, however far up, for what must not wait for that to end nor lock what
// it has locked. Go has no name for a goroutine, so it looks at the stack: that costs who asks, some microseconds, and the
// functions that are looked for nothing. They are marked where they are declared, as values, so that the compiler knows of
// a new name:
//
//	func init() { inside.Mark(inside.Hook, (*Visitor[struct{}]).run) }
//
//	if inside.Places()&inside.Hook != 0 {
//		return ErrInHook
//	}
package inside
