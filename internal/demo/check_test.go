// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/packet"
)

// A check that fails is a result, and says what was expected and what was seen.
func TestCheck(t *testing.T) {
	stuck := func(ctx context.Context, _ packet.Family) (string, error) {
		<-ctx.Done()
		return "", errors.New("half of it")
	}
	r := &runner{report: &Report{}, progress: func(string) {}, patience: 20 * time.Millisecond}
	for _, trial := range []trial{
		{"good", "", packet.Inet6, "a and b", func(context.Context, packet.Family) (string, error) { return "a and b, 3 ms", nil }},
		{"bad", "", packet.Inet, "a and b", func(context.Context, packet.Family) (string, error) { return "", errors.New("only a") }},
		{"stuck", "", 0, "an end", stuck},
	} {
		if err := r.check(t.Context(), trial); err != nil {
			t.Fatal(err)
		}
	}
	r.report.Checks[2].Seconds = 0.02
	r.report.Checks[2].Seen = r.report.Checks[2].Seen[:len("nothing more after 0.0")]
	want := []Check{
		{Name: "good", Family: "inet6", OK: true, Expected: "a and b", Seen: "a and b, 3 ms"},
		{Name: "bad", Family: "inet", Expected: "a and b", Seen: "only a"},
		{Name: "stuck", Expected: "an end", Seen: "nothing more after 0.0", Seconds: 0.02},
	}
	if diff := cmp.Diff(want, r.report.Checks); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if failed := r.report.Failed(); failed != 2 {
		t.Errorf("%d failed, want 2", failed)
	}
	if r.patience != 10*time.Millisecond {
		t.Errorf("patience %v after something was stuck, want half of it", r.patience)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := r.check(ctx, trial{name: "never", try: stuck}); !errors.Is(err, cause) || len(r.report.Checks) != 3 {
		t.Errorf("interrupted: %v with %d checks, want the cause and no further check", err, len(r.report.Checks))
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(999): "999", count(1000): "1,000", count(1234567): "1,234,567",
		size(12): "12 bytes", size(1536): "1.5 KiB", size(1 << 20): "1 MiB", size(1782579200): "1.66 GiB",
		size(1<<20 - 1): "1 MiB", size(999 << 20): "999 MiB", size(1000 << 20): "0.977 GiB", size(2 << 40): "2 TiB",
		short(17 * time.Microsecond): "17 µs", short(4500 * time.Microsecond): "4.5 ms", short(2004 * time.Millisecond): "2.0 s",
		bitRate(123e6): "123 Mbit/s", bitRate(7.09e9): "7.09 Gbit/s",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
