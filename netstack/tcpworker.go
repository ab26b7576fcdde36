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
	swept    int           // shards, one for each batch
	context  TCPContext
	segments [flushSize]tcpSegment
}

// A tcpSegment is one segment of a batch, and whose it is.
type tcpSegment struct {
	packet *packet.Packet
	key    flowKey
	hash   uint64
	shard  int
	sender int  // which end of the key
	same   bool // the segment before is of the same flow
}

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
func (k *flowKey) source(at int) uint64 {
	if high := k.address[at][0]; high != 0 {
		return high
	}
	return k.address[at][1]
}

// set finds out whose segment a packet is. It returns false for what is no TCP segment or not the whole of one.
func (seg *tcpSegment) set(p *packet.Packet) bool {
	if p.TransportProtocol() != uint8(header.TCPProtocolNumber) || p.IsFragment() {
		return false
	}
	tcp := p.Transport()
	if len(tcp) < header.TCPMinimumSize || tcp[12]>>4 < header.TCPMinimumSize/4 || int(tcp[12]>>4)*4 > len(tcp) {
		return false
	}
	seg.packet = p
	k := &seg.key
	from, to := 0, 1
	if b := p.Bytes(); p.Family() == packet.Inet {
		source, destination := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
		if source > destination {
			from, to = 1, 0
		}
		k.address[from] = [2]uint64{0, 0xffff<<32 | uint64(source)}
		k.address[to] = [2]uint64{0, 0xffff<<32 | uint64(destination)}
	} else {
		source := [2]uint64{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}
		destination := [2]uint64{binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])}
		if source[0] > destination[0] || source[0] == destination[0] && source[1] > destination[1] {
			from, to = 1, 0
		}
		k.address[from], k.address[to] = source, destination
	}
	source, destination := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:])
	if source > destination && k.address[0] == k.address[1] {
		from, to = 1, 0
	}
	k.port[from], k.port[to] = source, destination
	seg.sender = from
	return true
}

// client returns which end began a flow whose first segment this is, or the one with the higher port.
func (seg *tcpSegment) client(c *TCPContext) int {
	switch {
	case c.Flags&(TCPSyn|TCPAck) == TCPSyn:
		return seg.sender
	case c.Flags&TCPSyn != 0:
		return 1 - seg.sender
	case seg.key.port[0] > seg.key.port[1]:
		return 0
	default:
		return 1
	}
}

// fill takes over what the segment says.
func (c *TCPContext) fill(p *packet.Packet) {
	tcp := p.Transport()
	offset := int(tcp[12]>>4) * 4
	c.Packet = p
	c.Sequence, c.Acknowledgment = be32(tcp[4:]), be32(tcp[8:])
	c.Flags = TCPFlags(tcp[13])
	c.Window = binary.BigEndian.Uint16(tcp[14:])
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
		t.swept++
		t.table.shards[t.swept%len(t.table.shards)].sweep(t.now)
	}
	t.context.Now = t.now
	return t
}

// showSent runs the points for what is about to be written to devices: for each shard in turn, so that its lock is taken once,
// and of each flow in order.
func (w *worker) showSent() {
	t := w.startTCP()
	if t == nil {
		return
	}
	n, shards := 0, uint(0)
	for _, p := range w.out {
		seg := &t.segments[n]
		if !seg.set(p) {
			continue
		}
		if seg.same = n > 0 && seg.key.equal(&t.segments[n-1].key); seg.same {
			seg.hash, seg.shard = t.segments[n-1].hash, t.segments[n-1].shard
		} else {
			t.place(seg)
			shards |= 1 << seg.shard
		}
		n++
	}
	for ; shards != 0; shards &= shards - 1 {
		t.visit(bits.TrailingZeros(shards), n, toDevice)
	}
}

// show runs the points for one segment.
func (w *worker) show(p *packet.Packet, place tcpPlace) {
	t := w.startTCP()
	if t == nil || !t.segments[0].set(p) {
		return
	}
	seg := &t.segments[0]
	t.place(seg)
	seg.same = false
	t.visit(seg.shard, 1, place)
}

// place finds the shard of a segment.
func (t *tcpWorker) place(seg *tcpSegment) {
	seg.hash = t.table.hash(&seg.key)
	seg.shard = int(seg.hash >> t.table.shift)
}

// visit runs the points for those of the first n segments that belong to a shard.
func (t *tcpWorker) visit(shard, n int, place tcpPlace) {
	t.table.shards[shard].visit(t, shard, n, place)
}

// leave ends the visits of a batch.
func (t *tcpWorker) leave() {
	if t != nil {
		t.in.Leave()
		t.out.Leave()
		t.now = 0
	}
}

// visit is tcpWorker.visit, with the lock.
func (s *flowShard) visit(t *tcpWorker, number, n int, place tcpPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(t.now, expiredAtOnce)
	var last *flow
	for k := range t.segments[:n] {
		if seg := &t.segments[k]; seg.shard == number {
			last = s.segment(t, seg, last, place)
		}
	}
}

// segment runs the points for one segment and takes note of it. last is the flow of the segment before, if that was of this
// shard; the result is that of this one, or nil.
func (s *flowShard) segment(t *tcpWorker, seg *tcpSegment, last *flow, place tcpPlace) *flow {
	c := &t.context
	c.fill(seg.packet)
	f := last
	if f == nil || !seg.same {
		f = s.find(&seg.key, seg.hash)
	}
	if f != nil && f.renewed(c, seg.sender) {
		s.remove(f, &s.table.n.replaced)
		f = nil
	}
	if f != nil {
		s.touch(f, t.now)
	} else if c.Flags&TCPRst != 0 {
		return nil
	} else {
		f = s.add(seg, c)
	}
	sender, receiver := &f.ends[seg.sender], &f.ends[1-seg.sender]

	if place != toHost && !f.refused {
		c.Flow, c.Acked, c.Retransmission = sender, 0, sender.retransmits(c)
		t.out.RunIf(c, sender)
	}
	if place != toHost || !sender.Terminated || !sender.known {
		sender.sent(c, receiver)
	}
	if place == toHost || place == toDevice && !sender.Terminated {
		c.Flow, c.Acked, c.Retransmission = receiver, receiver.acks(c), false
		if !f.refused && c.established() {
			t.in.RunIf(c, receiver)
		}
	}
	if place != toLocal {
		receiver.acked(c)
	}

	switch {
	case c.Flags&TCPRst != 0:
		s.remove(f, &s.table.n.reset)
		return nil
	case sender.fin && receiver.fin && !f.lingers:
		s.linger(f, t.now)
	}
	return f
}

// renewed reports whether a segment begins a new connection between the ends of a flow: a SYN that was not seen before, other
// than that of a simultaneous open (RFC 9293 section 3.5).
func (f *flow) renewed(c *TCPContext, sender int) bool {
	if c.Flags&(TCPSyn|TCPAck|TCPRst) != TCPSyn {
		return false
	}
	if e := &f.ends[sender]; e.syn {
		return c.Sequence != e.initial
	}
	return f.ends[1-sender].opened()
}
