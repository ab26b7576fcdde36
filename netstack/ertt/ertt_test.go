// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package ertt_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/internal/leaktest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A bench is one end of a flow, with the helper, on a clock that the test sets.
type bench struct {
	testing.TB
	in, out *hhook.Point
	helpers *khelp.Helpers
	end     *netstack.FlowEnd
	data    *ertt.Data
	now     time.Duration
}

func newBench(t testing.TB, cfg ertt.Config) *bench {
	t.Helper()
	points := hhook.New(hhook.Config{Instance: 1})
	b := &bench{TB: t, helpers: khelp.New(points, nil), end: &netstack.FlowEnd{SegmentSize: 1000}}
	var err error
	if b.in, err = points.Register(hhook.TCP, netstack.TCPEstablishedIn, 0); err != nil {
		t.Fatal(err)
	}
	if b.out, err = points.Register(hhook.TCP, netstack.TCPEstablishedOut, 0); err != nil {
		t.Fatal(err)
	}
	helper, err := b.helpers.Load(ertt.Helper(cfg))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.helpers.Create(&b.end.Object, khelp.TCP); err != nil {
		t.Fatal(err)
	}
	id, loaded := b.helpers.ID("ertt")
	if !loaded || id != helper.ID() {
		t.Fatalf("the helper is not found by its name: %d, %v", id, loaded)
	}
	b.data = khelp.Get[ertt.Data](b.end, id)
	t.Cleanup(func() {
		b.end.Destroy()
		if err := helper.Unload(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A segment is what the end sends or is sent.
type segment = netstack.TCPContext

// send is a segment of the end at a time, in milliseconds; the flow's record follows.
func (b *bench) send(at int, s segment) {
	b.now = time.Duration(at) * time.Millisecond
	s.Flow, s.Now = b.end, b.now
	b.out.RunIf(0, &s, b.end)
	if end := s.Sequence + uint32(s.Length); int32(end-b.end.SendNext) > 0 || b.end.SendNext == 0 {
		b.end.SendNext = end
	}
	if b.end.SendUnacknowledged == 0 {
		b.end.SendUnacknowledged = s.Sequence
	}
}

// payload is a segment without options.
func payload(sequence uint32, length int) segment { return segment{Sequence: sequence, Length: length} }

// superpacket is one of segments of 1000 bytes.
func superpacket(sequence uint32, length int) segment {
	return segment{Sequence: sequence, Length: length, TSO: true, SegmentSize: 1000}
}

// with adds timestamps.
func with(s segment, value, echo uint32) segment {
	s.Flags |= netstack.TCPAck
	s.Options.HasTimestamp, s.Options.TimestampValue, s.Options.TimestampEcho = true, value, echo
	return s
}

// ack is an acknowledgment that the end is sent.
func ack(number uint32, sacked ...netstack.SACKBlock) segment {
	s := segment{Acknowledgment: number, Flags: netstack.TCPAck}
	s.Options.SACKBlocks = copy(s.Options.SACK[:], sacked)
	return s
}

func (b *bench) receive(at int, s segment) {
	b.now = time.Duration(at) * time.Millisecond
	s.Flow, s.Now = b.end, b.now
	if acked := s.Acknowledgment - b.end.SendUnacknowledged; acked <= b.end.InFlight() {
		s.Acked = acked
	}
	b.in.RunIf(0, &s, b.end)
	b.end.SendUnacknowledged += s.Acked
}

// want compares what others may see of the data.
func (b *bench) want(want ertt.Data) {
	b.Helper()
	if diff := cmp.Diff(want, *b.data, cmpopts.IgnoreUnexported(ertt.Data{})); diff != "" {
		b.Errorf("at %v (-want +got):\n%s", b.now, diff)
	}
}

const ms = time.Millisecond

var ticks = ertt.Config{Tick: ms}

func TestCase119_OneSegmentAckedAlone(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, payload(1000, 500))
	b.receive(9, ack(1500))
	b.want(ertt.Data{
		RTT: 10 * ms, MinRTT: 10 * ms, MaxRTT: 10 * ms,
		MarkedRTT: 10 * ms, BytesInMarkedRTT: 500, MarkedInFlight: 500, BytesInRTT: 500, Flags: ertt.NewMeasurement,
	})
	before := *b.data
	b.receive(20, ack(1500))
	b.receive(21, ack(1400))
	if *b.data != before {
		t.Errorf("an acknowledgment of nothing new has changed the data: %+v, %+v", *b.data, before)
	}
	b.send(22, payload(1500, 0))
	if *b.data != before {
		t.Errorf("a segment without payload has changed the data: %+v, %+v", *b.data, before)
	}
	b.send(30, payload(1500, 0))
	b.send(31, payload(1500, 100))
	b.receive(33, ack(1600))
	if b.data.RTT != 3*ms { // of the second
		t.Errorf("RTT %v: a segment without payload has a record", b.data.RTT)
	}
}

func TestCase120_MarkedSegmentAcked(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, payload(1000, 100))
	b.send(1, payload(1100, 200))
	b.send(2, payload(1300, 300))
	b.want(ertt.Data{BytesInRTT: 600, Flags: ertt.MeasurementInProgress})
	b.receive(5, ack(1100))
	b.want(ertt.Data{
		RTT: 6 * ms, MinRTT: 6 * ms, MaxRTT: 6 * ms, MarkedRTT: 6 * ms,
		BytesInMarkedRTT: 600, MarkedInFlight: 600, BytesInRTT: 600, Flags: ertt.NewMeasurement,
	})
	b.data.Flags &^= ertt.NewMeasurement // as who uses it does
	b.receive(7, ack(1300))              // not marked
	b.want(ertt.Data{
		RTT: 7 * ms, MinRTT: 6 * ms, MaxRTT: 7 * ms, MarkedRTT: 6 * ms,
		BytesInMarkedRTT: 600, MarkedInFlight: 600, BytesInRTT: 600,
	})
	b.send(8, payload(1600, 50)) // marked
	b.want(ertt.Data{
		RTT: 7 * ms, MinRTT: 6 * ms, MaxRTT: 7 * ms, MarkedRTT: 6 * ms,
		BytesInMarkedRTT: 600, MarkedInFlight: 600, BytesInRTT: 50, Flags: ertt.MeasurementInProgress,
	})
}

// The marked segment is acknowledged together with the next: that one has the mark, and the bytes count from there.
func TestMarkMoves(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, payload(1000, 100))
	b.send(4, payload(1100, 200))
	b.send(5, payload(1300, 300))
	b.receive(9, ack(1300))
	b.want(ertt.Data{
		RTT: 6 * ms, MinRTT: 6 * ms, MaxRTT: 6 * ms, MarkedRTT: 6 * ms,
		BytesInMarkedRTT: 500, MarkedInFlight: 600, BytesInRTT: 600, Flags: ertt.NewMeasurement, DelayedAcks: 1,
	})
}

// There is no next: a measurement is forced, of the last one that was passed, and does not count as a round-trip time.
func TestMarkIsForced(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, payload(1000, 100))
	b.send(2, payload(1100, 100))
	b.end.SendNext = 1300 // somebody else has sent, or on another way
	b.receive(9, ack(1250))
	b.want(ertt.Data{MarkedRTT: 8 * ms, BytesInMarkedRTT: 100, MarkedInFlight: 300, BytesInRTT: 200, Flags: ertt.NewMeasurement})
}

