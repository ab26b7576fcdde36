// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// A sentSuper is a superpacket with all that segments have to differ in, or must not, and what came of it.
type sentSuper struct {
	kind    packet.GSOType
	segment int
	df      bool
	payload []byte
	bytes   []byte
	offload packet.Offload
}

const (
	superID    = 0xfffe // counts over 0xffff
	superSeq   = 0xfffffff0
	superClass = 0xb8 | 2 // EF, ECT(0)
	superLabel = 0x12345
)

var superKinds = []packet.GSOType{packet.GSOTCP4, packet.GSOTCP6, packet.GSOUDP4, packet.GSOUDP6}

func newSuper(t testing.TB, kind packet.GSOType, payload, segment int, df bool) *sentSuper {
	t.Helper()
	s := &sentSuper{kind: kind, segment: segment, df: df, payload: counting(payload)}
	is4 := kind == packet.GSOTCP4 || kind == packet.GSOUDP4
	tcp := kind == packet.GSOTCP4 || kind == packet.GSOTCP6
	protocol, field := layers.IPProtocolTCP, uint16(16)
	if !tcp {
		protocol, field = layers.IPProtocolUDP, 6
	}
	src, dst, start := left4, right4, uint16(20)
	v4 := &layers.IPv4{Version: 4, TTL: 64, TOS: superClass, Id: superID, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	if df {
		v4.Flags = layers.IPv4DontFragment
	}
	l3 := gopacket.SerializableLayer(v4)
	if !is4 {
		src, dst, start = left6, right6, 40
		l3 = &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: superClass, FlowLabel: superLabel, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	if tcp {
		l4 := &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: superSeq, Ack: 77, ACK: true, PSH: true, FIN: true, CWR: true, ECE: true, Window: 1000,
			Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
				{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}}
		l4.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
		s.bytes = serialize(t, l3, l4, gopacket.Payload(s.payload))
	} else {
		l4 := &layers.UDP{SrcPort: 1234, DstPort: 80}
		l4.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
		s.bytes = serialize(t, l3, l4, gopacket.Payload(s.payload))
	}
	pseudo := header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(protocol), tcpip.AddrFromSlice(src.AsSlice()), tcpip.AddrFromSlice(dst.AsSlice()), uint16(len(s.bytes)-int(start)))
	binary.BigEndian.PutUint16(s.bytes[start+field:], pseudo)
	s.offload = packet.Offload{Checksum: packet.ChecksumPartial, GSO: kind, ECN: tcp, ChecksumStart: start, ChecksumOffset: field, SegmentSize: uint16(segment)}
	return s
}

func (s *sentSuper) segments() int { return (len(s.payload) + s.segment - 1) / s.segment }

// A seenSegment is what may differ between segments, and what must not.
type seenSegment struct {
	ID                      uint16
	DF                      bool
	TTL, Class              uint8
	Label                   uint32
	Seq                     uint32
	PSH, FIN, CWR, ECE, ACK bool
	Length                  int // of IP, and of UDP if it is that
	Payload                 string
}

// want says what segment k should be at the receiver, a hop away.
func (s *sentSuper) want(k int) seenSegment {
	last := k == s.segments()-1
	payload := s.payload[k*s.segment : min((k+1)*s.segment, len(s.payload))]
	w := seenSegment{TTL: 63, Class: superClass, Payload: string(payload)}
	headers := len(s.bytes) - len(s.payload)
	w.Length = headers + len(payload)
	if s.offload.ChecksumStart == 20 {
		id := uint16(superID)
		w.ID, w.DF = id+uint16(k), s.df
	} else {
		w.Label = superLabel
	}
	if s.offload.ECN {
		w.Seq = uint32(superSeq&0xffffffff) + uint32(k*s.segment)
		w.ACK, w.ECE, w.CWR, w.PSH, w.FIN = true, true, k == 0, last, last
	}
	return w
}

