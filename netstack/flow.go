// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"iter"
	"net/netip"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/internal/inside"
)

// A FlowEnd is one of the two endpoints of a TCP connection that passes the instance, as its segments tell: the object of the
// TCP points, in the place of struct tcpcb of the original. Helpers have their data on it. It belongs to the data path, which
// uses its memory again when the flow has ended: good until the hook returns, and read only.
//
// The numbers are those of the segments that have passed before the one that the point runs for. Sequence numbers are
// compared modulo 2^32 (RFC 9293 section 3.4). The record believes what it sees: it observes, and checks no windows.
type FlowEnd struct {
	khelp.Object

	// SendUnacknowledged (snd_una) is the oldest sequence number that has not been acknowledged, SendNext (snd_nxt) the one
	// behind the highest that was sent. What is between them is in flight.
	SendUnacknowledged uint32
	SendNext           uint32
	// Segments and Bytes count what the end has sent: segments, each of a superpacket, and bytes of payload, those sent again
	// too.
	Segments, Bytes uint64
	// SegmentSize (t_maxseg) is the largest payload of a segment, in bytes: what the other end's SYN allows. Without having
	// seen that, the largest segment that was sent.
	SegmentSize uint16
	// Terminated says that the end is a socket of this instance. If neither end is, the flow is a forwarded one.
	Terminated bool
	// MidStream says that the flow's handshake was not seen: the numbers begin somewhere, and options of the SYN are unknown.
	MidStream bool

	initial uint32 // the sequence number of its SYN, if syn
	syn     bool   // its SYN was seen
	fin     bool   // its FIN was seen
	known   bool   // the numbers are
	limited bool   // SegmentSize is from the other end's SYN

	// Local is the end's own address and port, Remote the other end's.
	Local, Remote netip.AddrPort
}

// InFlight returns how many bytes the end has sent that are not acknowledged. It stands in the place of the congestion
// window, which nobody can see from outside.
func (e *FlowEnd) InFlight() uint32 { return e.SendNext - e.SendUnacknowledged }

// after reports whether sequence number a comes after b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// begin makes an end whose numbers are unknown start at a sequence number.
func (e *FlowEnd) begin(sequence uint32) {
	if !e.known {
		e.SendUnacknowledged, e.SendNext, e.known = sequence, sequence, true
	}
}

// space returns how much sequence space a segment takes.
func (c *TCPContext) space() uint32 {
	n := uint32(c.Length)
	if c.Flags&TCPSyn != 0 {
		n++
	}
	if c.Flags&TCPFin != 0 {
		n++
	}
	return n
}

// segments returns how many segments a superpacket stands for.
func (c *TCPContext) segments() uint64 {
	if !c.TSO {
		return 1
	}
	return uint64(c.Length+c.SegmentSize-1) / uint64(c.SegmentSize)
}

// retransmits reports whether a segment of the end takes sequence space that it has used before.
func (e *FlowEnd) retransmits(c *TCPContext) bool {
	return e.known && c.space() > 0 && after(e.SendNext, c.Sequence)
}

// sent takes note of a segment that the end sends.
func (e *FlowEnd) sent(c *TCPContext, peer *FlowEnd) {
	e.Segments += c.segments()
	e.Bytes += uint64(c.Length)
	if c.Flags&TCPRst != 0 {
		return // its numbers may be anything
	}
	e.begin(c.Sequence)
	if end := c.Sequence + c.space(); after(end, e.SendNext) {
		e.SendNext = end
	}
	if !e.limited && c.SegmentSize > int(e.SegmentSize) {
		e.SegmentSize = uint16(c.SegmentSize)
	}
	if c.Flags&TCPFin != 0 {
		e.fin = true
	}
	if c.Flags&TCPSyn != 0 {
		e.syn, e.initial = true, c.Sequence
		peer.limited, peer.SegmentSize = true, c.Options.MSS
		if c.Options.MSS == 0 { // RFC 9293 section 3.7.1
			peer.SegmentSize = 536
			if e.Local.Addr().Is6() {
				peer.SegmentSize = 1220
			}
		}
	}
}

// acks returns how much of what the end has sent a segment newly acknowledges. What it has not sent nobody can
// acknowledge.
func (e *FlowEnd) acks(c *TCPContext) uint32 {
	if !e.known || c.Flags&TCPAck == 0 || c.Flags&TCPRst != 0 {
		return 0
	}
	if after(c.Acknowledgment, e.SendUnacknowledged) && !after(c.Acknowledgment, e.SendNext) {
		return c.Acknowledgment - e.SendUnacknowledged
	}
	return 0
}

// acked takes note of a segment that is sent to the end and newly acknowledges so much.
func (e *FlowEnd) acked(c *TCPContext, acked uint32) {
	if c.Flags&TCPAck == 0 || c.Flags&TCPRst != 0 {
		return
	}
	e.begin(c.Acknowledgment)
	e.SendUnacknowledged += acked
}

