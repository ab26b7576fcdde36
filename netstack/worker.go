// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"io"
	"net"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

const (
	// batchSize is the number of packets a worker takes from its queue at once.
	batchSize = 32
	// flushSize bounds the packets that wait for the end of the batch: one datagram may become many fragments.
	flushSize = 64
)

// A worker takes packets one at a time through the whole of their way. It belongs to one goroutine: a device queue's
// reader or the host stack's output. Everything it needs per packet is allocated once, here.
//
// Packet ownership: a stage that is given a packet gets rid of it in exactly one way: it passes it to the next stage,
// sends, delivers, drops, splits it, or a hook steals it.
type worker struct {
	inst   *Instance
	queue  int    // device queue that it reads; 0 if it reads none
	queues int    // of that device
	slot   uint32 // tells it from other workers where they count

	tcp      *tcpPoints // nil: it runs none
	segments *tcpWorker // nil until a TCP point is hooked

	visitors                   // of the hooks, from the first packet of a batch to its end
	ctx      packet.Context    // what hooks see; filled anew for each event
	origin   *hooks.Handle     // of the injected packet that is being carried: this hook is passed over
	sender   *datagramEndpoint // socket that sent the packet that is being carried, if it wants to know
	batch    [batchSize]*packet.Packet
	read     int              // how many of batch have been read and not all carried yet
	waiting  int              // packets that wait, up the stack, for what has been made of them, or for an error about them
	free     []*packet.Packet // finished packets, to read into again
	keep     int              // how many of them; a worker that does not read keeps none

	out      []*packet.Packet // sent at the end of the batch, in order
	outIface []*Interface     // out[n] leaves by outIface[n]
	shown    bool             // to the TCP points
	refusal  error            // the first of a device; for DirectOut, which clears it

	routes routeCache // lookup.go

	fragmenter packet.Fragmenter

	n localCounters
}

// newWorker makes a worker for a device's queue, or for something else, whose queue is 0.
func (i *Instance) newWorker(queue int) *worker {
	w := &worker{inst: i, queue: queue, slot: i.slots.Add(1), tcp: &i.tcp}
	w.visitors.init(&i.points, w.slot)
	w.ctx.Instance = i.id
	w.routes.init()
	return w
}

// readLoop carries packets from one device queue until the device is closed or gone.
func (w *worker) readLoop(in *Interface, from *link) {
	ended := false
	defer func() {
		if ended {
			w.releaseAll()
			return
		}
		defer from.goroutines.Go(func() { w.readLoop(in, from) })
		w.abandon()
		w.flush()
	}()
	w.queues, w.keep = from.queues, batchSize
	for {
		var err error
		if w.read == 0 {
			w.refill()
			w.read, err = from.read(w.queue, w.batch[:])
			w.n.received += uint64(w.read)
		}
		n, bytes := w.read, 0
		for k, p := range w.batch[:n] {
			if p == nil {
				continue // it has been carried
			}
			w.batch[k] = nil
			bytes += p.Len()
			w.ingress(in, p)
		}
		w.read = 0
		w.flush()
		in.stats.rxPackets.Add(uint64(n))
		in.stats.rxBytes.Add(uint64(bytes))
		if err != nil {
			ended = true
			in.lostDevice(from, err)
			return
		}
	}
}

// abandon is for a hook that ends the worker's goroutine (runtime.Goexit, as t.Fatal does): what it had in its hands is lost,
// and what that was made of, but no more. What it saw at a TCP point is about to be written.
func (w *worker) abandon() {
	if !w.shown {
		w.inst.stats.dropped(hooks.ReasonPanic)
	}
	for ; w.waiting > 0; w.waiting-- {
		w.inst.stats.dropped(hooks.ReasonPanic)
	}
}

// refill puts finished packets back into the batch for the device to read into.
func (w *worker) refill() {
	for k := range w.batch {
		if len(w.free) == 0 {
			return
		}
		if w.batch[k] == nil {
			last := len(w.free) - 1
			w.batch[k], w.free = w.free[last], w.free[:last]
		}
	}
}

