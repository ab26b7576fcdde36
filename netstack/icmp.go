// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/packet"
)

// An icmpKind is what the forwarder may have to tell a sender.
type icmpKind uint8

const (
	icmpNone         icmpKind = iota
	icmpTimeExceeded          // in transit
	icmpTooBig                // Fragmentation Needed, Packet Too Big
	icmpNoRoute
	icmpUnreachable
	icmpProhibited
	icmpBeyondScope // IPv6 only
	icmpParameterProblem
	numICMPKinds
)

type icmpType struct{ typ, code uint8 }

// The messages: RFC 792, RFC 1812 section 5.2.7.1 and RFC 4443 section 3. A zero entry means that none is sent.
var (
	icmpTypes4 = [numICMPKinds]icmpType{
		icmpTimeExceeded: {11, 0},
		icmpTooBig:       {3, 4},
		icmpNoRoute:      {3, 0},
		icmpUnreachable:  {3, 1},
		icmpProhibited:   {3, 13},

		icmpParameterProblem: {12, 0},
	}
	icmpTypes6 = [numICMPKinds]icmpType{
		icmpTimeExceeded: {3, 0},
		icmpTooBig:       {2, 0},
		icmpNoRoute:      {1, 0},
		icmpUnreachable:  {1, 3},
		icmpProhibited:   {1, 1},
		icmpBeyondScope:  {1, 2},

		icmpParameterProblem: {4, 0}, // the code depends on the problem
	}
)

const (
	icmpHeaderLen = 8
	maxICMP4Size  = 576  // of the whole error, RFC 1812 section 4.3.2.3
	maxICMP6Size  = 1280 // RFC 4443 section 2.4 (c)
	icmpTTL       = 64
)

// icmpError tells the sender of p what happened to it. p is not changed and stays the caller's. in is the interface that
// p came by, nil if it is our host stack's. The error goes its own way: through the table and PHYSICAL_OUT, or, if the
// sender is one of our own sockets, through LOOPBACK_OUT and LOOPBACK_IN. about is the MTU of icmpTooBig and the pointer of
// icmpParameterProblem, else 0.
func (w *worker) icmpError(in *Interface, p *packet.Packet, kind icmpKind, about uint32) {
	is4 := p.Family() == packet.Inet
	typ := icmpTypes6[kind]
	if is4 {
		typ = icmpTypes4[kind]
	}
	if kind == icmpParameterProblem {
		code, answer := p.Problem().Code()
		if !answer {
			return
		}
		typ.code = code
	}
	back := w.lookup(p.Source())
	if typ == (icmpType{}) || !errorAllowed(in, p, kind, back) {
		return
	}
	if !back.local() && !w.inst.icmp.allow(kind, p.Source()) { // our own sockets flood nobody
		return
	}
	src := w.errorSource(in, p.Source(), back)
	if !src.IsValid() {
		return
	}
	e := packet.Get(maxICMP6Size)
	if is4 {
		buildICMP4(e, p, src, typ, about, uint16(w.inst.errorID.Add(1)))
	} else {
		buildICMP6(e, p, src, typ, about)
	}
	w.n.made++
	w.waiting++
	origin, sender := w.origin, w.sender
	w.origin, w.sender = nil, nil // the error is a packet of its own
	w.originate(e, in)
	w.origin, w.sender = origin, sender
	w.waiting--
}

// errorAllowed holds the cases in which no error may be sent: RFC 1812 section 4.3.2.7, RFC 4443 section 2.4 (e). back is the way
// to the sender, or nil.
func errorAllowed(in *Interface, p *packet.Packet, kind icmpKind, back *hop) bool {
	src, dst := p.Source(), p.Destination()
	switch {
	case p.IsFragment() && p.FragmentOffset() != 0 && (dst.Is4() || p.TransportProtocol() == uint8(header.ICMPv6ProtocolNumber)):
		return false // RFC 4443 allows them; but whether an ICMPv6 message is an error its later fragments do not tell
	case src.IsUnspecified(), src.IsMulticast(), src.IsLoopback(), src == limitedBroadcast:
		return false
	case dst == limitedBroadcast:
		return false
	case dst.IsMulticast() && !(kind == icmpTooBig && dst.Is6()):
		return false
	case back != nil && back.kind == hopBroadcast:
		return false
	case in != nil && back.local():
		return false // somebody outside uses one of our addresses: the error would meet our own sockets
	}
	return !isICMPError(p)
}

