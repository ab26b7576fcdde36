// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// A RouteType says what becomes of packets that a route matches, in the words of ip-route(8).
type RouteType uint8

// The route types.
const (
	Unicast     RouteType = iota // goes out by the route's interface
	Blackhole                    // dropped in silence
	Unreachable                  // dropped, the sender is told Host Unreachable (IPv6: no route)
	Prohibit                     // dropped, the sender is told Administratively Prohibited
)

var routeTypeNames = [...]string{"unicast", "blackhole", "unreachable", "prohibit"}

// String returns the type's name as ip-route(8) spells it.
func (t RouteType) String() string {
	if int(t) < len(routeTypeNames) {
		return routeTypeNames[t]
	}
	return fmt.Sprintf("route type %d", uint8(t))
}

// A Route is one row of an instance's forwarding table. A lookup takes the row with the longest prefix.
type Route struct {
	Destination netip.Prefix // masked when it is added
	Type        RouteType
	Interface   string     // name of the outgoing interface; Unicast only
	Gateway     netip.Addr // optional: TUN devices are point to point, the gateway only documents the next hop
	Source      netip.Addr // source address of host sockets that send by this route; default: the interface's first address
	MTU         int        // bytes; 0 is the interface's
}

// hopKind is the answer to "what to do with this destination".
type hopKind uint8

const (
	hopForward hopKind = iota
	hopLocal
	hopBroadcast // an interface's subnet broadcast address: never forwarded (RFC 2644)
	hopBlackhole
	hopUnreachable
	hopProhibit
)

var hopOfType = [...]hopKind{Unicast: hopForward, Blackhole: hopBlackhole, Unreachable: hopUnreachable, Prohibit: hopProhibit}

// A hop is what a lookup in the forwarding table gives. It is immutable.
type hop struct {
	kind  hopKind
	iface *Interface // the outgoing interface, or the one that owns the local address; nil for the refusing kinds
	route Route
}

// mtu returns the largest packet that may take this hop, in bytes.
func (h *hop) mtu() int {
	mtu := h.iface.MTU()
	if h.route.MTU != 0 && h.route.MTU < mtu {
		mtu = h.route.MTU
	}
	return mtu
}

// The rows that may stand behind one prefix; the lowest present one is in force.
const (
	rowLocal     = iota // an address of ours
	rowStatic           // AddRoute
	rowConnected        // the subnet of an interface's address
	numRows
)

type rows [numRows]*hop

func (r *rows) best() *hop {
	for _, h := range r {
		if h != nil {
			return h
		}
	}
	return nil
}

// A fib is the forwarding table: local addresses, connected subnets and routes in one longest-prefix-match table, so
// that one lookup decides between delivery and forwarding. Readers take an immutable snapshot and no lock.
type fib struct {
	table atomic.Pointer[bart.Table[*hop]]

	mu   sync.Mutex
	rows map[netip.Prefix]*rows // guarded by mu; every row, also those hidden behind a better one
}

func newFIB() *fib {
	f := &fib{rows: make(map[netip.Prefix]*rows)}
	f.table.Store(new(bart.Table[*hop]))
	return f
}

// lookup returns the hop for a destination, nil if there is no route.
func (f *fib) lookup(a netip.Addr) *hop {
	h, _ := f.table.Load().Lookup(a)
	return h
}

// A fibEntry is one row to add to the table.
type fibEntry struct {
	prefix netip.Prefix
	row    int
	hop    *hop
}

// add puts entries into the table, all of them or none: a row that is taken is refused with ErrExists.
func (f *fib) add(entries ...fibEntry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	type place struct {
		prefix netip.Prefix
		row    int
	}
	taken := make(map[place]bool, len(entries))
	for _, e := range entries {
		at := place{e.prefix, e.row}
		if r := f.rows[e.prefix]; taken[at] || r != nil && r[e.row] != nil {
			return opError("add route", fmt.Sprintf("%v", e.prefix), ErrExists)
		}
		taken[at] = true
	}
	f.edit(entries, false)
	return nil
}

// remove takes entries out; those that are not there are passed over.
func (f *fib) remove(entries ...fibEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.edit(entries, true)
}

// editClone is the number of changes from which copying the whole table once is cheaper than one path copy each.
const editClone = 256

// edit changes rows and publishes one new snapshot. f.mu is held.
func (f *fib) edit(entries []fibEntry, remove bool) {
	table := f.table.Load()
	clone := len(entries) >= editClone
	if clone {
		table = table.Clone()
	}
	for _, e := range entries {
		r := f.rows[e.prefix]
		if r == nil {
			if remove {
				continue
			}
			r = new(rows)
			f.rows[e.prefix] = r
		}
		r[e.row] = e.hop
		if remove {
			r[e.row] = nil
		}
		best := r.best()
		switch {
		case best == nil && clone:
			table.Delete(e.prefix)
		case best == nil:
			table = table.DeletePersist(e.prefix)
		case clone:
			table.Insert(e.prefix, best)
		default:
			table = table.InsertPersist(e.prefix, best)
		}
		if best == nil {
			delete(f.rows, e.prefix)
		}
	}
	f.table.Store(table)
}

