// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

// Family is a protocol family whose packets can be hooked. The zero value is
// no family. The numbers are hooknet's own; the names are those of
// net_protocol_lookup(9F) without the NHF_ prefix in capitals.
type Family uint8

// The families.
const (
	Inet  Family = iota + 1 // IPv4, NHF_INET
	Inet6                   // IPv6, NHF_INET6
	ARP                     // NHF_ARP; no packet of a TUN device belongs to it
)

// NumFamilies is one more than the greatest Family: the size of an array
// indexed by Family.
const NumFamilies = int(ARP) + 1

var familyNames = [NumFamilies]string{
	Inet:  "inet",
	Inet6: "inet6",
	ARP:   "arp",
}

// String returns the name: "inet", "inet6" or "arp"; "unknown" for any other
// value.
func (f Family) String() string {
	if f == 0 || int(f) >= NumFamilies {
		return "unknown"
	}
	return familyNames[f]
}

// FamilyByName is the inverse of [Family.String]. It reports false for a name
// that belongs to no family. For configuration and output, not for the
// packet path.
func FamilyByName(name string) (Family, bool) {
	for f := Family(1); int(f) < NumFamilies; f++ {
		if familyNames[f] == name {
			return f, true
		}
	}
	return 0, false
}

// Event is a named point on a packet's way. The zero value is no event. The
// names are those of net_hook_register(9F) without the NH_ prefix.
type Event uint8

// The events. Which of them a family has is a matter of the package netstack.
const (
	PhysicalIn  Event = iota + 1 // received from a device, before the route lookup
	PhysicalOut                  // about to be written to a device, after fragmentation
	Forwarding                   // between the two, for packets that are not ours
	LoopbackIn                   // local traffic, as its receiver sees it
	LoopbackOut                  // local traffic, as its sender sees it
	NICEvents                    // interfaces and addresses come, go and change; carries no packet
	Observing                    // everything that passed the other events, for looking only
)

// NumEvents is one more than the greatest Event: the size of an array indexed
// by Event.
const NumEvents = int(Observing) + 1

var eventNames = [NumEvents]string{
	PhysicalIn:  "PHYSICAL_IN",
	PhysicalOut: "PHYSICAL_OUT",
	Forwarding:  "FORWARDING",
	LoopbackIn:  "LOOPBACK_IN",
	LoopbackOut: "LOOPBACK_OUT",
	NICEvents:   "NIC_EVENTS",
	Observing:   "OBSERVING",
}

// String returns the name, such as "PHYSICAL_IN"; "unknown" for a value that
// is no event.
func (e Event) String() string {
	if e == 0 || int(e) >= NumEvents {
		return "unknown"
	}
	return eventNames[e]
}

// EventByName is the inverse of [Event.String]. It reports false for a name
// that belongs to no event. For configuration and output, not for the packet
// path.
func EventByName(name string) (Event, bool) {
	for e := Event(1); int(e) < NumEvents; e++ {
		if eventNames[e] == name {
			return e, true
		}
	}
	return 0, false
}

// Flags tell how a packet was addressed on the link (hook_pkt_event(9S)).
// At most one of them is set.
type Flags uint32

// The flags, with the values of the original.
const (
	Multicast Flags = 0x1 // HPE_MULTICAST
	Broadcast Flags = 0x2 // HPE_BROADCAST
)

// String returns "multicast", "broadcast", both joined by "|", or "none".
// Bits without a name are left out.
func (f Flags) String() string {
	switch f & (Multicast | Broadcast) {
	case Multicast:
		return "multicast"
	case Broadcast:
		return "broadcast"
	case Multicast | Broadcast:
		return "multicast|broadcast"
	}
	return "none"
}
