// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"regexp"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

func TestFamilyNames(t *testing.T) {
	want := map[packet.Family]string{packet.Inet: "inet", packet.Inet6: "inet6", packet.ARP: "arp"}
	for i := range 256 {
		f := packet.Family(i)
		name, named := want[f]
		if !named {
			name = "unknown"
		}
		if got := f.String(); got != name {
			t.Errorf("Family(%d).String() = %q, want %q", i, got, name)
		}
		if got, ok := packet.FamilyByName(name); ok != named || named && got != f {
			t.Errorf("FamilyByName(%q) = %d, %v, want %d, %v", name, got, ok, f, named)
		}
	}
	if len(want) != packet.NumFamilies-1 {
		t.Errorf("%d families tested, there are %d", len(want), packet.NumFamilies-1)
	}
	if _, ok := packet.FamilyByName(""); ok {
		t.Error("the empty name is a family")
	}
}

func TestEventNames(t *testing.T) {
	want := map[packet.Event]string{
		packet.PhysicalIn: "PHYSICAL_IN", packet.PhysicalOut: "PHYSICAL_OUT", packet.Forwarding: "FORWARDING",
		packet.LoopbackIn: "LOOPBACK_IN", packet.LoopbackOut: "LOOPBACK_OUT", packet.NICEvents: "NIC_EVENTS", packet.Observing: "OBSERVING",
	}
	for i := range 256 {
		e := packet.Event(i)
		name, named := want[e]
		if !named {
			name = "unknown"
		}
		if got := e.String(); got != name {
			t.Errorf("Event(%d).String() = %q, want %q", i, got, name)
		}
		if got, ok := packet.EventByName(name); ok != named || named && got != e {
			t.Errorf("EventByName(%q) = %d, %v, want %d, %v", name, got, ok, e, named)
		}
	}
	if len(want) != packet.NumEvents-1 {
		t.Errorf("%d events tested, there are %d", len(want), packet.NumEvents-1)
	}
	if _, ok := packet.EventByName(""); ok {
		t.Error("the empty name is an event")
	}
}

// TestFlags holds the values of the original (hook_pkt_event(9S)).
func TestFlags(t *testing.T) {
	if packet.Multicast != 1 || packet.Broadcast != 2 {
		t.Errorf("Multicast, Broadcast = %d, %d, want 1, 2", packet.Multicast, packet.Broadcast)
	}
	for f, want := range map[packet.Flags]string{0: "none", 1: "multicast", 2: "broadcast", 3: "multicast|broadcast", 4: "none", 5: "multicast"} {
		if got := f.String(); got != want {
			t.Errorf("Flags(%d).String() = %q, want %q", f, got, want)
		}
	}
}

func TestReasonNames(t *testing.T) {
	snake := regexp.MustCompile("^[a-z0-9]+(_[a-z0-9]+)*$")
	seen := make(map[string]hooks.Reason)
	for i := range 1 << 16 {
		r := hooks.Reason(i)
		name := packet.ReasonName(r)
		if !snake.MatchString(name) {
			t.Errorf("reason %d: %q is not snake case", i, name)
		}
		if other, taken := seen[name]; taken {
			t.Errorf("reasons %d and %d are both %q", other, i, name)
		}
		seen[name] = r
		if got, ok := packet.ReasonByName(name); !ok || got != r {
			t.Errorf("ReasonByName(%q) = %d, %v, want %d, true", name, got, ok, i)
		}
		named := r < hooks.FirstFreeReason && r <= hooks.ReasonVerdict || r >= hooks.FirstFreeReason && i < packet.NumReasons
		if got := name[:min(7, len(name))] != "reason_"; got != named {
			t.Errorf("reason %d is %q, want a name of its own: %v", i, name, named)
		}
	}
	for _, name := range []string{"", "reason_", "reason_0", "reason_16", "reason_0099", "reason_65536", "reason_-1", "Hook", "nonsense"} {
		if r, ok := packet.ReasonByName(name); ok {
			t.Errorf("ReasonByName(%q) = %d, want none", name, r)
		}
	}
	if got, want := packet.ReasonName(packet.ReasonTTLExpired), "ttl_expired"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOffloadNames(t *testing.T) {
	for s, want := range []string{"full", "verified", "partial", "absent", "unknown"} {
		if got := packet.ChecksumState(s).String(); got != want {
			t.Errorf("ChecksumState(%d).String() = %q, want %q", s, got, want)
		}
	}
	for g, want := range []string{"none", "tcp4", "tcp6", "udp4", "udp6", "unknown"} {
		if got := packet.GSOType(g).String(); got != want {
			t.Errorf("GSOType(%d).String() = %q, want %q", g, got, want)
		}
	}
}
