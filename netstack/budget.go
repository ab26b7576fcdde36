// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hooknet/hooknet/hooks"
)

// A Budget says how much an instance may use, so that one instance or module cannot take what others need. What would go
// beyond a budget is refused with a BudgetError and changes nothing. 0 means no limit unless the field says otherwise.
type Budget struct {
	// Interfaces is how many interfaces there may be beside lo.
	Interfaces int
	// Hooks is how many hooks may be registered by the instance's methods at the same time, on all events together. Hooks that
	// are registered on an event of Instance.Hooks directly count, but are not refused.
	Hooks int
	// Routes is how many routes AddRoute and AddRoutes may have made; those that addresses bring do not count.
	Routes int
	// Flows is how many flow records there may be. Nothing makes flow records yet.
	Flows int
	// QueuedInjections is how many packets may wait in each of the queues behind QueueIn and QueueOut. Default: 1024.
	QueuedInjections int
}

func (b *Budget) validate() error {
	var errs []error
	for _, field := range []struct {
		name  string
		limit int
	}{
		{"interfaces", b.Interfaces}, {"hooks", b.Hooks}, {"routes", b.Routes}, {"flows", b.Flows},
		{"queued injections", b.QueuedInjections},
	} {
		if field.limit < 0 {
			errs = append(errs, fmt.Errorf("%w: a budget of %d %s; expected 0 or more", ErrInvalid, field.limit, field.name))
		}
	}
	return errors.Join(errs...)
}

// A BudgetError says which budget of an instance does not allow what was asked for. It is ErrBudget.
type BudgetError struct {
	Budget string // what it is a budget of: "interfaces", "hooks", "routes" or "queued injections"
	Limit  int
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("the budget of %d %s is used up", e.Limit, e.Budget)
}

// Unwrap returns ErrBudget.
func (e *BudgetError) Unwrap() error { return ErrBudget }

// checkBudget returns an error if n things are more than a limit allows.
func checkBudget(of string, limit, n int) error {
	if limit == 0 || n <= limit {
		return nil
	}
	return &BudgetError{Budget: of, Limit: limit}
}

// A hookBudget limits the hooks of an instance. Who is hooked is known to the hook stack; what is added here are the
// registrations under way, which it may or may not show yet.
type hookBudget struct {
	limit int

	mu      sync.Mutex
	pending map[hookID]int // guarded by mu
}

type hookID struct{ family, event, hook string }

// registerHook registers a hook on an event of the instance if its budget allows.
func registerHook[C any](i *Instance, e *hooks.Event[C], h hooks.Hook[C]) (*hooks.Handle, error) {
	if i.hookBudget.limit > 0 {
		id := hookID{e.Family().Name(), e.Name(), h.Name}
		if err := i.hookBudget.reserve(i.hooks, id); err != nil {
			return nil, opError("register hook", h.Name, err)
		}
		defer i.hookBudget.release(id)
	}
	return e.Register(h)
}

func (b *hookBudget) reserve(stack *hooks.Stack, id hookID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	used := map[hookID]bool{id: true} // counted once if it is there already: then Register refuses it
	for other := range b.pending {
		used[other] = true
	}
	for _, family := range stack.Stats().Families {
		for _, event := range family.Events {
			for _, h := range event.Hooks {
				used[hookID{family.Name, event.Event, h.Hook}] = true
			}
		}
	}
	if err := checkBudget("hooks", b.limit, len(used)); err != nil {
		return err
	}
	if b.pending == nil {
		b.pending = make(map[hookID]int)
	}
	b.pending[id]++
	return nil
}

func (b *hookBudget) release(id hookID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending[id]--; b.pending[id] == 0 {
		delete(b.pending, id)
	}
}
