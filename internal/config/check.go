// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// checker compares the values of a file with each other and builds the Config from them. Everything it remembers to
// compare with is kept by the name that must be unique, with the node that gave it first.
type checker struct {
	*decoder
	instances map[string]*scope
	devices   map[deviceKey]*yaml.Node
	routes    map[hostRouteKey]*yaml.Node
}

// scope is one instance while the file is checked.
type scope struct {
	first     *yaml.Node
	links     map[string]*link
	names     []string // of links, in the order of the file
	addresses map[netip.Addr]*yaml.Node
	networks  map[netip.Prefix]network
}

// link is what a route has to know of an interface or cable end.
type link struct {
	first     *yaml.Node
	mtu       int
	addresses []netip.Prefix
}

// network is the link that a network was first seen on.
type network struct {
	link  string
	first *yaml.Node
}

// deviceKey is a device of the host. The empty namespace is the one hooknet runs in.
type deviceKey struct{ namespace, device string }

// hostRouteKey is a route of the host: Linux refuses a second one to the same destination.
type hostRouteKey struct {
	namespace   string
	destination netip.Prefix
}

// check returns the Config that raw stands for. It is of use only where no problem was noted.
func (d *decoder) check(raw rawConfig) *Config {
	c := &checker{
		decoder:   d,
		instances: make(map[string]*scope),
		devices:   make(map[deviceKey]*yaml.Node),
		routes:    make(map[hostRouteKey]*yaml.Node),
	}
	config := new(Config)
	switch list := raw.instancesNode; {
	case raw.node.Kind == yaml.MappingNode && list == nil:
		c.problem(raw.node, "", "no instances", "at least one instance")
	case list != nil && list.Kind == yaml.SequenceNode && len(list.Content) == 0:
		c.problem(list, "instances", "none", "at least one instance")
	}
	// Links first, then what is compared with all links of an instance: the host's sides and the routes.
	scopes := make([]*scope, len(raw.instances))
	for i, instance := range raw.instances {
		scopes[i] = c.scope(instance)
		config.Instances = append(config.Instances, c.instance(instance, scopes[i]))
	}
	for _, cable := range raw.cables {
		config.Cables = append(config.Cables, c.cable(cable))
	}
	for i, instance := range raw.instances {
		c.hosts(instance, scopes[i], &config.Instances[i])
		config.Instances[i].Routes = c.instanceRoutes(instance, scopes[i])
	}
	return config
}

// scope makes the scope of an instance and files it under the instance's name.
func (c *checker) scope(raw rawInstance) *scope {
	s := &scope{
		first:     raw.name.node,
		links:     make(map[string]*link),
		addresses: make(map[netip.Addr]*yaml.Node),
		networks:  make(map[netip.Prefix]network),
	}
	if raw.node.Kind != yaml.MappingNode {
		return s
	}
	required(c.decoder, raw.node, raw.path, "name", raw.name, instanceNameRule)
	if !raw.name.ok {
		return s
	}
	if earlier := c.instances[raw.name.val]; earlier != nil {
		c.again(raw.name.node, raw.name.path, "the instance "+raw.name.val, "a name of its own", earlier.first)
		return s
	}
	c.instances[raw.name.val] = s
	return s
}

func (c *checker) instance(raw rawInstance, s *scope) Instance {
	instance := Instance{At: c.position(raw.node), Name: raw.name.val}
	for _, iface := range raw.interfaces {
		if iface.node.Kind == yaml.MappingNode {
			instance.Interfaces = append(instance.Interfaces, c.iface(iface, s))
		}
	}
	return instance
}

func (c *checker) iface(raw rawInterface, s *scope) Interface {
	required(c.decoder, raw.node, raw.path, "name", raw.name, deviceNameRule)
	water := raw.driver.val == DriverWater
	if water && raw.queues.val > 1 {
		c.problem(raw.queues.node, raw.queues.path, describe(raw.queues.node), "1: the water driver has one queue")
	}
	if water && raw.offload.val {
		c.problem(raw.offload.node, raw.offload.path, "true", "false: the water driver has no offload")
	}
	offload := raw.offload.or(!water)
	if raw.coalesce.val && !offload {
		c.problem(raw.coalesce.node, raw.coalesce.path, "true", "false: without offload there are no superpackets")
	}
	iface := Interface{
		At:       c.position(raw.node),
		Name:     raw.name.val,
		Driver:   raw.driver.val,
		Device:   raw.device.or(raw.name.val),
		Queues:   raw.queues.or(1),
		Offload:  offload,
		Coalesce: raw.coalesce.or(offload),
		MTU:      raw.mtu.or(DefaultMTU),
		Guards:   raw.guards.guards(),
	}
	iface.Addresses = addresses(raw.addresses)
	c.link(s, raw.name, iface.MTU, raw.addresses)
	return iface
}

