// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// The numbered cases of the specification about the order of hooks, in the
// strict reading.

// parseHook understands the notation of the specification: "a" or "a:N",
// "a:F", "a:L", "a:B(x)", "a:A(x)".
func parseHook(s string) hooks.Hook[*packet] {
	name, hint, _ := strings.Cut(s, ":")
	value := strings.TrimSuffix(strings.TrimPrefix(strings.TrimLeft(hint, "BA"), "("), ")")
	switch {
	case hint == "" || hint == "N":
		return hinted(name, hooks.HintNone, "")
	case hint == "F":
		return hinted(name, hooks.HintFirst, "")
	case hint == "L":
		return hinted(name, hooks.HintLast, "")
	case hint[0] == 'B':
		return hinted(name, hooks.HintBefore, value)
	case hint[0] == 'A':
		return hinted(name, hooks.HintAfter, value)
	}
	panic("no hook: " + s)
}

// checkList registers steps in order on a fresh event. A step that ends in
// "!x,y" must be refused because of the hooks x and y, which must leave no trace.
// Then it checks the order, by what runs and by the kstats, and all counters.
func checkList(t *testing.T, steps, want string) {
	t.Helper()
	e := newEvent(t)
	var r recorder
	notify(t, e, "r", r.callback)
	var accepted []string
	for step := range strings.FieldsSeq(steps) {
		step, conflict, refused := strings.Cut(step, "!")
		h := parseHook(step)
		before := e.Stats()
		_, err := e.Register(h)
		if !refused {
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			accepted = append(accepted, "+inet/PHYSICAL_IN/"+h.Name)
			continue
		}
		wantError(t, err, hooks.ErrBusy, syscall.EBUSY)
		var op *hooks.OpError
		if !errors.As(err, &op) {
			t.Fatalf("%s: got %T", step, err)
		}
		wantEqual(t, step+" conflicts with", strings.Join(op.Names, ","), conflict)
		wantEqual(t, "state after a refused registration", e.Stats(), before)
	}
	wantEqual(t, "notifications", r.take(), strings.Join(accepted, " "))
	wantEqual(t, "kstat order", names(e), want)
	verdict, met := run(e)
	wantEqual(t, "running order", met, want)
	wantEqual(t, "verdict", verdict, hooks.Accept)
	wantCounts(t, e, uint64(len(accepted)), 0, 1)
	for i, h := range e.Stats().Hooks {
		wantEqual(t, "position of "+h.Hook, h.Position, int32(i+1))
		wantEqual(t, "hook_hits of "+h.Hook, h.Hits, uint64(1))
	}
}

func TestCase046_NoHints(t *testing.T)            { checkList(t, "a b c", "a b c") }
func TestCase047_LastThenNone(t *testing.T)       { checkList(t, "l:L a", "a l") }
func TestCase048_LastStaysLast(t *testing.T)      { checkList(t, "l:L a b", "a b l") }
func TestCase049_NoneAroundLast(t *testing.T)     { checkList(t, "a l:L b", "a b l") }
func TestCase050_SecondLastLater(t *testing.T)    { checkList(t, "l:L a b m:L!l", "a b l") }
func TestCase051_SecondLast(t *testing.T)         { checkList(t, "l:L m:L!l", "l") }
func TestCase052_SecondFirst(t *testing.T)        { checkList(t, "f:F g:F!f", "f") }
func TestCase053_FirstLater(t *testing.T)         { checkList(t, "a f:F b", "f a b") }
func TestCase054_BeforeNearest(t *testing.T)      { checkList(t, "a b:B(a) c:B(a)", "b c a") }
func TestCase055_AfterNearest(t *testing.T)       { checkList(t, "a b:A(a) c:A(a)", "a c b") }
func TestCase056_BeforeTheFirst(t *testing.T)     { checkList(t, "f:F b:B(f)!f", "f") }
func TestCase057_AfterTheFirst(t *testing.T)      { checkList(t, "f:F b:A(f)", "f b") }
func TestCase058_AfterTheLast(t *testing.T)       { checkList(t, "l:L b:A(l)!l", "l") }
func TestCase059_BeforeTheLast(t *testing.T)      { checkList(t, "l:L b:B(l)", "b l") }
func TestCase060_TargetAfterWaiting(t *testing.T) { checkList(t, "a:A(x) b:B(x) x", "b x a") }
func TestCase061_BeforeThenAfter(t *testing.T)    { checkList(t, "b:B(x) a:A(x) x", "b x a") }
func TestCase062_TwoWaitBefore(t *testing.T)      { checkList(t, "b1:B(x) b2:B(x) x", "b1 b2 x") }
func TestCase063_TwoWaitAfter(t *testing.T)       { checkList(t, "a1:A(x) a2:A(x) x", "x a1 a2") }

func TestCase064_UnknownHint(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("a"))
	_, err := e.Register(hinted("b", 99, "a"))
	wantError(t, err, hooks.ErrInvalid, syscall.EINVAL)
	wantEqual(t, "list", names(e), "a")
	wantCounts(t, e, 1, 0, 0)
}

func TestCase065_NameTaken(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("a"))
	for _, hint := range []hooks.Hint{hooks.HintNone, hooks.HintFirst, hooks.HintLast, hooks.HintBefore, hooks.HintAfter, 99} {
		_, err := e.Register(hinted("a", hint, "a"))
		wantError(t, err, hooks.ErrExists, syscall.EEXIST)
	}
	wantEqual(t, "list", names(e), "a")
	wantCounts(t, e, 1, 0, 0)

	other := addEvent(t, e.Family(), "PHYSICAL_OUT")
	register(t, other, marking("a"))
	wantEqual(t, "list of the other event", names(other), "a")
	wantCounts(t, other, 1, 0, 0)
}

