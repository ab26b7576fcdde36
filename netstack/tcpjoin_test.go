// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/packet"
)

// A testSegment says what a segment is. The addresses are IPv6 ones if from is.
type testSegment struct {
	from, to netip.AddrPort
	flags    TCPFlags
	seq, ack uint32
	window   uint16
	options  []byte // a multiple of 4
	length   int
	tos      uint8
	gso      bool // as a superpacket of segments of 100 bytes
}

// packet builds the segment. Its transport checksum is not looked at in transit.
func (s testSegment) packet(tb interface{ Fatalf(string, ...any) }) *packet.Packet {
	tcp := make([]byte, header.TCPMinimumSize+len(s.options)+s.length)
	header.TCP(tcp).Encode(&header.TCPFields{
		SrcPort: s.from.Port(), DstPort: s.to.Port(), SeqNum: s.seq, AckNum: s.ack, WindowSize: s.window,
		DataOffset: uint8(header.TCPMinimumSize + len(s.options)), Flags: header.TCPFlags(s.flags),
	})
	copy(tcp[header.TCPMinimumSize:], s.options)
	var ip []byte
	o := packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOTCP4, ChecksumOffset: 16, SegmentSize: 100}
	if s.from.Addr().Is4() {
		ip = make([]byte, header.IPv4MinimumSize)
		header.IPv4(ip).Encode(&header.IPv4Fields{TOS: s.tos, TotalLength: uint16(len(ip) + len(tcp)), TTL: 64, Protocol: 6,
			SrcAddr: tcpip.AddrFrom4(s.from.Addr().As4()), DstAddr: tcpip.AddrFrom4(s.to.Addr().As4())})
		headerChecksum(ip)
	} else {
		o.GSO = packet.GSOTCP6
		ip = make([]byte, header.IPv6MinimumSize)
		header.IPv6(ip).Encode(&header.IPv6Fields{TrafficClass: s.tos, PayloadLength: uint16(len(tcp)), TransportProtocol: 6, HopLimit: 64,
			SrcAddr: tcpip.AddrFrom16(s.from.Addr().As16()), DstAddr: tcpip.AddrFrom16(s.to.Addr().As16())})
	}
	p := packet.Get(len(ip) + len(tcp))
	if err := p.Fill(append(ip, tcp...)); err != nil {
		tb.Fatalf("%v", err)
	}
	if s.gso {
		o.ChecksumStart = uint16(len(ip))
		p.Offload = o
	}
	if reason := p.Parse(); reason != hooks.ReasonNone {
		tb.Fatalf("%s: %+v", packet.ReasonName(reason), s)
	}
	return p
}

// showBatch lets segments pass in one batch as if they were about to be written to a device.
func (b *tableBench) showBatch(tb interface{ Fatalf(string, ...any) }, list ...testSegment) {
	var pkts []*packet.Packet
	for _, s := range list {
		p := s.packet(tb)
		defer p.Release()
		pkts = append(pkts, p)
	}
	b.w.show(toDevice, pkts...)
	b.w.segments.leave()
}

