// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"pgregory.net/rapid"
)

// FuzzParse gives arbitrary bytes with arbitrary metadata to everything there
// is. Nothing may panic; what parses must still parse after any typed edit,
// and its pieces must parse too.
func FuzzParse(f *testing.F) {
	add := func(b []byte, o packet.Offload) {
		ecn := byte(0)
		if o.ECN {
			ecn = 1
		}
		f.Add(b, byte(o.Checksum), byte(o.GSO), ecn, o.ChecksumStart, o.ChecksumOffset, o.SegmentSize, uint16(1))
	}
	for _, b := range [][]byte{udp4(f, 20), tcp4(f, 20), icmp4(f, 20), udp6(f, 20), tcp6(f, 20), icmp6(f, 20), {}, {0x45}, {0x60}} {
		add(b, packet.Offload{})
	}
	add(partial(tcp4(f, 100), 6, 20))
	add(super(tcp4(f, 300), 6, 20, 100))
	add(super(tcp6(f, 300), 6, 40, 100))
	add(super(udp4(f, 300), 17, 20, 100))
	add(super(udp6(f, 300), 17, 40, 7))
	add(fixHeader4(set16(udp4(f, 48), 6, 0x2003)), packet.Offload{})
	add(chain(f, 0, hop(5, 2, 0, 0), 60, ext(), 43, ext(4, 1), 44, fragmentHeader(0)), packet.Offload{})
	add(chain(f, 0, hop(0xde, 2, 0, 0), 51, make([]byte, 16), 44, fragmentHeader(9)), packet.Offload{})
	h := ip4(layers.IPProtocolUDP)
	h.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0x94, OptionLength: 4, OptionData: []byte{0, 0}}, {OptionType: 68, OptionLength: 12, OptionData: []byte{5, 0x11, 0, 0, 0, 0, 0, 0, 0, 0}}}
	add(build(f, h, udp(), gopacket.Payload(bytesOf(200))), packet.Offload{})

	f.Fuzz(func(t *testing.T, b []byte, state, gso, ecn byte, start, offset, size, number uint16) {
		if len(b) > packet.MaxLen {
			return
		}
		o := packet.Offload{Checksum: packet.ChecksumState(state), GSO: packet.GSOType(gso), ECN: ecn != 0, ChecksumStart: start, ChecksumOffset: offset, SegmentSize: size, HeaderLen: number}
		p := unparsed(t, b, o)
		defer p.Release()
		everything(t, p, number) // not parsed at all

		p = unparsed(t, b, o)
		if len(b) >= 20 && b[0]>>4 == 4 && number&1 != 0 {
			// Mostly the checksum is all that is wrong.
			if n := int(b[0]&15) * 4; n >= 20 && n <= len(b) {
				must(t, p.Fill(fixHeader4(append([]byte(nil), b...))))
				p.Offload = o
			}
		}
		reason := p.Parse()
		if reason != hooks.ReasonNone && cmp.Diff(nothing, fieldsOf(p)) != "" {
			t.Fatalf("%s, and yet: %+v", packet.ReasonName(reason), fieldsOf(p))
		}
		if again := p.Parse(); again != reason {
			t.Fatalf("parsed twice: %s, %s", packet.ReasonName(reason), packet.ReasonName(again))
		}
		if reason == hooks.ReasonNone {
			typed(t, p, number)
			pieces(t, p, int(number))
		}
		everything(t, p, number)
	})
}

// TestScribbled does the same to packets that are nearly right, which random
// bytes rarely are.
func TestScribbled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, 300)
		b, o := m.offload(t, m.bytes(t))
		for range rapid.IntRange(0, 3).Draw(t, "scribbles") {
			b[rapid.IntRange(0, min(len(b), m.headers())-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:len(b)-rapid.SampledFrom([]int{0, 0, 0, 1, min(len(b), 20)}).Draw(t, "cut")]
		if len(b) >= 20 && b[0]>>4 == 4 {
			if n := int(b[0]&15) * 4; n >= 20 && n <= len(b) {
				fixHeader4(b)
			}
		}
		number := rapid.Uint16().Draw(t, "number")
		p := unparsed(t, b, o)
		defer p.Release()
		if p.Parse() == hooks.ReasonNone {
			typed(t, p, number)
			pieces(t, p, int(number%2000))
		}
		everything(t, p, number)
	})
}

