// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// The functions of this file, forward.go and output.go stand in the order in which a packet meets them.

// ingress takes a packet from a device, or one that QueueIn makes out to be: parse, martians, then the hooks.
func (w *worker) ingress(in *Interface, p *packet.Packet) {
	reason := p.Parse()
	switch {
	case !in.state.Load().Up:
		reason = packet.ReasonInterfaceDown
	case reason == hooks.ReasonNone && noIPv6(p, in.MTU()):
		reason = packet.ReasonIPv6Disabled
	case reason == hooks.ReasonNone:
		reason = martian(p)
	}
	if reason != hooks.ReasonNone {
		w.drop(p, reason)
		return
	}
	w.physicalIn(in, p)
}

// martian refuses addresses that must not be seen on a link: RFC 1812 section 5.3.7, RFC 6890, RFC 4291 section 2.5. It
// runs before PHYSICAL_IN. No option lets any pass, not those in 240/4 either, which Linux routes: RFC 6890 still has them
// as neither source nor destination. What depends on our own addresses and routes is validateSource's.
func martian(p *packet.Packet) hooks.Reason {
	b := p.Bytes()
	if p.Family() == packet.Inet {
		switch src := b[12]; {
		case src == 0, src == 127, src >= 224: // this network, loopback, multicast, reserved, broadcast
			return packet.ReasonMartianSource
		}
		switch dst := b[16]; {
		case dst == 0, dst == 127:
			return packet.ReasonMartianDestination
		case dst >= 240 && [4]byte(b[16:20]) != [4]byte{255, 255, 255, 255}:
			return packet.ReasonMartianDestination
		}
		return hooks.ReasonNone
	}
	if b[8] == 0xff || b[8] == 0 && forbidden6(p.Source()) {
		return packet.ReasonMartianSource
	}
	if b[24] == 0 && forbidden6(p.Destination()) || b[24] == 0xff && b[25]&0xf <= 1 { // scopes that are on no link: section 2.7
		return packet.ReasonMartianDestination
	}
	return hooks.ReasonNone
}

// forbidden6 holds for ::, ::1 and IPv4-mapped addresses, none of which may be seen on a link.
func forbidden6(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || a.Is4In6()
}

// linkFlags derives HPE_MULTICAST and HPE_BROADCAST. A TUN has no link-layer addresses: the IP destination stands in.
func linkFlags(p *packet.Packet) packet.Flags {
	b := p.Bytes()
	switch {
	case p.Family() == packet.Inet6:
		if b[24] == 0xff {
			return packet.Multicast
		}
	case b[16] == 255:
		return packet.Broadcast
	case b[16]&0xf0 == 0xe0:
		return packet.Multicast
	}
	return 0
}

// physicalIn shows a packet to the hooks of PHYSICAL_IN: fragments one by one, before the route lookup. A hook that
// changes the destination changes the route.
func (w *worker) physicalIn(in *Interface, p *packet.Packet) {
	if v := w.visitor(p, packet.PhysicalIn); v.Active() {
		if mustSplit(v, p) {
			w.split(p, atPhysicalIn, in, nil)
			return
		}
		if !w.run(v, packet.PhysicalIn, p, in.index, 0, linkFlags(p)) {
			return
		}
	}
	if v := w.observer(p); v.Active() {
		v.Run(packet.Observe(p, packet.Inbound, in.index, w.inst.id))
	}
	w.route(in, p)
}

// route looks at where the packet says it comes from, looks the destination up, and decides: deliver, forward, or refuse.
func (w *worker) route(in *Interface, p *packet.Packet) {
	if reason := w.validateSource(in, p); reason != hooks.ReasonNone {
		w.drop(p, reason)
		return
	}
	to := w.destination(p)
	switch {
	case to != nil && to.kind == hopForward && w.inst.forwarding:
		w.forward(in, p, to)
	case to.local():
		w.deliver(p, to.iface)
	case to != nil && to.kind == hopMulticast:
		w.deliver(p, in) // to the members in our host stack
	case !w.inst.forwarding:
		w.drop(p, packet.ReasonForwardingDisabled)
	default:
		w.refuse(in, p, to)
	}
}

// refuse deals with a destination that there is no way to: it tells the sender where it should, and drops the packet. in is
// nil for packets of the host stack.
func (w *worker) refuse(in *Interface, p *packet.Packet, to *hop) {
	reason, answer := packet.ReasonNoRoute, icmpNoRoute
	if to != nil {
		reason, answer = refusals[to.kind].reason, refusals[to.kind].answer
	}
	if answer != icmpNone {
		w.icmpError(in, p, answer, 0)
	}
	w.drop(p, reason)
}

// refusals are the kinds of hops that lead nowhere.
var refusals = [...]struct {
	reason hooks.Reason
	answer icmpKind
}{
	hopBlackhole:   {packet.ReasonBlackhole, icmpNone},
	hopUnreachable: {packet.ReasonUnreachable, icmpUnreachable},
	hopProhibit:    {packet.ReasonProhibited, icmpProhibited},
	hopBroadcast:   {packet.ReasonBroadcast, icmpNone},
	hopMulticast:   {packet.ReasonMulticast, icmpNone},
	hopMartian:     {packet.ReasonMartianDestination, icmpNone}, // a hook's doing
}
