// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/hooknet/hooknet/packet"
)

// TCP buffer sizes of the host stack in bytes; auto-tuning moves between them.
const (
	tcpBufferDefault = 1 << 20
	tcpBufferMax     = 4 << 20
)

// A hostStack is gVisor's netstack as the instance's host: it terminates, it never forwards. Each of our interfaces is
// a NIC of the same number; every NIC has its own default routes, because a reply must leave by the NIC that owns its
// source, and our forwarding table decides where it really goes.
type hostStack struct {
	inst   *Instance
	stack  *stack.Stack
	output *queue      // what the host stack sends: see endpoint.WritePackets
	broken atomic.Bool // gVisor panicked once: nothing is delivered to it any more
}

func newHostStack(i *Instance) (*hostStack, error) {
	h := &hostStack{
		inst: i,
		// The zero ipv6.Options keep it silent on the link: no DAD, MLD or router solicitations. Loopback addresses are
		// accepted from any NIC because the martian check is ours.
		stack: stack.New(stack.Options{
			NetworkProtocols: []stack.NetworkProtocolFactory{
				ipv4.NewProtocolWithOptions(ipv4.Options{AllowExternalLoopbackTraffic: true}),
				ipv6.NewProtocolWithOptions(ipv6.Options{AllowExternalLoopbackTraffic: true}),
			},
			TransportProtocols: []stack.TransportProtocolFactory{
				tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
			},
			HandleLocal: false, // local traffic comes to us, where LOOPBACK_OUT and LOOPBACK_IN are
			// An instance should be small when it is idle: gVisor's defaults for these two take 14 KiB.
			IPTables:   new(stack.IPTables), // empty and never changed, so that no packet looks into them
			RandSource: randomSource{},
		}),
	}
	h.output = newQueue(i, packet.ReasonHostQueueFull, func(w *worker, q queued) { w.originate(q.packet, q.iface) })
	if err := h.configureTCP(); err != nil {
		h.stack.Destroy()
		return nil, err
	}
	return h, nil
}

// A randomSource is the process's random number generator, which many goroutines may use.
type randomSource struct{}

func (randomSource) Int63() int64   { return rand.Int64() }
func (randomSource) Uint64() uint64 { return rand.Uint64() }
func (randomSource) Seed(int64)     {}

// configureTCP sets what gVisor leaves modest: selective acknowledgements, buffers for long fat networks, CUBIC.
func (h *hostStack) configureTCP() error {
	sack := tcpip.TCPSACKEnabled(true)
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBufferDefault, Max: tcpBufferMax}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBufferDefault, Max: tcpBufferMax}
	congestion := tcpip.CongestionControlOption("cubic")
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &send, &receive, &congestion} {
		if err := h.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("host stack: TCP option %T: %s", option, err)
		}
	}
	return nil
}

// attach makes a NIC for an interface and gives it the interface's addresses.
func (h *hostStack) attach(f *Interface) error {
	id := tcpip.NICID(f.index)
	// Without a name: ours is free again before an interface that is being closed has left the stack.
	if err := h.stack.CreateNIC(id, f.nic); err != nil {
		return fmt.Errorf("host stack: new NIC: %s", err)
	}
	for _, p := range f.Addresses() {
		if err := h.addAddress(f, p); err != nil {
			h.detach(f)
			return err
		}
	}
	return nil
}

// addAddress gives an interface's NIC an address.
func (h *hostStack) addAddress(f *Interface, p netip.Prefix) error {
	// Added with its full length: gVisor must not know subnets and their broadcasts, our table does. Only all of 127/8 is
	// local.
	address := tcpip.ProtocolAddress{Protocol: protocolOf(p.Addr()), AddressWithPrefix: toAddress(p.Addr()).WithPrefix()}
	if f.loopback() {
		address.AddressWithPrefix.PrefixLen = p.Bits()
	}
	err := h.stack.AddProtocolAddress(tcpip.NICID(f.index), address, stack.AddressProperties{})
	if _, there := err.(*tcpip.ErrDuplicateAddress); there {
		return fmt.Errorf("%v: %w", p, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("host stack: address %v: %s", p, err)
	}
	return nil
}

// removeAddresses takes addresses from an interface's NIC. Connections that use them keep them half alive until they end.
func (h *hostStack) removeAddresses(f *Interface, addresses []netip.Prefix) {
	for _, p := range addresses {
		_ = h.stack.RemoveAddress(tcpip.NICID(f.index), toAddress(p.Addr())) // it is there
	}
}

// endSockets ends the sockets bound to any of these local addresses and returns how many may have a reset to send.
func (h *hostStack) endSockets(addresses []netip.Prefix) (resets int) {
	if len(addresses) == 0 {
		return 0
	}
	ended := make(map[stack.TransportEndpoint]bool) // gVisor names those of both families twice
	for _, ep := range h.stack.RegisteredEndpoints() {
		bound, ok := ep.(interface {
			GetLocalAddress() (tcpip.FullAddress, tcpip.Error)
		})
		if !ok || ended[ep] {
			continue
		}
		at, err := bound.GetLocalAddress()
		if err != nil || !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return toAddress(p.Addr()) == at.Addr }) {
			continue
		}
		ended[ep] = true
		ep.Abort()
		if _, ok := ep.(*tcp.Endpoint); ok {
			resets++
		}
	}
	return resets
}

