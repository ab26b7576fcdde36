// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/soaktest"
)

// TestConcurrentHistories lets clients change one event at the same time and
// lets porcupine look for an order of their calls in which a sequential model
// gives the same answers.
func TestConcurrentHistories(t *testing.T) {
	checkHistories(t, 0, 100)
}

// TestSoakHistories does so with 1,000 histories, and then until HOOKNET_SOAK
// (as "10m") is over.
func TestSoakHistories(t *testing.T) {
	deadline := time.Now().Add(soaktest.Time(t, 0))
	checkHistories(t, 100, 1100)
	for seed := uint64(1100); time.Now().Before(deadline); seed += 1000 {
		checkHistories(t, seed, seed+1000)
	}
}

func checkHistories(t *testing.T, from, to uint64) {
	overlaps := 0
	for seed := from; seed < to; seed++ {
		operations := concurrentHistory(t, seed)
		overlaps += countOverlaps(operations)
		if result := porcupine.CheckOperationsTimeout(eventModel, operations, 20*time.Second); result != porcupine.Ok {
			for _, op := range operations {
				t.Log(op.Call, op.Return, op.ClientId, eventModel.DescribeOperation(op.Input, op.Output))
			}
			t.Fatalf("history %d: %s", seed, result)
		}
	}
	t.Logf("%d histories, %d pairs of calls at the same time", to-from, overlaps)
	if overlaps < int(to-from) {
		t.Errorf("only %d pairs of calls at the same time in %d histories", overlaps, to-from)
	}
}

// countOverlaps returns how many pairs of operations ran at the same time.
func countOverlaps(operations []porcupine.Operation) (n int) {
	for i, a := range operations {
		for _, b := range operations[:i] {
			if a.ClientId != b.ClientId && a.Call < b.Return && b.Call < a.Return {
				n++
			}
		}
	}
	return n
}

// A call is one call of a client.
type call struct {
	op   string
	hook modelHook // register
	id   int       // of the registration that is made, or taken away
}

// An answer is what a call returned.
type answer struct {
	err  error    // the sentinel
	list []string // what was met, listed or told
}

// A registryState is what the sequential model knows of the event.
type registryState struct {
	hooks    []modelHook // in running order
	ids      []int       // theirs
	shutdown bool
}

func (s registryState) names(prefix string) (list []string) {
	for _, h := range s.hooks {
		list = append(list, prefix+h.name)
	}
	return list
}

// eventModel is the sequential model.
var eventModel = porcupine.Model{
	Init: func() any { return registryState{} },
	Equal: func(a, b any) bool {
		x, y := a.(registryState), b.(registryState)
		return x.shutdown == y.shutdown && slices.Equal(x.hooks, y.hooks) && slices.Equal(x.ids, y.ids)
	},
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%+v -> %+v", input, output)
	},
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(registryState), input.(call), output.(answer)
		switch in.op {
		case "register":
			next, want := s.register(in.hook, in.id)
			return out.err == want, next
		case "unregister", "retire":
			i := slices.Index(s.ids, in.id)
			if i < 0 {
				return out.err == hooks.ErrGone, s
			}
			next := registryState{slices.Delete(slices.Clone(s.hooks), i, i+1), slices.Delete(slices.Clone(s.ids), i, i+1), s.shutdown}
			return out.err == nil, next
		case "run", "lookup":
			return slices.Equal(out.list, s.names("")), s
		case "notify":
			// Told of all hooks first, then of later changes.
			want := s.names("+")
			if s.shutdown {
				return out.err == hooks.ErrShutdown, s
			}
			return out.err == nil && len(out.list) >= len(want) && slices.Equal(out.list[:len(want)], want), s
		case "leave":
			// Told of changes first, then that all hooks are gone.
			want := s.names("-")
			return out.err == nil && len(out.list) >= len(want) && slices.Equal(out.list[len(out.list)-len(want):], want), s
		case "shutdown":
			s.shutdown = true
			return out.err == nil, s
		}
		panic(in.op)
	},
}

// register returns the state after registering h, and the error.
func (s registryState) register(h modelHook, id int) (registryState, error) {
	switch {
	case s.shutdown:
		return s, hooks.ErrShutdown
	case slices.ContainsFunc(s.hooks, func(o modelHook) bool { return o.name == h.name }):
		return s, hooks.ErrExists
	}
	placed := modelPlace(s.hooks, h)
	if placed == nil {
		return s, hooks.ErrBusy
	}
	ids := make([]int, len(placed))
	for i, o := range placed {
		ids[i] = id
		if o.name != h.name {
			ids[i] = s.ids[slices.Index(s.hooks, o)]
		}
	}
	return registryState{placed, ids, false}, nil
}

