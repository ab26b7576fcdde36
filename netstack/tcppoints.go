// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/packet"
)

// The hook points of type hhook.TCP, in each instance from New to Close (HHOOK_TCP_EST_IN and HHOOK_TCP_EST_OUT of the
// original). Their context is a *TCPContext, their object a *FlowEnd: the endpoint that the segment goes to or comes from. A
// forwarded segment runs OUT for its sender's end, then IN for its receiver's. Of a connection that the host stack
// terminates our own end alone runs them; between two sockets of the instance both ends do.
//
// Calls for the two ends of one flow never overlap, whatever the number of device queues, so that helpers need no lock for
// the data they have on them. Flow ends are found, and the clock is read, only while something is hooked on one of the points.
//
// They see what is about to be written to a device, after all hooks of packet events, and what is about to be delivered to the
// host stack: nothing that was dropped, and no fragments. A superpacket runs them once. So do forwarded segments that come
// in one batch, one right behind the other, and could have come as a superpacket: a stream looks the same whether the device has
// joined its segments or not (the original's see what LRO and TSO make of them). Segments that were sent again are shown one by one.
const (
	// TCPEstablishedIn runs for each segment with an acknowledgment that an end is sent, before the end's record changes; not
	// for SYN and RST, and not for data that acknowledges nothing new, which takes the fast path of the original.
	TCPEstablishedIn hhook.ID = 0
	// TCPEstablishedOut runs for each segment that an end sends, before the end's record changes. Despite the name that
	// includes the handshake and resets, as in the original.
	TCPEstablishedOut hhook.ID = 1
)

// TCPFlags are the control bits of a TCP header (RFC 9293 section 3.1).
type TCPFlags uint8

