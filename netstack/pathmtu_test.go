// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A narrowPath is a host whose way to a server has a link with a small MTU, behind the first router:
//
//	host ---1500--- router ---narrow--- server
type narrowPath struct{ host, router, server *netstack.Instance }

func newNarrowPath(t *testing.T, narrow int, features packet.Features) *narrowPath {
	t.Helper()
	p := &narrowPath{newInstance(t, netstack.Config{}), newInstance(t, netstack.Config{}), newInstance(t, netstack.Config{})}
	join := func(a, b *netstack.Instance, net, mtuA, mtuB int) {
		x, y := tun.Pair(tun.PairConfig{Features: features, QueueLen: 4096})
		for side, i := range []*netstack.Instance{a, b} {
			_, err := i.AddInterface([]tun.Device{x, y}[side], netstack.InterfaceConfig{Name: fmt.Sprintf("net%d", net), MTU: []int{mtuA, mtuB}[side],
				Addresses: prefixes(fmt.Sprintf("10.7.%d.%d/24", net, side+1), fmt.Sprintf("fd07:%d::%d/64", net, side+1))})
			must(t, err)
		}
	}
	join(p.host, p.router, 1, 1500, 1500)
	join(p.router, p.server, 2, narrow, 1500)
	for i, by := range map[*netstack.Instance]string{p.host: "net1", p.server: "net2"} {
		must(t, i.AddRoutes(netstack.Route{Destination: prefix("0.0.0.0/0"), Interface: by}, netstack.Route{Destination: prefix("::/0"), Interface: by}))
	}
	return p
}

// send carries n bytes from the host to the server by a new connection, and returns how long that took.
func (p *narrowPath) send(t *testing.T, to netip.AddrPort, n int) time.Duration {
	t.Helper()
	l, err := p.server.Listen("tcp", to.String())
	must(t, err)
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	ctx, cancel := dialer(t)
	defer cancel()
	start := time.Now()
	c, err := p.host.Dial(ctx, "tcp", to.String())
	must(t, err)
	must(t, c.SetDeadline(start.Add(25*time.Second)))
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	must(t, c.(interface{ CloseWrite() error }).CloseWrite())
	select {
	case received := <-got:
		if received != int64(n) {
			t.Fatalf("%d of %d bytes", received, n)
		}
	case <-time.After(25 * time.Second):
		t.Fatalf("%d bytes to %v take more than 25 s; the router says %+v", n, to, p.router.Stats())
	}
	c.Close()
	return time.Since(start)
}

// RFC 1191 section 3, RFC 8201 section 3: what a host has learned of a path is good for the next connection, too: it
// provokes no error any more.
func TestRFC8201_3_PathMTUIsKept(t *testing.T) {
	for name, features := range map[string]packet.Features{"plain": 0, "offload": offloads} {
		t.Run(name, func(t *testing.T) {
			p := newNarrowPath(t, 1300, features)
			for _, to := range []string{"10.7.2.2:80", "[fd07:2::2]:80"} {
				first := p.send(t, netip.MustParseAddrPort(to), 2<<20)
				told := p.router.Stats().Made
				second := p.send(t, netip.MustParseAddrPort(to), 1<<20)
				s := p.router.Stats()
				t.Logf("%s: 2 MiB in %v, then 1 MiB in %v; %d too big", to, first, second, s.Drops["too_big"])
				if s.Made != told {
					t.Errorf("%s: the second connection provoked %d errors", to, s.Made-told)
				}
			}
		})
	}
}

// RFC 1191 section 5: a connection gets by a router that does not tell the MTU of its next hop.
func TestRFC1191_5_RouterTellsNoMTU(t *testing.T) {
	p := newNarrowPath(t, 1300, offloads)
	register(t, p.router, packet.Inet, packet.PhysicalOut, packet.Hook{Name: "old router", Func: func(c *packet.Context) hooks.Verdict {
		if m := c.Packet.Transport(); c.Packet.TransportProtocol() == 1 && m[0] == 3 && m[1] == 4 {
			m = c.Packet.Mutable()[c.Packet.TransportOffset():]
			m[6], m[7] = 0, 0
			c.Packet.DeferChecksum()
		}
		return hooks.Accept
	}})
	to := netip.MustParseAddrPort("10.7.2.2:80")
	for _, provokes := range []bool{true, false} {
		before := p.router.Stats().Made
		p.send(t, to, 1<<20)
		if told := p.router.Stats().Made - before; (told != 0) != provokes {
			t.Errorf("%d errors provoked; want any: %v", told, provokes)
		}
	}
}