// decodeSegment reads a packet with somebody else's decoder, which also verifies the checksums.
func decodeSegment(t testing.TB, b []byte) (got seenSegment) {
	t.Helper()
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	if l, ok := p.TransportLayer().(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		if err := l.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
			t.Error(err)
		}
	}
	if err, wrong := p.VerifyChecksums(); err != nil || len(wrong) != 0 {
		t.Errorf("checksums: %v, %v", wrong, err)
	}
	switch l := p.NetworkLayer().(type) {
	case *layers.IPv4:
		got.ID, got.DF, got.TTL, got.Class, got.Length = l.Id, l.Flags&layers.IPv4DontFragment != 0, l.TTL, l.TOS, int(l.Length)
	case *layers.IPv6:
		got.TTL, got.Class, got.Label, got.Length = l.HopLimit, l.TrafficClass, l.FlowLabel, int(l.Length)+40
	}
	switch l := p.TransportLayer().(type) {
	case *layers.TCP:
		got.Seq, got.PSH, got.FIN, got.CWR, got.ECE, got.ACK = l.Seq, l.PSH, l.FIN, l.CWR, l.ECE, l.ACK
		got.Payload = string(l.Payload)
	case *layers.UDP:
		if int(l.Length) != len(l.Payload)+8 {
			t.Errorf("UDP length %d with a payload of %d", l.Length, len(l.Payload))
		}
		got.Payload = string(l.Payload)
	default:
		t.Errorf("no transport header: %v", p)
	}
	return got
}

// check compares what the receiver got, packet by packet, with what it should have.
func (s *sentSuper) check(t testing.TB, got [][]byte) {
	t.Helper()
	if len(got) != s.segments() {
		t.Fatalf("%d segments, want %d", len(got), s.segments())
	}
	for k, b := range got {
		if diff := cmp.Diff(s.want(k), decodeSegment(t, b)); diff != "" {
			t.Errorf("segment %d (-want +got):\n%s", k, diff)
		}
	}
}

// receivePlain waits for n packets that are nothing but their bytes.
func receivePlain(t testing.TB, w *wire, n, mtu int) (list [][]byte) {
	t.Helper()
	for range n {
		p := w.receive()
		if p.Offload.GSO != packet.GSONone || p.Offload.Checksum == packet.ChecksumPartial || p.Len() > mtu {
			t.Errorf("not a plain packet for MTU %d: %v %+v", mtu, p, p.Offload)
		}
		list = append(list, bytes.Clone(p.Bytes()))
	}
	return list
}

// cut does what the receiver's device would.
func cut(t testing.TB, p *packet.Packet) (list [][]byte) {
	t.Helper()
	var segmenter packet.Segmenter
	if reason := segmenter.Init(p); reason != hooks.ReasonNone {
		t.Fatalf("cannot be cut: %s", packet.ReasonName(reason))
	}
	s := packet.Get(2000)
	defer s.Release()
	for segmenter.Next(s) {
		list = append(list, bytes.Clone(s.Bytes()))
	}
	return list
}

