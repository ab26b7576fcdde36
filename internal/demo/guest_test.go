// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"testing"

	"github.com/hooknet/hooknet/packet"
)

// Only a whole life in the right order will do, of the right address.
func TestCheckLife(t *testing.T) {
	life := func(change func([]NICEvent) []NICEvent) []NICEvent {
		var events []NICEvent
		for _, typ := range aLife {
			e := NICEvent{Family: "inet6", Type: typ.String()}
			if typ == packet.NICLIFUp || typ == packet.NICLIFDown {
				e.LIF, e.Address = 1, guestSide.inet6
			}
			events = append(events, e)
		}
		return change(events)
	}
	for name, test := range map[string]struct {
		change func([]NICEvent) []NICEvent
		want   string
	}{
		"right": {func(e []NICEvent) []NICEvent { return e }, ""},
		"other family between": {func(e []NICEvent) []NICEvent {
			return slices.Insert(e, 1, NICEvent{Family: "inet", Type: "PLUMB"})
		}, ""},
		"nothing": {func([]NICEvent) []NICEvent { return nil }, "IPv6: "},
		"order": {func(e []NICEvent) []NICEvent {
			e[3], e[4] = e[4], e[3]
			return e
		}, "IPv6: PLUMB, UP, LIF_UP, DOWN, LIF_DOWN, UNPLUMB"},
		"end missing": {func(e []NICEvent) []NICEvent { return e[:5] }, "IPv6: PLUMB, UP, LIF_UP, LIF_DOWN, DOWN"},
		"other address": {func(e []NICEvent) []NICEvent {
			e[3].Address = guestHost.inet6
			return e
		}, "LIF_DOWN fd77:4::2/64"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := checkLife(life(test.change), packet.Inet6); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
