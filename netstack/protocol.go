// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// A Protocol is a counted handle on a protocol of an instance (net_handle_t): "inet", "inet6", "arp", or what somebody
// registered. Its accessors are those of Netinfo.
//
// Its methods may be called by any goroutine, also inside hooks and callbacks. The accessors take no lock, and those of the
// instance's own protocols allocate nothing; their errors are the sentinels themselves. Once the protocol is unregistered
// or the instance shut down, all of them fail with ErrClosed, and Release is all that is left to do. On a released handle
// they fail with hooks.ErrGone.
type Protocol struct {
	entry    *protocol
	released atomic.Bool
}

// A protocol is one in the registry.
type protocol struct {
	inst      *Instance
	name      string
	info      Netinfo
	condemned atomic.Bool // unregistered, or the instance is shut down

	handles      int           // guarded by protocols.mu; handles that are not released
	unregistered bool          // guarded by protocols.mu
	gone         chan struct{} // closed when it is unregistered and handles is 0
}

// protocols is the registry of an instance.
type protocols struct {
	mu      sync.Mutex
	entries []*protocol             // guarded by mu; oldest first, also those that are unregistered and still held
	closed  bool                    // guarded by mu; nothing is registered or looked up any more
	builtin []*ProtocolRegistration // inet, inet6, arp; constant
}

// open registers the instance's own protocols, in the order of spec 6.4.
func (r *protocols) open(i *Instance) error {
	inet := &ipNetinfo{inst: i, family: packet.Inet}
	for _, own := range []struct {
		family packet.Family
		info   Netinfo
	}{{packet.Inet, inet}, {packet.Inet6, &ipNetinfo{inst: i, family: packet.Inet6}}, {packet.ARP, &arpNetinfo{inet: inet}}} {
		registration, err := i.RegisterProtocol(own.family.String(), own.info)
		if err != nil {
			return err
		}
		r.builtin = append(r.builtin, registration)
	}
	return nil
}

// shutdown condemns all protocols: from now on there are none.
func (r *protocols) shutdown() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, e := range r.entries {
		e.condemned.Store(true)
	}
}

// close unregisters the instance's own protocols and names what others have left behind.
func (r *protocols) close() (left []string) {
	for _, own := range r.builtin {
		_ = own.Unregister()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if !e.unregistered {
			left = append(left, fmt.Sprintf("protocol %s", e.name))
		}
		if e.handles > 0 {
			left = append(left, fmt.Sprintf("%d handles of protocol %s", e.handles, e.name))
		}
	}
	return left
}

// hold returns a handle on e. mu is held.
func (r *protocols) hold(e *protocol) *Protocol {
	e.handles++
	return &Protocol{entry: e}
}

// reap forgets e if nobody has to do with it any more. mu is held.
func (r *protocols) reap(e *protocol) {
	if e.unregistered && e.handles == 0 {
		r.entries = slices.DeleteFunc(r.entries, func(other *protocol) bool { return other == e })
		close(e.gone)
	}
}

// protocolName returns the one name a protocol goes by here; the original has two for each (spec 1.1).
func protocolName(name string) string {
	switch name {
	case "NHF_INET":
		return packet.Inet.String()
	case "NHF_INET6":
		return packet.Inet6.String()
	case "NHF_ARP":
		return packet.ARP.String()
	}
	return name
}

// Protocol returns a handle on the protocol called name (net_protocol_lookup(9F)): "inet" or "NHF_INET", "inet6" or
// "NHF_INET6", "arp" or "NHF_ARP", or one that was registered. Release it when it is no longer needed. Errors: ErrClosed
// after Shutdown, ErrNotFound.
func (i *Instance) Protocol(name string) (*Protocol, error) {
	name = protocolName(name)
	r := &i.protocols
	r.mu.Lock()
	defer r.mu.Unlock()
	err := ErrNotFound
	if r.closed {
		err = ErrClosed
	}
	for _, e := range r.entries {
		if e.name == name && !e.condemned.Load() {
			return r.hold(e), nil
		}
	}
	return nil, opError("find protocol", name, err)
}

