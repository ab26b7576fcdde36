// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"fmt"

	"github.com/hooknet/hooknet/hooks"
)

// A Budget says how much an instance may use, so that one instance or module cannot take what others need. What would go
// beyond a budget is refused with a BudgetError and changes nothing. 0 means no limit unless the field says otherwise.
type Budget struct {
	// Interfaces is how many interfaces there may be beside lo.
	Interfaces int
	// Hooks is how many hooks may be registered at the same time, on all events together. Registering on an event of
	// Instance.Hooks directly fails with hooks.ErrLimit.
	Hooks int
	// Routes is how many routes AddRoute and AddRoutes may have made; those that addresses bring do not count.
	Routes int
	// Flows is how many TCP flows there may be at the same time, of which those that one source has sent the first segment of
	// may be an eighth; what is beyond that pushes the oldest out. There are flows while something is hooked on the TCP points: some 512 bytes each, and the data
	// of helpers. Default: 65536.
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

// registerHook registers a hook on an event of the instance, whose hook stack keeps to the budget.
func registerHook[C any](i *Instance, e *hooks.Event[C], h hooks.Hook[C]) (*hooks.Handle, error) {
	handle, err := e.Register(h)
	if errors.Is(err, hooks.ErrLimit) {
		return nil, opError("register hook", h.Name, &BudgetError{Budget: "hooks", Limit: i.budget.Hooks})
	}
	return handle, err
}