// static returns the row that AddRoute made for a prefix, nil if there is none.
func (f *fib) static(p netip.Prefix) *hop {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.rows[p]; r != nil {
		return r[rowStatic]
	}
	return nil
}

// using returns the entries of all rows that lead to an interface.
func (f *fib) using(i *Interface) []fibEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var entries []fibEntry
	for p, r := range f.rows {
		for row, h := range r {
			if h != nil && h.iface == i {
				entries = append(entries, fibEntry{prefix: p, row: row})
			}
		}
	}
	return entries
}

// all iterates over the rows in force, in no particular order, on one snapshot.
func (f *fib) all() iter.Seq2[netip.Prefix, *hop] {
	return f.table.Load().All()
}

// AddRoute adds a row to the forwarding table; packets see it at once. It fails with ErrExists if a route to that prefix
// is there, ErrNotFound if the interface is not, ErrInvalid if the route does not make sense.
func (i *Instance) AddRoute(r Route) error { return i.AddRoutes(r) }

// AddRoutes adds many rows at once: all of them or, on an error, none. Packets see all or none of them, too.
func (i *Instance) AddRoutes(routes ...Route) error {
	entries := make([]fibEntry, 0, len(routes))
	for _, r := range routes {
		h, err := i.newHop(&r)
		if err != nil {
			return opError("add route", fmt.Sprintf("%v", r.Destination), err)
		}
		entries = append(entries, fibEntry{prefix: r.Destination, row: rowStatic, hop: h})
	}
	if err := i.fib.add(entries...); err != nil {
		return err
	}
	i.mirrorRoutes()
	return nil
}

// newHop checks a route and masks its destination.
func (i *Instance) newHop(r *Route) (*hop, error) {
	if !r.Destination.IsValid() {
		return nil, fmt.Errorf("%w: the destination is no prefix; expected e.g. 10.0.0.0/8 or 2001:db8::/32", ErrInvalid)
	}
	r.Destination = r.Destination.Masked()
	if int(r.Type) >= len(hopOfType) {
		return nil, fmt.Errorf("%w: unknown %v", ErrInvalid, r.Type)
	}
	if r.Type != Unicast {
		if r.Interface != "" {
			return nil, fmt.Errorf("%w: a %v route takes no interface", ErrInvalid, r.Type)
		}
		return &hop{kind: hopOfType[r.Type], route: *r}, nil
	}
	out, ok := i.Interface(r.Interface)
	if !ok || out.loopback() {
		return nil, fmt.Errorf("%w: no interface %q to route by", ErrNotFound, r.Interface)
	}
	is4 := r.Destination.Addr().Is4()
	if r.Gateway.IsValid() && r.Gateway.Is4() != is4 {
		return nil, fmt.Errorf("%w: gateway %v is of the other address family", ErrInvalid, r.Gateway)
	}
	if r.Source.IsValid() && !i.isLocal(r.Source) || r.Source.IsValid() && r.Source.Is4() != is4 {
		return nil, fmt.Errorf("%w: source %v is no address of this instance in the destination's family", ErrInvalid, r.Source)
	}
	if least := minMTU(is4); r.MTU != 0 && r.MTU < least {
		return nil, fmt.Errorf("%w: MTU %d is below the %d bytes that the family requires", ErrInvalid, r.MTU, least)
	}
	return &hop{kind: hopForward, iface: out, route: *r}, nil
}

// RemoveRoute removes what AddRoute added for a prefix. ErrNotFound if there is no such route.
func (i *Instance) RemoveRoute(p netip.Prefix) error {
	p = p.Masked()
	h := i.fib.static(p)
	if h == nil {
		return opError("remove route", fmt.Sprintf("%v", p), ErrNotFound)
	}
	i.fib.remove(fibEntry{prefix: p, row: rowStatic, hop: h})
	i.mirrorRoutes()
	return nil
}

// Routes iterates over the routes and connected subnets in force, on one snapshot and in no particular order. Local
// addresses are not among them. It may be used inside hooks.
func (i *Instance) Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, h := range i.fib.all() {
			if h.kind != hopLocal && h.kind != hopBroadcast && !yield(h.route) {
				return
			}
		}
	}
}

// isLocal reports whether an address is one of the instance's own.
func (i *Instance) isLocal(a netip.Addr) bool {
	h := i.fib.lookup(a)
	return h != nil && h.kind == hopLocal
}
