// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// watch observes e and returns a function that takes what was seen.
func watch(e *hooks.Event[*packet]) (take func() []string) {
	var seen []string
	e.Observe(func(p hooks.Probe[*packet]) {
		line := p.Point.String()
		if p.Hook != "" {
			line += " " + p.Hook
		}
		if p.Point == hooks.ProbeHookEnd || p.Point == hooks.ProbeRunEnd {
			line += " " + p.Verdict.String()
		}
		seen = append(seen, fmt.Sprintf("%s, met %d", line, len(p.Context.met)))
	})
	return func() []string {
		defer func() { seen = nil }()
		return seen
	}
}

func TestObserver(t *testing.T) {
	e, book := newLoggedEvent(t, hooks.EventConfig{})
	take := watch(e)
	run(e)
	wantEqual(t, "with no hook", len(take()), 0)

	a := register(t, e, marking("a"))
	run(e)
	wantEqual(t, "with one", take(), []string{"run start, met 0", "hook start a, met 0", "hook end a accept, met 1", "run end accept, met 1"})

	drop := register(t, e, answering("drop", hooks.DropWith(16)))
	register(t, e, marking("b"))
	run(e)
	wantEqual(t, "dropped", take(), []string{
		"run start, met 0", "hook start a, met 0", "hook end a accept, met 1",
		"hook start drop, met 1", "hook end drop drop(reason_16), met 2", "run end drop(reason_16), met 2",
	})
	wantEqual(t, "hook_hits", hits(e), []uint64{2, 1, 0})

	unregister(t, drop)
	unregister(t, a)
	bad := register(t, e, panicking("bad", 0))
	run(e)
	wantEqual(t, "panicked", take(), []string{
		"run start, met 0", "hook start b, met 0", "hook end b accept, met 1",
		"hook start bad, met 1", "hook end bad drop(panic), met 2", "run end drop(panic), met 2",
	})
	book.take(t)
	unregister(t, bad)

	e.Observe(nil)
	_, met := run(e)
	wantEqual(t, "met", met, "b")
	wantEqual(t, "not observed", len(take()), 0)
	wantCounts(t, e, 4, 3, 4)
}

// An observer that panics is turned off and blames no hook.
func TestObserverPanics(t *testing.T) {
	for point := hooks.ProbeRunStart; point <= hooks.ProbeRunEnd; point++ {
		t.Run(point.String(), func(t *testing.T) {
			e, book := newLoggedEvent(t, hooks.EventConfig{})
			register(t, e, marking("a"))
			probes := 0
			e.Observe(func(p hooks.Probe[*packet]) {
				probes++
				if p.Point >= point {
					panic("no")
				}
			})
			// The run it is in still reports to it.
			verdict, met := run(e)
			wantEqual(t, "verdict", verdict, hooks.Accept)
			wantEqual(t, "met", met, "a")
			wantEqual(t, "probes", probes, 4)
			run(e)
			wantEqual(t, "probes", probes, 4)
			wantEqual(t, "log", book.take(t), []string{"observer panicked: " + point.String()})
			wantEqual(t, "panics", e.Stats().Panics, uint64(0))
			wantEqual(t, "hook_hits", hits(e), []uint64{2})
		})
	}
}

func TestNames(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"accept":          hooks.Accept,
		"steal":           hooks.Steal,
		"drop":            hooks.Drop,
		"drop(disabled)":  hooks.DropWith(hooks.ReasonDisabled),
		"drop(verdict)":   hooks.DropWith(hooks.ReasonVerdict),
		"Verdict(196608)": hooks.Verdict(3 << 16),
		"none":            hooks.ReasonNone,
		"panic":           hooks.ReasonPanic,
		"reason_16":       hooks.FirstFreeReason,
		"first":           hooks.HintFirst,
		"last":            hooks.HintLast,
		"before":          hooks.HintBefore,
		"after":           hooks.HintAfter,
		"Hint(99)":        hooks.Hint(99),
		"register":        hooks.CommandRegister,
		"unregister":      hooks.CommandUnregister,
		"run start":       hooks.ProbeRunStart,
		"hook start":      hooks.ProbeHookStart,
		"hook end":        hooks.ProbeHookEnd,
		"run end":         hooks.ProbeRunEnd,
		"ProbePoint(0)":   hooks.ProbePoint(0),
	} {
		wantEqual(t, fmt.Sprintf("%T", got), got.String(), want)
	}
	wantEqual(t, "no hint", hooks.HintNone.String(), "none")
	wantEqual(t, "no command", hooks.CommandNone.String(), "none")
}

// What a run makes of every kind of answer.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct{ answer, want, action hooks.Verdict }{
		{0, hooks.Drop, hooks.Drop},
		{hooks.Drop, hooks.Drop, hooks.Drop},
		{7, hooks.DropWith(7), hooks.Drop},
		{hooks.DropWith(65535), hooks.DropWith(65535), hooks.Drop},
		{hooks.Accept, hooks.Accept, hooks.Accept},
		{hooks.Steal, hooks.Steal, hooks.Steal},
		{hooks.Accept + 1, hooks.DropWith(hooks.ReasonVerdict), hooks.Drop},
		{hooks.Steal + 1, hooks.DropWith(hooks.ReasonVerdict), hooks.Drop},
		{3 << 16, hooks.DropWith(hooks.ReasonVerdict), hooks.Drop},
		{1<<32 - 1, hooks.DropWith(hooks.ReasonVerdict), hooks.Drop},
	} {
		e := newEvent(t)
		register(t, e, answering("h", c.answer))
		register(t, e, marking("next"))
		verdict, met := run(e)
		wantEqual(t, "verdict of "+c.answer.String(), verdict, c.want)
		wantEqual(t, "action of "+c.answer.String(), c.answer.Action(), c.action)
		wantEqual(t, "goes on after "+c.answer.String(), strings.Contains(met, "next"), c.answer == hooks.Accept)
	}
}

// Counters never go back, not even for who reads them in the middle of a run.
func TestCountersNeverGoBack(t *testing.T) {
	e := newEvent(t)
	verdict := hooks.Accept
	register(t, e, hooks.Hook[*packet]{Name: "a", Func: func(*packet) hooks.Verdict { return verdict }})
	register(t, e, marking("b"))
	var seen [][]uint64
	e.Observe(func(p hooks.Probe[*packet]) {
		if p.Point == hooks.ProbeRunEnd {
			seen = append(seen, hits(e)) // this run does not count yet
		}
	})
	run(e)
	wantEqual(t, "hook_hits", hits(e), []uint64{1, 1})
	verdict = hooks.Drop
	run(e)
	run(e)
	wantEqual(t, "hook_hits at the end of each run", seen, [][]uint64{{0, 0}, {1, 1}, {2, 1}})
	wantEqual(t, "hook_hits", hits(e), []uint64{3, 1})
	wantCounts(t, e, 2, 0, 3)
}

// An observer sees runs that pass a hook over, without that hook.
func TestObserverRunExcept(t *testing.T) {
	e := newEvent(t)
	a := register(t, e, marking("a"))
	register(t, e, marking("b"))
	take := watch(e)
	wantEqual(t, "verdict", e.RunExcept(0, &packet{}, a), hooks.Accept)
	wantEqual(t, "seen", take(), []string{"run start, met 0", "hook start b, met 0", "hook end b accept, met 1", "run end accept, met 1"})
	wantEqual(t, "hook_hits", hits(e), []uint64{0, 1})
	wantCounts(t, e, 2, 0, 1)
}
