// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net/netip"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
)

// What a hook drops and leaves is released once; a hook that has released it before is found out.
func TestCase091_DroppedPacketIsReleasedOnce(t *testing.T) {
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		t.Run(event.String(), func(t *testing.T) {
			bench := newBench(t, 0, 10, []netip.Addr{destination4(1)}, build(64))
			released := false
			if _, err := bench.inst.Register(packet.Inet, event, packet.Hook{Name: "dropper", Func: func(c *packet.Context) hooks.Verdict {
				if released {
					c.Packet.Release()
				}
				return hooks.Drop
			}}); err != nil {
				t.Fatal(err)
			}
			w := bench.inst.newWorker(0)
			defer w.visitors.leave()
			carry := func() *packet.Packet {
				p := packet.Get(64)
				if err := p.Fill(bench.gen.packets[0]); err != nil {
					t.Fatal(err)
				}
				w.ingress(bench.from, p)
				return p
			}

			w.keep = 4 // a reader's worker takes back what it may keep
			for range w.keep {
				p := carry()
				count := 0
				for _, kept := range w.free {
					if kept == p {
						count++
					}
				}
				if count != 1 {
					t.Errorf("the worker got the packet back %d times", count)
				}
			}
			w.releaseAll()

			w.keep = 0 // others release it
			if !invariant.Enabled {
				return // how often a packet is released is seen under the race detector, or with -tags=invariant
			}
			p := carry()
			if !panics(func() { p.Len() }) {
				t.Error("the packet was not released")
			}
			released = true
			if !panics(func() { carry() }) {
				t.Error("the packet was released twice and nobody noticed")
			}
		})
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
