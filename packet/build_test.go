// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"encoding/binary"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The packets of these tests are made by gopacket, and judged by gopacket and
// by gVisor's header package. Neither knows our code.

var (
	source4      = net.IPv4(10, 0, 0, 1).To4()
	destination4 = net.IPv4(10, 0, 1, 1).To4()
	source6      = net.ParseIP("2001:db8::1")
	destination6 = net.ParseIP("2001:db8:1::1")
)

// T is what both *testing.T and *rapid.T can do.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

func ip4(protocol layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Id: 0x1234, TOS: 0xb8, Protocol: protocol, SrcIP: source4, DstIP: destination4}
}

func ip6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: 0xb8, FlowLabel: 0x54321, NextHeader: next, SrcIP: source6, DstIP: destination6}
}

func udp() *layers.UDP { return &layers.UDP{SrcPort: 1234, DstPort: 4321} }

func tcp() *layers.TCP {
	return &layers.TCP{SrcPort: 1234, DstPort: 8081, Seq: 0xfffffff0, Ack: 7, ACK: true, Window: 1000, Options: []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
	}}
}

// bytesOf returns n bytes that differ from their neighbours.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// build serializes the layers, lengths and checksums computed.
func build(t T, stack ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range stack {
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		case *layers.TCP:
			must(t, l.SetNetworkLayerForChecksum(network))
		case *layers.UDP:
			must(t, l.SetNetworkLayerForChecksum(network))
		case *layers.ICMPv6:
			must(t, l.SetNetworkLayerForChecksum(network))
		}
	}
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...))
	return append([]byte(nil), buf.Bytes()...)
}

func must(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// udp4, tcp4, udp6 and tcp6 are plain packets with n bytes of payload.
func udp4(t T, n int) []byte {
	return build(t, ip4(layers.IPProtocolUDP), udp(), gopacket.Payload(bytesOf(n)))
}

func tcp4(t T, n int) []byte {
	return build(t, ip4(layers.IPProtocolTCP), tcp(), gopacket.Payload(bytesOf(n)))
}

func udp6(t T, n int) []byte {
	return build(t, ip6(layers.IPProtocolUDP), udp(), gopacket.Payload(bytesOf(n)))
}

func tcp6(t T, n int) []byte {
	return build(t, ip6(layers.IPProtocolTCP), tcp(), gopacket.Payload(bytesOf(n)))
}

func icmp4(t T, n int) []byte {
	return build(t, ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: 8 << 8, Id: 5, Seq: 6}, gopacket.Payload(bytesOf(n)))
}

func icmp6(t T, n int) []byte {
	return build(t, ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: 128 << 8}, &layers.ICMPv6Echo{Identifier: 5, SeqNumber: 6}, gopacket.Payload(bytesOf(n)))
}

// optioned is a UDP packet with IPv4 options, a multiple of 4 bytes.
func optioned(t T, options ...byte) []byte {
	b := udp4(t, 16)
	b = append(b[:20:20], append(options, b[20:]...)...)
	b[0] = 4<<4 | byte(5+len(options)/4)
	return fixHeader4(set16(b, 2, uint16(len(b))))
}

// unparsed returns a packet that holds b.
func unparsed(t T, b []byte, o packet.Offload) *packet.Packet {
	t.Helper()
	p := packet.Get(len(b))
	must(t, p.Fill(b))
	p.Offload = o
	return p
}

// parse returns a packet that holds b and has been parsed without complaint.
func parse(t T, b []byte, o packet.Offload) *packet.Packet {
	t.Helper()
	p := unparsed(t, b, o)
	if r := p.Parse(); r != hooks.ReasonNone {
		t.Fatalf("Parse: got %s, want none", packet.ReasonName(r))
	}
	return p
}

// fixHeader4 makes the header checksum of an IPv4 packet right after an edit.
func fixHeader4(b []byte) []byte {
	h := header.IPv4(b)
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
	return b
}

// pseudo is the sum of the pseudo header, done slowly (RFC 9293, 3.1; RFC
// 8200, 8.1).
func pseudo(b []byte, protocol uint8, length int) uint16 {
	var words []byte
	if b[0]>>4 == 4 {
		words = append(words, b[12:20]...)
	} else {
		words = append(words, b[8:40]...)
	}
	words = append(words, 0, protocol)
	words = binary.BigEndian.AppendUint32(words, uint32(length))
	return slowSum(words)
}

