// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/bench"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/leaktest"
)

// needNetwork skips the test where there are no namespaces or no TUN devices to be had.
func needNetwork(t *testing.T) {
	t.Helper()
	namespace := hostnettest.Namespace(t)
	err := namespace.Do(func() error {
		file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return file.Close()
	})
	hostnettest.Require(t, "/dev/net/tun", err)
}

// leavesNothing checks at the end of the test that there are no more namespaces open and no more processes than now, and
// that Go runs on as many processors.
func leavesNothing(t *testing.T) {
	t.Helper()
	before, processors := belongings(), runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		if after := belongings(); !slices.Equal(after, before) {
			t.Errorf("namespaces and processes: %q, want %q as before", after, before)
		}
		if after := runtime.GOMAXPROCS(0); after != processors {
			t.Errorf("GOMAXPROCS %d, want %d as before", after, processors)
		}
	})
}

// belongings lists the namespaces that this process has open, and its children.
func belongings() (all []string) {
	for _, file := range leaktest.OpenFiles() {
		if strings.HasPrefix(file, "net:") {
			all = append(all, file)
		}
	}
	children, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range children {
		pids, _ := os.ReadFile(file)
		for pid := range strings.FieldsSeq(string(pids)) {
			all = append(all, "child "+pid)
		}
	}
	slices.Sort(all)
	return all
}

// brief makes a run short.
const brief = 50 * time.Millisecond

// All paths with all tests: they carry traffic, and nothing is left of them.
func TestRun(t *testing.T) {
	needNetwork(t)
	leavesNothing(t)
	// gVisor's forwarder reads a header that has gone back to its pool, and the race detector sees it now and then. What is
	// tested here is another thing; the races of hooknet's own process are TestRunStopped's.
	t.Setenv("GORACE", "exitcode=0 "+os.Getenv("GORACE"))
	r, err := bench.Run(t.Context(), bench.Config{Rounds: 1, Duration: brief, Worker: []string{asWorker}})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range r.Tests {
		want := len(r.Paths)
		if test.Name != "tcp4" {
			want-- // hooknet-mq
		}
		if len(test.Results) != want {
			t.Errorf("%s: %d paths, want %d", test.Name, len(test.Results), want)
		}
		for _, path := range test.Results {
			checkFigures(t, test.Name, path)
		}
		if test.Ratio["hooknet/splice"] <= 0 {
			t.Errorf("%s: hooknet/splice is %v", test.Name, test.Ratio["hooknet/splice"])
		}
	}
	if len(r.Tests) != len(bench.TestNames()) || r.Seed == 0 || r.Seconds <= 0 || len(r.Unjudged) > 0 {
		t.Errorf("%d tests, seed %d, %v s, not judged %q", len(r.Tests), r.Seed, r.Seconds, r.Unjudged)
	}
	if m := r.Machine; m.System == "" || m.Processor == "" || m.Processors < 1 || m.Go == "" {
		t.Errorf("machine: %+v", m)
	}
}

// checkFigures checks that a path has all figures of a test, and that they can be.
func checkFigures(t *testing.T, test string, path bench.PathResult) {
	t.Helper()
	var positive, part []string
	switch {
	case strings.HasPrefix(test, "tcp"):
		positive = []string{bench.Throughput, bench.CPU}
	case strings.HasPrefix(test, "udp"):
		positive, part = []string{bench.Offered, bench.PacketCPU}, []string{bench.Loss}
	default:
		positive, part = []string{bench.RTT, bench.RTT99}, []string{bench.Unanswered}
	}
	for _, name := range positive {
		f, known := path.Figures[name]
		if path.Path == "kernel" && (name == bench.CPU || name == bench.PacketCPU) {
			if known {
				t.Errorf("%s, kernel: %s is %v, which nobody can know", test, name, f)
			}
			continue
		}
		if len(f.Samples) != 1 || f.Median <= 0 || f.Samples[0] != f.Median {
			t.Errorf("%s, %s: %s is %+v, want one sample above 0", test, path.Path, name, f)
		}
	}
	for _, name := range part {
		if f := path.Figures[name]; len(f.Samples) != 1 || f.Median < 0 || f.Median >= 1 {
			t.Errorf("%s, %s: %s is %+v, want one sample of 0 to 1", test, path.Path, name, f)
		}
	}
}

// One that is stopped in the middle takes everything down.
func TestRunStopped(t *testing.T) {
	needNetwork(t)
	for _, when := range []string{"building hooknet", "warming up splice", "TCP, 4 streams", "UDP, 64 bytes", "Ping, no load"} {
		t.Run(when, func(t *testing.T) {
			leavesNothing(t)
			stop := errors.New("enough")
			ctx, cancel := context.WithCancelCause(t.Context())
			cfg := bench.Config{
				Rounds: 1000, Duration: brief, Worker: []string{asWorker}, Paths: []string{"splice", "hooknet"},
				Progress: func(step string) {
					if strings.Contains(step, when) {
						cancel(stop)
					}
				},
			}
			if _, err := bench.Run(ctx, cfg); !errors.Is(err, stop) {
				t.Errorf("error %v, want %v", err, stop)
			}
		})
	}
}

// A router that does not come up, or dies, is an error that says so, and the rest is taken down.
func TestRunWithoutRouter(t *testing.T) {
	needNetwork(t)
	for name, test := range map[string]struct {
		worker []string
		want   string
	}{
		"says why": {[]string{asWorker + "-failing"}, "path splice: the router's process: no wish to work"},
		"silent":   {[]string{asWorker + "-silent"}, "path splice: the router's process ended"},
		"dies":     {[]string{asWorker + "-dying"}, "path splice: the router's process ended"},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			cfg := bench.Config{Rounds: 1, Duration: brief, Worker: test.worker, Paths: []string{"kernel", "splice"}}
			if _, err := bench.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}

// broken are workers that do not do what they should, by the first argument.
var broken = map[string]func() error{
	asWorker + "-failing": func() error { return errors.New("no wish to work") },
	asWorker + "-silent":  func() error { return nil },
	asWorker + "-dying": func() error { // as soon as it has made the devices
		for i, name := range []string{"client", "server"} {
			namespace := hostnet.FromFile(name, os.NewFile(3+uintptr(i), name))
			if err := namespace.AddVeth("bench0", namespace, "bench1"); err != nil {
				return err
			}
		}
		_, err := fmt.Println("ready")
		return err
	},
}

func init() { brokenWorkers = broken }
