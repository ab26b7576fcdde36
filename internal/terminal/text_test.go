// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package terminal_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/terminal"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		terminal.Left("µs", 4): "µs  ", terminal.Right("µs", 4): "  µs", terminal.Left("long", 2): "long",
		terminal.Bar(1, 2, 4): "██", terminal.Bar(1, 16, 4): "▎", terminal.Bar(4, 4, 4): "████", terminal.Bar(0, 0, 4): "",
		terminal.Count(0, "round"): "0 rounds", terminal.Count(1, "round"): "1 round", terminal.Count(12, "round"): "12 rounds",
		terminal.Roughly(89 * time.Second): "89 s", terminal.Roughly(100 * time.Second): "2 min", terminal.Roughly(12 * time.Minute): "12 min",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string][]string{
		"":                        {""},
		"as it is":                {"as it is"},
		"just fits and goes on":   {"just fits", "and goes", "on"},
		" a   b\n\tc ":            {"a b c"},
		"µµµµ µµµµ µ":             {"µµµµ µµµµ", "µ"},
		"a wordlongerthanaline b": {"a", "wordlonger", "thanaline", "b"},
	} {
		if diff := cmp.Diff(want, terminal.Wrap(text, 10)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// Without colours nothing is painted; with them nothing is, too, where there is nothing.
func TestText(t *testing.T) {
	for colour, want := range map[bool]string{false: "  a 1\n\n", true: "  \x1b[31;1ma\x1b[0m 1\n\n"} {
		text := terminal.Text{Colour: colour}
		text.Line("  %s %d  ", text.Paint(terminal.Red+";"+terminal.Bold, "a"), 1)
		text.Line("%s", text.Paint(terminal.Dim, ""))
		if got := text.String(); got != want {
			t.Errorf("colour %v: %q, want %q", colour, got, want)
		}
	}
}