// A superpacket, in every way that it may come to the receiver.
func TestSuperpacketAtTheReceiver(t *testing.T) {
	const size, segmentSize = 20001, 1400
	for _, kind := range superKinds {
		for _, df := range []bool{true, false} {
			run := func(name string, f func(t *testing.T, s *sentSuper)) {
				t.Run(fmt.Sprintf("%v/df=%v/%s", kind, df, name), func(t *testing.T) { f(t, newSuper(t, kind, size, segmentSize, df)) })
			}
			run("whole", func(t *testing.T, s *sentSuper) {
				r := newRouter(t, netstack.Config{})
				r.left.sendOffload(s.bytes, s.offload)
				p := r.right.receive()
				want := s.offload
				want.HeaderLen = uint16(len(s.bytes) - len(s.payload))
				if diff := cmp.Diff(want, p.Offload); diff != "" || p.Len() != len(s.bytes) || p.TTL() != 63 {
					t.Errorf("%v; metadata (-want +got):\n%s", p, diff)
				}
				s.check(t, cut(t, p))
				if st := r.settled(1); st.Split != 0 || st.Made != 0 || st.Sent != 1 {
					t.Errorf("stats: %+v", st)
				}
			})
			for name, features := range map[string]packet.Features{
				"no offload":      0,
				"checksums only":  packet.FeatureChecksum,
				"the other kinds": offloads &^ (packet.Offload{GSO: kind}).Needs(),
			} {
				run("device with "+name, func(t *testing.T, s *sentSuper) {
					r := newRouter(t, netstack.Config{})
					_, c := join(t, r.Instance, features, netstack.InterfaceConfig{Name: "c"})
					if err := r.AddRoutes(netstack.Route{Destination: netip.PrefixFrom(right4, 32), Interface: "c"}, netstack.Route{Destination: netip.PrefixFrom(right6, 128), Interface: "c"}); err != nil {
						t.Fatal(err)
					}
					r.left.sendOffload(s.bytes, s.offload)
					s.check(t, receivePlain(t, c, s.segments(), 1500))
				})
			}
			for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
				run("hook wants segments at "+event.String(), func(t *testing.T, s *sentSuper) {
					r := newRouter(t, netstack.Config{})
					for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
						register(t, r.Instance, family, event, packet.Hook{Name: "segments", Flags: hooks.FlagSegments, Func: accept})
					}
					r.left.sendOffload(s.bytes, s.offload)
					s.check(t, receivePlain(t, r.right, s.segments(), 1500))
				})
			}
			run("too big", func(t *testing.T, s *sentSuper) {
				r := newRouterMTU(t, netstack.Config{}, 1500, 1300, offloads)
				r.left.sendOffload(s.bytes, s.offload)
				if is6 := s.offload.ChecksumStart == 40; !df && !is6 {
					s.check(t, reassembled(t, r.right, s.segments(), 1300))
					return
				}
				e := r.left.receive()
				typ, code, rest, quote := icmpOf(e)
				want := [2]uint8{3, 4}
				if s.offload.ChecksumStart == 40 {
					want = [2]uint8{2, 0}
				}
				if [2]uint8{typ, code} != want || binary.BigEndian.Uint32(rest[:]) != 1300 {
					t.Errorf("type %d, code %d, MTU %d; want %v, 1300", typ, code, binary.BigEndian.Uint32(rest[:]), want)
				}
				if !bytes.Equal(quote, s.bytes[:len(quote)]) {
					t.Error("not quoted as it came")
				}
				r.settled(1)
				r.right.none()
			})
		}
	}
}

// reassembled receives the fragments of n packets and puts them together by their IDs.
func reassembled(t testing.TB, w *wire, n, mtu int) (list [][]byte) {
	t.Helper()
	datagrams := make(map[uint16][]byte)
	var order []uint16
	for done := 0; done < n; {
		p := w.receive()
		b := p.Bytes()
		if p.Len() > mtu || p.Offload != (packet.Offload{}) {
			t.Fatalf("%v %+v, MTU %d", p, p.Offload, mtu)
		}
		id := binary.BigEndian.Uint16(b[4:])
		whole, known := datagrams[id]
		if !known {
			order = append(order, id)
			whole = bytes.Clone(b[:p.HeaderLen()])
		}
		if p.FragmentOffset() != len(whole)-p.HeaderLen() {
			t.Fatalf("fragment at %d, want %d", p.FragmentOffset(), len(whole)-p.HeaderLen())
		}
		datagrams[id] = append(whole, b[p.HeaderLen():]...)
		if !p.MoreFragments() {
			done++
		}
	}
	for _, id := range order {
		b := datagrams[id]
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[6:], 0)
		h := header.IPv4(b)
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
		list = append(list, b)
	}
	return list
}

