// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"net"
	"sync"

	"github.com/hooknet/hooknet/packet"
)

// DefaultPairQueueLen is how many packets a direction of a pair holds by default.
const DefaultPairQueueLen = 512

// pairFirstRing is the length of a ring when its first packet comes.
const pairFirstRing = 8

// A direction keeps up to maxSpares packets that its reader gave back, for its writer,
// while there is traffic: cheaper than a turn through the pool. Only those of an
// ordinary MTU's size, at most spareRoom bytes.
const (
	maxSpares = 64
	spareRoom = 2048
)

// PairConfig describes a pair of devices. The zero value works.
type PairConfig struct {
	// Names are the names of the two ends. Empty ones are "left" and "right".
	Names [2]string

	// Features is what both ends accept. The default is nothing: whole packets with
	// complete checksums. With offload features, superpackets and partial checksums
	// pass from end to end unchanged.
	Features packet.Features

	// QueueLen is how many packets wait in each direction before the next is refused
	// with ErrFull. 0 means DefaultPairQueueLen. A direction keeps memory for its
	// packets only while they wait.
	QueueLen int
}

// Pair returns two devices joined in memory: what is written to one is read from the
// other, in order. Packets are copied. Each end has one queue.
//
// An end behaves as one end of a veth pair does: closing it takes the other one with
// it, whose Write then returns ErrGone, and whose Read does so once what was already
// on the way has been read.
func Pair(cfg PairConfig) (Device, Device) {
	names := cfg.Names
	if names[0] == "" {
		names[0] = "left"
	}
	if names[1] == "" {
		names[1] = "right"
	}
	limit := cfg.QueueLen
	if limit <= 0 {
		limit = DefaultPairQueueLen
	}
	pair := &struct {
		lanes [2]lane
		ends  [2]pairEnd
	}{}
	for i := range pair.ends {
		pair.lanes[i].limit = limit
		pair.lanes[i].arrived.L = &pair.lanes[i].mu
		pair.ends[i] = pairEnd{
			name:     names[i],
			features: cfg.Features,
			in:       &pair.lanes[i],
			out:      &pair.lanes[1-i],
		}
	}
	return &pair.ends[0], &pair.ends[1]
}

// pairEnd is one end of a pair. It reads from in and writes to out.
type pairEnd struct {
	name     string
	features packet.Features
	in, out  *lane
}

var _ Device = (*pairEnd)(nil)

func (e *pairEnd) Name() string              { return e.name }
func (e *pairEnd) Features() packet.Features { return e.features }
func (e *pairEnd) Queues() int               { return 1 }
func (e *pairEnd) String() string            { return e.name + ": memory pair" }

func (e *pairEnd) Read(_ int, pkts []*packet.Packet) (int, error) { return e.in.read(pkts) }

func (e *pairEnd) Write(_ int, pkts []*packet.Packet) (int, error) {
	return e.out.write(pkts, e.features)
}

// Close closes the end and, as far as new packets are concerned, the pair.
func (e *pairEnd) Close() error {
	e.in.closeReader()
	e.out.closeWriter()
	return nil
}

// lane is one direction of a pair: a ring of packets, grown on demand up to limit.
type lane struct {
	mu      sync.Mutex
	arrived sync.Cond // of mu; signalled when a packet or an end comes

	// Under mu:
	ring         []*packet.Packet // a ring; the count packets from head on are waiting
	head, count  int
	spares       []*packet.Packet
	limit        int
	readerClosed bool
	writerClosed bool
}

func (l *lane) read(pkts []*packet.Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, errNoEntries
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count == 0 || l.readerClosed {
		switch {
		case l.readerClosed:
			return 0, net.ErrClosed
		case l.writerClosed:
			return 0, ErrGone
		}
		l.releaseSparesLocked() // the traffic has paused
		l.arrived.Wait()
	}
	n, bytes := 0, 0
	for n < len(pkts) && l.count > 0 && bytes < batchBytes {
		// The packet on the ring is a copy made for the reader alone: handing it over
		// spares a second copy.
		if old := pkts[n]; old != nil {
			l.recycleLocked(old)
		}
		pkts[n] = l.popLocked()
		bytes += pkts[n].Len()
		n++
	}
	return n, nil
}

func (l *lane) write(pkts []*packet.Packet, features packet.Features) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.writeLocked(pkts, features)
	if n > 0 {
		l.arrived.Signal()
	}
	return n, err
}

func (l *lane) writeLocked(pkts []*packet.Packet, features packet.Features) (int, error) {
	for i, p := range pkts {
		switch {
		case l.writerClosed:
			return i, net.ErrClosed
		case l.readerClosed:
			return i, ErrGone
		case !acceptable(p, features):
			return i, ErrRefused
		case l.count == l.limit:
			return i, ErrFull
		}
		q := l.emptyLocked(p.Len())
		if err := q.Fill(p.Bytes()); err != nil { // cannot be: p is a packet, so it fits
			q.Release()
			return i, ErrRefused
		}
		q.Offload = p.Offload
		l.pushLocked(q)
	}
	return len(pkts), nil
}

func (l *lane) closeReader() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readerClosed = true
	for l.count > 0 {
		l.popLocked().Release()
	}
	l.ring = nil
	l.releaseSparesLocked()
	l.arrived.Broadcast()
}

func (l *lane) closeWriter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writerClosed = true
	l.arrived.Broadcast()
}

func (l *lane) popLocked() *packet.Packet {
	p := l.ring[l.head]
	l.ring[l.head] = nil
	l.head++
	if l.head == len(l.ring) {
		l.head = 0
	}
	l.count--
	return p
}

func (l *lane) pushLocked(p *packet.Packet) {
	if l.count == len(l.ring) {
		l.growLocked()
	}
	i := l.head + l.count
	if i >= len(l.ring) {
		i -= len(l.ring)
	}
	l.ring[i] = p
	l.count++
}

// growLocked makes room for at least one more packet; the caller has checked limit.
func (l *lane) growLocked() {
	ring := make([]*packet.Packet, min(max(2*len(l.ring), pairFirstRing), l.limit))
	n := copy(ring, l.ring[l.head:])
	copy(ring[n:], l.ring[:l.head])
	l.ring, l.head = ring, 0
}

// emptyLocked returns a packet to fill with n bytes.
func (l *lane) emptyLocked(n int) *packet.Packet {
	last := len(l.spares) - 1
	if last < 0 || n > l.spares[last].Room() {
		return packet.Get(n)
	}
	p := l.spares[last]
	l.spares = l.spares[:last]
	return p
}

// recycleLocked takes a packet back from the reader.
func (l *lane) recycleLocked(p *packet.Packet) {
	if len(l.spares) == maxSpares || p.Room() > spareRoom {
		p.Release()
		return
	}
	l.spares = append(l.spares, p)
}

func (l *lane) releaseSparesLocked() {
	for _, p := range l.spares {
		p.Release()
	}
	clear(l.spares)
	l.spares = l.spares[:0]
}
