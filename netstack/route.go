// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"iter"
	"net/netip"
)

// A RouteType says what becomes of packets that a route matches, in the words of ip-route(8).
type RouteType uint8

// The route types.
const (
	Unicast     RouteType = iota // goes out by the route's interface
	Blackhole                    // dropped in silence
	Unreachable                  // dropped, the sender is told Host Unreachable (IPv6: Address Unreachable)
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

// A Route is one row of an instance's forwarding table. A lookup takes the row with the longest prefix, and of those the
// one with the lowest metric whose interface can be used.
type Route struct {
	Destination netip.Prefix // masked when it is added
	Type        RouteType
	Interface   string     // name of the outgoing interface; Unicast only
	Gateway     netip.Addr // optional: TUN devices are point to point, the gateway only documents the next hop
	Source      netip.Addr // source address of host sockets that send by this route; default: the interface's first address
	MTU         int        // bytes; 0 is the interface's
	// Metric orders the routes to one destination, which all have different ones: the lowest is in force, the others stand
	// by until it is removed or its interface goes down. The subnet of an interface's address counts as a route of metric
	// 0, behind one of AddRoute with the same metric. (Linux calls it priority, and has 1024 for what IPv6 routes do not
	// say.)
	Metric uint32
}

// AddRoute adds a row to the forwarding table; packets see it at once. It fails with ErrExists if a route with that prefix
// and metric is there, ErrNotFound if the interface is not, ErrInvalid if the route does not make sense, ErrBudget.
func (i *Instance) AddRoute(r Route) error { return i.AddRoutes(r) }

// AddRoutes adds many rows at once: all of them or, on an error, which names the first row at fault, none. Packets see all
// or none of them, too. It is the way to load a large table: a million rows take about a second and 40 MB.
func (i *Instance) AddRoutes(routes ...Route) error {
	i.mu.Lock() // interfaces stay
	defer i.mu.Unlock()
	edit := i.fib.edit()
	for n, r := range routes {
		h, err := i.newHop(&r)
		if err == nil {
			err = edit.add(r.Destination, h)
		}
		if err != nil {
			edit.giveUp()
			object := r.Destination.String()
			if len(routes) > 1 {
				object = fmt.Sprintf("%v (row %d of %d)", r.Destination, n+1, len(routes))
			}
			return opError("add route", object, err)
		}
	}
	edit.commit()
	i.mirrorRoutes()
	return nil
}

// ReplaceRoute puts a row in the place of the one with its prefix and metric, in one step, or adds it if there is none, as
// "ip route replace" does. Errors as those of AddRoute, but for ErrExists.
func (i *Instance) ReplaceRoute(r Route) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	edit := i.fib.edit()
	h, err := i.newHop(&r)
	if err == nil {
		edit.removeStatic(r.Destination, r.Metric)
		err = edit.add(r.Destination, h)
	}
	if err != nil {
		edit.giveUp()
		return opError("replace route", r.Destination.String(), err)
	}
	edit.commit()
	i.mirrorRoutes()
	return nil
}

// RemoveRoute removes the row that AddRoute or ReplaceRoute made for a prefix and metric; no other takes its place as a
// match. (Linux, told no metric, removes the row with the lowest.) ErrNotFound if there is no such row.
func (i *Instance) RemoveRoute(destination netip.Prefix, metric uint32) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	edit := i.fib.edit()
	if !edit.removeStatic(destination.Masked(), metric) {
		return opError("remove route", fmt.Sprintf("%v with metric %d", destination, metric), ErrNotFound)
	}
	edit.commit()
	i.mirrorRoutes()
	return nil
}

// Routes iterates over the routes and connected subnets in force, on one snapshot and in no particular order. Local
// addresses and routes that stand by are not among them. It may be used inside hooks.
func (i *Instance) Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for p, h := range i.fib.all() {
			if h.kind <= hopProhibit {
				r := h.route
				r.Destination = p
				if !yield(r) {
					return
				}
			}
		}
	}
}

// isLocal reports whether an address is one of the instance's own.
func (i *Instance) isLocal(a netip.Addr) bool {
	return i.fib.lookup(a).local()
}

// newHop checks a route and masks its destination. Instance.mu is held.
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
		return i.fib.share(hopKey{kind: hopOfType[r.Type], row: rowStatic, route: *r}), nil
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
	return i.fib.share(hopKey{kind: hopForward, row: rowStatic, iface: out, route: *r}), nil
}
