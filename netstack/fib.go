// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
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
	hopBlackhole
	hopUnreachable
	hopProhibit

	// What no route may say.
	hopLocal
	hopBroadcast // limited, or an interface's subnet broadcast address: never forwarded (RFC 2644)
	hopMulticast // for our own members only: there is no multicast routing
	hopMartian   // no destination at all
)

// special are the rows that every table has.
var special = []fibEntry{
	{netip.MustParsePrefix("0.0.0.0/32"), rowLocal, &hop{kind: hopMartian}},
	{netip.MustParsePrefix("::/128"), rowLocal, &hop{kind: hopMartian}},
	{netip.MustParsePrefix("255.255.255.255/32"), rowLocal, &hop{kind: hopBroadcast}},
	{multicast4, rowLocal, &hop{kind: hopMulticast}},
	{multicast6, rowLocal, &hop{kind: hopMulticast}},
}

var (
	multicast4       = netip.MustParsePrefix("224.0.0.0/4")
	multicast6       = netip.MustParsePrefix("ff00::/8")
	limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
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

// The rows that may stand behind one prefix. The first that counts (inForce) is in force: local before static before
// connected, then by age.
const (
	rowLocal     = iota // an address of ours; one for a prefix
	rowStatic           // AddRoute; one for a prefix
	rowConnected        // the subnet of an interface's address; one for an interface
)

// A fibEntry is one row of the table.
type fibEntry struct {
	prefix netip.Prefix
	row    int
	hop    *hop
}

// A fib is the forwarding table: local addresses, connected subnets and routes in one longest-prefix-match table, so
// that one lookup decides between delivery and forwarding. Readers take an immutable snapshot and no lock.
type fib struct {
	table atomic.Pointer[bart.Table[*hop]]

	budget int // of static rows; 0: no limit

	mu      sync.Mutex
	rows    map[netip.Prefix][]fibEntry // guarded by mu; every row, in the order in which they come into force
	statics int                         // guarded by mu; how many rows are static
}

func newFIB(budget int) *fib {
	f := &fib{budget: budget, rows: make(map[netip.Prefix][]fibEntry)}
	f.table.Store(new(bart.Table[*hop]))
	if err := f.add(special...); err != nil {
		panic(err) // the list above is wrong
	}
	return f
}

// lookup returns the hop for a destination, nil if there is no route.
func (f *fib) lookup(a netip.Addr) *hop {
	h, _ := f.table.Load().Lookup(a)
	return h
}

// add puts entries into the table, all of them or none: a local or static row that is taken is refused with ErrExists, static
// rows beyond the budget with ErrBudget.
func (f *fib) add(entries ...fibEntry) error { return f.change(nil, entries) }

// remove takes entries out; those that are not there are passed over.
func (f *fib) remove(entries ...fibEntry) { _ = f.change(entries, nil) }

// change takes entries out and puts others in, in one step. The errors are those of add; then nothing has changed.
func (f *fib) change(remove, add []fibEntry) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	type place struct {
		prefix netip.Prefix
		row    int
	}
	taken := make(map[place]bool, len(add))
	for _, e := range add {
		at := place{e.prefix, e.row}
		if e.row == rowConnected {
			continue
		}
		if there, ok := f.find(e.prefix, e.row); taken[at] || ok && !slices.Contains(remove, there) {
			return fmt.Errorf("%v: %w", e.prefix, ErrExists)
		}
		taken[at] = true
	}
	if added := countStatic(add); added > 0 {
		if err := checkBudget("routes", f.budget, f.statics+added); err != nil {
			return err
		}
	}
	for _, e := range remove {
		f.setRows(e.prefix, slices.DeleteFunc(slices.Clone(f.rows[e.prefix]), func(o fibEntry) bool { return o == e }))
	}
	for _, e := range add {
		rows := append(slices.Clone(f.rows[e.prefix]), e)
		slices.SortStableFunc(rows, func(a, b fibEntry) int { return cmp.Compare(a.row, b.row) })
		f.setRows(e.prefix, rows)
	}
	f.publish(slices.Concat(remove, add))
	return nil
}

// setRows replaces the rows of a prefix. f.mu is held.
func (f *fib) setRows(p netip.Prefix, rows []fibEntry) {
	f.statics += countStatic(rows) - countStatic(f.rows[p])
	if len(rows) == 0 {
		delete(f.rows, p)
		return
	}
	f.rows[p] = rows
}

