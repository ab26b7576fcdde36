// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"pgregory.net/rapid"
)

// segments splits p and returns the bytes of each packet, after checking what
// must hold for all of them.
func segments(t T, p *packet.Packet) [][]byte {
	t.Helper()
	var s packet.Segmenter
	if r := s.Init(p); r != hooks.ReasonNone {
		t.Fatalf("Init: %s", packet.ReasonName(r))
	}
	before := string(p.Bytes())
	var list [][]byte
	dst := packet.Get(100)
	defer dst.Release()
	for s.Next(dst) {
		checkValid(t, dst.Bytes())
		if dst.Offload != (packet.Offload{}) || dst.Edited() {
			t.Fatalf("segment %d: %+v, edited %v", len(list), dst.Offload, dst.Edited())
		}
		if !dst.TransportChecksumValid() {
			t.Fatalf("segment %d: TransportChecksumValid is false", len(list))
		}
		got := fieldsOf(dst)
		fresh := parse(t, dst.Bytes(), packet.Offload{})
		if diff := cmp.Diff(fieldsOf(fresh), got); diff != "" {
			t.Fatalf("segment %d: accessors (-fresh +got):\n%s", len(list), diff)
		}
		fresh.Release()
		list = append(list, append([]byte(nil), dst.Bytes()...))
	}
	if s.Next(dst) {
		t.Fatalf("a segment after the last")
	}
	if len(list) != s.Segments() {
		t.Fatalf("%d segments, Segments() = %d", len(list), s.Segments())
	}
	if string(p.Bytes()) != before {
		t.Fatalf("the superpacket was changed")
	}
	return list
}

// checkSegments splits p, a superpacket that means m, and checks that the
// segments are what m's packets would be.
func checkSegments(t T, m *model, p *packet.Packet) {
	t.Helper()
	size := int(p.Offload.SegmentSize)
	list := segments(t, p)
	if want := max(1, (len(m.payload)+size-1)/size); len(list) != want {
		t.Fatalf("%d segments of %d bytes, want %d of %d", len(list), len(m.payload), want, size)
	}
	for i, b := range list {
		one := *m
		one.payload = m.payload[i*size : min((i+1)*size, len(m.payload))]
		want := one.bytes(t)
		// What differs between the segments, and what depends on it.
		if m.version == 4 {
			fixHeader4(set16(want, 4, 0x1234+uint16(i)))
		}
		if m.protocol == layers.IPProtocolTCP {
			at := m.transport()
			binary.BigEndian.PutUint32(want[at+4:], 0xfffffff0+uint32(i*size))
			set16(want, at+16, 0)
			set16(want, at+16, ^slowSum(append(binary.BigEndian.AppendUint16(nil, pseudo(want, 6, len(want)-at)), want[at:]...)))
		}
		if diff := sameBytes(m, want, b); diff != "" {
			t.Fatalf("segment %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestSegmentsAgainstModel: the segments of any superpacket are what the
// sender would have sent one by one.
func TestSegmentsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, 20000, layers.IPProtocolTCP, layers.IPProtocolUDP)
		size := rapid.IntRange(max(1, len(m.payload)/50), 3000).Draw(t, "segment size")
		b, o := super(m.bytes(t), byte(m.protocol), m.transport(), size)
		checkSegments(t, m, parse(t, b, o))
	})
}

func TestSegmentLargest(t *testing.T) {
	for name, m := range map[string]*model{
		"TCP4": {version: 4, protocol: layers.IPProtocolTCP, payload: bytesOf(65535 - 52)},
		"UDP4": {version: 4, protocol: layers.IPProtocolUDP, payload: bytesOf(65535 - 28)},
		"TCP6": {version: 6, protocol: layers.IPProtocolTCP, payload: bytesOf(65535 - 32)},
		"UDP6": {version: 6, protocol: layers.IPProtocolUDP, payload: bytesOf(65535 - 8)},
	} {
		t.Run(name, func(t *testing.T) {
			m.source, m.destination = drawFixed(m.version, 1), drawFixed(m.version, 2)
			for _, size := range []int{1448, 65535} {
				b, o := super(m.bytes(t), byte(m.protocol), m.transport(), size)
				checkSegments(t, m, parse(t, b, o))
			}
		})
	}
}

