// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net/netip"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// FuzzIngest sends any bytes with any metadata into an instance whose hooks look, rewrite and want segments: nothing
// panics, and every packet is accounted for.
func FuzzIngest(f *testing.F) {
	for _, dst := range []netip.Addr{destination4(1), destination6(1), netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("ff02::1")} {
		b := buildUDP(dst, 100)
		f.Add(b, uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
		f.Add(b, uint8(2), uint8(3), uint16(20), uint16(6), uint16(40))
		f.Add(b, uint8(2), uint8(4), uint16(40), uint16(6), uint16(40))
		super, o := buildTCP(dst, 4000)
		f.Add(super, uint8(o.Checksum), uint8(o.GSO), o.ChecksumStart, o.ChecksumOffset, o.SegmentSize)
	}
	bench := newBench(f, 3, 10, nil, nil)
	for family, to := range map[packet.Family]netip.Addr{packet.Inet: destination4(2), packet.Inet6: destination6(2)} {
		for n, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
			flags := hooks.Flags(0)
			if n == 2 {
				flags = hooks.FlagSegments
			}
			if _, err := bench.inst.Register(family, event, packet.Hook{Name: "rewrite", Flags: flags, Func: func(c *packet.Context) hooks.Verdict {
				switch c.Packet.TTL() % 4 {
				case 0:
					c.Packet.SetSource(to)
				case 1:
					c.Packet.SetDestination(to)
				case 2:
					c.Packet.SetDestinationPort(9)
				case 3:
					c.Packet.SetTrafficClass(0x2e << 2)
				}
				return hooks.Accept
			}}); err != nil {
				f.Fatal(err)
			}
		}
	}
	w := bench.inst.newWorker(0)
	f.Fuzz(func(t *testing.T, data []byte, sum, gso uint8, start, offset, segment uint16) {
		p := packet.Get(len(data))
		if err := p.Fill(data); err != nil {
			p.Release()
			return
		}
		p.Offload = packet.Offload{
			Checksum: packet.ChecksumState(sum), GSO: packet.GSOType(gso), ChecksumStart: start, ChecksumOffset: offset, SegmentSize: segment,
		}
		w.n.received++
		w.ingress(bench.from, p)
		w.flush()
		bench.inst.host.output.drain()
		s := bench.inst.Stats()
		in, out := s.Received+s.FromHost+s.Made, s.Sent+s.Delivered+s.Split+s.Stolen
		for _, n := range s.Drops {
			out += n
		}
		if in != out {
			t.Errorf("in %d, out %d: %+v", in, out, s)
		}
		if bench.inst.host.broken.Load() {
			t.Error("the host stack panicked")
		}
	})
}
