// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A datagramEndpoint is gVisor's endpoint of a UDP or ping socket that also hears when a hook at LOOPBACK_OUT or
// PHYSICAL_OUT drops what it sent. The hooks run on another goroutine (worker.go, queue.go), when the write may have
// returned: the error is the next call's, as that of an ICMP message is. gVisor carries the endpoint along with its packets
// as their owner, except with fragments that gVisor itself has made.
type datagramEndpoint struct {
	tcpip.Endpoint
	queue   *waiter.Queue
	refused atomic.Bool // by a hook, and nobody has been told yet
}

func newDatagramEndpoint(queue *waiter.Queue, ep tcpip.Endpoint) *datagramEndpoint {
	e := &datagramEndpoint{Endpoint: ep, queue: queue}
	ep.SetOwner(e)
	return e
}

// refuse notes a drop and wakes whoever reads.
func (e *datagramEndpoint) refuse() {
	e.refused.Store(true)
	e.queue.Notify(waiter.ReadableEvents)
}

// KUID and KGID make the endpoint a tcpip.PacketOwner.
func (e *datagramEndpoint) KUID() uint32 { return 0 }
func (e *datagramEndpoint) KGID() uint32 { return 0 }

func (e *datagramEndpoint) Read(to io.Writer, options tcpip.ReadOptions) (tcpip.ReadResult, tcpip.Error) {
	if e.refused.Swap(false) {
		return tcpip.ReadResult{}, &tcpip.ErrNotPermitted{}
	}
	return e.Endpoint.Read(to, options)
}

func (e *datagramEndpoint) Write(from tcpip.Payloader, options tcpip.WriteOptions) (int64, tcpip.Error) {
	if e.refused.Swap(false) {
		return 0, &tcpip.ErrNotPermitted{}
	}
	return e.Endpoint.Write(from, options)
}

// dialPing opens a ping socket, as Dial says. network is known to begin with "ping".
func (i *Instance) dialPing(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := parsePingAddress(network, address)
	if err == nil {
		err = i.checkZone(remote)
	}
	if err == nil {
		err = i.socketsOpen()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("address %q: %w", address, err)}
	}
	transport := icmp.ProtocolNumber4
	if remote.Is6() {
		transport = icmp.ProtocolNumber6
	}
	c, err := i.dialDatagram("ping", transport, netip.AddrPortFrom(remote, 0))
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: &net.IPAddr{IP: remote.AsSlice(), Zone: remote.Zone()}, Err: err}
	}
	return c, nil
}

func parsePingAddress(network, address string) (netip.Addr, error) {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return a, fmt.Errorf("%w; expected an IP address", err)
	}
	a = a.Unmap()
	switch {
	case network == "ping", network == "ping4" && a.Is4(), network == "ping6" && a.Is6():
	case network == "ping4", network == "ping6":
		return a, fmt.Errorf("%v is of the other address family than %s", a, network)
	default:
		return a, fmt.Errorf("network %q: expected ping, ping4 or ping6", network)
	}
	if a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "" {
		return a, errors.New("link-local address without a zone; expected e.g. fe80::1%tun0")
	}
	return a, nil
}

func isPing(network string) bool { return strings.HasPrefix(network, "ping") }
