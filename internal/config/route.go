// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"
)

// The two destinations that "default" stands for.
var (
	default4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	default6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// instanceRoutes checks the routes of an instance, when all its links are known.
func (c *checker) instanceRoutes(raw rawInstance, s *scope) []Route {
	type row struct {
		destination netip.Prefix
		metric      uint32
	}
	first := make(map[row]*yaml.Node)
	var routes []Route
	for _, r := range raw.routes {
		if !c.routeWords(r) {
			continue
		}
		route := Route{At: c.position(r.node), Type: r.kind.val, Gateway: r.via.val, MTU: r.mtu.val, Metric: uint32(r.metric.val)}
		var addresses []netip.Prefix
		switch {
		case r.kind.node != nil && !r.kind.ok: // it was refused already
		case route.Type == RouteUnicast:
			route.Interface = c.egress(r, s)
			if l := s.links[route.Interface]; l != nil {
				addresses = l.addresses
			}
		default:
			c.noEgress(r)
		}
		for _, destination := range destinations(r, addresses) {
			at := row{destination, route.Metric}
			if earlier := first[at]; earlier != nil {
				c.again(r.to.node, r.to.path, "a route to "+destination.String(), "one route to each destination and metric", earlier)
				continue
			}
			first[at] = r.to.node
			if r.mtu.ok && r.mtu.val < MinMTU6 && destination.Addr().Is6() {
				c.problem(r.mtu.node, r.mtu.path, describe(r.mtu.node), fmt.Sprintf("at least %d for an IPv6 route (RFC 8200 section 5)", MinMTU6))
			}
			route.Destination = destination
			routes = append(routes, route)
		}
	}
	return routes
}

// routeWords checks what a route says in itself. It reports whether there is something to go on with.
func (c *checker) routeWords(raw rawRoute) bool {
	if raw.node.Kind != yaml.MappingNode {
		return false
	}
	required(c.decoder, raw.node, raw.path, "to", raw.to, destinationRule)
	if !raw.to.ok {
		return false
	}
	to := raw.to.val
	if raw.via.ok && to.IsValid() && to.Addr().Is4() != raw.via.val.Is4() {
		expected := fmt.Sprintf("an %s address, as %s is", family(to.Addr()), to)
		c.problem(raw.via.node, raw.via.path, describe(raw.via.node), expected)
		return false
	}
	return true
}

// egress returns the interface a unicast route leads out of: the one that is named, or the one whose networks hold the
// gateway. It returns "" after noting why there is none.
func (c *checker) egress(raw rawRoute, s *scope) string {
	name := raw.link.val
	switch {
	case raw.link.node != nil && !raw.link.ok || raw.via.node != nil && !raw.via.ok:
		return "" // it was refused already
	case raw.link.ok:
		if s.links[name] == nil {
			c.unknown(raw.link, "interface", s.names)
			return ""
		}
		if raw.via.ok {
			c.gateway(raw.via, "interface "+name, s.links[name].addresses)
		}
	case raw.via.ok:
		if name = s.linkOf(raw.via.val); name == "" {
			c.problem(raw.via.node, raw.via.path, describe(raw.via.node), "an address in the network of an interface, or the key interface as well")
			return ""
		}
		c.gateway(raw.via, "interface "+name, s.links[name].addresses)
	default:
		c.problem(raw.node, raw.path, "neither interface nor via", "the interface the route leads out of, or a type that needs none: blackhole, unreachable or prohibit")
		return ""
	}
	if mtu := s.links[name].mtu; raw.mtu.val > mtu {
		c.problem(raw.mtu.node, raw.mtu.path, describe(raw.mtu.node), fmt.Sprintf("at most %d, the MTU of interface %s", mtu, name))
	}
	return name
}

// noEgress notes the keys that say nothing on a route that leads nowhere.
func (c *checker) noEgress(raw rawRoute) {
	expected := fmt.Sprintf("none: a route of type %s leads out of no interface", raw.kind.val)
	for key, node := range map[string]*yaml.Node{"interface": raw.link.node, "via": raw.via.node, "mtu": raw.mtu.node} {
		if node != nil {
			c.problem(node, join(raw.path, key), describe(node), expected)
		}
	}
}

// linkOf returns the name of the link whose networks hold the address, the longest prefix first, or "".
func (s *scope) linkOf(address netip.Addr) string {
	best, bestBits := "", -1
	for _, name := range s.names {
		for _, prefix := range s.links[name].addresses {
			if prefix.Contains(address) && prefix.Bits() > bestBits {
				best, bestBits = name, prefix.Bits()
			}
		}
	}
	return best
}

// gateway sees to it that a gateway is a neighbour on the link. Link-local ones are, whatever the addresses.
func (c *checker) gateway(via value[netip.Addr], where string, addresses []netip.Prefix) {
	onLink := via.val.IsLinkLocalUnicast()
	var networks []string
	for _, prefix := range addresses {
		if prefix.Addr() == via.val {
			c.problem(via.node, via.path, describe(via.node), "the address of the other side: this one is an address of "+where)
			return
		}
		onLink = onLink || prefix.Contains(via.val)
		if prefix.Addr().Is4() == via.val.Is4() && !prefix.IsSingleIP() {
			networks = append(networks, prefix.Masked().String())
		}
	}
	switch {
	case onLink:
	case len(networks) == 0:
		c.problem(via.node, via.path, describe(via.node), fmt.Sprintf("no via: %s has no %s network, and a TUN needs no gateway", where, family(via.val)))
	default:
		c.problem(via.node, via.path, describe(via.node), "an address in a network of "+where+": "+orList(networks, "or"))
	}
}

// destinations spells a route's destination out. "default" is the family of via; without via, those of the addresses
// of the link; without addresses, both.
func destinations(raw rawRoute, addresses []netip.Prefix) []netip.Prefix {
	if raw.to.val.IsValid() {
		return []netip.Prefix{raw.to.val}
	}
	if raw.via.ok {
		if raw.via.val.Is4() {
			return []netip.Prefix{default4}
		}
		return []netip.Prefix{default6}
	}
	switch has4, has6 := hasFamily(addresses, true), hasFamily(addresses, false); {
	case has4 && !has6:
		return []netip.Prefix{default4}
	case has6 && !has4:
		return []netip.Prefix{default6}
	}
	return []netip.Prefix{default4, default6}
}

// hasFamily reports whether there are IPv4 (or else IPv6) addresses.
func hasFamily(addresses []netip.Prefix, ip4 bool) bool {
	return slices.ContainsFunc(addresses, func(prefix netip.Prefix) bool { return prefix.Addr().Is4() == ip4 })
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
