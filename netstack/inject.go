// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// Injection: net_inject(9F). An injected packet belongs to the instance from the call on, whatever the call returns: the
// caller must not touch it any more, which -race builds check. Packets come from packet.Get, or from a hook that has stolen
// them. All three may be called from inside hooks; a hook that injects the packet it is looking at steals it first or
// injects a clone.
//
// Errors are ErrQueueFull (which also is ErrBudget if the instance has a budget of queued injections) and ErrClosed, and
// those named at each function. A packet that could not be injected is counted as dropped.

// QueueIn lets a packet arrive at the interface of an index as if its device had received it (NI_QUEUE_IN): it meets PHYSICAL_IN and
// everything after. It returns at once; packets arrive in the order of the calls, on another goroutine. origin, if not nil,
// names a hook that this packet passes over. ErrNotFound if there is no such interface, ErrInvalid for the loopback interface.
func (i *Instance) QueueIn(p *packet.Packet, index uint32, origin *hooks.Handle) error {
	p = p.Take()
	on, err := i.injectable(index)
	if err != nil {
		return i.refuseInjection(p, "queue in", err)
	}
	return opError("queue in", on.name, i.injectIn.put(queued{packet: p, iface: on, origin: origin}))
}

// QueueOut sends a packet as if the host stack had sent it (NI_QUEUE_OUT): it is routed and meets PHYSICAL_OUT or, for one
// of our own addresses, LOOPBACK_OUT and LOOPBACK_IN. It returns at once; packets leave in the order of the calls, on
// another goroutine. origin, if not nil, names a hook that this packet passes over.
func (i *Instance) QueueOut(p *packet.Packet, origin *hooks.Handle) error {
	return opError("queue out", "", i.injectOut.put(queued{packet: p.Take(), origin: origin}))
}

// DirectOut writes a packet to the device of an interface, given by its index, before it returns, past all hooks and routes (NI_DIRECT_OUT). It is
// not fragmented: ErrTooBig if it is longer than the MTU. A superpacket is cut if the device does not take it whole. A TUN
// device has no link-layer address to be told, so that there is no next hop. ErrNotFound if there is no such interface,
// ErrInvalid for the loopback interface and for what is no IP packet; the device's errors are those of the package tun.
func (i *Instance) DirectOut(p *packet.Packet, index uint32) error {
	p = p.Take()
	out, err := i.injectable(index)
	if err != nil {
		return i.refuseInjection(p, "direct out", err)
	}
	if reason := p.Parse(); reason != hooks.ReasonNone {
		return i.refuseInjection(p, "direct out", fmt.Errorf("%w: no IP packet: %s", ErrInvalid, packet.ReasonName(reason)))
	}
	if wireLen(p) > out.MTU() {
		i.stats.direct.Add(1)
		i.stats.dropped(packet.ReasonTooBig)
		length := wireLen(p)
		p.Release()
		return opError("direct out", out.name, fmt.Errorf("%w: %d bytes, MTU %d", ErrTooBig, length, out.MTU()))
	}
	var refused error
	w := directWorkers.Get().(*worker)
	defer directWorkers.Put(w)
	w.inst = i
	i.stats.direct.Add(1)
	if missing := p.Offload.Needs() &^ out.link.Load().features; p.Offload.GSO != packet.GSONone && missing != 0 {
		if reason := w.split(p, atSend, out, nil); reason != hooks.ReasonNone {
			refused = fmt.Errorf("%w: a superpacket that cannot be cut: %s", ErrInvalid, packet.ReasonName(reason))
		}
	} else {
		w.send(p, out)
	}
	w.flush()
	err, w.refusal, w.inst = cmp.Or(w.refusal, refused), nil, nil
	return opError("direct out", out.name, err)
}

// directWorkers carry what DirectOut sends: they run no hooks and belong to nobody for long.
var directWorkers = sync.Pool{New: func() any { return new(worker) }}

// injectable finds an interface that packets may be injected at.
func (i *Instance) injectable(index uint32) (*Interface, error) {
	f, ok := i.InterfaceByIndex(index)
	if !ok {
		return nil, fmt.Errorf("%w: interface %d", ErrNotFound, index)
	}
	if f.loopback() {
		return nil, fmt.Errorf("%w: the loopback interface has no device", ErrInvalid)
	}
	return f, nil
}

func (i *Instance) refuseInjection(p *packet.Packet, op string, err error) error {
	i.stats.direct.Add(1)
	i.stats.dropped(packet.ReasonHostRefused)
	p.Release()
	return opError(op, "", err)
}

// carryIn and carryOut are what becomes of queued injections.
func carryIn(w *worker, q queued) {
	if f, ok := w.inst.InterfaceByIndex(q.iface.index); !ok || f != q.iface {
		w.drop(q.packet, packet.ReasonInterfaceDown) // it went while the packet waited
		return
	}
	w.ingress(q.iface, q.packet)
}

func carryOut(w *worker, q queued) { w.originate(q.packet, nil) }
