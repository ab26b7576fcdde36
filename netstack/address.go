// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

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

// lif returns the address with a number.
func (t *addressTable) lif(family packet.Family, number uint32) (LIF, bool) {
	for _, l := range t.lifs[family] {
		if l.Number == number {
			return l, true
		}
	}
	return LIF{}, false
}

// without returns the addresses that another table has not, with whatever prefix length.
func (t *addressTable) without(other *addressTable) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(t.prefixes), func(p netip.Prefix) bool { return other.index(p.Addr()) >= 0 })
}

// index returns the place of an address in prefixes, -1 if it is not there.
func (t *addressTable) index(a netip.Addr) int {
	return slices.IndexFunc(t.prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
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

// AddAddress gives the interface an address, whose subnet becomes a connected route. Packets and sockets can use it on
// return. It is the last of its family in the order of Addresses. On an error nothing has changed: ErrExists (some interface has the address),
// ErrInvalid (no address for a host, or of IPv6 with a fixed MTU below 1280), ErrClosed.
func (f *Interface) AddAddress(p netip.Prefix) error {
	return f.editAddresses("add address", p.String(), func(old *addressTable) (*addressTable, error) {
		if err := f.validateNew(p); err != nil {
			return nil, err
		}
		return newAddressTable(append(slices.Clone(old.prefixes), p), old.numbers), nil
	})
}

// RemoveAddress takes an address away, and its subnet's route if no other address of the interface has it. It ends the
// sockets bound to the address: TCP connections fail with syscall.ECONNABORTED and their peers are told (RST), listeners
// and UDP sockets fail with syscall.EADDRNOTAVAIL. (Linux ends them on request only, with the same ECONNABORTED: "ss -K".)
// Sockets bound to no address stay. Routes that name it as their Source stay and choose another. Errors: ErrNotFound,
// ErrClosed.
func (f *Interface) RemoveAddress(a netip.Addr) error {
	return f.editAddresses("remove address", a.String(), func(old *addressTable) (*addressTable, error) {
		n := old.index(a)
		if n < 0 {
			return nil, ErrNotFound
		}
		prefixes, numbers := slices.Clone(old.prefixes), slices.Clone(old.numbers)
		return newAddressTable(slices.Delete(prefixes, n, n+1), slices.Delete(numbers, n, n+1)), nil
	})
}

// ReplaceAddress puts another address of the same family in the place of one, in one step: routes that lead by both
// subnets stay throughout, and the hooks of NIC_EVENTS see ADDRESS_CHANGE. If only the prefix length changes sockets stay, else
// those bound to the old address end as with RemoveAddress. On an error nothing has changed: ErrNotFound (the old
// address), and those of AddAddress.
func (f *Interface) ReplaceAddress(old netip.Addr, p netip.Prefix) error {
	return f.editAddresses("replace address", old.String(), func(table *addressTable) (*addressTable, error) {
		n := table.index(old)
		if n < 0 {
			return nil, ErrNotFound
		}
		if err := f.validateNew(p); err != nil {
			return nil, err
		}
		switch {
		case p.Addr().Is4() != old.Is4():
			return nil, fmt.Errorf("%w: %v is of the other address family", ErrInvalid, p)
		case f.loopback() && p.Addr() == old && p != table.prefixes[n]:
			return nil, fmt.Errorf("%w: the prefix length of an address of the loopback interface cannot change", ErrInvalid)
		}
		prefixes := slices.Clone(table.prefixes)
		prefixes[n] = p
		return newAddressTable(prefixes, table.numbers), nil
	})
}

// validateNew checks an address that is to come. An MTU that follows the host's makes room for IPv6 itself.
func (f *Interface) validateNew(p netip.Prefix) error {
	if err := validateAddress(p); err != nil || f.followMTU {
		return err
	}
	return validateMTU(f.MTU(), []netip.Prefix{p})
}

// editAddresses makes the change that edit asks for.
func (f *Interface) editAddresses(op, object string, edit func(*addressTable) (*addressTable, error)) error {
	f.inst.mu.Lock()
	defer f.inst.mu.Unlock()
	if f.closed {
		return opError(op, object, ErrClosed)
	}
	table, err := edit(f.addresses.Load())
	if err == nil {
		err = f.setAddresses(table)
	}
	return opError(op, object, err)
}

// resetTime is how long RemoveAddress waits for connection resets to leave while there still is a route for them.
const resetTime = 10 * time.Millisecond

// setAddresses makes the interface's addresses those of the table, everywhere: host stack, forwarding table, sockets,
// NIC_EVENTS. On an error, which only new addresses can cause, nothing has changed. Instance.mu is held.
func (f *Interface) setAddresses(table *addressTable) error {
	i, before := f.inst, f.nicState()
	come, gone := table.without(before.addresses), before.addresses.without(table)
	rows, added, removed := f.newRows(table)

	for n, p := range come {
		if err := i.host.addAddress(f, p); err != nil {
			i.host.removeAddresses(f, come[:n])
			return err
		}
	}
	// What is not ours any more must not be delivered, but the way to its subnet is left for the resets of connections.
	var local []fibEntry
	for _, e := range removed {
		if e.hop.row == rowLocal {
			local = append(local, e)
		}
	}
	if err := i.fib.change(local, added); err != nil {
		i.host.removeAddresses(f, come)
		return err
	}
	f.rows = rows
	i.publishOwn()
	f.addresses.Store(table)
	if f.followMTU {
		f.mtu.Store(int32(followedMTU(f.State().Host, table.prefixes)))
	}

	if i.host.endSockets(gone) > 0 {
		i.host.output.drain(resetTime)
	}
	i.host.removeAddresses(f, gone)
	i.host.endSockets(gone) // that came meanwhile; later ones find out themselves (Instance.checkLocal)
	i.fib.remove(removed...)
	i.mirrorRoutes()
	f.announce(before, f.nicState())
	return nil
}

// newRows returns the rows that the addresses of a table bring, and how they differ from those that are there. Rows that
// stay are the same.
func (f *Interface) newRows(table *addressTable) (rows, added, removed []fibEntry) {
	removed = slices.Clone(f.rows)
	for _, e := range f.fibEntries(table.prefixes) {
		n := slices.IndexFunc(removed, func(o fibEntry) bool { return o.prefix == e.prefix && sameRow(o.hop, e.hop) })
		if n < 0 {
			added = append(added, e)
		} else {
			removed = slices.Delete(removed, n, n+1)
		}
		rows = append(rows, e)
	}
	return rows, added, removed
}
