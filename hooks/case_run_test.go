// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// The numbered cases of the specification about lookups, runs, removal and
// counters.

func TestCase068_UnknownEvent(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	addEvent(t, f, "PHYSICAL_IN")
	_, err := hooks.FindEvent[*packet](f, "SIDEWAYS")
	wantError(t, err, hooks.ErrNotFound, syscall.ENXIO)
	// There is no way to register or unregister without the event.
	e, err := hooks.FindEvent[*packet](f, "PHYSICAL_IN")
	if err != nil {
		t.Fatal(err)
	}
	unregister(t, register(t, e, marking("a")))
	wantCounts(t, e, 1, 1, 0)
}

func TestCase069_EventShutDown(t *testing.T) {
	e := newEvent(t)
	a := register(t, e, marking("a"))
	register(t, e, marking("b"))
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Register(marking("c"))
	wantError(t, err, hooks.ErrShutdown, syscall.ESHUTDOWN)
	_, met := run(e)
	wantEqual(t, "met", met, "a b")
	unregister(t, a)
	_, met = run(e)
	wantEqual(t, "met", met, "b")
	wantCounts(t, e, 2, 1, 2)
}

func TestCase070_StackShutDown(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("a"))
	s := e.Family().Stack()
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Register(marking("b"))
	wantError(t, err, hooks.ErrShutdown, syscall.ESHUTDOWN)
	_, err = s.AddFamily("inet6")
	wantError(t, err, hooks.ErrShutdown)
	_, err = hooks.AddEvent[*packet](e.Family(), hooks.EventConfig{Name: "PHYSICAL_OUT"})
	wantError(t, err, hooks.ErrShutdown)
	_, err = s.Family("inet")
	wantError(t, err, hooks.ErrShutdown)
	_, met := run(e)
	wantEqual(t, "met", met, "a")
	wantCounts(t, e, 1, 0, 1)
}

func TestCase071_RegisterCopies(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("x"))
	h := hinted("a", hooks.HintBefore, "x")
	register(t, e, h)
	h.Name, h.HintValue, h.Hint, h.Flags = "changed", "changed", hooks.HintLast, hooks.FlagSegments
	h.Func = func(*packet) hooks.Verdict { return hooks.Drop }
	verdict, met := run(e)
	wantEqual(t, "met", met, "a x")
	wantEqual(t, "verdict", verdict, hooks.Accept)
	s := e.Stats().Hooks[0]
	wantEqual(t, "kstat", []any{s.Hook, s.HintValue, s.Hint, s.Flags}, []any{"a", "x", hooks.HintBefore, hooks.Flags(0)})
	wantCounts(t, e, 2, 0, 1)
}

func TestCase072_FirstVerdictWins(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("h1"))
	register(t, e, answering("h2", hooks.DropWith(7)))
	register(t, e, marking("h3"))
	verdict, met := run(e)
	wantEqual(t, "met", met, "h1 h2")
	wantEqual(t, "action", verdict.Action(), hooks.Drop)
	wantEqual(t, "reason", verdict.Reason(), hooks.Reason(7))
	wantEqual(t, "hook_hits", hits(e), []uint64{1, 1, 0})
	wantCounts(t, e, 3, 0, 1)
}

// A run without hooks returns Accept; events counts those with a hook.
func TestCase073_RunWithoutHooks(t *testing.T) {
	e := newEvent(t)
	verdict, met := run(e)
	wantEqual(t, "verdict", verdict, hooks.Accept)
	wantEqual(t, "met", met, "")
	wantCounts(t, e, 0, 0, 0)
	h := register(t, e, marking("h"))
	run(e)
	wantCounts(t, e, 1, 0, 1)
	unregister(t, h)
	run(e)
	wantCounts(t, e, 1, 1, 1)
}

