// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package ertt

import (
	"fmt"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
)

// Name is the helper's.
const Name = "ertt"

// DefaultTick is Config.Tick if that is 0.
const DefaultTick = time.Microsecond

// Config describes the helper. The zero value works.
type Config struct {
	// Tick is the unit of all times: they are counted in whole ticks, with one added, so that none is 0. The original's is a
	// millisecond. 0 means DefaultTick.
	Tick time.Duration
}

// Helper returns the helper, to be loaded. That fails with hooks.ErrInvalid if Tick is negative.
func Helper(cfg Config) khelp.Config {
	tick := cfg.Tick
	if tick == 0 {
		tick = DefaultTick
	}
	return khelp.Config{
		Name:    Name,
		Classes: khelp.TCP,
		Data:    khelp.DataOf[Data]{},
		Init: func() error {
			if tick < 0 {
				return fmt.Errorf("%w: Config.Tick is %v; expected 0 or more", hooks.ErrInvalid, tick)
			}
			return nil
		},
		Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: netstack.TCPEstablishedIn, Func: khelp.With(func(c *hhook.Call, d *Data) {
				d.acknowledged(c.Context.(*netstack.TCPContext), tick)
			})},
			{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: khelp.With(func(c *hhook.Call, d *Data) {
				d.sent(c.Context.(*netstack.TCPContext))
			})},
		},
	}
}

// Flags are those of Data. The numbers are the original's.
type Flags uint8

// The flags.
const (
	// NewMeasurement (ERTT_NEW_MEASUREMENT): the marked segment was acknowledged. Whoever uses the measurement clears it.
	NewMeasurement Flags = 1 << iota
	// MeasurementInProgress (ERTT_MEASUREMENT_IN_PROGRESS): a segment is marked.
	MeasurementInProgress
	// TSODisabled (ERTT_TSO_DISABLED): a measurement has ended while the end sent superpackets, and none but those has come
	// since. Nothing is disabled here, see the package comment.
	TSODisabled
)

// Data is what the helper knows of one end of a flow (struct ertt). Read it from inside a hook on the TCP points, for the same
// flow, or netstack.Instance.EachFlow; of the fields only Flags may be written to there.
type Data struct {
	// RTT is the latest round-trip time, MinRTT and MaxRTT are the shortest and the longest. 0: none yet.
	RTT, MinRTT, MaxRTT time.Duration
	// MarkedRTT (markedpkt_rtt) is that of the last marked segment, BytesInMarkedRTT (bytes_tx_in_marked_rtt) how many bytes
	// were sent until it was acknowledged, it included, MarkedInFlight (marked_snd_cwnd) how many were in flight then.
	MarkedRTT        time.Duration
	BytesInMarkedRTT uint32
	MarkedInFlight   uint32
	// BytesInRTT (bytes_tx_in_rtt) counts bytes since the segment that is marked now, it included.
	BytesInRTT uint32
	// Skipped is how many segments have no record because there were too many.
	Skipped uint64
	// DelayedAcks (dlyack_rx), 0 to 5, is how sure it is that acknowledgments are delayed; above 0 is suspicion.
	DelayedAcks uint8
	// TimestampErrors is how often timestamps were impossible. From 10 on they are not looked at.
	TimestampErrors uint8
	Flags           Flags

	superpackets bool // the latest segment was one
	hasEdge      bool

	// The records, oldest first: count of them from head on.
	head, count uint8

	total uint32 // bytes of payload sent so far
	edge  uint32 // the highest that a SACK block has named above what is acknowledged, if hasEdge

	records [records]record
}

const (
	records            = 32 // a power of 2
	maxDelayedAcks     = 5
	maxTimestampErrors = 10

	// stuckAfter is for how long the oldest record may be in the way of new ones. What is not acknowledged by then was not sent by
	// the end, or will be sent again.
	stuckAfter = time.Minute
)

// A record is of one segment that was sent (struct txseginfo).
type record struct {
	at        time.Duration
	sequence  uint32 // of the first byte of payload
	timestamp uint32 // TSval
	echo      uint32 // TSecr; 0: none
	offset    uint32 // Data.total when it was sent
	length    uint16 // of the payload; 40 bytes less than 64 KiB at most
	flags     recordFlags
}

