// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"bytes"
	"encoding/binary"

	"github.com/hooknet/hooknet/packet"
)

const (
	// coalesceBatch is how many packets are looked at together, and so the most segments of a
	// superpacket. Linux takes no more of UDP (UDP_MAX_SEGMENTS, 64 in older kernels).
	coalesceBatch = 64
	// coalesceFlows is how many flows can be put together at the same time (MAX_GRO_SKBS).
	coalesceFlows = 8
	// coalesceLen bounds a superpacket: the total length of IPv4.
	coalesceLen = 65535
)

// Header offsets and bits (RFC 791, 8200, 9293, 768).
const (
	protocolTCP = 6
	protocolUDP = 17

	ipv4Header       = 20
	ipv4TotalLength  = 2
	ipv4ID           = 4
	ipv4Checksum     = 10
	ipv6Header       = 40
	ipv6PayloadLen   = 4
	tcpHeader        = 20
	tcpHeaderMax     = 60
	tcpSequence      = 4
	tcpAck           = 8
	tcpDataOffset    = 12
	tcpFlags         = 13
	tcpWindow        = 14
	tcpChecksum      = 16
	tcpUrgent        = 18
	tcpFlagPSH       = 0x08
	tcpFlagACK       = 0x10
	udpHeader        = 8
	udpLength        = 4
	udpChecksum      = 6
	superHeaderLimit = ipv6Header + tcpHeaderMax
)

// A flow is what packets have in common whose order matters to their receiver. The zero value is none.
type flow struct {
	ports     uint32
	version   uint8
	protocol  uint8
	addresses [4]uint64
}

// A segment is a packet as the coalescer sees it.
type segment struct {
	flow    flow // the zero value: not known
	fits    bool // it can be part of a superpacket, as far as it can tell alone
	last    bool // nothing can follow it in a superpacket
	network int  // length of the network header
	header  int  // length of all headers
	payload int
}

// A run is the packets of a flow that will be one superpacket, as far as they have come.
type run struct {
	flow     flow
	head     *packet.Packet // the first
	tail     uint8          // index of the latest
	several  bool           // there is more than head, whose checksum is right
	network  int            // as in segment, for all
	header   int
	size     int    // payload of every segment but the last
	length   int    // of the superpacket
	sequence uint32 // TCP: of the segment to come
	id, step uint16 // IPv4: identification of the latest, and how it differs from the one before
}

// A coalescer finds, in a batch of packets, those that are segments of one stream and can be written as one superpacket,
// from which the receiver would cut the same segments: what GRO does in a network card's driver. It moves nothing and looks
// at payloads only to verify checksums; the zero value is ready for one batch.
//
// The rules are those of Linux (net/ipv4/tcp_offload.c, udp_offload.c, gro.c), some narrower: packets are of one flow,
// neither fragments nor with IP options or extension headers, alike in TTL, traffic class (so in ECN), flow label and DF,
// and of one length, but the last, which may be shorter. IPv4 identifications count up or, with DF, stay the same. TCP:
// the sequence numbers follow on each other; acknowledgment, window and options, timestamps too, are the same; no flag is
// set but ACK, and PSH on the last. UDP: there is a checksum.
//
// A checksum that nobody has verified is, before it is replaced by a partial one: a corrupt packet is written alone, as it
// is. That costs a look at the payload, but spares the receiver one.
//
// What is lost: identifications of 0, 0, 0 with DF become 0, 1, 2 if the host has to segment again, which means nothing
// (RFC 6864, 4.1).
//
// Packets of one flow stay in order. What belongs to no flow the coalescer knows, it lets nothing overtake.
type coalescer struct {
	next   [coalesceBatch]uint8 // the index of the packet that continues the one at this index; 0: none does
	joined uint64               // a bit for each packet that continues another
	runs   [coalesceFlows]run   // that can still grow; flow is zero where there is none
	victim int                  // the run to give up next for want of room
}

// plan fills next and joined for the packets, at most coalesceBatch. Only features whose bits are set in allowed are
// made use of: FeatureTSO4, FeatureTSO6 and FeatureUSO.
func (c *coalescer) plan(pkts []*packet.Packet, allowed packet.Features) {
	open := false // whether there are runs
	for i, p := range pkts {
		if p.Offload.GSO != packet.GSONone && !open {
			continue
		}
		var s segment
		s.classify(p, allowed)
		if s.flow.version == 0 {
			if open {
				c.runs, open = [coalesceFlows]run{}, false
			}
			continue
		}
		r := c.find(&s.flow)
		if r != nil && s.fits && r.continues(p, &s) && r.sound() && p.TransportChecksumValid() {
			c.next[r.tail], c.joined = uint8(i), c.joined|1<<i
			r.add(p, uint8(i), &s)
			continue
		}
		switch {
		case s.fits && !s.last:
			if r == nil {
				r = c.room()
			}
			r.begin(p, uint8(i), &s)
			open = true
		case r != nil:
			r.end()
		}
	}
}

