// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/soaktest"
)

// What is never put together is given up after 30 s (IPv4, the choice of gVisor and of Linux; RFC 1122 section 3.3.2 would
// have 60 to 120 s) and 60 s (IPv6, RFC 8200 section 4.5), and the sender is told if the first fragment was there.
func TestSoakReassemblyTimeout(t *testing.T) {
	soaktest.Time(t, 0) // or skip: it takes as long as it takes
	testbed.Require(t, testbed.Root, testbed.TUN)
	for _, system := range systems {
		t.Run(system.name, func(t *testing.T) {
			t.Parallel()
			r := system.build(t, routerKinds[0])
			whole4 := ipv4(to4(testbed.Left4)) // UDP: gVisor says nothing about fragments of ICMP in IPv4
			later4, later6 := cut4(whole4, 21, 24)[1], cut6(whole6, 22, 24)[1]
			first4, first6 := cut4(whole4, 23, 24)[0], cut6(whole6, 24, 24)[0]
			c := conformance{in: [][]byte{later4, later6, first4, first6}}
			for _, p := range c.in {
				r.send(t, left, p)
			}
			began := time.Now()
			var got []string
			for {
				b, err := r.ends[left].Receive(5 * time.Second)
				if errors.Is(err, testbed.ErrNothing) && time.Since(began) < 80*time.Second && !strings.Contains(strings.Join(got, "\n"), " 4") {
					continue
				}
				if errors.Is(err, testbed.ErrNothing) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if !isGroupReport(b) {
					got = append(got, c.describe(received{left, b}))
					t.Logf("after %v: %s", time.Since(began), got[len(got)-1])
					if at := time.Since(began); strings.HasSuffix(got[len(got)-1], " 4") && (at < 58*time.Second || at > 75*time.Second) {
						t.Errorf("told after %v, want 60 s", at)
					}
				}
			}
			slices.Sort(got)
			usual := ""
			if r.instance != nil {
				usual = " TOS 0 TTL 64"
			}
			want := []string{"left: reassembly time exceeded quoting all" + usual + " 3", "left: reassembly time exceeded quoting all 4"}
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			r.settle(t)
		})
	}
}
