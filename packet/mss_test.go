// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/packet"
)

// handshake builds a SYN with raw TCP options, a multiple of 4 bytes, in either family.
func handshake(t T, family packet.Family, options ...byte) []byte {
	l4 := &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: 1, SYN: true, Window: 1000}
	for range len(options) {
		l4.Options = append(l4.Options, layers.TCPOption{OptionType: layers.TCPOptionKindNop})
	}
	l3 := gopacket.SerializableLayer(ip4(layers.IPProtocolTCP))
	if family == packet.Inet6 {
		l3 = ip6(layers.IPProtocolTCP)
	}
	b := build(t, l3, l4)
	at := len(b) - len(options)
	copy(b[at:], options)
	p := parse(t, b, packet.Offload{})
	defer p.Release()
	if !p.DeferChecksum() {
		t.Fatalf("no checksum to compute")
	}
	p.FillChecksum()
	return bytes.Clone(p.Bytes())
}

// TestClampMSS: the value, the checksum, and nothing else (RFC 9293, 3.2).
func TestClampMSS(t *testing.T) {
	for name, c := range map[string]struct {
		options []byte
		at      int // of the value, in the options; 0: nothing changes
	}{
		"first":               {[]byte{2, 4, 0x05, 0xb4}, 2},
		"behind others":       {[]byte{4, 2, 3, 3, 7, 1, 1, 1, 2, 4, 0x05, 0xb4}, 10},
		"at an odd place":     {[]byte{1, 2, 4, 0x05, 0xb4, 1, 1, 1}, 3},
		"as small as allowed": {[]byte{2, 4, 0x05, 0x14}, 0},
		"smaller":             {[]byte{2, 4, 0x02, 0x18}, 0},
		"0":                   {[]byte{2, 4, 0, 0}, 0},
		"none":                {nil, 0},
		"others only":         {[]byte{1, 1, 4, 2}, 0},
		"behind the end":      {[]byte{0, 2, 4, 0x05, 0xb4, 0, 0, 0}, 0},
		"of a wrong length":   {[]byte{2, 3, 0x05, 1}, 0},
		"cut short":           {[]byte{1, 1, 2, 4}, 0},
		"length 0 before":     {[]byte{3, 0, 2, 4, 0x05, 0xb4, 0, 0}, 0},
		"type alone":          {[]byte{1, 1, 1, 2}, 0},
	} {
		for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
			for _, isPartial := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					b := handshake(t, family, c.options...)
					want := bytes.Clone(b)
					transport := len(b) - len(c.options) - 20
					var o packet.Offload
					if isPartial {
						b, o = partial(b, 6, transport)
					}
					p := parse(t, b, o)
					defer p.Release()
					if got := p.ClampMSS(1300); got != (c.at != 0) {
						t.Errorf("ClampMSS says %v", got)
					}
					if p.Edited() || p.Offload != o {
						t.Errorf("edited %v, offload %+v, was %+v", p.Edited(), p.Offload, o)
					}
					if isPartial {
						p.FillChecksum()
					}
					if !p.TransportChecksumValid() {
						t.Error("checksum wrong")
					}
					if c.at != 0 {
						copy(want[transport+20+c.at:], []byte{0x05, 0x14})
					}
					got := bytes.Clone(p.Bytes())
					copy(got[transport+16:], []byte{0, 0})
					copy(want[transport+16:], []byte{0, 0})
					if !bytes.Equal(got, want) {
						t.Errorf("got  % x\nwant % x", got[transport:], want[transport:])
					}
				})
			}
		}
	}
}

// A checksum that was wrong stays wrong, and what is no whole handshake stays as it is.
func TestClampMSSLeavesTheRest(t *testing.T) {
	syn := handshake(t, packet.Inet, 2, 4, 0x05, 0xb4)
	wrong := bytes.Clone(syn)
	wrong[37] ^= 0x40
	p := parse(t, wrong, packet.Offload{})
	defer p.Release()
	if !p.ClampMSS(1300) || p.TransportChecksumValid() {
		t.Error("a corrupt handshake was mended")
	}
	syn6 := handshake(t, packet.Inet6, 2, 4, 0x05, 0xb4)
	inFragment := append(append(bytes.Clone(syn6[:40]), 6, 0, 0, 1, 0, 0, 0, 9), syn6[40:]...)
	inFragment[6], inFragment[5] = 44, inFragment[5]+8
	change := func(f func(b []byte)) []byte {
		b := bytes.Clone(syn)
		f(b)
		return fixHeader4(b)
	}
	for name, b := range map[string][]byte{
		"no SYN":           change(func(b []byte) { b[33] = 0x10 }),
		"first fragment":   change(func(b []byte) { b[6] = 0x20 }),
		"later fragment":   change(func(b []byte) { b[7] = 1 }),
		"UDP":              change(func(b []byte) { b[9] = 17 }),
		"header too long":  change(func(b []byte) { b[32] = 0xf0 }),
		"header too short": change(func(b []byte) { b[32] = 0x40 }),
		"cut short":        fixHeader4(set16(bytes.Clone(syn[:36]), 2, 36)),
		"inet6 fragment":   inFragment,
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, b, packet.Offload{})
			defer p.Release()
			if p.ClampMSS(1300) || !bytes.Equal(p.Bytes(), b) {
				t.Error("changed")
			}
		})
	}
	t.Run("not parsed", func(t *testing.T) {
		p := unparsed(t, syn, packet.Offload{})
		defer p.Release()
		if p.ClampMSS(1300) {
			t.Error("changed")
		}
	})
	t.Run("behind extension headers", func(t *testing.T) {
		b := append(append(bytes.Clone(syn6[:40]), 60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0), syn6[40:]...)
		b[6], b[5] = 0, b[5]+16
		p := parse(t, b, packet.Offload{})
		defer p.Release()
		if !p.ClampMSS(1300) || !p.TransportChecksumValid() {
			t.Error("not clamped, or the checksum is wrong")
		}
	})
}
