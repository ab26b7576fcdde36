// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package ertt_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A source is a device on which bulk transfers come in, and their acknowledgments, one for two segments: it goes through
// the flows again and again, as fast as it is read, and of each takes a burst of segments and then what acknowledges them. What is
// written to it, and to a sink, is forgotten.
type source struct {
	tun.Device // for the methods that nobody calls
	data, ack  []byte
	sequence   []uint32 // by flow
	burst      int      // segments; even
	at         int      // which flow, and which of the packets of a burst
	left       atomic.Int64
	read       chan struct{} // closed when all were read
	closed     chan struct{}
}

// newSource returns a source of segments of size bytes of payload, with timestamps, from 10.0.1.2 to 10.0.2.2.
func newSource(size, flows, burst, packets int) *source {
	header := func(from, to string, payload int) []byte {
		b := make([]byte, 52+payload)
		b[0], b[8], b[9] = 0x45, 64, 6
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		src, dst := netip.MustParseAddr(from).As4(), netip.MustParseAddr(to).As4()
		copy(b[12:], src[:])
		copy(b[16:], dst[:])
		sum := uint32(0)
		for at := 0; at < 20; at += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[at:]))
		}
		binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
		b[32], b[33] = 8<<4, byte(netstack.TCPAck)
		copy(b[40:], []byte{1, 1, 8, 10})
		return b
	}
	s := &source{
		data: header("10.0.1.2", "10.0.2.2", size), ack: header("10.0.2.2", "10.0.1.2", 0),
		sequence: make([]uint32, flows), burst: burst, read: make(chan struct{}), closed: make(chan struct{}),
	}
	binary.BigEndian.PutUint16(s.data[22:], 80)
	binary.BigEndian.PutUint16(s.ack[20:], 80)
	s.left.Store(int64(packets))
	return s
}

func (s *source) next() []byte {
	round := s.burst + s.burst/2
	flow, step := s.at/round%len(s.sequence), s.at%round
	s.at++
	port := uint16(1024 + flow)
	if step >= s.burst {
		still := uint32((round - 1 - step) * 2 * (len(s.data) - 52)) // to acknowledge
		binary.BigEndian.PutUint16(s.ack[22:], port)
		binary.BigEndian.PutUint32(s.ack[28:], s.sequence[flow]-still)
		return s.ack
	}
	binary.BigEndian.PutUint16(s.data[20:], port)
	binary.BigEndian.PutUint32(s.data[24:], s.sequence[flow])
	s.sequence[flow] += uint32(len(s.data) - 52)
	return s.data
}

func (s *source) Name() string                                    { return "source" }
func (s *source) Features() packet.Features                       { return 0 }
func (s *source) Queues() int                                     { return 1 }
func (s *source) Write(_ int, pkts []*packet.Packet) (int, error) { return len(pkts), nil }

func (s *source) Read(_ int, pkts []*packet.Packet) (int, error) {
	left := s.left.Load()
	if left <= 0 {
		if left == 0 { // all before have been carried on
			close(s.read)
		}
		<-s.closed
		return 0, net.ErrClosed
	}
	n := min(len(pkts), int(left), 64)
	for i := range n {
		if pkts[i] == nil {
			pkts[i] = packet.Get(2000)
		}
		if err := pkts[i].Fill(s.next()); err != nil {
			return 0, err
		}
	}
	s.left.Add(int64(-n))
	return n, nil
}

func (s *source) Close() error {
	close(s.closed)
	return nil
}

// A load is what is forwarded.
type load struct {
	payload, flows, burst int
	hooks                 int // no-ops on each of three events
}

