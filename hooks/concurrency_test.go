// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/soaktest"
)

// Two hooks that take each other away while both are running.
func TestHooksRemoveEachOther(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	events := []*hooks.Event[*packet]{addEvent(t, f, "PHYSICAL_IN"), addEvent(t, f, "PHYSICAL_OUT")}
	handles := make([]*hooks.Handle, 2)
	gone := make([]<-chan struct{}, 2)
	var inside sync.WaitGroup // both are inside
	inside.Add(2)
	for i, e := range events {
		handles[i] = register(t, e, hooks.Hook[*packet]{Name: "h", Func: func(*packet) hooks.Verdict {
			inside.Done()
			inside.Wait()
			other := 1 - i
			wantError(t, handles[other].Unregister(), hooks.ErrInHook)
			var err error
			if gone[other], err = handles[other].Retire(); err != nil {
				t.Error(err)
			}
			return hooks.Accept
		}})
	}
	var all sync.WaitGroup
	for _, e := range events {
		all.Go(func() { e.Run(0, &packet{}) })
	}
	all.Wait()
	for i, e := range events {
		<-gone[i]
		wantCounts(t, e, 1, 1, 1)
		wantEqual(t, "active", e.Active(), false)
	}
}

// Retire does not wait for another goroutine's delivery; that goroutine
// delivers what Retire has queued.
func TestRetireDoesNotWait(t *testing.T) {
	e := newEvent(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var r recorder
	notify(t, e, "slow", func(n hooks.Notification) {
		if n.Hook == "slow" {
			close(entered)
			<-release
		}
	})
	notify(t, e, "r", r.callback)
	h := register(t, e, marking("h"))
	var all sync.WaitGroup
	all.Go(func() { register(t, e, marking("slow")) })
	<-entered
	gone, err := h.Retire()
	if err != nil {
		t.Fatal(err)
	}
	<-gone
	wantEqual(t, "list", names(e), "slow")
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/h")
	close(release)
	all.Wait()
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/slow -inet/PHYSICAL_IN/h")
}

// A hook may change everything but wait. The chain it is in goes on.
func TestChangesInHook(t *testing.T) {
	e := newEvent(t)
	var r recorder
	notify(t, e, "r", r.callback)
	once := sync.OnceFunc(func() {
		f := e.Family()
		register(t, e, marking("later"))
		other := addEvent(t, f, "PHYSICAL_OUT")
		register(t, other, marking("x"))
		_, met := run(other)
		wantEqual(t, "met", met, "x")
		if err := other.Remove(); err != nil {
			t.Error(err)
		}
		addFamily(t, f.Stack(), "inet6")
	})
	register(t, e, hooks.Hook[*packet]{Name: "h", Func: func(p *packet) hooks.Verdict {
		once()
		p.met = append(p.met, "h")
		return hooks.Accept
	}})
	_, met := run(e)
	wantEqual(t, "met", met, "h")
	_, met = run(e)
	wantEqual(t, "met", met, "h later")
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/h +inet/PHYSICAL_IN/later")
	wantCounts(t, e, 2, 0, 2)
}

// Unregister finds out that it is inside a hook however deep it is called, and
// in a hook of another event type; and that it is not.
func TestInHook(t *testing.T) {
	e := newEvent(t)
	victim := register(t, e, marking("victim"))
	var deep func(n int) error
	deep = func(n int) error {
		if n > 0 {
			return deep(n - 1)
		}
		return victim.Unregister()
	}
	type value struct{ a, b int }
	other, err := hooks.AddEvent[value](e.Family(), hooks.EventConfig{Name: "VALUES"})
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []int{0, 50, 60, 61, 62, 63, 64, 65, 130, 1000} {
		h, err := other.Register(hooks.Hook[value]{Name: "h", Func: func(value) hooks.Verdict {
			wantError(t, deep(depth), hooks.ErrInHook)
			return hooks.Accept
		}})
		if err != nil {
			t.Fatal(err)
		}
		other.Run(0, value{1, 2})
		unregister(t, h)
	}
	if err := deep(1000); err != nil {
		t.Error(err)
	}
}

// TestStress lets four goroutines change things at all levels while four run
// packets. Sentinels in the hooks show that no removed hook runs, and that no
// run sees half a list; the counters must be exact at the end.
func TestStress(t *testing.T) { stress(t, 250) }

// TestSoakStress does so until HOOKNET_SOAK is over.
func TestSoakStress(t *testing.T) {
	for deadline := time.Now().Add(soaktest.Time(t, 0)); time.Now().Before(deadline); {
		stress(t, 1000)
	}
}

func stress(t *testing.T, rounds int) {
	s := hooks.NewStack(hooks.StackConfig{Stripes: 2}) // four runners share two
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")

	// Hooks that stay: one at each end, and one in the middle that drops
	// every seventh packet.
	var calls [3]atomic.Uint64
	stays := func(i int, name string, hint hooks.Hint) {
		register(t, e, hooks.Hook[*packet]{Name: name, Hint: hint, Func: func(p *packet) hooks.Verdict {
			p.met = append(p.met, name)
			if n := calls[i].Add(1); name == "drop" && n%7 == 0 {
				return hooks.Drop
			}
			return hooks.Accept
		}})
	}
	stays(0, "first", hooks.HintFirst)
	stays(1, "drop", hooks.HintNone)
	stays(2, "last", hooks.HintLast)

	// A hook that comes and goes. gone is set when nobody may run it.
	passing := func(name string, hint hooks.Hint, target string) (h *hooks.Handle, gone *atomic.Bool) {
		gone = new(atomic.Bool)
		h = register(t, e, hooks.Hook[*packet]{Name: name, Hint: hint, HintValue: target, Func: func(p *packet) hooks.Verdict {
			if gone.Load() {
				t.Errorf("%s runs after it was removed", name)
			}
			p.met = append(p.met, name)
			return hooks.Accept
		}})
		return h, gone
	}
	leave := func(round int, h *hooks.Handle, gone *atomic.Bool) {
		if round%2 == 0 {
			unregister(t, h)
		} else {
			ended, err := h.Retire()
			if err != nil {
				t.Error(err)
			}
			<-ended
		}
		gone.Store(true)
	}

	var writers, runners sync.WaitGroup
	var stop atomic.Bool
	for w := range 4 {
		writers.Go(func() {
			for round := range rounds {
				// b is there only while a is, and stands before it.
				nameA, nameB := fmt.Sprint("a", w), fmt.Sprint("b", w)
				a, aGone := passing(nameA, hooks.HintNone, "")
				b, bGone := passing(nameB, hooks.HintBefore, nameA)

				pairs := newPairing(t)
				family := addFamily(t, s, fmt.Sprint("family", w))
				own := addEvent(t, family, "EVENT")
				notifiers := []*hooks.Notifier{
					notify(t, s, fmt.Sprint(w), pairs.callback), notify(t, f, fmt.Sprint(w), pairs.callback),
					notify(t, e, fmt.Sprint(w), pairs.callback), notify(t, own, fmt.Sprint(w), pairs.callback),
				}
				ownHook := register(t, own, marking("h"))
				run(own)
				s.Stats()
				unregister(t, ownHook)
				for _, n := range notifiers {
					unregister(t, n)
				}
				for _, remove := range []func() error{own.Shutdown, own.Remove, family.Remove} {
					if err := remove(); err != nil {
						t.Error(err)
					}
				}
				pairs.done()

				leave(round, b, bGone)
				leave(round, a, aGone)
			}
		})
	}
	var ran, accepted atomic.Uint64
	for slot := range uint32(4) {
		runners.Go(func() {
			p := &packet{}
			for !stop.Load() {
				p.met = p.met[:0]
				if e.Run(slot, p) == hooks.Accept {
					accepted.Add(1)
					met := p.met
					if met[0] != "first" || met[len(met)-1] != "last" {
						t.Errorf("met %v", met)
					}
					for w := range 4 {
						a, b := slices.Index(met, fmt.Sprint("a", w)), slices.Index(met, fmt.Sprint("b", w))
						if b >= 0 && a < b {
							t.Errorf("met %v", met)
						}
					}
				}
				if sorted := slices.Sorted(slices.Values(p.met)); len(slices.Compact(sorted)) != len(p.met) {
					t.Errorf("met %v", p.met)
				}
				ran.Add(1)
				if ran.Load()%64 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	// Who reads the counters meanwhile never sees one go back or run ahead.
	runners.Go(func() {
		var last hooks.EventStats
		for !stop.Load() {
			now := e.Stats()
			if now.Events < last.Events || now.HooksAdded < last.HooksAdded || now.HooksRemoved < last.HooksRemoved {
				t.Errorf("counters went from %+v to %+v", last, now)
			}
			for _, h := range now.Hooks {
				i := slices.Index([]string{"first", "drop", "last"}, h.Hook)
				if i >= 0 && h.Hits > calls[i].Load() {
					t.Errorf("%d hook_hits of %s after %d calls", h.Hits, h.Hook, calls[i].Load())
				}
				before := slices.IndexFunc(last.Hooks, func(o hooks.HookStats) bool { return o.Hook == h.Hook })
				if i >= 0 && before >= 0 && h.Hits < last.Hooks[before].Hits {
					t.Errorf("hook_hits of %s went from %d to %d", h.Hook, last.Hooks[before].Hits, h.Hits)
				}
			}
			last = now
		}
	})
	writers.Wait()
	stop.Store(true)
	runners.Wait()

	wantEqual(t, "list", names(e), "first drop last")
	wantCounts(t, e, uint64(3+8*rounds), uint64(8*rounds), ran.Load())
	wantEqual(t, "hook_hits", hits(e), []uint64{calls[0].Load(), calls[1].Load(), calls[2].Load()})
	wantEqual(t, "accepted", accepted.Load(), calls[2].Load())
	wantEqual(t, "families", len(s.Stats().Families), 1)
}

// TestUnregisterReturns lets one goroutine register and unregister as fast as
// it can while others run the event on the same stripe: every Unregister must
// notice that the runs have left, also those that only looked in.
func TestUnregisterReturns(t *testing.T) {
	const rounds = 5000
	e := newEvent(t)
	var stop atomic.Bool
	var runners sync.WaitGroup
	for range 4 {
		runners.Go(func() {
			for p := new(packet); !stop.Load(); {
				e.Run(0, p)
			}
		})
	}
	for range rounds {
		unregister(t, register(t, e, hooks.Hook[*packet]{Name: "h", Func: func(*packet) hooks.Verdict { return hooks.Accept }}))
	}
	stop.Store(true)
	runners.Wait()
	wantCounts(t, e, rounds, rounds, e.Stats().Events)
}

// A pairing checks that every child is registered once, then unregistered once.
type pairing struct {
	t  *testing.T
	mu sync.Mutex
	on map[string]bool
}

func newPairing(t *testing.T) *pairing { return &pairing{t: t, on: map[string]bool{}} }

func (p *pairing) callback(n hooks.Notification) {
	p.mu.Lock()
	defer p.mu.Unlock()
	child := strings.TrimLeft(short(n), "+-")
	if registered := n.Command == hooks.CommandRegister; p.on[child] == registered {
		p.t.Errorf("%s %s twice", n.Command, child)
	} else {
		p.on[child] = registered
	}
}

// done checks that nothing is registered any more.
func (p *pairing) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for child, registered := range p.on {
		if registered {
			p.t.Errorf("%s was not unregistered", child)
		}
	}
}
