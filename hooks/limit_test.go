// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// The limit is on all events together; what is taken away makes room, and a refusal leaves no trace.
func TestMaxHooks(t *testing.T) {
	s := hooks.NewStack(hooks.StackConfig{MaxHooks: 2})
	f, err := s.AddFamily("f")
	if err != nil {
		t.Fatal(err)
	}
	var events [2]*hooks.Event[int]
	for i, name := range []string{"a", "b"} {
		if events[i], err = hooks.AddEvent[int](f, hooks.EventConfig{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	hook := func(name string) hooks.Hook[int] {
		return hooks.Hook[int]{Name: name, Func: func(int) hooks.Verdict { return hooks.Accept }}
	}
	first, err := events[0].Register(hook("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := events[1].Register(hook("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := events[1].Register(hook("2")); !errors.Is(err, hooks.ErrLimit) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("third hook: %v", err)
	}
	if _, err := events[1].Register(hook("1")); !errors.Is(err, hooks.ErrExists) {
		t.Errorf("a taken name is the better reason: %v", err)
	}
	if stats := events[1].Stats(); stats.HooksAdded != 1 || len(stats.Hooks) != 1 {
		t.Errorf("a refusal left a trace: %+v", stats)
	}
	if _, err := first.Retire(); err != nil {
		t.Fatal(err)
	}
	if _, err := events[1].Register(hook("2")); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}
