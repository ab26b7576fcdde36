// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"encoding/binary"

	"github.com/hooknet/hooknet/packet"
)

// virtioHeaderLen is the length of struct virtio_net_hdr without num_buffers: what
// stands before every packet on a TUN descriptor opened with IFF_VNET_HDR.
//
//	0       1          2        4          6            8             10
//	| flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
//
// Offsets count from the first byte of the IP header. The two-byte fields have the
// byte order of the machine. Sources: virtio 1.2 section 5.1.6, linux/virtio_net.h
// (include/uapi and include), drivers/net/tun.c.
const virtioHeaderLen = 10

// Values of flags.
const (
	virtioNeedsChecksum = 1 << 0 // the checksum at csum_offset covers the pseudo header only
	virtioDataValid     = 1 << 1 // the checksum was verified
	virtioFlags         = virtioNeedsChecksum | virtioDataValid
)

// Values of gso_type.
const (
	virtioGSONone = 0
	virtioGSOTCP4 = 1
	virtioGSOTCP6 = 4
	virtioGSOUDP  = 5    // VIRTIO_NET_HDR_GSO_UDP_L4, either family
	virtioGSOECN  = 0x80 // a bit: the first segment carries CWR
)

// gsoUnknown stands for everything a header should not say. It is none of the values
// package packet knows, so that Parse refuses the packet, which is then counted.
const gsoUnknown packet.GSOType = 0xff

// decodeVirtio reads the header that came before the packet ip. It takes any bytes at
// all for either: whoever may open an AF_PACKET socket on the device decides over both.
// Whether the offsets fit the packet is for packet.Parse to say.
func decodeVirtio(header, ip []byte) packet.Offload {
	_ = header[virtioHeaderLen-1] // one bounds check
	flags, gso := header[0], header[1]
	if flags|gso == 0 {
		return packet.Offload{} // an ordinary packet
	}

	var o packet.Offload
	switch {
	case flags&^virtioFlags != 0:
		return packet.Offload{GSO: gsoUnknown}
	case flags&virtioNeedsChecksum != 0:
		o.Checksum = packet.ChecksumPartial
		o.ChecksumStart = binary.NativeEndian.Uint16(header[6:])
		o.ChecksumOffset = binary.NativeEndian.Uint16(header[8:])
	case flags&virtioDataValid != 0:
		o.Checksum = packet.ChecksumVerified
	}

	switch gso &^ virtioGSOECN {
	case virtioGSONone:
		if gso&virtioGSOECN != 0 {
			return packet.Offload{GSO: gsoUnknown}
		}
		return o
	case virtioGSOTCP4:
		o.GSO = packet.GSOTCP4
	case virtioGSOTCP6:
		o.GSO = packet.GSOTCP6
	case virtioGSOUDP:
		if gso&virtioGSOECN != 0 {
			return packet.Offload{GSO: gsoUnknown}
		}
		o.GSO = packet.GSOUDP4
		if len(ip) > 0 && ip[0]>>4 == 6 {
			o.GSO = packet.GSOUDP6
		}
	default: // UFO (3), which we never ask for, and nonsense
		return packet.Offload{GSO: gsoUnknown}
	}
	o.ECN = gso&virtioGSOECN != 0
	o.SegmentSize = binary.NativeEndian.Uint16(header[4:])
	// A hint, no more: for a packet that the host forwards it is the length of the
	// first piece of the kernel's buffer (virtio_net_hdr_from_skb). Parse computes it.
	o.HeaderLen = binary.NativeEndian.Uint16(header[2:])
	return o
}

// encodeVirtio writes the header for a packet. The header must have virtioHeaderLen
// bytes; all are written.
func encodeVirtio(header []byte, o packet.Offload) {
	_ = header[virtioHeaderLen-1]
	clear(header[:virtioHeaderLen])
	switch o.Checksum {
	case packet.ChecksumPartial:
		header[0] = virtioNeedsChecksum
		binary.NativeEndian.PutUint16(header[6:], o.ChecksumStart)
		binary.NativeEndian.PutUint16(header[8:], o.ChecksumOffset)
	case packet.ChecksumVerified:
		header[0] = virtioDataValid
	}
	switch o.GSO {
	case packet.GSONone:
		return
	case packet.GSOTCP4:
		header[1] = virtioGSOTCP4
	case packet.GSOTCP6:
		header[1] = virtioGSOTCP6
	case packet.GSOUDP4, packet.GSOUDP6:
		header[1] = virtioGSOUDP
	default:
		header[1] = virtioGSOECN // what the kernel refuses with EINVAL
	}
	if o.ECN {
		header[1] |= virtioGSOECN
	}
	// The kernel keeps hdr_len bytes in one piece and the rest in pages; with 0 it
	// looks for 64 KiB in one piece.
	binary.NativeEndian.PutUint16(header[2:], o.HeaderLen)
	binary.NativeEndian.PutUint16(header[4:], o.SegmentSize)
}