// forward carries packets from a source through an instance and returns how long each took in ns, setting up not counted.
func forward(tb testing.TB, helper khelp.Config, l load, packets int) float64 {
	inst, err := netstack.New(netstack.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	defer inst.Close()
	if helper.Name != "" {
		if _, err := inst.Helpers().Load(helper); err != nil {
			tb.Fatal(err)
		}
	}
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		for k := range l.hooks {
			hook := packet.Hook{Name: fmt.Sprint("noop", k), Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }}
			if _, err := inst.Register(packet.Inet, event, hook); err != nil {
				tb.Fatal(err)
			}
		}
	}
	sink := newSource(0, 1, 2, -1)
	if _, err := inst.AddInterface(sink, netstack.InterfaceConfig{Name: "sink", MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.2.1/24")}}); err != nil {
		tb.Fatal(err)
	}
	in := newSource(l.payload, l.flows, l.burst, packets)
	start := time.Now()
	if _, err := inst.AddInterface(in, netstack.InterfaceConfig{Name: "source", MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.1/24")}}); err != nil {
		tb.Fatal(err)
	}
	<-in.read
	took := float64(time.Since(start)) / float64(packets)
	if sent := inst.Stats().Sent; sent != uint64(packets) {
		tb.Fatalf("%d of %d packets were forwarded: %v", sent, packets, inst.Stats().Drops)
	}
	return took
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// idleHelper has data on every flow, and hooks that do nothing.
func idleHelper() khelp.Config {
	idle := khelp.With(func(*hhook.Call, *struct{ n int }) {})
	return khelp.Config{
		Name: "idle", Classes: khelp.TCP, Data: khelp.DataOf[struct{ n int }]{},
		Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: netstack.TCPEstablishedIn, Func: idle}, {Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: idle},
		},
	}
}

// BenchmarkForward is an instance that forwards TCP, in turns with no helper, with one that does nothing, and with ertt, each on every
// flow. Medians; the ratio is that of the packet rates with ertt and with none.
func BenchmarkForward(b *testing.B) {
	const packets = 100_000
	for _, l := range []load{
		{payload: 14, flows: 1, burst: 16, hooks: 1}, {payload: 14, flows: 1, burst: 16}, {payload: 14, flows: 1, burst: 2},
		{payload: 14, flows: 64, burst: 16, hooks: 1}, {payload: 14, flows: 1000, burst: 16, hooks: 1}, {payload: 14, flows: 1000, burst: 2},
		{payload: 1400, flows: 1, burst: 16, hooks: 1}, {payload: 1400, flows: 1, burst: 16}, {payload: 1400, flows: 1, burst: 2},
		{payload: 1400, flows: 64, burst: 16, hooks: 1}, {payload: 1400, flows: 1000, burst: 16, hooks: 1}, {payload: 1400, flows: 1000, burst: 2},
	} {
		b.Run(fmt.Sprintf("payload=%d/flows=%d/burst=%d/hooks=%d", l.payload, l.flows, l.burst, 3*l.hooks), func(b *testing.B) {
			var none, idle, with []float64 // ns for each packet
			for b.Loop() {
				none = append(none, forward(b, khelp.Config{}, l, packets))
				idle = append(idle, forward(b, idleHelper(), l, packets))
				with = append(with, forward(b, ertt.Helper(ertt.Config{}), l, packets))
			}
			b.ReportMetric(median(none), "none-ns/packet")
			b.ReportMetric(median(idle), "idle-ns/packet")
			b.ReportMetric(median(with), "ertt-ns/packet")
			b.ReportMetric(median(none)/median(with), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// What the benchmark forwards is measured, on every flow.
func TestForward(t *testing.T) {
	for _, burst := range []int{2, 16} {
		measured := 0
		helper := ertt.Helper(ertt.Config{})
		helper.Data = khelp.DataOf[ertt.Data]{Free: func(d *ertt.Data) {
			if d.MinRTT > 0 && d.TimestampErrors == 0 {
				measured++
			}
		}}
		forward(t, helper, load{payload: 100, flows: 10, burst: burst}, 3000)
		if measured != 10 {
			t.Errorf("bursts of %d: %d ends of flows were measured, want 10", burst, measured)
		}
	}
}