// hosts completes the interfaces of an instance with the host's side.
func (c *checker) hosts(raw rawInstance, s *scope, instance *Instance) {
	i := 0
	for _, iface := range raw.interfaces {
		if iface.node.Kind != yaml.MappingNode {
			continue
		}
		built := &instance.Interfaces[i]
		i++
		built.Host = c.host(iface.host, s)
		c.mtu(iface.mtu, built.Addresses, built.Host.Addresses)
		c.device(iface, *built)
	}
}

// device sees to it that a device is the only one of its name where it ends up.
func (c *checker) device(raw rawInterface, iface Interface) {
	given := raw.device
	if given.node == nil {
		given = raw.name
	}
	if !given.ok || raw.host.namespace.node != nil && !raw.host.namespace.ok {
		return
	}
	key := deviceKey{iface.Host.Namespace, iface.Device}
	where := "the namespace hooknet runs in"
	if key.namespace != "" {
		where = "namespace " + key.namespace
	}
	if first := c.devices[key]; first != nil {
		c.again(given.node, given.path, fmt.Sprintf("the device %s in %s", key.device, where), "another device", first)
		return
	}
	c.devices[key] = given.node
}

// host checks the host's side of an interface. Its addresses may not be the instance's as well: each side would take
// what is meant for the other as its own.
func (c *checker) host(raw rawHost, s *scope) Host {
	host := Host{At: c.position(raw.node), Namespace: raw.namespace.val, Addresses: addresses(raw.addresses)}
	own := make(map[netip.Addr]*yaml.Node)
	for _, address := range raw.addresses {
		if !address.ok {
			continue
		}
		addr := address.val.Addr()
		if first := own[addr]; first != nil {
			c.again(address.node, address.path, "the address "+addr.String(), "each address once", first)
		} else if first := s.addresses[addr]; first != nil {
			c.again(address.node, address.path, "the instance's own address "+addr.String(), "another one for the host", first)
		}
		own[addr] = address.node
	}
	for _, route := range raw.routes {
		host.Routes = append(host.Routes, c.hostRoute(route, host)...)
	}
	return host
}

// hostRoute checks what Linux would refuse when the route is set: a gateway that is not on the link, or the host
// itself; a second route to the same destination.
func (c *checker) hostRoute(raw rawRoute, host Host) []HostRoute {
	if !c.routeWords(raw) {
		return nil
	}
	if raw.via.ok {
		c.gateway(raw.via, "the host's side", host.Addresses)
	}
	var routes []HostRoute
	for _, destination := range destinations(raw, host.Addresses) {
		key := hostRouteKey{host.Namespace, destination}
		if first := c.routes[key]; first != nil {
			c.again(raw.to.node, raw.to.path, "a route to "+destination.String(), "one route of the namespace to each destination", first)
			continue
		}
		c.routes[key] = raw.to.node
		routes = append(routes, HostRoute{At: c.position(raw.node), Destination: destination, Gateway: raw.via.val})
	}
	return routes
}

func (c *checker) cable(raw rawCable) Cable {
	cable := Cable{At: c.position(raw.node), MTU: raw.mtu.or(DefaultMTU)}
	const two = "two ends, each with instance, interface and addresses"
	switch {
	case raw.node.Kind != yaml.MappingNode:
		return cable
	case raw.endsNode == nil:
		c.problem(raw.node, raw.path, "no ends", two)
		return cable
	case raw.endsNode.Kind != yaml.SequenceNode:
		return cable
	case len(raw.ends) != len(cable.Ends):
		c.problem(raw.endsNode, raw.path+".ends", fmt.Sprintf("%d of them", len(raw.ends)), two)
	}
	var all []netip.Prefix
	for i, end := range raw.ends {
		e := c.end(end, cable.MTU)
		if i < len(cable.Ends) {
			cable.Ends[i] = e
		}
		all = append(all, e.Addresses...)
	}
	c.mtu(raw.mtu, all)
	if len(raw.ends) == len(cable.Ends) {
		c.endsDiffer(raw.ends[0], raw.ends[1])
	}
	return cable
}