func TestCase074_LastHookRemoved(t *testing.T) {
	e := newEvent(t)
	wantEqual(t, "active at first", e.Active(), false)
	a, b := register(t, e, marking("a")), register(t, e, marking("b"))
	wantEqual(t, "active with two", e.Active(), true)
	unregister(t, a)
	wantEqual(t, "active with one", e.Active(), true)
	unregister(t, b)
	wantEqual(t, "active with none", e.Active(), false)
	verdict, met := run(e)
	wantEqual(t, "verdict", verdict, hooks.Accept)
	wantEqual(t, "met", met, "")
	wantCounts(t, e, 2, 2, 0)
}

func TestCase075_PacketReplaced(t *testing.T) {
	e := newEvent(t)
	register(t, e, hooks.Hook[*packet]{Name: "h1", Func: func(p *packet) hooks.Verdict {
		p.data = "new"
		return hooks.Accept
	}})
	var saw string
	register(t, e, hooks.Hook[*packet]{Name: "h2", Func: func(p *packet) hooks.Verdict {
		saw = p.data
		return hooks.Accept
	}})
	p := &packet{data: "old"}
	wantEqual(t, "verdict", e.Run(0, p), hooks.Accept)
	wantEqual(t, "h2 saw", saw, "new")
	wantEqual(t, "the provider sees", p.data, "new")
	wantEqual(t, "hook_hits", hits(e), []uint64{1, 1})
	wantCounts(t, e, 2, 0, 1)
}

// blocking returns a hook that says when it is called, and returns when told.
func blocking(name string, v hooks.Verdict) (h hooks.Hook[*packet], entered chan struct{}, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	return hooks.Hook[*packet]{Name: name, Func: func(*packet) hooks.Verdict {
		entered <- struct{}{}
		<-release
		return v
	}}, entered, release
}

func TestCase076_UnregisterWaits(t *testing.T) {
	e := newEvent(t)
	hook, entered, release := blocking("h", hooks.Drop)
	h := register(t, e, hook)
	var all sync.WaitGroup
	all.Go(func() { e.Run(0, &packet{}) })
	<-entered

	returned := make(chan struct{})
	all.Go(func() {
		unregister(t, h)
		close(returned)
	})
	for e.Active() { // until Unregister has taken it away
		runtime.Gosched()
	}
	select {
	case <-returned:
		t.Error("returned while the hook was running")
	default:
	}
	verdict, _ := run(e) // does not meet it any more
	wantEqual(t, "verdict", verdict, hooks.Accept)
	wantCounts(t, e, 1, 1, 0)
	release <- struct{}{}
	<-returned
	all.Wait()
	wantCounts(t, e, 1, 1, 1)
}

func TestCase077_RunsInParallel(t *testing.T) {
	e := newEvent(t)
	hook, entered, release := blocking("h", hooks.Accept)
	h := register(t, e, hook)
	var all sync.WaitGroup
	for slot := range uint32(2) {
		all.Go(func() { e.Run(slot, &packet{}) })
	}
	<-entered
	<-entered // both are inside
	wantCounts(t, e, 1, 0, 0)
	close(release)
	all.Wait()
	wantCounts(t, e, 1, 0, 2)
	wantEqual(t, "hook_hits", hits(e), []uint64{2})
	unregister(t, h)
	wantCounts(t, e, 1, 1, 2)
}

func TestCase078_HookRemovesItself(t *testing.T) {
	e := newEvent(t)
	var self *hooks.Handle
	var gone <-chan struct{}
	self = register(t, e, hooks.Hook[*packet]{Name: "self", Func: func(p *packet) hooks.Verdict {
		p.met = append(p.met, "self")
		wantError(t, self.Unregister(), hooks.ErrInHook)
		var err error
		if gone, err = self.Retire(); err != nil {
			t.Error(err)
		}
		select {
		case <-gone:
			t.Error("gone while it is running")
		default:
		}
		return hooks.Accept
	}})
	register(t, e, marking("b"))
	_, met := run(e)
	wantEqual(t, "met", met, "self b")
	<-gone
	_, met = run(e)
	wantEqual(t, "met", met, "b")
	wantError(t, self.Unregister(), hooks.ErrGone, syscall.ESRCH)
	_, err := self.Retire()
	wantError(t, err, hooks.ErrGone, syscall.ESRCH)
	wantEqual(t, "hook_hits", hits(e), []uint64{2})
	wantCounts(t, e, 2, 1, 2)
}

