// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
)

// The slow model of placement: design.md 4 and specification 10, word for
// word, by trying out.

type modelHook struct {
	name, value string
	hint        hooks.Hint
}

func (h modelHook) says(hint hooks.Hint, name string) bool { return h.hint == hint && h.value == name }

// holds reports whether every promise is kept in list.
func holds(list []modelHook) bool {
	for i, h := range list {
		if h.hint == hooks.HintFirst && i != 0 || h.hint == hooks.HintLast && i != len(list)-1 {
			return false
		}
		for j, target := range list {
			if h.says(hooks.HintBefore, target.name) && i > j || h.says(hooks.HintAfter, target.name) && i < j {
				return false
			}
		}
	}
	return true
}

// suggestion is the place that specification 10 suggests.
func suggestion(list []modelHook, h modelHook) int {
	endOfMiddle := len(list)
	if len(list) > 0 && list[len(list)-1].hint == hooks.HintLast {
		endOfMiddle--
	}
	index := func(is func(modelHook) bool) int { return slices.IndexFunc(list, is) }
	lastIndex := func(is func(modelHook) bool) int {
		for i := len(list) - 1; i >= 0; i-- {
			if is(list[i]) {
				return i
			}
		}
		return -1
	}
	before := func(name string) func(modelHook) bool {
		return func(o modelHook) bool { return o.says(hooks.HintBefore, name) }
	}
	after := func(name string) func(modelHook) bool {
		return func(o modelHook) bool { return o.says(hooks.HintAfter, name) }
	}
	either := func(name string) func(modelHook) bool {
		return func(o modelHook) bool { return before(name)(o) || after(name)(o) }
	}
	target := index(func(o modelHook) bool { return o.name == h.value })

	switch h.hint {
	case hooks.HintFirst:
		return 0
	case hooks.HintLast:
		return len(list)
	case hooks.HintBefore:
		if target >= 0 {
			return target
		}
		if i := index(after(h.value)); i >= 0 {
			return i
		}
		if i := lastIndex(before(h.value)); i >= 0 {
			return i + 1
		}
	case hooks.HintAfter:
		if target >= 0 {
			return target + 1
		}
		if i := lastIndex(either(h.value)); i >= 0 {
			return i + 1
		}
	default:
		if i := index(after(h.name)); i >= 0 {
			return i
		}
		if i := lastIndex(before(h.name)); i >= 0 {
			return i + 1
		}
	}
	return endOfMiddle
}

// modelPlace returns the new list, nil if h must be refused.
func modelPlace(list []modelHook, h modelHook) []modelHook {
	place := suggestion(list, h)
	for distance := 0; distance <= len(list); distance++ {
		for _, at := range []int{place - distance, place + distance} {
			if at < 0 || at > len(list) {
				continue
			}
			if tried := slices.Insert(slices.Clone(list), at, h); holds(tried) {
				return tried
			}
		}
	}
	// Sorted anew: the first whose predecessors are all taken.
	waiting := append(slices.Clone(list), h)
	var sorted []modelHook
	for len(waiting) > 0 {
		next := slices.IndexFunc(waiting, func(candidate modelHook) bool {
			for _, other := range waiting {
				// Somebody who must precede the candidate still waits.
				if other != candidate && !holdsPair(candidate, other) {
					return false
				}
			}
			return true
		})
		if next < 0 {
			return nil
		}
		sorted = append(sorted, waiting[next])
		waiting = slices.Delete(waiting, next, next+1)
	}
	return sorted
}

// holdsPair reports whether a may run before b, as far as the two are concerned.
func holdsPair(a, b modelHook) bool {
	return b.hint != hooks.HintFirst && a.hint != hooks.HintLast &&
		!a.says(hooks.HintAfter, b.name) && !b.says(hooks.HintBefore, a.name)
}

// anyOrder reports whether some order of list keeps every promise.
func anyOrder(list []modelHook) bool {
	var try func(done, left []modelHook) bool
	try = func(done, left []modelHook) bool {
		if len(left) == 0 {
			return holds(done)
		}
		for i, h := range left {
			if try(append(slices.Clone(done), h), slices.Delete(slices.Clone(left), i, i+1)) {
				return true
			}
		}
		return false
	}
	return try(nil, list)
}

