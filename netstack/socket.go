// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const listenBacklog = 1024

// Dial opens a connection from the instance's host stack. network is tcp, tcp4, tcp6, udp, udp4 or udp6; address is an IP
// address and port, there is no name resolution. The source address is the one that the forwarding table's route to the
// destination asks for. Errors are *net.OpError and match errnos (syscall.ECONNREFUSED; syscall.EADDRNOTAVAIL if the instance
// has no address to dial from) and net.ErrClosed.
//
// The networks ping, ping4 and ping6, with an IP address alone, give a ping socket: Write takes an ICMP echo request, whose
// identifier and checksum the host stack fills in; Read returns the echo replies to it, from the ICMP header on.
//
// If a hook at LOOPBACK_OUT or PHYSICAL_OUT drops what a UDP or ping socket sent, the socket's next Read or Write fails
// with syscall.EPERM, once, as in Linux where netfilter drops. TCP sends again.
func (i *Instance) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if isPing(network) {
		return i.dialPing(ctx, network, address)
	}
	remote, err := parseAddress(network, address)
	if err == nil && !remote.Addr().IsValid() {
		err = errors.New("no IP address in it; there is no name resolution here")
	}
	if err == nil {
		err = i.checkZone(remote.Addr())
	}
	if err == nil && remote.Addr().IsLinkLocalUnicast() && remote.Addr().Is6() && remote.Addr().Zone() == "" {
		err = errors.New("link-local address without a zone; expected e.g. [fe80::1%tun0]:80")
	}
	if err == nil {
		err = i.socketsOpen()
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("address %q: %w", address, err)}
	}
	if strings.HasPrefix(network, "udp") {
		c, err := i.dialDatagram("udp", udp.ProtocolNumber, remote)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Addr: net.UDPAddrFromAddrPort(remote), Err: err}
		}
		return c, nil
	}
	socket := &Socket{Network: "tcp", Remote: remote}
	c, err := openSocket(&i.sockets, socket, func() (*tcpConn, error) { return i.connectTCP(ctx, socket) })
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(remote), Err: err}
	}
	return c, nil
}

// openSocket lets the hooks see a new socket, and makes what it stands for. SocketClose runs if that fails.
func openSocket[C any](s *sockets, socket *Socket, make func() (C, error)) (c C, err error) {
	if err = s.admit(socket); err != nil {
		return c, err
	}
	if c, err = make(); err != nil && !socket.close() {
		err = net.ErrClosed // by the instance, which is why it could not be made, whatever the host stack says
	}
	return c, err
}

// connectTCP connects; the endpoint is closed on every error.
func (i *Instance) connectTCP(ctx context.Context, socket *Socket) (*tcpConn, error) {
	remote := socket.Remote
	var queue waiter.Queue
	ep, terr := i.host.stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(remote.Addr()), &queue)
	if terr != nil {
		return nil, errnoOf(terr)
	}
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	if local := i.sourceFor(remote.Addr()); local.IsValid() {
		terr = ep.Bind(tcpip.FullAddress{Addr: toAddress(local)})
	}
	if terr == nil {
		terr = ep.Connect(i.fullAddress(remote))
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		terr = i.checkLocal(ep, remote.Addr()) // before the wait: nobody answers an address that is not ours
	}
	if terr == nil {
		select {
		case <-ctx.Done():
			ep.Abort()
			return nil, ctx.Err()
		case <-i.closing:
			ep.Abort()
			return nil, net.ErrClosed
		case <-writable:
			terr = ep.LastError()
		}
	}
	if terr != nil {
		ep.Abort()
		return nil, errnoOf(terr)
	}
	c := &tcpConn{TCPConn: gonet.NewTCPConn(&queue, ep), socket: socket}
	socket.bound(c.LocalAddr())
	return c, nil
}

// dialDatagram makes a UDP or ping socket and connects it.
func (i *Instance) dialDatagram(network string, transport tcpip.TransportProtocolNumber, remote netip.AddrPort) (*udpConn, error) {
	socket := &Socket{Network: network, Remote: remote}
	return openSocket(&i.sockets, socket, func() (*udpConn, error) { return i.connectDatagram(transport, socket) })
}

