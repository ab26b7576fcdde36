// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/hooknet/hooknet/internal/invariant"
)

// newTable makes an instance with interfaces "from" and "to" and a worker.
func newTable(t testing.TB) (*Instance, *worker) {
	t.Helper()
	inst, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inst.Close() })
	for _, name := range []string{"from", "to"} {
		if _, err := inst.AddInterface(newIdle(), InterfaceConfig{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	return inst, inst.newWorker(0)
}

// Whatever a worker remembers, its answer is the table's: few destinations and many, rows that come and go, interfaces that
// go down, marks that are used again.
func TestWorkerLookupIsTheTables(t *testing.T) {
	for name, rows := range map[string]int{"small table": 8, "large table": 1500} {
		t.Run(name, func(t *testing.T) {
			inst, w := newTable(t)
			rng := rand.New(rand.NewPCG(3, 4))
			var table []Route
			for k := range rows {
				table = append(table, Route{Destination: netip.PrefixFrom(destination4(k), 24), Interface: "to"},
					Route{Destination: netip.PrefixFrom(destination6(k), 64), Interface: "to"})
			}
			if err := inst.AddRoutes(table...); err != nil {
				t.Fatal(err)
			}
			to, _ := inst.Interface("to")
			for round := range 400 {
				p := netip.PrefixFrom(destination4(rng.IntN(2*rows)), 16+rng.IntN(17))
				if rng.IntN(2) == 0 {
					p = netip.PrefixFrom(destination6(rng.IntN(2*rows)), 40+rng.IntN(89))
				}
				switch rng.IntN(4) {
				case 0:
					_ = inst.AddRoute(Route{Destination: p, Type: RouteType(1 + rng.IntN(3)), Metric: uint32(rng.IntN(2))})
				case 1:
					_ = inst.ReplaceRoute(Route{Destination: p, Interface: "from"})
				case 2:
					_ = inst.RemoveRoute(p, 0)
				case 3:
					if err := to.SetUp(rng.IntN(2) == 0); err != nil {
						t.Fatal(err)
					}
				}
				if round%50 == 49 {
					w.routes.generation = 1<<16 - 1 // the next change wraps it
				}
				for range 40 {
					k := rng.IntN(3 * rows)
					for _, dst := range []netip.Addr{destination4(k), destination6(k)} {
						want := inst.fib.lookup(dst)
						for range 2 {
							if got := w.lookup(dst); got != want {
								t.Fatalf("round %d: %v: %+v, want %+v", round, dst, got, want)
							}
						}
					}
				}
			}
		})
	}
}

// Rows that say the same share a hop, what no row says any more is forgotten, and so is an interface that has been closed.
func TestHopsAreSharedAndForgotten(t *testing.T) {
	inst, w := newTable(t)
	p := netip.MustParsePrefix("192.0.2.0/24")
	before := len(inst.fib.hops)
	for k := range 10000 {
		r := Route{Destination: p, Interface: "to", Gateway: destination4(k)}
		if err := inst.ReplaceRoute(r); err != nil {
			t.Fatal(err)
		}
		if got := w.lookup(p.Addr()); got == nil || got.route.Gateway != r.Gateway {
			t.Fatalf("route %d: %+v", k, got)
		}
	}
	if n, ids := len(inst.fib.hops), len(inst.fib.byID); n > before+200 || ids > before+200 {
		t.Errorf("%d hops, %d numbers; there were %d", n, ids, before)
	}
	if err := inst.AddRoutes(Route{Destination: p, Interface: "to", Metric: 1}, Route{Destination: netip.MustParsePrefix("198.51.100.0/24"), Interface: "to", Metric: 1}); err != nil {
		t.Fatal(err)
	}
	if a, b := inst.fib.lookup(p.Addr()).next, inst.fib.lookup(netip.MustParseAddr("198.51.100.1")); a == nil || a != b {
		t.Errorf("two hops for the same way: %+v, %+v", a, b)
	}
	to, _ := inst.Interface("to")
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	for _, h := range inst.fib.hops {
		if h.iface == to {
			t.Errorf("a closed interface is kept: %+v", h)
		}
	}
	for id, h := range inst.fib.current.Load().hops {
		if h != nil && (h.iface == to || int(h.id) != id) {
			t.Errorf("hop %d: %+v", id, h)
		}
	}
}

// What is refused leaves no hops behind, however often it is tried.
func TestHopsOfWhatIsRefusedAreForgotten(t *testing.T) {
	inst, _ := newTable(t)
	to, _ := inst.Interface("to")
	address := netip.MustParsePrefix("10.0.9.1/24")
	taken := Route{Destination: netip.MustParsePrefix("192.0.2.0/24"), Interface: "to"}
	if err := errors.Join(to.AddAddress(address), inst.AddRoute(taken)); err != nil {
		t.Fatal(err)
	}
	before := len(inst.fib.hops)
	for k := range 1000 {
		if _, err := inst.AddInterface(newIdle(), InterfaceConfig{Name: "another", Addresses: []netip.Prefix{address}}); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		taken.Gateway = destination4(k)
		if err := inst.AddRoute(taken); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
	}
	if n, ids := len(inst.fib.hops), len(inst.fib.byID); n > before+200 || ids > before+200 {
		t.Errorf("%d hops, %d numbers; there were %d", n, ids, before)
	}
	if h := inst.fib.lookup(taken.Destination.Addr()); h == nil || inst.fib.byID[h.id] != h {
		t.Errorf("the route's hop is gone: %+v", h)
	}
}

// More hops than caches have numbers for are found all the same.
func TestMoreHopsThanNumbers(t *testing.T) {
	inst, w := newTable(t)
	const n = noID + 100
	table := make([]Route, n)
	for k := range table {
		table[k] = Route{Destination: netip.PrefixFrom(destination4(k), 24), Interface: "to", Gateway: destination4(k)}
	}
	if err := inst.AddRoutes(table...); err != nil {
		t.Fatal(err)
	}
	for k := range table {
		for range 2 {
			if h := w.lookup(destination4(k)); h == nil || h.route.Gateway != destination4(k) {
				t.Fatalf("row %d: %+v", k, h)
			}
		}
	}
}

// million is a table of a million routes in the proportions of the Internet's: four in five IPv4, most of them /24, the
// IPv6 ones mostly /48.
func million() []Route {
	rng := rand.New(rand.NewPCG(1, 2))
	bits4 := []int{16, 18, 19, 20, 21, 22, 22, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24}
	bits6 := []int{32, 36, 40, 44, 48, 48, 48, 48, 56, 64}
	seen := make(map[netip.Prefix]bool, 1e6)
	table := make([]Route, 0, 1e6)
	for len(table) < cap(table) {
		var p netip.Prefix
		if rng.IntN(5) == 0 {
			a := [16]byte{0x20}
			binary.BigEndian.PutUint64(a[1:], rng.Uint64()>>4)
			p = netip.PrefixFrom(netip.AddrFrom16(a), bits6[rng.IntN(len(bits6))]).Masked()
		} else {
			a := [4]byte{byte(1 + rng.IntN(223)), byte(rng.IntN(256)), byte(rng.IntN(256))}
			p = netip.PrefixFrom(netip.AddrFrom4(a), bits4[rng.IntN(len(bits4))]).Masked()
		}
		if p.Addr().As16()[12] == 127 && p.Addr().Is4() || seen[p] {
			continue
		}
		seen[p] = true
		table = append(table, Route{Destination: p, Interface: "to"})
	}
	return table
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million routes take at most 200 MB, and what the interface they lead to takes with it when it goes is all of them.
func TestMillionRoutesMemory(t *testing.T) {
	if invariant.Enabled {
		t.Skip("memory is measured without the race detector")
	}
	inst, _ := newTable(t)
	table := million()
	before := liveHeap()
	if err := inst.AddRoutes(table...); err != nil {
		t.Fatal(err)
	}
	used := liveHeap() - before
	runtime.KeepAlive(table)
	t.Logf("%d MB", used/1e6)
	if used > 200e6 {
		t.Errorf("a million routes take %d MB, expected 200 at most", used/1e6)
	}
	to, _ := inst.Interface("to")
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	for r := range inst.Routes() {
		if r.Interface == "to" {
			t.Fatalf("%v is left", r)
		}
	}
	if left := int64(liveHeap()) - int64(before); left > 2e6 {
		t.Errorf("%d bytes are left of the table", left)
	}
	runtime.KeepAlive(table)
}

// BenchmarkAddRoutes loads a million routes into an empty table.
func BenchmarkAddRoutes(b *testing.B) {
	table := million()
	b.Run("routes=1000000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			inst, _ := newTable(b)
			b.StartTimer()
			if err := inst.AddRoutes(table...); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			inst.Close()
			b.StartTimer()
		}
	})
}

// twoFeeds gives an instance the same routes twice: by "to", and standing by with a higher metric by "from".
func twoFeeds(t testing.TB, inst *Instance, table []Route) {
	t.Helper()
	for n, name := range []string{"to", "from"} {
		for k := range table {
			table[k].Interface, table[k].Metric = name, uint32(n)
		}
		if err := inst.AddRoutes(table...); err != nil {
			t.Fatal(err)
		}
	}
}

// An interface goes down, and comes up again, in one step however many routes lead by it: it allocates nothing for each.
func TestDownIsOneStep(t *testing.T) {
	const rows = 20000
	inst, w := newTable(t)
	table := make([]Route, rows)
	for k := range table {
		table[k] = Route{Destination: netip.PrefixFrom(destination4(k), 24)}
	}
	twoFeeds(t, inst, table)
	to, _ := inst.Interface("to")
	if n := testing.AllocsPerRun(5, func() {
		for _, up := range []bool{false, true} {
			if err := to.SetUp(up); err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "to", false: "from"}[up]
			if h := w.lookup(destination4(rows / 2)); h == nil || h.iface.name != want {
				t.Fatalf("up %v: %+v", up, h)
			}
		}
	}); n > rows/10 {
		t.Errorf("%v allocations for %d routes, expected none for each", n, rows)
	}
}

// What is behind an interface that is down is found without an allocation, however deep.
func TestLookupPastWhatIsDownAllocatesNothing(t *testing.T) {
	inst, _ := newTable(t)
	for bits := 1; bits <= 128; bits++ {
		r := Route{Destination: netip.PrefixFrom(destination6(1), bits), Interface: "to"}
		if bits == 1 {
			r.Interface = "from"
		}
		if err := inst.AddRoute(r); err != nil {
			t.Fatal(err)
		}
	}
	to, _ := inst.Interface("to")
	if err := to.SetUp(false); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if h := inst.fib.lookup(destination6(1)); h == nil || h.iface.name != "from" {
			t.Fatalf("%+v", h)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkInterfaceDown takes an interface that a million routes lead by down and up again, with another that takes over.
func BenchmarkInterfaceDown(b *testing.B) {
	inst, _ := newTable(b)
	twoFeeds(b, inst, million())
	to, _ := inst.Interface("to")
	b.Run("routes=1000000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, up := range []bool{false, true} {
				if err := to.SetUp(up); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