func TestCase079_ReadsInsideHook(t *testing.T) {
	e := newEvent(t)
	hook, entered, release := blocking("reader", hooks.Accept)
	block := hook.Func
	hook.Func = func(p *packet) hooks.Verdict {
		block(p)
		// Somebody waits in Unregister now.
		s := e.Family().Stack()
		f, err := s.Family("inet")
		if err != nil {
			t.Error(err)
			return hooks.Drop
		}
		if found, err := hooks.FindEvent[*packet](f, "PHYSICAL_IN"); found != e || err != nil {
			t.Error(found, err)
		}
		for f := range s.Families() {
			wantEqual(t, "family", f.Stats().Name, "inet")
		}
		wantEqual(t, "leftovers", len(s.Leftovers()), 2) // family, event
		wantEqual(t, "instance", s.Stats().Instance, hooks.InstanceID(3))
		wantEqual(t, "removed", e.Stats().HooksRemoved, uint64(1))
		return hooks.Accept
	}
	h := register(t, e, hook)
	var all sync.WaitGroup
	all.Go(func() { e.Run(0, &packet{}) })
	<-entered
	all.Go(func() { unregister(t, h) })
	for e.Active() {
		runtime.Gosched()
	}
	close(release)
	all.Wait()
	wantCounts(t, e, 1, 1, 1)
}

