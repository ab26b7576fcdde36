// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A segment is the context of the points in these tests.
type segment struct{ met []string }

// marking returns a hook on tcp/0 that writes its name on the segment.
func marking(name string) hhook.Hook {
	return hhook.Hook{Type: hhook.TCP, Name: name, Func: func(c *hhook.Call) {
		s := c.Context.(*segment)
		s.met = append(s.met, name)
	}}
}

func newPoint(tb testing.TB, s *hhook.Points, id hhook.ID) *hhook.Point {
	tb.Helper()
	p, err := s.Register(hhook.TCP, id, hhook.WaitOK|hhook.InInstance)
	wantNone(tb, err)
	return p
}

func newPoints() *hhook.Points { return hhook.New(hhook.Config{Instance: 3}) }

func add(tb testing.TB, p *hhook.Point, h hhook.Hook) *hhook.Attachment {
	tb.Helper()
	a, err := p.Add(h)
	wantNone(tb, err)
	return a
}

// run returns the hooks that a run of p meets.
func run(p *hhook.Point) string {
	s := &segment{}
	p.RunIf(0, s, nil)
	return strings.Join(s.met, " ")
}

func wantNone(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantError(tb testing.TB, err error, wanted ...error) {
	tb.Helper()
	for _, want := range wanted {
		if !errors.Is(err, want) {
			tb.Errorf("got error %v, want %v", err, want)
		}
	}
}

func wantEqual(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestCase106_PointIsUniquePerInstance(t *testing.T) {
	s := newPoints()
	newPoint(t, s, 0)
	_, err := s.Register(hhook.TCP, 0, 0)
	wantError(t, err, hooks.ErrExists, syscall.EEXIST)
	wantEqual(t, "error", err.Error(), "hooks: register point tcp/0 (instance 3): name is taken")
	newPoint(t, s, 1)
	newPoint(t, newPoints(), 0)
}

func TestCase107_ReferencedPointStays(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	a := add(t, p, marking("a"))
	got, err := s.Get(hhook.TCP, 0)
	wantNone(t, err)
	if got != p {
		t.Error("Get returned another point")
	}
	wantError(t, p.Deregister(), hooks.ErrBusy, syscall.EBUSY)
	wantEqual(t, "met", run(p), "a")
	wantNone(t, got.Release())
	wantError(t, got.Release(), hooks.ErrGone)
	wantNone(t, p.Deregister())
	wantEqual(t, "met", run(p), "")
	wantEqual(t, "attached", a.Attached(), false)
	wantError(t, p.Deregister(), hhook.ErrNotFound)
	_, err = p.Add(marking("b"))
	wantError(t, err, hooks.ErrShutdown)
	_, err = s.Get(hhook.TCP, 0)
	wantError(t, err, hhook.ErrNotFound, syscall.ENOENT)

	var none *hhook.Point
	wantError(t, none.Deregister(), hhook.ErrNotFound, syscall.ENOENT)
	wantError(t, none.Remove("a"), hhook.ErrNotFound)
	wantError(t, none.Release(), hhook.ErrNotFound)
	_, err = none.Add(marking("a"))
	wantError(t, err, hhook.ErrNotFound)
	none.RunIf(0, nil, nil)

	// The key is free again.
	wantEqual(t, "met", run(newPoint(t, s, 0)), "")
}

func TestCase108_DeregisterByKey(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	got, err := s.Get(hhook.TCP, 0)
	wantNone(t, err)
	wantError(t, s.Deregister(hhook.TCP, 0), hooks.ErrBusy)
	wantNone(t, got.Release())
	wantNone(t, s.Deregister(hhook.TCP, 0)) // p still has it
	wantEqual(t, "active", p.Active(), false)
	wantError(t, s.Deregister(hhook.TCP, 0), hhook.ErrNotFound, syscall.ENOENT)
}

// The name is what identifies a hook; the original's function and argument are.
func TestCase109_HookIsKnownByName(t *testing.T) {
	p := newPoint(t, newPoints(), 0)
	h := marking("a")
	add(t, p, h)
	_, err := p.Add(h)
	wantError(t, err, hooks.ErrExists, syscall.EEXIST)
	h.Name, h.UserData = "b", 7
	add(t, p, h)
	wantEqual(t, "met", run(p), "a a")
}

func TestCase110_FirstAddedRunsFirst(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	for _, name := range []string{"a", "b", "c"} {
		add(t, p, marking(name))
	}
	_, err := s.AddLookup(marking("d"))
	wantNone(t, err)
	wantEqual(t, "met", run(p), "a b c d")
	seg := &segment{}
	s.RunLookupIf(0, hhook.TCP, 0, seg, nil)
	wantEqual(t, "met by look-up", strings.Join(seg.met, " "), "a b c d")
	s.RunLookupIf(0, hhook.TCP, 9, seg, nil)
	wantNone(t, p.Deregister()) // the reference of the look-up was given back
}

// A hook that ends its goroutine leaves no reference behind.
func TestRunLookupIfEndsItsGoroutine(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	add(t, p, hhook.Hook{Type: hhook.TCP, Name: "goexit", Func: func(*hhook.Call) { runtime.Goexit() }})
	var caller sync.WaitGroup
	caller.Go(func() { s.RunLookupIf(0, hhook.TCP, 0, &segment{}, nil) })
	caller.Wait()
	wantNone(t, p.Deregister())
}

func TestCase111_RemovingWhatIsNotThere(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	a := add(t, p, marking("a"))
	wantNone(t, p.Remove("b"))
	wantNone(t, s.RemoveLookup(hhook.TCP, 0, "b"))
	wantNone(t, s.RemoveLookup(hhook.TCP, 9, "a"))
	wantEqual(t, "met", run(p), "a")
	wantNone(t, a.Remove())
	wantNone(t, a.Remove())
	wantEqual(t, "met", run(p), "")
	add(t, p, marking("a"))
	wantNone(t, p.Remove("a"))
	add(t, p, marking("a"))
	wantNone(t, s.RemoveLookup(hhook.TCP, 0, "a"))
	wantEqual(t, "met", run(p), "")
}

// An object whose only data is that of helper 2.
type object struct{ data any }

func (o object) Data(helper int) any {
	if helper != 2 {
		return nil
	}
	return o.data
}

func TestCase112_HookIsSkippedWithoutData(t *testing.T) {
	p := newPoint(t, newPoints(), 5)
	var calls []hhook.Call
	record := func(c *hhook.Call) { calls = append(calls, *c) }
	add(t, p, hhook.Hook{Name: "needs", Func: record, UserData: "u", Helper: 2})
	p.RunIf(0, nil, nil)
	p.RunIf(0, nil, object{})
	wantEqual(t, "calls", len(calls), 0)
	data, context := new(int), new(segment)
	p.RunIf(0, context, object{data})
	want := hhook.Call{Type: hhook.TCP, ID: 5, UserData: "u", Context: context, ObjectData: data, Object: object{data}}
	if len(calls) != 1 || calls[0] != want {
		t.Errorf("got %+v, want %+v", calls, want)
	}
}

func TestCase116_HookWaitsForItsPoint(t *testing.T) {
	s := newPoints()
	list, err := s.AddLookup(marking("a"))
	wantNone(t, err)
	_, err = s.AddLookup(marking("a"))
	wantError(t, err, hooks.ErrExists)
	wantEqual(t, "leftovers", s.Leftovers(), []string{"hook tcp/0/a (no point)"})
	for range 2 { // and again, when the point comes back
		p := newPoint(t, s, 0)
		wantEqual(t, "met", run(p), "a")
		wantEqual(t, "attached", list[0].Attached(), true)
		wantNone(t, p.Deregister())
		wantEqual(t, "attached", list[0].Attached(), false)
	}
	wantNone(t, s.RemoveLookup(hhook.TCP, 0, "a"))
	wantEqual(t, "met", run(newPoint(t, s, 0)), "")
}

func TestCase117_NothingHookedCostsNothing(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	seg, o := &segment{}, &struct{ object }{}
	cost := func(what string) {
		t.Helper()
		if n := testing.AllocsPerRun(1000, func() { p.RunIf(0, seg, o); s.RunLookupIf(0, hhook.TCP, 0, seg, o) }); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	cost("empty")
	calls := 0
	add(t, p, hhook.Hook{Name: "a", Func: func(*hhook.Call) { calls++ }})
	add(t, p, hhook.Hook{Name: "skipped", Func: func(*hhook.Call) { calls += 1e6 }, Helper: 1})
	cost("two hooks")
	wantEqual(t, "calls", calls, 2002)
}

func TestAddLookupIsAllOrNothing(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	add(t, p, marking("b"))
	for what, bad := range map[string]struct {
		hook hhook.Hook
		want error
	}{
		"taken": {marking("b"), hooks.ErrExists}, "twice": {marking("a"), hooks.ErrExists},
		"no type": {hhook.Hook{Name: "c", Func: func(*hhook.Call) {}}, hooks.ErrInvalid},
		"no name": {marking(""), hooks.ErrInvalid}, "no function": {hhook.Hook{Type: hhook.TCP, Name: "c"}, hooks.ErrInvalid},
	} {
		_, err := s.AddLookup(marking("a"), bad.hook)
		if !errors.Is(err, bad.want) {
			t.Errorf("%s: got %v, want %v", what, err, bad.want)
		}
		wantEqual(t, what, run(p), "b")
	}
}

func TestFlags(t *testing.T) {
	s, process := newPoints(), hhook.New(hhook.Config{})
	for flags, want := range map[hhook.Flags]error{
		0: nil, hhook.WaitOK: nil, hhook.NoWait | hhook.InInstance: nil,
		hhook.WaitOK | hhook.NoWait: hooks.ErrInvalid, 0x200: hooks.ErrInvalid,
	} {
		p, err := s.Register(hhook.Socket, hhook.ID(flags), flags)
		if !errors.Is(err, want) {
			t.Errorf("flags %#x: %v, want %v", flags, err, want)
		}
		wantEqual(t, "virtualised", p.IsVirtualised(), want == nil)
	}
	_, err := process.Register(hhook.TCP, 0, hhook.InInstance)
	wantError(t, err, hooks.ErrInvalid, syscall.EINVAL)
	p, err := process.Register(hhook.TCP, 0, hhook.WaitOK)
	wantNone(t, err)
	wantEqual(t, "virtualised", p.IsVirtualised(), false)
	_, err = s.Register(0, 0, 0)
	wantError(t, err, hooks.ErrInvalid)
}

func TestPanicIsCaughtAndCounted(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	add(t, p, hhook.Hook{Name: "bad", Func: func(*hhook.Call) { panic("x") }})
	add(t, p, marking("good"))
	wantEqual(t, "met in the run that panics", run(p), "")
	wantEqual(t, "met after", run(p), "good")
	stats := s.Stats().Families[0].Events[0]
	wantEqual(t, "panics", [2]uint64{stats.Panics, stats.Hooks[0].Panics}, [2]uint64{1, 1})
	wantEqual(t, "disabled", stats.Hooks[0].Disabled, true)
}

func TestWhatWaitsIsRefusedInAHook(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	var a *hhook.Attachment
	a = add(t, p, hhook.Hook{Name: "a", Func: func(*hhook.Call) {
		for _, err := range []error{a.Remove(), p.Remove("a"), s.RemoveLookup(hhook.TCP, 0, "a"), p.Deregister(), s.Deregister(hhook.TCP, 0), s.Close()} {
			wantError(t, err, hooks.ErrInHook, syscall.EDEADLK)
		}
		_, err := p.Add(marking("added"))
		wantNone(t, err)
	}})
	wantEqual(t, "met", run(p), "")
	wantNone(t, p.Remove("a"))
	wantEqual(t, "met", run(p), "added")
}

func TestCloseNamesLeftovers(t *testing.T) {
	s := newPoints()
	p := newPoint(t, s, 0)
	_, err := s.Get(hhook.TCP, 0)
	wantNone(t, err)
	add(t, p, marking("a"))
	waiting := marking("w")
	waiting.Type = hhook.FirstFreeType
	_, err = s.AddLookup(waiting)
	wantNone(t, err)
	err = s.Close()
	wantError(t, err, hooks.ErrBusy)
	var op *hooks.OpError
	if errors.As(err, &op) {
		wantEqual(t, "names", op.Names, []string{"point tcp/0 (references: 1)", "hook tcp/0/a", "hook type_256/0/w (no point)"})
	}
	wantEqual(t, "met", run(p), "")
	wantNone(t, s.Close())
	_, err = s.Register(hhook.TCP, 0, 0)
	wantError(t, err, hooks.ErrShutdown)
	_, err = s.AddLookup(marking("a"))
	wantError(t, err, hooks.ErrShutdown)
	wantNone(t, newPoints().Close())
}

// Every Close returns when the last hook has, not the first one alone.
func TestEveryCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPoints()
		p := newPoint(t, s, 0)
		goOn := make(chan struct{})
		add(t, p, hhook.Hook{Name: "slow", Func: func(*hhook.Call) { <-goOn }})
		go p.RunIf(0, nil, nil)
		synctest.Wait()
		closed := make(chan error, 2)
		for range cap(closed) {
			go func() { closed <- s.Close() }()
		}
		synctest.Wait()
		wantEqual(t, "calls that have returned while a hook runs", len(closed), 0)
		close(goOn)
		if first, second := <-closed, <-closed; (first == nil) == (second == nil) {
			t.Errorf("got %v and %v; one of them names what was left", first, second)
		}
	})
}

