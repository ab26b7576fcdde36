// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// A SourceValidation says which source addresses an interface believes: unicast reverse path forwarding (RFC 3704, BCP 84;
// RFC 1812 section 5.3.8; rp_filter of Linux). It holds for what is forwarded and for what is delivered. What fails is
// dropped without a word to anybody (reason "reverse_path"): an error would go to who is impersonated.
//
// Whatever it says, packets from outside that claim to come from one of our own addresses, or from a broadcast address of
// one of our subnets, are dropped as martians.
type SourceValidation uint8

// The kinds of source validation.
const (
	// SourceValidationOff believes every source that is no martian.
	SourceValidationOff SourceValidation = iota
	// SourceValidationStrict believes a source if the best route to it leads out by the interface that the packet came in
	// by (RFC 3704 section 2.2). For networks with one way in and out.
	SourceValidationStrict
	// SourceValidationLoose believes a source if there is a way to it, by any interface; the default route is one, as for
	// rp_filter=2 and unlike in RFC 3704 section 2.4's stricter form. For networks with asymmetric routes.
	//
	// Blackhole, unreachable and prohibit routes are no way to a source, in strict mode neither: with one of them all that an
	// address sends is dropped as well as all that is sent to it (RFC 5635, remote triggered black hole filtering).
	SourceValidationLoose
)

var sourceValidationNames = [...]string{"off", "strict", "loose"}

// String returns "off", "strict" or "loose".
func (v SourceValidation) String() string {
	if int(v) < len(sourceValidationNames) {
		return sourceValidationNames[v]
	}
	return fmt.Sprintf("source validation %d", uint8(v))
}

func (v SourceValidation) validate() error {
	if int(v) >= len(sourceValidationNames) {
		return fmt.Errorf("%w: unknown %v; expected off, strict or loose", ErrInvalid, v)
	}
	return nil
}

// SourceValidation returns which sources the interface believes.
func (f *Interface) SourceValidation() SourceValidation {
	return SourceValidation(f.sourceValidation.Load())
}

// SetSourceValidation changes which sources the interface believes; packets see it at once. ErrInvalid for an unknown value.
func (f *Interface) SetSourceValidation(v SourceValidation) error {
	if err := v.validate(); err != nil {
		return opError("set source validation", f.name, err)
	}
	f.sourceValidation.Store(uint32(v))
	return nil
}

// validateSource says whether the source of a packet may be believed. It comes with the route lookup, after PHYSICAL_IN,
// as on Linux: what is judged is the source that the packet goes on with, so that a hook can rewrite a source that would
// fail and cannot smuggle one in; and hooks that watch a link see what is really there. Martians need no table, are never
// right, and no hook has to see them: they are refused before. The price is one more lookup where validation is on.
func (w *worker) validateSource(in *Interface, p *packet.Packet) hooks.Reason {
	mode := in.SourceValidation()
	if mode == SourceValidationOff && !w.inst.own.Load().mayHold(sourceKey(p)) {
		return hooks.ReasonNone
	}
	src := p.Source()
	from := w.lookup(src)
	switch {
	case from != nil && (from.kind == hopLocal || from.kind == hopBroadcast):
		return packet.ReasonMartianSource
	case mode == SourceValidationOff:
		return hooks.ReasonNone
	case src.IsLinkLocalUnicast():
		return hooks.ReasonNone // from this link and no other, whatever the table says; it will not be forwarded
	case from == nil || from.kind != hopForward:
		return packet.ReasonReversePath
	case mode == SourceValidationStrict && from.iface != in:
		return packet.ReasonReversePath
	}
	return hooks.ReasonNone
}

// An addressFilter says of most addresses, without a lookup, that they are none of a small set (a Bloom filter with one hash
// function). That set is what no packet from outside may have as its source: our own addresses and the broadcast addresses of
// our subnets. A few dozen of them in 1024 bits send a few in a hundred packets into the lookup.
type addressFilter [16]uint64

// place returns where in the filter the address of a key is.
func (f *addressFilter) place(key uint64) (word *uint64, bit uint64) {
	hash := key * golden64 >> 54 // the upper bits of the product, as many as there are places
	return &f[hash>>6&15], hash & 63
}

func (f *addressFilter) add(a netip.Addr) {
	word, bit := f.place(addressKey(a))
	*word |= 1 << bit
}

// mayHold returns false only for keys of addresses that were not added.
func (f *addressFilter) mayHold(key uint64) bool {
	word, bit := f.place(key)
	return *word>>bit&1 != 0
}

// addressKey is what the filter knows of an address.
func addressKey(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]) ^ binary.BigEndian.Uint64(b[8:])
}

// sourceKey is the addressKey of a packet's source.
func sourceKey(p *packet.Packet) uint64 {
	b := p.Bytes()
	if p.Family() == packet.Inet {
		return uint64(binary.BigEndian.Uint32(b[12:]))
	}
	return binary.BigEndian.Uint64(b[8:]) ^ binary.BigEndian.Uint64(b[16:])
}

// publishOwn makes the filter anew after addresses have changed. Instance.mu is held.
func (i *Instance) publishOwn() {
	own := new(addressFilter)
	for f := range i.Interfaces() {
		for _, e := range f.rows {
			if e.prefix.IsSingleIP() && (e.hop.kind == hopLocal || e.hop.kind == hopBroadcast) {
				own.add(e.prefix.Addr())
			}
		}
	}
	i.own.Store(own)
}