// endsDiffer sees to it that a cable joins two instances and that its ends have no address in common.
func (c *checker) endsDiffer(a, b rawEnd) {
	if a.instance.ok && b.instance.ok && a.instance.val == b.instance.val {
		c.again(b.instance.node, b.instance.path, "the instance "+b.instance.val, "two different instances", a.instance.node)
		return // the addresses were compared within the instance
	}
	for _, first := range a.addresses {
		for _, second := range b.addresses {
			if first.ok && second.ok && first.val.Addr() == second.val.Addr() {
				c.again(second.node, second.path, "the address "+second.val.Addr().String(), "another one than at the other end", first.node)
			}
		}
	}
}

func (c *checker) end(raw rawEnd, mtu int) CableEnd {
	if raw.node.Kind != yaml.MappingNode {
		return CableEnd{}
	}
	required(c.decoder, raw.node, raw.path, "instance", raw.instance, "the name of an instance")
	required(c.decoder, raw.node, raw.path, "interface", raw.name, deviceNameRule)
	if raw.instance.ok {
		if s := c.instances[raw.instance.val]; s != nil {
			c.link(s, raw.name, mtu, raw.addresses)
		} else {
			c.unknown(raw.instance, "instance", sortedNames(c.instances))
		}
	}
	return CableEnd{
		At:        c.position(raw.node),
		Instance:  raw.instance.val,
		Interface: raw.name.val,
		Addresses: addresses(raw.addresses),
		Guards:    raw.guards.guards(),
	}
}

func (raw *rawGuards) guards() Guards {
	return Guards{
		SourceValidation: raw.sourceValidation.val,
		PassSourceRoutes: raw.passSourceRoutes.val,
		ClampMSS:         raw.clampMSS.val,
	}
}

// link enters an interface or cable end into its instance.
func (c *checker) link(s *scope, name value[string], mtu int, given []value[netip.Prefix]) {
	for _, address := range given {
		if address.ok {
			c.address(s, name.val, address)
		}
	}
	if !name.ok {
		return
	}
	if earlier := s.links[name.val]; earlier != nil {
		c.again(name.node, name.path, "the interface "+name.val, "a name of its own in the instance", earlier.first)
		return
	}
	s.links[name.val] = &link{first: name.node, mtu: mtu, addresses: addresses(given)}
	s.names = append(s.names, name.val)
}

// address enters an address into its instance. No other link may have it, or its network: packets to the network leave
// by one link. Link-local networks are on every link (RFC 4291 section 2.5.6, RFC 3927).
func (c *checker) address(s *scope, link string, address value[netip.Prefix]) {
	addr := address.val.Addr()
	if first := s.addresses[addr]; first != nil {
		c.again(address.node, address.path, "the address "+addr.String(), "each address of the instance once", first)
		return
	}
	s.addresses[addr] = address.node
	if addr.IsLinkLocalUnicast() {
		return
	}
	masked := address.val.Masked()
	if earlier, seen := s.networks[masked]; seen && earlier.link != link {
		c.again(address.node, address.path, fmt.Sprintf("the network %s of interface %s", masked, earlier.link), "a network of its own for each interface", earlier.first)
		return
	}
	s.networks[masked] = network{link, address.node}
}

// mtu sees to it that a link with IPv6 addresses on either side can carry IPv6.
func (c *checker) mtu(mtu value[int], sides ...[]netip.Prefix) {
	if !mtu.ok || mtu.val >= MinMTU6 {
		return
	}
	for _, addresses := range sides {
		if hasFamily(addresses, false) {
			expected := fmt.Sprintf("at least %d on a link with IPv6 addresses (RFC 8200 section 5)", MinMTU6)
			c.problem(mtu.node, mtu.path, describe(mtu.node), expected)
			return
		}
	}
}

// again notes that something that must be unique is there for a second time.
func (c *checker) again(node *yaml.Node, path, what, expected string, first *yaml.Node) {
	c.problem(node, path, what+" again", fmt.Sprintf("%s: the first is in line %d", expected, first.Line))
}

// unknown notes that a name stands for nothing.
func (c *checker) unknown(name value[string], what string, known []string) {
	expected := "the name of an " + what
	if len(known) > 0 {
		expected += ": " + suggest(name.val, known)
	}
	c.problem(name.node, name.path, fmt.Sprintf("the unknown %s %s", what, name.val), expected)
}

// addresses returns those addresses that are well formed.
func addresses(given []value[netip.Prefix]) []netip.Prefix {
	var addresses []netip.Prefix
	for _, address := range given {
		if address.ok {
			addresses = append(addresses, address.val)
		}
	}
	return addresses
}
