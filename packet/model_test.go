// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"pgregory.net/rapid"
)

// model is what a packet means. bytes builds it from nothing, so an edit of
// the packet has a slow and obvious twin: the same edit of the model.
type model struct {
	version             int
	protocol            layers.IPProtocol // TCP, UDP, ICMPv4, ICMPv6, or any other
	source, destination netip.Addr
	sport, dport        uint16
	ttl, class          uint8
	payload             []byte
	inserted            []byte // IPv4 options or IPv6 extension headers, whole; the first next header is in next
	next                uint8
}

func (m *model) transport() int {
	if m.version == 4 {
		return 20 + len(m.inserted)
	}
	return 40 + len(m.inserted)
}

// headers is the length of all headers.
func (m *model) headers() int {
	switch m.protocol {
	case layers.IPProtocolTCP:
		return m.transport() + 32
	case layers.IPProtocolUDP, layers.IPProtocolICMPv4, layers.IPProtocolICMPv6:
		return m.transport() + 8
	}
	return m.transport()
}

func (m *model) bytes(t T) []byte {
	t.Helper()
	var stack []gopacket.SerializableLayer
	if m.version == 4 {
		h := ip4(m.protocol)
		h.SrcIP, h.DstIP, h.TTL, h.TOS = m.source.AsSlice(), m.destination.AsSlice(), m.ttl, m.class
		stack = append(stack, h)
	} else {
		h := ip6(m.protocol)
		h.SrcIP, h.DstIP, h.HopLimit, h.TrafficClass = m.source.AsSlice(), m.destination.AsSlice(), m.ttl, m.class
		stack = append(stack, h)
	}
	switch m.protocol {
	case layers.IPProtocolTCP:
		h := tcp()
		h.SrcPort, h.DstPort = layers.TCPPort(m.sport), layers.TCPPort(m.dport)
		stack = append(stack, h)
	case layers.IPProtocolUDP:
		h := udp()
		h.SrcPort, h.DstPort = layers.UDPPort(m.sport), layers.UDPPort(m.dport)
		stack = append(stack, h)
	case layers.IPProtocolICMPv4:
		stack = append(stack, &layers.ICMPv4{TypeCode: 8 << 8, Id: 5, Seq: 6})
	case layers.IPProtocolICMPv6:
		stack = append(stack, &layers.ICMPv6{TypeCode: 128 << 8}, &layers.ICMPv6Echo{Identifier: 5, SeqNumber: 6})
	}
	b := build(t, append(stack, gopacket.Payload(m.payload))...)
	if len(m.inserted) == 0 {
		return b
	}
	if m.version == 4 {
		b = append(b[:20:20], append(append([]byte(nil), m.inserted...), b[20:]...)...)
		b[0] = 4<<4 | byte(5+len(m.inserted)/4)
		return fixHeader4(set16(b, 2, uint16(len(b))))
	}
	b = append(b[:40:40], append(append([]byte(nil), m.inserted...), b[40:]...)...)
	b[6] = m.next
	return set16(b, 4, uint16(len(b)-40))
}

func drawAddr(t *rapid.T, version int, label string) netip.Addr {
	n := 4
	if version == 6 {
		n = 16
	}
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, label))
	return a
}

