// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

func benchEvent(b *testing.B, n int) *hooks.Event[*packet] {
	e := newEvent(b)
	for i := range n {
		register(b, e, hooks.Hook[*packet]{Name: fmt.Sprint(i), Func: func(*packet) hooks.Verdict { return hooks.Accept }})
	}
	return e
}

// batch is how many packets a worker takes at once, as in netstack.
const batch = 32

// BenchmarkEventRun runs an event as the packet path does: a visitor that
// leaves after each batch.
func BenchmarkEventRun(b *testing.B) {
	for _, n := range []int{0, 1, 8} {
		b.Run(fmt.Sprintf("hooks=%d", n), func(b *testing.B) {
			v, p := benchEvent(b, n).Visitor(0), &packet{}
			b.ReportAllocs()
			b.ResetTimer()
			for left := b.N; left > 0; left -= batch {
				for range min(left, batch) {
					if v.Run(p) != hooks.Accept {
						b.Fatal("not accepted")
					}
				}
				v.Leave()
			}
		})
	}
}

// BenchmarkEventRunAlone is a run that enters and leaves on its own.
func BenchmarkEventRunAlone(b *testing.B) {
	for _, n := range []int{0, 1, 8} {
		b.Run(fmt.Sprintf("hooks=%d", n), func(b *testing.B) {
			e := benchEvent(b, n)
			p := &packet{}
			b.ReportAllocs()
			for b.Loop() {
				if e.Run(0, p) != hooks.Accept {
					b.Fatal("not accepted")
				}
			}
		})
	}
}

func BenchmarkEventRunParallel(b *testing.B) {
	b.Run("hooks=1", func(b *testing.B) {
		e := benchEvent(b, 1)
		var worker atomic.Uint32
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			v, p := e.Visitor(worker.Add(1)), &packet{}
			for i := 0; pb.Next(); i++ {
				if v.Run(p) != hooks.Accept {
					panic("not accepted")
				}
				if i%batch == batch-1 {
					v.Leave()
				}
			}
			v.Leave()
		})
	})
}

// BenchmarkYardstick is what the figures above are to be compared with, as
// machines differ: a run alone with one hook takes two atomic adds and must not
// take more than five; one with eight hooks not more than twice the eight calls.
func BenchmarkYardstick(b *testing.B) {
	b.Run("loop", func(b *testing.B) {
		for b.Loop() {
		}
	})
	b.Run("atomic add", func(b *testing.B) {
		var n atomic.Uint64
		for b.Loop() {
			n.Add(1)
		}
	})
	b.Run("calls=8", func(b *testing.B) {
		calls := make([]func(*packet) hooks.Verdict, 8)
		for i := range calls {
			calls[i] = func(*packet) hooks.Verdict { return hooks.Accept }
		}
		p := &packet{}
		for b.Loop() {
			for _, call := range calls {
				if call(p) != hooks.Accept {
					b.Fatal("not accepted")
				}
			}
		}
	})
}

// BenchmarkRegister registers a hook and unregisters it, on an event with eight
// others that is not running.
func BenchmarkRegister(b *testing.B) {
	e := benchEvent(b, 8)
	b.ReportAllocs()
	for b.Loop() {
		unregister(b, register(b, e, marking("h")))
	}
}
