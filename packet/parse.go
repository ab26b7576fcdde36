// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"math/bits"

	"github.com/hooknet/hooknet/hooks"
)

// Protocol numbers (IANA protocol-numbers), those that mean something here.
const (
	protocolHopByHop  = 0
	protocolICMP      = 1
	protocolTCP       = 6
	protocolUDP       = 17
	protocolDCCP      = 33
	protocolRouting   = 43
	protocolFragment  = 44
	protocolAH        = 51
	protocolICMPv6    = 58
	protocolNone      = 59
	protocolDstOpts   = 60
	protocolSCTP      = 132
	protocolUDPLite   = 136
	extensionMinimum  = 8
	extensionsAtMost  = 16 // that a parse walks through; more is nobody's packet
	ipv4Minimum       = 20
	ipv6Header        = 40
	tcpMinimum        = 20
	tcpSequence       = 4
	tcpDataOffset     = 12
	tcpFlags          = 13
	tcpChecksum       = 16
	tcpUrgent         = 18
	udpHeader         = 8
	udpLength         = 4
	udpChecksum       = 6
	icmpHeader        = 8
	icmpv6Header      = 4
	icmpChecksum      = 2
	ipv4DontFragment  = 0x4000
	ipv4MoreFragments = 0x2000
	ipv4OffsetMask    = 0x1fff
)

// Problem is what is wrong with a packet that is well-formed as far as
// lengths go but that a router has to refuse, with or without an ICMP
// Parameter Problem. [Packet.Parse] finds it and does not refuse the packet:
// whether it is the router's business depends on where the packet goes.
type Problem uint8

// The problems.
const (
	ProblemNone Problem = iota

	// ProblemHeader: a header field is in error. Parameter Problem code 0. An
	// IPv4 option whose length cannot be (RFC 1812, 4.2.2.1), a Record Route or
	// Timestamp option that cannot be filled in (RFC 791, 3.1), or an IPv6 type
	// 0 routing header with segments left (RFC 5095, 3).
	ProblemHeader

	// ProblemNextHeader: a second hop-by-hop header follows the first
	// (RFC 8200, 4). ICMPv6 Parameter Problem code 1.
	ProblemNextHeader

	// ProblemOption: a hop-by-hop option that is not known, whose type asks
	// for an answer (RFC 8200, 4.2). ICMPv6 Parameter Problem code 2. It has to
	// be sent even if the destination is multicast.
	ProblemOption

	// ProblemSilent: a hop-by-hop option that is not known, whose type asks
	// for the packet to be dropped without an answer.
	ProblemSilent
)

// Code returns the code of the Parameter Problem message that answers the
// problem (ICMP type 12, ICMPv6 type 4), and false if none is to be sent.
func (pr Problem) Code() (code uint8, answer bool) {
	switch pr {
	case ProblemHeader:
		return 0, true
	case ProblemNextHeader:
		return 1, true
	case ProblemOption:
		return 2, true
	}
	return 0, false
}

// Parse reads the headers, trusting nothing, and returns hooks.ReasonNone or
// the reason why the packet has to be dropped. Then the accessors return zero
// values.
//
// It checks the version, all lengths, the IPv4 header checksum and the
// hop-by-hop header of IPv6, finds the transport header, and checks Offload
// against what it found. It cuts off what follows the end of the IP packet
// (link padding) and clears the edited mark.
//
// It does not refuse what a router has to pass: a transport header that is
// unknown or cut short, and IPv6 extension headers past the hop-by-hop one
// whatever they hold (RFC 8200, 4). See [Packet.Problem] for what is
// well-formed and yet not to be forwarded.
func (p *Packet) Parse() hooks.Reason {
	p.check()
	b := p.data
	if len(b) > 0 {
		switch b[0] >> 4 {
		case 4:
			return p.parse4(b)
		case 6:
			return p.parse6(b)
		}
	}
	if len(b) == 0 {
		return p.fail(ReasonTruncated)
	}
	return p.fail(ReasonVersion)
}