// find returns the run of a flow, nil if there is none.
func (c *coalescer) find(f *flow) *run {
	for i := range c.runs {
		if c.runs[i].flow.ports == f.ports && c.runs[i].flow == *f {
			return &c.runs[i]
		}
	}
	return nil
}

// room returns a free run, or the one that has been there for long.
func (c *coalescer) room() *run {
	for i := range c.runs {
		if c.runs[i].flow.version == 0 {
			return &c.runs[i]
		}
	}
	r := &c.runs[c.victim]
	c.victim = (c.victim + 1) % coalesceFlows
	return r
}

// classify looks at a packet that Parse has been at; others belong to no flow.
func (s *segment) classify(p *packet.Packet, allowed packet.Features) {
	b := p.Bytes()
	protocol, version, transport := p.TransportProtocol(), p.Version(), p.TransportOffset()
	var feature packet.Features
	switch {
	case version == 4 && transport == ipv4Header:
		feature = packet.FeatureTSO4
		s.flow.addresses[0] = binary.NativeEndian.Uint64(b[12:])
	case version == 6 && transport == ipv6Header:
		feature = packet.FeatureTSO6
		for i := range s.flow.addresses {
			s.flow.addresses[i] = binary.NativeEndian.Uint64(b[8+8*i:])
		}
	default:
		return
	}
	t := b[transport:]
	if len(t) < udpHeader || p.IsFragment() || p.Edited() {
		return
	}
	// A checksum that could have been written in another way would not come back.
	field, never := tcpChecksum, uint16(0xffff)
	switch protocol {
	case protocolTCP:
		if len(t) < tcpHeader {
			return
		}
		header := int(t[tcpDataOffset]>>4) * 4
		flags := t[tcpFlags]
		s.fits = header >= tcpHeader && header < len(t) && t[tcpDataOffset]&0xf == 0 && flags&^tcpFlagPSH == tcpFlagACK
		s.last = flags&tcpFlagPSH != 0
		s.header = transport + header
	case protocolUDP:
		feature, field, never = packet.FeatureUSO, udpChecksum, 0
		s.fits = len(t) > udpHeader && int(binary.BigEndian.Uint16(t[udpLength:])) == len(t)
		s.header = transport + udpHeader
	default:
		return
	}
	s.flow.ports, s.flow.version, s.flow.protocol = binary.NativeEndian.Uint32(t), uint8(version), protocol
	s.network = transport
	s.payload = len(b) - s.header
	s.fits = s.fits && allowed&feature != 0 && p.Offload.GSO == packet.GSONone
	switch p.Offload.Checksum {
	case packet.ChecksumPartial:
		s.fits = s.fits && int(p.Offload.ChecksumStart) == transport && int(p.Offload.ChecksumOffset) == field
	case packet.ChecksumFull, packet.ChecksumVerified:
		s.fits = s.fits && binary.BigEndian.Uint16(t[field:]) != never
	default:
		s.fits = false
	}
}

// begin makes the run one of a single packet.
func (r *run) begin(p *packet.Packet, index uint8, s *segment) {
	*r = run{
		flow: s.flow, head: p, tail: index, network: s.network, header: s.header, size: s.payload, length: p.Len(),
		id: binary.BigEndian.Uint16(p.Bytes()[ipv4ID:]),
	}
	if s.flow.protocol == protocolTCP {
		r.sequence = binary.BigEndian.Uint32(p.Bytes()[s.network+tcpSequence:]) + uint32(s.payload)
	}
}

