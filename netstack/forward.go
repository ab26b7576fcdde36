// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
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
	if reason := forwardable(p); reason != hooks.ReasonNone {
		switch {
		case reason == packet.ReasonLinkLocal:
			w.icmpError(in, p, icmpBeyondScope, 0)
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
	if mtu := to.mtu(); wireLen(p) > mtu && p.DontFragment() {
		w.icmpError(in, p, icmpTooBig, uint32(mtu))
		w.drop(p, packet.ReasonTooBig)
		return
	}
	p.DecrementTTL()
	w.n.forwarded++
	w.output(p, to)
}

// forwardable refuses what a router must not pass on although it is well formed as far as lengths go.
func forwardable(p *packet.Packet) hooks.Reason {
	if p.SourceRouted() { // RFC 7126 sections 4.3 and 4.4, RFC 5095
		return packet.ReasonSourceRoute
	}
	b := p.Bytes()
	if p.Family() == packet.Inet6 {
		if linkLocal6(b[8:]) || linkLocal6(b[24:]) { // RFC 4291 section 2.5.6
			return packet.ReasonLinkLocal
		}
		if p.Problem() != packet.ProblemNone {
			return packet.ReasonExtensionHeader
		}
		return hooks.ReasonNone
	}
	if b[12] == 169 && b[13] == 254 || b[16] == 169 && b[17] == 254 { // RFC 3927 section 7
		return packet.ReasonLinkLocal
	}
	if p.Problem() != packet.ProblemNone {
		return packet.ReasonHeaderLength
	}
	return hooks.ReasonNone
}

// linkLocal6 holds for addresses in fe80::/10.
func linkLocal6(a []byte) bool { return a[0] == 0xfe && a[1]&0xc0 == 0x80 }
