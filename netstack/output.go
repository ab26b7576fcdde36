// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// wireLen returns the length of the longest packet that p becomes on a wire: p itself or, for a superpacket, a segment.
func wireLen(p *packet.Packet) int {
	if p.Offload.GSO == packet.GSONone {
		return p.Len()
	}
	return min(p.Len(), int(p.Offload.HeaderLen)+int(p.Offload.SegmentSize))
}

// output cuts a packet to what its interface takes, then shows it to the hooks: a superpacket that the device does not
// take or whose segments have to be fragmented, a datagram that is too big. What must not be fragmented and is too big has
// been refused before.
func (w *worker) output(p *packet.Packet, to *hop) {
	if p.Offload.GSO != packet.GSONone && (p.Offload.Needs()&^to.iface.link.Load().features != 0 || wireLen(p) > to.mtu()) {
		w.split(p, atOutput, nil, to)
		return
	}
	if p.Offload.GSO == packet.GSONone && p.Len() > to.mtu() {
		w.fragment(p, to)
		return
	}
	w.physicalOut(p, to)
}

// fragment cuts an IPv4 datagram (RFC 791 section 2.3); each fragment is a packet of its own at PHYSICAL_OUT.
func (w *worker) fragment(p *packet.Packet, to *hop) {
	mtu := to.mtu()
	if reason := w.fragmenter.Init(p, mtu); reason != hooks.ReasonNone {
		w.drop(p, reason)
		return
	}
	w.waiting++
	for {
		f := packet.Get(mtu)
		if !w.fragmenter.Next(f) {
			f.Release()
			break
		}
		w.n.made++
		w.physicalOut(f, to)
	}
	w.waiting--
	w.n.split++
	w.finish(p)
}

// physicalOut shows a packet to the hooks of PHYSICAL_OUT as it goes on the device, and sends it.
func (w *worker) physicalOut(p *packet.Packet, to *hop) {
	if v := w.visitor(p, packet.PhysicalOut); v.Active() {
		if mustSplit(v, p) {
			w.split(p, atPhysicalOut, nil, to)
			return
		}
		if !w.run(v, packet.PhysicalOut, p, 0, to.iface.index, 0) {
			return
		}
		if wireLen(p) > to.mtu() {
			w.drop(p, packet.ReasonHookGrew)
			return
		}
	}
	if v := w.observer(p); v.Active() {
		v.Run(packet.Observe(p, packet.Outbound, to.iface.index, w.inst.id))
	}
	w.send(p, to.iface)
}

// originate sends a packet that this instance made: the host stack's output and our own ICMP errors. via is the
// interface that link-scoped destinations go out by, nil if there is none.
func (w *worker) originate(p *packet.Packet, via *Interface) {
	if reason := p.Parse(); reason != hooks.ReasonNone {
		w.drop(p, reason)
		return
	}
	dst := p.Destination()
	to := w.lookup(dst)
	switch {
	case to.local():
		w.loopbackOut(p, to)
		return
	case via != nil && !via.loopback() && (dst.IsMulticast() || dst.IsLinkLocalUnicast() || dst == limitedBroadcast):
		to = via.onLink
	default:
		if src := p.Source(); src.IsLoopback() { // RFC 1122 section 3.2.1.3: never outside a host
			w.drop(p, packet.ReasonMartianSource)
			return
		}
		if to == nil || to.kind != hopForward {
			w.refuse(nil, p, to)
			return
		}
	}
	mtu := to.mtu()
	if noIPv6(p, mtu) {
		w.icmpError(nil, p, icmpNoRoute, 0)
		w.drop(p, packet.ReasonIPv6Disabled)
		return
	}
	if path := w.inst.pathMTUs.limit(dst, mtu); wireLen(p) > path && path < mtu {
		resegment(p, path) // what is not TCP finds out for itself
	}
	if wireLen(p) > mtu && p.DontFragment() && !resegment(p, mtu) {
		w.icmpError(nil, p, icmpTooBig, uint32(mtu))
		w.drop(p, packet.ReasonTooBig)
		return
	}
	w.output(p, to)
}

// resegment lets a TCP packet of our own that was made for a larger MTU be cut anew on its way out, like any superpacket.
// That is the case when an interface's MTU shrinks, and when a route or a path has one of its own: gVisor would learn of it by
// losing all that is in flight, and recovers from that at two segments per timeout.
func resegment(p *packet.Packet, mtu int) bool {
	const dataOffset, tcpHeader = 12, 20
	tcp := p.Transport()
	if p.TransportProtocol() != uint8(header.TCPProtocolNumber) || p.Offload.Checksum != packet.ChecksumPartial || len(tcp) < tcpHeader {
		return false
	}
	headers := p.TransportOffset() + int(tcp[dataOffset]>>4)*4
	if headers >= mtu {
		return false
	}
	p.Offload.GSO = packet.GSOTCP4
	if p.Family() == packet.Inet6 {
		p.Offload.GSO = packet.GSOTCP6
	}
	p.Offload.HeaderLen, p.Offload.SegmentSize = uint16(headers), uint16(mtu-headers)
	return true
}

// loopbackOut and loopbackIn carry a packet from one local address to another: it meets no PHYSICAL event. The interface
// that hooks are told is the one that owns the destination.
func (w *worker) loopbackOut(p *packet.Packet, to *hop) {
	if v := w.visitor(p, packet.LoopbackOut); v.Active() {
		if mustSplit(v, p) {
			w.split(p, atLoopbackOut, nil, to)
			return
		}
		if !w.run(v, packet.LoopbackOut, p, 0, to.iface.index, 0) {
			return
		}
	}
	if v := w.observer(p); v.Active() {
		v.Run(packet.Observe(p, packet.Local, to.iface.index, w.inst.id))
	}
	if w.showsTCP() {
		w.show(toLocal, p)
	}
	w.loopbackIn(p, to)
}

func (w *worker) loopbackIn(p *packet.Packet, to *hop) {
	if v := w.visitor(p, packet.LoopbackIn); v.Active() {
		if mustSplit(v, p) {
			w.split(p, atLoopbackIn, nil, to)
			return
		}
		if !w.run(v, packet.LoopbackIn, p, to.iface.index, 0, 0) {
			return
		}
	}
	w.deliver(p, to.iface)
}
