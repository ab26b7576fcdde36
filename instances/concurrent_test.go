// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
)

// Many goroutines create, destroy, register and unregister, and so do their callbacks: everything returns, and happens in
// an order that is allowed.
func TestConcurrently(t *testing.T) {
	c := &crowd{t: t, manager: instances.New(instances.Config{})}
	c.inCallbacks.Store(60)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 40 {
				c.doSomething()
			}
		})
	}
	wg.Wait()
	for range 3 { // the end is another race
		wg.Go(func() {
			for c.destroy() || c.unregister() {
			}
		})
	}
	wg.Wait()
	if err := c.manager.Close(); err != nil {
		t.Error(err)
	}
	c.check(t)
}

// A crowd does random things to one manager.
type crowd struct {
	history
	t           *testing.T
	manager     *instances.Manager
	inCallbacks atomic.Int32 // how many operations callbacks may still do
	names       atomic.Int32

	pool       sync.Mutex
	made       []*netstack.Instance      // guarded by pool; that nobody has in hand
	registered []*instances.Registration // guarded by pool; that nobody has in hand
}

func (c *crowd) doSomething() {
	[]func() bool{c.create, c.create, c.destroy, c.register, c.register, c.unregister}[rand.IntN(6)]()
}

func (c *crowd) create() bool {
	name := fmt.Sprint("i", c.names.Add(1))
	return c.attempt("New "+name, func() error {
		i, err := c.manager.Create(netstack.Config{Name: name})
		put(c, &c.made, i)
		return err
	})
}

func (c *crowd) destroy() bool {
	i, ok := take(c, &c.made)
	done := ok && c.attempt("Destroy "+i.Name(), func() error { return c.manager.Destroy(i.ID()) })
	if ok && !done {
		put(c, &c.made, i) // not before the attempt is retracted: the next one notes the same
	}
	return done
}

func (c *crowd) register() bool {
	name := fmt.Sprint("d", c.names.Add(1))
	callback := func(what string, i *netstack.Instance) {
		c.add("< %s %s %s", what, name, i.Name())
		if rand.IntN(4) == 0 && c.inCallbacks.Add(-1) >= 0 {
			c.doSomething()
		}
	}
	d := instances.Descriptor{
		Name: name,
		Create: func(i *netstack.Instance) (any, error) {
			callback("create", i)
			if rand.IntN(8) == 0 {
				c.add("! create %s %s", name, i.Name())
				return nil, errors.New("refused")
			}
			c.add("> create %s %s", name, i.Name())
			return name, nil
		},
		Shutdown: func(i *netstack.Instance, _ any) {
			callback("shutdown", i)
			c.add("> shutdown %s %s", name, i.Name())
		},
		Destroy: func(i *netstack.Instance, _ any) {
			callback("destroy", i)
			c.add("> destroy %s %s", name, i.Name())
		},
	}
	return c.attempt("Register "+name, func() error {
		r, err := c.manager.Register(d)
		put(c, &c.registered, r)
		return err
	})
}

func (c *crowd) unregister() bool {
	r, ok := take(c, &c.registered)
	done := ok && c.attempt("Unregister "+r.Name(), r.Unregister)
	if ok && !done {
		put(c, &c.registered, r)
	}
	return done
}

// attempt does something that fails only if it was begun inside a callback that it would have to wait for; then it has had no
// effect.
func (c *crowd) attempt(what string, do func() error) bool {
	c.add("< %s", what)
	err := do()
	switch {
	case err == nil:
		c.add("> %s", what)
	case errors.Is(err, instances.ErrInCallback):
		c.retract("< " + what)
	default:
		c.t.Errorf("%s: %v", what, err)
	}
	return err == nil
}

func put[T any](c *crowd, list *[]T, x T) {
	c.pool.Lock()
	defer c.pool.Unlock()
	*list = append(*list, x)
}

