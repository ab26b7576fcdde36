// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "strconv"

// A Verdict is a hook's answer. The zero value is Drop without a reason, so
// that a forgotten answer fails closed.
type Verdict uint32

const (
	// Drop ends the run; the provider drops the packet. The low 16 bits of
	// the verdict may say why: see [DropWith].
	Drop Verdict = iota << 16
	// Accept lets the run go on with the next hook. It is the only verdict
	// that does.
	Accept
	// Steal ends the run; the hook has taken the packet over and the provider
	// does not touch it again.
	Steal
)

// DropWith returns a Drop that carries the reason r.
func DropWith(r Reason) Verdict { return Drop | Verdict(r) }

// Action returns v without its reason: Drop, Accept or Steal. A value that is
// no verdict counts as Drop.
func (v Verdict) Action() Verdict {
	if v == Accept || v == Steal {
		return v
	}
	return Drop
}

// Reason returns why v drops, ReasonNone if it does not say.
func (v Verdict) Reason() Reason { return Reason(v) }

// String returns "accept", "steal", "drop" or "drop(reason)".
func (v Verdict) String() string {
	switch {
	case v == Accept:
		return "accept"
	case v == Steal:
		return "steal"
	case v == Drop:
		return "drop"
	case v < Accept:
		return "drop(" + v.Reason().String() + ")"
	}
	return "Verdict(" + strconv.FormatUint(uint64(v), 10) + ")"
}

// A Reason says why a packet was dropped. This package owns 1 to 15; the
// packages above name theirs from [FirstFreeReason] on.
type Reason uint16

const (
	// ReasonNone means that no reason was given.
	ReasonNone Reason = 0
	// ReasonPanic means that a hook panicked on this packet.
	ReasonPanic Reason = 1
	// ReasonDisabled means that a hook that was disabled after a panic holds
	// its place.
	ReasonDisabled Reason = 2
	// ReasonVerdict means that a hook answered a value that is no verdict.
	ReasonVerdict Reason = 3
	// FirstFreeReason is the first number for the packages above.
	FirstFreeReason Reason = 16
)

// String returns the reason's name in snake case, "reason_N" for those this
// package does not own.
func (r Reason) String() string {
	switch r {
	case ReasonNone:
		return "none"
	case ReasonPanic:
		return "panic"
	case ReasonDisabled:
		return "disabled"
	case ReasonVerdict:
		return "verdict"
	}
	return "reason_" + strconv.Itoa(int(r))
}

// Flags say how a hook wants to be treated (h_flags of hook_t(9S), where no
// flag was ever defined).
type Flags uint32

const (
	// FlagFailOpen makes a hook that was disabled after a panic answer Accept
	// instead of Drop. The packet it panicked on is dropped all the same: it
	// may be half edited.
	FlagFailOpen Flags = 1 << iota
	// FlagSegments says that the hook wants single segments, not whole
	// superpackets. The provider reads it through [Event.Flags].
	FlagSegments
)

const allFlags = FlagFailOpen | FlagSegments

// A Hint says where in the list a hook wants to stand (hook_hint_t of
// hook_t(9S)). Whoever registers later does not disturb it: a hook whose hint
// could then not hold is refused instead.
type Hint uint8

const (
	// HintNone leaves the place to the others; by default it is behind them.
	HintNone Hint = iota
	// HintFirst is always the first hook. There is at most one.
	HintFirst
	// HintLast is always the last hook. There is at most one.
	HintLast
	// HintBefore stands before the hook named by HintValue, whenever that one
	// is there.
	HintBefore
	// HintAfter stands after the hook named by HintValue, whenever that one
	// is there.
	HintAfter
)

// String returns the hint's name in lower case, "Hint(N)" for a value that is
// no hint.
func (h Hint) String() string {
	switch h {
	case HintNone:
		return "none"
	case HintFirst:
		return "first"
	case HintLast:
		return "last"
	case HintBefore:
		return "before"
	case HintAfter:
		return "after"
	}
	return "Hint(" + strconv.Itoa(int(h)) + ")"
}
