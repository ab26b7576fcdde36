// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hooknet/hooknet/packet"
)

// newLimiter returns a limiter whose clock stands still until the test moves it.
func newLimiter() (l *icmpLimiter, now *time.Duration) {
	l, now = new(icmpLimiter), new(time.Duration)
	l.init()
	l.clock = func() time.Duration { return *now }
	return l, now
}

// allowed asks n times and returns how often the answer was yes.
func allowed(l *icmpLimiter, n int, kind icmpKind, receiver netip.Addr) (yes int) {
	for range n {
		if l.allow(kind, receiver) {
			yes++
		}
	}
	return yes
}

// RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f): a burst at once, then a rate, for each receiver and kind on its own.
func TestRFC1812_4_3_2_8_RateOfErrors(t *testing.T) {
	l, now := newLimiter()
	one := netip.MustParseAddr("192.0.2.1")
	if n := allowed(l, 1000, icmpTooBig, one); n != 50 {
		t.Errorf("at once: %d", n)
	}
	if n := allowed(l, 1000, icmpTimeExceeded, one); n != 50 {
		t.Errorf("of another kind: %d", n)
	}
	for range 10 {
		*now += time.Second / 10
		if n := allowed(l, 100, icmpTooBig, one); n != 10 {
			t.Errorf("in a tenth of a second: %d", n)
		}
	}
	*now += time.Hour
	if n := allowed(l, 1000, icmpTooBig, one); n != 50 {
		t.Errorf("after an hour: %d", n)
	}
}

// All receivers together have a rate, too: who can use any source address gets no more than that.
func TestRateOfErrorsToAll(t *testing.T) {
	l, now := newLimiter()
	flood := func() (n int) {
		for k := range 10000 {
			n += allowed(l, 1, icmpNoRoute, destination4(k))
		}
		return n
	}
	if n := flood(); n != 200 {
		t.Errorf("at once: %d", n)
	}
	*now += time.Second / 10
	if n := flood(); n != 100 {
		t.Errorf("in a tenth of a second: %d", n)
	}
}

// One who floods does not use up what others may get. An IPv6 host that changes its address within its subnet is one.
func TestRFC4443_2_4_f_OneReceiverDoesNotStarveOthers(t *testing.T) {
	for name, flooder := range map[string]func(int) netip.Addr{
		"IPv4":            func(int) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		"IPv6 in one /64": func(k int) netip.Addr { return netip.AddrFrom16([16]byte{0x20, 1, 14: byte(k >> 8), 15: byte(k)}) },
	} {
		t.Run(name, func(t *testing.T) {
			l, now := newLimiter()
			starved := 0
			for step := range 100 {
				*now += 10 * time.Millisecond
				for k := range 1000 {
					l.allow(icmpTimeExceeded, flooder(k))
				}
				if !l.allow(icmpTimeExceeded, destination4(step)) || !l.allow(icmpTimeExceeded, destination6(step)) {
					starved++
				}
			}
			if starved > 3 { // a few may share its bucket: 1 in 1024
				t.Errorf("%d of 100 got no error", starved)
			}
		})
	}
}

// The limiter allocates its memory once.
func TestLimiterDoesNotAllocate(t *testing.T) {
	l, now := newLimiter()
	l.allow(icmpTooBig, destination6(0))
	k := 0
	if n := testing.AllocsPerRun(1000, func() {
		k++
		*now += time.Millisecond
		l.allow(icmpTooBig, destination6(k))
		l.allow(icmpTooBig, destination4(k))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is injected in the name of others is limited as what comes from them; what our own sockets send is not: they have
// to know, and flood nobody.
func TestRateOfErrorsAboutWhatWeSend(t *testing.T) {
	inst, w := newTable(t)
	inst.icmp.clock = func() time.Duration { return 0 }
	from, _ := inst.Interface("from")
	to, _ := inst.Interface("to")
	for f, a := range map[*Interface]string{from: "10.0.1.1/24", to: "10.0.9.1/24"} {
		if err := f.AddAddress(netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	for src, want := range map[string]uint64{"10.0.1.2": 50, "10.0.9.1": 300} {
		before := inst.stats.made.Load()
		for range 300 {
			b := buildUDP(netip.MustParseAddr("192.0.2.1"), 64) // there is no route
			copy(b[12:], netip.MustParseAddr(src).AsSlice())
			headerChecksum(b)
			p := packet.Get(len(b))
			if err := p.Fill(b); err != nil {
				t.Fatal(err)
			}
			w.originate(p, nil)
			w.flush()
		}
		if made := inst.stats.made.Load() - before; made != want {
			t.Errorf("from %s: %d errors, want %d", src, made, want)
		}
	}
}

// BenchmarkErrorHeldBack is what a packet costs whose error the limits hold back, as of a flood with a TTL of 1.
func BenchmarkErrorHeldBack(b *testing.B) {
	for family, ttl := range map[int]int{4: 8, 6: 7} {
		b.Run(fmt.Sprintf("family=%d", family), func(b *testing.B) {
			r := newBench(b, 0, 1000, destinationsOf(family, 1, 1000), build(64))
			p := r.gen.packets[0]
			p[ttl] = 1
			if family == 4 {
				headerChecksum(p)
			}
			r.run(1000)
			b.ReportAllocs()
			b.ResetTimer()
			r.run(b.N)
			b.StopTimer()
			if s := r.inst.Stats(); s.Drops["ttl_expired"] != uint64(b.N+1000) {
				b.Errorf("stats: %+v", s)
			}
		})
	}
}
