// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package ertt_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
)

// A model does what the helper does, slowly: sequence numbers and timestamps never wrap, all segments are kept for ever, and what
// is still recorded is found by looking at all of them. Times are in ticks.
type model struct {
	segments []modelSegment
	marked   int // index of the marked one, -1 none
	edge     int64
	tso      bool
	data     ertt.Data
}

type modelSegment struct {
	from, to  int64 // the bytes that have not been measured
	at        int64
	timestamp int64 // -1 none
	echo      int64 // 0 none
	tso       bool
	length    uint32
	recorded  bool
}

func (m *model) recorded() (list []int) {
	for i, s := range m.segments {
		if s.recorded {
			list = append(list, i)
		}
	}
	return list
}

// bytesSince counts what was sent from segment i on.
func (m *model) bytesSince(i int) (sum uint32) {
	for _, s := range m.segments[i:] {
		sum += s.length
	}
	return sum
}

func (m *model) send(s modelSegment) {
	if s.length == 0 {
		return
	}
	m.tso = s.tso
	if !s.tso {
		m.data.Flags &^= ertt.TSODisabled
	}
	s.recorded = true
	if list := m.recorded(); len(list) == 32 {
		m.data.Skipped++
		if newest := list[31]; newest == m.marked {
			s.recorded = false
		} else {
			m.segments[newest].recorded = false
		}
	}
	m.segments = append(m.segments, s)
	if m.marked < 0 && s.recorded {
		m.marked = len(m.segments) - 1
		m.data.Flags |= ertt.MeasurementInProgress
	}
	if m.marked >= 0 {
		m.data.BytesInRTT = m.bytesSince(m.marked)
	}
}

type modelAck struct {
	number, acked, at           int64
	hasTimestamp                bool
	timestamp, echo             int64
	blocks                      [][2]int64
	unacknowledged, next, limit int64 // of the flow, before; the size of a segment
}

func (m *model) receive(a modelAck) {
	point, sacked := a.number, false
	from := a.unacknowledged + a.acked
	for _, block := range a.blocks {
		if right := block[1]; right > from && right <= a.next && right > m.edge {
			point, m.edge, sacked = right, right, true
		}
	}
	if a.acked == 0 && !sacked {
		return
	}
	list := m.recorded()
	covers := func(i int) bool { return m.segments[i].to < point }
	stale := func(i int) bool {
		s := m.segments[i]
		return m.data.TimestampErrors < 10 && s.timestamp >= 0 && a.hasTimestamp && a.echo != 0 && a.echo > s.timestamp
	}
	several, first, target := false, true, -1
	lastMarked, moving := m.marked, false
	for _, i := range list {
		s := &m.segments[i]
		passed := covers(i)
		if !passed {
			if first && !sacked {
				switch {
				case a.acked > a.limit || a.acked > s.to-s.from:
					several = true
					m.data.DelayedAcks = min(5, m.data.DelayedAcks+1)
				case (a.acked == a.limit || a.acked == s.to-s.from) && m.data.DelayedAcks > 0:
					m.data.DelayedAcks--
				}
			}
			first = false
			if m.data.TimestampErrors < 10 && s.timestamp >= 0 && a.hasTimestamp && a.echo == s.timestamp && a.echo != 0 && s.echo != 0 && a.timestamp < s.echo {
				m.data.TimestampErrors++
			}
			passed = stale(i)
		}
		if !passed {
			early := m.data.DelayedAcks == 0 && m.data.TimestampErrors < 10 && s.timestamp >= 0 && a.hasTimestamp && a.echo != 0 &&
				a.echo < s.timestamp
			if s.from < point && (sacked || !early) {
				target = i
			}
			break
		}
		s.recorded = false
		if i == m.marked {
			moving = true
		}
		if moving {
			lastMarked = i
		}
	}
	end := func(rtt int64, i int) {
		m.data.MarkedRTT, m.data.BytesInMarkedRTT = time.Duration(rtt), m.bytesSince(i)
		m.data.MarkedInFlight = uint32(a.next - a.unacknowledged)
		m.data.Flags |= ertt.NewMeasurement
		m.data.Flags &^= ertt.MeasurementInProgress
		if m.tso {
			m.data.Flags |= ertt.TSODisabled
		}
		m.marked = -1
	}
	if target >= 0 {
		s := &m.segments[target]
		rtt := a.at - s.at + 1
		if m.data.DelayedAcks == 0 || several || sacked {
			m.data.RTT = time.Duration(rtt)
			if m.data.MinRTT == 0 || m.data.RTT < m.data.MinRTT {
				m.data.MinRTT = m.data.RTT
			}
			if m.data.RTT > m.data.MaxRTT {
				m.data.MaxRTT = m.data.RTT
			}
		}
		if moving || target == m.marked {
			end(rtt, target)
			moving = false
		}
		s.from = point
		s.recorded = s.tso && s.from < s.to
	}
	if moving {
		end(a.at-m.segments[lastMarked].at+1, lastMarked)
	}
}

