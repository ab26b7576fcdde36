// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// What a hook has put back passes that hook over, is not counted for it, and meets all others.
func TestRunExcept(t *testing.T) {
	s := hooks.NewStack(hooks.StackConfig{Instance: 1})
	f, err := s.AddFamily("f")
	if err != nil {
		t.Fatal(err)
	}
	e, err := hooks.AddEvent[*[]string](f, hooks.EventConfig{Name: "e"})
	if err != nil {
		t.Fatal(err)
	}
	handles := map[string]*hooks.Handle{}
	for _, name := range []string{"a", "b", "c"} {
		handles[name], err = e.Register(hooks.Hook[*[]string]{Name: name, Func: func(seen *[]string) hooks.Verdict {
			*seen = append(*seen, name)
			if name == "c" {
				return hooks.DropWith(9)
			}
			return hooks.Accept
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		origin *hooks.Handle
		want   []string
	}{
		{nil, []string{"a", "b", "c"}},
		{handles["a"], []string{"b", "c"}},
		{handles["b"], []string{"a", "c"}},
		{handles["c"], []string{"a", "b"}},
	} {
		var seen []string
		verdict := e.RunExcept(0, &seen, c.origin)
		want := hooks.DropWith(9)
		if c.origin == handles["c"] {
			want = hooks.Accept
		}
		if !slices.Equal(seen, c.want) || verdict != want {
			t.Errorf("%v: %v, want %v; verdict %v", c.origin, seen, c.want, verdict)
		}
	}
	for _, h := range e.Stats().Hooks {
		if h.Hits != 3 {
			t.Errorf("%s has %d hits in 4 runs, one of which passed it over", h.Hook, h.Hits)
		}
	}

	// It counts as a run for who waits, and a hook inside it may not wait.
	inside := make(chan error, 1)
	self, err := e.Register(hooks.Hook[*[]string]{Name: "self", Hint: hooks.HintFirst, Func: func(*[]string) hooks.Verdict {
		inside <- handles["b"].Unregister()
		panic("and a panic is caught")
	}})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	if v := e.RunExcept(0, &seen, handles["a"]); v != hooks.DropWith(hooks.ReasonPanic) {
		t.Errorf("verdict %v", v)
	}
	if err := <-inside; !errors.Is(err, hooks.ErrInHook) {
		t.Errorf("unregister from inside: %v", err)
	}
	for _, h := range []*hooks.Handle{self, handles["a"], handles["b"], handles["c"]} {
		if err := h.Unregister(); err != nil {
			t.Error(err)
		}
	}
	if v := e.RunExcept(0, &seen, nil); v != hooks.Accept {
		t.Errorf("nothing hooked: %v", v)
	}
}
