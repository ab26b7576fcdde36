// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/packet"
)

// sourcesOf gives the packets of a bench as many sources, behind the interface they come by.
func sourcesOf(b *bench, n int) {
	rng := rand.New(rand.NewPCG(3, 4))
	dst := b.gen.packets[0]
	b.gen.packets = nil
	for range n {
		p := append([]byte(nil), dst...)
		binary.BigEndian.PutUint32(p[12:], 0x0a000000|rng.Uint32N(1<<24))
		headerChecksum(p)
		b.gen.packets = append(b.gen.packets, p)
	}
}

// optioned puts options, a multiple of 4 bytes, into an IPv4 packet.
func optioned(b []byte, options ...byte) []byte {
	b = slices.Concat(b[:20], options, b[20:])
	b[0] = byte(0x45 + len(options)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	headerChecksum(b)
	return b
}

// buildSYN builds a TCP handshake that announces a maximum segment size; its checksum is not looked at in transit.
func buildSYN(dst netip.Addr, mss uint16) []byte {
	at, protocol := 20, 9
	if dst.Is6() {
		at, protocol = 40, 6
	}
	b := buildUDP(dst, at+24)
	b[protocol] = 6
	if dst.Is4() {
		headerChecksum(b)
	}
	header.TCP(b[at:]).Encode(&header.TCPFields{DataOffset: 24, Flags: header.TCPFlagSyn})
	copy(b[at+20:], []byte{2, 4, byte(mss >> 8), byte(mss)})
	return b
}

// BenchmarkSourceValidation shows what strict validation adds to a 64-byte packet, and what is paid without it for knowing
// our own addresses. With one source the last answer is remembered; with 4096 in random order every packet is looked up.
func BenchmarkSourceValidation(b *testing.B) {
	for _, sources := range []int{1, 4096} {
		for _, mode := range []SourceValidation{SourceValidationOff, SourceValidationStrict} {
			b.Run(fmt.Sprintf("sources=%d/%v", sources, mode), func(b *testing.B) {
				r := newBench(b, 0, 1000, destinationsOf(4, 1, 1000), build(64))
				behind := Route{Destination: netip.MustParsePrefix("10.0.0.0/8"), Interface: "from"}
				if err := r.inst.AddRoute(behind); err != nil {
					b.Fatal(err)
				}
				if err := r.from.SetSourceValidation(mode); err != nil {
					b.Fatal(err)
				}
				if sources > 1 {
					sourcesOf(r, sources)
				}
				r.run(100)
				b.ReportAllocs()
				b.ResetTimer()
				r.run(b.N)
				b.StopTimer()
				if s := r.inst.Stats(); s.Drops["reverse_path"] != 0 || s.Sent < uint64(b.N)*99/100 {
					b.Fatalf("sent %d of %d: %+v", s.Sent, b.N+100, s)
				}
			})
		}
	}
}

// Nothing that guards the way allocates, options and refusals included.
func TestGuardsDoNotAllocate(t *testing.T) {
	r := newBench(t, 0, 10, destinationsOf(4, 1, 10), build(64))
	plain := r.gen.packets[0]
	sourcesOf(r, 100) // of which a few are routed back
	r.gen.packets = append(r.gen.packets, plain, optioned(plain, 7, 7, 4, 0, 0, 0, 0, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0), buildSYN(destination4(0), 1460))
	r.from.clampMSS = true
	r.from.mtu.Store(1400)
	if err := r.from.SetSourceValidation(SourceValidationStrict); err != nil {
		t.Fatal(err)
	}
	if allocs := r.allocations(t, 10, 20); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	s := r.inst.Stats()
	if s.Drops[packet.ReasonName(packet.ReasonReversePath)] == 0 || s.Forwarded == 0 {
		t.Errorf("not what was to be measured: %+v", s)
	}
}

// The filter never denies what was added, and denies most of what was not.
func TestAddressFilter(t *testing.T) {
	var f addressFilter
	rng := rand.New(rand.NewPCG(5, 6))
	random := func() netip.Addr {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], rng.Uint64())
		binary.BigEndian.PutUint64(b[8:], rng.Uint64())
		if rng.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrFrom16(b)
	}
	var own []netip.Addr
	for range 30 {
		own = append(own, random())
		f.add(own[len(own)-1])
	}
	for _, a := range own {
		if !f.mayHold(addressKey(a)) {
			t.Errorf("%v was added", a)
		}
	}
	wrong := 0
	for range 10000 {
		if f.mayHold(addressKey(random())) {
			wrong++
		}
	}
	if wrong > 600 {
		t.Errorf("%d of 10000 strangers are taken for possibly ours; 30 of 1024 bits are set", wrong)
	}
}