// Whatever is sent and acknowledged, the helper's data is the model's; sequence numbers and timestamps wrap on the way.
func TestModel(t *testing.T) {
	b := newBench(t, ertt.Config{Tick: 1})
	rapid.Check(t, func(t *rapid.T) {
		b.end.Destroy()
		b.end = &netstack.FlowEnd{SegmentSize: uint16(rapid.SampledFrom([]int{0, 10, 100}).Draw(t, "segment size"))}
		if err := b.helpers.Create(&b.end.Object, khelp.TCP); err != nil {
			t.Fatal(err)
		}
		id, _ := b.helpers.ID(ertt.Name)
		b.data = khelp.Get[ertt.Data](b.end, id)

		// What is sent begins at an unknown number; here it is 1000.
		base := rapid.SampledFrom([]uint32{0, 1<<31 - 1200, 1<<32 - 1200}).Draw(t, "base")
		m := &model{marked: -1}
		una, next, now := int64(1000), int64(1000), int64(1)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += rapid.Int64Range(0, 5).Draw(t, "time")
			b.end.SendUnacknowledged, b.end.SendNext = base+uint32(una), base+uint32(next)
			c := segment{Flow: b.end, Now: time.Duration(now)}
			if c.Options.HasTimestamp = rapid.Bool().Draw(t, "has timestamp"); c.Options.HasTimestamp {
				c.Flags |= netstack.TCPAck
			}
			// Timestamps are the time, now and then wrong; zero is none.
			value := max(1, 1000+now+rapid.SampledFrom([]int64{0, 0, 0, -10, 10}).Draw(t, "timestamp"))
			echo := max(1, 1000+now-rapid.Int64Range(0, 12).Draw(t, "echo"))
			c.Options.TimestampValue, c.Options.TimestampEcho = base+uint32(value), base+uint32(echo)
			if c.Options.TimestampEcho == 0 {
				echo = 0
			}
			if rapid.IntRange(0, 3).Draw(t, "what") < 2 {
				at := next
				if rapid.IntRange(0, 5).Draw(t, "again") == 0 {
					at = rapid.Int64Range(una, next).Draw(t, "from")
				}
				length := int64(rapid.SampledFrom([]int{0, 1, 10, 10, 100}).Draw(t, "length"))
				c.TSO = length > 0 && rapid.IntRange(0, 3).Draw(t, "superpacket") == 0
				c.Sequence, c.Length = base+uint32(at), int(length)
				s := modelSegment{from: at, to: at + length, at: now, timestamp: -1, tso: c.TSO, length: uint32(length)}
				if c.Options.HasTimestamp {
					s.timestamp, s.echo = value, echo
				}
				m.send(s)
				b.out.RunIf(0, &c, b.end)
				next = max(next, at+length)
			} else {
				number := rapid.Int64Range(una-20, next).Draw(t, "number")
				a := modelAck{
					number: number, acked: max(0, number-una), at: now, hasTimestamp: c.Options.HasTimestamp, timestamp: value, echo: echo,
					unacknowledged: una, next: next, limit: int64(b.end.SegmentSize),
				}
				for range rapid.IntRange(0, 2).Draw(t, "blocks") {
					left := rapid.Int64Range(number, next+10).Draw(t, "left")
					right := left + rapid.Int64Range(1, 30).Draw(t, "right")
					a.blocks = append(a.blocks, [2]int64{left, right})
					c.Options.SACK[c.Options.SACKBlocks] = netstack.SACKBlock{Left: base + uint32(left), Right: base + uint32(right)}
					c.Options.SACKBlocks++
				}
				slices.SortFunc(a.blocks, func(x, y [2]int64) int { return int(x[1] - y[1]) })
				c.Acknowledgment, c.Acked = base+uint32(number), uint32(a.acked)
				m.receive(a)
				b.in.RunIf(0, &c, b.end)
				una = max(una, number)
			}
			if diff := cmp.Diff(m.data, *b.data, cmpopts.IgnoreUnexported(ertt.Data{})); diff != "" {
				t.Fatalf("at %d (-model +helper):\n%s", now, diff)
			}
			if inProgress := m.data.Flags&ertt.MeasurementInProgress != 0; inProgress != (m.marked >= 0) {
				t.Fatalf("in progress %v, marked %d", inProgress, m.marked)
			}
			if rapid.Bool().Draw(t, "used") {
				b.data.Flags &^= ertt.NewMeasurement
				m.data.Flags &^= ertt.NewMeasurement
			}
		}
	})
}
