// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

const (
	blockedPort = 23   // telnet
	servicePort = 80   // of the service address
	serverPort  = 8080 // of blue, where the service really is
)

// events are the points at which packets are hooked, in the order in which packets pass them.
var events = []packet.Event{
	packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut, packet.LoopbackOut, packet.LoopbackIn,
}

// hookSet is what is registered on the router, and what the hooks know.
type hookSet struct {
	handles []*hooks.Handle

	bytes, largest atomic.Uint64 // forwarded; by "count"
	refused        chan struct{} // "firewall" sends when it drops
}

// registerHooks registers all hooks. On an error none is left.
func registerHooks(router *netstack.Instance) (*hookSet, error) {
	s := &hookSet{refused: make(chan struct{}, 1)}
	for _, family := range families {
		if err := s.registerFamily(router, family); err != nil {
			return nil, errors.Join(err, s.unregister())
		}
	}
	return s, nil
}

func (s *hookSet) registerFamily(router *netstack.Instance, family packet.Family) error {
	add := func(event packet.Event, h packet.Hook) error {
		handle, err := router.Register(family, event, h)
		if err == nil {
			s.handles = append(s.handles, handle)
		}
		return err
	}
	server := blueHost.of(family)
	virtual := service.of(family)
	errs := []error{
		add(packet.Forwarding, packet.Hook{Name: "firewall", Func: s.firewall}),

		// Before the route lookup, so that the packet takes the way to its new destination.
		add(packet.PhysicalIn, packet.Hook{Name: "service", Func: func(c *packet.Context) hooks.Verdict {
			if port, ok := c.Packet.DestinationPort(); ok && port == servicePort && c.Packet.Destination() == virtual {
				c.Packet.SetDestination(server)
				c.Packet.SetDestinationPort(serverPort)
			}
			return hooks.Accept
		}}),
		add(packet.PhysicalOut, packet.Hook{Name: "service-reply", Func: func(c *packet.Context) hooks.Verdict {
			if port, ok := c.Packet.SourcePort(); ok && port == serverPort && c.Packet.Source() == server {
				c.Packet.SetSource(virtual)
				c.Packet.SetSourcePort(servicePort)
			}
			return hooks.Accept
		}}),
	}
	// Registered last, and still the first to be called.
	for _, event := range events {
		errs = append(errs, add(event, packet.Hook{Name: "count", Func: s.count, Hint: hooks.HintFirst}))
	}
	return errors.Join(errs...)
}

// count sees every packet. How often it was called is in the hook's statistics; it adds what those do not know.
func (s *hookSet) count(c *packet.Context) hooks.Verdict {
	if c.Event != packet.Forwarding {
		return hooks.Accept
	}
	size := uint64(c.Packet.Len())
	s.bytes.Add(size)
	for {
		largest := s.largest.Load()
		if size <= largest || s.largest.CompareAndSwap(largest, size) {
			return hooks.Accept
		}
	}
}

// firewall drops everything for one port.
func (s *hookSet) firewall(c *packet.Context) hooks.Verdict {
	port, ok := c.Packet.DestinationPort()
	if !ok || port != blockedPort {
		return hooks.Accept
	}
	select {
	case s.refused <- struct{}{}:
	default: // there is no need to tell twice
	}
	return hooks.Drop
}

// does says what a hook is for.
func does(hook string) string {
	switch hook {
	case "count":
		return "counts every packet"
	case "firewall":
		return fmt.Sprintf("drops port %d", blockedPort)
	case "service":
		return fmt.Sprintf("service:%d → blue:%d", servicePort, serverPort)
	case "service-reply":
		return fmt.Sprintf("blue:%d → service:%d", serverPort, servicePort)
	}
	return ""
}

// table returns the statistics of all hooks, by family, event and position.
func table(router *netstack.Instance) []Hook {
	var rows []Hook
	for _, family := range router.Hooks().Stats().Families {
		for _, event := range events {
			for _, e := range family.Events {
				if e.Event != event.String() {
					continue
				}
				for _, h := range e.Hooks {
					rows = append(rows, Hook{
						Instance: router.Name(), Family: family.Name, Event: e.Event, Hook: h.Hook,
						Position: int(h.Position), Hits: h.Hits, Does: does(h.Hook),
					})
				}
			}
		}
	}
	return rows
}

// unregister takes the hooks away again; it returns when none of them is running any more.
func (s *hookSet) unregister() error {
	var errs []error
	for _, h := range s.handles {
		errs = append(errs, h.Unregister())
	}
	s.handles = nil
	return errors.Join(errs...)
}
