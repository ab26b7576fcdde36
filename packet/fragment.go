// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/hooknet/hooknet/hooks"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// Fragmenter splits an IPv4 packet into fragments that fit an MTU (RFC 791,
// 3.2). The packet may be a fragment itself: its pieces keep their place in
// the datagram. Options go into fragments after the first if their copy bit
// says so. IPv6 packets are never fragmented on their way (RFC 8200, 5).
//
// It is used like a [Segmenter], and the same holds for allocation, reuse and
// concurrency.
type Fragmenter struct {
	p      *Packet // nil: finished
	mtu    int
	at     int      // where the next payload begins, 0 before the first
	header int      // length of the later fragments' header
	later  [60]byte // which is here
}

// Init begins with the packet p, which has been parsed, and an MTU in bytes.
// A checksum that p does not hold in full yet is completed in p: no fragment
// could do it. It returns
//
//   - hooks.ReasonNone;
//   - [ReasonTooBig] if p is an IPv6 packet, or does not fit and has DF set or
//     headers that leave no room for 8 bytes of payload; an IPv4 packet that
//     fits is one "fragment" as it is;
//   - [ReasonOffloadMetadata] if p is a superpacket;
//   - [ReasonVersion] if p is not parsed.
//
// After any but the first, Next gives nothing.
func (f *Fragmenter) Init(p *Packet, mtu int) hooks.Reason {
	p.check()
	f.p = nil
	switch {
	case p.family == 0:
		return ReasonVersion
	case p.Offload.GSO != GSONone:
		return ReasonOffloadMetadata
	case p.family != Inet:
		return ReasonTooBig
	}
	header := int(p.headerLen)
	if len(p.data) > mtu && (p.DontFragment() || mtu < header+8) {
		return ReasonTooBig
	}
	p.FillChecksum()
	f.p = p
	f.mtu = mtu
	f.at = 0
	f.header = header
	return hooks.ReasonNone
}

// Next makes dst the next fragment, parsed and without metadata, and reports
// whether there was one. The conditions are those of [Segmenter.Next].
func (f *Fragmenter) Next(dst *Packet) bool {
	p := f.p
	if p == nil {
		return false
	}
	p.check()
	first := f.at == 0
	header := p.data[:p.headerLen]
	if first {
		f.at = len(header)
	} else {
		header = f.later[:f.header]
	}
	payload := p.data[f.at:]
	last := len(header)+len(payload) <= f.mtu
	if !last {
		payload = payload[:(f.mtu-len(header))&^7]
	}

	length := len(header) + len(payload)
	dst.Reset()
	dst.reserve(length)
	b := dst.data[:length]
	copy(b, header)
	copy(b[len(header):], payload)
	dst.data = b

	binary.BigEndian.PutUint16(b[2:], uint16(length))
	word := binary.BigEndian.Uint16(p.data[6:])
	offset := uint16(f.at-int(p.headerLen)) / 8
	word += offset // never beyond 13 bits: Parse looked where the payload ends
	if !last {
		word |= ipv4MoreFragments
	}
	binary.BigEndian.PutUint16(b[6:], word)
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^checksum.Checksum(b[:len(header)], 0))
	dst.parse4(b)

	f.at += len(payload)
	if first && !last {
		f.header = laterHeader(&f.later, header)
	}
	if last {
		f.p = nil
	}
	return true
}

// laterHeader makes dst the header of the fragments after the first, and
// returns its length: without the options whose copy bit is not set (RFC 791,
// 3.1), padded to a multiple of 4.
func laterHeader(dst *[60]byte, header []byte) int {
	n := copy(dst[:], header[:ipv4Minimum])
	for i, length := nextOption(header, ipv4Minimum); length > 0; i, length = nextOption(header, i+length) {
		if header[i]&optionCopied != 0 {
			n += copy(dst[n:], header[i:i+length])
		}
	}
	for n%4 != 0 {
		dst[n] = optionEnd
		n++
	}
	dst[0] = 4<<4 | uint8(n/4)
	return n
}
