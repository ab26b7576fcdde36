// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// The limit is on all events together; what is taken away makes room, and a refusal leaves no trace.
func TestMaxHooks(t *testing.T) {
	s := hooks.NewStack(hooks.StackConfig{MaxHooks: 2})
	f := addFamily(t, s, "f")
	events := []*hooks.Event[*packet]{addEvent(t, f, "a"), addEvent(t, f, "b")}
	first := register(t, events[0], marking("1"))
	register(t, events[1], marking("1"))
	_, err := events[1].Register(marking("2"))
	wantError(t, err, hooks.ErrLimit, syscall.ENOSPC)
	_, err = events[1].Register(marking("1"))
	wantError(t, err, hooks.ErrExists) // the better reason
	wantCounts(t, events[1], 1, 0, 0)
	wantEqual(t, "hooks after refusals", names(events[1]), "1")
	if _, err := first.Retire(); err != nil {
		t.Fatal(err)
	}
	register(t, events[1], marking("2")) // there is room again
}