// finish takes back a packet that nobody needs any more.
func (w *worker) finish(p *packet.Packet) {
	if len(w.free) < w.keep {
		w.free = append(w.free, p)
		return
	}
	p.Release()
}

// releaseAll gives the worker's packets back when its goroutine ends.
func (w *worker) releaseAll() {
	for _, p := range w.free {
		p.Release()
	}
	for _, p := range w.batch {
		if p != nil {
			p.Release()
		}
	}
	w.free, w.batch = nil, [batchSize]*packet.Packet{}
}

// drop ends a packet's way and counts why.
func (w *worker) drop(p *packet.Packet, reason hooks.Reason) {
	w.inst.stats.dropped(reason)
	w.finish(p)
}

// run lets the hooks of an event see a packet. It returns false when the packet is gone: dropped or stolen. A packet that
// a hook edited is parsed again.
func (w *worker) run(v *hooks.Visitor[*packet.Context], event packet.Event, p *packet.Packet, in, out uint32, flags packet.Flags) bool {
	c := &w.ctx
	c.Packet, c.In, c.Out, c.Flags, c.Family, c.Event = p, in, out, flags, p.Family(), event
	if verdict := v.RunExcept(c, w.origin); verdict != hooks.Accept {
		w.refused(p, verdict, event)
		return false
	}
	if p.Edited() {
		if reason := p.Parse(); reason != hooks.ReasonNone {
			w.drop(p, reason)
			return false
		}
	}
	return true
}

// refused carries out a verdict other than Accept. A drop on the way out is told to the socket that sent the
// packet.
func (w *worker) refused(p *packet.Packet, verdict hooks.Verdict, event packet.Event) {
	if verdict.Action() == hooks.Steal {
		w.n.stolen++
		return // the hook owns it now
	}
	if w.sender != nil && (event == packet.LoopbackOut || event == packet.PhysicalOut) {
		w.sender.refuse()
	}
	reason := verdict.Reason()
	if reason == hooks.ReasonNone {
		reason = packet.ReasonHook
	}
	w.drop(p, reason)
}

// mustSplit reports whether a superpacket has to be cut before an event because one of its hooks wants segments.
func mustSplit(v *hooks.Visitor[*packet.Context], p *packet.Packet) bool {
	return p.Offload.GSO != packet.GSONone && v.Flags()&hooks.FlagSegments != 0
}

// A stage is a place on the packet's way from which segments go on.
type stage uint8

const (
	atPhysicalIn stage = iota
	atForward
	atOutput
	atPhysicalOut
	atLoopbackOut
	atLoopbackIn
	atDeliver
	atSend
)

// split cuts a superpacket and lets each segment go on at a stage, with that stage's arguments. It returns why it could not,
// and has dropped the packet then.
func (w *worker) split(p *packet.Packet, at stage, iface *Interface, to *hop) hooks.Reason {
	// Its own: a hook may make a segment a superpacket, which is cut in its turn while this loop is under way.
	var segmenter packet.Segmenter
	if reason := segmenter.Init(p); reason != hooks.ReasonNone {
		w.drop(p, reason)
		return reason
	}
	w.waiting++
	for {
		s := packet.Get(wireLen(p))
		if !segmenter.Next(s) {
			s.Release()
			break
		}
		w.n.made++
		switch at {
		case atPhysicalIn:
			w.physicalIn(iface, s)
		case atForward:
			w.forward(iface, s, to)
		case atOutput:
			w.output(s, to)
		case atPhysicalOut:
			w.physicalOut(s, to)
		case atLoopbackOut:
			w.loopbackOut(s, to)
		case atLoopbackIn:
			w.loopbackIn(s, to)
		case atDeliver:
			w.deliver(s, iface)
		case atSend:
			w.send(s, iface)
		}
	}
	w.waiting--
	w.n.split++
	w.finish(p)
	return hooks.ReasonNone
}