// RFC 5927 section 7.2: who knows the addresses and ports of a connection can lower its path MTU, but not below the least that is
// believed, and the connection goes on.
func TestRFC5927_7_2_ForgedTooBig(t *testing.T) {
	for name, c := range map[string]struct {
		family         packet.Family
		router, server string
		least          int
	}{
		"inet":  {packet.Inet, "10.7.1.2", "10.7.2.2:80", 552},
		"inet6": {packet.Inet6, "fd07:1::2", "[fd07:2::2]:80", 1280},
	} {
		t.Run(name, func(t *testing.T) {
			p := newNarrowPath(t, 1500, 0)
			var longest atomic.Int64
			fromHost, _ := p.router.Interface("net1")
			register(t, p.router, c.family, packet.PhysicalIn, packet.Hook{Name: "longest", Func: func(c *packet.Context) hooks.Verdict {
				if c.In == fromHost.Index() { // a queue of its own: these calls do not overlap
					longest.Store(max(longest.Load(), int64(c.Packet.Len())))
				}
				return hooks.Accept
			}})
			l, err := p.server.Listen("tcp", c.server)
			must(t, err)
			defer l.Close()
			ctx, cancel := dialer(t)
			defer cancel()
			client, err := p.host.Dial(ctx, "tcp", c.server)
			must(t, err)
			defer client.Close()
			server, err := l.Accept()
			must(t, err)
			defer server.Close()
			must(t, server.SetDeadline(time.Now().Add(20*time.Second)))

			local, remote := netip.MustParseAddrPort(client.LocalAddr().String()), netip.MustParseAddrPort(c.server)
			net1, _ := p.host.Interface("net1")
			forge := func(mtu int) {
				ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, local.Port()), remote.Port())
				quote := serialize(t, ip(local.Addr(), remote.Addr(), 64, layers.IPProtocolTCP), gopacket.Payload(append(ports, 0, 0, 0, 1))) // a sequence number
				b := tooBig(t, addr(c.router), local.Addr(), uint32(mtu), quote)
				must(t, p.host.QueueIn(filled(t, b), net1.Index(), nil))
				(&router{Instance: p.host, t: t}).settled(0)
			}
			transfer := func() int {
				longest.Store(0)
				const n = 64 << 10
				written := make(chan error, 1)
				go func() {
					_, err := client.Write(make([]byte, n))
					written <- err
				}()
				if _, err := io.ReadFull(server, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
				must(t, <-written)
				return int(longest.Load())
			}
			for _, told := range []struct{ mtu, want int }{{c.least - 1, 1500}, {68, 1500}, {c.least, c.least}} {
				forge(told.mtu)
				if got := transfer(); got > told.want || got < told.want-header.TCPOptionsMaximumSize { // gVisor leaves room for all options that there might be
					t.Errorf("told %d: packets of %d bytes, want %d", told.mtu, got, told.want)
				}
			}
		})
	}
}

// Only the first fragment of a datagram has its ICMP header: data that looks like a Packet Too Big with an MTU that no link
// has, at the beginning of a later one, is delivered.
func TestLaterFragmentIsNoTooBig(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			tooBig := []byte{3, 4, 0, 0, 0, 0, 0, 0}
			if f.left.Is6() {
				tooBig = []byte{2, 0, 0, 0, 0, 0, 0, 0}
			}
			whole := echoRequestWith(t, f.left, f.a, append(make([]byte, 8), tooBig...))
			const echoHeader, first = 8, 16 // the request and 8 bytes of data
			message := whole[len(whole)-echoHeader-16:]
			for _, part := range []struct {
				from, to int
				more     bool
			}{{0, first, true}, {first, len(message), false}} {
				r.left.send(fragmentOfICMP(t, f.left, f.a, message[part.from:part.to], part.from, part.more))
			}
			typ, _, _, data := icmpOf(r.left.receive())
			if want := map[bool]uint8{true: 129, false: 0}[f.left.Is6()]; typ != want || !bytes.Equal(data, message[echoHeader:]) {
				t.Errorf("type %d with data %x, want %d with %x", typ, data, want, message[echoHeader:])
			}
			if s := r.settled(2); len(s.Drops) != 0 {
				t.Errorf("drops: %+v", s)
			}
		})
	}
}

// fragmentOfICMP builds a fragment of an ICMP message.
func fragmentOfICMP(t *testing.T, src, dst netip.Addr, payload []byte, offset int, more bool) []byte {
	t.Helper()
	if src.Is4() {
		l3 := ip(src, dst, 64, layers.IPProtocolICMPv4).(*layers.IPv4)
		l3.FragOffset = uint16(offset / 8)
		if more {
			l3.Flags = layers.IPv4MoreFragments
		}
		return serialize(t, l3, gopacket.Payload(payload))
	}
	return serialize(t, ip(src, dst, 64, layers.IPProtocolIPv6Fragment),
		&layers.IPv6Fragment{NextHeader: layers.IPProtocolICMPv6, FragmentOffset: uint16(offset / 8), MoreFragments: more, Identification: 7},
		gopacket.Payload(payload))
}
