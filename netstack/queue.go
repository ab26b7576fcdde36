// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"sync"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// Bounds of each queue of an instance.
const (
	queuePackets = 1024
	queueBytes   = 16 << 20 // buffers count, not what is in them
)

// A queued packet waits to be carried on.
type queued struct {
	packet *packet.Packet
	iface  *Interface        // that it is to come by, or that the host stack chose
	origin *hooks.Handle     // hook that is passed over; nil: none
	sender *datagramEndpoint // socket that hears what hooks do with it; nil: none
}

// A queue is a bounded FIFO of packets and the goroutine that carries them on. Both take no memory until the first packet
// comes.
type queue struct {
	inst  *Instance
	full  hooks.Reason // of packets that find no room
	limit int          // how many packets may wait
	over  error        // why there may not be more
	carry func(w *worker, q queued)

	mu      sync.Mutex
	changed sync.Cond
	given   uint64        // guarded by mu; packets ever put, those refused too
	waiting []queued      // guarded by mu
	bytes   int           // guarded by mu; of the buffers of what waits
	taken   int           // guarded by mu; how many packets the goroutine has taken and not all carried yet
	rounds  uint64        // guarded by mu; how often the goroutine has carried what it took
	closed  bool          // guarded by mu
	done    chan struct{} // guarded by mu; nil until the first packet, closed when the goroutine has ended
}

func newQueue(i *Instance, full hooks.Reason, carry func(*worker, queued)) *queue {
	q := &queue{inst: i, full: full, limit: queuePackets, over: ErrQueueFull, carry: carry}
	q.changed.L = &q.mu
	return q
}

// setBudget limits how many packets may wait; 0 leaves it at queuePackets. For a queue that is not in use yet.
func (q *queue) setBudget(limit int) {
	if limit != 0 {
		q.limit = limit
		q.over = fmt.Errorf("%w: %w", ErrQueueFull, &BudgetError{Budget: "queued injections", Limit: limit})
	}
}

// put adds a packet and takes it over, also on an error, which is ErrQueueFull (with ErrBudget, if a budget was set) or
// ErrClosed: then it counts as dropped. put does not block.
func (q *queue) put(e queued) error {
	if p := e.packet; p.Oversized() { // as what a device has read
		e.packet = p.Clone()
		p.Release()
	}
	q.mu.Lock()
	q.given++
	var err error
	reason := q.full
	switch {
	case q.closed:
		err, reason = ErrClosed, packet.ReasonClosing
	case len(q.waiting) >= q.limit:
		err = q.over
	case q.bytes+e.packet.Room() > queueBytes:
		err = ErrQueueFull
	default:
		q.waiting = append(q.waiting, e)
		q.bytes += e.packet.Room()
		if q.done == nil {
			q.done = make(chan struct{})
			go q.run(q.inst.newWorker(0), q.done) // ends with close
		}
	}
	q.mu.Unlock()
	if err != nil {
		q.inst.stats.dropped(reason)
		e.packet.Release()
		return err
	}
	q.changed.Broadcast()
	return nil
}

// run carries packets on until the queue is closed.
func (q *queue) run(w *worker, done chan struct{}) {
	var batch []queued
	ended := false
	defer func() {
		if ended {
			close(done)
			return
		}
		w.abandon() // a hook has ended the goroutine
		for _, e := range batch {
			if e.packet != nil {
				w.drop(e.packet, hooks.ReasonPanic)
			}
		}
		go q.run(w, done) // ends with close
	}()
	for {
		w.flush()
		q.carried()
		if !q.take(&batch) {
			ended = true
			return
		}
		for k, e := range batch {
			batch[k] = queued{}
			w.origin, w.sender = e.origin, e.sender
			q.carry(w, e)
		}
	}
}

// carried says that what take gave, if anything, has been carried on.
func (q *queue) carried() {
	q.mu.Lock()
	if q.taken > 0 {
		q.taken = 0
		q.rounds++
	}
	q.mu.Unlock()
	q.changed.Broadcast()
}

// take waits for packets and swaps all of them for the empty batch. It returns false when the queue is closed.
func (q *queue) take(batch *[]queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.changed.Wait()
	}
	*batch, q.waiting = q.waiting, (*batch)[:0]
	q.bytes = 0
	q.taken = len(*batch) // 0 if closed
	return !q.closed
}

// drain waits until everything queued so far has been carried on, but not longer than limit; 0 is without. What is queued
// meanwhile it does not wait for.
func (q *queue) drain(limit time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	expired := false
	if limit != 0 {
		timer := time.AfterFunc(limit, func() {
			q.mu.Lock()
			expired = true
			q.mu.Unlock()
			q.changed.Broadcast()
		})
		defer timer.Stop()
	}
	until := q.rounds
	if len(q.waiting) > 0 {
		until++
	}
	if q.taken > 0 {
		until++
	}
	for q.rounds < until && !expired && !q.closed {
		q.changed.Wait()
	}
}

// count returns how many packets were ever put, and how many of them have not been carried on.
func (q *queue) count() (given, held uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.given, uint64(len(q.waiting) + q.taken)
}

// close ends the goroutine and drops what waits; nothing is taken from then on. It returns when the goroutine has ended.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	left, done := q.waiting, q.done
	q.waiting = nil
	q.mu.Unlock()
	q.changed.Broadcast()
	if done != nil {
		<-done
	}
	for _, e := range left {
		q.inst.stats.dropped(packet.ReasonClosing)
		e.packet.Release()
	}
}
