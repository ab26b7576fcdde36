// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// Netinfo is what a protocol tells of itself (netinfo(9F), net_protocol_t). The provider's side of Protocol: it may be
// called by any goroutine at any time until ProtocolRegistration.Gone, also inside hooks, so it must not block, nor lock
// what is locked while somebody waits for hooks.
//
// nic is the index of an interface; lif, "logical interface", the number of one of its addresses, as in packet.Context and
// packet.NICEvent. Both count from 1. As a lif, 0 is the interface as a whole, or its first address where one is needed.
//
// Errors: ErrNotFound (no such interface, address or route), ErrUnsupported, ErrInvalid (an address or packet of another
// family).
type Netinfo interface {
	// NICName returns an interface's name (net_getifname(9F)).
	NICName(nic uint32) (string, error)

	// NICByName returns the index of the interface called name (net_phylookup(9F)).
	NICByName(name string) (uint32, error)

	// NextNIC returns the lowest index above after, 0 at the end (net_phygetnext(9F)). A walk starts with 0; the
	// interface that it stands at may be gone.
	NextNIC(after uint32) (uint32, error)

	// NextLIF returns the lowest number above after of an address of an interface (net_lifgetnext(9F)). A walk starts
	// with 0, and ends with 0: after the last one, and if the address that it stands at is gone.
	NextLIF(nic, after uint32) (uint32, error)

	// MTU returns the largest packet that an interface sends, in bytes (net_getmtu(9F)).
	MTU(nic, lif uint32) (int, error)

	// LIFAddresses returns an address with all that belongs to it, as one consistent answer (net_getlifaddr(9F)).
	LIFAddresses(nic, lif uint32) (LIFAddresses, error)

	// LIFFlags returns the flags of an address and its interface together (net_getlifflags(9F)).
	LIFFlags(nic, lif uint32) (net.Flags, error)

	// LIFZone returns the zone that an address belongs to (net_getlifzone(9F)): each instance is one.
	LIFZone(nic, lif uint32) (hooks.InstanceID, error)

	// RouteTo returns the interface by which a packet to dst leaves, or which has the address dst, and the next hop: the
	// route's gateway, or dst itself (net_routeto(9F)).
	RouteTo(dst netip.Addr) (nic uint32, next netip.Addr, err error)

	// PathMTUDiscovery reports whether the host stack's TCP finds out path MTUs (net_getpmtuenabled(9F)).
	PathMTUDiscovery() (bool, error)

	// ChecksumState returns what the transport checksum field of a packet holds (net_ispartialchecksum(9F)): with
	// packet.ChecksumPartial and packet.ChecksumAbsent the device will complete it.
	ChecksumState(*packet.Packet) (packet.ChecksumState, error)

	// ValidChecksum reports whether a packet's checksums are right (net_isvalidchecksum(9F)): that of the IPv4 header and
	// those of TCP, UDP and ICMP, which the original's manual promises and its code passes over. What cannot be told or
	// is vouched for counts as right, as told at packet.Packet.TransportChecksumValid: so does the transport checksum of
	// fragments and superpackets.
	ValidChecksum(*packet.Packet) (bool, error)
}

// LIFAddresses are an address of an interface and what belongs to it. What there is not is the zero Addr.
type LIFAddresses struct {
	Address   netip.Addr // NA_ADDRESS
	Peer      netip.Addr // NA_PEER: the other address of a /31 (RFC 3021) or /127 (RFC 6164)
	Broadcast netip.Addr // NA_BROADCAST: of the subnet; IPv4 only
	Netmask   netip.Addr // NA_NETMASK
}

// Unsupported is a Netinfo without answers: all of them are ErrUnsupported. Embed it in one that has some.
type Unsupported struct {
	instead error // answered instead, if not nil
}

func (u Unsupported) err() error {
	if u.instead != nil {
		return u.instead
	}
	return ErrUnsupported
}

// NICName implements Netinfo.
func (u Unsupported) NICName(uint32) (string, error) { return "", u.err() }

// NICByName implements Netinfo.
func (u Unsupported) NICByName(string) (uint32, error) { return 0, u.err() }

// NextNIC implements Netinfo.
func (u Unsupported) NextNIC(uint32) (uint32, error) { return 0, u.err() }

// NextLIF implements Netinfo.
func (u Unsupported) NextLIF(_, _ uint32) (uint32, error) { return 0, u.err() }

// MTU implements Netinfo.
func (u Unsupported) MTU(_, _ uint32) (int, error) { return 0, u.err() }

// LIFAddresses implements Netinfo.
func (u Unsupported) LIFAddresses(_, _ uint32) (LIFAddresses, error) {
	return LIFAddresses{}, u.err()
}

// LIFFlags implements Netinfo.
func (u Unsupported) LIFFlags(_, _ uint32) (net.Flags, error) { return 0, u.err() }

// LIFZone implements Netinfo.
func (u Unsupported) LIFZone(_, _ uint32) (hooks.InstanceID, error) { return 0, u.err() }

// RouteTo implements Netinfo.
func (u Unsupported) RouteTo(netip.Addr) (uint32, netip.Addr, error) {
	return 0, netip.Addr{}, u.err()
}

// PathMTUDiscovery implements Netinfo.
func (u Unsupported) PathMTUDiscovery() (bool, error) { return false, u.err() }

// ChecksumState implements Netinfo.
func (u Unsupported) ChecksumState(*packet.Packet) (packet.ChecksumState, error) { return 0, u.err() }

// ValidChecksum implements Netinfo.
func (u Unsupported) ValidChecksum(*packet.Packet) (bool, error) { return false, u.err() }

// ipNetinfo answers for IPv4 and IPv6 from the snapshots that the packet path uses. Every interface belongs to both
// families, whatever addresses it has: the router needs none.
type ipNetinfo struct {
	inst   *Instance
	family packet.Family
}

func (n *ipNetinfo) NICName(nic uint32) (string, error) {
	f, ok := n.inst.InterfaceByIndex(nic)
	if !ok {
		return "", ErrNotFound
	}
	return f.Name(), nil
}

func (n *ipNetinfo) NICByName(name string) (uint32, error) {
	f, ok := n.inst.Interface(name)
	if !ok {
		return 0, ErrNotFound
	}
	return f.Index(), nil
}

func (n *ipNetinfo) NextNIC(after uint32) (uint32, error) {
	list := *n.inst.interfaces.Load()
	next, found := searchInterfaces(list, after)
	if found {
		next++
	}
	if next == len(list) {
		return 0, nil
	}
	return list[next].Index(), nil
}

func (n *ipNetinfo) NextLIF(nic, after uint32) (uint32, error) {
	f, ok := n.inst.InterfaceByIndex(nic)
	if !ok {
		return 0, ErrNotFound
	}
	here := after == 0
	for _, l := range f.LIFs(n.family) {
		if here {
			return l.Number, nil
		}
		here = l.Number == after
	}
	return 0, nil
}

// lif finds an address. For the number 0 it is the first one, the zero LIF if the interface has none.
func (n *ipNetinfo) lif(nic, number uint32) (*Interface, LIF, error) {
	f, ok := n.inst.InterfaceByIndex(nic)
	if !ok {
		return nil, LIF{}, ErrNotFound
	}
	for _, l := range f.LIFs(n.family) {
		if number == 0 || l.Number == number {
			return f, l, nil
		}
	}
	if number != 0 {
		return nil, LIF{}, ErrNotFound
	}
	return f, LIF{}, nil
}

func (n *ipNetinfo) MTU(nic, lif uint32) (int, error) {
	f, _, err := n.lif(nic, lif)
	if err != nil {
		return 0, err
	}
	return f.MTU(), nil
}

func (n *ipNetinfo) LIFAddresses(nic, lif uint32) (LIFAddresses, error) {
	f, l, err := n.lif(nic, lif)
	switch {
	case err != nil:
		return LIFAddresses{}, err
	case !l.Address.IsValid():
		return LIFAddresses{}, ErrNotFound
	}
	return LIFAddresses{
		Address:   l.Address.Addr(),
		Peer:      peer(l.Address),
		Broadcast: f.broadcast(l.Address),
		Netmask:   netmask(l.Address),
	}, nil
}

// peer returns the other address of a subnet of two.
func peer(p netip.Prefix) netip.Addr {
	a := p.Addr()
	switch {
	case p.Bits() != a.BitLen()-1:
		return netip.Addr{}
	case a == p.Masked().Addr():
		return a.Next()
	}
	return a.Prev()
}

