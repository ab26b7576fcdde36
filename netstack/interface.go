// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// MTU limits in bytes: RFC 791 section 3.2, RFC 8200 section 5, and the largest IPv4 packet.
const (
	minMTU4     = 68
	minMTU6     = 1280
	maxMTU      = 65535
	defaultMTU  = 1500
	loopbackMTU = maxMTU
)

func minMTU(is4 bool) int {
	if is4 {
		return minMTU4
	}
	return minMTU6
}

// InterfaceConfig describes an interface. It is copied by AddInterface.
type InterfaceConfig struct {
	// Name is unique in the instance, at most 15 bytes as on Linux. Default: the device's name.
	Name string
	// MTU is the largest packet sent by the interface, in bytes, 68 to 65535, at least 1280 if there is an IPv6 address.
	// The host's side of the device must be set to the same. Default: what the host's side is set to, now and whenever that
	// changes, if the device can tell (tun.LinkWatcher); else 1500.
	MTU int
	// Addresses are the interface's own addresses with the prefix length of their subnet; the subnet becomes a
	// connected route. The first of each family is the source of ICMP errors and of sockets that name none.
	Addresses []netip.Prefix
	// SourceValidation says which source addresses are believed (uRPF). Default: all that are no martians.
	SourceValidation SourceValidation
	// PassSourceRoutes lets IPv4 packets with a Loose or Strict Source Route option that is not used up be forwarded as if
	// they had none; the option goes on with them, unprocessed (RFC 7126 sections 4.3.5 and 4.4.5). Default: they are dropped.
	// Source routes are never processed, and IPv6's type 0 routing headers always dropped (RFC 5095).
	PassSourceRoutes bool
	// ClampMSS lowers the maximum segment size in the TCP handshakes that are forwarded by the interface, in or out, to what
	// fits the MTUs of the way in, the way out and the route back, so that connections work where ICMP errors get lost (as
	// TCPMSS --clamp-mss-to-pmtu of iptables and max-mss of pf). It is never raised, and not added where it is missing. The
	// instance's own connections need no help: the host stack knows its interfaces' MTUs.
	ClampMSS bool
}

// InterfaceStats counts what passed an interface since it was added. A superpacket counts as one packet.
type InterfaceStats struct {
	ReceivedPackets, ReceivedBytes uint64
	SentPackets, SentBytes         uint64
	SendErrors                     uint64 // the device refused the packet; also counted as drops by reason
}

// An Interface joins an instance to a device. All methods may be called by any goroutine and inside hooks, except Close
// and ReplaceDevice, which wait for hooks and say so.
type Interface struct {
	inst  *Instance
	index uint32
	name  string

	link             atomic.Pointer[link] // the device; nil for the loopback interface
	state            atomic.Pointer[InterfaceState]
	mtu              atomic.Int32
	addresses        atomic.Pointer[addressTable]
	nic              *endpoint     // gVisor's side of the interface
	sourceValidation atomic.Uint32 // a SourceValidation
	passSourceRoutes bool
	clampMSS         bool

	onLink *hop // the way to what is on this link whatever the table says: link-local and multicast destinations

	stats struct{ rxPackets, rxBytes, txPackets, txBytes, txErrors atomic.Uint64 }

	rows      []fibEntry // guarded by inst.mu; what the addresses have brought into the forwarding table
	followMTU bool       // guarded by inst.mu; the MTU is the host's
	closed    bool       // guarded by inst.mu

	replacing sync.Mutex // held by ReplaceDevice and Close; taken before inst.mu
	closing   sync.Once
	done      chan struct{}
}

// Index returns the interface's number, unique in the instance and never reused; the loopback interface has 1.
func (f *Interface) Index() uint32 { return f.index }

// Name returns the interface's name.
func (f *Interface) Name() string { return f.name }

func (f *Interface) loopback() bool { return f.link.Load() == nil }

// Stats returns the interface's counters.
func (f *Interface) Stats() InterfaceStats {
	return InterfaceStats{
		ReceivedPackets: f.stats.rxPackets.Load(), ReceivedBytes: f.stats.rxBytes.Load(),
		SentPackets: f.stats.txPackets.Load(), SentBytes: f.stats.txBytes.Load(),
		SendErrors: f.stats.txErrors.Load(),
	}
}

// AddInterface binds a device to the instance and starts one goroutine per device queue. From then on the interface owns
// the device and closes it. On an error nothing has changed and the device is still the caller's.
func (i *Instance) AddInterface(dev tun.Device, cfg InterfaceConfig) (*Interface, error) {
	if dev == nil {
		return nil, opError("add interface", cfg.Name, fmt.Errorf("%w: no device; open one with tun.Open or tun.Pair", ErrInvalid))
	}
	if cfg.Name == "" {
		cfg.Name = dev.Name()
	}
	f, err := i.addInterface(dev, cfg)
	return f, opError("add interface", cfg.Name, err)
}

func (c *InterfaceConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...))
	}
	if c.Name == "" || len(c.Name) > 15 {
		bad("name %q; expected 1 to 15 bytes", c.Name)
	}
	for _, p := range c.Addresses {
		if err := validateAddress(p); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, c.SourceValidation.validate())
	if errors.Join(errs...) == nil {
		errs = append(errs, validateMTU(c.MTU, c.Addresses))
	}
	return errors.Join(errs...)
}

// validateMTU checks an MTU against what the addresses' families ask for.
func validateMTU(mtu int, addresses []netip.Prefix) error {
	if mtu < minMTU4 || mtu > maxMTU {
		return fmt.Errorf("%w: MTU %d; expected %d to %d bytes", ErrInvalid, mtu, minMTU4, maxMTU)
	}
	for _, p := range addresses {
		if p.Addr().Is6() && mtu < minMTU6 {
			return fmt.Errorf("%w: MTU %d with the IPv6 address %v; expected at least %d (RFC 8200 section 5)", ErrInvalid, mtu, p, minMTU6)
		}
	}
	return nil
}

func validateAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid():
		return fmt.Errorf("%w: address %v is no prefix; expected e.g. 10.0.0.1/24", ErrInvalid, p)
	case a.Is4In6() || a.Zone() != "":
		return fmt.Errorf("%w: address %v; expected plain IPv4 or IPv6 without zone", ErrInvalid, p)
	case a.IsUnspecified() || a.IsMulticast():
		return fmt.Errorf("%w: address %v is no address a host may have", ErrInvalid, p)
	}
	return nil
}

// addInterface adds an interface; the loopback interface has no device.
func (i *Instance) addInterface(dev tun.Device, cfg InterfaceConfig) (*Interface, error) {
	l := newLink(dev)
	f := &Interface{inst: i, name: cfg.Name, followMTU: cfg.MTU == 0, done: make(chan struct{}),
		passSourceRoutes: cfg.PassSourceRoutes, clampMSS: cfg.ClampMSS}
	f.sourceValidation.Store(uint32(cfg.SourceValidation))
	f.link.Store(l)
	state := l.hostState(true)
	f.state.Store(&state)
	if cfg.MTU == 0 {
		cfg.MTU = followedMTU(state.Host, cfg.Addresses)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, ErrClosed
	}
	if dev != nil {
		if err := i.checkDevice(dev); err != nil {
			return nil, err
		}
	}
	if _, taken := i.Interface(cfg.Name); taken {
		return nil, fmt.Errorf("%w: an interface of that name", ErrExists)
	}
	if err := checkBudget("interfaces", i.budget.Interfaces, len(*i.interfaces.Load())); err != nil {
		return nil, err // lo, which is always there, makes up for the one that is to come
	}
	f.index = i.nextIndex
	f.onLink = &hop{hopKey: hopKey{kind: hopForward, iface: f}}
	f.nic = &endpoint{host: i.host, iface: f} // before packets can find the interface in the table
	f.mtu.Store(int32(cfg.MTU))
	f.addresses.Store(newAddressTable(slices.Clone(cfg.Addresses), nil))
	f.rows = f.fibEntries(cfg.Addresses)
	if err := i.fib.add(f.rows...); err != nil {
		return nil, err
	}
	if err := i.host.attach(f); err != nil {
		i.fib.remove(f.rows...)
		return nil, err
	}
	i.nextIndex++
	i.setInterfaces(append(slices.Clone(*i.interfaces.Load()), f))
	i.publishOwn()
	i.mirrorRoutes()
	for _, family := range ipFamilies {
		f.post(family, packet.NICPlumb)
	}
	f.announce(nicState{addresses: new(addressTable)}, f.nicState())
	f.start(l)
	return f, nil
}

func (i *Instance) setInterfaces(list []*Interface) {
	slices.SortFunc(list, func(a, b *Interface) int { return cmp.Compare(a.index, b.index) })
	i.interfaces.Store(&list)
}

// fibEntries returns the rows that addresses of the interface bring: the address, its subnet and the subnet's broadcast
// addresses. All of 127/8 is local (RFC 1122 section 3.2.1.3).
func (f *Interface) fibEntries(addresses []netip.Prefix) []fibEntry {
	var entries []fibEntry
	add := func(p netip.Prefix, row rowKind, kind hopKind) {
		p = p.Masked()
		if (row == rowConnected || !p.IsSingleIP()) && slices.ContainsFunc(entries, func(e fibEntry) bool { return e.prefix == p && e.hop.row == row }) {
			return // two addresses of one subnet
		}
		entries = append(entries, fibEntry{p, f.inst.fib.share(hopKey{kind: kind, row: row, iface: f, route: Route{Interface: f.name}})})
	}
	for _, p := range addresses {
		a := p.Addr()
		add(netip.PrefixFrom(a, a.BitLen()), rowLocal, hopLocal)
		if f.loopback() {
			if !p.IsSingleIP() {
				add(p, rowLocal, hopLocal)
			}
			continue
		}
		add(p, rowConnected, hopForward)
		if a.Is4() && p.Bits() < 31 { // RFC 3021: a /31 has no broadcast address
			add(netip.PrefixFrom(p.Masked().Addr(), 32), rowConnected, hopBroadcast)
			add(netip.PrefixFrom(lastAddr4(p), 32), rowConnected, hopBroadcast)
		}
	}
	return entries
}

// lastAddr4 returns the last address of an IPv4 prefix: its directed broadcast.
func lastAddr4(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// Close takes the interface out of the instance with its addresses and every route that leads to it, ends the sockets
// bound to its addresses as RemoveAddress does, closes the device and returns when its goroutines have ended. From
// inside what it would wait for (InHook) it is refused with hooks.ErrInHook.
func (f *Interface) Close() error {
	if InHook() {
		return opError("close interface", f.name, hooks.ErrInHook)
	}
	var err error
	f.closing.Do(func() {
		defer close(f.done)
		f.replacing.Lock()
		defer f.replacing.Unlock()
		i := f.inst
		i.mu.Lock()
		f.closed = true
		_ = f.setAddresses(new(addressTable)) // to take away does not fail
		i.fib.removeInterface(f)
		i.setInterfaces(slices.DeleteFunc(slices.Clone(*i.interfaces.Load()), func(o *Interface) bool { return o == f }))
		i.mirrorRoutes()
		i.mu.Unlock()
		err = f.link.Load().close()
		i.host.detach(f)
		for _, family := range ipFamilies {
			f.post(family, packet.NICUnplumb)
		}
	})
	<-f.done
	return opError("close interface", f.name, err)
}
