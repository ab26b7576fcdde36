// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// forward takes a packet from one interface to another: the hooks of FORWARDING, then what a router owes the packet (RFC
// 1812 section 5.3, RFC 8200 section 3). The way out is already decided: a hook here does not change it.
func (w *worker) forward(in *Interface, p *packet.Packet, to *hop) {
	if v := w.visitor(p, packet.Forwarding); v.Active() {
		if mustSplit(v, p) {
			w.split(p, atForward, in, to)
			return
		}
		if !w.run(v, packet.Forwarding, p, in.index, to.iface.index, 0) {
			return
		}
	}
	if reason := forwardable(in, p); reason != hooks.ReasonNone {
		switch {
		case reason == packet.ReasonLinkLocal:
			if !p.Destination().IsLinkLocalUnicast() { // RFC 4443 section 3.1: it is about the source's scope
				w.icmpError(in, p, icmpBeyondScope, 0)
			}
		case p.Problem() != packet.ProblemNone:
			w.icmpError(in, p, icmpParameterProblem, p.ProblemPointer())
		}
		w.drop(p, reason)
		return
	}
	if p.TTL() <= 1 {
		w.icmpError(in, p, icmpTimeExceeded, 0)
		w.drop(p, packet.ReasonTTLExpired)
		return
	}
	// The error about a packet that is too big quotes it as it came: decrement only what goes on.
	mtu := to.mtu()
	if noIPv6(p, mtu) {
		w.icmpError(in, p, icmpNoRoute, 0)
		w.drop(p, packet.ReasonIPv6Disabled)
		return
	}
	if wireLen(p) > mtu && p.DontFragment() {
		w.icmpError(in, p, icmpTooBig, uint32(mtu))
		w.drop(p, packet.ReasonTooBig)
		return
	}
	p.DecrementTTL()
	if p.HasOptions() {
		w.record(p, to)
	}
	if in.clampMSS || to.iface.clampMSS {
		w.clampMSS(in, p, mtu)
	}
	w.n.forwarded++
	w.output(p, to)
}

// record writes the router into the options that ask for it: its address on the way out, and the time, which only a Timestamp
// asks for. What it cannot write into has been refused (packet.Problem).
func (w *worker) record(p *packet.Packet, to *hop) {
	p.Record(w.inst.address(true, to.iface), timeOfDay, w.inst.isLocal)
}

// timeOfDay returns the time of a Timestamp option, in milliseconds since midnight UT.
func timeOfDay() uint32 {
	const day = 24 * 60 * 60 * 1000
	return uint32(time.Now().UnixMilli() % day)
}

// clampMSS lowers the segment size that a TCP handshake announces to what fits all ways that the connection's packets are
// known to take through here: by the interface they came by, by the one they leave by, whose MTU this is, and by the route
// back. For paths on which ICMP errors are lost (RFC 4459 section 3.2, RFC 2923 section 2.1).
func (w *worker) clampMSS(in *Interface, p *packet.Packet, mtu int) {
	const flags, syn = 13, 0x02
	tcp := p.Transport()
	if p.TransportProtocol() != uint8(header.TCPProtocolNumber) || len(tcp) <= flags || tcp[flags]&syn == 0 {
		return
	}
	mtu = min(mtu, in.MTU())
	if back := w.lookup(p.Source()); back != nil && back.kind == hopForward {
		mtu = min(mtu, back.mtu())
	}
	// Less the headers without options: who announces a size leaves those to the sender (RFC 6691).
	headers := header.IPv4MinimumSize + header.TCPMinimumSize
	if p.Family() == packet.Inet6 {
		headers = header.IPv6MinimumSize + header.TCPMinimumSize
	}
	p.ClampMSS(uint16(mtu - headers))
}

// noIPv6 holds for IPv6 packets on links with less than the MTU that IPv6 needs (RFC 8200 section 5). No address and no route
// is accepted there, but an MTU can shrink afterwards. Like Linux, which takes all IPv6 from such an interface, the router is
// then as without a route there: a Packet Too Big could name no MTU that hosts believe (RFC 8201 section 4).
func noIPv6(p *packet.Packet, mtu int) bool { return mtu < minMTU6 && p.Family() == packet.Inet6 }

// forwardable refuses what a router must not pass on although it is well formed as far as lengths go.
func forwardable(in *Interface, p *packet.Packet) hooks.Reason {
	b := p.Bytes()
	if p.Family() == packet.Inet6 {
		if linkLocal6(b[8:]) || linkLocal6(b[24:]) { // RFC 4291 section 2.5.6
			return packet.ReasonLinkLocal
		}
		switch p.Problem() {
		case packet.ProblemNone:
			return hooks.ReasonNone
		case packet.ProblemHeader: // a type 0 routing header; the others are none of our business (RFC 5095, RFC 7045 section 2.1)
			return packet.ReasonSourceRoute
		default:
			return packet.ReasonExtensionHeader
		}
	}
	if b[12] == 169 && b[13] == 254 || b[16] == 169 && b[17] == 254 { // RFC 3927 section 7
		return packet.ReasonLinkLocal
	}
	if p.SourceRouted() && !in.passSourceRoutes { // RFC 7126 sections 4.3 and 4.4
		return packet.ReasonSourceRoute
	}
	if p.Problem() != packet.ProblemNone {
		return packet.ReasonIPOption
	}
	return hooks.ReasonNone
}

// linkLocal6 holds for addresses in fe80::/10.
func linkLocal6(a []byte) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }
