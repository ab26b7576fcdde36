// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"net/netip"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// BenchmarkParse: plain IPv4/UDP is to stay at or below 10 ns.
func BenchmarkParse(b *testing.B) {
	tcpSuper, tcpOffload := super(tcp4(b, 60000), 6, 20, 1448)
	for _, c := range []struct {
		name    string
		bytes   []byte
		offload packet.Offload
	}{
		{"udp4", udp4(b, 22), packet.Offload{}},
		{"tcp4", tcp4(b, 1448), packet.Offload{}},
		{"udp6", udp6(b, 22), packet.Offload{}},
		{"super", tcpSuper, tcpOffload},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			p := parse(b, c.bytes, c.offload)
			for b.Loop() {
				if p.Parse() != hooks.ReasonNone {
					b.Fatal("does not parse")
				}
			}
		})
	}
}

func BenchmarkGetRelease(b *testing.B) {
	for _, size := range []int{1500, 65535} {
		b.Run("", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				packet.Get(size).Release()
			}
		})
	}
}

func BenchmarkEdit(b *testing.B) {
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::99")
	p4, p6 := parse(b, udp4(b, 22), packet.Offload{}), parse(b, udp6(b, 22), packet.Offload{})
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"SetSource4", func() { p4.SetSource(a4) }},
		{"SetSource6", func() { p6.SetSource(a6) }},
		{"SetDestinationPort", func() { p4.SetDestinationPort(99) }},
		{"DecrementTTL4", func() { p4.DecrementTTL() }},
		{"Source4", func() { _ = p4.Source() }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c.name == "DecrementTTL4" {
					p4.SetTTL(64)
				}
				c.f()
			}
		})
	}
}

func BenchmarkFillChecksum(b *testing.B) {
	bytes, o := partial(tcp4(b, 1448), 6, 20)
	p := parse(b, bytes, o)
	b.ReportAllocs()
	b.SetBytes(int64(p.Len()))
	for b.Loop() {
		p.Offload = o
		p.FillChecksum()
	}
}

// BenchmarkSegmenter splits a superpacket of 44 segments; ns/segment is the
// figure.
func BenchmarkSegmenter(b *testing.B) {
	bytes, o := super(tcp4(b, 44*1448), 6, 20, 1448)
	p := parse(b, bytes, o)
	dst := packet.Get(1500)
	b.ReportAllocs()
	b.SetBytes(int64(p.Len()))
	n := 0
	for b.Loop() {
		var s packet.Segmenter
		s.Init(p)
		for s.Next(dst) {
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/segment")
}

func BenchmarkFragmenter(b *testing.B) {
	p := parse(b, udp4(b, 8000), packet.Offload{})
	dst := packet.Get(1500)
	b.ReportAllocs()
	b.SetBytes(int64(p.Len()))
	for b.Loop() {
		var f packet.Fragmenter
		f.Init(p, 1500)
		for f.Next(dst) {
		}
	}
}