// send queues a packet for its interface; it leaves at the end of the batch.
func (w *worker) send(p *packet.Packet, out *Interface) {
	if p.Offload.GSO != packet.GSONone && p.Offload.Needs()&^out.link.Load().features != 0 {
		w.split(p, atSend, out, nil) // a hook at PHYSICAL_OUT has made it a superpacket
		return
	}
	switch p.Offload.Checksum {
	case packet.ChecksumPartial:
		if out.link.Load().features&packet.FeatureChecksum == 0 {
			p.FillChecksum()
		}
	case packet.ChecksumAbsent: // from an address of the loopback interface to another host
		p.FillChecksum()
	}
	w.out = append(w.out, p)
	w.outIface = append(w.outIface, out)
	if len(w.out) >= flushSize {
		w.flush()
	}
}

// leave ends all visits to hooks.
func (w *worker) leave() {
	w.visitors.leave()
	w.segments.leave()
}

// flush ends a batch: it shows what waits to the TCP points, writes it, one call per run of packets for the same interface,
// leaves the hooks, whose removal waits for that, and publishes the counters.
func (w *worker) flush() {
	if len(w.out) > 0 && !w.shown && w.showsTCP() {
		w.shown = true // a hook that ends the goroutine sees it once
		w.show(toDevice, w.out...)
	}
	for first := 0; first < len(w.out); {
		out := w.outIface[first]
		last := first + 1
		for last < len(w.out) && w.outIface[last] == out {
			last++
		}
		w.write(out, w.out[first:last])
		first = last
	}
	for k, p := range w.out {
		w.finish(p)
		w.out[k], w.outIface[k] = nil, nil
	}
	w.out, w.outIface, w.shown = w.out[:0], w.outIface[:0], false
	w.leave()
	w.inst.stats.publish(&w.n)
}

// write hands packets to a device; what it refuses is counted as dropped.
func (w *worker) write(out *Interface, pkts []*packet.Packet) {
	sent, bytes, refused := 0, 0, 0
	to := out.link.Load()
	if !to.started.Load() || !out.state.Load().usable() {
		to = downLink
	}
	queue := w.outQueue(to)
	for len(pkts) > 0 {
		n, err := to.dev.Write(queue, pkts)
		n = min(max(n, 0), len(pkts)) // a bug in a device must not end the process
		for _, p := range pkts[:n] {
			bytes += p.Len()
		}
		sent += n
		pkts = pkts[n:]
		if len(pkts) == 0 {
			break
		}
		if err == nil {
			err = io.ErrShortWrite
		}
		if w.refusal == nil {
			w.refusal = err
		}
		w.inst.stats.dropped(writeReason(err))
		refused++
		pkts = pkts[1:]
	}
	w.n.sent += uint64(sent)
	out.stats.txPackets.Add(uint64(sent))
	out.stats.txBytes.Add(uint64(bytes))
	if refused > 0 {
		out.stats.txErrors.Add(uint64(refused))
	}
}

// outQueue returns which queue of a device this worker writes to. Linux hands over a flow by the queue that packets of its
// other direction were last written to, and before any was, by queue hash*queues/2^32 (tun_automq_select_queue and
// tun_flow_update in drivers/net/tun.c); the hash is the same for both directions and all devices. What devices of m and n queues
// both know of it is its share of gcd(m, n): the first queue of that share is where both directions of a flow meet, which
// with equal numbers is every queue. With a finer choice each side would take over the other's, and they would change places for ever.
func (w *worker) outQueue(to *link) int {
	if w.queue == 0 || w.queues == to.queues {
		return w.queue
	}
	shares, rest := w.queues, to.queues
	for rest != 0 {
		shares, rest = rest, shares%rest
	}
	return w.queue * shares / w.queues * (to.queues / shares)
}

// writeReason translates a device's refusal.
func writeReason(err error) hooks.Reason {
	switch {
	case errors.Is(err, tun.ErrFull):
		return packet.ReasonDeviceFull
	case errors.Is(err, tun.ErrDown), errors.Is(err, tun.ErrGone), errors.Is(err, net.ErrClosed):
		return packet.ReasonInterfaceDown
	default:
		return packet.ReasonDeviceWrite
	}
}