// sentinel returns which of the errors of the package err is.
func sentinel(err error) error {
	for _, s := range []error{hooks.ErrInvalid, hooks.ErrExists, hooks.ErrBusy, hooks.ErrShutdown, hooks.ErrGone} {
		if errors.Is(err, s) {
			return s
		}
	}
	return err
}

// concurrentHistory makes 4 clients call 8 random operations each.
func concurrentHistory(t *testing.T, seed uint64) []porcupine.Operation {
	const clients, calls = 4, 8
	var (
		e       = newEvent(t)
		start   = time.Now()
		mu      sync.Mutex // guards what follows
		handles = map[int]*hooks.Handle{}
		lastID  int
		history []porcupine.Operation
	)
	client := func(number int) {
		random := rand.New(rand.NewPCG(seed, uint64(number)))
		var notifier *hooks.Notifier
		var told recorder
		for range calls {
			in, do := call{op: "run"}, func() answer {
				_, met := run(e)
				return answer{list: strings.Fields(met)}
			}
			switch choice := random.IntN(20); {
			case choice < 7:
				mu.Lock()
				lastID++
				in = call{"register", randomHook(random), lastID}
				mu.Unlock()
				do = func() answer {
					hook := hinted(in.hook.name, in.hook.hint, in.hook.value)
					mark := hook.Func
					hook.Func = func(p *packet) hooks.Verdict {
						runtime.Gosched() // let others change things meanwhile
						return mark(p)
					}
					h, err := e.Register(hook)
					if err == nil {
						mu.Lock()
						handles[in.id] = h
						mu.Unlock()
					}
					return answer{err: sentinel(err)}
				}
			case choice < 12: // any client's, perhaps at the same time as another client
				mu.Lock()
				in = call{op: "unregister", id: 1 + random.IntN(max(1, lastID))}
				h := handles[in.id]
				mu.Unlock()
				if h == nil {
					continue
				}
				do = func() answer { return answer{err: sentinel(h.Unregister())} }
				if random.IntN(2) == 0 {
					in.op = "retire"
					do = func() answer {
						gone, err := h.Retire()
						if err == nil {
							<-gone
						}
						return answer{err: sentinel(err)}
					}
				}
			case choice < 14:
				in.op = "lookup"
				do = func() answer { return answer{list: strings.Fields(names(e))} }
			case choice < 17 && notifier == nil:
				in.op = "notify"
				do = func() answer {
					var err error
					notifier, err = e.Notify(fmt.Sprint(number), func(n hooks.Notification) {
						runtime.Gosched()
						told.callback(n)
					})
					return answer{sentinel(err), hookNames(told.take())}
				}
			case choice < 17:
				in.op = "leave"
				do = func() answer {
					err := notifier.Unregister()
					notifier = nil
					return answer{sentinel(err), hookNames(told.take())}
				}
			case choice == 17 && random.IntN(4) == 0:
				in.op = "shutdown"
				do = func() answer { return answer{err: sentinel(e.Shutdown())} }
			}
			runtime.Gosched()
			called := time.Since(start)
			out := do()
			returned := time.Since(start)
			mu.Lock()
			history = append(history, porcupine.Operation{
				ClientId: number, Input: in, Output: out, Call: int64(called), Return: int64(returned),
			})
			mu.Unlock()
		}
	}
	var all, ready sync.WaitGroup
	ready.Add(clients)
	for number := range clients {
		all.Go(func() {
			ready.Done()
			ready.Wait()
			client(number)
		})
	}
	all.Wait()
	return history
}

func randomHook(random *rand.Rand) modelHook {
	pool := []string{"a", "b", "c", "d", "x"}
	h := modelHook{name: pool[random.IntN(len(pool))], hint: hooks.Hint(random.IntN(5))}
	if h.hint == hooks.HintBefore || h.hint == hooks.HintAfter {
		for h.value = h.name; h.value == h.name; {
			h.value = pool[random.IntN(len(pool))]
		}
	}
	return h
}

// hookNames shortens "+inet/PHYSICAL_IN/a -inet/PHYSICAL_IN/b" to "+a -b".
func hookNames(told string) []string {
	return strings.Fields(strings.ReplaceAll(told, "inet/PHYSICAL_IN/", ""))
}