// detach removes an interface's NIC.
func (h *hostStack) detach(f *Interface) { h.stack.RemoveNIC(tcpip.NICID(f.index)) }

// mirroredRoutes is the largest forwarding table that is shown to gVisor row by row; of larger ones it sees the
// default routes only, because it walks its rows one by one.
const mirroredRoutes = 1000

// mirrorRoutes shows the forwarding table to gVisor, which needs it to choose source addresses, and to send by each NIC.
func (i *Instance) mirrorRoutes() {
	var table []tcpip.Route
	add := func(p netip.Prefix, f *Interface) {
		subnet := tcpip.AddressWithPrefix{Address: toAddress(p.Addr()), PrefixLen: p.Bits()}.Subnet()
		table = append(table, tcpip.Route{Destination: subnet, NIC: tcpip.NICID(f.index)})
	}
	if i.fib.size() <= mirroredRoutes {
		for p, h := range i.fib.all() {
			if h.kind == hopForward || h.kind == hopLocal {
				add(p, h.iface)
			}
		}
	}
	slices.SortStableFunc(table, func(a, b tcpip.Route) int { return cmp.Compare(b.Destination.Prefix(), a.Destination.Prefix()) })
	for _, d := range []netip.Prefix{defaultRoute4, defaultRoute6} {
		if h := i.fib.lookup(d.Addr()); h != nil && h.kind == hopForward {
			add(d, h.iface)
		}
		var loopback *Interface
		for f := range i.Interfaces() {
			if f.loopback() {
				loopback = f
				continue
			}
			add(d, f)
		}
		if loopback != nil {
			add(d, loopback)
		}
	}
	i.host.stack.SetRouteTable(table)
}

var (
	defaultRoute4 = netip.MustParsePrefix("0.0.0.0/0")
	defaultRoute6 = netip.MustParsePrefix("::/0")
)

// close ends all sockets; the resets this causes are still sent.
func (h *hostStack) close() {
	h.stack.Close()
	h.output.drain(0)
}

// destroy ends the output and frees the stack.
func (h *hostStack) destroy() {
	h.output.close()
	h.stack.Destroy()
}

// deliver hands a packet to the host stack on the NIC that owns its destination. The bytes are copied.
func (w *worker) deliver(p *packet.Packet, owner *Interface) {
	if gso := p.Offload.GSO; gso == packet.GSOUDP4 || gso == packet.GSOUDP6 {
		w.split(p, atDeliver, owner, nil) // many datagrams; gVisor would take them for one. TCP does not mind
		return
	}
	if !p.TransportChecksumValid() {
		w.drop(p, packet.ReasonTransportChecksum)
		return
	}
	if m := tooBig(p); m != nil && !w.believeTooBig(p.Family(), m) {
		w.drop(p, packet.ReasonHostRefused)
		return
	}
	if headersCut(p) {
		w.drop(p, packet.ReasonTransportHeader)
		return
	}
	h := w.inst.host
	if h.broken.Load() {
		w.drop(p, packet.ReasonHostRefused)
		return
	}
	if w.showsTCP() {
		w.show(toHost, p)
	}
	if !h.input(p, owner) {
		w.drop(p, packet.ReasonHostRefused)
		return
	}
	w.n.delivered++
	w.finish(p)
}

// input returns false if gVisor panicked: the forwarding plane goes on without a host stack.
func (h *hostStack) input(p *packet.Packet, owner *Interface) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			h.broken.Store(true)
			h.inst.log.Error("host stack panicked and is switched off", "panic", v, "packet", p.String(), "stack", string(debug.Stack()))
		}
	}()
	dispatcher := owner.nic.dispatcher.Load()
	if dispatcher == nil {
		return false // the interface is being closed
	}
	protocol := header.IPv4ProtocolNumber
	if p.Family() == packet.Inet6 {
		protocol = header.IPv6ProtocolNumber
	}
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p.Bytes())})
	defer pkt.DecRef()
	owner.nic.deliver(*dispatcher, protocol, pkt, p.IsFragment())
	return true
}

// headersCut reports an IPv6 first fragment that does not hold all headers up to the transport's, with which packets are
// smuggled past who looks at first fragments only. gVisor would put it together; RFC 7112 section 5 discards it.
func headersCut(p *packet.Packet) bool {
	if p.Family() != packet.Inet6 || !p.IsFragment() || p.FragmentOffset() != 0 {
		return false
	}
	least := 0
	switch p.TransportProtocol() {
	case uint8(header.TCPProtocolNumber):
		least = header.TCPMinimumSize
	case uint8(header.UDPProtocolNumber):
		least = header.UDPMinimumSize
	case uint8(header.ICMPv6ProtocolNumber):
		least = header.ICMPv6MinimumSize
	}
	transport := p.Transport()
	return transport == nil || len(transport) < least
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func toAddress(a netip.Addr) tcpip.Address {
	if !a.IsValid() {
		return tcpip.Address{}
	}
	return tcpip.AddrFromSlice(a.AsSlice())
}
