// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package inside_test

import (
	"fmt"
	"testing"

	"github.com/hooknet/hooknet/internal/inside"
)

func init() {
	inside.Mark(inside.Hook, function, value.method, (*value).pointer, (*generic[int]).method, (*generic[int]).inlined)
	inside.Mark(inside.Flows, (*value).pointer)
}

type value struct{ _ int }

type generic[T any] struct{ _ T }

//go:noinline
func function(f func()) { f() }

//go:noinline
func (value) method(f func()) { f() }

//go:noinline
func (*value) pointer(f func()) { f() }

//go:noinline
func (*generic[T]) method(f func()) { f() }

func (*generic[T]) inlined(f func()) { f() }

//go:noinline
func unmarked(f func()) { f() }

func deep(n int, f func()) {
	if n > 0 {
		deep(n-1, f)
		return
	}
	f()
}

func TestPlaces(t *testing.T) {
	for name, test := range map[string]struct {
		call func(func())
		want inside.Place
	}{
		"unmarked":                  {unmarked, 0},
		"function":                  {function, inside.Hook},
		"method of a value":         {value{}.method, inside.Hook},
		"twice marked":              {new(value).pointer, inside.Hook | inside.Flows},
		"generic, as marked":        {new(generic[int]).method, inside.Hook},
		"generic, of its shape":     {new(generic[kind]).method, inside.Hook},
		"generic, of another shape": {func(f func()) { new(generic[struct{ a, b string }]).method(f) }, inside.Hook},
		"inlined":                   {func(f func()) { new(generic[string]).inlined(f) }, inside.Hook},
		"on another goroutine": {func(f func()) {
			function(func() {
				done := make(chan struct{})
				go func() { defer close(done); f() }()
				<-done
			})
		}, 0},
		"in a deferred call of a panic": {func(f func()) {
			defer func() { _ = recover() }()
			function(func() { defer f(); panic("x") })
		}, inside.Hook},
	} {
		for depth := range 140 { // more frames than are looked at at a time
			var got inside.Place
			test.call(func() { deep(depth, func() { got = inside.Places() }) })
			if got != test.want {
				t.Fatalf("%s, %d calls below: got %b, want %b", name, depth, got, test.want)
			}
		}
		if got := inside.Places(); got != 0 {
			t.Fatalf("after %s: got %b, want none", name, got)
		}
	}
}

type kind int

func BenchmarkPlaces(b *testing.B) {
	for _, depth := range []int{0, 16, 256} {
		b.Run(fmt.Sprint(depth), func(b *testing.B) {
			b.ReportAllocs()
			deep(depth, func() {
				for b.Loop() {
					inside.Places()
				}
			})
		})
	}
}