// After Remove no call runs any more, and nothing deadlocks or races while points come and go.
func TestConcurrentChanges(t *testing.T) {
	s := newPoints()
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for range 200 {
				removed := false // a call after Remove is a data race
				h := marking(strings.Repeat("x", worker+1))
				h.Func = func(*hhook.Call) {
					if removed {
						t.Error("called after Remove")
					}
				}
				list, err := s.AddLookup(h)
				if err != nil {
					t.Error(err)
					return
				}
				if p, err := s.Register(hhook.TCP, 0, 0); err == nil {
					p.RunIf(uint32(worker), nil, nil)
					_ = p.Deregister() // busy while another worker runs it
				} else {
					s.RunLookupIf(uint32(worker), hhook.TCP, 0, nil, nil)
					_ = s.Deregister(hhook.TCP, 0)
				}
				if err := list[0].Remove(); err != nil {
					t.Error(err)
				}
				removed = true
			}
		})
	}
	group.Wait()
}

// A visit is one entry for many runs, sees hooks that come, and holds back who removes one until it is left.
func TestVisitor(t *testing.T) {
	s := hhook.New(hhook.Config{Instance: 1})
	p, err := s.Register(hhook.TCP, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	v := p.Visitor(1)
	v.RunIf(nil, nil)
	if v.Active() {
		t.Error("something is hooked")
	}
	var calls []hhook.Call
	a, err := p.Add(hhook.Hook{Name: "a", UserData: "mine", Func: func(c *hhook.Call) { calls = append(calls, *c) }})
	if err != nil {
		t.Fatal(err)
	}
	seen := 7
	for range 2 {
		v.RunIf(&seen, nil)
	}
	removed := make(chan error)
	go func() { removed <- a.Remove() }()
	for a.Attached() {
		runtime.Gosched()
	}
	v.RunIf(&seen, nil) // sees that it has gone
	v.Leave()
	if err := <-removed; err != nil {
		t.Error(err)
	}
	want := hhook.Call{Type: hhook.TCP, ID: 3, UserData: "mine", Context: &seen}
	if len(calls) != 2 || calls[0] != want || calls[1] != want {
		t.Errorf("calls %+v", calls)
	}
	if got := s.Stats().Families[0].Events[0].Events; got != 2 {
		t.Errorf("%d runs counted, want 2", got)
	}
}
