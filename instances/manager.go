// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
)

// Config describes a Manager. The zero value works.
type Config struct {
	// Logger is told of callbacks that fail, and is used by instances that bring none of their own. Default: nothing is
	// logged.
	Logger *slog.Logger
}

// A Manager owns a set of instances, and the descriptors of the modules that are part of them.
type Manager struct {
	logger *slog.Logger

	// mu guards all that follows, and what members, registrations and pairs say that it does. It is never held while
	// callbacks, the logger or an instance's methods are called.
	mu               sync.Mutex
	lastID           hooks.InstanceID
	members          map[hooks.InstanceID]*member
	names            map[string]*member
	lastRegistration uint64
	registrations    []*Registration       // oldest first
	operations       map[uint64]*operation // the innermost of each goroutine that is inside one
	empty            sync.Cond             // the last member has gone
	closed           bool
}

// A member is an instance of a manager, from before it is made until it is gone.
type member struct {
	manager  *Manager
	id       hooks.InstanceID
	name     string
	instance *netstack.Instance // constant once it is made

	stage stage   // guarded by mu
	pairs []*pair // guarded by mu; also those whose Create failed
}

type stage uint8

const (
	making stage = iota // nobody finds it yet
	living
	ending // nobody finds it any more, and no descriptor is added
)

// New makes a manager without instances.
func New(cfg Config) *Manager {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Manager{
		logger:     cfg.Logger,
		members:    make(map[hooks.InstanceID]*member),
		names:      make(map[string]*member),
		operations: make(map[uint64]*operation),
	}
	m.empty.L = &m.mu
	return m
}

// unlocked calls f without mu, which is held before and after, also if f does not return.
func (m *Manager) unlocked(f func()) {
	m.mu.Unlock()
	defer m.mu.Lock()
	f()
}

