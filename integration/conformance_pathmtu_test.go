// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/integration/testbed"
)

// A peer is the test's end of a TCP connection that the router's own host stack sends by. It is the left host, at an address
// of its own: what the router learns of the path to it concerns no other case.
type peer struct {
	t             *testing.T
	r             *router
	local, remote netip.AddrPort // the test's, the router's
	sequence      uint32         // of the next byte that the test sends
	acknowledged  uint32         // of the first byte of the router's that the test has not acknowledged
	end           uint32         // behind what has been received
	last          []byte         // the last packet with data
	close         func()         // resets the connection
}

const (
	peerMSS    = 1400
	peerWindow = 4 * peerMSS
)

// dialPeer connects to a socket of the router's, which sends all the time from then on.
func dialPeer(t *testing.T, r *router, local, remote netip.Addr) *peer {
	t.Helper()
	address := netip.AddrPortFrom(remote, 0).String()
	var l net.Listener
	var err error
	if r.instance != nil {
		l, err = r.instance.Listen("tcp", address)
	} else {
		l = r.namespace.Listen(t, "tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	p := &peer{t: t, r: r, local: netip.AddrPortFrom(local, 1234), remote: netip.AddrPortFrom(remote, uint16(port)), sequence: 1000}
	sent := make(chan struct{})
	p.close = func() {
		p.send(layers.TCP{RST: true, Seq: p.sequence})
		_ = l.Close()
		<-sent
	}
	go func() {
		defer close(sent)
		c, err := l.Accept()
		if err != nil {
			return
		}
		for err == nil {
			_, err = c.Write(make([]byte, 1<<16))
		}
		_ = c.Close()
	}()
	mss := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, peerMSS)}
	p.send(layers.TCP{SYN: true, Seq: p.sequence, Options: []layers.TCPOption{mss}})
	p.sequence++
	for {
		if s := p.receive(); s.SYN && s.ACK {
			p.acknowledged = s.Seq + 1
			break
		}
	}
	p.acknowledge()
	return p
}

func (p *peer) send(s layers.TCP) {
	p.t.Helper()
	s.SrcPort, s.DstPort, s.Window = layers.TCPPort(p.local.Port()), layers.TCPPort(p.remote.Port()), peerWindow
	p.transmit(layers.IPProtocolTCP, &s)
}

func (p *peer) acknowledge() {
	p.t.Helper()
	p.send(layers.TCP{ACK: true, Seq: p.sequence, Ack: p.acknowledged})
}

// transmit sends a packet to the router with what follows the IP header.
func (p *peer) transmit(protocol layers.IPProtocol, upper ...gopacket.SerializableLayer) {
	p.t.Helper()
	from, to := p.local.Addr(), p.remote.Addr()
	var ip gopacket.SerializableLayer = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	if from.Is4() {
		ip = &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	}
	if with, ok := upper[0].(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		if err := with.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
			p.t.Fatal(err)
		}
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append([]gopacket.SerializableLayer{ip}, upper...)...); err != nil {
		p.t.Fatal(err)
	}
	p.r.send(p.t, left, buffer.Bytes())
}

// receive returns the next segment of the connection.
func (p *peer) receive() *layers.TCP {
	p.t.Helper()
	first := gopacket.LayerType(layers.LayerTypeIPv6)
	if p.local.Addr().Is4() {
		first = layers.LayerTypeIPv4
	}
	for {
		b, err := p.r.ends[left].Receive(5 * time.Second)
		if err != nil {
			p.t.Fatal(err)
		}
		s, ok := gopacket.NewPacket(b, first, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if ok && uint16(s.DstPort) == p.local.Port() && uint16(s.SrcPort) == p.remote.Port() {
			if len(s.Payload) > 0 {
				p.last = b
			}
			return s
		}
	}
}

// window receives what fills the window, but for less than a segment, and returns the length of the longest packet. What has
// been acknowledged may come again and does not count.
func (p *peer) window() (longest int) {
	p.t.Helper()
	for p.end = p.acknowledged; int32(p.end-p.acknowledged) <= peerWindow-peerMSS; {
		if s := p.receive(); s.Seq == p.end && len(s.Payload) > 0 {
			p.end += uint32(len(s.Payload))
			longest = max(longest, len(p.last))
		}
	}
	return longest
}

// next acknowledges a window and receives the next.
func (p *peer) next() (longest int) {
	p.t.Helper()
	p.acknowledged = p.end
	p.acknowledge()
	return p.window()
}

// A tooBig is what the router is told: that a packet was too big, with a quote of the last one it sent after a change.
type tooBig struct {
	mtu    uint32
	code   byte // IPv6
	change func([]byte) []byte
}

func (p *peer) tell(m tooBig) {
	p.t.Helper()
	quote := slices.Clone(p.last)
	if m.change != nil {
		quote = m.change(quote)
	}
	if p.local.Addr().Is4() {
		message := layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(m.mtu)}
		p.transmit(layers.IPProtocolICMPv4, &message, gopacket.Payload(quote[:min(len(quote), 548)]))
		return
	}
	message := layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, m.code)}
	rest := binary.BigEndian.AppendUint32(nil, m.mtu)
	p.transmit(layers.IPProtocolICMPv6, &message, gopacket.Payload(append(rest, quote[:min(len(quote), 1232)]...)))
}

