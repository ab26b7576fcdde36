// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// A visit is one entry for many runs, sees changes at the next run, and holds back who waits for a hook until it leaves.
func TestVisitor(t *testing.T) {
	e := newEvent(t)
	v := e.Visitor(3)
	v.Leave() // outside of a visit: nothing
	if v.Active() || v.Run(&packet{}) != hooks.Accept {
		t.Error("something is hooked")
	}
	var calls atomic.Int64
	count := hooks.Hook[*packet]{Name: "count", Flags: hooks.FlagSegments, Func: func(*packet) hooks.Verdict {
		calls.Add(1)
		return hooks.Accept
	}}
	h, err := e.Register(count)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		v.Run(&packet{})
	}
	if !v.Active() || v.Flags() != hooks.FlagSegments || calls.Load() != 3 {
		t.Errorf("active %v, flags %v, %d calls", v.Active(), v.Flags(), calls.Load())
	}
	last, err := e.Register(hooks.Hook[*packet]{Name: "last", Func: func(*packet) hooks.Verdict { return hooks.DropWith(5) }})
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Run(&packet{}); got != hooks.DropWith(5) {
		t.Errorf("the visit does not see the new hook: %v", got)
	}

	gone, err := h.Retire()
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
		t.Error("gone although the visit goes on")
	default:
	}
	v.Leave()
	<-gone
	if got := v.Run(&packet{}); got != hooks.DropWith(5) || calls.Load() != 4 {
		t.Errorf("verdict %v, %d calls: the hook that was taken away was called", got, calls.Load())
	}
	v.Leave()
	if s := e.Stats(); s.Events != 5 || s.Hooks[0].Hits != 2 {
		t.Errorf("events %d, hits of last %d; want 5 and 2", s.Events, s.Hooks[0].Hits)
	}

	// The last hook goes during a visit.
	v.Run(&packet{})
	if gone, err = last.Retire(); err != nil {
		t.Fatal(err)
	}
	if v.Run(&packet{}) != hooks.Accept || v.Active() {
		t.Error("something is still hooked")
	}
	v.Leave()
	<-gone
	if s := e.Stats(); s.Events != 6 {
		t.Errorf("events %d, want 6", s.Events)
	}
}

// A hook that ends its goroutine ends the visit, too; one that panics does not.
func TestVisitorBroken(t *testing.T) {
	e := newEvent(t)
	for name, f := range map[string]func(*packet) hooks.Verdict{
		"goexit": func(*packet) hooks.Verdict { runtime.Goexit(); return hooks.Accept },
		"panic":  func(*packet) hooks.Verdict { panic("oops") },
	} {
		h, err := e.Register(hooks.Hook[*packet]{Name: name, Func: f})
		if err != nil {
			t.Fatal(err)
		}
		var worker sync.WaitGroup
		worker.Go(func() {
			v := e.Visitor(0)
			if got := v.Run(&packet{}); got != hooks.DropWith(hooks.ReasonPanic) {
				t.Errorf("%s: verdict %v", name, got)
			}
			if got := v.Run(&packet{}); got != hooks.DropWith(hooks.ReasonDisabled) {
				t.Errorf("%s: verdict of the disabled hook %v", name, got)
			}
			v.Leave()
		})
		worker.Wait()
		if err := h.Unregister(); err != nil { // would wait for ever for a visit that nobody ends
			t.Error(err)
		}
	}
}

// Visitors in batches of all sizes while hooks come and go at the same time: no removed hook is called, and in the end every
// run and every hit has been counted.
func TestVisitorsUnderChange(t *testing.T) {
	e := newEvent(t)
	var runs, calls atomic.Uint64
	if _, err := e.Register(hooks.Hook[*packet]{Name: "always", Hint: hooks.HintLast, Func: func(*packet) hooks.Verdict {
		calls.Add(1)
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var workers, changers sync.WaitGroup
	for slot := range uint32(4) {
		workers.Go(func() {
			v := e.Visitor(slot)
			defer v.Leave()
			for n := slot; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for range n%40 + 1 {
					v.Run(&packet{})
					runs.Add(1)
				}
				v.Leave()
			}
		})
	}
	for c := range 4 {
		changers.Go(func() {
			for round := range 500 {
				var removed atomic.Bool
				h, err := e.Register(hooks.Hook[*packet]{Name: fmt.Sprint(c), Func: func(*packet) hooks.Verdict {
					if removed.Load() {
						t.Errorf("hook %d of round %d called after it was removed", c, round)
					}
					return hooks.Accept
				}})
				if err != nil {
					t.Error(err)
					return
				}
				if err := h.Unregister(); err != nil {
					t.Error(err)
				}
				removed.Store(true)
			}
		})
	}
	changers.Wait()
	close(stop)
	workers.Wait()
	s := e.Stats()
	if s.Events != runs.Load() || s.Hooks[0].Hits != runs.Load() || calls.Load() != runs.Load() {
		t.Errorf("%d runs, %d counted; %d calls, %d hits", runs.Load(), s.Events, calls.Load(), s.Hooks[0].Hits)
	}
}
