// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// The raw structs hold a file word by word: each value well formed, but not yet compared with any other. They mirror
// the file; a node is that of the mapping, or nil where it is absent or no mapping.
type (
	rawConfig struct {
		node      *yaml.Node
		instances []rawInstance
		// instancesNode is the list of instances, or nil.
		instancesNode *yaml.Node
		cables        []rawCable
	}
	rawInstance struct {
		node       *yaml.Node
		path       string
		name       value[string]
		interfaces []rawInterface
		routes     []rawRoute
	}
	rawInterface struct {
		node      *yaml.Node
		path      string
		name      value[string]
		driver    value[Driver]
		device    value[string]
		queues    value[int]
		offload   value[bool]
		coalesce  value[bool]
		mtu       value[int]
		addresses []value[netip.Prefix]
		host      rawHost
		guards    rawGuards
	}
	rawHost struct {
		node      *yaml.Node
		path      string
		namespace value[string]
		addresses []value[netip.Prefix]
		routes    []rawRoute
	}
	// rawRoute is a route of an instance, or of a host, which uses to and via only.
	rawRoute struct {
		node *yaml.Node
		path string
		to   value[netip.Prefix] // the zero Prefix: "default"
		via  value[netip.Addr]
		kind value[RouteType]
		link value[string]
		mtu  value[int]

		metric value[int]
	}
	rawCable struct {
		node *yaml.Node
		path string
		mtu  value[int]
		ends []rawEnd
		// endsNode is the list of ends, to point at when their number is wrong.
		endsNode *yaml.Node
	}
	rawEnd struct {
		node      *yaml.Node
		path      string
		instance  value[string]
		name      value[string]
		addresses []value[netip.Prefix]
		guards    rawGuards
	}
	// rawGuards are keys of interfaces and of ends of cables.
	rawGuards struct {
		sourceValidation value[SourceValidation]
		passSourceRoutes value[bool]
		clampMSS         value[bool]
	}
)

func (d *decoder) config(node *yaml.Node) rawConfig {
	raw := rawConfig{node: node}
	d.mapping(node, "", "a mapping", map[string]into{
		"instances": func(node *yaml.Node, path string) {
			raw.instancesNode = node
			d.list("instances", collect(&raw.instances, d.instance))(node, path)
		},
		"cables": d.list("cables", collect(&raw.cables, d.cable)),
	})
	return raw
}

func (d *decoder) instance(node *yaml.Node, path string) rawInstance {
	raw := rawInstance{node: node, path: path}
	d.mapping(node, path, "an instance", map[string]into{
		"name":       text(d, &raw.name, instanceNameRule, parseInstanceName),
		"interfaces": d.list("interfaces", collect(&raw.interfaces, d.iface)),
		"routes":     d.list("routes", collect(&raw.routes, d.route)),
	})
	return raw
}

func (d *decoder) iface(node *yaml.Node, path string) rawInterface {
	raw := rawInterface{node: node, path: path}
	raw.host = rawHost{node: node, path: path}
	d.mapping(node, path, "an interface", d.guards(&raw.guards, map[string]into{
		"name":      text(d, &raw.name, deviceNameRule, parseDeviceName),
		"driver":    choice(d, &raw.driver, driverNames[:]),
		"device":    text(d, &raw.device, deviceNameRule, parseDeviceName),
		"queues":    number(d, &raw.queues, 1, MaxQueues),
		"offload":   truth(d, &raw.offload),
		"coalesce":  truth(d, &raw.coalesce),
		"mtu":       number(d, &raw.mtu, MinMTU, MaxMTU),
		"addresses": d.addresses(&raw.addresses),
		"host":      func(node *yaml.Node, path string) { raw.host = d.host(node, path) },
	}))
	return raw
}

// guards adds its keys to others.
func (d *decoder) guards(raw *rawGuards, keys map[string]into) map[string]into {
	keys["source_validation"] = choice(d, &raw.sourceValidation, sourceValidationNames[:])
	keys["pass_source_routes"] = truth(d, &raw.passSourceRoutes)
	keys["clamp_mss"] = truth(d, &raw.clampMSS)
	return keys
}

func (d *decoder) host(node *yaml.Node, path string) rawHost {
	raw := rawHost{node: node, path: path}
	d.mapping(node, path, "the host's side", map[string]into{
		"namespace": text(d, &raw.namespace, namespaceRule, parseNamespace),
		"addresses": d.addresses(&raw.addresses),
		"routes":    d.list("routes", collect(&raw.routes, d.hostRoute)),
	})
	return raw
}

func (d *decoder) hostRoute(node *yaml.Node, path string) rawRoute {
	raw := rawRoute{node: node, path: path}
	d.mapping(node, path, "a route", map[string]into{
		"to":  text(d, &raw.to, destinationRule, parseDestination),
		"via": text(d, &raw.via, gatewayRule, parseGateway),
	})
	return raw
}

func (d *decoder) route(node *yaml.Node, path string) rawRoute {
	raw := rawRoute{node: node, path: path}
	d.mapping(node, path, "a route", map[string]into{
		"to":        text(d, &raw.to, destinationRule, parseDestination),
		"via":       text(d, &raw.via, gatewayRule, parseGateway),
		"type":      choice(d, &raw.kind, routeTypeNames[:]),
		"interface": text(d, &raw.link, deviceNameRule, parseDeviceName),
		"mtu":       number(d, &raw.mtu, MinMTU, MaxMTU),
		"metric":    number(d, &raw.metric, 0, MaxMetric),
	})
	return raw
}

func (d *decoder) cable(node *yaml.Node, path string) rawCable {
	raw := rawCable{node: node, path: path}
	d.mapping(node, path, "a cable", map[string]into{
		"mtu": number(d, &raw.mtu, MinMTU, MaxMTU),
		"ends": func(node *yaml.Node, path string) {
			raw.endsNode = node
			d.list("two ends", collect(&raw.ends, d.end))(node, path)
		},
	})
	return raw
}

func (d *decoder) end(node *yaml.Node, path string) rawEnd {
	raw := rawEnd{node: node, path: path}
	d.mapping(node, path, "an end of a cable", d.guards(&raw.guards, map[string]into{
		"instance":  text(d, &raw.instance, instanceNameRule, parseInstanceName),
		"interface": text(d, &raw.name, deviceNameRule, parseDeviceName),
		"addresses": d.addresses(&raw.addresses),
	}))
	return raw
}

func (d *decoder) addresses(to *[]value[netip.Prefix]) into {
	return d.list("addresses, as [10.0.1.1/24]", collect(to, func(node *yaml.Node, path string) (address value[netip.Prefix]) {
		text(d, &address, addressRule, parseAddress)(node, path)
		return address
	}))
}

// collect appends what decode makes of each node.
func collect[T any](to *[]T, decode func(*yaml.Node, string) T) into {
	return func(node *yaml.Node, path string) { *to = append(*to, decode(node, path)) }
}
