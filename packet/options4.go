// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// IPv4 option types (RFC 791, 3.1), copy bit included.
const (
	optionEnd               = 0
	optionNop               = 1
	optionRecordRoute       = 7
	optionTimestamp         = 68
	optionCopied            = 0x80 // the bit: also in fragments after the first
	optionLooseSourceRoute  = 131
	optionStrictSourceRoute = 137
)

// Where the fields of an option are. All that have a pointer count it from 1:
// it is that of the next free entry, and beyond the option's end if all
// entries are taken.
const (
	optionLengthAt  = 1
	optionPointerAt = 2
	timestampFlags  = 3 // upper four bits: overflow counter; lower four: one of the flags
)

// The flags of a Timestamp option.
const (
	timestampOnly         = 0
	timestampWithAddress  = 1 // an entry is an address and the time there
	timestampPrespecified = 3 // the same, the sender has filled in the addresses

	maxOverflow = 15
)

// parseOptions4 looks through the options of header for a source route with
// hops left, for lengths that cannot be, and for a Record Route or Timestamp
// option that cannot be filled in.
func (p *Packet) parseOptions4(header []byte) {
	recorded, stamped := false, false
	i, length := nextOption(header, ipv4Minimum)
	for ; length > 0; i, length = nextOption(header, i+length) {
		o := header[i : i+length]
		switch o[0] {
		case optionLooseSourceRoute, optionStrictSourceRoute:
			if length > optionPointerAt && int(o[optionPointerAt]) <= length {
				p.flags |= flagSourceRoute
			}
		case optionRecordRoute:
			p.checkRecord(i, o, recorded)
			recorded = true
		case optionTimestamp:
			p.checkRecord(i, o, stamped)
			stamped = true
		}
	}
	if length < 0 {
		p.optionProblem(i)
	}
}

// optionProblem notes that the byte at at is in error, unless one before is.
func (p *Packet) optionProblem(at int) {
	if p.problem == ProblemNone {
		p.problem, p.pointer = ProblemHeader, uint16(at)
	}
}

// checkRecord looks whether the Record Route or Timestamp option o, which
// begins at at, can be filled in (RFC 791, 3.1). again: it is the second of
// its kind, of which there may be one.
func (p *Packet) checkRecord(at int, o []byte, again bool) {
	first, entry := recordEntry(o)
	switch {
	case again:
		p.optionProblem(at)
	case first == 0:
		p.optionProblem(at + optionLengthAt)
	case int(o[optionPointerAt]) < first:
		p.optionProblem(at + optionPointerAt)
	case recordFull(o):
		if countsOverflow(o) && o[timestampFlags]>>4 == maxOverflow {
			p.optionProblem(at + timestampFlags)
		}
	case int(o[optionPointerAt])-1+entry > len(o):
		p.optionProblem(at + optionPointerAt) // some room, and not enough
	}
}

// recordEntry returns the pointer to the first entry of a Record Route or
// Timestamp option, 0 if the option is too short to have a pointer and flags,
// and the length of an entry: 0 if the flags are none that there are.
func recordEntry(o []byte) (first, entry int) {
	if o[0] == optionRecordRoute {
		first, entry = 4, 4
	} else {
		first = 5
	}
	if len(o) < first-1 {
		return 0, 0
	}
	if o[0] == optionTimestamp {
		switch o[timestampFlags] & 15 {
		case timestampOnly:
			entry = 4
		case timestampWithAddress, timestampPrespecified:
			entry = 8
		}
	}
	return first, entry
}

// recordFull reports whether all entries of an option are taken.
func recordFull(o []byte) bool { return int(o[optionPointerAt]) > len(o) }

// countsOverflow reports whether those who find no room in o count themselves:
// in a Timestamp option for all routers, not for those named by the sender.
func countsOverflow(o []byte) bool {
	if o[0] != optionTimestamp {
		return false
	}
	flags := o[timestampFlags] & 15
	return flags == timestampOnly || flags == timestampWithAddress
}

// Record fills in the Record Route and Timestamp options of an IPv4 packet
// that a router passes on (RFC 791, 3.1; RFC 1812, 5.3.13.5 and 5.3.13.6).
// address is that of the interface it leaves by; if it is none of IPv4 nothing
// is recorded that needs it. now returns the time in milliseconds since midnight
// UT, and is called only where it is written. own says whether an address that
// the sender wants a timestamp from is one of the router's, any of them.
//
// It is the forwarder's own edit, keeps the header checksum right and does not
// mark the packet edited. A packet without these options stays as it is. One
// with a [Packet.Problem] must not be passed on and must not come here. It may
// have one afterwards: what the next router will find wrong, as an overflow
// that cannot be counted any more.
func (p *Packet) Record(address netip.Addr, now func() uint32, own func(netip.Addr) bool) {
	p.check()
	if p.family != Inet {
		return
	}
	header := p.data[:p.headerLen]
	changed := false
	for i, length := nextOption(header, ipv4Minimum); length > 0; i, length = nextOption(header, i+length) {
		if option := header[i]; option == optionRecordRoute || option == optionTimestamp {
			changed = record(header[i:i+length], address, now, own) || changed
		}
	}
	if changed {
		header[10], header[11] = 0, 0
		binary.BigEndian.PutUint16(header[10:], ^checksum.Checksum(header, 0))
		p.parseOptions4(header)
	}
}

// record fills in one option and reports whether that has changed it.
func record(o []byte, address netip.Addr, now func() uint32, own func(netip.Addr) bool) bool {
	first, length := recordEntry(o)
	if length == 0 {
		return false
	}
	if recordFull(o) {
		if !countsOverflow(o) || o[timestampFlags]>>4 == maxOverflow {
			return false
		}
		o[timestampFlags] += 1 << 4
		return true
	}
	at := int(o[optionPointerAt]) - 1
	if at < first-1 || at+length > len(o) {
		return false // a problem that somebody has passed over
	}
	entry := o[at : at+length]
	if o[0] == optionTimestamp && o[timestampFlags]&15 == timestampPrespecified {
		if !own(netip.AddrFrom4([4]byte(entry))) {
			return false
		}
	} else if o[0] == optionRecordRoute || o[timestampFlags]&15 == timestampWithAddress {
		if !address.Is4() {
			return false
		}
		a := address.As4()
		copy(entry, a[:])
	}
	if o[0] == optionTimestamp {
		binary.BigEndian.PutUint32(entry[length-4:], now())
	}
	o[optionPointerAt] += uint8(length)
	return true
}

// nextOption returns where the first option of header from at on is, other than
// No Operation, and its length: 0 if there is none any more, -1 if it cannot
// be. IPv4 and TCP options look alike.
func nextOption(header []byte, at int) (option, length int) {
	for at < len(header) && header[at] == optionNop {
		at++
	}
	if at >= len(header) || header[at] == optionEnd {
		return at, 0
	}
	if at+1 == len(header) {
		return at, -1
	}
	length = int(header[at+optionLengthAt])
	if length < 2 || at+length > len(header) {
		return at, -1
	}
	return at, length
}
