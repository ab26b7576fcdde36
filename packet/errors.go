// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import "errors"

// Errors of the operations that change a packet's size. After any of them the
// packet is as it was.
var (
	// ErrTooLong: the packet would exceed what its IP version can carry, or
	// the largest buffer. Send less.
	ErrTooLong = errors.New("packet too long")

	// ErrTooShort: the headers would not remain whole.
	ErrTooShort = errors.New("packet too short")

	// ErrHeadroom: no room is left before the packet's first byte.
	ErrHeadroom = errors.New("no headroom left")

	// ErrSuperpacket: this cannot be done to a GSO superpacket. Split it with
	// a [Segmenter] first, or register the hook with hooks.FlagSegments.
	ErrSuperpacket = errors.New("not possible on a GSO superpacket")
)