// The first transmission was not seen; its acknowledgment, which comes just after the second, is not measured as that of the
// second: the shortest time would never be right again.
func TestFirstTransmissionNotSeen(t *testing.T) {
	b := newBench(t, ticks)
	b.send(50, with(payload(1000, 500), 150, 7))
	b.receive(51, with(ack(1500), 8, 100)) // of what was sent when its sender's clock said 100
	if b.data.RTT != 0 || b.data.MinRTT != 0 {
		t.Errorf("RTT %v, min %v; want none", b.data.RTT, b.data.MinRTT)
	}
	b.send(60, with(payload(1500, 500), 160, 8))
	b.receive(80, with(ack(2000), 9, 160))
	if b.data.RTT != 21*ms || b.data.MinRTT != 21*ms {
		t.Errorf("RTT %v, min %v; want 21 ms", b.data.RTT, b.data.MinRTT)
	}
}

// A worker whose batch began before another one's shows an acknowledgment of what that other has sent since, as receivers send
// that acknowledge in advance: no time is less than a tick.
func TestAcknowledgedBeforeItWasSent(t *testing.T) {
	b := newBench(t, ticks)
	b.send(50, payload(1000, 500))
	b.receive(40, ack(1500))
	b.want(ertt.Data{
		RTT: ms, MinRTT: ms, MaxRTT: ms, MarkedRTT: ms,
		BytesInMarkedRTT: 500, MarkedInFlight: 500, BytesInRTT: 500, Flags: ertt.NewMeasurement,
	})
}

