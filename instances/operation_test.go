// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
)

// Each of n callbacks, on a goroutine of its own, unregisters the descriptor of the next one: the last to try would close
// the circle and is refused, all others wait for it and succeed.
func TestCircleOfUnregister(t *testing.T) {
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			circle(t, n, func(m *instances.Manager, all []*instances.Registration, next int) error {
				return all[next].Unregister()
			})
		})
	}
}

// The same with a new instance in each callback, so that the circle goes through callbacks inside callbacks.
func TestCircleOfUnregisterInInnerCallback(t *testing.T) {
	for n := 1; n <= 3; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			circle(t, n, func(m *instances.Manager, all []*instances.Registration, next int) (err error) {
				r, e := m.Register(instances.Descriptor{
					Name: fmt.Sprint("inner", next),
					Create: func(i *netstack.Instance) (any, error) {
						if i.Name() == "extra" {
							err = all[next].Unregister()
						}
						return "context", nil
					},
					Destroy: func(*netstack.Instance, any) {},
				})
				return errors.Join(e, err, r.Unregister())
			}, "extra")
		})
	}
}

// circle makes n instances at the same time, with one descriptor for each, whose callbacks meet and then do something to
// each other. Exactly one of them must be refused.
func circle(t *testing.T, n int, do func(m *instances.Manager, all []*instances.Registration, next int) error, others ...string) {
	t.Helper()
	m := newManager(t, others...)
	var all []*instances.Registration
	var meeting sync.WaitGroup
	meeting.Add(n)
	errs := make([]error, n)
	for k := range n {
		all = append(all, register(t, m, instances.Descriptor{
			Name: fmt.Sprint("m", k),
			Create: func(i *netstack.Instance) (any, error) {
				if i.Name() == fmt.Sprint("own", k) {
					meeting.Done()
					meeting.Wait()
					errs[k] = do(m, all, (k+1)%n)
				}
				return "context", nil
			},
			Destroy: func(*netstack.Instance, any) {},
		}))
	}
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() { create(t, m, fmt.Sprint("own", k)) })
	}
	wg.Wait()
	if refused := countRefused(t, errs); refused != 1 {
		t.Errorf("%d were refused, want 1: %v", refused, errs)
	}
}

func countRefused(t *testing.T, errs []error) (n int) {
	t.Helper()
	for _, err := range errs {
		if errors.Is(err, instances.ErrInCallback) {
			n++
		} else if err != nil {
			t.Error(err)
		}
	}
	return n
}

// Two callbacks destroy each other's instance: one of them is refused, and its instance is the one that goes.
func TestCircleOfDestroy(t *testing.T) {
	m := newManager(t, "red", "blue")
	var meeting, wg sync.WaitGroup
	meeting.Add(2)
	var errs [2]error
	for k, names := range [][2]string{{"red", "blue"}, {"blue", "red"}} {
		other := find(t, m, names[1])
		wg.Go(func() {
			register(t, m, instances.Descriptor{
				Name: "in " + names[0],
				Create: func(i *netstack.Instance) (any, error) {
					if i.Name() == names[0] {
						meeting.Done()
						meeting.Wait()
						errs[k] = m.Destroy(other.ID())
					}
					return "context", nil
				},
				Destroy: func(*netstack.Instance, any) {},
			})
		})
	}
	wg.Wait()
	if refused := countRefused(t, errs[:]); refused != 1 {
		t.Errorf("%d were refused, want 1: %v", refused, errs)
	}
	if left := slices.Collect(m.All()); len(left) != 1 {
		t.Errorf("%d instances left", len(left))
	}
}

// Callbacks may do to others whatever they like.
func TestCallbacksUseTheWholeAPI(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	other := register(t, m, j.descriptor("other"))
	j.take()
	r := register(t, m, instances.Descriptor{
		Name: "m",
		Create: func(i *netstack.Instance) (any, error) {
			j.add("create m %s", i.Name())
			if i.Name() != "red" {
				return "context", nil
			}
			unregister(t, other)
			register(t, m, j.descriptor("new"))
			blue := create(t, m, "blue")
			if _, found := m.Find("blue"); !found {
				t.Error("blue is not found")
			}
			destroy(t, m, blue)
			create(t, m, "green")
			return "context", nil
		},
		Destroy: func(i *netstack.Instance, _ any) { j.add("destroy m %s", i.Name()) },
	})
	j.want(t,
		"create m red",
		"shutdown other red", "destroy other red",
		"create new red",
		"create m blue", "create new blue",
		"shutdown new blue", "destroy m blue", "destroy new blue",
		"create m green", "create new green")
	unregister(t, r)
	j.want(t, "destroy m red", "destroy m green")
}

// Close waits for instances that others are making, and they are not made.
func TestCloseWhileCreating(t *testing.T) {
	var j journal
	m := instances.New(instances.Config{})
	d := j.descriptor("m")
	entered, blocked := make(chan struct{}), make(chan struct{})
	d.Create = func(i *netstack.Instance) (any, error) {
		close(entered)
		<-blocked
		j.add("create has returned")
		return "context", nil
	}
	r := register(t, m, d)
	register(t, m, j.descriptor("unseen"))
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := m.Create(netstack.Config{Name: "red"}); !errors.Is(err, netstack.ErrClosed) {
			t.Errorf("create: %v", err)
		}
	})
	<-entered
	wg.Go(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		j.add("closed")
	})
	for { // until Close has begun
		if _, err := m.Create(netstack.Config{Name: "red"}); errors.Is(err, netstack.ErrClosed) {
			break
		} else if !errors.Is(err, netstack.ErrExists) {
			t.Fatal(err)
		}
	}
	close(blocked)
	wg.Wait()
	j.want(t, "create has returned", "shutdown m red", "destroy m red", "closed")
	if _, err := m.Register(j.descriptor("late")); !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("register: %v", err)
	}
	unregister(t, r)
	j.want(t)
	if err := m.Close(); err != nil {
		t.Errorf("again: %v", err)
	}
}

// Panics in Shutdown and Destroy are logged, and everything goes on.
func TestPanicsInShutdownAndDestroy(t *testing.T) {
	var j journal
	m := newManager(t, "red", "blue")
	d := j.descriptor("m")
	d.Shutdown = func(i *netstack.Instance, _ any) { j.add("shutdown m %s", i.Name()); panic("oops") }
	d.Destroy = func(i *netstack.Instance, _ any) { j.add("destroy m %s", i.Name()); panic("oops") }
	r := register(t, m, d)
	j.take()
	destroy(t, m, find(t, m, "red"))
	unregister(t, r)
	j.want(t, "shutdown m red", "destroy m red", "shutdown m blue", "destroy m blue")
}

// A callback that ends its goroutine, as testing.T.Fatal does, keeps nothing locked.
func TestCallbackEndsItsGoroutine(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	d := j.descriptor("m")
	d.Create = func(i *netstack.Instance) (any, error) {
		j.add("create m %s", i.Name())
		if i.Name() != "green" {
			runtime.Goexit()
		}
		return "context", nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.Register(d) })
	wg.Go(func() { m.Create(netstack.Config{Name: "blue"}) })
	wg.Wait()
	if entries := j.take(); !slices.Contains(entries, "create m red") {
		t.Errorf("%v", entries)
	}
	for range 2 { // the name is free, and registering and creating still work
		destroy(t, m, create(t, m, "green"))
	}
}