// parse4 parses an IPv4 packet (RFC 791, 3.1; checks of RFC 1812, 5.2.2).
func (p *Packet) parse4(b []byte) hooks.Reason {
	if len(b) < ipv4Minimum {
		return p.fail(ReasonTruncated)
	}
	// The sum of 16-bit words does not depend on the byte order, nor on adding
	// them two or four at a time (RFC 1071, 2). The fields come out of the
	// words that are loaded for it.
	word0 := binary.LittleEndian.Uint64(b)
	word1 := binary.LittleEndian.Uint64(b[8:])
	word2 := binary.LittleEndian.Uint32(b[16:])
	header := int(word0&15) * 4
	if header < ipv4Minimum {
		return p.fail(ReasonHeaderLength)
	}
	if header > len(b) {
		return p.fail(ReasonTruncated)
	}
	sum, carry := bits.Add64(word0, word1, 0)
	sum, carry = bits.Add64(sum, uint64(word2), carry)
	sum = sum>>32 + sum&0xffffffff + carry
	for i := ipv4Minimum; i < header; i += 4 {
		sum += uint64(binary.LittleEndian.Uint32(b[i:]))
	}
	if fold(sum) != 0xffff {
		return p.fail(ReasonHeaderChecksum)
	}
	total := int(bits.ReverseBytes16(uint16(word0 >> 16)))
	if total < header {
		return p.fail(ReasonTotalLength)
	}
	if total > len(b) {
		return p.fail(ReasonTruncated)
	}
	if total < len(b) {
		p.data = p.data[:total]
	}

	p.parsed = parsed{}
	p.family = Inet
	p.headerLen = uint8(header)
	p.protocol = uint8(word1 >> 8)
	p.transport = uint16(header)
	p.flags = flagTransport
	if fragment := bits.ReverseBytes16(uint16(word0 >> 48)); fragment != 0 {
		if r := p.parseFragment4(fragment, total); r != hooks.ReasonNone {
			return p.fail(r)
		}
	}
	if header > ipv4Minimum {
		p.parseOptions4(b[:header])
	}
	return p.finish()
}

// parseFragment4 looks at the flags and the fragment offset.
func (p *Packet) parseFragment4(fragment uint16, total int) hooks.Reason {
	if fragment&ipv4DontFragment != 0 {
		p.flags |= flagDontFragment
	}
	if fragment&(ipv4MoreFragments|ipv4OffsetMask) == 0 {
		return hooks.ReasonNone
	}
	// A fragment may not end beyond the longest datagram, of which this header
	// is part too.
	offset := int(fragment&ipv4OffsetMask) * 8
	if offset+total > 65535 {
		return ReasonFragment
	}
	p.fragmentOffset = uint16(offset)
	if offset != 0 {
		p.flags &^= flagTransport
	}
	if fragment&ipv4MoreFragments != 0 {
		if (total-int(p.headerLen))%8 != 0 {
			return ReasonFragment
		}
		p.flags |= flagMoreFragments
	}
	return hooks.ReasonNone
}

// fail makes the packet one that is not parsed, and returns r.
func (p *Packet) fail(r hooks.Reason) hooks.Reason {
	p.parsed = parsed{}
	return r
}

// finish ends a parse that found nothing wrong in the bytes.
func (p *Packet) finish() hooks.Reason {
	if p.Offload.Checksum <= ChecksumVerified && p.Offload.GSO == GSONone && !p.Offload.ECN {
		return hooks.ReasonNone
	}
	if r := p.checkOffload(); r != hooks.ReasonNone {
		return p.fail(r)
	}
	return hooks.ReasonNone
}

// parse6 parses an IPv6 packet (RFC 8200, 3).
func (p *Packet) parse6(b []byte) hooks.Reason {
	if len(b) < ipv6Header {
		return p.fail(ReasonTruncated)
	}
	payload := int(binary.BigEndian.Uint16(b[4:]))
	next := b[6]
	if total := ipv6Header + payload; total < len(b) {
		// A length of 0 with a header behind it is a jumbogram (RFC 2675),
		// which no device here carries, or a mistake.
		if payload == 0 && next != protocolNone {
			return p.fail(ReasonTotalLength)
		}
		p.data = p.data[:total]
		b = p.data
	} else if total > len(b) {
		return p.fail(ReasonTruncated)
	}
	p.parsed = parsed{}
	p.family = Inet6
	p.headerLen = ipv6Header
	p.protocol = next
	p.flags = flagTransport | flagDontFragment
	p.transport = ipv6Header
	switch next {
	case protocolTCP, protocolUDP, protocolICMPv6:
	default:
		if r := p.parseExtensions6(b); r != hooks.ReasonNone {
			return p.fail(r)
		}
	}
	return p.finish()
}