// find returns the first row of a kind. f.mu is held.
func (f *fib) find(p netip.Prefix, row int) (fibEntry, bool) {
	for _, e := range f.rows[p] {
		if e.row == row {
			return e, true
		}
	}
	return fibEntry{}, false
}

// inForce returns the hop of the first row that counts, nil if there is none: rows by an interface that cannot be used do
// not, except that its addresses remain ours.
func inForce(rows []fibEntry) *hop {
	for _, e := range rows {
		if e.hop.iface == nil || e.hop.kind == hopLocal || e.hop.iface.state.Load().usable() {
			return e.hop
		}
	}
	return nil
}

// publishClone is the number of changes from which copying the whole table once is cheaper than one path copy each.
const publishClone = 256

// publish makes a new snapshot in which the prefixes of the entries are as their rows say. f.mu is held.
func (f *fib) publish(changed []fibEntry) {
	table := f.table.Load()
	clone := len(changed) >= publishClone
	if clone {
		table = table.Clone()
	}
	for _, e := range changed {
		h := inForce(f.rows[e.prefix])
		switch {
		case h == nil && clone:
			table.Delete(e.prefix)
		case h == nil:
			table = table.DeletePersist(e.prefix)
		case clone:
			table.Insert(e.prefix, h)
		default:
			table = table.InsertPersist(e.prefix, h)
		}
	}
	f.table.Store(table)
}

// refresh publishes the rows that lead to an interface again, after its state has changed.
func (f *fib) refresh(i *Interface) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publish(f.usingLocked(i))
}

func countStatic(entries []fibEntry) (n int) {
	for _, e := range entries {
		if e.row == rowStatic {
			n++
		}
	}
	return n
}

// static returns the row that AddRoute made for a prefix.
func (f *fib) static(p netip.Prefix) (fibEntry, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.find(p, rowStatic)
}

// using returns the entries of all rows that lead to an interface.
func (f *fib) using(i *Interface) []fibEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.usingLocked(i)
}

func (f *fib) usingLocked(i *Interface) []fibEntry {
	var entries []fibEntry
	for _, rows := range f.rows {
		for _, e := range rows {
			if e.hop.iface == i {
				entries = append(entries, e)
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
// is there, ErrNotFound if the interface is not, ErrInvalid if the route does not make sense, ErrBudget.
func (i *Instance) AddRoute(r Route) error { return i.AddRoutes(r) }

// AddRoutes adds many rows at once: all of them or, on an error, none. Packets see all or none of them, too.
func (i *Instance) AddRoutes(routes ...Route) error {
	i.mu.Lock() // interfaces stay
	defer i.mu.Unlock()
	entries := make([]fibEntry, 0, len(routes))
	for _, r := range routes {
		h, err := i.newHop(&r)
		if err != nil {
			return opError("add route", fmt.Sprintf("%v", r.Destination), err)
		}
		entries = append(entries, fibEntry{prefix: r.Destination, row: rowStatic, hop: h})
	}
	if err := i.fib.add(entries...); err != nil {
		return opError("add route", "", err)
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
	if multicast4.Overlaps(r.Destination) && r.Destination.Bits() >= multicast4.Bits() ||
		multicast6.Overlaps(r.Destination) && r.Destination.Bits() >= multicast6.Bits() {
		return nil, fmt.Errorf("%w: there is no multicast routing", ErrInvalid)
	}
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
	if !is4 && out.MTU() < minMTU6 {
		return nil, fmt.Errorf("%w: interface %s has an MTU of %d; IPv6 needs %d (RFC 8200 section 5)", ErrInvalid, out.name, out.MTU(), minMTU6)
	}
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
	i.mu.Lock()
	defer i.mu.Unlock()
	e, found := i.fib.static(p)
	if !found {
		return opError("remove route", fmt.Sprintf("%v", p), ErrNotFound)
	}
	i.fib.remove(e)
	i.mirrorRoutes()
	return nil
}

// Routes iterates over the routes and connected subnets in force, on one snapshot and in no particular order. Local
// addresses are not among them. It may be used inside hooks.
func (i *Instance) Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, h := range i.fib.all() {
			if h.kind <= hopProhibit && !yield(h.route) {
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