// broadcast returns the broadcast address that fibEntries makes for an address of the interface.
func (f *Interface) broadcast(p netip.Prefix) netip.Addr {
	if f.loopback() || !p.Addr().Is4() || p.Bits() >= 31 {
		return netip.Addr{}
	}
	return lastAddr4(p)
}

// netmask returns a prefix length as a mask.
func netmask(p netip.Prefix) netip.Addr {
	ones := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if p.Addr().Is6() {
		ones = netip.AddrFrom16([16]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	}
	mask, _ := ones.Prefix(p.Bits())
	return mask.Addr()
}

// LIFFlags says up and running of the interface: its addresses follow it. It tells of a broadcast address where there is one;
// any other address of a TUN device is one end of a link between two points.
func (n *ipNetinfo) LIFFlags(nic, lif uint32) (net.Flags, error) {
	f, l, err := n.lif(nic, lif)
	if err != nil {
		return 0, err
	}
	var flags net.Flags
	state := f.State()
	if state.Up {
		flags |= net.FlagUp
	}
	if state.Running() {
		flags |= net.FlagRunning
	}
	switch {
	case f.loopback():
		flags |= net.FlagLoopback
	case f.broadcast(l.Address).IsValid():
		flags |= net.FlagMulticast | net.FlagBroadcast
	default:
		flags |= net.FlagMulticast | net.FlagPointToPoint
	}
	return flags, nil
}

func (n *ipNetinfo) LIFZone(nic, lif uint32) (hooks.InstanceID, error) {
	if _, _, err := n.lif(nic, lif); err != nil {
		return 0, err
	}
	return n.inst.id, nil
}

// RouteTo answers as originate would send: blackholes, refusing routes and broadcasts lead nowhere; a zone names the
// interface for link-local and multicast destinations.
func (n *ipNetinfo) RouteTo(dst netip.Addr) (nic uint32, next netip.Addr, err error) {
	zone, dst := dst.Zone(), dst.WithZone("")
	if !dst.IsValid() || dst.Is4In6() || familyOf(dst) != n.family {
		return 0, netip.Addr{}, ErrInvalid
	}
	h := n.inst.fib.lookup(dst)
	switch {
	case h.local():
		return h.iface.Index(), dst, nil
	case zone != "" && (dst.IsLinkLocalUnicast() || dst.IsMulticast()):
		if f, ok := n.inst.Interface(zone); ok && !f.loopback() && f.State().usable() {
			return f.Index(), dst, nil
		}
		return 0, netip.Addr{}, ErrNotFound
	case h == nil || h.kind != hopForward || dst.IsUnspecified() || dst == limitedBroadcast:
		return 0, netip.Addr{}, ErrNotFound
	case h.route.Gateway.IsValid():
		return h.iface.Index(), h.route.Gateway, nil
	}
	return h.iface.Index(), dst, nil
}

// PathMTUDiscovery is on for both families; there is no way to switch it off.
func (n *ipNetinfo) PathMTUDiscovery() (bool, error) { return true, nil }

func (n *ipNetinfo) ChecksumState(p *packet.Packet) (packet.ChecksumState, error) {
	if f := p.Family(); f != n.family && f != 0 {
		return 0, ErrInvalid
	}
	return p.Offload.Checksum, nil
}

// ValidChecksum is false for what does not parse.
func (n *ipNetinfo) ValidChecksum(p *packet.Packet) (bool, error) {
	if f := p.Family(); f != n.family && f != 0 {
		return false, ErrInvalid
	}
	return p.HeaderChecksumValid() && p.TransportChecksumValid(), nil
}

// arpNetinfo answers for ARP: what the original borrows from IPv4, and nothing else (spec 4).
type arpNetinfo struct {
	Unsupported
	inet *ipNetinfo
}

func (n *arpNetinfo) NICName(nic uint32) (string, error)           { return n.inet.NICName(nic) }
func (n *arpNetinfo) NICByName(name string) (uint32, error)        { return n.inet.NICByName(name) }
func (n *arpNetinfo) NextNIC(after uint32) (uint32, error)         { return n.inet.NextNIC(after) }
func (n *arpNetinfo) ValidChecksum(p *packet.Packet) (bool, error) { return n.inet.ValidChecksum(p) }
