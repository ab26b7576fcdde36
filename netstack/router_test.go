// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A router is an instance with two interfaces on memory devices whose far ends the test holds:
//
//	left ---- a [10.0.1.1/24 fd00:1::1/64]  instance  [10.0.2.1/24 fd00:2::1/64] b ---- right
type router struct {
	*netstack.Instance
	t           *testing.T
	a, b        *netstack.Interface
	left, right *wire
}

const offloads = packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO

// The hosts at the far ends.
var (
	left4, right4 = netip.MustParseAddr("10.0.1.2"), netip.MustParseAddr("10.0.2.2")
	left6, right6 = netip.MustParseAddr("fd00:1::2"), netip.MustParseAddr("fd00:2::2")
	a4, b4        = netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.2.1")
	a6, b6        = netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("fd00:2::1")
)

func prefixes(s ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range s {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func newRouter(t *testing.T, cfg netstack.Config) *router {
	t.Helper()
	return newRouterMTU(t, cfg, 1500, 1500, offloads)
}

func newRouterMTU(t *testing.T, cfg netstack.Config, mtuA, mtuB int, features packet.Features) *router {
	t.Helper()
	r := &router{Instance: newInstance(t, cfg), t: t}
	r.a, r.left = join(t, r.Instance, features, netstack.InterfaceConfig{Name: "a", MTU: mtuA, Addresses: prefixes("10.0.1.1/24", "fd00:1::1/64")})
	r.b, r.right = join(t, r.Instance, features, netstack.InterfaceConfig{Name: "b", MTU: mtuB, Addresses: prefixes("10.0.2.1/24", "fd00:2::1/64")})
	return r
}

// newRouter4 is a router without IPv6, whose MTUs may be small.
func newRouter4(t *testing.T, mtuA, mtuB int, features packet.Features) *router {
	t.Helper()
	r := &router{Instance: newInstance(t, netstack.Config{}), t: t}
	r.a, r.left = join(t, r.Instance, features, netstack.InterfaceConfig{Name: "a", MTU: mtuA, Addresses: prefixes("10.0.1.1/24")})
	r.b, r.right = join(t, r.Instance, features, netstack.InterfaceConfig{Name: "b", MTU: mtuB, Addresses: prefixes("10.0.2.1/24")})
	return r
}

// join adds an interface on a memory device and returns the device's far end.
func join(t *testing.T, inst *netstack.Instance, features packet.Features, cfg netstack.InterfaceConfig) (*netstack.Interface, *wire) {
	t.Helper()
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{cfg.Name, "far-" + cfg.Name}, Features: features, QueueLen: 4096})
	f, err := inst.AddInterface(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, far)
	w.near = f
	return f, w
}

// newInstance makes an instance that is closed at the end of the test. Every packet that it ever had must be accounted for
// then.
func newInstance(t testing.TB, cfg netstack.Config) *netstack.Instance {
	t.Helper()
	inst, err := netstack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := inst.Close(); err != nil {
			t.Error(err)
		}
		s := inst.Stats()
		if err := s.Balance(); err != nil {
			t.Error(err)
		}
		if s.Held != 0 {
			t.Errorf("%d packets are held by a closed instance", s.Held)
		}
	})
	return inst
}

func TestBalance(t *testing.T) {
	s := netstack.Stats{Received: 2, Injected: 1, Made: 2, Sent: 2, Delivered: 1, Held: 1, Drops: map[string]uint64{"no_route": 1}}
	if err := s.Balance(); err != nil {
		t.Error(err)
	}
	s.Received++
	if s.Balance() == nil {
		t.Error("one packet is missing, and nobody noticed")
	}
}

// A wire is the test's end of a device.
type wire struct {
	t    *testing.T
	dev  tun.Device
	near *netstack.Interface // on the other end; nil: not made by join
	seen chan *packet.Packet
	read atomic.Uint64 // packets put into seen

	reader sync.WaitGroup
}

func newWire(t *testing.T, dev tun.Device) *wire {
	w := &wire{t: t, dev: dev, seen: make(chan *packet.Packet, 4096)}
	w.reader.Go(func() {
		for {
			batch := make([]*packet.Packet, 32)
			n, err := dev.Read(0, batch)
			if err != nil {
				return
			}
			for _, p := range batch[:n] {
				w.seen <- p
				w.read.Add(1)
			}
		}
	})
	t.Cleanup(func() {
		dev.Close()
		w.reader.Wait()
	})
	return w
}

