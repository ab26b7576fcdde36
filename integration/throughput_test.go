// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
)

var (
	throughputRounds   = flag.Int("throughput.rounds", 10, "rounds of BenchmarkThroughput, at least 5 for a figure to write down")
	throughputDuration = flag.Duration("throughput.duration", 3*time.Second, "duration of one measurement of BenchmarkThroughput")
)

// A path is a way from a client to an iperf3 server.
type path struct {
	client *testbed.Namespace
	server *iperfServer
	target string
	args   []string // of the client
}

func (p *path) measure(t testing.TB, duration time.Duration) (bitsPerSecond float64) {
	t.Helper()
	// The machine's own congestion control may be one that paces by timers, and then it is those that are measured.
	args := append([]string{"-C", "cubic"}, p.args...)
	return p.server.run(t, p.client, p.target, duration, args...).End.Received.BitsPerSecond
}

// splicePath is two TUN devices with virtio-net headers and a plain loop that copies from one to the other: the practical limit.
//
//	red ---- copy loop ---- blue
func splicePath(t testing.TB) *path {
	t.Helper()
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	bed := testbed.New(t)
	red, blue := bed.NamedNamespace("red"), bed.NamedNamespace("blue")
	p := bed.Namespace("splice").Start(t, build(t, "integration/splice"), red.SystemName(), blue.SystemName())
	p.Await(t, "splice: ready")
	for i, in := range []*testbed.Namespace{red, blue} {
		in.SetUp("splice", 1500, testbed.Prefixes(fmt.Sprintf("10.0.1.%d/24", i+1))...)
	}
	return &path{client: red, server: startIperf(t, blue), target: "10.0.1.2"}
}

// build builds one of the module's commands, without the race detector whatever this test was built with: it would slow
// down one path more than the other.
func build(t testing.TB, command string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "command")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", file, "github.com/hooknet/hooknet/"+command)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// runHooknet starts "hooknet run" with a configuration and returns when it is ready.
func runHooknet(t testing.TB, in *testbed.Namespace, configuration string) *testbed.Process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "router.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	p := in.Start(t, build(t, "cmd/hooknet"), "run", "-c", file)
	p.Await(t, "hooknet: ready")
	return p
}

// commandPath is "hooknet run". The keys are added to those of the interfaces in its configuration.
//
//	red ---- left [instance] right ---- blue
func commandPath(t testing.TB, left, right string) *path {
	t.Helper()
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	bed := testbed.New(t)
	red, blue := bed.NamedNamespace("red"), bed.NamedNamespace("blue")
	runHooknet(t, bed.Namespace("hooknet"), fmt.Sprintf(`
instances:
  - name: router
    interfaces:
      - name: left
        mtu: 1500
        %s
        addresses: [10.0.1.1/24]
        host: {namespace: %s, addresses: [10.0.1.2/24], routes: [{to: default, via: 10.0.1.1}]}
      - name: right
        mtu: 1500
        %s
        addresses: [10.0.2.1/24]
        host: {namespace: %s, addresses: [10.0.2.2/24], routes: [{to: default, via: 10.0.2.1}]}
`, left, red.SystemName(), right, blue.SystemName()))
	return &path{client: red, server: startIperf(t, blue), target: "10.0.2.2"}
}

// A comparison is of two paths, with as many TCP streams.
type comparison struct {
	streams int
	base    func(testing.TB) *path
	path    func(testing.TB) *path
	least   float64 // ratio that is wanted
}

func hooknet(left, right string) func(testing.TB) *path {
	return func(t testing.TB) *path { return commandPath(t, left, right) }
}

var comparisons = map[string]comparison{
	"one stream": {1, splicePath, hooknet("", ""), 0.5},
	// Two queues on either side against one of the copy loop's.
	"four streams": {4, splicePath, hooknet("queues: 2", "queues: 2"), 0.5},
	// The sender's kernel makes the segments, hooknet puts them together again, or does not.
	"single segments": {1, hooknet("offload: false", "coalesce: false"), hooknet("offload: false", "coalesce: true"), 1},
}

// run measures both paths in turns. The ratio is the median of those of each round.
func (c comparison) run(t testing.TB, rounds int, duration time.Duration) (base, other, ratio float64) {
	t.Helper()
	paths := [2]*path{c.base(t), c.path(t)}
	for _, p := range paths {
		p.args = []string{"-P", strconv.Itoa(c.streams)}
		p.measure(t, time.Second) // warms up
	}
	var figures [len(paths)][]float64
	var ratios []float64
	for range rounds {
		for i, p := range paths {
			figures[i] = append(figures[i], p.measure(t, duration)/1e9)
		}
		ratios = append(ratios, last(figures[1])/last(figures[0]))
	}
	base, other, ratio = median(figures[0]), median(figures[1]), median(ratios)
	t.Logf("TCP, %d streams, MTU 1500, %d rounds of %v, medians: base %.2f Gbit/s, hooknet run %.2f Gbit/s, ratio %.2f (of each round: %.2f)",
		c.streams, rounds, duration, base, other, ratio, ratios)
	return base, other, ratio
}

func last(s []float64) float64 { return s[len(s)-1] }

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// A short look that judges nothing but that all paths carry traffic: the figure to write down is the benchmark's.
func TestThroughput(t *testing.T) {
	for name, c := range comparisons {
		t.Run(name, func(t *testing.T) {
			if base, other, _ := c.run(t, 1, time.Second); base == 0 || other == 0 {
				t.Error("a path carried nothing")
			}
		})
	}
}

// TCP at an MTU of 1500 through "hooknet run", against a loop that copies packets between two TUN devices, or against itself
// in another configuration. Takes a minute for each: -throughput.rounds and -throughput.duration change that, -benchtime does not.
func BenchmarkThroughput(b *testing.B) {
	for name, c := range comparisons {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				base, other, ratio := c.run(b, *throughputRounds, *throughputDuration)
				if ratio < c.least {
					b.Errorf("hooknet reaches %.2f of what it is compared with, want %.2f", ratio, c.least)
				}
				b.ReportMetric(base, "base-Gbit/s")
				b.ReportMetric(other, "hooknet-Gbit/s")
				b.ReportMetric(ratio, "ratio")
			}
		})
	}
}

// "hooknet run" carries all kinds of traffic, and an interrupt leaves nothing behind: the testbed looks.
func TestCommandRun(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	p := commandPath(t, "", "")
	pingSizes(t, p.client, p.target, 0, 56, 1472, 8000, largestPing4)
	p.server.tcp(t, p.client, p.target)
	p.server.udp(t, p.client, p.target)
}
