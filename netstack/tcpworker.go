// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/packet"
)

// A tcpWorker is what a worker needs to run the TCP points. It is made when first something is hooked on them.
type tcpWorker struct {
	table    *flowTable
	in, out  hhook.Visitor
	now      time.Duration // of this batch; 0 until somebody asks
	batches  uint          // so far
	context  TCPContext
	segments [flushSize]tcpSegment
	count    uint8 // of the segments of this batch
	rows     [flushSize]tcpRow
	rowCount uint8
	members  [flowShards]uint64 // by shard, which of the rows are its: a bit for each
	last     tcpLast
}

// A tcpSegment is one segment of a batch.
type tcpSegment struct {
	packet *packet.Packet
	sender uint8 // which end of the flow's key
	joined uint8 // how many of those behind it are joined to it
}

// A tcpRow is a row of segments of one flow, one right behind the other.
type tcpRow struct {
	key        flowKey
	hash       uint64
	first, end uint8 // numbers of segments: of its first one, and of the first one behind it
}

// sweepEvery is how many batches pass between two sweeps, of one shard each.
const sweepEvery = 16

// A tcpPlace is where segments run the points.
type tcpPlace uint8

const (
	toDevice tcpPlace = iota // about to be written
	toLocal                  // from one of our sockets to another: the sender's half
	toHost                   // about to be delivered
)

// A flowKey names a flow: its ends, the lower first. IPv4 addresses are as mapped into IPv6.
type flowKey struct {
	address [2][2]uint64
	port    [2]uint16
}

// equal does what == does without a call.
func (k *flowKey) equal(o *flowKey) bool {
	return k.port == o.port && k.address[0][1] == o.address[0][1] && k.address[1][1] == o.address[1][1] &&
		k.address[0][0] == o.address[0][0] && k.address[1][0] == o.address[1][0]
}

// end returns an end of the key.
func (k *flowKey) end(at int) netip.AddrPort {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.address[at][0])
	binary.BigEndian.PutUint64(b[8:], k.address[at][1])
	return netip.AddrPortFrom(netip.AddrFrom16(b).Unmap(), k.port[at])
}

// source returns whose share of the table the flows of an end are: an IPv4 address or the first half of an IPv6 one.
func (k *flowKey) source(at uint8) uint64 {
	if high := k.address[at][0]; high != 0 {
		return high
	}
	return k.address[at][1]
}

// add makes a packet the next segment of the batch, unless it is no TCP segment or not the whole of one.
func (t *tcpWorker) add(p *packet.Packet) {
	if p.TransportProtocol() != uint8(header.TCPProtocolNumber) || p.IsFragment() {
		return
	}
	tcp := p.Transport()
	if len(tcp) < header.TCPMinimumSize {
		return
	}
	h := (*[header.TCPMinimumSize]byte)(tcp)
	offset := int(h[12]>>4) * 4
	if offset < header.TCPMinimumSize || offset > len(tcp) {
		return
	}
	n, last := t.count, &t.last
	t.count++
	seg := &t.segments[n%flushSize]
	seg.packet, seg.joined = p, 0
	size := uint(len(tcp) - offset)
	if last.joins(p, h, tcp[header.TCPMinimumSize:offset], size) {
		head := &t.segments[last.number%flushSize]
		head.joined++
		seg.sender = head.sender
		t.rows[(t.rowCount-1)%flushSize].end++
		return
	}
	last.begin(n, p, h, tcp[header.TCPMinimumSize:offset], size)
	row := &t.rows[t.rowCount%flushSize]
	seg.sender = row.key.set(p, tcp)
	if n > 0 {
		if before := &t.rows[(t.rowCount-1)%flushSize]; row.key.equal(&before.key) {
			before.end++
			return
		}
	}
	row.hash = t.table.hash(&row.key)
	row.first, row.end = n, n+1
	t.members[row.hash>>t.table.shift%flowShards] |= 1 << t.rowCount
	t.rowCount++
}

// set makes the key that of a packet's flow. It returns which end is the sender.
func (k *flowKey) set(p *packet.Packet, tcp []byte) (sender uint8) {
	// In words: arrays would be copied 16 bytes at a time, just after they were written 8 at a time, for which processors wait.
	var source0, source1, destination0, destination1 uint64
	if b := p.Bytes(); p.Family() == packet.Inet {
		source1 = 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[12:]))
		destination1 = 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[16:]))
	} else {
		source0, source1 = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
		destination0, destination1 = binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])
	}
	from, to := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	if source0 > destination0 || source0 == destination0 && (source1 > destination1 || source1 == destination1 && from > to) {
		sender = 1
		source0, source1, destination0, destination1 = destination0, destination1, source0, source1
		from, to = to, from
	}
	k.address[0][0], k.address[0][1] = source0, source1
	k.address[1][0], k.address[1][1] = destination0, destination1
	k.port[0], k.port[1] = from, to
	return sender
}

// client returns which end began a flow of whose first segment an end is the sender, or the one with the higher port.
func (k *flowKey) client(sender uint8, c *TCPContext) uint8 {
	switch {
	case c.Flags&(TCPSyn|TCPAck) == TCPSyn:
		return sender
	case c.Flags&TCPSyn != 0:
		return 1 - sender
	case k.port[0] > k.port[1]:
		return 0
	default:
		return 1
	}
}