// isICMPError reports whether p is an ICMP error or redirect; a message cut before its type counts as one.
func isICMPError(p *packet.Packet) bool {
	b, at := p.Bytes(), p.TransportOffset()
	switch p.TransportProtocol() {
	case uint8(header.ICMPv4ProtocolNumber):
		if p.Family() != packet.Inet {
			return false
		}
		if at >= len(b) {
			return true
		}
		switch header.ICMPv4Type(b[at]) {
		case header.ICMPv4DstUnreachable, header.ICMPv4SrcQuench, header.ICMPv4Redirect, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
			return true
		}
	case uint8(header.ICMPv6ProtocolNumber):
		if p.Family() != packet.Inet6 {
			return false
		}
		return at >= len(b) || b[at] < 128 || header.ICMPv6Type(b[at]) == header.ICMPv6RedirectMsg
	}
	return false
}

// errorSource chooses the source of an error: for IPv4 the address of the interface that the error leaves by (RFC 1812
// section 4.3.2.4), for IPv6, where there is a choice, of the one that the packet came by, which tells traceroute more (RFC
// 4443 section 2.2); else the other of the two, else any. back is the way to the receiver, or nil.
func (w *worker) errorSource(in *Interface, to netip.Addr, back *hop) netip.Addr {
	if back.local() {
		return to
	}
	var out *Interface
	if back != nil {
		out = back.iface
	}
	if to.Is4() {
		return w.inst.address(true, out, in)
	}
	if in != nil && to.IsLinkLocalUnicast() { // RFC 6724 section 5, rule 2
		for _, p := range in.Addresses() {
			if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
				return p.Addr()
			}
		}
	}
	return w.inst.address(false, in, out)
}

// address returns the address that the router goes by: the first of the first of these interfaces that has one (nil has
// none), else, for those without, of any (RFC 1812 section 2.2.7). The zero Addr if there is none at all.
func (i *Instance) address(is4 bool, by ...*Interface) netip.Addr {
	for _, f := range by {
		if f != nil {
			if a := f.address(is4); a.IsValid() {
				return a
			}
		}
	}
	for f := range i.Interfaces() {
		if a := f.address(is4); a.IsValid() && !f.loopback() {
			return a
		}
	}
	return netip.Addr{}
}

// buildICMP4 makes an ICMPv4 error that quotes as much of p as fits. It may be fragmented, as Linux's may: on a path with a small
// MTU nobody would find out why an error got lost. So its identification matters: RFC 6864 section 4.3.
func buildICMP4(e, p *packet.Packet, src netip.Addr, typ icmpType, about uint32, id uint16) {
	quote := p.Bytes()[:min(p.Len(), maxICMP4Size-header.IPv4MinimumSize-icmpHeaderLen)]
	size := header.IPv4MinimumSize + icmpHeaderLen + len(quote)
	b := e.Space(0)[:size]
	header.IPv4(b).Encode(&header.IPv4Fields{
		TOS:         0xc0, // internetwork control, RFC 1812 section 4.3.2.5
		TotalLength: uint16(size),
		ID:          id,
		TTL:         icmpTTL,
		Protocol:    uint8(header.ICMPv4ProtocolNumber),
		SrcAddr:     tcpip.AddrFrom4(src.As4()),
		DstAddr:     tcpip.AddrFrom4(p.Source().As4()),
	})
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	m := b[header.IPv4MinimumSize:]
	fillICMP(m, typ, quote)
	switch typ.typ {
	case 3:
		binary.BigEndian.PutUint16(m[6:], uint16(about)) // RFC 1191 section 4; unused but with code 4
	case 12:
		m[4] = uint8(about) // RFC 792: the pointer
	}
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
	e.SetLen(size)
}

// buildICMP6 makes an ICMPv6 error that quotes as much of p as fits.
func buildICMP6(e, p *packet.Packet, src netip.Addr, typ icmpType, about uint32) {
	quote := p.Bytes()[:min(p.Len(), maxICMP6Size-header.IPv6MinimumSize-icmpHeaderLen)]
	size := header.IPv6MinimumSize + icmpHeaderLen + len(quote)
	b := e.Space(0)[:size]
	from, to := tcpip.AddrFrom16(src.As16()), tcpip.AddrFrom16(p.Source().As16())
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength:     uint16(size - header.IPv6MinimumSize),
		TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit:          icmpTTL,
		SrcAddr:           from,
		DstAddr:           to,
	})
	m := b[header.IPv6MinimumSize:]
	fillICMP(m, typ, quote)
	binary.BigEndian.PutUint32(m[4:], about) // RFC 4443 sections 3.2 and 3.4; unused in the others
	pseudo := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, from, to, uint16(len(m)))
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, pseudo))
	e.SetLen(size)
}

// fillICMP writes type, code and the quoted packet, and clears the fields between.
func fillICMP(m []byte, typ icmpType, quote []byte) {
	clear(m[:icmpHeaderLen])
	m[0], m[1] = typ.typ, typ.code
	copy(m[icmpHeaderLen:], quote)
}