// drawModel draws a packet whose length is at most about limit.
func drawModel(t *rapid.T, limit int, protocols ...layers.IPProtocol) *model {
	m := &model{version: rapid.SampledFrom([]int{4, 6}).Draw(t, "version")}
	if len(protocols) == 0 {
		protocols = []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolUDP, layers.IPProtocolICMPv4, layers.IPProtocolGRE}
	}
	m.protocol = rapid.SampledFrom(protocols).Draw(t, "protocol")
	if m.protocol == layers.IPProtocolICMPv4 && m.version == 6 {
		m.protocol = layers.IPProtocolICMPv6
	}
	m.source, m.destination = drawAddr(t, m.version, "source"), drawAddr(t, m.version, "destination")
	m.sport, m.dport = rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
	m.ttl, m.class = rapid.Byte().Draw(t, "ttl"), rapid.Byte().Draw(t, "class")
	m.payload = bytesOf(rapid.IntRange(0, limit).Draw(t, "payload"))
	if len(m.payload) > 1 {
		copy(m.payload, rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "begin"))
	}
	if m.version == 4 {
		for range rapid.IntRange(0, 2).Draw(t, "options") {
			m.inserted = append(m.inserted, rapid.SampledFrom([][]byte{
				{1, 1, 1, 1}, {7, 7, 4, 1, 2, 3, 4, 1}, {0x94, 4, 0, 0}, {1, 0x9e, 6, 9, 9, 9, 9, 1},
			}).Draw(t, "option")...)
		}
		return m
	}
	named := &m.next
	for i := range rapid.IntRange(0, 3).Draw(t, "extensions") {
		n := rapid.SampledFrom([]int{8, 16, 64}).Draw(t, "length")
		h := make([]byte, n)
		h[1], h[2], h[3] = byte(n/8-1), 1, byte(n-4) // PadN
		*named = 60
		if i == 0 && rapid.Bool().Draw(t, "hop-by-hop") {
			*named = 0
		}
		m.inserted = append(m.inserted, h...)
		named = &m.inserted[len(m.inserted)-n]
	}
	*named = byte(m.protocol)
	return m
}

// offload draws the metadata for b, the bytes of m, and makes b fit.
func (m *model) offload(t *rapid.T, b []byte) ([]byte, packet.Offload) {
	states := []string{"full", "verified"}
	switch m.protocol {
	case layers.IPProtocolTCP, layers.IPProtocolUDP:
		states = append(states, "partial", "super")
	case layers.IPProtocolICMPv6:
		states = append(states, "partial")
	}
	switch rapid.SampledFrom(states).Draw(t, "offload") {
	case "verified":
		return b, packet.Offload{Checksum: packet.ChecksumVerified}
	case "partial":
		return partial(b, byte(m.protocol), m.transport())
	case "super":
		return super(b, byte(m.protocol), m.transport(), rapid.IntRange(1, 1500).Draw(t, "segment size"))
	}
	return b, packet.Offload{}
}

// sameBytes compares packets of which one's transport checksum may be the
// other zero: 0 and 0xffff are the same, and only UDP prefers one.
func sameBytes(m *model, want, got []byte) string {
	want, got = append([]byte(nil), want...), append([]byte(nil), got...)
	if offset, ok := map[layers.IPProtocol]int{layers.IPProtocolTCP: 16, layers.IPProtocolICMPv4: 2, layers.IPProtocolICMPv6: 2}[m.protocol]; ok {
		for _, b := range [][]byte{want, got} {
			if at := m.transport() + offset; at+2 <= len(b) && binary.BigEndian.Uint16(b[at:]) == 0xffff {
				set16(b, at, 0)
			}
		}
	}
	return cmp.Diff(want, got)
}