func TestCase080_BusyEventRemoved(t *testing.T) {
	e := newEvent(t)
	f := e.Family()
	var r recorder
	h := register(t, e, marking("h"))
	n := notify(t, e, "n", r.callback)
	if err := e.Remove(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Register(marking("late"))
	wantError(t, err, hooks.ErrShutdown, syscall.ESHUTDOWN)
	_, err = e.Notify("late", r.callback)
	wantError(t, err, hooks.ErrShutdown)
	// It is still there, and its name taken.
	found, err := hooks.FindEvent[*packet](f, "PHYSICAL_IN")
	if found != e || err != nil {
		t.Error(found, err)
	}
	_, err = hooks.AddEvent[*packet](f, hooks.EventConfig{Name: "PHYSICAL_IN"})
	wantError(t, err, hooks.ErrExists)
	if err := e.Remove(); err != nil { // says nothing new
		t.Error(err)
	}
	_, met := run(e)
	wantEqual(t, "met", met, "h")
	wantCounts(t, e, 1, 0, 1)

	unregister(t, h)
	if _, err := hooks.FindEvent[*packet](f, "PHYSICAL_IN"); err != nil {
		t.Error(err)
	}
	unregister(t, n)
	_, err = hooks.FindEvent[*packet](f, "PHYSICAL_IN")
	wantError(t, err, hooks.ErrNotFound, syscall.ENXIO)
	wantError(t, e.Remove(), hooks.ErrGone)
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/h -inet/PHYSICAL_IN/h")
	addEvent(t, f, "PHYSICAL_IN") // the name is free
	wantCounts(t, e, 1, 1, 1)
}

func TestCase081_BusyFamilyRemoved(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")
	var r recorder
	h := register(t, e, marking("h"))
	onFamily, onEvent := notify(t, f, "n", r.callback), notify(t, e, "n", r.callback)
	for _, remove := range []func() error{e.Remove, f.Remove, s.Remove} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN +inet/PHYSICAL_IN/h -inet/PHYSICAL_IN")
	wantEqual(t, "leftovers", s.Leftovers(), []string{"notifier inet/n", "notifier inet/PHYSICAL_IN/n", "hook inet/PHYSICAL_IN/h"})
	_, err := s.Family("inet")
	wantError(t, err, hooks.ErrShutdown)
	if err := f.Remove(); err != nil { // condemned twice
		t.Error(err)
	}
	for _, leave := range []interface{ Unregister() error }{onEvent, h, onFamily} {
		select {
		case <-s.Gone():
			t.Error("gone while it was busy")
		default:
		}
		unregister(t, leave)
	}
	<-s.Gone()
	wantError(t, f.Remove(), hooks.ErrNotFound, syscall.ENXIO)
	wantError(t, f.Shutdown(), hooks.ErrNotFound)
	wantError(t, s.Remove(), hooks.ErrGone)
	wantError(t, s.Shutdown(), hooks.ErrGone)
	wantEqual(t, "leftovers", len(s.Leftovers()), 0)
	wantCounts(t, e, 1, 1, 0)
}

func TestCase082_Kstats(t *testing.T) {
	e := newEvent(t)
	register(t, e, marking("a"))
	b := register(t, e, marking("b"))
	register(t, e, marking("c"))
	positions := func() (list []int32) {
		for _, h := range e.Stats().Hooks {
			list = append(list, h.Position)
		}
		return list
	}
	wantEqual(t, "positions", positions(), []int32{1, 2, 3})
	unregister(t, b)
	wantEqual(t, "order", names(e), "a c")
	wantEqual(t, "positions", positions(), []int32{1, 2})
	wantCounts(t, e, 3, 1, 0)
}

func TestCase083_HintValue(t *testing.T) {
	e := newEvent(t)
	h := hinted("none", hooks.HintNone, "ignored")
	register(t, e, h)
	register(t, e, hinted("before", hooks.HintBefore, "x"))
	register(t, e, hinted("after", hooks.HintAfter, "x"))
	register(t, e, hinted("first", hooks.HintFirst, "ignored"))
	values := map[string]string{}
	for _, h := range e.Stats().Hooks {
		values[h.Hook] = h.HintValue
	}
	wantEqual(t, "hint_value", values, map[string]string{"none": "<none>", "before": "x", "after": "x", "first": "<none>"})
	wantEqual(t, "order", names(e), "first none before after")
}

func TestCase084_EventNameTaken(t *testing.T) {
	e := newEvent(t)
	_, err := hooks.AddEvent[*packet](e.Family(), hooks.EventConfig{Name: "PHYSICAL_IN"})
	wantError(t, err, hooks.ErrExists, syscall.EEXIST)
	_, err = hooks.AddEvent[int](e.Family(), hooks.EventConfig{Name: "PHYSICAL_IN"})
	wantError(t, err, hooks.ErrExists)
	wantEqual(t, "events", len(e.Family().Stats().Events), 1)
	addEvent(t, addFamily(t, e.Family().Stack(), "inet6"), "PHYSICAL_IN")
}

// TestKstatNames shows the names and fields of specification 5.4.
func TestKstatNames(t *testing.T) {
	e := newEvent(t)
	h := hinted("fw", hooks.HintBefore, "nat")
	h.Flags = hooks.FlagSegments
	register(t, e, h)
	run(e)
	got, err := json.MarshalIndent(e.Family().Stack().Stats(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "instance": 3,
 "families": [
  {
   "name": "inet",
   "events": [
    {
     "name": "inet:0:PHYSICAL_IN",
     "event": "PHYSICAL_IN",
     "hooksAdded": 1,
     "hooksRemoved": 0,
     "events": 1,
     "panics": 0,
     "hooks": [
      {
       "name": "inet/PHYSICAL_IN:0:fw",
       "hook": "fw",
       "version": 1,
       "flags": 2,
       "hint": 3,
       "hint_value": "nat",
       "position": 1,
       "hook_hits": 1,
       "panics": 0,
       "disabled": false
      }
     ]
    }
   ]
  }
 ]
}`
	wantEqual(t, "kstats", strings.Split(string(got), "\n"), strings.Split(want, "\n"))
	wantEqual(t, "flags", e.Flags(), hooks.FlagSegments)
	wantEqual(t, "names", slices.Sorted(slices.Values([]string{e.Name(), e.Family().Name()})), []string{"PHYSICAL_IN", "inet"})
}
