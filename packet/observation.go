// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"math"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
)

// Direction is where an observed packet was going (spec 6.2's hook type).
type Direction uint8

// The directions, with the values of the original.
const (
	Inbound  Direction = iota // after PHYSICAL_IN
	Outbound                  // after PHYSICAL_OUT
	Local                     // between LOOPBACK_OUT and LOOPBACK_IN
)

// String returns "inbound", "outbound" or "local"; "unknown" for any other
// value.
func (d Direction) String() string {
	switch d {
	case Inbound:
		return "inbound"
	case Outbound:
		return "outbound"
	case Local:
		return "local"
	}
	return "unknown"
}

// AllZones is the zone of an end that is not known: any other host (ALL_ZONES).
const AllZones hooks.InstanceID = math.MaxUint32

// ObservationVersion is the version of [Observation].
const ObservationVersion = 1

// Observation is what a hook of OBSERVING is called with: what is known of a
// packet, and a view of it that cannot be written through. It is good until
// the hook returns; to keep the packet, copy it.
type Observation struct {
	Version         uint8 // ObservationVersion
	Family          Family
	Direction       Direction
	Length          int    // of the packet, in bytes
	Interface       uint32 // index of the interface it came by or leaves by, or that owns the local address
	Group           uint32 // the interface group's index (IPMP); there are none here, so that of Interface
	SourceZone      hooks.InstanceID
	DestinationZone hooks.InstanceID // an instance is one zone

	packet *Packet
}

// Observe makes an observation of a parsed packet. A local packet's zones are
// instance, any other's are not known.
func Observe(p *Packet, d Direction, iface uint32, instance hooks.InstanceID) Observation {
	zone := AllZones
	if d == Local {
		zone = instance
	}
	return Observation{
		Version:         ObservationVersion,
		Family:          p.Family(),
		Direction:       d,
		Length:          p.Len(),
		Interface:       iface,
		Group:           iface,
		SourceZone:      zone,
		DestinationZone: zone,
		packet:          p,
	}
}

// Source returns the packet's source address.
func (o Observation) Source() netip.Addr { return o.packet.Source() }

// Destination returns the packet's destination address.
func (o Observation) Destination() netip.Addr { return o.packet.Destination() }

// Offload returns what is known of the packet beside its bytes.
func (o Observation) Offload() Offload { return o.packet.Offload }

// Copy copies the packet's first bytes, network header first, into b and
// returns how many. It never allocates: a capture with a snap length.
func (o Observation) Copy(b []byte) int { return copy(b, o.packet.Bytes()) }

// Clone returns a copy of the packet, which the caller owns and has to
// release.
func (o Observation) Clone() *Packet { return o.packet.Clone() }

// String describes the packet as [Packet.String] does.
func (o Observation) String() string { return o.packet.String() }
