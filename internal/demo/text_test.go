// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/demo"
	"github.com/hooknet/hooknet/internal/goldentest"
)

// sample is a report with all that a run gives.
func sample() *demo.Report {
	r := &demo.Report{
		OK:     true,
		System: "linux/amd64, go1.26.8",
		Topology: demo.Topology{
			Instance: "router",
			Interfaces: []demo.Interface{
				{Name: "red", Device: "tun0: linux driver, queues: 1, offload: checksum tso4 tso6 uso", MTU: 1500},
				{Name: "blue", Device: "tun0: linux driver, queues: 1, offload: checksum tso4 tso6 uso", MTU: 1500},
			},
			Service: []netip.Addr{netip.MustParseAddr("10.77.9.9"), netip.MustParseAddr("fd77:9::9")},
		},
		Checks: []demo.Check{
			{Name: "ping", Family: "inet", OK: true, Expected: "5 of 5 echoes from 10.77.2.2", Seen: "5 of 5 echoes from 10.77.2.2, 17 µs at best"},
			{Name: "ping", Family: "inet6", OK: true, Expected: "5 of 5 echoes from fd77:2::2", Seen: "5 of 5 echoes from fd77:2::2, 17 µs at best"},
			{Name: "books", OK: true, Expected: "every packet accounted for", Seen: "in 1,033,884 = out 1,033,730 + kept 150 + dropped 4"},
		},
		Flows: []demo.Flow{
			{From: netip.MustParseAddrPort("10.77.1.2:41232"), To: netip.MustParseAddrPort("10.77.1.1:80"), Bytes: 90, RTT: 40e-6, MinRTT: 40e-6, MaxRTT: 40e-6},
			{From: netip.MustParseAddrPort("10.77.1.1:80"), To: netip.MustParseAddrPort("10.77.1.2:41232"), Terminated: true, Bytes: 262300, RTT: 70e-6, MinRTT: 50e-6, MaxRTT: 70e-6},
			{From: netip.MustParseAddrPort("10.77.1.2:41234"), To: netip.MustParseAddrPort("10.77.2.2:5001"), Bytes: 1782579200, RTT: 500e-6, MinRTT: 25e-6, MaxRTT: 12.3e-3},
			{From: netip.MustParseAddrPort("[fd77:1::1]:65000"), To: netip.MustParseAddrPort("[fd77:1::2]:65000"), Terminated: true, Bytes: 1<<30 - 1, RTT: 999.9e-3, MinRTT: 999.9e-3, MaxRTT: 12.34},
		},
		NICEvents:       nicEvents(),
		Drops:           map[string]uint64{"hook": 2, "ttl_expired": 2, "device_full": 1234567},
		Packets:         demo.Packets{Received: 33719, Bytes: 1782579200, Largest: 65212},
		Processors:      2,
		ThroughputBPS:   7.09e9,
		DirectBPS:       12.04e9,
		TransferSeconds: 2,
		Seconds:         4.104,
	}
	for _, family := range []string{"inet", "inet6"} {
		for k, event := range []string{"PHYSICAL_IN", "FORWARDING", "PHYSICAL_OUT", "LOOPBACK_OUT", "LOOPBACK_IN"} {
			add := func(position int, hook string, does string) {
				r.Hooks = append(r.Hooks, demo.Hook{
					Instance: "router", Family: family, Event: event, Hook: hook, Position: position,
					Hits: uint64(1000000 >> (4 * k)), Does: does,
				})
			}
			add(1, "count", "counts every packet")
			switch event {
			case "PHYSICAL_IN":
				add(2, "service", "service:80 → blue:8080")
			case "FORWARDING":
				add(2, "firewall", "drops port 23")
			case "PHYSICAL_OUT":
				add(2, "service-reply", "blue:8080 → service:80")
			}
		}
	}
	return r
}

// nicEvents are those of an interface that came and went.
func nicEvents() []demo.NICEvent {
	var events []demo.NICEvent
	add := func(types ...string) {
		for k, family := range []string{"inet", "inet6"} {
			for _, typ := range types {
				e := demo.NICEvent{Instance: "router", Family: family, Type: typ, Interface: "guest"}
				if strings.HasPrefix(typ, "LIF_") {
					e.LIF, e.Address = 1, netip.MustParsePrefix([]string{"10.77.4.1/24", "fd77:4::1/64"}[k])
				}
				events = append(events, e)
			}
		}
	}
	add("PLUMB")
	add("UP", "LIF_UP")
	add("LIF_DOWN", "DOWN")
	add("UNPLUMB")
	return events
}

// failing is a report of a bad day: checks failed, and what they saw is long.
func failing() *demo.Report {
	r := sample()
	r.OK = false
	r.Checks[1] = demo.Check{
		Name: "ping", Family: "inet6", Expected: "5 of 5 echoes from fd77:2::2",
		Seen: "nothing more after 10 s (0 of 5 echoes, then: read ip ::->fd77:2::2: i/o timeout)",
	}
	r.Checks[2] = demo.Check{Name: "books", Expected: "every packet accounted for", Seen: strings.Repeat("x", 200)}
	r.NICEvents, r.Drops, r.Flows = nil, nil, nil
	r.ThroughputBPS, r.DirectBPS, r.Packets = 0, 0, demo.Packets{}
	return r
}

func textOf(t *testing.T, r *demo.Report, colour bool) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b, colour); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	for name, r := range map[string]*demo.Report{"passed": sample(), "failed": failing()} {
		t.Run(name, func(t *testing.T) {
			got := textOf(t, r, false)
			for _, line := range strings.Split(got, "\n") {
				if n := utf8.RuneCountInString(line); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
				if strings.HasSuffix(line, " ") {
					t.Errorf("space at the end of %q", line)
				}
			}
			goldentest.Check(t, filepath.Join("testdata", name+".txt"), got)
		})
	}
}

// Colours change nothing but colours.
func TestTextInColour(t *testing.T) {
	for _, r := range []*demo.Report{sample(), failing()} {
		coloured := textOf(t, r, true)
		sgr := regexp.MustCompile("\x1b\\[[0-9;]*m")
		if !sgr.MatchString(coloured) {
			t.Error("no colours")
		}
		plain := sgr.ReplaceAllString(coloured, "")
		plain = regexp.MustCompile(" +\n").ReplaceAllString(plain, "\n") // spaces inside colours
		if diff := cmp.Diff(textOf(t, r, false), plain); diff != "" {
			t.Errorf("plain, and coloured without colours:\n%s", diff)
		}
	}
}

// Programs that read a report find lists where there are lists, if only of nothing.
func TestNoReport(t *testing.T) {
	got, err := json.Marshal(demo.NoReport(errors.New("no network")))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got); !strings.Contains(text, `"ok":false,"error":"no network"`) || strings.Contains(text, "null") {
		t.Errorf("%s: want why, and nothing that is null", text)
	}
}