func take[T any](c *crowd, list *[]T) (x T, ok bool) {
	c.pool.Lock()
	defer c.pool.Unlock()
	if len(*list) == 0 {
		return x, false
	}
	at := rand.IntN(len(*list))
	x = (*list)[at]
	*list = slices.Delete(*list, at, at+1)
	return x, true
}

// A history is what happened when many did many things at once: the beginning and end of each operation and callback, in
// one order.
type history struct{ journal }

// retract takes back what was noted.
func (h *history) retract(entry string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries = slices.DeleteFunc(h.entries, func(e string) bool { return e == entry })
}

// check compares a history with what may happen whatever the order.
//
//   - The callbacks of a pair are Create, Shutdown, Destroy, each at most once and one after the other; at the very end, all
//     or, if Create failed, none but the first.
//   - Register returns when Create has returned for all instances that lived all the time; Manager.Create, when Create has
//     returned for all descriptors that were registered all the time.
//   - Nothing is called for a descriptor once Unregister has returned, nor for an instance once Manager.Destroy has.
//   - A Destroy that belongs to Unregister comes after all Shutdowns of the descriptor.
func (h *history) check(t *testing.T) {
	t.Helper()
	entries := h.take()
	at := make(map[string]int, len(entries)) // 1 is the first, 0 is never
	for n, e := range entries {
		if at[e] != 0 {
			t.Errorf("twice: %s", e)
		}
		at[e] = n + 1
	}
	before := func(first, second string) bool { return at[first] != 0 && at[second] != 0 && at[first] < at[second] }
	never := len(entries) + 1
	when := func(e string) int { // or never
		if at[e] == 0 {
			return never
		}
		return at[e]
	}
	var descriptors, members []string
	pairs := map[[2]string]bool{}
	for _, e := range entries {
		f := strings.Fields(e)
		switch f[0] + " " + f[1] {
		case "< Register":
			descriptors = append(descriptors, f[2])
		case "< New":
			members = append(members, f[2])
		case "< create":
			pairs[[2]string{f[2], f[3]}] = true
		}
	}
	for pair := range pairs {
		d, i := pair[0], pair[1]
		id := d + " " + i
		order := []string{"< create ", "> create ", "< shutdown ", "> shutdown ", "< destroy ", "> destroy "}
		if at["! create "+id] != 0 {
			order = []string{"< create ", "! create "}
			if at["< shutdown "+id] != 0 || at["< destroy "+id] != 0 {
				t.Errorf("%s: Create failed, and the others were called", id)
			}
		}
		for k := range len(order) - 1 {
			if !before(order[k]+id, order[k+1]+id) {
				t.Errorf("%s: no %q before %q", id, order[k], order[k+1])
			}
		}
		for _, end := range []string{"> Unregister " + d, "> Destroy " + i} {
			for _, e := range []string{"! create ", "> destroy "} {
				if at[e+id] > when(end) {
					t.Errorf("%s comes after %s", e+id, end)
				}
			}
		}
	}
	for _, d := range descriptors {
		for _, i := range members {
			id := d + " " + i
			created := min(when("> create "+id), when("! create "+id))
			livedThroughout := when("> New "+i) < at["< Register "+d] && when("< Destroy "+i) > when("> Register "+d)
			if livedThroughout && created > when("> Register "+d) {
				t.Errorf("Register %s returned before Create for %s", d, i)
			}
			registeredThroughout := when("> Register "+d) < at["< New "+i] && when("< Unregister "+d) > when("> New "+i)
			if registeredThroughout && created > when("> New "+i) {
				t.Errorf("%s was made before Create of %s", i, d)
			}
			// Another instance, that nobody destroyed yet, is destroyed for d after all shutdowns for d.
			if destroyed := at["< destroy "+id]; destroyed != 0 && destroyed < when("< Destroy "+i) {
				for _, other := range members {
					if pairs[[2]string{d, other}] && at["> shutdown "+d+" "+other] > destroyed {
						t.Errorf("%s is destroyed before %s is shut down", id, other)
					}
				}
			}
		}
	}
	if t.Failed() {
		t.Logf("history:\n%s", strings.Join(entries, "\n"))
	}
}