// connectDatagram connects; the endpoint is closed on every error.
func (i *Instance) connectDatagram(transport tcpip.TransportProtocolNumber, socket *Socket) (*udpConn, error) {
	remote := socket.Remote
	queue := new(waiter.Queue)
	ep, terr := i.host.stack.NewEndpoint(transport, protocolOf(remote.Addr()), queue)
	if terr != nil {
		return nil, errnoOf(terr)
	}
	if terr = ep.Bind(tcpip.FullAddress{Addr: toAddress(i.sourceFor(remote.Addr()))}); terr == nil {
		terr = ep.Connect(i.fullAddress(remote))
	}
	if terr == nil {
		terr = i.checkLocal(ep, remote.Addr())
	}
	if terr != nil {
		ep.Close()
		return nil, errnoOf(terr)
	}
	return i.newUDPConn(queue, ep, socket), nil
}

// Listen accepts TCP connections to an address of the instance. network is tcp, tcp4 or tcp6; an address without host
// (":80") listens on all addresses, of both families for tcp.
func (i *Instance) Listen(network, address string) (net.Listener, error) {
	at, err := i.listenAddress("tcp", network, address)
	if err != nil {
		return nil, err
	}
	socket := &Socket{Network: "tcp", Listening: true}
	l, err := openSocket(&i.sockets, socket, func() (*listener, error) { return i.listenTCP(network, at, socket) })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(at), Err: err}
	}
	return l, nil
}

// listenAddress checks the arguments of Listen and ListenPacket, for networks that begin with kind.
func (i *Instance) listenAddress(kind, network, address string) (netip.AddrPort, error) {
	at, err := parseAddress(network, address)
	if err == nil && !strings.HasPrefix(network, kind) {
		err = fmt.Errorf("unknown network; expected %[1]s, %[1]s4 or %[1]s6", kind)
	}
	if err == nil {
		err = i.socketsOpen()
	}
	if err != nil {
		err = &net.OpError{Op: "listen", Net: network, Err: fmt.Errorf("address %q: %w", address, err)}
	}
	return at, err
}

// listenTCP listens; the endpoint is closed on every error.
func (i *Instance) listenTCP(network string, at netip.AddrPort, socket *Socket) (*listener, error) {
	queue := new(waiter.Queue)
	ep, err := i.bound(tcp.ProtocolNumber, network, at, queue)
	if err != nil {
		return nil, err
	}
	terr := ep.Listen(listenBacklog)
	if terr == nil {
		terr = i.checkLocal(ep, netip.Addr{})
	}
	if terr != nil {
		ep.Close()
		return nil, errnoOf(terr)
	}
	l := &listener{TCPListener: gonet.NewTCPListener(i.host.stack, queue, ep), inst: i, socket: socket}
	socket.bound(l.Addr())
	return l, nil
}

// ListenPacket opens a UDP socket on an address of the instance. network is udp, udp4 or udp6; an address without host
// listens on all addresses, of both families for udp. What hooks drop is reported as by Dial.
func (i *Instance) ListenPacket(network, address string) (net.PacketConn, error) {
	at, err := i.listenAddress("udp", network, address)
	if err != nil {
		return nil, err
	}
	socket := &Socket{Network: "udp"}
	c, err := openSocket(&i.sockets, socket, func() (*udpConn, error) { return i.listenUDP(network, at, socket) })
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.UDPAddrFromAddrPort(at), Err: err}
	}
	return c, nil
}

// listenUDP binds; the endpoint is closed on every error.
func (i *Instance) listenUDP(network string, at netip.AddrPort, socket *Socket) (*udpConn, error) {
	queue := new(waiter.Queue)
	ep, err := i.bound(udp.ProtocolNumber, network, at, queue)
	if err != nil {
		return nil, err
	}
	if terr := i.checkLocal(ep, netip.Addr{}); terr != nil {
		ep.Close()
		return nil, errnoOf(terr)
	}
	return i.newUDPConn(queue, ep, socket), nil
}