// TestEditsAgainstModel: after any sequence of edits the packet is what the
// same edits of the model make, its lengths and checksums included; and at any
// time the accessors say what they would after a fresh parse.
func TestEditsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, 3000)
		b, o := m.offload(t, m.bytes(t))
		p := parse(t, b, o)
		steps := map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				q := p.Clone()
				defer q.Release()
				if r := q.Reparse(); r != hooks.ReasonNone {
					t.Fatalf("does not parse any more: %s", packet.ReasonName(r))
				}
				want := fieldsOf(q)
				want.Edited = p.Edited()
				if diff := cmp.Diff(want, fieldsOf(p)); diff != "" {
					t.Fatalf("accessors are stale (-fresh +got):\n%s", diff)
				}
				if !p.HeaderChecksumValid() || !p.TransportChecksumValid() {
					t.Fatalf("checksums: header %v, transport %v", p.HeaderChecksumValid(), p.TransportChecksumValid())
				}
			},
			"source": func(t *rapid.T) {
				m.source = drawAddr(t, m.version, "a")
				if !p.SetSource(m.source) || !p.Edited() {
					t.Fatalf("refused or not marked")
				}
			},
			"destination": func(t *rapid.T) {
				m.destination = drawAddr(t, m.version, "a")
				if !p.SetDestination(m.destination) || !p.Edited() {
					t.Fatalf("refused or not marked")
				}
			},
			"wrong family": func(t *rapid.T) {
				a := drawAddr(t, 10-m.version, "a")
				if p.SetSource(a) || p.SetDestination(a) {
					t.Fatalf("took %v", a)
				}
			},
			"source port": func(t *rapid.T) {
				port := rapid.Uint16().Draw(t, "port")
				ok := m.protocol == layers.IPProtocolTCP || m.protocol == layers.IPProtocolUDP
				if p.SetSourcePort(port) != ok {
					t.Fatalf("want %v", ok)
				}
				if ok {
					m.sport = port
				}
			},
			"destination port": func(t *rapid.T) {
				port := rapid.Uint16().Draw(t, "port")
				ok := m.protocol == layers.IPProtocolTCP || m.protocol == layers.IPProtocolUDP
				if p.SetDestinationPort(port) != ok {
					t.Fatalf("want %v", ok)
				}
				if ok {
					m.dport = port
				}
			},
			"TTL": func(t *rapid.T) {
				m.ttl = rapid.Byte().Draw(t, "ttl")
				p.SetTTL(m.ttl)
			},
			"decrement": func(t *rapid.T) {
				edited := p.Edited()
				p.DecrementTTL()
				if m.ttl > 0 {
					m.ttl--
				}
				if p.Edited() != edited {
					t.Fatalf("marked edited")
				}
			},
			"class": func(t *rapid.T) {
				m.class = rapid.Byte().Draw(t, "class")
				p.SetTrafficClass(m.class)
			},
			"append": func(t *rapid.T) {
				n := rapid.IntRange(0, 2000).Draw(t, "n")
				room, err := p.Append(n)
				must(t, err)
				if len(room) != n {
					t.Fatalf("got %d bytes, want %d", len(room), n)
				}
				for _, c := range room {
					if c != 0 {
						t.Fatalf("not zeroed")
					}
				}
				copy(room, bytesOf(n))
				m.payload = append(m.payload, room...)
			},
			"truncate": func(t *rapid.T) {
				n := rapid.IntRange(0, len(m.payload)).Draw(t, "n")
				must(t, p.Truncate(m.headers()+n))
				m.payload = m.payload[:n]
			},
			"truncate the headers": func(t *rapid.T) {
				shortest := m.headers()
				if m.protocol == layers.IPProtocolICMPv6 {
					shortest -= 4 // RFC 4443, 2.1: the rest belongs to the type
				}
				if err := p.Truncate(shortest - 1); err != packet.ErrTooShort {
					t.Fatalf("got %v, want ErrTooShort", err)
				}
				if err := p.Truncate(p.Len() + 1); err != packet.ErrTooLong {
					t.Fatalf("got %v, want ErrTooLong", err)
				}
			},
			"payload": func(t *rapid.T) {
				if len(m.payload) == 0 {
					return
				}
				at := rapid.IntRange(0, len(m.payload)-1).Draw(t, "at")
				p.Mutable()[m.headers()+at] ^= 0x5a
				m.payload[at] ^= 0x5a
				if ok := m.protocol != layers.IPProtocolGRE; p.DeferChecksum() != ok {
					t.Fatalf("DeferChecksum: want %v", ok)
				}
			},
			"fill": func(*rapid.T) { p.FillChecksum() },
			"clone": func(*rapid.T) {
				q := p.Clone()
				p.Release()
				p = q
			},
			"parse": func(*rapid.T) { p.Reparse() },
			"replace": func(t *rapid.T) {
				must(t, p.Replace(m.bytes(t)))
				if p.Offload != (packet.Offload{}) {
					t.Fatalf("metadata kept: %+v", p.Offload)
				}
			},
		}
		t.Repeat(steps)

		if p.Offload.GSO != packet.GSONone {
			checkSegments(t, m, p)
			return
		}
		p.FillChecksum()
		if diff := sameBytes(m, m.bytes(t), p.Bytes()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func drawFixed(version int, last byte) netip.Addr {
	if version == 4 {
		return netip.AddrFrom4([4]byte{10, 0, 0, last})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: last})
}