func (w *wire) send(b []byte) { w.sendOffload(b, packet.Offload{}) }

func (w *wire) sendOffload(b []byte, o packet.Offload) {
	w.t.Helper()
	p := packet.Get(len(b))
	defer p.Release()
	if err := p.Fill(b); err != nil {
		w.t.Fatal(err)
	}
	p.Offload = o
	if _, err := w.dev.Write(0, []*packet.Packet{p}); err != nil {
		w.t.Fatal(err)
	}
}

// receive waits for a packet and parses it.
func (w *wire) receive() *packet.Packet {
	w.t.Helper()
	select {
	case p := <-w.seen:
		if reason := p.Parse(); reason != hooks.ReasonNone {
			w.t.Fatalf("received a packet that does not parse: %s", packet.ReasonName(reason))
		}
		return p
	case <-time.After(5 * time.Second):
		w.t.Fatal("no packet in 5 s")
		return nil
	}
}

// none checks that nothing was received; the caller has made sure that all work is done.
func (w *wire) none() {
	w.t.Helper()
	if w.near != nil {
		eventually(w.t, "all that was sent is read", func() bool { return w.read.Load() == w.near.Stats().SentPackets })
	}
	select {
	case p := <-w.seen:
		p.Parse()
		w.t.Errorf("unexpected packet: %v", p)
	default:
	}
}

// settled waits until the instance's books balance and have counted at least received packets from devices, and checks
// that they do.
func (r *router) settled(received uint64) netstack.Stats {
	r.t.Helper()
	return r.settledWhen(func(s netstack.Stats) bool { return s.Received >= received })
}

// settledWhen is settled for another condition.
func (r *router) settledWhen(holds func(netstack.Stats) bool) netstack.Stats {
	r.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		s := r.Stats()
		err := s.Balance()
		if holds(s) && s.Held == 0 && err == nil {
			return s
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not at rest, or not as expected: %v; %+v", err, s)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// serialize builds a packet and computes its lengths and checksums.
func serialize(t testing.TB, stack ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(buf.Bytes())
}

func ip(src, dst netip.Addr, ttl uint8, protocol layers.IPProtocol) gopacket.SerializableLayer {
	if src.Is4() {
		return &layers.IPv4{Version: 4, TTL: ttl, Id: 7, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: ttl, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

func udp(t testing.TB, src, dst netip.Addr, ttl uint8, payload []byte) []byte {
	t.Helper()
	l3 := ip(src, dst, ttl, layers.IPProtocolUDP)
	u := &layers.UDP{SrcPort: 1234, DstPort: 4321}
	u.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	return serialize(t, l3, u, gopacket.Payload(payload))
}

// icmpOf decodes an ICMP message of either family: type, code, the 4 bytes behind the checksum, and what follows.
func icmpOf(p *packet.Packet) (typ, code uint8, rest [4]byte, quote []byte) {
	b := p.Bytes()[p.TransportOffset():]
	return b[0], b[1], [4]byte(b[4:8]), b[8:]
}

func dialer(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 10*time.Second)
}

// superpacket builds a TCP packet of size bytes of payload with a partial checksum, to be cut into segments.
func superpacket(t testing.TB, src, dst netip.Addr, size int, segment uint16) ([]byte, packet.Offload) {
	t.Helper()
	l3 := ip(src, dst, 64, layers.IPProtocolTCP)
	o := packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOTCP4, ChecksumStart: 20, ChecksumOffset: 16, SegmentSize: segment}
	if v4, ok := l3.(*layers.IPv4); ok {
		v4.Flags = layers.IPv4DontFragment
	} else {
		o.GSO, o.ChecksumStart = packet.GSOTCP6, 40
	}
	tcp := &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: 1000, ACK: true, PSH: true, Window: 1000}
	tcp.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	b := serialize(t, l3, tcp, gopacket.Payload(make([]byte, size)))
	at := int(o.ChecksumStart)
	pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, tcpip.AddrFromSlice(src.AsSlice()), tcpip.AddrFromSlice(dst.AsSlice()), uint16(len(b)-at))
	binary.BigEndian.PutUint16(b[at+16:], pseudo)
	return b, o
}

// plainLeg gives the router a third interface without offload and the route to dst by it.
func plainLeg(t *testing.T, r *router, dst netip.Addr) *wire {
	t.Helper()
	_, w := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "plain"})
	if err := r.AddRoute(netstack.Route{Destination: netip.PrefixFrom(dst, 24), Interface: "plain"}); err != nil {
		t.Fatal(err)
	}
	return w
}