func TestPlacementModel(t *testing.T) { rapid.Check(t, comparePlacement) }

func FuzzPlacement(f *testing.F) { f.Fuzz(rapid.MakeFuzz(comparePlacement)) }

// comparePlacement registers and unregisters at random and compares the order
// with the model's.
func comparePlacement(t *rapid.T) {
	pool := []string{"a", "b", "c", "d", "e", "x"}
	e := newEventForModel(t)
	var model []modelHook
	handles := map[string]*hooks.Handle{}
	for range rapid.IntRange(1, 20).Draw(t, "steps") {
		name := rapid.SampledFrom(pool).Draw(t, "name")
		if h := handles[name]; h != nil {
			if rapid.Bool().Draw(t, "unregister") {
				if err := h.Unregister(); err != nil {
					t.Fatal(err)
				}
				delete(handles, name)
				model = slices.DeleteFunc(model, func(h modelHook) bool { return h.name == name })
			}
		} else {
			h := modelHook{name: name, hint: hooks.Hint(rapid.IntRange(0, 4).Draw(t, "hint"))}
			if h.hint == hooks.HintBefore || h.hint == hooks.HintAfter {
				h.value = rapid.SampledFrom(slices.DeleteFunc(slices.Clone(pool), func(s string) bool { return s == name })).Draw(t, "value")
			}
			placed := modelPlace(model, h)
			if possible := anyOrder(append(slices.Clone(model), h)); possible != (placed != nil) {
				t.Fatalf("the model is wrong: %v into %v gives %v", h, model, placed)
			}
			handle, err := e.Register(hinted(h.name, h.hint, h.value))
			switch {
			case placed != nil && err != nil:
				t.Fatalf("%v into %v: %v, want %v", h, model, err, placed)
			case placed == nil:
				checkConflict(t, err, model, h)
			default:
				handles[name], model = handle, placed
			}
		}
		var want []string
		for _, h := range model {
			want = append(want, h.name)
		}
		if got := names(e); got != strings.Join(want, " ") {
			t.Fatalf("got order %q, want %q", got, want)
		}
		if _, met := run(e); met != strings.Join(want, " ") {
			t.Fatalf("ran %q, want %q", met, want)
		}
	}
}

// checkConflict checks that the hooks named in err, with h, are indeed in
// conflict, and that none of them could be left out.
func checkConflict(t *rapid.T, err error, model []modelHook, h modelHook) {
	var op *hooks.OpError
	if !errors.As(err, &op) || !errors.Is(err, hooks.ErrBusy) {
		t.Fatalf("%v into %v: got %v, want ErrBusy", h, model, err)
	}
	conflict := []modelHook{h}
	for _, name := range op.Names {
		i := slices.IndexFunc(model, func(o modelHook) bool { return o.name == name })
		if i < 0 {
			t.Fatalf("%v names %s, which is not there", err, name)
		}
		conflict = append(conflict, model[i])
	}
	// Pairwise, as First and Last are about the hooks named here only.
	possible := func(list []modelHook) bool {
		for waiting := slices.Clone(list); len(waiting) > 0; {
			i := slices.IndexFunc(waiting, func(a modelHook) bool {
				return !slices.ContainsFunc(waiting, func(b modelHook) bool { return b != a && !holdsPair(a, b) })
			})
			if i < 0 {
				return false
			}
			waiting = slices.Delete(waiting, i, i+1)
		}
		return true
	}
	if possible(conflict) {
		t.Fatalf("%v: these are not in conflict", err)
	}
	for i := range conflict {
		if !possible(slices.Delete(slices.Clone(conflict), i, i+1)) {
			t.Fatalf("%v: %s need not be named", err, conflict[i].name)
		}
	}
}

func newEventForModel(t *rapid.T) *hooks.Event[*packet] {
	f, err := hooks.NewStack(hooks.StackConfig{}).AddFamily("inet")
	if err != nil {
		t.Fatal(err)
	}
	e, err := hooks.AddEvent[*packet](f, hooks.EventConfig{Name: "PHYSICAL_IN"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