// Protocols iterates over the protocols that are live when the walk comes to them, oldest first (net_protocol_walk(9F),
// which in fact returns dead ones only). A handle is released when the loop goes on: who wants to keep a protocol looks it
// up by its name.
func (i *Instance) Protocols() iter.Seq[*Protocol] {
	return func(yield func(*Protocol) bool) {
		r := &i.protocols
		r.mu.Lock()
		entries := slices.Clone(r.entries)
		r.mu.Unlock()
		for _, e := range entries {
			r.mu.Lock()
			if e.condemned.Load() {
				r.mu.Unlock()
				continue
			}
			p := r.hold(e)
			r.mu.Unlock()
			more := yield(p)
			p.Release() // its error is for a loop that has released it by itself
			if !more {
				return
			}
		}
	}
}

// A ProtocolRegistration stands for a protocol to the one who registered it.
type ProtocolRegistration struct{ entry *protocol }

// RegisterProtocol adds a protocol to the instance (net_protocol_register(9F)); everybody can find it from then on. info
// answers for it; embed Unsupported in it for what it has no answer to.
//
// If the protocol has events, they belong to a family of the same name, which its owner adds to Hooks with AddFamily and
// takes away himself; Protocol.Family finds it. Register the protocol first: who is told of the family may ask for it.
//
// Errors: ErrInvalid (no name, no info), ErrClosed after Shutdown, ErrExists (a live protocol has the name).
func (i *Instance) RegisterProtocol(name string, info Netinfo) (*ProtocolRegistration, error) {
	e := &protocol{inst: i, name: protocolName(name), info: info, gone: make(chan struct{})}
	r := &i.protocols
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	switch {
	case name == "":
		err = fmt.Errorf("%w: no name", ErrInvalid)
	case info == nil:
		err = fmt.Errorf("%w: no netinfo; expected at least Unsupported", ErrInvalid)
	case r.closed:
		err = ErrClosed
	case slices.ContainsFunc(r.entries, func(o *protocol) bool { return o.name == e.name && !o.condemned.Load() }):
		err = fmt.Errorf("%w: a protocol of that name", ErrExists)
	}
	if err != nil {
		return nil, opError("register protocol", name, err)
	}
	r.entries = append(r.entries, e)
	return &ProtocolRegistration{e}, nil
}

// Unregister takes the protocol away (net_protocol_unregister(9F)); its name is free again. Handles that are held are good
// for Release only. It does not wait: an accessor may still be under way until Gone. The error is hooks.ErrGone at the
// second use.
func (r *ProtocolRegistration) Unregister() error {
	e, all := r.entry, &r.entry.inst.protocols
	all.mu.Lock()
	defer all.mu.Unlock()
	if e.unregistered {
		return opError("unregister protocol", e.name, hooks.ErrGone)
	}
	e.condemned.Store(true)
	e.unregistered = true
	all.reap(e)
	return nil
}

// Gone returns a channel that is closed when the protocol is unregistered and its last handle released.
func (r *ProtocolRegistration) Gone() <-chan struct{} { return r.entry.gone }

// Name returns the protocol's name: "inet", never "NHF_INET".
func (p *Protocol) Name() string { return p.entry.name }

// Release gives the handle back (net_protocol_release(9F)), also after the protocol is unregistered or the instance closed.
// A second Release does nothing and returns hooks.ErrGone.
func (p *Protocol) Release() error {
	if p.released.Swap(true) {
		return opError("release protocol", p.entry.name, hooks.ErrGone)
	}
	r := &p.entry.inst.protocols
	r.mu.Lock()
	defer r.mu.Unlock()
	p.entry.handles--
	r.reap(p.entry)
	return nil
}

// Family returns the hook family of the protocol: to look up its events (hooks.FindEvent) and to be told of them
// (hooks.Family.Notify, net_protocol_notify_register(9F)). Errors besides those of all accessors: hooks.ErrNotFound if the
// protocol has no events, ErrClosed if its family is removed.
func (p *Protocol) Family() (*hooks.Family, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	return p.entry.inst.hooks.Family(p.entry.name)
}

