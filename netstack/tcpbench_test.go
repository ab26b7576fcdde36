// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
)

// A tcpCount is the data of the helpers here.
type tcpCount struct{ in, out, retransmitted, acked uint64 }

// countingHelper is a helper that does next to nothing.
func countingHelper() khelp.Config {
	return khelp.Config{
		Name: "count", Classes: khelp.TCP, Data: khelp.DataOf[tcpCount]{},
		Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: TCPEstablishedIn, Func: khelp.With(func(c *hhook.Call, n *tcpCount) {
				n.in++
				n.acked += uint64(c.Context.(*TCPContext).Acked)
			})},
			{Type: hhook.TCP, ID: TCPEstablishedOut, Func: khelp.With(func(c *hhook.Call, n *tcpCount) {
				n.out++
				if c.Context.(*TCPContext).Retransmission {
					n.retransmitted++
				}
			})},
		},
	}
}

// newTCPBench is a router between two devices for streams of segments, or superpackets, one on each of flows connections, with
// timestamps as most have. hooked no-op hooks are dealt out over the events.
func newTCPBench(tb testing.TB, hooked, size, flows int) *bench {
	tb.Helper()
	b := newBench(tb, hooked, 10, []netip.Addr{destination4(1)}, build(size))
	segment := b.gen.packets[0]
	b.gen.packets, b.gen.stream = nil, uint32(size-52)
	for k := range flows {
		s := append([]byte(nil), segment...)
		s[9] = 6
		headerChecksum(s)
		tcp := header.TCP(s[20:])
		tcp.Encode(&header.TCPFields{SrcPort: uint16(1024 + k), DstPort: 443, SeqNum: uint32(k), AckNum: 1, DataOffset: 32, Flags: header.TCPFlagAck})
		copy(tcp[20:], []byte{1, 1, 8, 10})
		binary.BigEndian.PutUint32(tcp[24:], uint32(k))
		b.gen.packets = append(b.gen.packets, s)
	}
	return b
}

// BenchmarkForwardTCP is BenchmarkForward for streams of TCP, one packet of each flow in turn, with helpers on them.
func BenchmarkForwardTCP(b *testing.B) {
	run := func(size, flows, hooked int, helper string) {
		b.Run(fmt.Sprintf("size=%d/flows=%d/hooks=%d/helper=%s", size, flows, hooked, helper), func(b *testing.B) {
			r := newTCPBench(b, hooked, size, flows)
			r.load(b, helper)
			r.run(flows + 100)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			r.run(b.N)
		})
	}
	for _, size := range []int{66, 1400, 65000} {
		for _, flows := range []int{1, 32, 4096} {
			if flows*size > 100<<20 {
				continue // memory
			}
			for _, hooked := range []int{0, 3} {
				for _, helper := range []string{"none", "noop", "count"} {
					run(size, flows, hooked, helper)
				}
			}
		}
	}
}

// load loads a helper by name.
func (b *bench) load(tb testing.TB, name string) {
	tb.Helper()
	cfg := countingHelper()
	switch name {
	case "none":
		return
	case "noop":
		cfg.Data = nil
		for k := range cfg.Hooks {
			cfg.Hooks[k].Func = func(*hhook.Call) {}
		}
	}
	if _, err := b.inst.Helpers().Load(cfg); err != nil {
		tb.Fatal(err)
	}
}

// Segments of known flows are shown to helpers without an allocation.
func TestShowDoesNotAllocate(t *testing.T) {
	for _, flows := range []int{1, 100} {
		r := newTCPBench(t, 0, 1400, flows)
		r.load(t, "count")
		if allocs := r.allocations(t, 10, 30); allocs != 0 {
			t.Errorf("%d flows: %v allocations for %d segments", flows, allocs, 30*batchSize)
		}
		if got := r.inst.tcp.n.made.Load(); got != uint64(flows) {
			t.Errorf("%d flows made, want %d", got, flows)
		}
	}
}
