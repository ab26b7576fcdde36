// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"fmt"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// hookPoints are the events of an instance, by family and event; nil where a family has no such event. They are
// immutable once open.
type hookPoints struct {
	packet    [packet.NumFamilies][packet.NumEvents]*hooks.Event[*packet.Context]
	observing [packet.NumFamilies]*hooks.Event[packet.Observation]
	nic       [packet.NumFamilies]*hooks.Event[packet.NICEvent]

	families [packet.NumFamilies]*hooks.Family
	all      [packet.NumFamilies][packet.NumEvents]hookPoint
}

// A hookPoint is an event of any kind, or a family, to its provider.
type hookPoint interface {
	Shutdown() error
	Remove() error
}

// The families and their events in the order in which IP makes them, and that in which it takes them down (spec 6.4).
var (
	hookFamilies = []packet.Family{packet.Inet, packet.Inet6, packet.ARP}
	opened       = []packet.Event{
		packet.PhysicalIn, packet.PhysicalOut, packet.Forwarding, packet.LoopbackIn, packet.LoopbackOut, packet.NICEvents, packet.Observing,
	}
	openedARP = []packet.Event{packet.PhysicalIn, packet.PhysicalOut, packet.NICEvents}
	closed    = []packet.Event{
		packet.Forwarding, packet.PhysicalIn, packet.PhysicalOut, packet.LoopbackIn, packet.LoopbackOut, packet.NICEvents, packet.Observing,
	}
)

// open makes the families and events.
func (h *hookPoints) open(stack *hooks.Stack, panicLimit int) error {
	for _, family := range hookFamilies {
		f, err := stack.AddFamily(family.String())
		if err != nil {
			return err
		}
		h.families[family] = f
		events := opened
		if family == packet.ARP {
			events = openedARP
		}
		for _, event := range events {
			cfg := hooks.EventConfig{Name: event.String(), PanicLimit: panicLimit}
			switch event {
			case packet.Observing:
				cfg.ReadOnly = true
				h.observing[family], err = hooks.AddEvent[packet.Observation](f, cfg)
				h.all[family][event] = h.observing[family]
			case packet.NICEvents:
				cfg.ReadOnly = family != packet.ARP // as the original has it
				h.nic[family], err = hooks.AddEvent[packet.NICEvent](f, cfg)
				h.all[family][event] = h.nic[family]
			default:
				h.packet[family][event], err = hooks.AddEvent[*packet.Context](f, cfg)
				h.all[family][event] = h.packet[family][event]
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// shutdown announces the end of all events, then of their family: nobody may add anything from now on, nor to what others
// have added to the stack.
func (h *hookPoints) shutdown(stack *hooks.Stack) error {
	return errors.Join(h.each(hookPoint.Shutdown), stack.Shutdown())
}

// remove takes all events and families away. Who still holds something is named in the error; it keeps nothing running.
func (h *hookPoints) remove(stack *hooks.Stack) error {
	return errors.Join(h.each(hookPoint.Remove), stack.Close())
}

func (h *hookPoints) each(end func(hookPoint) error) error {
	var errs []error
	for _, family := range hookFamilies {
		for _, event := range closed {
			if e := h.all[family][event]; e != nil {
				errs = append(errs, end(e))
			}
		}
		errs = append(errs, end(h.families[family]))
	}
	return errors.Join(errs...)
}

// Register adds a hook to a packet event. The handle is the only way to take it away again. Errors are those of
// hooks.Event.Register; ErrInvalid if the family has no such packet event; ErrBudget.
func (i *Instance) Register(family packet.Family, event packet.Event, h packet.Hook) (*hooks.Handle, error) {
	if int(family) >= packet.NumFamilies || int(event) >= packet.NumEvents || i.points.packet[family][event] == nil {
		return nil, opError("register hook", h.Name, fmt.Errorf("%w: %v has no packet event %v", ErrInvalid, family, event))
	}
	return registerHook(i, i.points.packet[family][event], h)
}

// RegisterObserver adds a hook to OBSERVING of a family, which shows it every packet that passed PHYSICAL_IN, PHYSICAL_OUT
// or LOOPBACK_OUT; what was dropped there it does not see. Its verdict has no effect.
func (i *Instance) RegisterObserver(family packet.Family, h hooks.Hook[packet.Observation]) (*hooks.Handle, error) {
	if int(family) >= packet.NumFamilies || i.points.observing[family] == nil {
		return nil, opError("register observer", h.Name, fmt.Errorf("%w: %v has no event %v", ErrInvalid, family, packet.Observing))
	}
	return registerHook(i, i.points.observing[family], h)
}

// visitors are a worker's ways into the events that packets pass, by family and event from the first.
type visitors struct {
	packet    [2][packet.LoopbackOut]hooks.Visitor[*packet.Context]
	observing [2]hooks.Visitor[packet.Observation]
}

func (v *visitors) init(h *hookPoints, slot uint32) {
	for f, family := range ipFamilies {
		for e := range v.packet[f] {
			v.packet[f][e] = h.packet[family][e+1].Visitor(slot)
		}
		v.observing[f] = h.observing[family].Visitor(slot)
	}
}

// visitor returns the way into an event of a packet's family.
func (v *visitors) visitor(p *packet.Packet, e packet.Event) *hooks.Visitor[*packet.Context] {
	return &v.packet[p.Family()-packet.Inet][e-packet.PhysicalIn]
}

// observer returns the way into OBSERVING of a packet's family.
func (v *visitors) observer(p *packet.Packet) *hooks.Visitor[packet.Observation] {
	return &v.observing[p.Family()-packet.Inet]
}

// leave ends all visits.
func (v *visitors) leave() {
	for f := range v.packet {
		for e := range v.packet[f] {
			v.packet[f][e].Leave()
		}
		v.observing[f].Leave()
	}
}
