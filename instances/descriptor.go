// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
)

// A Descriptor is a module that wants to be part of every instance of a manager, present and future (net_instance_t(9S)).
//
// For one instance its callbacks are called at most once each, strictly in the order Create, Shutdown, Destroy; for different
// instances they may run at the same time, on different goroutines. They are called by the goroutine that registers,
// unregisters, creates or destroys, with no lock held, and may use the whole API: create and destroy other instances,
// register and unregister other descriptors, and take their time. What would wait for the very callback that asks for it is
// refused with ErrInCallback; a callback must not wait for another goroutine that asks for such a thing.
//
// A panic in a callback is logged. Create has then failed, Shutdown and Destroy count as done.
type Descriptor struct {
	// Name identifies the descriptor among those of the manager.
	Name string
	// Create is called for every instance before anybody else can find it, or when the descriptor is registered. The context
	// it returns is handed to Shutdown and Destroy. If it returns an error or no context, the descriptor has no part in this
	// instance and the other two are not called for it; the instance lives on. The error is logged, see also
	// Registration.Failed. What Create did until then it must undo itself.
	Create func(i *netstack.Instance) (context any, err error)
	// Shutdown is called when the instance or the registration comes to its end. It gives back everything that was
	// registered: hooks, notifiers, protocol handles, kstats. If it is the instance that ends, Instance.Shutdown has been
	// called: nothing can be looked up or registered any more. Packets and hooks still run until a hook is unregistered.
	// nil: there is nothing to do.
	Shutdown func(i *netstack.Instance, context any)
	// Destroy is the end of context. If it is the instance that ends, it has been closed.
	Destroy func(i *netstack.Instance, context any)
}

// A Registration stands for a registered descriptor. Only who has it can take the descriptor away.
type Registration struct {
	manager    *Manager
	number     uint64 // of this registration, counting from 1; constant once it is registered
	descriptor Descriptor
	pairs      map[*member]*pair // guarded by the manager's mu; also those whose Create failed
}

// Register adds a descriptor and calls its Create for every living instance, lowest id first; it returns when all of
// these have returned (net_instance_register(9F)). Instances that are being destroyed are passed over and never see the
// descriptor. That Create fails on one instance is no error of Register: see Registration.Failed.
//
// Errors: netstack.ErrInvalid if the name, Create or Destroy is missing, netstack.ErrExists if the name is taken,
// netstack.ErrClosed.
func (m *Manager) Register(d Descriptor) (*Registration, error) {
	r := &Registration{manager: m, descriptor: d, pairs: make(map[*member]*pair)}
	if err := m.register(r); err != nil {
		return nil, opError("register descriptor", d.Name, err)
	}
	return r, nil
}

func (m *Manager) register(r *Registration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &r.descriptor
	switch {
	case d.Name == "" || d.Create == nil || d.Destroy == nil:
		return fmt.Errorf("%w: expected a name, Create and Destroy", netstack.ErrInvalid)
	case m.closed:
		return netstack.ErrClosed
	case slices.ContainsFunc(m.registrations, func(o *Registration) bool { return o.descriptor.Name == d.Name }):
		return netstack.ErrExists
	}
	o := m.begin(nil, nil)
	defer o.end()
	m.lastRegistration++
	r.number = m.lastRegistration
	m.registrations = append(m.registrations, r)
	for _, i := range m.living() {
		if i.stage == living { // it may have changed while a callback ran
			o.create(r, i)
		}
	}
	return nil
}

// create makes a pair and runs its Create. mu is held, but not while Create runs.
func (o *operation) create(r *Registration, i *member) {
	p := &pair{registration: r, member: i}
	r.pairs[i] = p
	i.pairs = append(i.pairs, p)
	o.step(p)
	if p.err != nil && i.stage != ending {
		o.manager.unlocked(func() {
			o.manager.logger.Error("descriptor failed to create", "descriptor", r.descriptor.Name, "instance", i.instance.Name(),
				"error", p.err)
		})
	}
}

// Unregister takes the descriptor away from all instances and from the manager (net_instance_unregister(9F)): no new
// instance sees it, then Shutdown is called for every instance that has it, then, when all of these have returned, Destroy
// for every one; when it returns, all callbacks have returned. An instance that is being destroyed at the same time may be
// ahead of the others.
//
// Errors: netstack.ErrNotFound at the second use, ErrInCallback.
func (r *Registration) Unregister() error {
	m := r.manager
	if m == nil {
		return opError("unregister descriptor", "", netstack.ErrNotFound)
	}
	return opError("unregister descriptor", r.descriptor.Name, m.unregister(r))
}

func (m *Manager) unregister(r *Registration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.begin(r, nil)
	defer o.end()
	if o.closesCircle() {
		return ErrInCallback
	}
	at := slices.Index(m.registrations, r)
	if at < 0 {
		return netstack.ErrNotFound
	}
	m.registrations = slices.Delete(m.registrations, at, at+1)
	pairs := slices.SortedFunc(maps.Values(r.pairs), func(a, b *pair) int { return cmp.Compare(a.member.id, b.member.id) })
	o.advance(pairs, shutdown)
	o.advance(pairs, gone)
	clear(r.pairs)
	for _, p := range pairs {
		p.member.pairs = slices.DeleteFunc(p.member.pairs, func(other *pair) bool { return other == p })
	}
	return nil
}

// Name returns the descriptor's name.
func (r *Registration) Name() string { return r.descriptor.Name }

// Failed returns the living instances that the descriptor has no part in because its Create failed, with the errors.
func (r *Registration) Failed() map[hooks.InstanceID]error {
	failed := make(map[hooks.InstanceID]error)
	if r.manager == nil {
		return failed
	}
	r.manager.mu.Lock()
	defer r.manager.mu.Unlock()
	for i, p := range r.pairs {
		if p.err != nil && i.stage != ending {
			failed[i.id] = p.err
		}
	}
	return failed
}