// Create makes an instance and calls the Create of every descriptor for it, oldest registration first; then Get, Find and
// All know it. End it with Destroy: Instance.Close knows nothing of descriptors.
//
// cfg.ID is given by the manager and must be 0; cfg.Name must be new among the living instances, by default it is the id in
// decimal. Errors: netstack.ErrInvalid, netstack.ErrExists, netstack.ErrClosed.
func (m *Manager) Create(cfg netstack.Config) (instance *netstack.Instance, err error) {
	defer func() { err = opError("create instance", cfg.Name, err) }()
	if cfg.Logger == nil {
		cfg.Logger = m.logger
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &member{manager: m}
	if err := m.admit(i, &cfg); err != nil {
		return nil, err
	}
	o := m.begin(nil, i)
	defer o.end()
	defer func() { // also if a callback ends the goroutine
		if i.stage == living {
			return
		}
		if i.instance != nil {
			err = errors.Join(err, o.destroy(i))
		}
		m.forget(i)
	}()
	m.unlocked(func() { i.instance, err = netstack.New(cfg) })
	if err != nil {
		return nil, err
	}
	for r := m.missing(i); r != nil; r = m.missing(i) {
		o.create(r, i)
	}
	if m.closed {
		return nil, netstack.ErrClosed
	}
	i.stage = living
	return i.instance, nil
}

// admit gives a new member its id and name, or says why it may not be. mu is held.
func (m *Manager) admit(i *member, cfg *netstack.Config) error {
	if cfg.ID != 0 {
		return fmt.Errorf("%w: the manager gives the id; leave it 0", netstack.ErrInvalid)
	}
	if m.closed {
		return netstack.ErrClosed
	}
	cfg.ID = m.lastID + 1
	if cfg.Name == "" {
		cfg.Name = fmt.Sprint(cfg.ID)
	}
	if m.names[cfg.Name] != nil {
		return fmt.Errorf("%w: an instance of that name", netstack.ErrExists)
	}
	m.lastID = cfg.ID
	i.id, i.name = cfg.ID, cfg.Name
	m.members[i.id], m.names[i.name] = i, i
	return nil
}

// missing returns the oldest registration that a new instance has not seen yet; nil if there is none, or no point in it.
// mu is held.
func (m *Manager) missing(i *member) *Registration {
	if m.closed {
		return nil
	}
	for _, r := range m.registrations {
		if r.pairs[i] == nil {
			return r
		}
	}
	return nil
}

// Destroy ends an instance, and returns when it has ended. Nobody finds it from now on. Its end is announced
// (Instance.Shutdown); the descriptors' Shutdown is called, oldest registration first; the instance is closed; the
// descriptors' Destroy is called in the same order. Then its name may be used again; its id never is.
//
// Errors: netstack.ErrNotFound for an instance that is not there, is still being made or ends already; ErrInCallback;
// hooks.ErrInHook inside what would be waited for (netstack.InHook); those of closing devices.
func (m *Manager) Destroy(id hooks.InstanceID) error {
	return opError("destroy instance", fmt.Sprint(id), m.destroy(id))
}

func (m *Manager) destroy(id hooks.InstanceID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.members[id]
	o := m.begin(nil, i)
	defer o.end()
	switch {
	case o.closesCircle():
		return ErrInCallback
	case netstack.InHook():
		return hooks.ErrInHook
	case i == nil || i.stage != living:
		return netstack.ErrNotFound
	}
	defer m.forget(i)
	return o.destroy(i)
}

// destroy ends an instance. mu is held, but not while something is called or waited for.
func (o *operation) destroy(i *member) (err error) {
	m := o.manager
	i.stage = ending
	m.unlocked(i.instance.Shutdown)
	pairs := slices.Clone(i.pairs)
	slices.SortFunc(pairs, func(a, b *pair) int { return cmp.Compare(a.registration.number, b.registration.number) })
	o.advance(pairs, shutdown)
	m.unlocked(func() { err = i.instance.Close() })
	o.advance(pairs, gone)
	return err
}

// forget takes a member out of everything, at its end. mu is held.
func (m *Manager) forget(i *member) {
	i.stage = ending
	for _, p := range i.pairs {
		delete(p.registration.pairs, i)
	}
	delete(m.members, i.id)
	delete(m.names, i.name)
	if len(m.members) == 0 {
		m.empty.Broadcast()
	}
}

// Get finds a living instance by its id.
func (m *Manager) Get(id hooks.InstanceID) (*netstack.Instance, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members[id].found()
}

// Find finds a living instance by its name.
func (m *Manager) Find(name string) (*netstack.Instance, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names[name].found()
}

// found returns the instance of a member that is there and living. mu is held.
func (i *member) found() (*netstack.Instance, bool) {
	if i == nil || i.stage != living {
		return nil, false
	}
	return i.instance, true
}

// All iterates over the instances that live when it is called, by ascending id.
func (m *Manager) All() iter.Seq[*netstack.Instance] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*netstack.Instance
	for _, i := range m.living() {
		list = append(list, i.instance)
	}
	return slices.Values(list)
}

// living returns the members that live, by ascending id. mu is held.
func (m *Manager) living() []*member {
	list := make([]*member, 0, len(m.members))
	for _, i := range m.members {
		if i.stage == living {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	return list
}

// Close refuses new instances and descriptors, destroys all instances, newest first, and returns when all have gone, also
// those that others are making or destroying. Registrations stay: they have no instances any more. Errors: ErrInCallback;
// hooks.ErrInHook, as of Destroy.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.operations[goroutine()] != nil:
		return opError("close", "manager", ErrInCallback)
	case netstack.InHook():
		return opError("close", "manager", hooks.ErrInHook)
	}
	m.closed = true
	var errs []error
	for _, i := range slices.Backward(m.living()) {
		m.unlocked(func() {
			if err := m.Destroy(i.id); !errors.Is(err, netstack.ErrNotFound) { // somebody else was faster
				errs = append(errs, err)
			}
		})
	}
	for len(m.members) > 0 {
		m.empty.Wait()
	}
	return errors.Join(errs...)
}