// While acknowledgments seem to be delayed, those of one segment are not measured, those of several are.
func TestDelayedAcks(t *testing.T) {
	b := newBench(t, ticks)
	next := uint32(1000)
	two := func(at int) {
		b.send(at, payload(next, 1000))
		b.send(at, payload(next+1000, 1000))
		next += 2000
		b.receive(at+4, ack(next))
	}
	one := func(at, took int) {
		b.send(at, payload(next, 1000))
		next += 1000
		b.receive(at+took, ack(next))
	}
	wantNow := func(rtt time.Duration, delayed uint8) {
		t.Helper()
		if b.data.RTT != rtt || b.data.DelayedAcks != delayed {
			t.Errorf("at %v: RTT %v, delayed %d; want %v, %d", b.now, b.data.RTT, b.data.DelayedAcks, rtt, delayed)
		}
	}
	for i := range 7 {
		two(i * 10)
		wantNow(5*ms, min(uint8(i)+1, 5))
	}
	for i := range 4 {
		one(100+i*50, 44)
		wantNow(5*ms, 4-uint8(i))
	}
	one(300, 7)
	wantNow(8*ms, 0)
	one(310, 9)
	wantNow(10*ms, 0)
}

// With timestamps the retransmission is measured, without the first transmission.
func TestRetransmission(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, with(payload(1000, 1000), 500, 1))
	b.send(200, with(payload(1000, 1000), 700, 1))
	b.receive(209, with(ack(2000), 2, 700))
	b.want(ertt.Data{
		RTT: 10 * ms, MinRTT: 10 * ms, MaxRTT: 10 * ms, MarkedRTT: 10 * ms,
		BytesInMarkedRTT: 1000, MarkedInFlight: 1000, BytesInRTT: 2000, Flags: ertt.NewMeasurement,
	})
	b = newBench(t, ticks)
	b.send(0, payload(1000, 1000))
	b.send(200, payload(1000, 1000))
	b.receive(209, ack(2000))
	if b.data.RTT != 210*ms {
		t.Errorf("RTT %v, want 210 ms", b.data.RTT)
	}
}

