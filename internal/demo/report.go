// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"net/netip"
	"time"

	"github.com/hooknet/hooknet/netstack"
)

// Report is all that a demonstration has to say. Its JSON form is an interface: fields are added, never renamed.
type Report struct {
	OK       bool     `json:"ok"`              // every check passed
	Error    string   `json:"error,omitempty"` // why there is no report, if there is none
	System   string   `json:"system"`          // operating system, architecture, Go version
	Topology Topology `json:"topology"`
	Checks   []Check  `json:"checks"` // in the order in which they ran

	Hooks     []Hook            `json:"hooks"`      // by family, event and position
	Flows     []Flow            `json:"flows"`      // of TCP, by the ends that were acknowledged something, in order
	NICEvents []NICEvent        `json:"nic_events"` // that an instance caused by coming and going, in order
	Drops     map[string]uint64 `json:"drops"`      // by reason; reasons that never occurred are absent
	Packets   Packets           `json:"packets"`    // the router's books

	Processors      int     `json:"processors"`       // shared by client, servers and router
	ThroughputBPS   float64 `json:"throughput_bps"`   // TCP payload through the router, bits per second
	DirectBPS       float64 `json:"direct_bps"`       // the same over a veth pair, without a router
	TransferSeconds float64 `json:"transfer_seconds"` // how long each of the two took
	Seconds         float64 `json:"seconds"`          // how long all of it took
}

// newReport makes a report that says nothing yet: its lists are empty in JSON, not null.
func newReport() *Report {
	return &Report{
		Topology: Topology{Interfaces: []Interface{}, Hosts: []Host{}, Service: []netip.Addr{}, Direct: []netip.Prefix{}},
		Checks:   []Check{}, Hooks: []Hook{}, Flows: []Flow{}, NICEvents: []NICEvent{}, Drops: map[string]uint64{},
	}
}

// NoReport says why there is none.
func NoReport(err error) *Report {
	r := newReport()
	r.Error = err.Error()
	return r
}

// Topology is the network that was built.
type Topology struct {
	Instance   string         `json:"instance"`   // the router
	Interfaces []Interface    `json:"interfaces"` // of the router
	Hosts      []Host         `json:"hosts"`      // at the other ends of the router's devices
	Service    []netip.Addr   `json:"service"`    // addresses that exist only in a hook
	Direct     []netip.Prefix `json:"direct"`     // the veth pair's
}

// Interface is one of the router's interfaces.
type Interface struct {
	Name      string         `json:"name"`
	Device    string         `json:"device"` // driver and offload
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses"`
}

// Host is a network namespace with the kernel's own TCP/IP in it.
type Host struct {
	Name      string         `json:"name"`
	Addresses []netip.Prefix `json:"addresses"`
}

// Check is one thing that was tried.
type Check struct {
	Name     string `json:"name"`
	Family   string `json:"family,omitempty"` // "inet" or "inet6"; empty for both
	OK       bool   `json:"ok"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"` // with what was measured

	Seconds float64 `json:"seconds"`
}

// Hook is one row of the hook statistics.
type Hook struct {
	Instance string `json:"instance"`
	Family   string `json:"family"`
	Event    string `json:"event"`
	Hook     string `json:"hook"`
	Position int    `json:"position"` // from 1
	Hits     uint64 `json:"hits"`     // runs that reached the hook
	Does     string `json:"does"`     // what it is there for
}

// Flow is what one end of a TCP connection has sent, and how long that took to be acknowledged: from the router to the other
// end and back, in seconds.
type Flow struct {
	From       netip.AddrPort `json:"from"`
	To         netip.AddrPort `json:"to"`
	Terminated bool           `json:"terminated"` // From is a socket of the router
	Bytes      uint64         `json:"bytes"`
	RTT        float64        `json:"rtt"` // the last one
	MinRTT     float64        `json:"min_rtt"`
	MaxRTT     float64        `json:"max_rtt"`
}

// NICEvent is what a hook of NIC_EVENTS was told.
type NICEvent struct {
	Instance  string       `json:"instance"` // whose interface it is
	Family    string       `json:"family"`
	Type      string       `json:"type"` // such as "LIF_UP"
	Interface string       `json:"interface"`
	LIF       uint32       `json:"lif"`     // number of the address, from 1; 0 if it is about the interface
	Address   netip.Prefix `json:"address"` // "" if LIF is 0
}

// Packets are the router's books. They balance: what came in is what went out.
type Packets struct {
	Received  uint64 `json:"received"`  // from devices
	FromHost  uint64 `json:"from_host"` // from its own sockets
	Made      uint64 `json:"made"`      // ICMP errors, fragments, segments
	Sent      uint64 `json:"sent"`      // to devices
	Delivered uint64 `json:"delivered"` // to its own sockets
	Split     uint64 `json:"split"`     // replaced by fragments or segments
	Stolen    uint64 `json:"stolen"`    // kept by a hook
	Dropped   uint64 `json:"dropped"`
	Bytes     uint64 `json:"bytes"`   // forwarded
	Largest   uint64 `json:"largest"` // forwarded packet, in bytes
}

func packetsOf(s netstack.Stats) Packets {
	p := Packets{
		Received: s.Received, FromHost: s.FromHost, Made: s.Made,
		Sent: s.Sent, Delivered: s.Delivered, Split: s.Split, Stolen: s.Stolen,
	}
	for _, n := range s.Drops {
		p.Dropped += n
	}
	return p
}

func (p Packets) in() uint64  { return p.Received + p.FromHost + p.Made }
func (p Packets) out() uint64 { return p.Sent + p.Delivered + p.Split + p.Stolen + p.Dropped }

// balanced reports whether every packet is accounted for.
func (p Packets) balanced() bool { return p.in() == p.out() }

// Failed counts the checks that did not pass.
func (r *Report) Failed() int {
	n := 0
	for _, c := range r.Checks {
		if !c.OK {
			n++
		}
	}
	return n
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }
