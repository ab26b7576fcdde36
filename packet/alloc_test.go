// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package packet_test

import (
	"net/netip"
	"testing"
	"unsafe"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// Not with -race: there a released packet is never used again, so every Get
// allocates.

// TestAllocations: nothing that a packet meets on its way allocates.
func TestAllocations(t *testing.T) {
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::99")
	plain4, plain6 := udp4(t, 100), tcp6(t, 100)
	p4, p6 := parse(t, plain4, packet.Offload{}), parse(t, plain6, packet.Offload{})
	chained := parse(t, chain(t, 0, hop(), 60, ext()), packet.Offload{})
	partialBytes, partialOffload := partial(tcp4(t, 1000), 6, 20)
	deferred := parse(t, partialBytes, partialOffload)
	superBytes, superOffload := super(tcp4(t, 60000), 6, 20, 1448)
	big := parse(t, superBytes, superOffload)
	fragmented := parse(t, udp4(t, 5000), packet.Offload{})
	segment := packet.Get(1500)
	for name, f := range map[string]func(){
		"get and release": func() { packet.Get(1500).Release(); packet.Get(65535).Release() },
		"fill and parse": func() {
			p := packet.Get(1500)
			if p.Fill(plain4) != nil || p.Parse() != hooks.ReasonNone {
				panic("does not parse")
			}
			p.Release()
		},
		"parse":     func() { p4.Parse(); p6.Parse(); chained.Parse(); big.Parse() },
		"accessors": func() { fieldsNoStrings(p4); fieldsNoStrings(p6); fieldsNoStrings(chained); fieldsNoStrings(big) },
		"clone":     func() { p4.Clone().Release(); big.Clone().Release() },
		"forward":   func() { p4.DecrementTTL(); p6.DecrementTTL(); big.DecrementTTL() },
		"edit": func() {
			p4.SetSource(a4)
			p6.SetDestination(a6)
			big.SetSourcePort(7)
			big.SetTrafficClass(1)
			p6.SetTTL(64)
		},
		"refused edit":   func() { p4.SetSource(a6) },
		"replace":        func() { _ = p4.Replace(plain4) },
		"append, cut":    func() { _, _ = p4.Append(10); _ = p4.Truncate(len(plain4)) },
		"prepend":        func() { _, _ = p6.Prepend(8); _ = p6.Replace(plain6) },
		"errors":         func() { _ = p4.Truncate(1); _ = p4.Truncate(70000); _, _ = p4.Append(70000); _, _ = big.Prepend(8) },
		"fill checksum":  func() { deferred.DeferChecksum(); deferred.FillChecksum() },
		"valid checksum": func() { p4.TransportChecksumValid(); p4.HeaderChecksumValid() },
		"segments": func() {
			var s packet.Segmenter
			s.Init(big)
			for s.Next(segment) {
			}
		},
		"segments from the pool": func() {
			var s packet.Segmenter
			s.Init(big)
			for more := true; more; {
				dst := packet.Get(1500)
				more = s.Next(dst)
				dst.Release()
			}
		},
		"fragments": func() {
			var f packet.Fragmenter
			f.Init(fragmented, 1500)
			for f.Next(segment) {
			}
		},
		"driver": func() {
			segment.Reset()
			segment.SetLen(copy(segment.Space(10)[10:], plain4))
			segment.Prefixed(10)[0] = 1
		},
		"names": func() {
			_ = packet.ReasonName(packet.ReasonTTLExpired)
			_ = packet.Inet.String()
			_ = packet.PhysicalIn.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	}
}

func fieldsNoStrings(p *packet.Packet) {
	_, _, _, _, _ = p.Family(), p.Version(), p.Source(), p.Destination(), p.TTL()
	_, _, _, _, _ = p.TrafficClass(), p.HeaderLen(), p.TransportProtocol(), p.TransportOffset(), p.IsFragment()
	_, _, _, _ = p.Transport(), p.Bytes(), p.HasOptions(), p.Problem()
	p.SourcePort()
	p.DestinationPort()
}

// TestSize: what the packet path reads of a packet lies in one cache line, and
// the whole takes few.
func TestSize(t *testing.T) {
	var p packet.Packet
	if end := unsafe.Offsetof(p.Offload) + unsafe.Sizeof(p.Offload); end > 64 {
		t.Errorf("the hot fields end at %d, want at most 64", end)
	}
	if size := unsafe.Sizeof(p); size > 80 {
		t.Errorf("a Packet takes %d bytes, want at most 80", size)
	}
	var c packet.Context
	if size := unsafe.Sizeof(c); size > 32 {
		t.Errorf("a Context takes %d bytes, want at most 32", size)
	}
}