// A segment that a SACK block names for the first time is measured, and what was lost before it is not.
func TestSACK(t *testing.T) {
	b := newBench(t, ticks)
	for i := range 4 {
		b.send(i, payload(1000+1000*uint32(i), 1000))
	}
	block := netstack.SACKBlock{Left: 2000, Right: 3000}
	b.receive(10, ack(1000, block)) // the first was lost
	if b.data.RTT != 10*ms {
		t.Errorf("RTT %v, want 10 ms: that of the second", b.data.RTT)
	}
	before := *b.data
	b.receive(11, ack(1000, block))
	b.receive(12, ack(1000, netstack.SACKBlock{Left: 2000, Right: 9000})) // was never sent
	if *b.data != before {
		t.Error("blocks that say nothing new have changed the data")
	}
	block.Right = 4000
	b.receive(14, ack(1000, block))
	if b.data.RTT != 13*ms {
		t.Errorf("RTT %v, want 13 ms: that of the third", b.data.RTT)
	}
	b.send(15, payload(1000, 1000))
	b.receive(20, ack(4000))
	b.receive(23, ack(5000))
	if b.data.RTT != 21*ms {
		t.Errorf("RTT %v, want 21 ms: that of the fourth", b.data.RTT)
	}

	// The highest edge is forgotten when all was acknowledged, or it would be above all others once the numbers have wrapped.
	b.send(30, payload(5000, 1000))
	b.receive(31, ack(6000)) // no record is left
	const far = 6000 + 1<<31 + 100
	b.end.SendUnacknowledged, b.end.SendNext = far, far
	b.send(40, payload(far, 1000))
	b.send(41, payload(far+1000, 1000))
	b.receive(51, ack(far, netstack.SACKBlock{Left: far + 1000, Right: far + 2000}))
	if b.data.RTT != 11*ms {
		t.Errorf("RTT %v, want 11 ms", b.data.RTT)
	}
}

// After ten impossible timestamps none is looked at any more.
func TestTimestampErrors(t *testing.T) {
	b := newBench(t, ticks)
	next := uint32(1000)
	for i := range 12 {
		b.send(100*i, with(payload(next, 1000), 77, 50))
		next += 1000
		b.receive(100*i+9, with(ack(next), 40, 77)) // the receiver's clock goes back
	}
	if b.data.TimestampErrors != 10 {
		t.Errorf("%d timestamp errors, want 10", b.data.TimestampErrors)
	}
	b.send(2000, with(payload(next, 1000), 100, 50))
	b.receive(2019, with(ack(next+1000), 60, 200)) // would be of a later transmission
	if b.data.RTT != 20*ms {
		t.Errorf("RTT %v, want 20 ms", b.data.RTT)
	}
}

// A superpacket is one record, measured for each of its parts that is acknowledged.
func TestSuperpacket(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, superpacket(1000, 4000))
	b.receive(9, ack(3000))
	b.want(ertt.Data{
		RTT: 10 * ms, MinRTT: 10 * ms, MaxRTT: 10 * ms, MarkedRTT: 10 * ms,
		BytesInMarkedRTT: 4000, MarkedInFlight: 4000, BytesInRTT: 4000,
		Flags: ertt.NewMeasurement | ertt.TSODisabled, DelayedAcks: 1,
	})
	b.receive(10, ack(5000))
	if b.data.RTT != 11*ms || b.data.MarkedRTT != 10*ms {
		t.Errorf("RTT %v, marked %v; want 11 ms, 10 ms", b.data.RTT, b.data.MarkedRTT)
	}
	b.send(20, superpacket(5000, 4000))
	if b.data.Flags&ertt.TSODisabled == 0 {
		t.Error("a superpacket has cleared TSODisabled")
	}
	b.send(21, payload(9000, 1000))
	if b.data.Flags&ertt.TSODisabled != 0 {
		t.Error("a single segment has not cleared TSODisabled")
	}
}