func TestCase066_BeforeNobody(t *testing.T) {
	checkList(t, "a:B(nobody)", "a")
	checkList(t, "a:A(nobody)", "a")
}

func TestCase067_RefusedThenAccepted(t *testing.T) {
	e := newEvent(t)
	register(t, e, hinted("f", hooks.HintFirst, ""))
	_, err := e.Register(hinted("g", hooks.HintFirst, ""))
	wantError(t, err, hooks.ErrBusy)
	_, err = e.Register(hinted("g", 99, ""))
	wantError(t, err, hooks.ErrInvalid)
	g := register(t, e, marking("g"))
	wantEqual(t, "list", names(e), "f g")
	unregister(t, g)
	wantCounts(t, e, 2, 1, 0)
}

// TestTable holds every row of the original's table of results (specification
// 5.5) that is no numbered case, with our strict answers.
func TestTable(t *testing.T) {
	for _, row := range []struct{ steps, want string }{
		{"a:N b:N c:N", "a b c"},
		{"l:L a:N", "a l"},
		{"l:L a:N b:N", "a b l"},
		{"a:N l:L b:N", "a b l"},
		{"l:L a:N b:N m:L!l", "a b l"},
		{"l:L m:L!l", "l"},
		{"f:F g:F!f", "f"},
		{"a:N f:F b:N", "f a b"},
		{"l:L x:F n:N", "x n l"},
		{"a:N b:B(a) c:B(a)", "b c a"},
		{"a:N b:A(a) c:A(a)", "a c b"},
		{"f:F b:B(f)!f", "f"},
		{"f:F b:A(f)", "f b"},
		{"l:L b:A(l)!l", "l"},
		{"l:L b:B(l)", "b l"},
		{"a:A(x) b:B(x) x:N", "b x a"},
		{"b:B(x) a:A(x) x:N", "b x a"},
		{"b1:B(x) b2:B(x) x:N", "b1 b2 x"},
		{"b1:B(x) b2:B(x) b3:B(x)", "b1 b2 b3"},
		{"a1:A(x) a2:A(x) x:N", "x a1 a2"},
		{"a:A(x) b:B(x) c:B(x) d:A(x) x:N", "b c x a d"},
		{"b:B(x) x:F!b", "b"},
		{"a:A(x) x:L!a", "a"},
		{"p:N l:L b:B(x)", "p b l"},
		{"x:N f:F b:B(x)", "f b x"},
	} {
		t.Run(row.steps, func(t *testing.T) { checkList(t, row.steps, row.want) })
	}
}

// TestPlacement holds what the table has no row for: a place that must be
// corrected, a list that must be sorted anew, and conflicts of several hooks.
func TestPlacement(t *testing.T) {
	for _, row := range []struct{ steps, want string }{
		// The place "immediately after a" lies behind c, which n must precede.
		{"a c:A(n) n:A(a)", "a n c"},
		// The place "immediately before c" lies before b, which n must follow.
		{"a b:B(n) c n:B(c)", "a b n c"},
		// The place "behind those before x" lies behind a, which n must precede.
		{"a:A(n) b:B(x) n:B(x)", "n a b"},
		// No place: x after b but before a, which stands before b. Sorted anew.
		{"a:A(x) b p:B(x) q x:A(b)", "p b q x a"},
		// A circle of three, and of four.
		{"a:B(b) b:B(c) c:B(a)!a,b", "a b"},
		{"d a:B(b) b:B(c) c:B(n) n:B(a)!a,b,c", "d a b c"},
		// First and Last in the circle.
		{"f:F a:B(b) b:B(f)!f", "f a"},
		{"a:A(x) b:B(c) f:F x:A(c) c:A(a)!x,a", "f x a b"},
		{"l:L b:A(a) a:A(l)!l", "b l"},
		{"b:B(x) l:L x:L!l", "b l"},
	} {
		t.Run(row.steps, func(t *testing.T) { checkList(t, row.steps, row.want) })
	}
}

// TestManyWaiting shows that a long list works as a short one, and that the
// counters of hooks far behind are kept too.
func TestManyHooks(t *testing.T) {
	const n = 40
	e := newEvent(t)
	var want []string
	for i := range n {
		name := fmt.Sprint("h", i)
		register(t, e, marking(name))
		want = append(want, name)
	}
	register(t, e, hinted("stop", hooks.HintAfter, "h29"))
	want = slices.Insert(want, 30, "stop")
	wantEqual(t, "list", names(e), strings.Join(want, " "))

	stop := false
	last := register(t, e, hooks.Hook[*packet]{Name: "switch", Hint: hooks.HintAfter, HintValue: "stop", Func: func(*packet) hooks.Verdict {
		if stop {
			return hooks.Drop
		}
		return hooks.Accept
	}})
	for i := range 10 {
		stop = i%2 == 0
		run(e)
	}
	check := func() {
		t.Helper()
		for i, h := range hits(e) {
			if want := uint64(10); i <= 31 && h != want {
				t.Errorf("hook %d: got %d hits, want %d", i, h, want)
			} else if want := uint64(5); i > 31 && h != want {
				t.Errorf("hook %d: got %d hits, want %d", i, h, want)
			}
		}
	}
	check()
	// Folded, the counts are the same.
	late := register(t, e, marking("late"))
	unregister(t, late)
	check()
	unregister(t, last)
	wantCounts(t, e, n+3, 2, 10)
}
