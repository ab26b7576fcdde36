// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
)

// An iperfResult is the part of iperf3's report that is looked at.
type iperfResult struct {
	Error string `json:"error"`
	End   struct {
		Received struct {
			BitsPerSecond float64 `json:"bits_per_second"`
			Bytes         int64   `json:"bytes"`
		} `json:"sum_received"` // TCP
		Sent struct {
			Retransmits int `json:"retransmits"`
		} `json:"sum_sent"`
		Sum struct {
			Bytes       int64 `json:"bytes"`
			Packets     int   `json:"packets"`
			LostPackets int   `json:"lost_packets"`
		} `json:"sum"` // UDP
		Streams []json.RawMessage `json:"streams"`
	} `json:"end"`
}

// An iperfServer is a running "iperf3 -s". It takes one client at a time.
type iperfServer struct {
	in      *testbed.Namespace
	process *testbed.Process
	tests   int // begun
}

func startIperf(t testing.TB, in *testbed.Namespace) *iperfServer {
	t.Helper()
	return &iperfServer{in: in, process: in.Start(t, "iperf3", "-s", "--forceflush")}
}

// run runs "iperf3 -c target" for a time, in whole seconds.
func (s *iperfServer) run(t testing.TB, from *testbed.Namespace, target string, duration time.Duration, args ...string) iperfResult {
	t.Helper()
	s.tests++ // the server closes its socket between tests, and refuses who comes too early
	s.process.Await(t, fmt.Sprintf("Server listening on 5201 (test #%d)", s.tests))
	args = append([]string{"-J", "-c", target, "-t", fmt.Sprintf("%.0f", max(1, duration.Seconds()))}, args...)
	got := from.Try(t, "iperf3", args...)
	var result iperfResult
	if err := json.Unmarshal([]byte(got.Stdout), &result); err != nil || result.Error != "" || got.Code != 0 {
		t.Fatalf("%v, %v", err, got)
	}
	return result
}

// tcp wants data to get through: how fast is not the matter here.
func (s *iperfServer) tcp(t testing.TB, from *testbed.Namespace, target string, args ...string) {
	t.Helper()
	got := s.run(t, from, target, time.Second, args...)
	t.Logf("%s %v: %.2f Gbit/s, %d retransmits", target, args, got.End.Received.BitsPerSecond/1e9, got.End.Sent.Retransmits)
	if got.End.Received.Bytes < 1<<20 {
		t.Errorf("%s %v: only %d bytes in a second", target, args, got.End.Received.Bytes)
	}
}

// udp sends datagrams at a rate that no machine should mind, and wants none lost on the way: only a receiving program that is
// not given the processor in time may lose some, in front of its socket.
func (s *iperfServer) udp(t testing.TB, from *testbed.Namespace, target string, args ...string) {
	t.Helper()
	before := overflows(t, from, s.in)
	sum := s.run(t, from, target, time.Second, append([]string{"-u", "-b", "20M"}, args...)...).End.Sum
	atSocket := overflows(t, from, s.in) - before
	t.Logf("%s %v: %d datagrams, %d lost, %d of them by the receiver", target, args, sum.Packets, sum.LostPackets, atSocket)
	if sum.Packets == 0 || sum.LostPackets > atSocket {
		t.Errorf("%s %v: %d of %d datagrams lost, %d by the receiver", target, args, sum.LostPackets, sum.Packets, atSocket)
	}
}

// overflows returns how many datagrams found the socket's buffer full, in all namespaces and both families together.
func overflows(t testing.TB, namespaces ...*testbed.Namespace) int {
	t.Helper()
	total := 0
	for _, n := range namespaces {
		var counters []byte
		if err := n.Do(func() error {
			for _, file := range []string{"/proc/thread-self/net/snmp", "/proc/thread-self/net/snmp6"} {
				b, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				counters = append(counters, b...)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var names []string
		for line := range strings.Lines(string(counters)) {
			f := strings.Fields(line)
			if len(f) == 2 && f[0] == "Udp6RcvbufErrors" { // snmp6: one to a line
				total += atoi(t, f[1])
			}
			if len(f) == 0 || f[0] != "Udp:" {
				continue
			}
			if names == nil { // snmp: a line of names, then a line of figures
				names = f
				continue
			}
			total += atoi(t, f[slices.Index(names, "RcvbufErrors")])
		}
	}
	return total
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestIperfTCP(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	server := startIperf(t, r.Blue)
	for name, args := range map[string][]string{"up": nil, "down": {"-R"}, "four streams": {"-P", "4"}} {
		t.Run(name, func(t *testing.T) {
			server.tcp(t, r.Red, testbed.Blue4, args...)
			server.tcp(t, r.Red, testbed.Blue6, args...)
		})
	}
	// The kernel gave us superpackets, and they passed whole.
	if s := r.Right.Interface.Stats(); s.SentBytes/max(1, s.SentPackets) < 3000 {
		t.Errorf("packets of %d bytes on average: where are the superpackets?", s.SentBytes/max(1, s.SentPackets))
	}
	if s := r.Instance.Stats(); s.Split != 0 {
		t.Errorf("%d superpackets were cut; the device takes them whole", s.Split)
	}
}

func TestIperfUDP(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	server := startIperf(t, r.Blue)
	for name, args := range map[string][]string{
		"up": nil, "down": {"-R"}, "fragments": {"-l", "8000"}, "small": {"-l", "64", "-b", "2M"},
	} {
		t.Run(name, func(t *testing.T) {
			server.udp(t, r.Red, testbed.Blue4, args...)
			server.udp(t, r.Red, testbed.Blue6, args...)
		})
	}
}

// Several queues: flows stay in order, replies may come by another queue.
func TestIperfQueues(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	r := testbed.NewRouter(t, testbed.RouterConfig{Left: testbed.LinkConfig{Queues: 2}, Right: testbed.LinkConfig{Queues: 2}})
	server := startIperf(t, r.Blue)
	server.tcp(t, r.Red, testbed.Blue4, "-P", "4")
	server.tcp(t, r.Red, testbed.Blue6, "-P", "4", "-R")
	server.udp(t, r.Red, testbed.Blue4, "-P", "4")
}
