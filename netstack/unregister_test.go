// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// Hooks come and go on all three events while packets pass: none of the packets is lost, none is seen twice at the far end,
// and no hook runs after Unregister has returned.
func TestUnregisterUnderLoad(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	const packets, inFlight = 20_000, 1000 // fewer than the devices hold
	stop := make(chan struct{})
	var changes sync.WaitGroup
	var changed atomic.Uint64
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		changes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var gone atomic.Bool
				h, err := r.Register(packet.Inet, event, packet.Hook{Name: "passing", Func: func(*packet.Context) hooks.Verdict {
					if gone.Load() {
						t.Errorf("%v: the hook runs after it was removed", event)
					}
					return hooks.Accept
				}})
				if err == nil {
					err = h.Unregister()
				}
				if err != nil {
					t.Error(err)
					return
				}
				gone.Store(true)
				changed.Add(1)
			}
		})
	}
	seen := make([]bool, packets)
	receive := func() {
		p := r.right.receive()
		n := int(p.Transport()[8])<<8 | int(p.Transport()[9])
		if n >= packets || seen[n] {
			t.Fatalf("packet %d comes twice, or was never sent", n)
		}
		seen[n] = true
		p.Release()
	}
	for n := range packets {
		if n >= inFlight {
			receive()
		}
		r.left.send(udp(t, left4, right4, 64, []byte{byte(n >> 8), byte(n)}))
	}
	for range inFlight {
		receive()
	}
	close(stop)
	changes.Wait()
	r.right.none()
	if s := r.settled(packets); s.Sent != packets || len(s.Drops) != 0 {
		t.Errorf("sent %d of %d: %+v", s.Sent, packets, s)
	}
	t.Logf("%d hooks came and went", changed.Load())
}
