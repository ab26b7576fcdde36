// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/hooknet/hooknet/hooks"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// TCP flags (RFC 9293, 3.1; RFC 3168, 6.1).
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpPSH = 0x08
	tcpURG = 0x20
	tcpCWR = 0x80
)

// Segmenter splits a superpacket into the packets it stands for, as a network
// card would: TCP segments or UDP datagrams of SegmentSize bytes of payload,
// the last one of what is left, with all headers, extension headers included.
//
//	var s packet.Segmenter
//	if r := s.Init(p); r != hooks.ReasonNone { ... }
//	for dst := packet.Get(mtu); s.Next(dst); dst = packet.Get(mtu) { ... }
//
// The zero value needs Init. A Segmenter does not allocate, apart from what
// packet.Get may; it can be used again, and is not safe for concurrent use. It
// reads the superpacket, which must not change between Init and the last Next.
type Segmenter struct {
	p      *Packet
	header int    // length of all headers
	size   int    // payload of a segment
	at     int    // where the next payload begins; beyond the packet: finished
	index  int    // number of the next segment
	base   uint16 // sum of the pseudo header without its length
}

// Init begins with the superpacket p, which has been parsed. It returns
// hooks.ReasonNone, or [ReasonOffloadMetadata] if p is no superpacket or one
// that cannot be split: a SYN, a RST, or what was changed since it was parsed.
// After that, Next gives nothing.
func (s *Segmenter) Init(p *Packet) hooks.Reason {
	p.check()
	*s = Segmenter{}
	if p.family == 0 || p.Offload.GSO == GSONone || p.checkOffload() != hooks.ReasonNone {
		return ReasonOffloadMetadata
	}
	t := p.data[p.transport:]
	if p.protocol == protocolTCP && t[tcpFlags]&(tcpSYN|tcpRST) != 0 {
		return ReasonOffloadMetadata
	}
	s.p = p
	s.header = int(p.Offload.HeaderLen)
	s.size = int(p.Offload.SegmentSize)
	s.at = s.header
	// The partial checksum is the sum of the pseudo header with the length of
	// the whole; without the length it serves all segments, whatever addresses
	// it was made of (a routing header's destination is another one).
	field := binary.BigEndian.Uint16(t[p.Offload.ChecksumOffset:])
	s.base = fold(uint64(field) + uint64(^uint16(len(t))))
	return hooks.ReasonNone
}

// Segments returns how many packets the superpacket makes, those that Next has
// given included. It is 0 after an Init that failed.
func (s *Segmenter) Segments() int {
	if s.p == nil {
		return 0
	}
	payload := len(s.p.data) - s.header
	return max(1, (payload+s.size-1)/s.size)
}

// Next makes dst the next segment, parsed, with full checksums and no
// metadata, and reports whether there was one. dst must not be the superpacket;
// whatever it held is gone, and if it is too small it gets a bigger buffer.
// When there is none left, dst is untouched.
func (s *Segmenter) Next(dst *Packet) bool {
	p := s.p
	if p == nil || s.at >= len(p.data) && s.index > 0 {
		return false
	}
	p.check()
	end := min(s.at+s.size, len(p.data))
	last := end == len(p.data)
	length := s.header + end - s.at

	dst.Reset()
	dst.reserve(length)
	b := dst.data[:length]
	copy(b, p.data[:s.header])
	copy(b[s.header:], p.data[s.at:end])
	dst.data = b
	dst.parsed = p.parsed
	dst.flags &^= flagEdited

	switch p.family {
	case Inet:
		binary.BigEndian.PutUint16(b[2:], uint16(length))
		// Each packet has an ID of its own (RFC 6864, 4.1). With DF set it
		// means nothing, but counting on does no harm.
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(s.index))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^checksum.Checksum(b[:p.headerLen], 0))
	case Inet6:
		binary.BigEndian.PutUint16(b[4:], uint16(length-ipv6Header))
	}

	t := b[p.transport:]
	if p.protocol == protocolTCP {
		s.editTCP(t, last)
	} else {
		binary.BigEndian.PutUint16(t[udpLength:], uint16(len(t)))
	}
	field := int(p.transport) + int(p.Offload.ChecksumOffset)
	b[field], b[field+1] = 0, 0
	dst.putChecksum(field, checksum.Checksum(t, fold(uint64(s.base)+uint64(len(t)))))

	s.at = end
	s.index++
	return true
}

// editTCP makes a copy of the superpacket's TCP header that of the next
// segment.
func (s *Segmenter) editTCP(t []byte, last bool) {
	offset := uint32(s.at - s.header)
	binary.BigEndian.PutUint32(t[tcpSequence:], binary.BigEndian.Uint32(t[tcpSequence:])+offset)
	if !last {
		t[tcpFlags] &^= tcpFIN | tcpPSH
	}
	if s.index == 0 {
		return
	}
	// CWR tells once that the window was reduced (RFC 3168, 6.1.2).
	t[tcpFlags] &^= tcpCWR
	if t[tcpFlags]&tcpURG != 0 {
		// The urgent pointer counts from the segment's sequence number.
		urgent := uint32(binary.BigEndian.Uint16(t[tcpUrgent:]))
		if urgent > offset {
			binary.BigEndian.PutUint16(t[tcpUrgent:], uint16(urgent-offset))
		} else {
			t[tcpFlags] &^= tcpURG
			binary.BigEndian.PutUint16(t[tcpUrgent:], 0)
		}
	}
}
