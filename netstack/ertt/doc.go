// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package ertt measures round-trip times of TCP flows, for each of their ends, without a probe of its own: the enhanced
// round-trip-time helper of FreeBSD (h_ertt(4)) on hooknet's TCP points. It is loaded into an instance by
//
//	helper, err := instance.Helpers().Load(ertt.Helper(ertt.Config{}))
//
// and its [Data] is found, by whoever has an end of a flow at hand, as in a hook on the same points, by
//
//	id, loaded := instance.Helpers().ID(ertt.Name)
//	data := khelp.Get[ertt.Data](end, id) // nil if the flow is older than the helper
//
//	netstack.TCPEstablishedOut -> a record of each segment with payload: what it holds, when it passed
//	netstack.TCPEstablishedIn  -> the records up to what is acknowledged go; the one in which that point lies is measured
//
// A time is from a segment's passing on its way out to the passing of its acknowledgment on the way in: for a socket of the
// instance the whole round trip, for a forwarded flow the part on the far side of the router. What lies between the router and
// the end itself is not in it.
//
// # What is measured
//
// Each acknowledgment of a single segment, or of several. Where the receiver seems to delay its acknowledgments, a single
// one waits for its timer and says nothing: it is left out. The echoed timestamps (RFC 7323) tell which transmission of a
// segment was acknowledged; without them a retransmitted one may be measured from its first transmission, so that MaxRTT
// holds what the loss has cost. MinRTT never ages. Beside that one segment at a time is marked, and the bytes
// that are sent until it is acknowledged are counted, which is what congestion control wants to know.
//
// # Where this differs from the original, on purpose
//
//   - Times are always those of the instance's clock. The timestamp of a segment, there the time itself, is its sender's here, who may
//     be any host with a clock of its own: it is compared with its echo and nothing else.
//   - An end has 32 records in place of a list without limit. If they are used up the newest gives way to the next segment, unless
//     it is the marked one, which then stays and the next segment has no record. Data.Skipped counts both. The bytes
//     count all the same. A record that is in the way for a minute goes: a segment with a number far ahead, from whoever, would
//     end all measuring of its flow.
//   - A superpacket is one record, and partly acknowledged it is measured more than once, as there. But nobody can ask a host
//     behind the router to do without superpackets for the next mark: TSODisabled is set and cleared when the
//     original would, and says that the next measurement is less exact if the segment behind is a superpacket again.
//   - An acknowledgment of a block beyond a hole (SACK) is measured although it echoes a segment from before the hole.
//   - Bytes in flight stand in the place of the congestion window.
//   - Whether acknowledgments are delayed is guessed once for each acknowledgment, not for each record it passes.
//
// # Ownership and locking
//
// Data belongs to the flow's end and goes with it. Runs for the ends of one flow do not overlap, so that there is no lock: it
// is read, and NewMeasurement is cleared, from inside hooks on the TCP points for the same flow, and inside
// netstack.Instance.EachFlow, nowhere else.
//
// # What it does not do
//
// It does not measure the handshake, and starts nothing. It allocates when a flow is made, and nothing per packet.
package ertt
