// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hooknet/hooknet/internal/terminal"
)

// A Path is a way from the client's namespace to the server's.
type Path struct {
	Name string `json:"name"`
	What string `json:"what"` // in a few words

	router router
	// several: only tests with several streams are for this path.
	several bool
}

// A router says what a process forwards with; the zero value is the kernel, which needs no process.
type router struct {
	kind    routerKind
	hooks   int  // no-op hooks on each event
	offload bool // the virtio-net header with all that goes with it
	tuned   bool // gVisor's link endpoint: what makes it faster, not the defaults
	several bool // a queue for each processor, as far as that helps
	ertt    bool // the round-trip times of all flows are measured
}

type routerKind uint8

const (
	kernelRouter routerKind = iota
	spliceRouter
	gvisorRouter
	hooknetRouter
)

// mtu is that of all devices.
const mtu = 1500

// The paths that figures of the report are about by name.
const (
	kernelPath  = "kernel"
	splicePath  = "splice"
	gvisorPath  = "gvisor"
	tunedPath   = "gvisor-tuned"
	hooknetPath = "hooknet"
	nogsoPath   = "hooknet-nogso"
	erttPath    = "hooknet-ertt"
	severalPath = "hooknet-mq"
)

// paths are all there are, in the order of the report.
var paths = []Path{
	{Name: kernelPath, What: "two veth pairs, forwarding by the kernel"},
	{Name: splicePath, What: "a loop that copies from TUN to TUN", router: router{kind: spliceRouter, offload: true}},
	{Name: gvisorPath, What: "gVisor's own forwarding as it comes, no offload", router: router{kind: gvisorRouter}},
	{Name: tunedPath, What: "the same with the settings that make it faster", router: router{kind: gvisorRouter, tuned: true}},
	{Name: "hooknet-0", What: "no hooks", router: router{kind: hooknetRouter, offload: true}},
	{Name: hooknetPath, What: "a no-op hook on each of three events", router: router{kind: hooknetRouter, hooks: 1, offload: true}},
	{Name: "hooknet-8", What: "eight no-op hooks on each of three events", router: router{kind: hooknetRouter, hooks: 8, offload: true}},
	{Name: erttPath, What: "as hooknet, with the round-trip times of all flows", router: router{kind: hooknetRouter, hooks: 1, offload: true, ertt: true}},
	{Name: nogsoPath, What: "as hooknet, no offload", router: router{kind: hooknetRouter, hooks: 1}},
	{
		Name: severalPath, What: "as hooknet, several queues",
		router: router{kind: hooknetRouter, hooks: 1, offload: true, several: true}, several: true,
	},
}

// A Test is what is done to each path in turn.
type Test struct {
	Name string `json:"name"`
	What string `json:"what"` // a heading

	kind    testKind
	streams int // TCP
	payload int // UDP, in bytes
	// main is the figure that ratios are about.
	main string
}

type testKind uint8

const (
	tcpTest testKind = iota
	udpTest
	pingTest
	loadedPingTest
)

// tests are all there are, in the order of the report.
var tests = []Test{
	{Name: "tcp1", What: "TCP, 1 stream", kind: tcpTest, streams: 1, main: Throughput},
	{Name: "tcp4", What: "TCP, 4 streams", kind: tcpTest, streams: 4, main: Throughput},
	{Name: "udp64", What: "UDP, 64 bytes", kind: udpTest, payload: 64, main: PacketCPU},
	{Name: "udp1400", What: "UDP, 1400 bytes", kind: udpTest, payload: 1400, main: PacketCPU},
	{Name: "ping", What: "Ping, no load", kind: pingTest, main: RTT},
	{Name: "ping-load", What: "Ping, while 1 stream of TCP flows", kind: loadedPingTest, main: RTT},
}

// The figures of a test, as keys of a report. Each is of one measurement; see [Figure].
const (
	Throughput = "gbps"              // TCP: bits of payload that arrived, 10⁹ a second
	CPU        = "cpu"               // TCP: processors that the router's process kept busy
	Offered    = "offered_pps"       // UDP: packets sent a second
	Loss       = "loss"              // UDP: the part of the packets sent that did not arrive, 0 to 1
	PacketCPU  = "cpu_us_per_packet" // UDP: the router's process, microseconds for each packet that arrived
	RTT        = "rtt_us"            // ping: the median round trip, microseconds
	RTT99      = "rtt_p99_us"        // ping: 99 of 100 round trips were shorter
	Unanswered = "unanswered"        // ping: the part of the requests without an answer, 0 to 1
)

// runs tells whether a path takes part in a test.
func (t *Test) runs(p *Path) bool { return !p.several || t.streams > 1 }

// TestNames returns the names of the tests.
func TestNames() []string { return names(tests, func(t Test) string { return t.Name }) }

func names[T any](list []T, name func(T) string) (all []string) {
	for _, x := range list {
		all = append(all, name(x))
	}
	return all
}

// Describe returns what there is to choose from, a line for each path and then for each test.
func Describe() string {
	var text strings.Builder
	for _, p := range paths {
		text.WriteString(terminal.Left("  "+p.Name, 17) + p.What + "\n")
	}
	text.WriteString("\n")
	for _, t := range tests {
		text.WriteString(terminal.Left("  "+t.Name, 17) + t.What + "\n")
	}
	return text.String()
}

// choose returns the elements of all with the names wanted, in the order of all; none wanted means all.
func choose[T any](what string, all []T, name func(T) string, wanted []string) ([]T, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	known := names(all, name)
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("no %s %q: there are %s", what, w, strings.Join(known, ", "))
		}
	}
	var chosen []T
	for _, x := range all {
		if slices.Contains(wanted, name(x)) {
			chosen = append(chosen, x)
		}
	}
	return chosen, nil
}
