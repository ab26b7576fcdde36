// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// How many ICMP errors of one kind there may be: in all, and to one receiver, which is the source of the packet at fault. A
// receiver's share is a tenth: one who provokes errors, or is made to receive them by somebody who uses its address, takes
// that much and leaves the rest to the others.
var (
	icmpLimit       = tokens{interval: time.Second / 1000, burst: 200}
	icmpSourceLimit = tokens{interval: time.Second / 100, burst: 50}
)

// icmpBuckets is how many receivers are told apart, 8 bytes each. Those that share a bucket share its tokens; which ones do
// nobody outside can know. It must be a power of two.
const icmpBuckets = 1024

// An icmpLimiter bounds the errors of each kind, in all and to each receiver (RFC 1812 section 4.3.2.8, RFC 4443 section
// 2.4 (f)). Its memory is fixed, and made with the first error. Nothing but errors waits for its lock or reads its clock.
type icmpLimiter struct {
	seed  maphash.Seed
	clock func() time.Duration // since whenever; tests have their own

	mu        sync.Mutex
	kinds     [numICMPKinds]bucket // guarded by mu
	receivers []bucket             // guarded by mu; by hash of kind and address
}

func (l *icmpLimiter) init() {
	start := time.Now()
	l.seed = maphash.MakeSeed()
	l.clock = func() time.Duration { return time.Since(start) }
}

// allow reports whether an error may be sent, and counts it. Of IPv6 addresses the first 64 bits count: one host can have
// all of the others.
func (l *icmpLimiter) allow(kind icmpKind, receiver netip.Addr) bool {
	key := [9]byte{8: byte(kind)}
	if receiver.Is4() {
		a := receiver.As4()
		copy(key[:], a[:])
	} else {
		a := receiver.As16()
		copy(key[:8], a[:])
	}
	place := maphash.Bytes(l.seed, key[:]) % icmpBuckets
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.receivers == nil {
		l.receivers = make([]bucket, icmpBuckets)
	}
	all, one := &l.kinds[kind], &l.receivers[place]
	if !one.has(now, icmpSourceLimit) || !all.has(now, icmpLimit) {
		return false
	}
	one.take(now, icmpSourceLimit)
	all.take(now, icmpLimit)
	return true
}

// tokens says how a bucket fills: one token each interval, up to burst.
type tokens struct {
	interval time.Duration
	burst    int
}

// A bucket holds tokens, as the time at which it will be full again (the generic cell rate algorithm). The zero bucket is
// full.
type bucket time.Duration

func (b bucket) has(now time.Duration, t tokens) bool {
	return time.Duration(b)-now <= time.Duration(t.burst-1)*t.interval
}

func (b *bucket) take(now time.Duration, t tokens) {
	*b = bucket(max(time.Duration(*b), now) + t.interval)
}
