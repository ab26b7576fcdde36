// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A modelTable is the forwarding table as a list that is looked through.
type modelTable struct {
	rows []modelRow
	down map[string]bool // interfaces
}

type modelRow struct {
	Route
	connected bool
}

// lookup returns the row with the longest prefix; of those the one with the lowest metric whose interface is up, a route before a
// connected subnet. nil if there is none.
func (m *modelTable) lookup(dst netip.Addr) (best *modelRow) {
	for k := range m.rows {
		r := &m.rows[k]
		if !r.Destination.Contains(dst) || m.down[r.Interface] {
			continue
		}
		if best == nil || r.Destination.Bits() > best.Destination.Bits() || r.Destination == best.Destination &&
			(r.Metric < best.Metric || r.Metric == best.Metric && !r.connected) {
			best = r
		}
	}
	return best
}

// index returns the place of a row, -1 if it is not there.
func (m *modelTable) index(connected bool, r Route) int {
	return slices.IndexFunc(m.rows, func(o modelRow) bool {
		return o.connected == connected && o.Destination == r.Destination && o.Metric == r.Metric && (!connected || o.Interface == r.Interface)
	})
}

func (m *modelTable) remove(at int) {
	if at >= 0 {
		m.rows = slices.Delete(m.rows, at, at+1)
	}
}

// Whatever is added, replaced, removed, and goes down and up, what packets find is what the model says.
func TestTableIsTheModels(t *testing.T) {
	for seed := range uint64(20) {
		is6 := seed%2 == 1
		at := func(low [4]byte) netip.Addr {
			if !is6 {
				return netip.AddrFrom4(low)
			}
			a := [16]byte{0: 0x20}
			copy(a[4:], low[:])
			return netip.AddrFrom16(a)
		}
		bits := []int{0, 8, 16, 24, 26}
		if is6 {
			bits = []int{0, 40, 48, 56, 58}
		}
		inst, w := newTable(t)
		rng := rand.New(rand.NewPCG(seed, 1))
		m := modelTable{down: make(map[string]bool)}
		check := func(err error, want bool) {
			t.Helper()
			if (err == nil) != want {
				t.Fatalf("seed %d: error %v, expected success: %v", seed, err, want)
			}
		}
		for step := range 400 {
			f, _ := inst.Interface([]string{"from", "to"}[rng.IntN(2)])
			low := [4]byte{10, byte(rng.IntN(2)), byte(rng.IntN(3)), byte(rng.IntN(4) * 64)}
			r := Route{Destination: netip.PrefixFrom(at(low), bits[rng.IntN(5)]).Masked(), Metric: uint32(rng.IntN(3))}
			if r.Interface = f.Name(); rng.IntN(5) == 0 {
				r.Type, r.Interface = Blackhole, ""
			}
			there := m.index(false, r)
			switch rng.IntN(6) {
			case 0, 1:
				check(inst.AddRoute(r), there < 0)
				if there < 0 {
					m.rows = append(m.rows, modelRow{r, false})
				}
			case 2:
				check(inst.ReplaceRoute(r), true)
				m.remove(there)
				m.rows = append(m.rows, modelRow{r, false})
			case 3:
				check(inst.RemoveRoute(r.Destination, r.Metric), there >= 0)
				m.remove(there)
			case 4:
				m.down[f.Name()] = !m.down[f.Name()]
				check(f.SetUp(!m.down[f.Name()]), true)
			case 5:
				low[3] = 193 // for interface "from"; "to" has 194 in the same subnet
				if f.Name() == "to" {
					low[3]++
				}
				address := netip.PrefixFrom(at(low), bits[4])
				subnet := Route{Destination: address.Masked(), Interface: f.Name()}
				if at := m.index(true, subnet); at >= 0 {
					check(f.RemoveAddress(address.Addr()), true)
					m.remove(at)
				} else {
					check(f.AddAddress(address), true)
					m.rows = append(m.rows, modelRow{subnet, true})
				}
			}
			for range 30 {
				dst := at([4]byte{10, byte(rng.IntN(2)), byte(rng.IntN(3)), byte(rng.IntN(4)*64 + 5)})
				got, want := w.lookup(dst), m.lookup(dst)
				if got == nil || want == nil {
					if got != nil || want != nil {
						t.Fatalf("seed %d, step %d: %v: %+v, want %+v", seed, step, dst, got, want)
					}
					continue
				}
				if got.kind != hopOfType[want.Type] || got.route.Metric != want.Metric || got.route.Interface != want.Interface || (got.row == rowConnected) != want.connected {
					t.Fatalf("seed %d, step %d: %v: %+v, want %+v", seed, step, dst, got.hopKey, *want)
				}
			}
		}
		routes := 0
		for _, r := range m.rows {
			if !r.connected {
				routes++
			}
		}
		if inst.fib.statics != routes {
			t.Errorf("seed %d: the budget counts %d routes of %d", seed, inst.fib.statics, routes)
		}
	}
}