// slowSum is RFC 1071 as it stands there.
func slowSum(b []byte) uint16 {
	var sum uint32
	for len(b) > 1 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// partial turns the full checksum of b, a packet with its transport header at
// offset transport, into a partial one.
func partial(b []byte, protocol uint8, transport int) ([]byte, packet.Offload) {
	offset := map[uint8]int{6: 16, 17: 6, 58: 2}[protocol]
	binary.BigEndian.PutUint16(b[transport+offset:], pseudo(b, protocol, len(b)-transport))
	return b, packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: uint16(transport), ChecksumOffset: uint16(offset)}
}

// super returns a superpacket: b with a partial checksum and the metadata.
func super(b []byte, protocol uint8, transport, size int) ([]byte, packet.Offload) {
	b, o := partial(b, protocol, transport)
	o.SegmentSize = uint16(size)
	switch {
	case protocol == 6 && b[0]>>4 == 4:
		o.GSO = packet.GSOTCP4
	case protocol == 6:
		o.GSO = packet.GSOTCP6
	case b[0]>>4 == 4:
		o.GSO = packet.GSOUDP4
	default:
		o.GSO = packet.GSOUDP6
	}
	return b, o
}

// checkValid fails the test unless lengths and checksums of b, a whole packet
// with everything in it, satisfy gopacket and gVisor.
func checkValid(t T, b []byte) {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	decoded := gopacket.NewPacket(b, first, gopacket.Default)
	if decoded.NetworkLayer() == nil {
		t.Fatalf("gopacket: no whole IP packet\n% x", b)
	}
	for _, l := range decoded.Layers() {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			must(t, l.SetNetworkLayerForChecksum(decoded.NetworkLayer()))
		}
	}
	err, wrong := decoded.VerifyChecksums()
	if err != nil || len(wrong) > 0 {
		t.Fatalf("gopacket: checksums: error %v, wrong %v\n%v", err, wrong, decoded)
	}

	var src, dst tcpip.Address
	var protocol uint8
	var payload []byte
	if b[0]>>4 == 4 {
		h := header.IPv4(b)
		if !h.IsValid(len(b)) || !h.IsChecksumValid() || int(h.TotalLength()) != len(b) {
			t.Fatalf("gVisor: IPv4 header not valid\n% x", b)
		}
		src, dst, protocol, payload = h.SourceAddress(), h.DestinationAddress(), h.Protocol(), h.Payload()
	} else {
		h := header.IPv6(b)
		if !h.IsValid(len(b)) || int(h.PayloadLength())+header.IPv6MinimumSize != len(b) {
			t.Fatalf("gVisor: IPv6 header not valid\n% x", b)
		}
		src, dst, protocol, payload = h.SourceAddress(), h.DestinationAddress(), h.NextHeader(), h.Payload()
		for protocol == 0 || protocol == 60 || protocol == 43 {
			protocol, payload = payload[0], payload[(int(payload[1])+1)*8:]
		}
	}
	ok := true
	switch protocol {
	case 6:
		h := header.TCP(payload)
		ok = h.IsChecksumValid(src, dst, checksum.Checksum(h.Payload(), 0), uint16(len(h.Payload())))
	case 17:
		h := header.UDP(payload)
		ok = int(h.Length()) == len(payload) && (h.Checksum() == 0 && b[0]>>4 == 4 || h.IsChecksumValid(src, dst, checksum.Checksum(h.Payload(), 0)))
	case 1:
		ok = checksum.Checksum(payload, 0) == 0xffff
	case 58:
		h := header.ICMPv6(payload)
		want := header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h, Src: src, Dst: dst})
		ok = h.Checksum() == want
	}
	if !ok {
		t.Fatalf("gVisor: transport length or checksum of protocol %d not valid\n% x", protocol, b)
	}
}

func TestBuilders(t *testing.T) {
	for name, b := range map[string][]byte{
		"udp4": udp4(t, 11), "tcp4": tcp4(t, 11), "udp6": udp6(t, 11), "tcp6": tcp6(t, 11), "icmp4": icmp4(t, 11), "icmp6": icmp6(t, 11),
	} {
		t.Run(name, func(t *testing.T) { checkValid(t, b) })
	}
}