// InstanceID returns the number of the protocol's instance (net_getnetid(9F)).
func (p *Protocol) InstanceID() (hooks.InstanceID, error) {
	if err := p.err(); err != nil {
		return 0, err
	}
	return p.entry.inst.id, nil
}

// err says why the handle is not to be used.
func (p *Protocol) err() error {
	switch {
	case p.released.Load():
		return hooks.ErrGone
	case p.entry.condemned.Load():
		return ErrClosed
	}
	return nil
}

// What handles answer that are not to be used.
var (
	closedNetinfo   Netinfo = Unsupported{ErrClosed}
	releasedNetinfo Netinfo = Unsupported{hooks.ErrGone}
)

// info returns what answers for the handle.
func (p *Protocol) info() Netinfo {
	switch {
	case p.released.Load():
		return releasedNetinfo
	case p.entry.condemned.Load():
		return closedNetinfo
	}
	return p.entry.info
}

// A handle is the Netinfo of its protocol as long as there is one.
var _ Netinfo = (*Protocol)(nil)

// NICName implements Netinfo (net_getifname(9F)).
func (p *Protocol) NICName(nic uint32) (string, error) { return p.info().NICName(nic) }

// NICByName implements Netinfo (net_phylookup(9F)).
func (p *Protocol) NICByName(name string) (uint32, error) { return p.info().NICByName(name) }

// NextNIC implements Netinfo (net_phygetnext(9F)); see also NICs.
func (p *Protocol) NextNIC(after uint32) (uint32, error) { return p.info().NextNIC(after) }

// NextLIF implements Netinfo (net_lifgetnext(9F)); see also LIFs.
func (p *Protocol) NextLIF(nic, after uint32) (uint32, error) { return p.info().NextLIF(nic, after) }

// MTU implements Netinfo (net_getmtu(9F)).
func (p *Protocol) MTU(nic, lif uint32) (int, error) { return p.info().MTU(nic, lif) }

// LIFAddresses implements Netinfo (net_getlifaddr(9F)).
func (p *Protocol) LIFAddresses(nic, lif uint32) (LIFAddresses, error) {
	return p.info().LIFAddresses(nic, lif)
}

// LIFFlags implements Netinfo (net_getlifflags(9F)).
func (p *Protocol) LIFFlags(nic, lif uint32) (net.Flags, error) { return p.info().LIFFlags(nic, lif) }

// LIFZone implements Netinfo (net_getlifzone(9F)).
func (p *Protocol) LIFZone(nic, lif uint32) (hooks.InstanceID, error) {
	return p.info().LIFZone(nic, lif)
}

// RouteTo implements Netinfo (net_routeto(9F)).
func (p *Protocol) RouteTo(dst netip.Addr) (nic uint32, next netip.Addr, err error) {
	return p.info().RouteTo(dst)
}

// PathMTUDiscovery implements Netinfo (net_getpmtuenabled(9F)).
func (p *Protocol) PathMTUDiscovery() (bool, error) { return p.info().PathMTUDiscovery() }

// ChecksumState implements Netinfo (net_ispartialchecksum(9F)).
func (p *Protocol) ChecksumState(q *packet.Packet) (packet.ChecksumState, error) {
	return p.info().ChecksumState(q)
}

// ValidChecksum implements Netinfo (net_isvalidchecksum(9F)).
func (p *Protocol) ValidChecksum(q *packet.Packet) (bool, error) { return p.info().ValidChecksum(q) }

// NICs iterates over the interfaces by ascending index, each as NextNIC finds it. An error ends the walk: whoever needs to
// tell it from the end uses NextNIC.
func (p *Protocol) NICs() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for nic, err := p.NextNIC(0); err == nil && nic != 0; nic, err = p.NextNIC(nic) {
			if !yield(nic) {
				return
			}
		}
	}
}

// LIFs iterates over an interface's addresses by ascending number, each as NextLIF finds it. It ends when the address it
// stands at is removed, and on an error.
func (p *Protocol) LIFs(nic uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for lif, err := p.NextLIF(nic, 0); err == nil && lif != 0; lif, err = p.NextLIF(nic, lif) {
			if !yield(lif) {
				return
			}
		}
	}
}
