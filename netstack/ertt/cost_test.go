// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package ertt_test

import (
	"testing"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
)

// stream returns what passes a segment of 1000 bytes with timestamps, and its acknowledgment when flight more have passed. Every
// second one is left out, as a receiver does that delays them.
func stream(b *bench, flight int) func() {
	b.end.SendUnacknowledged, b.end.SendNext = 1000, 1000
	out, in := &segment{Flow: b.end, Length: 1000, SegmentSize: 1000, Flags: netstack.TCPAck}, &segment{Flow: b.end, Flags: netstack.TCPAck}
	out.Options.HasTimestamp, in.Options.HasTimestamp = true, true
	return func() {
		b.now += ms / 100
		out.Sequence, out.Now, out.Options.TimestampValue = b.end.SendNext, b.now, uint32(b.now/ms)
		b.out.RunIf(0, out, b.end)
		b.end.SendNext += 1000
		if number := b.end.SendNext - uint32(flight)*1000; int32(number-b.end.SendUnacknowledged) >= 2000 {
			in.Acknowledgment, in.Acked, in.Now = number, number-b.end.SendUnacknowledged, b.now
			in.Options.TimestampEcho = out.Options.TimestampValue - uint32(flight+1)/100 // of the earlier of the two
			b.in.RunIf(0, in, b.end)
			b.end.SendUnacknowledged = number
		}
	}
}

func TestNoAllocations(t *testing.T) {
	b := newBench(t, ertt.Config{})
	pass := stream(b, 10)
	if n := testing.AllocsPerRun(1000, pass); n != 0 {
		t.Errorf("%v allocations for each segment, want 0", n)
	}
	if b.data.MinRTT == 0 {
		t.Error("nothing was measured")
	}
}

// BenchmarkSegment is a segment of a bulk transfer, with half an acknowledgment: with the helper, and with two hooks that do
// nothing in its place.
func BenchmarkSegment(b *testing.B) {
	for name, flight := range map[string]int{"flight=10": 10, "flight=1000": 1000} {
		b.Run("ertt/"+name, func(b *testing.B) {
			pass := stream(newBench(b, ertt.Config{}), flight)
			b.ReportAllocs()
			for b.Loop() {
				pass()
			}
		})
	}
	b.Run("empty hooks", func(b *testing.B) {
		points := hhook.New(hhook.Config{Instance: 1})
		bench := &bench{TB: b, end: &netstack.FlowEnd{SegmentSize: 1000}}
		bench.in, _ = points.Register(hhook.TCP, netstack.TCPEstablishedIn, 0)
		bench.out, _ = points.Register(hhook.TCP, netstack.TCPEstablishedOut, 0)
		for _, point := range []*hhook.Point{bench.in, bench.out} {
			if _, err := point.Add(hhook.Hook{Name: "empty", Func: func(*hhook.Call) {}}); err != nil {
				b.Fatal(err)
			}
		}
		pass := stream(bench, 10)
		b.ReportAllocs()
		for b.Loop() {
			pass()
		}
	})
}
