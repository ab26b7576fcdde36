// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// header builds a virtio-net header.
func header(flags, gso uint8, headerLen, gsoSize, start, offset uint16) []byte {
	h := []byte{flags, gso}
	for _, v := range []uint16{headerLen, gsoSize, start, offset} {
		h = binary.NativeEndian.AppendUint16(h, v)
	}
	return h
}

var (
	ip4 = []byte{0x45}
	ip6 = []byte{0x60}
)

func TestVirtioRoundTrip(t *testing.T) {
	for name, test := range map[string]struct {
		header  []byte
		ip      []byte
		offload packet.Offload
	}{
		"ordinary": {header(0, 0, 0, 0, 0, 0), ip4, packet.Offload{}},
		"verified": {header(2, 0, 0, 0, 0, 0), ip4, packet.Offload{Checksum: packet.ChecksumVerified}},
		"partial": {
			header(1, 0, 0, 0, 20, 6), ip4,
			packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 6},
		},
		"TCP over IPv4": {
			header(1, 1, 52, 1448, 20, 16), ip4,
			packet.Offload{
				Checksum: packet.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16,
				GSO: packet.GSOTCP4, SegmentSize: 1448, HeaderLen: 52,
			},
		},
		"TCP over IPv6, ECN": {
			header(1, 0x84, 72, 1428, 40, 16), ip6,
			packet.Offload{
				Checksum: packet.ChecksumPartial, ChecksumStart: 40, ChecksumOffset: 16,
				GSO: packet.GSOTCP6, SegmentSize: 1428, HeaderLen: 72, ECN: true,
			},
		},
		"UDP over IPv4": {
			header(1, 5, 28, 1472, 20, 6), ip4,
			packet.Offload{
				Checksum: packet.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 6,
				GSO: packet.GSOUDP4, SegmentSize: 1472, HeaderLen: 28,
			},
		},
		"UDP over IPv6": {
			header(1, 5, 48, 1452, 40, 6), ip6,
			packet.Offload{
				Checksum: packet.ChecksumPartial, ChecksumStart: 40, ChecksumOffset: 6,
				GSO: packet.GSOUDP6, SegmentSize: 1452, HeaderLen: 48,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := decodeVirtio(test.header, test.ip); got != test.offload {
				t.Errorf("decoded\n got %+v\nwant %+v", got, test.offload)
			}
			got := bytes.Repeat([]byte{0xee}, virtioHeaderLen) // all of it is to be written
			encodeVirtio(got, test.offload)
			if !bytes.Equal(got, test.header) {
				t.Errorf("encoded\n got %x\nwant %x", got, test.header)
			}
		})
	}
}

// What a header should not say is refused by Parse, and counted there.
func TestVirtioNonsense(t *testing.T) {
	valid := []byte{
		0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		0, 7, 0, 7, 0, 8, 0, 0,
	}
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(valid[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(valid[10:], ^uint16(sum))

	parse := func(h []byte) hooks.Reason {
		p := packet.Get(len(valid))
		defer p.Release()
		if err := p.Fill(valid); err != nil {
			t.Fatal(err)
		}
		p.Offload = decodeVirtio(h, p.Bytes())
		return p.Parse()
	}
	if r := parse(header(0, 0, 0, 0, 0, 0)); r != hooks.ReasonNone {
		t.Fatalf("the packet is no good: %s", packet.ReasonName(r))
	}
	for name, h := range map[string][]byte{
		"unknown flag":                header(0x08, 0, 0, 0, 0, 0),
		"unknown GSO type":            header(1, 2, 28, 8, 20, 6),
		"UFO":                         header(1, 3, 28, 8, 20, 6),
		"a tunnel's superpacket":      header(1, 0x21, 28, 8, 20, 6),
		"ECN without TCP":             header(0, 0x80, 0, 0, 0, 0),
		"ECN of UDP":                  header(1, 0x85, 28, 8, 20, 6),
		"superpacket, no checksum":    header(0, 5, 28, 8, 0, 0),
		"superpacket, segment 0":      header(1, 5, 28, 0, 20, 6),
		"TCP superpacket that is UDP": header(1, 1, 28, 8, 20, 16),
		"checksum past the end":       header(1, 0, 0, 0, 20, 7),
		"checksum far past the end":   header(1, 0, 0, 0, 65535, 65535),
		"checksum in the IP header":   header(1, 0, 0, 0, 0, 10),
	} {
		t.Run(name, func(t *testing.T) {
			if r := parse(h); r != packet.ReasonOffloadMetadata {
				t.Errorf("Parse: %s, want %s", packet.ReasonName(r), packet.ReasonName(packet.ReasonOffloadMetadata))
			}
		})
	}
}

// FuzzVirtio: any header before any packet is decoded without harm; what Parse then
// lets through is encoded to the same again, hdr_len aside.
func FuzzVirtio(f *testing.F) {
	f.Add(header(1, 1, 52, 1448, 20, 16), append([]byte{0x45, 0, 0, 60}, make([]byte, 56)...))
	f.Add(header(1, 5, 48, 1452, 40, 6), append([]byte{0x60}, make([]byte, 60)...))
	f.Add(header(0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff), []byte{})
	f.Add(header(2, 0, 0, 0, 0, 0), []byte{0x45})
	f.Fuzz(func(t *testing.T, h, ip []byte) {
		if len(h) < virtioHeaderLen || len(ip) > packet.MaxLen {
			return
		}
		o := decodeVirtio(h, ip)
		p := packet.Get(len(ip))
		defer p.Release()
		if err := p.Fill(ip); err != nil {
			t.Fatal(err)
		}
		p.Offload = o
		if p.Parse() != hooks.ReasonNone {
			return
		}
		var again [virtioHeaderLen]byte
		encodeVirtio(again[:], p.Offload)
		got, want := decodeVirtio(again[:], ip), o
		got.HeaderLen, want.HeaderLen = 0, 0
		if got != want {
			t.Errorf("decoded %+v, and after encoding %+v", want, got)
		}
	})
}
