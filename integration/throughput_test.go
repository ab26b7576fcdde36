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
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
)

var (
	throughputRounds   = flag.Int("throughput.rounds", 10, "rounds of BenchmarkThroughput, at least 5 for a figure to write down")
	throughputDuration = flag.Duration("throughput.duration", 3*time.Second, "duration of one measurement of BenchmarkThroughput")
)

// leastRatio is what TCP through hooknet has to reach of the copy loop in the same run.
const leastRatio = 0.5

// A path is a way from a client to an iperf3 server.
type path struct {
	client *testbed.Namespace
	server *iperfServer
	target string
}

func (p *path) measure(t testing.TB, duration time.Duration) (bitsPerSecond float64) {
	t.Helper()
	return p.server.run(t, p.client, p.target, duration).End.Received.BitsPerSecond
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
	return &path{red, startIperf(t, blue), "10.0.1.2"}
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

// commandPath is "hooknet run".
//
//	red ---- [instance] ---- blue
func commandPath(t testing.TB) *path {
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
        addresses: [10.0.1.1/24]
        host: {namespace: %s, addresses: [10.0.1.2/24], routes: [{to: default, via: 10.0.1.1}]}
      - name: right
        mtu: 1500
        addresses: [10.0.2.1/24]
        host: {namespace: %s, addresses: [10.0.2.2/24], routes: [{to: default, via: 10.0.2.1}]}
`, red.SystemName(), blue.SystemName()))
	return &path{red, startIperf(t, blue), "10.0.2.2"}
}

// compare measures both paths in turns.
func compare(t testing.TB, rounds int, duration time.Duration) (splice, hooknet, ratio float64) {
	t.Helper()
	paths := [2]*path{splicePath(t), commandPath(t)}
	for _, p := range paths {
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
	splice, hooknet, ratio = median(figures[0]), median(figures[1]), median(ratios)
	t.Logf("TCP, 1 stream, MTU 1500, %d rounds of %v, medians: copy loop %.2f Gbit/s, hooknet run %.2f Gbit/s, ratio %.2f (of each round: %.2f)",
		rounds, duration, splice, hooknet, ratio, ratios)
	return splice, hooknet, ratio
}

func last(s []float64) float64 { return s[len(s)-1] }

func median(s []float64) float64 {
	s = slices.Sorted(slices.Values(s))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// A short look that judges nothing but that both paths carry traffic: the figure to write down is the benchmark's.
func TestThroughput(t *testing.T) {
	if splice, hooknet, _ := compare(t, 3, time.Second); splice == 0 || hooknet == 0 {
		t.Error("a path carried nothing")
	}
}

// One TCP stream at an MTU of 1500 through "hooknet run", against a loop that copies packets between two TUN devices. Takes a
// minute: -throughput.rounds and -throughput.duration change that, -benchtime does not.
func BenchmarkThroughput(b *testing.B) {
	for b.Loop() {
		splice, hooknet, ratio := compare(b, *throughputRounds, *throughputDuration)
		if ratio < leastRatio {
			b.Errorf("hooknet reaches %.2f of the copy loop, want %.2f", ratio, leastRatio)
		}
		b.ReportMetric(splice, "splice-Gbit/s")
		b.ReportMetric(hooknet, "hooknet-Gbit/s")
		b.ReportMetric(ratio, "ratio")
	}
}

// "hooknet run" carries all kinds of traffic, and an interrupt leaves nothing behind: the testbed looks.
func TestCommandRun(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	p := commandPath(t)
	pingSizes(t, p.client, p.target, 0, 56, 1472, 8000, largestPing4)
	p.server.tcp(t, p.client, p.target)
	p.server.udp(t, p.client, p.target)
}