// opened reports whether the end's part of the handshake is over: its SYN was acknowledged.
func (e *FlowEnd) opened() bool { return e.MidStream || e.syn && e.SendUnacknowledged != e.initial }

// A FlowState says how far a flow has come.
type FlowState uint8

// The states of a flow.
const (
	FlowOpening FlowState = iota // the handshake is under way
	FlowOpen
	FlowClosing // both ends have sent a FIN
)

// String returns "opening", "open" or "closing".
func (s FlowState) String() string {
	switch s {
	case FlowOpening:
		return "opening"
	case FlowOpen:
		return "open"
	default:
		return "closing"
	}
}

// A Flow is a copy of what is known of a TCP connection.
type Flow struct {
	// Client is the end that began the connection. If that was not seen, it is the one with the higher port. The ends carry no
	// data of helpers.
	Client, Server FlowEnd
	State          FlowState
	Age            time.Duration // since the first segment
	Idle           time.Duration // since the last one
}

// Flows iterates over copies of the flows that the TCP points follow; they follow none while nothing is hooked on them. A flow
// ends by a RST, some time after both ends' FINs, by 5 minutes without a segment, and when the table ([Budget].Flows) is full, or
// its source, who sent the first segment, has an eighth of it, by being the oldest. Times are looked at when segments pass, and
// here. An eighth of the table is copied at a time; meanwhile workers with segments of these flows wait, some 100 ns for each flow.
// Called from a hook of a TCP point, or from a helper's New or Free, it yields nothing.
func (i *Instance) Flows() iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		table := i.tcp.table.Load()
		if table == nil || holdsFlows() {
			return
		}
		for k := range table.shards {
			var list []Flow
			now := i.now()
			table.shards[k].each(func(f *flow) { list = append(list, f.copy(now)) })
			for _, f := range list {
				if !yield(f) {
					return
				}
			}
		}
	}
}

// EachFlow calls f with the ends of every flow, while no point runs for that flow: the way to read what helpers keep on them
// (khelp.Get). f must be short, not keep what it is given, not call this package, and not wait for
// hooks. The error is hooks.ErrInHook where Flows yields nothing.
func (i *Instance) EachFlow(f func(client, server *FlowEnd)) error {
	if holdsFlows() {
		return opError("each flow", "", hooks.ErrInHook)
	}
	if table := i.tcp.table.Load(); table != nil {
		for k := range table.shards {
			table.shards[k].each(func(at *flow) { f(&at.ends[at.client], &at.ends[1-at.client]) })
		}
	}
	return nil
}

// FlushFlows ends all flows and destroys the data of helpers on them. Those that go on are made anew with their next segment,
// as mid-stream ones: with data of all helpers that are loaded then, so that a helper that was loaded under traffic gets to see
// the connections that are older than it is. The error is hooks.ErrInHook where Flows yields nothing.
func (i *Instance) FlushFlows() error {
	if holdsFlows() {
		return opError("flush flows", "", hooks.ErrInHook)
	}
	if table := i.tcp.table.Load(); table != nil {
		table.flush()
	}
	return nil
}

// UnloadHelper unloads a helper under traffic: it gives the helper no more objects, destroys its data on all flow ends, and
// unloads it. Flows and other helpers' data stay. Errors: those of khelp.Helper.Unload, khelp.ErrBusy if objects other than flow
// ends carry its data. Then the helper is drained for good, and Unload will do once they are gone. hooks.ErrInHook where Flows
// yields nothing, and inside any hook ([hooks.InHook]).
func (i *Instance) UnloadHelper(h *khelp.Helper) error {
	if inside.Places() != 0 { // whatever it is: flows held, or any hook
		return opError("unload helper", h.Name(), hooks.ErrInHook)
	}
	h.Drain()
	if table := i.tcp.table.Load(); table != nil {
		for k := range table.shards {
			table.shards[k].each(func(f *flow) {
				f.ends[0].Drop(h)
				f.ends[1].Drop(h)
			})
		}
	}
	return h.Unload()
}

// copy returns what is known of the flow.
func (f *flow) copy(now time.Duration) Flow {
	c := Flow{Client: f.ends[f.client], Server: f.ends[1-f.client], Age: max(0, now-f.created), Idle: max(0, now-f.seen)}
	c.Client.Object, c.Server.Object = khelp.Object{}, khelp.Object{}
	switch {
	case f.lingers:
		c.State = FlowClosing
	case c.Client.opened() && c.Server.opened():
		c.State = FlowOpen
	}
	return c
}

// flush removes all flows.
func (t *flowTable) flush() {
	for k := range t.shards {
		t.shards[k].flush()
	}
}

// holdsFlows reports whether the caller was called, however far up, with a shard's lock held.
func holdsFlows() bool { return inside.Places()&inside.Flows != 0 }
