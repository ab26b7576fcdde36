// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net/netip"

	"github.com/hooknet/hooknet/hooks/khelp"
)

// A FlowEnd is one of the two endpoints of a TCP connection that passes the instance, as its segments tell: the object of the
// TCP points, in the place of struct tcpcb of the original. Helpers have their data on it. It belongs to the data path, which
// uses its memory again when the flow has ended: good until the hook returns, and read only.
//
// The numbers are those of the segments that have passed before the one that the point runs for.
type FlowEnd struct {
	khelp.Object

	// Local is the end's own address and port, Remote the other end's.
	Local, Remote netip.AddrPort

	// SendUnacknowledged (snd_una) is the oldest sequence number that has not been acknowledged, SendNext (snd_nxt) the one
	// behind the highest that was sent. What is between them is in flight.
	SendUnacknowledged uint32
	SendNext           uint32
	// Segments and Bytes count what the end has sent: segments, a superpacket as one, and bytes of payload, those sent again
	// too.
	Segments, Bytes uint64
	// SegmentSize (t_maxseg) is the largest payload of a segment, in bytes: what the other end's SYN allows. Without having
	// seen that, the largest segment that was sent.
	SegmentSize uint16
	// Terminated says that the end is a socket of this instance. If neither end is, the flow is a forwarded one.
	Terminated bool
	// MidStream says that the flow's handshake was not seen: the numbers begin somewhere, and options of the SYN are unknown.
	MidStream bool
}

// InFlight returns how many bytes the end has sent that are not acknowledged. It stands in the place of the congestion
// window, which nobody can see from outside.
func (e *FlowEnd) InFlight() uint32 { return e.SendNext - e.SendUnacknowledged }
