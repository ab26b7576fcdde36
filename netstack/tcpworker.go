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
	members  [flowShards]uint64 // by shard, which of the segments are its: a bit for each
}

// A tcpSegment is one segment of a batch, and whose it is.
type tcpSegment struct {
	packet *packet.Packet
	sender uint8 // which end of the key
	same   bool  // the segment before is of the same flow
	first  uint8 // number of the segment with which the row of those of one flow begins

	// As in the headers of an IPv4 segment, to compare; isIPv4 is set in ports. ports is 0 if it is of IPv6.
	addresses, ports uint64

	// Of the first.
	key   flowKey
	hash  uint64
	shard uint8
}

// isIPv4 is beyond what two ports take.
const isIPv4 = 1 << 32

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

// set finds out whose segment a packet is, which becomes number n. It returns false for what is no TCP segment or not the whole
// of one.
func (t *tcpWorker) set(n int, p *packet.Packet) bool {
	if p.TransportProtocol() != uint8(header.TCPProtocolNumber) || p.IsFragment() {
		return false
	}
	tcp := p.Transport()
	if len(tcp) < header.TCPMinimumSize || tcp[12]>>4 < header.TCPMinimumSize/4 || int(tcp[12]>>4)*4 > len(tcp) {
		return false
	}
	seg := &t.segments[n]
	seg.packet, seg.ports = p, 0
	if p.Family() == packet.Inet {
		seg.addresses = binary.NativeEndian.Uint64(p.Bytes()[12:])
		seg.ports = isIPv4 | uint64(binary.NativeEndian.Uint32(tcp))
	}
	if n > 0 && seg.follows(&t.segments[n-1]) {
		return true
	}
	seg.sender = seg.key.set(p, tcp)
	if n > 0 && seg.ports == 0 {
		if first := t.segments[n-1].first; seg.key.equal(&t.segments[first].key) {
			seg.same, seg.first = true, first
			return true
		}
	}
	seg.same, seg.first = false, uint8(n)
	seg.hash = t.table.hash(&seg.key)
	seg.shard = uint8(seg.hash >> t.table.shift)
	return true
}

// follows reports whether an IPv4 segment is of the same flow as the one before, and takes over what is known of that.
func (seg *tcpSegment) follows(before *tcpSegment) bool {
	switch {
	case seg.ports == 0:
		return false
	case seg.ports == before.ports && seg.addresses == before.addresses:
		seg.sender = before.sender
	case seg.ports == isIPv4|uint64(bits.RotateLeft32(uint32(before.ports), 16)) && seg.addresses == bits.RotateLeft64(before.addresses, 32):
		seg.sender = 1 - before.sender
	default:
		return false
	}
	seg.same, seg.first = true, before.first
	return true
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
	t.members = [flowShards]uint64{} // there are some left if a hook has ended the goroutine in the middle
	n, shards := 0, uint(0)
	for _, p := range w.out {
		if !t.set(n, p) {
			continue
		}
		shard := t.segments[t.segments[n].first].shard
		t.members[shard] |= 1 << n
		shards |= 1 << shard
		n++
	}
	for ; shards != 0; shards &= shards - 1 {
		t.visit(bits.TrailingZeros(shards), toDevice)
	}
}

// show runs the points for one segment.
func (w *worker) show(p *packet.Packet, place tcpPlace) {
	t := w.startTCP()
	if t == nil || !t.set(0, p) {
		return
	}
	shard := int(t.segments[0].shard)
	t.members[shard] = 1
	t.visit(shard, place)
}

// visit runs the points for the segments that belong to a shard.
func (t *tcpWorker) visit(shard int, place tcpPlace) {
	members := t.members[shard]
	t.members[shard] = 0
	t.table.shards[shard].visit(t, members, place)
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
func (s *flowShard) visit(t *tcpWorker, members uint64, place tcpPlace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(t.now, expiredAtOnce)
	var last *flow
	for ; members != 0; members &= members - 1 {
		last = s.segment(t, &t.segments[bits.TrailingZeros64(members)%flushSize], last, place)
	}
}

// segment runs the points for one segment and takes note of it. last is the flow of the segment before, if that was of this
// shard; the result is that of this one, or nil.
func (s *flowShard) segment(t *tcpWorker, seg *tcpSegment, last *flow, place tcpPlace) *flow {
	c := &t.context
	c.fill(seg.packet)
	f, first := last, &t.segments[seg.first%flushSize]
	if f == nil || !seg.same {
		f = s.find(&first.key, first.hash)
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
		f = s.add(first, seg.sender, c)
	}
	sender, receiver := &f.ends[seg.sender&1], &f.ends[seg.sender&1^1]

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
		return nil
	case sender.fin && receiver.fin && !f.lingers:
		s.linger(f, t.now)
	}
	return f
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