// parseExtensions6 walks through the extension headers to the transport
// header. Only the hop-by-hop header is a router's business; what is wrong
// with any other ends the walk, and the packet has no transport header then
// (RFC 8200, 4).
func (p *Packet) parseExtensions6(b []byte) hooks.Reason {
	next := b[6]
	named := 6 // where next was read
	at := ipv6Header
	for range extensionsAtMost {
		p.protocol, p.transport = next, uint16(at)
		rest := b[at:]
		var length int
		switch next {
		case protocolHopByHop:
			if at > ipv6Header {
				if p.flags&flagHopByHop != 0 && named == ipv6Header && p.problem == ProblemNone {
					p.problem, p.pointer = ProblemNextHeader, uint16(named)
				}
				p.flags &^= flagTransport
				return hooks.ReasonNone
			}
			length = extensionLength(rest)
			if length == 0 || !p.parseHopByHop(rest[:length]) {
				return ReasonExtensionHeader
			}
			p.flags |= flagHopByHop
		case protocolRouting:
			length = extensionLength(rest)
			if length == 0 {
				break
			}
			if segmentsLeft := rest[3]; segmentsLeft > 0 {
				p.flags |= flagSourceRoute
				if rest[2] == 0 && p.problem == ProblemNone {
					p.problem, p.pointer = ProblemHeader, uint16(at+2)
				}
			}
		case protocolDstOpts:
			length = extensionLength(rest)
		case protocolAH:
			// RFC 4302, 2.2: in units of 4 bytes, less 2.
			if len(rest) >= extensionMinimum {
				length = (int(rest[1]) + 2) * 4
			}
		case protocolFragment:
			if len(rest) < extensionMinimum || p.flags&flagFragmentHeader != 0 {
				break
			}
			length = extensionMinimum
			fragment := binary.BigEndian.Uint16(rest[2:])
			p.flags |= flagFragmentHeader
			p.fragmentHeader = uint16(at)
			p.fragmentOffset = fragment &^ 7
			if fragment&1 != 0 {
				p.flags |= flagMoreFragments
			}
			if p.fragmentOffset != 0 {
				p.protocol, p.transport = rest[0], uint16(at+length)
				p.flags &^= flagTransport
				return hooks.ReasonNone
			}
		default:
			return hooks.ReasonNone
		}
		if length == 0 || length > len(rest) {
			break
		}
		next, named = rest[0], at
		at += length
	}
	p.flags &^= flagTransport
	return hooks.ReasonNone
}

// extensionLength returns the length of the extension header that b begins
// with, 0 if it is not whole.
func extensionLength(b []byte) int {
	if len(b) < extensionMinimum {
		return 0
	}
	length := (int(b[1]) + 1) * 8
	if length > len(b) {
		return 0
	}
	return length
}

// Hop-by-hop option types a router knows.
const (
	hopPad1        = 0
	hopPadN        = 1
	hopRouterAlert = 5 // RFC 2711
)

// parseHopByHop looks at the options of a hop-by-hop header and notes the
// first that asks not to be forwarded by who does not know it (RFC 8200, 4.2).
// It reports whether all options end within the header.
func (p *Packet) parseHopByHop(header []byte) bool {
	for i := 2; i < len(header); {
		option := header[i]
		if option == hopPad1 {
			i++
			continue
		}
		if i+2 > len(header) || i+2+int(header[i+1]) > len(header) {
			return false
		}
		if option != hopPadN && option != hopRouterAlert && p.problem == ProblemNone {
			switch option >> 6 {
			case 1:
				p.problem = ProblemSilent
			case 2:
				p.problem = ProblemOption
			case 3:
				p.problem = ProblemOption
				if p.data[24] == 0xff { // multicast destination
					p.problem = ProblemSilent
				}
			}
			if p.problem != ProblemNone {
				p.pointer = uint16(ipv6Header + i)
			}
		}
		i += 2 + int(header[i+1])
	}
	return true
}
