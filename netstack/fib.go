// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// hopKind is the answer to "what to do with this destination".
type hopKind uint8

const (
	hopForward hopKind = iota
	hopBlackhole
	hopUnreachable
	hopProhibit

	// What no route may say.
	hopLocal
	hopBroadcast // limited, or an interface's subnet broadcast address: never forwarded (RFC 2644)
	hopMulticast // for our own members only: there is no multicast routing
	hopMartian   // no destination at all
)

var hopOfType = [...]hopKind{Unicast: hopForward, Blackhole: hopBlackhole, Unreachable: hopUnreachable, Prohibit: hopProhibit}

var (
	multicast4       = netip.MustParsePrefix("224.0.0.0/4")
	multicast6       = netip.MustParsePrefix("ff00::/8")
	limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// special are the rows that every table has.
var special = []struct {
	prefix netip.Prefix
	kind   hopKind
}{
	{netip.PrefixFrom(limitedBroadcast, 32), hopBroadcast},
	{multicast4, hopMulticast},
	{multicast6, hopMulticast},
}

// unspecified is what a lookup of 0.0.0.0 or :: gives. As rows of the table they would take a node for each byte of ::1.
var unspecified = &hop{hopKey: hopKey{kind: hopMartian, row: rowLocal}, id: noID}

// A rowKind says where a row of the table comes from.
type rowKind uint8

const (
	rowLocal     rowKind = iota // an address of ours, or one that every table has; one for a prefix
	rowStatic                   // AddRoute; one for a prefix and metric
	rowConnected                // the subnet of an interface's address; one for an interface
)

// A hopKey is all that a row says but its prefix, and what stands by behind it.
type hopKey struct {
	kind  hopKind
	row   rowKind
	iface *Interface // the outgoing interface, or the one that owns the local address; nil for the refusing kinds
	route Route      // without the destination
	next  *hop       // the row of the same prefix that comes into force when this one does not count; nil: none
}

// A hop is what a lookup in the forwarding table gives. It is immutable. All rows that say the same share one (fib.share):
// a table has few of them, so that they stay in the processor's cache however many rows there are.
type hop struct {
	hopKey
	id uint16 // its place in snapshot.hops; noID if there was none left
}

// noID is the id of a hop that caches cannot name.
const noID = 1<<16 - 1

// mtu returns the largest packet that may take this hop, in bytes.
func (h *hop) mtu() int {
	mtu := h.iface.MTU()
	if h.route.MTU != 0 && h.route.MTU < mtu {
		mtu = h.route.MTU
	}
	return mtu
}

// leadsTo reports whether this row or one behind it is by an interface.
func (h *hop) leadsTo(i *Interface) bool {
	for ; h != nil; h = h.next {
		if h.iface == i {
			return true
		}
	}
	return false
}

// sameRow reports whether two hops say the same, whatever stands by behind them.
func sameRow(a, b *hop) bool {
	k := a.hopKey
	k.next = b.next
	return k == b.hopKey
}

// compareRows is the order in which the rows of a prefix come into force: local ones, then by metric, a route before a
// connected subnet, then by age.
func compareRows(a, b *hop) int {
	if a.row == rowLocal || b.row == rowLocal {
		return cmp.Compare(a.row, b.row)
	}
	return cmp.Or(cmp.Compare(a.route.Metric, b.route.Metric), cmp.Compare(a.row, b.row))
}

// A fibEntry is one row of the table.
type fibEntry struct {
	prefix netip.Prefix
	hop    *hop
}

// A snapshot is the forwarding table as packets see it. It is immutable.
type snapshot struct {
	version uint64
	table   *bart.Table[*hop] // the first row of each prefix
	hops    []*hop            // by id; there is none with id 0
	down    []*Interface      // those that cannot be used: their rows do not count, except that their addresses remain ours
}

// lookup returns the hop for a destination, nil if there is no route.
func (s *snapshot) lookup(a netip.Addr) *hop {
	if a.IsUnspecified() {
		return unspecified
	}
	h, _ := s.table.Lookup(a)
	if len(s.down) == 0 || s.inForce(h) == h {
		return h
	}
	// Prefix by prefix, from the longest on: an interface that goes down costs those who ask for what was behind it, and
	// not a change of each of a million rows.
	for p := netip.PrefixFrom(a, a.BitLen()); ; {
		p, h, _ = s.table.LookupPrefixLPM(p)
		if h := s.inForce(h); h != nil || p.Bits() <= 0 { // -1: no prefix is left
			return h
		}
		p = netip.PrefixFrom(p.Addr(), p.Bits()-1)
	}
}

// local reports whether a hop, or nil, is an address of ours.
func (h *hop) local() bool { return h != nil && h.kind == hopLocal }

// inForce returns the first row that counts of a prefix whose first row is h; nil if there is none, or h is nil.
func (s *snapshot) inForce(h *hop) *hop {
	for h != nil && h.iface != nil && h.kind != hopLocal && slices.Contains(s.down, h.iface) {
		h = h.next
	}
	return h
}

// A fib is the forwarding table: local addresses, connected subnets and routes in one longest-prefix-match table, so
// that one lookup decides between delivery and forwarding. Readers take an immutable snapshot and no lock. What is not
// about the snapshot is guarded by Instance.mu, and so are the methods that change anything.
type fib struct {
	current atomic.Pointer[snapshot]

	budget  int // of static rows; 0: no limit
	statics int // how many rows are static

	hops    map[hopKey]*hop
	byID    []*hop // snapshot.hops of the next snapshot
	freeIDs []uint16
	sharing bool // byID is that of the current snapshot
	sweepAt int  // how many hops there may be before those that no row has are looked for
}

func newFIB(budget int) *fib {
	f := &fib{budget: budget, hops: make(map[hopKey]*hop), byID: make([]*hop, 1, 8), sweepAt: 64}
	f.current.Store(&snapshot{table: new(bart.Table[*hop])})
	edit := f.edit()
	for _, s := range special {
		if err := edit.add(s.prefix, f.share(hopKey{kind: s.kind, row: rowLocal})); err != nil {
			panic(err) // the list above is wrong
		}
	}
	edit.commit()
	return f
}

// lookup returns the hop for a destination, nil if there is no route. Workers have a faster way.
func (f *fib) lookup(a netip.Addr) *hop { return f.current.Load().lookup(a) }

// all iterates over the rows in force, in no particular order, on one snapshot.
func (f *fib) all() iter.Seq2[netip.Prefix, *hop] {
	return func(yield func(netip.Prefix, *hop) bool) {
		s := f.current.Load()
		for p, h := range s.table.All() {
			if h = s.inForce(h); h != nil && !yield(p, h) {
				return
			}
		}
	}
}

// size returns how many prefixes have rows.
func (f *fib) size() int { return f.current.Load().table.Size() }

// share returns the hop that says what the key says.
func (f *fib) share(k hopKey) *hop {
	k.route.Destination = netip.Prefix{}
	if h := f.hops[k]; h != nil {
		return h
	}
	h := &hop{hopKey: k, id: noID}
	switch last := len(f.freeIDs) - 1; {
	case last >= 0:
		h.id, f.freeIDs = f.freeIDs[last], f.freeIDs[:last]
		f.setByID(h.id, h)
	case len(f.byID) < noID:
		h.id = uint16(len(f.byID))
		f.byID = append(f.byID, h) // snapshots do not look so far
	}
	f.hops[k] = h
	return h
}

func (f *fib) setByID(id uint16, h *hop) {
	if f.sharing {
		f.byID, f.sharing = slices.Clone(f.byID), false
	}
	f.byID[id] = h
}

// sweep forgets the hops that no row of a table that is about to be published has.
func (f *fib) sweep(table *bart.Table[*hop]) {
	live := make(map[*hop]bool, len(f.hops))
	for _, h := range table.All() {
		for ; h != nil && !live[h]; h = h.next {
			live[h] = true
		}
	}
	for k, h := range f.hops {
		if live[h] {
			continue
		}
		delete(f.hops, k)
		if h.id != noID {
			f.setByID(h.id, nil)
			f.freeIDs = append(f.freeIDs, h.id)
		}
	}
	f.sweepAt = 2*len(f.hops) + 64
}

// change takes entries out, those that are there, and puts others in, in one step. The errors are those of edit.add; then
// nothing has changed.
func (f *fib) change(remove, add []fibEntry) error {
	edit := f.edit()
	for _, e := range remove {
		edit.remove(e.prefix, e.hop)
	}
	for _, e := range add {
		if err := edit.add(e.prefix, e.hop); err != nil {
			edit.giveUp()
			return fmt.Errorf("%v: %w", e.prefix, err)
		}
	}
	edit.commit()
	return nil
}

// add puts entries into the table, all of them or none.
func (f *fib) add(entries ...fibEntry) error { return f.change(nil, entries) }

// remove takes entries out; those that are not there are passed over.
func (f *fib) remove(entries ...fibEntry) { _ = f.change(entries, nil) }

// removeInterface takes out all rows that lead to an interface, which is not kept alive by the table from then on.
func (f *fib) removeInterface(i *Interface) {
	edit := f.edit()
	for p, h := range edit.table.All() {
		if h.leadsTo(i) {
			edit.put(p, slices.DeleteFunc(edit.rows(p), func(h *hop) bool {
				if h.iface == i && h.row == rowStatic {
					edit.statics--
				}
				return h.iface == i
			}))
		}
	}
	edit.setDown(i, false)
	f.sweepAt = 0
	edit.commit()
}

// refresh puts the rows that lead to an interface in force or out of it, after its state has changed.
func (f *fib) refresh(i *Interface) {
	edit := f.edit()
	edit.setDown(i, !i.State().usable())
	edit.commit()
}

// An edit is a change of the table under way. Nobody sees anything of it before commit; it ends with that or with giveUp.
type edit struct {
	fib     *fib
	table   *bart.Table[*hop]
	changes int // of table
	down    []*Interface
	statics int
	scratch []*hop
}

func (f *fib) edit() *edit {
	s := f.current.Load()
	return &edit{fib: f, table: s.table, down: s.down, statics: f.statics}
}

// setDown says whether an interface cannot be used.
func (e *edit) setDown(i *Interface, down bool) {
	e.down = slices.DeleteFunc(slices.Clone(e.down), func(o *Interface) bool { return o == i })
	if down {
		e.down = append(e.down, i)
	}
}

// clonedFrom is the number of changes from which copying the whole table once is cheaper than one path copy each.
const clonedFrom = 256

// rows returns the rows of a prefix, in the order in which they come into force. They are good until the next call.
func (e *edit) rows(p netip.Prefix) []*hop {
	e.scratch = e.scratch[:0]
	for h, _ := e.table.Get(p); h != nil; h = h.next {
		e.scratch = append(e.scratch, h)
	}
	return e.scratch
}

// put makes rows, in their order, those of a prefix.
func (e *edit) put(p netip.Prefix, rows []*hop) {
	var first *hop
	for _, h := range slices.Backward(rows) {
		if h.next != first {
			k := h.hopKey
			k.next = first
			h = e.fib.share(k)
		}
		first = h
	}
	if e.changes++; e.changes == clonedFrom {
		e.table = e.table.Clone()
	}
	switch cloned := e.changes >= clonedFrom; {
	case first == nil && cloned:
		e.table.Delete(p)
	case first == nil:
		e.table = e.table.DeletePersist(p)
	case cloned:
		e.table.Insert(p, first)
	default:
		e.table = e.table.InsertPersist(p, first)
	}
}

// add adds a row. A local row to a prefix that has one, and a static row of the same metric, is refused with ErrExists, a
// static row beyond the budget with ErrBudget; then the edit must be given up.
func (e *edit) add(p netip.Prefix, h *hop) error {
	rows := e.rows(p)
	for _, o := range rows {
		if o.row == h.row && o.row != rowConnected && o.route.Metric == h.route.Metric {
			if h.row == rowStatic {
				return fmt.Errorf("%w: a route to it with metric %d", ErrExists, h.route.Metric)
			}
			return ErrExists
		}
	}
	if h.row == rowStatic {
		e.statics++
		if err := checkBudget("routes", e.fib.budget, e.statics); err != nil {
			return err
		}
	}
	rows = append(rows, h)
	slices.SortStableFunc(rows, compareRows)
	e.put(p, rows)
	return nil
}

// remove takes a row out, if it is there.
func (e *edit) remove(p netip.Prefix, h *hop) {
	rows := e.rows(p)
	at := slices.IndexFunc(rows, func(o *hop) bool { return o == h || sameRow(o, h) })
	if at < 0 {
		return
	}
	if h.row == rowStatic {
		e.statics--
	}
	e.put(p, slices.Delete(rows, at, at+1))
}

// removeStatic takes the static row of a metric out. It returns false if there is none.
func (e *edit) removeStatic(p netip.Prefix, metric uint32) bool {
	for _, h := range e.rows(p) {
		if h.row == rowStatic && h.route.Metric == metric {
			e.remove(p, h)
			return true
		}
	}
	return false
}

// giveUp ends an edit that is not to be. The hops that were made for it are forgotten in time.
func (e *edit) giveUp() {
	if f := e.fib; len(f.hops) > f.sweepAt {
		f.sweep(f.current.Load().table)
	}
}

// commit publishes the edit.
func (e *edit) commit() {
	f := e.fib
	f.statics = e.statics
	if len(f.hops) > f.sweepAt {
		f.sweep(e.table)
	}
	f.current.Store(&snapshot{version: f.current.Load().version + 1, table: e.table, hops: f.byID, down: e.down})
	f.sharing = true
}
