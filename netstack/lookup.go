// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"github.com/hooknet/hooknet/packet"
)

const (
	// fewAnswers is the size of a worker's caches as long as the table is small. It must be a power of two, as the others.
	fewAnswers = 16
	// largeTable is the number of rows of a family from which a lookup is worth a larger cache: 1 MiB and 768 KiB for a worker.
	largeTable   = 1024
	manyAnswers4 = 1 << 17
	manyAnswers6 = 1 << 15
	// An answer is in one of this many places, which share a cache line or two: a power of two.
	ways = 4
)

// A routeCache is what a worker remembers of the forwarding table: a set-associative cache of answers by destination.
// Entries hold the numbers of hops, not pointers: nothing that the table has lost is kept alive, and a collector has nothing
// to look through. Collisions cost a lookup in the table, so that the hash needs no secret.
type routeCache struct {
	version    uint64 // of the table that the valid answers are from
	generation uint16 // mark of the valid answers, never 0
	inet       []answer4
	inet6      []answer6
	shift4     uint8 // 32 less the bits of a place in inet
	shift6     uint8 // 64 less the bits of a place in inet6

	few4 [fewAnswers]answer4
	few6 [fewAnswers]answer6
}

type answer4 struct {
	destination     uint32
	generation, hop uint16
}

type answer6 struct {
	high, low       uint64
	generation, hop uint16
}

func (c *routeCache) init() {
	c.inet, c.inet6 = c.few4[:], c.few6[:]
	c.resized()
}

func (c *routeCache) resized() {
	c.shift4 = uint8(32 - bits.TrailingZeros(uint(len(c.inet))))
	c.shift6 = uint8(64 - bits.TrailingZeros(uint(len(c.inet6))))
}

// renew forgets all answers, for another table. It makes larger caches the first time that a table asks for it.
func (c *routeCache) renew(s *snapshot) {
	c.version = s.version
	c.generation++
	if c.generation == 0 { // marks from the last time round would be valid again
		clear(c.inet)
		clear(c.inet6)
		c.generation = 1
	}
	if len(c.inet) == fewAnswers && s.table.Size4() >= largeTable {
		c.inet = make([]answer4, manyAnswers4)
		c.resized()
	}
	if len(c.inet6) == fewAnswers && s.table.Size6() >= largeTable {
		c.inet6 = make([]answer6, manyAnswers6)
		c.resized()
	}
}

// Multipliers of Fibonacci hashing: 2^32 and 2^64 over the golden ratio.
const (
	golden32 = 0x9e3779b1
	golden64 = 0x9e3779b97f4a7c15
)

// lookup returns the hop for a destination, nil if there is no route. The answer is the current table's.
func (w *worker) lookup(dst netip.Addr) *hop {
	if dst.Is4() {
		b := dst.As4()
		return w.lookup4(binary.BigEndian.Uint32(b[:]))
	}
	b := dst.As16()
	return w.lookup6(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]))
}

// destination is lookup for a packet's destination.
func (w *worker) destination(p *packet.Packet) *hop {
	b := p.Bytes()
	if p.Family() == packet.Inet {
		return w.lookup4(binary.BigEndian.Uint32(b[16:]))
	}
	return w.lookup6(binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:]))
}

func (w *worker) lookup4(dst uint32) *hop {
	c, s := &w.routes, w.inst.fib.current.Load()
	if s.version != c.version {
		c.renew(s)
	}
	home := dst * golden32 >> c.shift4
	put := home
	for k := range uint32(ways) {
		at := home ^ k
		a := &c.inet[at]
		if a.generation != c.generation {
			put = at
			break // places are taken in this order
		}
		if a.destination == dst {
			return s.hops[a.hop]
		}
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], dst)
	h := s.lookup(netip.AddrFrom4(b))
	if id := h.cacheID(); id != noID {
		c.inet[put] = answer4{dst, c.generation, id}
	}
	return h
}

func (w *worker) lookup6(high, low uint64) *hop {
	c, s := &w.routes, w.inst.fib.current.Load()
	if s.version != c.version {
		c.renew(s)
	}
	home := (bits.RotateLeft64(high, 29) ^ low) * golden64 >> c.shift6
	put := home
	for k := range uint64(ways) {
		at := home ^ k
		a := &c.inet6[at]
		if a.generation != c.generation {
			put = at
			break
		}
		if a.low == low && a.high == high {
			return s.hops[a.hop]
		}
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], high)
	binary.BigEndian.PutUint64(b[8:], low)
	h := s.lookup(netip.AddrFrom16(b))
	if id := h.cacheID(); id != noID {
		c.inet6[put] = answer6{high, low, c.generation, id}
	}
	return h
}

// cacheID returns the number that stands for a hop in caches: 0 for nil, the answer that there is no route.
func (h *hop) cacheID() uint16 {
	if h == nil {
		return 0
	}
	return h.id
}
