// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// Stats says what became of the packets of an instance. Once traffic rests the books balance, which Balance checks:
//
//	Received + FromHost + Injected + Made = Sent + Delivered + Split + Stolen + Held + the sum of Drops
//
// A superpacket counts as one packet.
type Stats struct {
	Received  uint64 // read from devices
	FromHost  uint64 // sent by sockets and protocols of the host stack
	Injected  uint64 // given to QueueIn, QueueOut and DirectOut
	Made      uint64 // made by the forwarder: ICMP errors, fragments, segments
	Sent      uint64 // written to devices
	Delivered uint64 // handed to the host stack
	Split     uint64 // replaced by their fragments or segments
	Stolen    uint64 // kept by a hook
	Held      uint64 // waiting in a queue of the host stack's output or of injections, or just taken from it
	Forwarded uint64 // passed from one interface to another; part of Sent, Split or Drops as well

	NICEventsLost uint64 // NIC events that found their queue full, or the instance closing

	Drops map[string]uint64 // by reason (packet.ReasonName); reasons that never occurred are absent
}

// Balance returns an error if there are packets that came from nowhere or went nowhere. Under traffic that is no fault:
// workers count a batch of packets at its end.
func (s Stats) Balance() error {
	in := s.Received + s.FromHost + s.Injected + s.Made
	out := s.Sent + s.Delivered + s.Split + s.Stolen + s.Held
	for _, n := range s.Drops {
		out += n
	}
	if in != out {
		return fmt.Errorf("the books do not balance: %d packets in, %d out and held: %+v", in, out, s)
	}
	return nil
}

// localCounters are a worker's own, published at the end of each batch.
type localCounters struct {
	received, made, sent, delivered, split, stolen, forwarded uint64
}

// counters are an instance's, written by all its workers.
type counters struct {
	received, made, sent, delivered, split, stolen, forwarded atomic.Uint64

	direct atomic.Uint64 // injected past the queues, or refused before them

	drops      [packet.NumReasons]atomic.Uint64
	dropsOther atomic.Uint64 // reasons that hooks made up
}

// publish adds a worker's counters and clears them.
func (c *counters) publish(n *localCounters) {
	add := func(to *atomic.Uint64, n uint64) {
		if n != 0 {
			to.Add(n)
		}
	}
	add(&c.forwarded, n.forwarded) // first, and read last: who sees what became of packets sees that they were forwarded
	add(&c.received, n.received)
	add(&c.made, n.made)
	add(&c.sent, n.sent)
	add(&c.delivered, n.delivered)
	add(&c.split, n.split)
	add(&c.stolen, n.stolen)
	*n = localCounters{}
}

func (c *counters) dropped(reason hooks.Reason) {
	if int(reason) < len(c.drops) {
		c.drops[reason].Add(1)
		return
	}
	c.dropsOther.Add(1)
}

// Stats returns the instance's counters. It may be called at any time and stops no traffic; workers publish at the end
// of each batch.
func (i *Instance) Stats() Stats {
	c := &i.stats
	fromHost, heldOut := i.host.output.count()
	in, heldIn := i.injectIn.count()
	out, heldInjected := i.injectOut.count()
	s := Stats{
		Received:      c.received.Load(),
		FromHost:      fromHost,
		Injected:      c.direct.Load() + in + out,
		Held:          heldOut + heldIn + heldInjected,
		Made:          c.made.Load(),
		Sent:          c.sent.Load(),
		Delivered:     c.delivered.Load(),
		Split:         c.split.Load(),
		Stolen:        c.stolen.Load(),
		Forwarded:     c.forwarded.Load(),
		NICEventsLost: i.nicEvents.countLost(),

		Drops: make(map[string]uint64),
	}
	for reason := range c.drops {
		if n := c.drops[reason].Load(); n != 0 {
			s.Drops[packet.ReasonName(hooks.Reason(reason))] = n
		}
	}
	if n := c.dropsOther.Load(); n != 0 {
		s.Drops["hook_other"] = n
	}
	return s
}
