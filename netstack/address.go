// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/hooknet/hooknet/packet"
)

// A LIF is an address of an interface under its logical interface number (lif_if_t).
type LIF struct {
	// Number tells the addresses of one family of an interface apart. It is the address's own as long as it is there, also
	// when ReplaceAddress changes it. A new address gets the lowest number that is free, from 1, as in the original.
	Number  uint32
	Address netip.Prefix
}

// An addressTable is what addresses an interface has. It is immutable.
type addressTable struct {
	prefixes []netip.Prefix // in the order in which they were added
	numbers  []uint32       // numbers[n] is the logical interface number of prefixes[n]
	lifs     [packet.NumFamilies][]LIF
}

// newAddressTable gives every address its number; numbers holds those of the first addresses, which they keep.
func newAddressTable(prefixes []netip.Prefix, numbers []uint32) *addressTable {
	t := &addressTable{prefixes: prefixes, numbers: slices.Clone(numbers)}
	for _, p := range prefixes[len(numbers):] {
		t.numbers = append(t.numbers, t.freeNumber(familyOf(p.Addr())))
	}
	for n, p := range prefixes {
		family := familyOf(p.Addr())
		t.lifs[family] = append(t.lifs[family], LIF{t.numbers[n], p})
	}
	for _, list := range t.lifs {
		slices.SortFunc(list, func(a, b LIF) int { return cmp.Compare(a.Number, b.Number) })
	}
	return t
}

// freeNumber returns the lowest number that no address of a family has, of those that have one already.
func (t *addressTable) freeNumber(family packet.Family) uint32 {
	for number := uint32(1); ; number++ {
		taken := false
		for n, other := range t.numbers {
			taken = taken || other == number && familyOf(t.prefixes[n].Addr()) == family
		}
		if !taken {
			return number
		}
	}
}

// Addresses returns the interface's addresses with their prefix lengths, in the order in which they were added. The slice
// is shared: it must not be changed.
func (f *Interface) Addresses() []netip.Prefix { return f.addresses.Load().prefixes }

// LIFs returns the interface's addresses of one family by ascending number (net_lifgetnext(9F)). The slice is one
// immutable snapshot and shared: it must not be changed.
func (f *Interface) LIFs(family packet.Family) []LIF {
	if int(family) >= packet.NumFamilies {
		return nil
	}
	return f.addresses.Load().lifs[family]
}

// address returns the interface's first address of a family; the zero Addr if it has none.
func (f *Interface) address(is4 bool) netip.Addr {
	for _, p := range f.Addresses() {
		if p.Addr().Is4() == is4 {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func familyOf(a netip.Addr) packet.Family {
	if a.Is4() {
		return packet.Inet
	}
	return packet.Inet6
}