var pathMTUPeers byte // so far

// pathMTU is a connection on which the router is told something, and which then has packets of a length.
func pathMTU(name, to string, want int, told ...tooBig) conformance {
	return conformance{name: name, segments: true, want: []string{packetsOf(want)}, converse: func(t *testing.T, r *router) []string {
		pathMTUPeers++
		local, remote := netip.AddrFrom4([4]byte{10, 0, 1, 100 + pathMTUPeers%100}), netip.MustParseAddr(to)
		if remote.Is6() {
			local = netip.MustParseAddr(fmt.Sprintf("fd00:1::1:%x", pathMTUPeers))
		}
		p := dialPeer(t, r, local, remote)
		defer p.close()
		longest := p.window()
		for _, m := range told {
			p.tell(m)
			p.next() // some of it may have been under way
			longest = p.next()
		}
		return []string{packetsOf(longest)}
	}}
}

func packetsOf(n int) string { return fmt.Sprintf("left: packets of %d bytes", n) }

// The TCP ports are at 40 and 20, the sequence number 4 bytes on.
var requirementsPathMTU = []requirement{
	{text: "IPv6: PMTU: PTB < 1280 ignored, increase ignored, code non-zero accepted, embedded packet validated (RFC 8201 4)", cases: []conformance{
		pathMTU("RFC 8201 4 nothing said", testbed.Left6, 1460),
		pathMTU("RFC 8201 4 packet too big 1300", testbed.Left6, 1300, tooBig{mtu: 1300}),
		pathMTU("RFC 8201 4 packet too big 1280", testbed.Left6, 1280, tooBig{mtu: 1280}),
		pathMTU("RFC 8201 4 packet too big 1279", testbed.Left6, 1460, tooBig{mtu: 1279}),
		pathMTU("RFC 8201 4 packet too big 0", testbed.Left6, 1460, tooBig{mtu: 0}),
		pathMTU("RFC 8201 4 packet too big 9000", testbed.Left6, 1460, tooBig{mtu: 9000}),
		pathMTU("RFC 8201 4 packet too big 1300, then 1350", testbed.Left6, 1300, tooBig{mtu: 1300}, tooBig{mtu: 1350}),
		pathMTU("RFC 4443 3.2 packet too big 1300 with code 1", testbed.Left6, 1300, tooBig{mtu: 1300, code: 1}),
		pathMTU("RFC 8201 4 packet too big 1300 about another port", testbed.Left6, 1460, tooBig{mtu: 1300, change: set(42, 0xff, 0xfe)}),
		pathMTU("RFC 8201 4 packet too big 1300 about another destination", testbed.Left6, 1460, tooBig{mtu: 1300, change: to6("fd00:1::9999")}),
		pathMTU("RFC 5927 4.1 packet too big 1300 about what was never sent", testbed.Left6, 1300, tooBig{mtu: 1300, change: set(44, 0x12, 0x34, 0x56, 0x78)}),
	}},
	{text: "IPv4: PMTU of hosts (RFC 1191 3, RFC 5927)", cases: []conformance{
		pathMTU("RFC 1191 3 nothing said", testbed.Left4, 1440),
		pathMTU("RFC 1191 3 fragmentation needed 1300", testbed.Left4, 1300, tooBig{mtu: 1300}),
		pathMTU("RFC 1191 3 fragmentation needed 552", testbed.Left4, 552, tooBig{mtu: 552}),
		pathMTU("RFC 1191 3 fragmentation needed 68", testbed.Left4, 1440, tooBig{mtu: 68}),
		pathMTU("RFC 1191 3 fragmentation needed 9000", testbed.Left4, 1440, tooBig{mtu: 9000}),
		pathMTU("RFC 1191 3 fragmentation needed 1300, then 1350", testbed.Left4, 1300, tooBig{mtu: 1300}, tooBig{mtu: 1350}),
		pathMTU("RFC 1191 3 fragmentation needed 1300 about another port", testbed.Left4, 1440, tooBig{mtu: 1300, change: set(22, 0xff, 0xfe)}),
		pathMTU("RFC 5927 4.1 fragmentation needed 1300 about what was never sent", testbed.Left4, 1300, tooBig{mtu: 1300, change: set(24, 0x12, 0x34, 0x56, 0x78)}),
	}},
}
