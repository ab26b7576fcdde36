// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"

	"github.com/hooknet/hooknet/hooks"
)

// ChecksumState says what the transport checksum field of a packet holds.
type ChecksumState uint8

// The checksum states.
const (
	// ChecksumFull: the field holds the checksum, which nobody has verified.
	ChecksumFull ChecksumState = iota

	// ChecksumVerified: the field holds the checksum and the device, or
	// whoever computed it, vouches for it (VIRTIO_NET_HDR_F_DATA_VALID).
	ChecksumVerified

	// ChecksumPartial: the field holds the sum of the pseudo header, not
	// inverted; the rest, from ChecksumStart to the end of the packet, is
	// still to be added (VIRTIO_NET_HDR_F_NEEDS_CSUM).
	ChecksumPartial

	// ChecksumAbsent: the field was not filled at all. Only on loopback,
	// between the host stack and itself. No device can send such a packet;
	// [Packet.FillChecksum] mends it.
	ChecksumAbsent
)

// String returns "full", "verified", "partial", "absent" or "unknown".
func (s ChecksumState) String() string {
	switch s {
	case ChecksumFull:
		return "full"
	case ChecksumVerified:
		return "verified"
	case ChecksumPartial:
		return "partial"
	case ChecksumAbsent:
		return "absent"
	}
	return "unknown"
}

// GSOType says how a superpacket is to be split.
type GSOType uint8

// The GSO types. The two UDP ones are datagrams of one size sent back to back
// (VIRTIO_NET_HDR_GSO_UDP_L4, "USO"), not IP fragments of one datagram.
const (
	GSONone GSOType = iota // one ordinary packet
	GSOTCP4
	GSOTCP6
	GSOUDP4
	GSOUDP6
)

// String returns "none", "tcp4", "tcp6", "udp4", "udp6" or "unknown".
func (g GSOType) String() string {
	switch g {
	case GSONone:
		return "none"
	case GSOTCP4:
		return "tcp4"
	case GSOTCP6:
		return "tcp6"
	case GSOUDP4:
		return "udp4"
	case GSOUDP6:
		return "udp6"
	}
	return "unknown"
}

// Offload is what is known of a packet beside its bytes: the portable form of
// the virtio-net header (virtio 1.2, section 5.1.6). Offsets and lengths are
// in bytes from the first byte of the network header. The zero value is an
// ordinary packet with its checksum in it.
type Offload struct {
	Checksum ChecksumState
	GSO      GSOType // other than GSONone only with ChecksumPartial

	// ECN: the superpacket carries CWR (VIRTIO_NET_HDR_GSO_ECN). TCP only.
	ECN bool

	// With ChecksumPartial: the sum covers everything from ChecksumStart on,
	// and goes to ChecksumStart + ChecksumOffset.
	ChecksumStart  uint16
	ChecksumOffset uint16

	// With a GSO type: payload of each segment but the last, above 0.
	SegmentSize uint16

	// With a GSO type: length of all headers, network and transport.
	// [Packet.Parse] computes it anew and never trusts the device's figure,
	// which virtio calls a hint.
	HeaderLen uint16
}

// Features is the set of things a device takes off the sender's hands on
// write.
type Features uint8

// The features.
const (
	FeatureChecksum Features = 1 << iota // completes a partial checksum
	FeatureTSO4                          // splits TCP over IPv4
	FeatureTSO6                          // splits TCP over IPv6
	FeatureUSO                           // splits UDP of both versions

	// featureImpossible is one that no device has.
	featureImpossible Features = 1 << 7
)

// Needs returns what a device must be able to do to send a packet as it is.
// With
//
//	missing := p.Offload.Needs() &^ device.Features()
//
// a packet can be written if missing is 0; otherwise a superpacket has to go
// through a [Segmenter] and any other packet through [Packet.FillChecksum].
func (o Offload) Needs() Features {
	var f Features
	switch o.Checksum {
	case ChecksumPartial:
		f = FeatureChecksum
	case ChecksumAbsent:
		return featureImpossible
	}
	switch o.GSO {
	case GSOTCP4:
		f |= FeatureTSO4
	case GSOTCP6:
		f |= FeatureTSO6
	case GSOUDP4, GSOUDP6:
		f |= FeatureUSO
	}
	return f
}

// checkOffload compares the metadata with the packet as parsed. It is called
// at the end of a parse, for the packets that carry any. It sets HeaderLen.
func (p *Packet) checkOffload() hooks.Reason {
	o := &p.Offload
	if o.GSO == GSONone {
		o.HeaderLen = 0
		if o.ECN {
			return ReasonOffloadMetadata
		}
		switch o.Checksum {
		case ChecksumFull, ChecksumVerified, ChecksumAbsent:
			return hooks.ReasonNone
		case ChecksumPartial:
			// Any protocol, and any place behind the IP header: in a
			// tunnel's packet it is the inner transport's checksum.
			if p.IsFragment() ||
				int(o.ChecksumStart) < int(p.headerLen) ||
				int(o.ChecksumStart)+int(o.ChecksumOffset)+2 > len(p.data) {
				return ReasonOffloadMetadata
			}
			return hooks.ReasonNone
		}
		return ReasonOffloadMetadata
	}

	var family Family
	var protocol uint8
	switch o.GSO {
	case GSOTCP4:
		family, protocol = Inet, protocolTCP
	case GSOTCP6:
		family, protocol = Inet6, protocolTCP
	case GSOUDP4:
		family, protocol = Inet, protocolUDP
	case GSOUDP6:
		family, protocol = Inet6, protocolUDP
	default:
		return ReasonOffloadMetadata
	}
	if p.family != family || p.protocol != protocol ||
		p.flags&(flagTransport|flagMoreFragments|flagFragmentHeader) != flagTransport ||
		o.Checksum != ChecksumPartial || o.SegmentSize == 0 ||
		o.ChecksumStart != p.transport {
		return ReasonOffloadMetadata
	}
	t := p.data[p.transport:]
	var header int
	switch protocol {
	case protocolTCP:
		if len(t) < tcpMinimum || o.ChecksumOffset != tcpChecksum {
			return ReasonOffloadMetadata
		}
		header = int(t[tcpDataOffset]>>4) * 4
		if header < tcpMinimum {
			return ReasonOffloadMetadata
		}
	case protocolUDP:
		header = udpHeader
		if o.ECN || o.ChecksumOffset != udpChecksum || len(t) < header ||
			int(binary.BigEndian.Uint16(t[udpLength:])) != len(t) {
			return ReasonOffloadMetadata
		}
	}
	if len(t) < header {
		return ReasonOffloadMetadata
	}
	o.HeaderLen = p.transport + uint16(header)
	return hooks.ReasonNone
}
