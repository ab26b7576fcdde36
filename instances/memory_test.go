// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// idleBudget is what an idle instance with lo and one memory interface may take of heap and goroutine stacks: gVisor's share
// is some 50 KiB of it.
const idleBudget = 72 << 10

func TestIdleInstanceMemory(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the race detector's own memory is in the way")
	}
	const n = 300
	m := instances.New(instances.Config{})
	defer m.Close()
	before, goroutines := inUse(), runtime.NumGoroutine()
	for range n {
		i, err := m.Create(netstack.Config{})
		if err != nil {
			t.Fatal(err)
		}
		near, _ := tun.Pair(tun.PairConfig{})
		if _, err := i.AddInterface(near, netstack.InterfaceConfig{
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")},
		}); err != nil {
			t.Fatal(err)
		}
	}
	each := (inUse() - before) / n
	t.Logf("an idle instance takes %d bytes and %d goroutines", each, (runtime.NumGoroutine()-goroutines)/n)
	if each > idleBudget {
		t.Errorf("an idle instance takes %d bytes; the budget is %d", each, idleBudget)
	}
}

// inUse returns the bytes of heap and stacks that are in use.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools let go
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc + s.StackInuse
}