// fill takes over what the segment says.
func (c *TCPContext) fill(p *packet.Packet) {
	tcp := p.Transport()
	h := (*[header.TCPMinimumSize]byte)(tcp)
	offset := int(h[12]>>4) * 4
	c.Packet = p
	c.Sequence, c.Acknowledgment = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	c.Flags = TCPFlags(h[13])
	c.Window = binary.BigEndian.Uint16(h[14:])
	c.Options.parse(tcp[header.TCPMinimumSize:offset])
	c.Length = len(tcp) - offset
	c.SegmentSize = c.Length
	if c.TSO = p.Offload.GSO != packet.GSONone && c.Length > int(p.Offload.SegmentSize); c.TSO {
		c.SegmentSize = int(p.Offload.SegmentSize)
	}
}

// established reports whether the segment is one for TCPEstablishedIn.
func (c *TCPContext) established() bool {
	return c.Flags&(TCPAck|TCPSyn|TCPRst) == TCPAck && (c.Length == 0 || c.Acked != 0 || c.Options.SACKBlocks != 0)
}

// showsTCP reports whether segments have to be shown to the points, or flows to be removed because that has just ended.
func (w *worker) showsTCP() bool { return w.tcp != nil && w.tcp.busy() }

// startTCP makes the worker ready to run the points. It returns nil if nothing is hooked.
func (w *worker) startTCP() *tcpWorker {
	if !w.tcp.in.Active() && !w.tcp.out.Active() {
		w.tcp.flows(w.inst).flush() // nobody follows them any more
		return nil
	}
	if w.segments == nil {
		w.segments = &tcpWorker{table: w.tcp.flows(w.inst), in: w.tcp.in.Visitor(w.slot), out: w.tcp.out.Visitor(w.slot)}
	}
	t := w.segments
	if t.now == 0 {
		t.now = w.inst.now()
		if t.batches++; t.batches%sweepEvery == 0 {
			t.table.shards[t.batches/sweepEvery%uint(len(t.table.shards))].sweep(t.now)
		}
	}
	t.context.Now = t.now
	return t
}

// show runs the points for packets, as many as wait for the end of a batch at most: for each shard in turn, so that its lock is taken
// once, and of each flow in order.
func (w *worker) show(place tcpPlace, pkts ...*packet.Packet) {
	t := w.startTCP()
	if t == nil {
		return
	}
	t.count, t.rowCount, t.last.room = 0, 0, 0
	t.members = [flowShards]uint64{} // there are some left if a hook has ended the goroutine
	for _, p := range pkts {
		t.add(p)
	}
	for shard, rows := range t.members {
		if rows != 0 {
			t.table.shards[shard].visit(t, rows, place)
		}
	}
}

// leave ends the visits of a batch.
func (t *tcpWorker) leave() {
	if t != nil {
		t.in.Leave()
		t.out.Leave()
		t.now = 0
	}
}

// visit runs the points for the rows that belong to the shard.
func (s *flowShard) visit(t *tcpWorker, rows uint64, place tcpPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(t.now, expiredAtOnce)
	for ; rows != 0; rows &= rows - 1 {
		row := &t.rows[bits.TrailingZeros64(rows)%flushSize]
		f := s.find(&row.key, row.hash)
		for n := row.first; n < row.end; {
			shown := uint8(0)
			f, shown = s.segment(t, row, n, f, place)
			n += shown
		}
	}
}

// segment runs the points for a segment of a row, and for those that are joined to it, and takes note of them. f is the row's flow, nil
// if there is none. It returns that, which may be another then, or none any more, and how many segments were shown.
func (s *flowShard) segment(t *tcpWorker, row *tcpRow, n uint8, f *flow, place tcpPlace) (now *flow, shown uint8) {
	c, seg := &t.context, &t.segments[n%flushSize]
	c.fill(seg.packet)
	if f != nil && f.renewed(c, seg.sender) {
		s.remove(f, &s.table.n.replaced)
		f = nil
	}
	if f != nil {
		s.touch(f, t.now)
	} else if c.Flags&TCPRst != 0 {
		return nil, 1
	} else {
		f = s.add(row, seg.sender, c)
	}
	sender, receiver := &f.ends[seg.sender&1], &f.ends[seg.sender&1^1]
	shown = 1
	if seg.joined > 0 && !sender.retransmits(c) { // what was sent again is shown one by one, to be counted
		shown += seg.joined
		c.join(seg.joined, t.segments[(n+seg.joined)%flushSize].packet)
	}

	if place != toHost && !f.refused {
		c.Flow, c.Acked, c.Retransmission = sender, 0, sender.retransmits(c)
		t.out.RunIf(c, sender)
	}
	if place != toHost || !sender.Terminated || !sender.known {
		sender.sent(c, receiver)
	}
	acked := receiver.acks(c)
	if place == toHost || place == toDevice && !sender.Terminated {
		c.Flow, c.Acked, c.Retransmission = receiver, acked, false
		if !f.refused && c.established() {
			t.in.RunIf(c, receiver)
		}
	}
	if place != toLocal {
		receiver.acked(c, acked)
	}

	switch {
	case c.Flags&TCPRst != 0:
		s.remove(f, &s.table.n.reset)
		return nil, shown
	case sender.fin && receiver.fin && !f.lingers:
		s.linger(f, t.now)
	}
	return f, shown
}

// renewed reports whether a segment begins a new connection between the ends of a flow: a SYN that was not seen before, other
// than that of a simultaneous open (RFC 9293 section 3.5).
func (f *flow) renewed(c *TCPContext, sender uint8) bool {
	if c.Flags&(TCPSyn|TCPAck|TCPRst) != TCPSyn {
		return false
	}
	if e := &f.ends[sender&1]; e.syn {
		return c.Sequence != e.initial
	}
	return f.ends[sender&1^1].opened()
}