// TestSegmentTCPFlags: FIN and PSH on the last segment only, CWR on the first
// only (RFC 3168, 6.1.2), ECE on all; the urgent pointer keeps its place.
func TestSegmentTCPFlags(t *testing.T) {
	h := tcp()
	h.FIN, h.PSH, h.CWR, h.ECE, h.URG, h.Urgent = true, true, true, true, true, 150
	network := ip4(layers.IPProtocolTCP)
	network.TOS = 0xb8 | 2 // ECT(0)
	b, o := super(build(t, network, h, gopacket.Payload(bytesOf(250))), 6, 20, 100)
	o.ECN = true
	type flags struct {
		FIN, PSH, CWR, ECE, ACK, URG bool
		Urgent                       uint16
		ECN                          uint8
	}
	var got []flags
	for _, b := range segments(t, parse(t, b, o)) {
		decoded := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
		h := decoded.Layer(layers.LayerTypeTCP).(*layers.TCP)
		got = append(got, flags{h.FIN, h.PSH, h.CWR, h.ECE, h.ACK, h.URG, h.Urgent, decoded.NetworkLayer().(*layers.IPv4).TOS & 3})
	}
	want := []flags{
		{CWR: true, ECE: true, ACK: true, URG: true, Urgent: 150, ECN: 2},
		{ECE: true, ACK: true, URG: true, Urgent: 50, ECN: 2},
		{FIN: true, PSH: true, ECE: true, ACK: true, ECN: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSegmentOne: a superpacket of a single segment keeps all its flags.
func TestSegmentOne(t *testing.T) {
	h := tcp()
	h.FIN, h.PSH, h.CWR = true, true, true
	want := build(t, ip4(layers.IPProtocolTCP), h, gopacket.Payload(bytesOf(100)))
	b, o := super(append([]byte(nil), want...), 6, 20, 100)
	list := segments(t, parse(t, b, o))
	if len(list) != 1 || string(list[0]) != string(want) {
		t.Errorf("got % x\nwant % x", list, want)
	}
}

func TestSegmenterRefuses(t *testing.T) {
	flagged := func(flag func(*layers.TCP)) *packet.Packet {
		h := tcp()
		flag(h)
		b, o := super(build(t, ip4(layers.IPProtocolTCP), h, gopacket.Payload(bytesOf(300))), 6, 20, 100)
		return parse(t, b, o)
	}
	changed := func(change func(p *packet.Packet)) *packet.Packet {
		p := flagged(func(*layers.TCP) {})
		change(p)
		return p
	}
	for name, p := range map[string]*packet.Packet{
		"SYN":                  flagged(func(h *layers.TCP) { h.SYN = true }),
		"RST":                  flagged(func(h *layers.TCP) { h.RST = true }),
		"no superpacket":       parse(t, tcp4(t, 300), packet.Offload{}),
		"not parsed":           unparsed(t, tcp4(t, 300), packet.Offload{GSO: packet.GSOTCP4, Checksum: packet.ChecksumPartial}),
		"size taken away":      changed(func(p *packet.Packet) { p.Offload.SegmentSize = 0 }),
		"checksum taken away":  changed(func(p *packet.Packet) { p.Offload.Checksum = packet.ChecksumFull }),
		"data offset changed":  changed(func(p *packet.Packet) { p.Mutable()[32] = 0 }),
		"another type":         changed(func(p *packet.Packet) { p.Offload.GSO = packet.GSOUDP4 }),
		"checksum offset wild": changed(func(p *packet.Packet) { p.Offload.ChecksumOffset = 0xffff }),
	} {
		t.Run(name, func(t *testing.T) {
			var s packet.Segmenter
			if r := s.Init(p); r != packet.ReasonOffloadMetadata {
				t.Errorf("Init: got %s, want offload_metadata", packet.ReasonName(r))
			}
			dst := packet.Get(100)
			defer dst.Release()
			if s.Next(dst) || s.Segments() != 0 {
				t.Error("segments all the same")
			}
		})
	}
	var s packet.Segmenter
	if s.Next(packet.Get(1)) || s.Segments() != 0 {
		t.Error("the zero Segmenter has segments")
	}
}

// TestSegmentSourceRouted: with a routing header the transport checksum covers
// the final destination, which only the sender's partial sum knows.
func TestSegmentSourceRouted(t *testing.T) {
	final := bytesOf(16)
	plain := tcp6(t, 250)
	copy(plain[24:40], final)
	sum := pseudo(plain, 6, len(plain)-40)
	b := chain(t, 43, ext(append([]byte{4, 1, 0, 0, 0, 0}, final...)...))
	b = append(b[:len(b)-42], plain[40:]...)
	set16(b, 4, uint16(len(b)-40))
	transport := len(b) - 282
	b, o := super(b, 6, transport, 100)
	set16(b, transport+16, sum)
	p := parse(t, b, o)
	if !p.SourceRouted() {
		t.Fatal("not source routed")
	}
	var s packet.Segmenter
	if r := s.Init(p); r != hooks.ReasonNone {
		t.Fatal(packet.ReasonName(r))
	}
	dst := packet.Get(1500)
	for s.Next(dst) {
		// At the final destination the addresses have been exchanged.
		arrived := append([]byte(nil), dst.Bytes()...)
		copy(arrived[24:40], final)
		arrived[43] = 0 // segments left
		checkValid(t, arrived)
	}
}