// bound makes a bound endpoint. IPv6-only sockets say so, or tcp4 and tcp6 could not share a port.
func (i *Instance) bound(transport tcpip.TransportProtocolNumber, network string, at netip.AddrPort, queue *waiter.Queue) (tcpip.Endpoint, error) {
	protocol := ipv6.ProtocolNumber
	if strings.HasSuffix(network, "4") || at.Addr().Is4() {
		protocol = ipv4.ProtocolNumber
	}
	ep, terr := i.host.stack.NewEndpoint(transport, protocol, queue)
	if terr != nil {
		return nil, errnoOf(terr)
	}
	if protocol == ipv6.ProtocolNumber {
		ep.SocketOptions().SetV6Only(strings.HasSuffix(network, "6") || at.Addr().IsValid() && !at.Addr().IsUnspecified())
	}
	if transport == tcp.ProtocolNumber {
		ep.SocketOptions().SetReuseAddress(true) // as the net package does: connections of a former listener do not stand in the way
	}
	if err := i.checkZone(at.Addr()); err != nil {
		ep.Close()
		return nil, err
	}
	full := i.fullAddress(at)
	if at.Addr().IsUnspecified() {
		full.Addr = tcpip.Address{}
	}
	if terr := ep.Bind(full); terr != nil {
		ep.Close()
		return nil, errnoOf(terr)
	}
	return ep, nil
}

// checkLocal looks whether a new socket can live with the address it has. It is called when the host stack knows the socket:
// the address may have been taken away meanwhile, and RemoveAddress have looked for the address's sockets just before this one
// was among them. And the host stack, if it finds no other address for a remote (which listeners have not), takes the
// loopback interface's, which no packet to another host may have (RFC 1122 section 3.2.1.3).
func (i *Instance) checkLocal(ep tcpip.Endpoint, remote netip.Addr) tcpip.Error {
	at, err := ep.GetLocalAddress()
	if err != nil {
		return err
	}
	a, _ := netip.AddrFromSlice(at.Addr.AsSlice())
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return nil
	case !i.isLocal(a), a.IsLoopback() && remote.IsValid() && !i.isLocal(remote.WithZone("")):
		return &tcpip.ErrBadLocalAddress{}
	}
	return nil
}

func (i *Instance) socketsOpen() error {
	select {
	case <-i.closing:
		return net.ErrClosed
	default:
		return nil
	}
}

// sourceFor returns the source address for a destination as the forwarding table would have it; the zero Addr if it has
// no opinion.
func (i *Instance) sourceFor(dst netip.Addr) netip.Addr {
	h := i.fib.lookup(dst.WithZone(""))
	switch {
	case dst.Zone() != "" || h == nil || h.iface == nil:
		return netip.Addr{}
	case h.kind == hopLocal && h.iface.addresses.Load().index(dst) >= 0:
		return dst // to one of our addresses, from that address; to the rest of 127/8, from 127.0.0.1
	case h.route.Source.IsValid() && i.isLocal(h.route.Source): // it may have been removed
		return h.route.Source
	}
	return i.address(dst.Is4(), h.iface)
}

// fullAddress translates an address; its zone is the name of an interface.
func (i *Instance) fullAddress(a netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{Addr: toAddress(a.Addr().WithZone("")), Port: a.Port()}
	if zone := a.Addr().Zone(); zone != "" {
		if f, ok := i.Interface(zone); ok {
			full.NIC = tcpip.NICID(f.index)
		}
	}
	return full
}

// checkZone refuses a zone that is no interface.
func (i *Instance) checkZone(a netip.Addr) error {
	if zone := a.Zone(); zone != "" {
		if _, ok := i.Interface(zone); !ok {
			return fmt.Errorf("no interface %q", zone)
		}
	}
	return nil
}

// parseAddress splits host:port; an empty host gives the zero Addr.
func parseAddress(network, address string) (netip.AddrPort, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return netip.AddrPort{}, fmt.Errorf("network %q: expected tcp, tcp4, tcp6, udp, udp4 or udp6", network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q: expected 0 to 65535", port)
	}
	if host == "" {
		return netip.AddrPortFrom(netip.Addr{}, uint16(number)), nil
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%w; expected an IP address", err)
	}
	a = a.Unmap()
	if strings.HasSuffix(network, "4") && !a.Is4() || strings.HasSuffix(network, "6") && a.Is4() {
		return netip.AddrPort{}, fmt.Errorf("%v is of the other address family than %s", a, network)
	}
	return netip.AddrPortFrom(a, uint16(number)), nil
}
