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

// iperfServer starts "iperf3 -s" and waits until it listens.
func iperfServer(t testing.TB, in *testbed.Namespace) {
	t.Helper()
	in.Start(t, "iperf3", "-s", "--forceflush").Await(t, "Server listening")
}

// iperf runs "iperf3 -c target" for a time, in whole seconds.
func iperf(t testing.TB, from *testbed.Namespace, target string, duration time.Duration, args ...string) iperfResult {
	t.Helper()
	args = append([]string{"-J", "-c", target, "-t", fmt.Sprintf("%.0f", max(1, duration.Seconds()))}, args...)
	for began := time.Now(); ; {
		out := from.Run(t, "iperf3", args...)
		var result iperfResult
		if err := json.Unmarshal([]byte(out), &result); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		switch {
		case result.Error == "":
			return result
		case !strings.Contains(result.Error, "busy") || time.Since(began) > 5*time.Second:
			t.Fatalf("iperf3 %v: %s", args, result.Error)
		}
		// The server is not quite done with the client before.
	}
}

// iperfTCP wants data to get through: how fast is not the matter here.
func iperfTCP(t *testing.T, from *testbed.Namespace, target string, args ...string) {
	t.Helper()
	got := iperf(t, from, target, time.Second, args...)
	t.Logf("%s %v: %.2f Gbit/s, %d retransmits", target, args, got.End.Received.BitsPerSecond/1e9, got.End.Sent.Retransmits)
	if got.End.Received.Bytes < 1<<20 {
		t.Errorf("%s %v: only %d bytes in a second", target, args, got.End.Received.Bytes)
	}
}

// iperfUDP sends datagrams at a rate that no machine should mind, and wants none lost on the way: only a receiving program
// that is not given the processor in time may lose some, in front of its socket.
func iperfUDP(t *testing.T, from, to *testbed.Namespace, target string, args ...string) {
	t.Helper()
	before := overflows(t, from, to)
	sum := iperf(t, from, target, time.Second, append([]string{"-u", "-b", "20M"}, args...)...).End.Sum
	atSocket := overflows(t, from, to) - before
	t.Logf("%s %v: %d datagrams, %d lost, %d of them by the receiver", target, args, sum.Packets, sum.LostPackets, atSocket)
	if sum.Packets == 0 || sum.LostPackets > atSocket {
		t.Errorf("%s %v: %d of %d datagrams lost, %d by the receiver", target, args, sum.LostPackets, sum.Packets, atSocket)
	}
}

// overflows returns how many datagrams found the socket's buffer full, in all namespaces and both families together.
func overflows(t *testing.T, namespaces ...*testbed.Namespace) int {
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
				total += number(t, f[1])
			}
			if len(f) == 0 || f[0] != "Udp:" {
				continue
			}
			if names == nil { // snmp: a line of names, then a line of figures
				names = f
				continue
			}
			total += number(t, f[slices.Index(names, "RcvbufErrors")])
		}
	}
	return total
}

func number(t *testing.T, s string) int {
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
	iperfServer(t, r.Blue)
	for name, args := range map[string][]string{"up": nil, "down": {"-R"}, "four streams": {"-P", "4"}} {
		t.Run(name, func(t *testing.T) {
			iperfTCP(t, r.Red, testbed.Blue4, args...)
			iperfTCP(t, r.Red, testbed.Blue6, args...)
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
	iperfServer(t, r.Blue)
	for name, args := range map[string][]string{
		"up": nil, "down": {"-R"}, "fragments": {"-l", "8000"}, "small": {"-l", "64", "-b", "2M"},
	} {
		t.Run(name, func(t *testing.T) {
			iperfUDP(t, r.Red, r.Blue, testbed.Blue4, args...)
			iperfUDP(t, r.Red, r.Blue, testbed.Blue6, args...)
		})
	}
}

// Several queues: flows stay in order, replies may come by another queue.
func TestIperfQueues(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "iperf3")
	r := testbed.NewRouter(t, testbed.RouterConfig{Left: testbed.LinkConfig{Queues: 2}, Right: testbed.LinkConfig{Queues: 2}})
	iperfServer(t, r.Blue)
	iperfTCP(t, r.Red, testbed.Blue4, "-P", "4")
	iperfTCP(t, r.Red, testbed.Blue6, "-P", "4", "-R")
	iperfUDP(t, r.Red, r.Blue, testbed.Blue4, "-P", "4")
}