// watch writes down each run of TCPEstablishedOut.
func (b *tableBench) watch(tb interface{ Fatal(...any) }) *[]string {
	calls := new([]string)
	_, err := b.inst.tcp.out.Add(hhook.Hook{Name: "watch", Func: func(c *hhook.Call) {
		x := c.Context.(*TCPContext)
		line := fmt.Sprintf("%d: %d+%d %v", x.Flow.Local.Port(), x.Sequence, x.Length, x.Flags)
		if x.TSO {
			line += fmt.Sprintf(" of %d", x.SegmentSize)
		}
		if x.Retransmission {
			line += " again"
		}
		*calls = append(*calls, line)
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return calls
}

var (
	joinClient4, joinServer4 = netip.MustParseAddrPort("10.0.1.2:4000"), netip.MustParseAddrPort("20.0.0.9:80")
	joinClient6, joinServer6 = netip.MustParseAddrPort("[fd00:1::2]:4000"), netip.MustParseAddrPort("[2001:db8::9]:80")
)

// timestamps are options.
func timestamps(value, echo uint32) []byte {
	b := []byte{1, 1, 8, 10, 11: 0}
	binary.BigEndian.PutUint32(b[4:], value)
	binary.BigEndian.PutUint32(b[8:], echo)
	return b
}

// Segments are shown together only if the device could have joined them, and nothing about the others is hidden.
func TestSegmentsShownTogether(t *testing.T) {
	first := testSegment{from: joinClient4, to: joinServer4, flags: TCPAck, seq: 1, ack: 7, window: 5, options: timestamps(1, 2), length: 100}
	six := first
	six.from, six.to = joinClient6, joinServer6
	after := func(s testSegment, change func(*testSegment)) testSegment {
		s.seq += uint32(s.length)
		change(&s)
		return s
	}
	same := func(*testSegment) {}
	third := func(s testSegment) testSegment { s.seq = 201; return s }
	apart := []string{"4000: 1+100 ACK", "4000: 101+100 ACK"}
	for name, test := range map[string]struct {
		list []testSegment
		want []string
	}{
		"two":  {[]testSegment{first, after(first, same)}, []string{"4000: 1+200 ACK of 100"}},
		"IPv6": {[]testSegment{six, after(six, same), third(six)}, []string{"4000: 1+300 ACK of 100"}},
		"no options": {
			[]testSegment{after(first, func(s *testSegment) { s.options, s.seq = nil, 1 }), after(first, func(s *testSegment) { s.options = nil })},
			[]string{"4000: 1+200 ACK of 100"},
		},
		"the last is shorter": {
			[]testSegment{first, after(first, func(s *testSegment) { s.length = 50 }), after(first, func(s *testSegment) { s.seq = 151; s.length = 50 })},
			[]string{"4000: 1+150 ACK of 100", "4000: 151+50 ACK"},
		},
		"a longer one": {[]testSegment{first, after(first, func(s *testSegment) { s.length = 101 })}, []string{"4000: 1+100 ACK", "4000: 101+101 ACK"}},
		"PSH ends it": {
			[]testSegment{first, after(first, func(s *testSegment) { s.flags |= TCPPsh }), third(first)},
			[]string{"4000: 1+200 PSH|ACK of 100", "4000: 201+100 ACK"},
		},
		"FIN":            {[]testSegment{first, after(first, func(s *testSegment) { s.flags |= TCPFin })}, []string{"4000: 1+100 ACK", "4000: 101+100 FIN|ACK"}},
		"CWR":            {[]testSegment{first, after(first, func(s *testSegment) { s.flags |= TCPCwr })}, []string{"4000: 1+100 ACK", "4000: 101+100 ACK|CWR"}},
		"acknowledgment": {[]testSegment{first, after(first, func(s *testSegment) { s.ack++ })}, apart},
		"window":         {[]testSegment{first, after(first, func(s *testSegment) { s.window++ })}, apart},
		"timestamp":      {[]testSegment{first, after(first, func(s *testSegment) { s.options = timestamps(2, 2) })}, apart},
		"echo":           {[]testSegment{first, after(first, func(s *testSegment) { s.options = timestamps(1, 3) })}, apart},
		"other options":  {[]testSegment{first, after(first, func(s *testSegment) { s.options = nil })}, apart},
		"traffic class":  {[]testSegment{first, after(first, func(s *testSegment) { s.tos = 3 })}, apart},
		"a hole":         {[]testSegment{first, after(first, func(s *testSegment) { s.seq++ })}, []string{"4000: 1+100 ACK", "4000: 102+100 ACK"}},
		"other port": {
			[]testSegment{first, after(first, func(s *testSegment) { s.from = netip.AddrPortFrom(s.from.Addr(), 4001) })},
			[]string{"4000: 1+100 ACK", "4001: 101+100 ACK"},
		},
		"other address": {
			[]testSegment{first, after(first, func(s *testSegment) { s.from = netip.MustParseAddrPort("10.0.1.3:4000") })},
			apart,
		},
		"other address, IPv6": {
			[]testSegment{six, after(six, func(s *testSegment) { s.to = netip.MustParseAddrPort("[2001:db8::a]:80") })},
			apart,
		},
		"other direction": {
			[]testSegment{first, after(first, func(s *testSegment) { s.from, s.to = s.to, s.from })},
			[]string{"4000: 1+100 ACK", "80: 101+100 ACK"},
		},
		"no payload": {
			[]testSegment{after(first, func(s *testSegment) { s.length = 0 }), after(first, func(s *testSegment) { s.length = 0 })},
			[]string{"4000: 101+0 ACK", "4000: 101+0 ACK"},
		},
		"a superpacket first": {
			[]testSegment{after(first, func(s *testSegment) { s.seq, s.length, s.gso = 1, 200, true }), third(first)},
			[]string{"4000: 1+200 ACK of 100", "4000: 201+100 ACK"},
		},
		"a superpacket behind": {
			[]testSegment{first, after(first, func(s *testSegment) { s.length, s.gso = 200, true })},
			[]string{"4000: 1+100 ACK", "4000: 101+200 ACK of 100"},
		},
		"sent again": {
			[]testSegment{first, after(first, same), third(first), first, after(first, same), third(first), after(third(first), same)},
			[]string{"4000: 1+300 ACK of 100", "4000: 1+100 ACK again", "4000: 101+100 ACK again", "4000: 201+100 ACK again", "4000: 301+100 ACK"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTableBench(t, 10, nil)
			defer b.close(t)
			calls := b.watch(t)
			b.showBatch(t, test.list...)
			if diff := cmp.Diff(test.want, *calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// What is shown as one is never more than a superpacket can be.
func TestSegmentsShownTogetherAreASuperpacketAtMost(t *testing.T) {
	b := newTableBench(t, 10, nil)
	defer b.close(t)
	calls := b.watch(t)
	var list []testSegment
	for k := range 10 {
		list = append(list, testSegment{from: joinClient4, to: joinServer4, flags: TCPAck, seq: uint32(8000 * k), ack: 1, length: 8000})
	}
	b.showBatch(t, list...)
	if diff := cmp.Diff([]string{"4000: 0+64000 ACK of 8000", "4000: 64000+16000 ACK of 8000"}, *calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// However segments are dealt out to batches, the flows' records are the same, and so is the sum of what helpers see.
func TestFlowsDoNotDependOnBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, batched := newTableBench(new(testing.T), 64, nil), newTableBench(new(testing.T), 64, nil)
		defer one.close(t)
		defer batched.close(t)
		next := map[netip.AddrPort]uint32{} // by sender
		for range rapid.IntRange(1, 10).Draw(t, "batches") {
			var batch []testSegment
			for range rapid.IntRange(1, 12).Draw(t, "streams") {
				s := testSegment{flags: TCPAck, window: 5, ack: next[joinServer4], from: joinClient4, to: joinServer4}
				switch rapid.IntRange(0, 3).Draw(t, "flow") {
				case 0:
					s.from, s.to, s.ack = s.to, s.from, next[joinClient4]
				case 1:
					s.from, s.to, s.ack = joinClient6, joinServer6, next[joinServer6]
				}
				s.seq, s.length = next[s.from], rapid.SampledFrom([]int{0, 1, 100, 101}).Draw(t, "length")
				if back := rapid.IntRange(0, 8).Draw(t, "back"); back < 4 {
					s.seq -= uint32(100 * back) // sent again
				}
				for range rapid.IntRange(1, 5).Draw(t, "segments") {
					batch = append(batch, s)
					s.seq += uint32(s.length)
				}
				if rapid.IntRange(0, 3).Draw(t, "end") == 0 {
					batch[len(batch)-1].flags |= rapid.SampledFrom([]TCPFlags{TCPPsh, TCPFin, TCPRst}).Draw(t, "flags")
				}
				if int32(s.seq-next[s.from]) > 0 {
					next[s.from] = s.seq
				}
			}
			for part := range slices.Chunk(batch, flushSize) {
				batched.showBatch(t, part...)
			}
			for _, s := range batch {
				one.showBatch(t, s)
			}
			if diff := cmp.Diff(one.flows(), batched.flows()); diff != "" {
				t.Fatalf("flows (-one by one +in batches):\n%s", diff)
			}
		}
	})
}

// flows describes the flows, and what the helper has counted on their ends but for calls.
func (b *tableBench) flows() (list []string) {
	helper, _ := b.inst.Helpers().ID("count")
	_ = b.inst.EachFlow(func(client, server *FlowEnd) {
		for _, e := range []*FlowEnd{client, server} {
			n, _ := e.Data(helper).(*tcpCount)
			list = append(list, fmt.Sprintf("%v: una %d nxt %d, %d segments, %d bytes, mss %d, fin %v, again %d, acked %d", e.Local,
				e.SendUnacknowledged, e.SendNext, e.Segments, e.Bytes, e.SegmentSize, e.fin, n.retransmitted, n.acked))
		}
	})
	slices.Sort(list)
	return list
}