// When the 32 records are used up the newest gives way, but for the marked one; the bytes count.
func TestRecordsAreBounded(t *testing.T) {
	b := newBench(t, ticks)
	for i := range 40 {
		b.send(i, payload(1000+10*uint32(i), 10))
	}
	if b.data.Skipped != 8 || b.data.BytesInRTT != 400 {
		t.Errorf("%d skipped, %d bytes; want 8, 400", b.data.Skipped, b.data.BytesInRTT)
	}
	b.receive(50, ack(1400))
	b.want(ertt.Data{
		RTT: 12 * ms, MinRTT: 12 * ms, MaxRTT: 12 * ms, MarkedRTT: 12 * ms, BytesInMarkedRTT: 10, MarkedInFlight: 400,
		BytesInRTT: 400, Skipped: 8, Flags: ertt.NewMeasurement, DelayedAcks: 1,
	})

	b = newBench(t, ticks)
	b.send(0, payload(1000, 10))
	b.receive(1, ack(1010)) // not in progress
	for i := range 40 {
		b.send(10+i, payload(1010+10*uint32(i), 10))
	}
	b.receive(60, ack(1020)) // the marked one
	b.send(61, payload(1410, 10))
	for i := range 5 {
		b.send(62+i, payload(1420+10*uint32(i), 10)) // no room, and the newest is marked
	}
	b.receive(70, ack(1420))
	if b.data.MarkedRTT != 10*ms || b.data.BytesInMarkedRTT != 60 || b.data.Skipped != 8+5 {
		t.Errorf("marked %v, %d bytes, %d skipped; want 10 ms, 60, 13", b.data.MarkedRTT, b.data.BytesInMarkedRTT, b.data.Skipped)
	}
}

// A segment far ahead of the others, which the end never sent: nobody acknowledges it, and its record is the oldest for ever.
// After a minute it gives way.
func TestStuckRecord(t *testing.T) {
	b := newBench(t, ticks)
	b.send(0, payload(1000, 10))
	b.receive(1, ack(1010))
	b.send(2, payload(1<<30, 10)) // marked
	b.end.SendNext = 1010
	next := uint32(1010)
	for i := range 40 {
		b.send(1000+2000*i, payload(next, 10))
		next += 10
		b.receive(1009+2000*i, ack(next))
	}
	if b.data.RTT != 10*ms || b.data.MarkedRTT != 10*ms {
		t.Errorf("RTT %v, marked %v; want 10 ms: measuring has not begun again", b.data.RTT, b.data.MarkedRTT)
	}
}

// A flow whose beginning nobody saw: what was sent before is not measured, what is sent from now on is.
func TestMidStream(t *testing.T) {
	b := newBench(t, ticks)
	b.end.MidStream = true
	b.end.SendUnacknowledged, b.end.SendNext, b.end.SegmentSize = 1<<31, 1<<31, 0
	b.receive(3, ack(1<<31))
	b.want(ertt.Data{})
	b.send(5, payload(1<<31, 1000))
	b.receive(9, ack(1<<31-500)) // of what was sent before
	b.want(ertt.Data{BytesInRTT: 1000, Flags: ertt.MeasurementInProgress})
	b.end.SegmentSize = 1000
	b.receive(14, ack(1<<31+1000))
	if b.data.MinRTT != 10*ms {
		t.Errorf("MinRTT %v, want 10 ms", b.data.MinRTT)
	}
}

// The payload of a SYN is behind it in sequence (RFC 7413).
func TestPayloadOfSYN(t *testing.T) {
	b := newBench(t, ticks)
	s := payload(999, 100)
	s.Flags = netstack.TCPSyn
	b.send(0, s)
	b.end.SendNext++
	b.receive(9, ack(1100))
	if b.data.RTT != 10*ms {
		t.Errorf("RTT %v, want 10 ms", b.data.RTT)
	}
}

func TestOldFlowsHaveNoData(t *testing.T) {
	points := hhook.New(hhook.Config{Instance: 1})
	helpers := khelp.New(points, nil)
	old := &netstack.FlowEnd{}
	if err := helpers.Create(&old.Object, khelp.TCP); err != nil {
		t.Fatal(err)
	}
	helper, err := helpers.Load(ertt.Helper(ertt.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	if data := khelp.Get[ertt.Data](old, helper.ID()); data != nil {
		t.Errorf("a flow that is older than the helper has %+v", data)
	}
}

func TestConfigIsChecked(t *testing.T) {
	helpers := khelp.New(hhook.New(hhook.Config{Instance: 1}), nil)
	if _, err := helpers.Load(ertt.Helper(ertt.Config{Tick: -1})); !errors.Is(err, hooks.ErrInvalid) {
		t.Errorf("a negative tick: %v, want ErrInvalid", err)
	}
}