type recordFlags uint8

const (
	recordMarked recordFlags = 1 << iota
	recordTSO
	recordTimestamp // timestamp is good
)

func (r *record) end() uint32 { return r.sequence + uint32(r.length) }

// sent records a segment (TCPEstablishedOut).
func (d *Data) sent(c *netstack.TCPContext) {
	if c.Length == 0 {
		return
	}
	d.superpackets = c.TSO
	if !c.TSO {
		d.Flags &^= TSODisabled
	}
	offset := d.total
	d.total += uint32(c.Length)
	if d.Flags&MeasurementInProgress != 0 {
		d.BytesInRTT += uint32(c.Length)
	}
	r := d.newRecord(c.Now)
	if r == nil {
		return
	}
	*r = record{at: c.Now, sequence: c.Sequence, offset: offset, length: uint16(c.Length)}
	if c.Flags&netstack.TCPSyn != 0 {
		r.sequence++ // the payload is behind the SYN (RFC 7413)
	}
	if c.TSO {
		r.flags |= recordTSO
	}
	if c.Options.HasTimestamp {
		r.flags |= recordTimestamp
		r.timestamp = c.Options.TimestampValue
		if c.Flags&netstack.TCPAck != 0 {
			r.echo = c.Options.TimestampEcho
		}
	}
	if d.Flags&MeasurementInProgress == 0 {
		d.Flags |= MeasurementInProgress
		d.BytesInRTT = uint32(c.Length)
		r.flags |= recordMarked
	}
}

// newRecord returns the record for the next segment, nil if there is none to be had.
func (d *Data) newRecord(now time.Duration) *record {
	if oldest := d.record(0); d.count == records && now-oldest.at > stuckAfter {
		if oldest.flags&recordMarked != 0 {
			d.Flags &^= MeasurementInProgress
		}
		d.pop()
	}
	if d.count < records {
		d.count++
		return d.record(d.count - 1)
	}
	d.Skipped++
	if newest := d.record(records - 1); newest.flags&recordMarked == 0 {
		return newest
	}
	return nil
}

// record returns the one that is n behind the oldest.
func (d *Data) record(n uint8) *record { return &d.records[(d.head+n)%records] }

// pop takes the oldest record away.
func (d *Data) pop() {
	d.head = (d.head + 1) % records
	d.count--
}

// acknowledged looks at what a segment to the end acknowledges (TCPEstablishedIn).
func (d *Data) acknowledged(c *netstack.TCPContext, tick time.Duration) {
	point := c.Acknowledgment
	edge, sacked := d.newEdge(c)
	if sacked {
		point = edge
	}
	if c.Acked == 0 && !sacked {
		return
	}
	var moving mark
	several := false
	for guessed := false; d.count > 0; d.pop() {
		r := d.record(0)
		if before(r.end(), point) {
			moving.pass(r)
			continue
		}
		if !guessed && !sacked {
			several = d.guessDelayedAcks(c, r)
		}
		guessed = true
		if d.stale(c, r) {
			moving.pass(r)
			continue
		}
		if !before(r.sequence, point) || !sacked && d.early(c, r) {
			break // point lies before the record, or it is an earlier transmission's
		}
		rtt := since(c.Now, r.at, tick)
		if d.DelayedAcks == 0 || several || sacked {
			d.measured(rtt)
		}
		if r.flags&recordMarked != 0 || moving.set {
			d.markAcknowledged(c, rtt, r.offset)
			moving.set = false
		}
		if r.flags&recordTSO != 0 && before(point, r.end()) {
			// The rest of a superpacket can be measured again.
			r.length = uint16(r.end() - point)
			r.sequence = point
			r.flags &^= recordMarked
			break
		}
		d.pop()
		break
	}
	if moving.set { // forced, less exact
		d.markAcknowledged(c, since(c.Now, moving.at, tick), moving.offset)
	}
}

// A mark moves from a marked record that cannot be measured to the next one, and on.
type mark struct {
	set    bool          // it is moving
	at     time.Duration // of the record that it was taken from last
	offset uint32        // of that, too
}

