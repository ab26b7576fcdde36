// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
)

// A Bed is a network under construction, and then under test.
type Bed struct {
	t          testing.TB
	manager    *instances.Manager
	made       []*netstack.Instance
	namespaces []*Namespace
	links      int // made so far, for their names
}

// New returns an empty network that is taken down at the end of the test.
func New(t testing.TB) *Bed {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	b := &Bed{t: t, manager: instances.New(instances.Config{Logger: logger})}
	t.Cleanup(b.close)
	return b
}

// Instance makes an instance. It is the manager's of this network: names must differ, ids are given.
func (b *Bed) Instance(cfg netstack.Config) *netstack.Instance {
	b.t.Helper()
	i, err := b.manager.Create(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.made = append(b.made, i)
	return i
}

// Cable joins two instances in memory.
func (b *Bed) Cable(x, y instances.CableEnd) {
	b.t.Helper()
	if _, _, err := b.manager.Cable(x, y); err != nil {
		b.t.Fatal(err)
	}
}

// close takes everything down in the opposite order, and looks for leftovers.
func (b *Bed) close() {
	if err := b.manager.Close(); err != nil {
		b.t.Errorf("testbed: close instances: %v", err)
	}
	for _, i := range b.made {
		if err := i.Stats().Balance(); err != nil {
			b.t.Errorf("testbed: instance %s: %v", i.Name(), err)
		}
	}
	for _, n := range b.namespaces {
		n.close()
	}
}

// Prefixes parses addresses with their prefix lengths, such as "10.0.1.2/24". It panics if one is none.
func Prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, s := range texts {
		list[i] = netip.MustParsePrefix(s)
	}
	return list
}