// continues reports whether the headers of a packet of the same flow are what a receiver would make of the run's for its
// next segment.
func (r *run) continues(p *packet.Packet, s *segment) bool {
	if s.payload > r.size || s.header != r.header || r.length+s.payload > coalesceLen {
		return false
	}
	a, b := r.head.Bytes(), p.Bytes()
	if r.network == ipv4Header {
		if binary.NativeEndian.Uint16(a) != binary.NativeEndian.Uint16(b) || // header length, TOS
			binary.NativeEndian.Uint32(a[6:]) != binary.NativeEndian.Uint32(b[6:]) { // DF, TTL, protocol
			return false
		}
		step := binary.BigEndian.Uint16(b[ipv4ID:]) - r.id
		if r.several && step != r.step || step > 1 || step == 0 && !p.DontFragment() {
			return false
		}
	} else if binary.NativeEndian.Uint32(a) != binary.NativeEndian.Uint32(b) || // traffic class, flow label
		binary.NativeEndian.Uint16(a[6:]) != binary.NativeEndian.Uint16(b[6:]) { // next header, hop limit
		return false
	}
	if r.flow.protocol == protocolUDP {
		return true
	}
	a, b = a[r.network:r.header], b[r.network:r.header]
	return binary.BigEndian.Uint32(b[tcpSequence:]) == r.sequence &&
		binary.NativeEndian.Uint32(a[tcpAck:]) == binary.NativeEndian.Uint32(b[tcpAck:]) &&
		binary.NativeEndian.Uint16(a[tcpWindow:]) == binary.NativeEndian.Uint16(b[tcpWindow:]) &&
		binary.NativeEndian.Uint16(a[tcpUrgent:]) == binary.NativeEndian.Uint16(b[tcpUrgent:]) &&
		bytes.Equal(a[tcpHeader:], b[tcpHeader:])
}

// add makes a packet the last of the run. After a short one, or one that is marked so, nothing follows.
func (r *run) add(p *packet.Packet, index uint8, s *segment) {
	id := binary.BigEndian.Uint16(p.Bytes()[ipv4ID:])
	r.step, r.id = id-r.id, id
	r.tail, r.several = index, true
	r.length += s.payload
	r.sequence += uint32(s.payload)
	if s.last || s.payload < r.size {
		r.end()
	}
}

// sound reports whether the checksums of all packets of the run are right.
func (r *run) sound() bool { return r.several || r.head.TransportChecksumValid() }

// end lets the run grow no further.
func (r *run) end() { r.flow = flow{} }

// superHeader makes, in h, the headers of the superpacket whose first segment is p and whose length is length, with the
// flags of its last segment, and returns them and what goes before. h must have room for superHeaderLimit bytes.
func superHeader(h []byte, p, last *packet.Packet, length int) ([]byte, packet.Offload) {
	b := p.Bytes()
	network := p.TransportOffset()
	t := b[network:]
	o := packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: uint16(network)}
	header := udpHeader
	addresses := b[12:20]
	if network == ipv6Header {
		addresses = b[8:40]
	}
	if p.TransportProtocol() == protocolTCP {
		header = int(t[tcpDataOffset]>>4) * 4
		o.GSO, o.ChecksumOffset = packet.GSOTCP4, tcpChecksum
		if network == ipv6Header {
			o.GSO = packet.GSOTCP6
		}
	} else {
		o.GSO, o.ChecksumOffset = packet.GSOUDP4, udpChecksum
		if network == ipv6Header {
			o.GSO = packet.GSOUDP6
		}
	}
	o.HeaderLen = uint16(network + header)
	o.SegmentSize = uint16(len(b) - network - header)

	h = h[:o.HeaderLen]
	copy(h, b)
	if network == ipv4Header {
		// The sum changes as the length in it does (RFC 1624, equation 3).
		old := binary.BigEndian.Uint16(h[ipv4TotalLength:])
		binary.BigEndian.PutUint16(h[ipv4TotalLength:], uint16(length))
		sum := uint32(^binary.BigEndian.Uint16(h[ipv4Checksum:])) + uint32(^old) + uint32(length)
		binary.BigEndian.PutUint16(h[ipv4Checksum:], ^foldSum(sum))
	} else {
		binary.BigEndian.PutUint16(h[ipv6PayloadLen:], uint16(length-ipv6Header))
	}
	t = h[network:]
	if o.ChecksumOffset == tcpChecksum {
		t[tcpFlags] |= last.Bytes()[network+tcpFlags] & tcpFlagPSH
	} else {
		binary.BigEndian.PutUint16(t[udpLength:], uint16(length-network))
	}
	sum := uint32(p.TransportProtocol()) + uint32(length-network)
	for ; len(addresses) > 0; addresses = addresses[2:] {
		sum += uint32(binary.BigEndian.Uint16(addresses))
	}
	binary.BigEndian.PutUint16(t[o.ChecksumOffset:], foldSum(sum))
	return h, o
}

// foldSum reduces a sum of 16-bit words to 16 bits.
func foldSum(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}