// pass takes the mark from r, if that has it or it is moving already.
func (m *mark) pass(r *record) {
	if m.set || r.flags&recordMarked != 0 {
		*m = mark{true, r.at, r.offset}
	}
}

// guessDelayedAcks guesses whether the receiver delays acknowledgments, and reports whether this one is of more than one segment.
// r is the first record that is not passed.
func (d *Data) guessDelayedAcks(c *netstack.TCPContext, r *record) (several bool) {
	switch {
	case c.Acked > uint32(c.Flow.SegmentSize) || c.Acked > uint32(r.length):
		d.DelayedAcks = min(d.DelayedAcks+1, maxDelayedAcks)
		return true
	case c.Acked == uint32(c.Flow.SegmentSize) || c.Acked == uint32(r.length):
		d.DelayedAcks -= min(d.DelayedAcks, 1)
	}
	return false
}

// stale reports whether the echoed timestamp says that a later transmission than r was acknowledged.
func (d *Data) stale(c *netstack.TCPContext, r *record) bool {
	if !d.comparable(c, r) {
		return false
	}
	o := &c.Options
	if o.TimestampEcho == r.timestamp && r.echo != 0 && before(o.TimestampValue, r.echo) {
		d.TimestampErrors++ // acknowledged before it was sent, by the receiver's clock
	}
	return before(r.timestamp, o.TimestampEcho)
}

// early reports whether the echoed timestamp says that an earlier transmission than r was acknowledged, one that has no record.
// A delayed acknowledgment echoes the first of its segments (RFC 7323 section 4.3).
func (d *Data) early(c *netstack.TCPContext, r *record) bool {
	return d.DelayedAcks == 0 && d.comparable(c, r) && before(c.Options.TimestampEcho, r.timestamp)
}

// comparable reports whether the echoed timestamp can be compared with that of r.
func (d *Data) comparable(c *netstack.TCPContext, r *record) bool {
	return d.TimestampErrors < maxTimestampErrors && r.flags&recordTimestamp != 0 && c.Options.HasTimestamp && c.Options.TimestampEcho != 0
}

// newEdge returns the highest edge of a SACK block, if it is higher than all before (RFC 2018).
func (d *Data) newEdge(c *netstack.TCPContext) (edge uint32, found bool) {
	from := c.Flow.SendUnacknowledged
	if c.Acked > 0 {
		from = c.Acknowledgment
	}
	if d.hasEdge && !before(from, d.edge) {
		d.hasEdge = false
	}
	for _, block := range c.Options.SACK[:c.Options.SACKBlocks] {
		if before(from, block.Right) && !before(c.Flow.SendNext, block.Right) && (!d.hasEdge || before(d.edge, block.Right)) {
			d.edge, d.hasEdge, found = block.Right, true, true
		}
	}
	return d.edge, found
}

func (d *Data) measured(rtt time.Duration) {
	d.RTT = rtt
	if rtt < d.MinRTT || d.MinRTT == 0 {
		d.MinRTT = rtt
	}
	d.MaxRTT = max(d.MaxRTT, rtt)
}

// markAcknowledged ends the measurement in progress. offset is that of the marked record.
func (d *Data) markAcknowledged(c *netstack.TCPContext, rtt time.Duration, offset uint32) {
	d.MarkedRTT, d.BytesInMarkedRTT, d.MarkedInFlight = rtt, d.total-offset, c.Flow.InFlight()
	d.Flags = d.Flags&^MeasurementInProgress | NewMeasurement
	if d.superpackets {
		d.Flags |= TSODisabled
	}
}

// since returns the time from then to now in whole ticks, with one added. Batches of different workers may overlap, so that now
// may come before then.
func since(now, then, tick time.Duration) time.Duration {
	if tick == DefaultTick { // to divide by a constant is to multiply
		return (max(0, now/DefaultTick-then/DefaultTick) + 1) * DefaultTick
	}
	return (max(0, now/tick-then/tick) + 1) * tick
}

// before compares sequence numbers and timestamps, which wrap (RFC 9293 section 3.4, RFC 7323 section 5.2).
func before(a, b uint32) bool { return int32(a-b) < 0 }