// typed edits p, which parsed, and looks that it still does.
func typed(t T, p *packet.Packet, number uint16) {
	p = p.Clone()
	defer p.Release()
	p.SetSource(other4)
	p.SetDestination(other6)
	p.SetSourcePort(number)
	p.SetDestinationPort(number)
	p.SetTTL(uint8(number))
	p.SetTrafficClass(uint8(number >> 8))
	p.ClampMSS(number)
	p.Record(other4, func() uint32 { return uint32(number) }, func(a netip.Addr) bool { return a.As4()[3]&1 == 0 })
	p.DecrementTTL()
	p.DeferChecksum()
	before := fieldsOf(p)
	if r := p.Reparse(); r != hooks.ReasonNone {
		t.Fatalf("after typed edits: %s", packet.ReasonName(r))
	}
	before.Edited = true
	if diff := cmp.Diff(before, fieldsOf(p)); diff != "" {
		t.Fatalf("accessors were stale (-then +fresh):\n%s", diff)
	}
	p.FillChecksum()
	if r := p.Reparse(); r != hooks.ReasonNone {
		t.Fatalf("after FillChecksum: %s", packet.ReasonName(r))
	}
}

// pieces splits p in every way and looks that the pieces parse.
func pieces(t T, p *packet.Packet, mtu int) {
	p = p.Clone()
	defer p.Release()
	dst := packet.Get(1500)
	defer dst.Release()
	var s packet.Segmenter
	if s.Init(p) == hooks.ReasonNone {
		n := 0
		for ; s.Next(dst) && n < 200; n++ {
			if r := dst.Parse(); r != hooks.ReasonNone {
				t.Fatalf("segment %d: %s", n, packet.ReasonName(r))
			}
			if dst.Offload != (packet.Offload{}) {
				t.Fatalf("segment %d: %+v", n, dst.Offload)
			}
		}
		if n < 200 && n != s.Segments() {
			t.Fatalf("%d segments, Segments() = %d", n, s.Segments())
		}
	}
	var f packet.Fragmenter
	if f.Init(p, mtu) == hooks.ReasonNone {
		for n := 0; f.Next(dst) && n < 200; n++ {
			if r := dst.Parse(); r != hooks.ReasonNone || dst.Len() > mtu {
				t.Fatalf("fragment %d: %s, %d bytes, MTU %d", n, packet.ReasonName(r), dst.Len(), mtu)
			}
		}
	}
}

// everything calls all that a hook can call, on a packet of which nothing is
// known, and which a hook may have scribbled on.
func everything(t T, p *packet.Packet, number uint16) {
	dst := packet.Get(100)
	defer dst.Release()
	for round := range 3 {
		q := p.Clone()
		if b := q.Mutable(); round > 0 && len(b) > 0 {
			b[int(number)%len(b)] ^= byte(number>>8) | 1
			b[0] ^= byte(round)
			q.Offload.ChecksumStart ^= number
		}
		_ = q.String()
		_ = fieldsOf(q)
		q.SetSource(other4)
		q.SetSource(other6)
		q.SetDestination(other4)
		q.SetDestination(other6)
		q.SetSourcePort(number)
		q.SetDestinationPort(number)
		q.SetTTL(uint8(number))
		q.DecrementTTL()
		q.SetTrafficClass(uint8(number))
		q.HeaderChecksumValid()
		q.TransportChecksumValid()
		_ = q.Offload.Needs()
		var s packet.Segmenter
		if s.Init(q) == hooks.ReasonNone {
			for n := 0; n < 10 && s.Next(dst); n++ {
			}
		}
		var f packet.Fragmenter
		if f.Init(q, int(number)) == hooks.ReasonNone {
			for n := 0; n < 10 && f.Next(dst); n++ {
			}
		}
		q.DeferChecksum()
		q.FillChecksum()
		_ = q.Truncate(int(number))
		_, _ = q.Append(int(number % 3000))
		q.DeferChecksum()
		_, _ = q.Prepend(int(number % 150))
		q.FillChecksum()
		_ = fieldsOf(q)
		q.Reparse()
		_ = q.Replace(q.Bytes()[min(q.Len(), int(number)):])
		_ = q.Prefixed(packet.DeviceHeadroom)
		q.Release()
	}
}
