// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/demo"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/leaktest"
)

// needNetwork skips the test where there are no namespaces and TUN devices to be had.
func needNetwork(t *testing.T) {
	t.Helper()
	hostnettest.Namespace(t)
	file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		hostnettest.Missing(t, "/dev/net/tun", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	needNetwork(t)
	before := held()
	var steps []string
	r, err := demo.Run(t.Context(), demo.Config{
		Transfer: 200 * time.Millisecond,
		Progress: func(step string) { steps = append(steps, step) },
	})
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, before)

	for _, c := range r.Checks {
		if !c.OK || c.Seen == "" || c.Expected == "" {
			t.Errorf("check: %+v", c)
		}
	}
	if !r.OK || r.ThroughputBPS <= 0 || r.DirectBPS <= 0 || r.Seconds <= 0 {
		t.Errorf("ok %v, %v bit/s, direct %v bit/s, %v s", r.OK, r.ThroughputBPS, r.DirectBPS, r.Seconds)
	}
	if want := len(r.Checks) + 2; len(steps) != want { // before and after
		t.Errorf("%d steps of progress, want %d: %q", len(steps), want, steps)
	}
	for _, family := range []string{"inet", "inet6"} {
		want := []string{
			"PHYSICAL_IN 1 count", "PHYSICAL_IN 2 service",
			"FORWARDING 1 count", "FORWARDING 2 firewall",
			"PHYSICAL_OUT 1 count", "PHYSICAL_OUT 2 service-reply",
			"LOOPBACK_OUT 1 count", "LOOPBACK_IN 1 count",
		}
		var got []string
		for _, h := range r.Hooks {
			if h.Family == family {
				got = append(got, fmt.Sprintf("%s %d %s", h.Event, h.Position, h.Hook))
			}
			if h.Hits == 0 || h.Instance != "router" {
				t.Errorf("hook: %+v", h)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("hooks of %s (-want +got):\n%s", family, diff)
		}
	}
	lives := make(map[string][]string)
	for _, e := range r.NICEvents {
		if about := strings.HasPrefix(e.Type, "LIF_"); e.Instance != "router" || e.Interface != "guest" ||
			(e.LIF != 0) != about || e.Address.IsValid() != about {
			t.Errorf("NIC event: %+v", e)
		}
		lives[e.Family] = append(lives[e.Family], e.Type)
	}
	life := []string{"PLUMB", "UP", "LIF_UP", "LIF_DOWN", "DOWN", "UNPLUMB"}
	if diff := cmp.Diff(map[string][]string{"inet": life, "inet6": life}, lives); diff != "" {
		t.Errorf("NIC events by family (-want +got):\n%s", diff)
	}
	transfer := 0
	for _, f := range r.Flows {
		if f.RTT <= 0 || f.MinRTT <= 0 || f.MinRTT > f.MaxRTT || f.RTT > f.MaxRTT || f.Bytes == 0 {
			t.Errorf("flow: %+v", f)
		}
		if f.To.Addr() == netip.MustParseAddr("10.77.2.2") && !f.Terminated {
			transfer++
		}
	}
	if transfer != 1 {
		t.Errorf("%d round-trip times of the transfer, want 1: %+v", transfer, r.Flows)
	}
	// One SYN and one packet with TTL 1 of each family. The SYN may have been sent again.
	if r.Drops["hook"] < 2 || r.Drops["ttl_expired"] != 2 {
		t.Errorf("drops %v", r.Drops)
	}
	for _, line := range strings.Split(textOf(t, r, false), "\n") {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// The names in the JSON form are an interface.
func TestJSON(t *testing.T) {
	b, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{
		"checks", "direct_bps", "drops", "flows", "hooks", "nic_events", "ok", "packets", "processors", "seconds", "system",
		"throughput_bps", "topology", "transfer_seconds",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	hook := map[string]any{
		"instance": "router", "family": "inet", "event": "PHYSICAL_IN", "hook": "count",
		"position": 1.0, "hits": 1e6, "does": "counts every packet",
	}
	if diff := cmp.Diff(hook, got["hooks"].([]any)[0]); diff != "" {
		t.Errorf("hook (-want +got):\n%s", diff)
	}
	up := map[string]any{
		"instance": "router", "family": "inet", "type": "LIF_UP", "interface": "guest", "lif": 1.0, "address": "10.77.4.1/24",
	}
	plumb := map[string]any{
		"instance": "router", "family": "inet", "type": "PLUMB", "interface": "guest", "lif": 0.0, "address": "",
	}
	flow := map[string]any{
		"from": "10.77.1.2:41234", "to": "10.77.2.2:5001", "terminated": false, "bytes": 1782579200.0,
		"rtt": 0.0005, "min_rtt": 0.000025, "max_rtt": 0.0123,
	}
	if diff := cmp.Diff(flow, got["flows"].([]any)[2]); diff != "" {
		t.Errorf("flow (-want +got):\n%s", diff)
	}
	events := got["nic_events"].([]any)
	if diff := cmp.Diff([]any{plumb, up}, []any{events[0], events[3]}); diff != "" {
		t.Errorf("NIC events (-want +got):\n%s", diff)
	}
	drops := map[string]any{"hook": 2.0, "ttl_expired": 2.0, "device_full": 1234567.0}
	if diff := cmp.Diff(drops, got["drops"]); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
}

// Wherever it is interrupted, it ends at once and leaves nothing.
func TestRunInterrupted(t *testing.T) {
	needNetwork(t)
	before := held()
	cause := errors.New("from the test")
	// interrupt runs the demonstration and cancels it some time after the step for which that is asked. It returns the
	// steps there were.
	interrupt := func(transfer, after time.Duration, where func(n int, step string) bool) (steps []string) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var interrupted time.Time
		r, err := demo.Run(ctx, demo.Config{Transfer: transfer, Progress: func(step string) {
			if steps = append(steps, step); !where(len(steps), step) {
				return
			}
			if interrupted = time.Now().Add(after); after > 0 {
				time.AfterFunc(after, func() { cancel(cause) })
				return
			}
			cancel(cause)
		}})
		nothingLeft(t, before)
		switch {
		case interrupted.IsZero():
			if err != nil {
				t.Error(err)
			}
		case !errors.Is(err, cause) || r != nil:
			t.Errorf("interrupted after %q: %v, %v; want no report and the cause", steps, r, err)
		case time.Since(interrupted) > 5*time.Second:
			t.Errorf("interrupted after %q, ended %v later", steps, time.Since(interrupted))
		}
		return steps
	}

	all := interrupt(10*time.Millisecond, 0, func(int, string) bool { return false })
	for k := 1; k < len(all); k++ { // the last one is taking it all down
		interrupt(10*time.Millisecond, 0, func(n int, _ string) bool { return n == k })
	}
	for _, middle := range []string{"TCP through", "TCP without"} {
		transfer := 200 * time.Millisecond
		interrupt(transfer, transfer/2, func(_ int, step string) bool { return strings.HasPrefix(step, middle) })
	}
}

// held counts what a process can hold of a network: open files by kind.
func held() map[string]int {
	count := make(map[string]int)
	for _, file := range leaktest.OpenFiles() {
		for _, kind := range []string{"/dev/net/tun", "net:", "socket:"} {
			if strings.HasPrefix(file, kind) {
				count[kind]++
			}
		}
	}
	return count
}

// nothingLeft checks that nothing holds a namespace that the demonstration made: no descriptor and no thread. What
// nothing holds is gone, with all the links in it.
func nothingLeft(t *testing.T, before map[string]int) {
	t.Helper()
	if diff := cmp.Diff(before, held()); diff != "" {
		t.Errorf("open files (-before +after):\n%s", diff)
	}
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		at, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		if err == nil && at != home { // an error: it has just ended
			t.Errorf("thread %s is in %s, not at home", thread.Name(), at)
		}
	}
	here, err := hostnet.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = here.Close() }()
	links, err := here.Links()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Name == "tun0" || l.Name == "direct0" {
			t.Errorf("%s %s is in our own namespace", l.Type, l.Name)
		}
	}
}