// The control bits.
const (
	TCPFin TCPFlags = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// A TCPContext is what the hooks on the TCP points are called with (struct tcp_hhook_data). All fields are set at both points,
// in host byte order. It, and all it points at, belongs to the worker again when the hook returns. Hooks only read.
type TCPContext struct {
	// Flow is the end that the point runs for; it is the object of the call, too.
	Flow *FlowEnd
	// Packet is the segment with its IP header; if several are shown as one, the first of them.
	Packet *packet.Packet

	// Of the TCP header. Window is as sent, not scaled.
	Sequence       uint32
	Acknowledgment uint32
	Window         uint16
	Flags          TCPFlags
	Options        TCPOptions

	// Length is the number of bytes of payload, without SYN and FIN; if several segments are shown as one, of all.
	Length int
	// TSO says that this is a superpacket, or several segments that are shown as one: it stands for segments of SegmentSize
	// bytes of payload, the last may be shorter. Else SegmentSize is Length.
	TSO         bool
	SegmentSize int

	// Acked (curack): at TCPEstablishedIn, how many bytes of Flow the segment newly acknowledges, SYN and FIN counted as one
	// each; 0 if none, and if it acknowledges what Flow has not sent. Always 0 at TCPEstablishedOut.
	Acked uint32
	// Retransmission: at TCPEstablishedOut, the segment occupies sequence space and begins before Flow.SendNext: it was sent
	// before, or has been overtaken. Always false at TCPEstablishedIn.
	Retransmission bool

	// Now is a monotonic time, from an unspecified beginning. It is read once for a batch of packets.
	Now time.Duration
}

// TCPOptions are those of one segment. What it does not carry is zero.
type TCPOptions struct {
	MSS            uint16 // RFC 9293 section 3.7.1; 0: none
	WindowScale    uint8  // RFC 7323 section 2; good if HasWindowScale
	HasWindowScale bool
	SACKPermitted  bool
	HasTimestamp   bool   // RFC 7323 section 3
	TimestampValue uint32 // TSval
	TimestampEcho  uint32 // TSecr; good if the ACK flag is set
	SACK           [4]SACKBlock
	SACKBlocks     int // how many of SACK are good; RFC 2018 section 3
}

// A SACKBlock is the range of sequence numbers from Left to before Right.
type SACKBlock struct{ Left, Right uint32 }

// tcpPoints are the points of an instance, and the flows that they are about.
type tcpPoints struct {
	in, out *hhook.Point
	table   atomic.Pointer[flowTable] // made when it is first needed
	n       flowCounters
}

// flowKstat is the name of the built-in kstat of flows.
const flowKstat = "tcp:0:flows"

// flowCounters are what the kstat tcp:0:flows shows. made is flows and all that follows midStream, refused excepted.
type flowCounters struct {
	flows         atomic.Uint64 // that there are
	made          atomic.Uint64
	refused       atomic.Uint64 // of which a helper could not make its data: they run no points
	midStream     atomic.Uint64 // that began without a handshake
	finished      atomic.Uint64 // ended by both FINs, and a while
	reset         atomic.Uint64 // by RST
	replaced      atomic.Uint64 // by a new connection of the same ends
	idle          atomic.Uint64 // by no segment for too long
	evicted       atomic.Uint64 // the oldest, when the table was full
	evictedSource atomic.Uint64 // the oldest of a source that had its share
	flushed       atomic.Uint64 // by FlushFlows, and when nothing is hooked any more
}

func (n *flowCounters) kstat() KstatSnapshot {
	return KstatSnapshot{Module: "tcp", Name: "flows", Class: "net", Values: []KstatValue{
		{"flows", n.flows.Load()}, {"made", n.made.Load()}, {"refused", n.refused.Load()}, {"mid_stream", n.midStream.Load()},
		{"finished", n.finished.Load()}, {"reset", n.reset.Load()}, {"replaced", n.replaced.Load()}, {"idle", n.idle.Load()},
		{"evicted", n.evicted.Load()}, {"evicted_source", n.evictedSource.Load()}, {"flushed", n.flushed.Load()},
	}}
}

// open makes the points.
func (t *tcpPoints) open(i *Instance) (err error) {
	if t.in, err = i.hhook.Register(hhook.TCP, TCPEstablishedIn, hhook.InInstance); err != nil {
		return err
	}
	t.out, err = i.hhook.Register(hhook.TCP, TCPEstablishedOut, hhook.InInstance)
	return err
}

// busy reports whether something is hooked, or there are flows although nothing is any more.
func (t *tcpPoints) busy() bool { return t.in.Active() || t.out.Active() || t.n.flows.Load() != 0 }

// flows returns the table.
func (t *tcpPoints) flows(i *Instance) *flowTable {
	if table := t.table.Load(); table != nil {
		return table
	}
	t.table.CompareAndSwap(nil, newFlowTable(i, &t.n, i.budget.Flows))
	return t.table.Load()
}

// close ends all flows, unloads all helpers and takes the points away. No packet is under way. What was left behind is named
// in the log.
func (t *tcpPoints) close(i *Instance) {
	if table := t.table.Load(); table != nil {
		table.flush()
	}
	if err := i.helpers.Close(); err != nil {
		i.log.Warn("instance closed with helpers still in use", "error", err)
	}
	for _, p := range []*hhook.Point{t.in, t.out} {
		_ = p.Deregister() // if it is still referenced Close says so
	}
	_ = i.hhook.Close() // logs
}

// Points returns the instance's hook points of package hhook: the TCP points, and those that embedders register.
func (i *Instance) Points() *hhook.Points { return i.hhook }

// Helpers returns the instance's helpers. Those for khelp.TCP have data on the flow ends that are made while they are loaded.
func (i *Instance) Helpers() *khelp.Helpers { return i.helpers }

// started is the beginning of the default clock.
var started = time.Now()

func monotonic() time.Duration { return time.Since(started) }

// parse reads the options of a TCP header (RFC 9293 section 3.1). It stops at one that is malformed.
func (o *TCPOptions) parse(b []byte) {
	*o = TCPOptions{}
	if len(b) == 12 && binary.BigEndian.Uint32(b) == 0x0101080a { // two no-operations and a timestamp, as in most segments
		o.HasTimestamp, o.TimestampValue, o.TimestampEcho = true, binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		return
	}
	for len(b) > 0 {
		kind := b[0]
		if kind == 0 { // end of list
			return
		}
		if kind == 1 { // no operation
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		o.set(kind, b[2:b[1]])
		b = b[b[1]:]
	}
}

// set takes one option. One whose length is wrong is ignored.
func (o *TCPOptions) set(kind byte, b []byte) {
	switch {
	case kind == 2 && len(b) == 2:
		o.MSS = uint16(b[0])<<8 | uint16(b[1])
	case kind == 3 && len(b) == 1:
		o.WindowScale, o.HasWindowScale = min(b[0], 14), true // RFC 7323 section 2.3
	case kind == 4 && len(b) == 0:
		o.SACKPermitted = true
	case kind == 5 && len(b)%8 == 0:
		for ; len(b) > 0 && o.SACKBlocks < len(o.SACK); b = b[8:] {
			o.SACK[o.SACKBlocks] = SACKBlock{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
			o.SACKBlocks++
		}
	case kind == 8 && len(b) == 8:
		o.TimestampValue, o.TimestampEcho, o.HasTimestamp = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), true
	}
}

// flagNames are those of the flags, from the lowest.
var flagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// String returns the names of the flags that are set, as "SYN|ACK".
func (f TCPFlags) String() string {
	var names []string
	for k, name := range flagNames {
		if f&(1<<k) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}
