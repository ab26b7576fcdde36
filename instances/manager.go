// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// The errors of this package are those of netstack: a name that is taken is netstack.ErrExists, an unknown id is
// netstack.ErrNotFound, a closed manager is netstack.ErrClosed.

// Config describes a Manager. The zero value works.
type Config struct {
	// Logger is used by instances that bring none of their own. Default: nothing is logged.
	Logger *slog.Logger
}

// A Manager owns a set of instances.
type Manager struct {
	cfg Config

	mu     sync.Mutex
	lastID hooks.InstanceID                        // guarded by mu
	byID   map[hooks.InstanceID]*netstack.Instance // guarded by mu
	names  map[string]hooks.InstanceID             // guarded by mu; also of instances that are being made
	closed bool                                    // guarded by mu
}

// New makes a manager without instances.
func New(cfg Config) *Manager {
	return &Manager{cfg: cfg, byID: make(map[hooks.InstanceID]*netstack.Instance), names: make(map[string]hooks.InstanceID)}
}

// Create makes an instance. cfg.ID is given by the manager and must be 0; cfg.Name must be new among the living instances,
// by default it is the id in decimal.
func (m *Manager) Create(cfg netstack.Config) (*netstack.Instance, error) {
	if cfg.ID != 0 {
		return nil, fmt.Errorf("instances: create %q: %w: the manager gives the id; leave it 0", cfg.Name, netstack.ErrInvalid)
	}
	if cfg.Logger == nil {
		cfg.Logger = m.cfg.Logger
	}
	m.mu.Lock()
	m.lastID++
	cfg.ID = m.lastID
	if cfg.Name == "" {
		cfg.Name = fmt.Sprint(cfg.ID)
	}
	var err error
	if m.closed {
		err = netstack.ErrClosed
	} else if _, taken := m.names[cfg.Name]; taken {
		err = fmt.Errorf("%w: an instance of that name", netstack.ErrExists)
	} else {
		m.names[cfg.Name] = cfg.ID
	}
	m.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("instances: create %q: %w", cfg.Name, err)
	}
	inst, err := netstack.New(cfg)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && m.closed {
		err = errors.Join(fmt.Errorf("instances: create %q: %w", cfg.Name, netstack.ErrClosed), inst.Close())
	}
	if err != nil {
		delete(m.names, cfg.Name)
		return nil, err
	}
	m.byID[cfg.ID] = inst
	return inst, nil
}

// Get finds a living instance by its id.
func (m *Manager) Get(id hooks.InstanceID) (*netstack.Instance, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.byID[id]; i != nil {
		return i, true
	}
	return nil, false
}

// Find finds a living instance by its name.
func (m *Manager) Find(name string) (*netstack.Instance, bool) {
	m.mu.Lock()
	id, ok := m.names[name]
	m.mu.Unlock()
	if !ok {
		return nil, false
	}
	return m.Get(id)
}

// All iterates over the instances that live when it is called, by ascending id.
func (m *Manager) All() iter.Seq[*netstack.Instance] {
	m.mu.Lock()
	list := make([]*netstack.Instance, 0, len(m.byID))
	for _, i := range m.byID {
		list = append(list, i)
	}
	m.mu.Unlock()
	slices.SortFunc(list, func(a, b *netstack.Instance) int { return cmp.Compare(a.ID(), b.ID()) })
	return slices.Values(list)
}

// Destroy closes an instance and forgets it; its name may be used again, its id never is.
func (m *Manager) Destroy(id hooks.InstanceID) error {
	m.mu.Lock()
	i := m.byID[id]
	delete(m.byID, id)
	m.mu.Unlock()
	if i == nil {
		return fmt.Errorf("instances: destroy %d: %w", id, netstack.ErrNotFound)
	}
	err := i.Close()
	m.mu.Lock()
	delete(m.names, i.Name())
	m.mu.Unlock()
	return err
}

// Close destroys all instances, newest first, and refuses new ones.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	var errs []error
	for _, i := range slices.Backward(slices.Collect(m.All())) {
		if err := m.Destroy(i.ID()); !errors.Is(err, netstack.ErrNotFound) { // somebody else was faster
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// A CableEnd is one end of a cable: an interface of an instance.
type CableEnd struct {
	Instance  *netstack.Instance
	Interface string // name of the interface
	MTU       int    // bytes; default 1500
	Addresses []netip.Prefix
}

// Cable joins two instances, or an instance with itself, by a link in memory that takes superpackets. Closing either
// interface cuts it: what the other end sends is then dropped.
func (m *Manager) Cable(a, b CableEnd) (*netstack.Interface, *netstack.Interface, error) {
	near, far := tun.Pair(tun.PairConfig{
		Names:    [2]string{a.Interface, b.Interface},
		Features: packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO,
	})
	attach := func(dev tun.Device, e CableEnd) (*netstack.Interface, error) {
		return e.Instance.AddInterface(dev, netstack.InterfaceConfig{Name: e.Interface, MTU: e.MTU, Addresses: e.Addresses})
	}
	f, err := attach(near, a)
	if err != nil {
		return nil, nil, errors.Join(err, near.Close(), far.Close())
	}
	g, err := attach(far, b)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close(), far.Close())
	}
	return f, g, nil
}
