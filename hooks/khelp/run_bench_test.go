// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp_test

import (
	"testing"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
)

// What a point costs with nothing hooked, and with a helper that has data on the object.
func BenchmarkRunIf(b *testing.B) {
	points := hhook.New(hhook.Config{})
	point, err := points.Register(hhook.TCP, 0, 0)
	wantNone(b, err)
	helpers := khelp.New(points, nil)
	f := &flow{}
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			point.RunIf(0, f, f)
		}
	})
	var log []string
	_, err = helpers.Load(counting("h", &log))
	wantNone(b, err)
	wantNone(b, helpers.Create(&f.Object, khelp.TCP))
	b.Run("helper", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			point.RunIf(0, f, f)
		}
	})
}
