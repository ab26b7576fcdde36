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

// A hopKey is all that a row says but its prefix.
type hopKey struct {
	kind  hopKind
	row   rowKind
	iface *Interface // the outgoing interface, or the one that owns the local address; nil for the refusing kinds
	route Route      // without the destination
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

// inForce returns the first row of a prefix that counts, nil if there is none: rows by an interface that cannot be used do
// not, except that its addresses remain ours.
func inForce(rows []*hop) *hop {
	for _, h := range rows {
		if h.iface == nil || h.kind == hopLocal || h.iface.state.Load().usable() {
			return h
		}
	}
	return nil
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
	table   *bart.Table[*hop] // the row in force of each prefix
	hops    []*hop            // by id; there is none with id 0
}

// lookup returns the hop for a destination, nil if there is no route.
func (s *snapshot) lookup(a netip.Addr) *hop {
	if a.IsUnspecified() {
		return unspecified
	}
	h, _ := s.table.Lookup(a)
	return h
}

// A fib is the forwarding table: local addresses, connected subnets and routes in one longest-prefix-match table, so
// that one lookup decides between delivery and forwarding. Readers take an immutable snapshot and no lock. What is not
// about the snapshot is guarded by Instance.mu, and so are the methods that change anything.
type fib struct {
	current atomic.Pointer[snapshot]

	budget  int // of static rows; 0: no limit
	statics int // how many rows are static

	// contested holds the rows of the prefixes that have more than one, or one that is not in force, in the order in which
	// they come into force. The one row of any other prefix is in the table only: of a million, each counts.
	contested map[netip.Prefix][]*hop

	hops    map[hopKey]*hop
	byID    []*hop // snapshot.hops of the next snapshot
	freeIDs []uint16
	sharing bool // byID is that of the current snapshot
	sweepAt int  // how many hops there may be before those that no row has are looked for
}

func newFIB(budget int) *fib {
	f := &fib{budget: budget, contested: make(map[netip.Prefix][]*hop), hops: make(map[hopKey]*hop), byID: make([]*hop, 1, 8), sweepAt: 64}
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
	return f.current.Load().table.All()
}

// size returns how many rows are in force.
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
		live[h] = true
	}
	for _, rows := range f.contested {
		for _, h := range rows {
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
	for _, e := range f.using(i) {
		edit.remove(e.prefix, e.hop)
	}
	f.sweepAt = 0
	edit.commit()
}

// refresh puts the rows that lead to an interface in force or out of it, after its state has changed.
func (f *fib) refresh(i *Interface) {
	edit := f.edit()
	for _, e := range f.using(i) {
		edit.put(e.prefix, edit.rows(e.prefix))
	}
	edit.commit()
}

// using returns all rows that lead to an interface.
func (f *fib) using(i *Interface) []fibEntry {
	var entries []fibEntry
	for p, h := range f.all() {
		if _, more := f.contested[p]; h.iface == i && !more {
			entries = append(entries, fibEntry{p, h})
		}
	}
	for p, rows := range f.contested {
		for _, h := range rows {
			if h.iface == i {
				entries = append(entries, fibEntry{p, h})
			}
		}
	}
	return entries
}

// An edit is a change of the table under way. Nobody sees anything of it before commit; it ends with that or with giveUp.
type edit struct {
	fib       *fib
	table     *bart.Table[*hop]
	changes   int                     // of table
	contested map[netip.Prefix][]*hop // what differs from fib.contested; nil where there is nothing any more
	statics   int
	scratch   []*hop
}

func (f *fib) edit() *edit {
	return &edit{fib: f, table: f.current.Load().table, statics: f.statics}
}

// clonedFrom is the number of changes from which copying the whole table once is cheaper than one path copy each.
const clonedFrom = 256

// rows returns the rows of a prefix, which are good until the next call.
func (e *edit) rows(p netip.Prefix) []*hop {
	e.scratch = e.scratch[:0]
	if rows, known := e.contestedRows(p); known {
		e.scratch = append(e.scratch, rows...)
	} else if h, found := e.table.Get(p); found {
		e.scratch = append(e.scratch, h)
	}
	return e.scratch
}

func (e *edit) contestedRows(p netip.Prefix) (rows []*hop, known bool) {
	rows, known = e.contested[p]
	if !known {
		rows, known = e.fib.contested[p]
		return rows, known
	}
	return rows, rows != nil
}

// put makes rows, in their order, those of a prefix.
func (e *edit) put(p netip.Prefix, rows []*hop) {
	h := inForce(rows)
	if e.changes++; e.changes == clonedFrom {
		e.table = e.table.Clone()
	}
	switch cloned := e.changes >= clonedFrom; {
	case h == nil && cloned:
		e.table.Delete(p)
	case h == nil:
		e.table = e.table.DeletePersist(p)
	case cloned:
		e.table.Insert(p, h)
	default:
		e.table = e.table.InsertPersist(p, h)
	}
	_, known := e.contestedRows(p)
	contested := len(rows) > 1 || len(rows) == 1 && h == nil
	if !known && !contested {
		return
	}
	if e.contested == nil {
		e.contested = make(map[netip.Prefix][]*hop)
	}
	e.contested[p] = nil
	if contested {
		e.contested[p] = slices.Clone(rows)
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
	at := slices.Index(rows, h)
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
	for p, rows := range e.contested {
		if rows == nil {
			delete(f.contested, p)
		} else {
			f.contested[p] = rows
		}
	}
	if len(f.contested) == 0 {
		f.contested = make(map[netip.Prefix][]*hop) // maps do not shrink
	}
	f.statics = e.statics
	if len(f.hops) > f.sweepAt {
		f.sweep(e.table)
	}
	f.current.Store(&snapshot{version: f.current.Load().version + 1, table: e.table, hops: f.byID})
	f.sharing = true
}