// A partial checksum survives every edit of a hook on the way, and is right once it is completed.
func TestPartialChecksumSurvivesEdits(t *testing.T) {
	type edit struct {
		name  string
		super bool // superpackets too
		want  packet.ChecksumState
		do    func(t *testing.T, p *packet.Packet)
	}
	edits := []edit{
		{"none", true, packet.ChecksumPartial, func(*testing.T, *packet.Packet) {}},
		{"source", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetSource(p.Source().Next()) }},
		{"destination", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetDestination(p.Destination().Next().Next()) }},
		{"source port", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetSourcePort(0xfffe) }},
		{"destination port", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetDestinationPort(0xfffe) }},
		{"TTL", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetTTL(9) }},
		{"traffic class", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.SetTrafficClass(0x2a) }},
		{"payload", true, packet.ChecksumPartial, func(_ *testing.T, p *packet.Packet) { p.Mutable()[p.Len()-3] ^= 0x55 }},
		{"append", true, packet.ChecksumPartial, func(t *testing.T, p *packet.Packet) {
			b, err := p.Append(101)
			if err != nil {
				t.Error(err)
			}
			copy(b, counting(101))
		}},
		{"truncate", true, packet.ChecksumPartial, func(t *testing.T, p *packet.Packet) {
			if err := p.Truncate(p.Len() - 101); err != nil {
				t.Error(err)
			}
		}},
		{"replace", false, packet.ChecksumFull, func(t *testing.T, p *packet.Packet) {
			p.FillChecksum()
			if err := p.Replace(bytes.Clone(p.Bytes())); err != nil {
				t.Error(err)
			}
		}},
		{"prepend", false, packet.ChecksumPartial, func(t *testing.T, p *packet.Packet) {
			version, n := p.Version(), p.Len()
			outer, err := p.Prepend(20)
			if err != nil {
				t.Error(err)
				return
			}
			h := header.IPv4(outer)
			h.Encode(&header.IPv4Fields{TotalLength: uint16(n + 20), TTL: 64, Protocol: map[int]uint8{4: 4, 6: 41}[version], SrcAddr: tcpip.AddrFrom4(a4.As4()), DstAddr: tcpip.AddrFrom4(right4.As4())})
			h.SetChecksum(^h.CalculateChecksum())
			if reason := p.Reparse(); reason != hooks.ReasonNone {
				t.Error(packet.ReasonName(reason))
			}
		}},
	}
	for _, kind := range superKinds {
		for _, e := range edits {
			for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
				for _, whole := range []bool{true, false} {
					if whole && !e.super || e.name == "prepend" && event != packet.PhysicalOut {
						continue // an outer header at PHYSICAL_IN is routed by, as it should be, and loses a hop
					}
					t.Run(fmt.Sprintf("%v/%s/%v/super=%v", kind, e.name, event, whole), func(t *testing.T) {
						r := newRouter(t, netstack.Config{})
						for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
							register(t, r.Instance, family, event, packet.Hook{Name: "edit", Func: func(c *packet.Context) hooks.Verdict {
								e.do(t, c.Packet)
								return hooks.Accept
							}})
						}
						s := newSuper(t, kind, 1200, 500, true)
						if !whole {
							s.offload.GSO, s.offload.SegmentSize, s.offload.ECN = packet.GSONone, 0, false
						}
						r.left.sendOffload(s.bytes, s.offload)
						p := r.right.receive()
						if p.Offload.Checksum != e.want || p.Offload.GSO != s.offload.GSO || p.Offload.SegmentSize != s.offload.SegmentSize {
							t.Errorf("%v %+v", p, p.Offload)
						}
						if whole {
							for _, b := range cut(t, p) {
								decodeSegment(t, b)
							}
							return
						}
						p.FillChecksum()
						b := p.Bytes()
						if e.name == "prepend" {
							b = b[20:]
						}
						decodeSegment(t, b)
					})
				}
			}
		}
	}
}
