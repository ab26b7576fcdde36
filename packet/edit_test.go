// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

var (
	other4 = netip.MustParseAddr("192.0.2.99")
	other6 = netip.MustParseAddr("2001:db8:ffff::99")
)

// joined puts the payloads of fragments, given in order, behind the header of
// the first, and makes lengths right: what a reassembly gives.
func joined(fragments ...*packet.Packet) []byte {
	first := fragments[0]
	b := append([]byte(nil), first.Bytes()[:first.HeaderLen()]...)
	for _, f := range fragments {
		b = append(b, f.Bytes()[f.TransportOffset():]...)
	}
	if first.Version() == 6 {
		b[6] = fragments[len(fragments)-1].TransportProtocol()
		return set16(b, 4, uint16(len(b)-40))
	}
	return fixHeader4(set16(set16(b, 2, uint16(len(b))), 6, 0))
}

// TestEditFragments: both fragments of a datagram get new addresses, the first
// one a new port; put together, the datagram has the right checksum.
func TestEditFragments(t *testing.T) {
	whole := udp4(t, 24)
	first := fixHeader4(set16(set16(append([]byte(nil), whole[:36]...), 2, 36), 6, 0x2000))
	last := fixHeader4(set16(set16(append(append([]byte(nil), whole[:20]...), whole[36:]...), 2, 36), 6, 2))
	for name, pair := range map[string][2][]byte{
		"v4": {first, last},
		"v6": {
			fragment6(t, udp6(t, 24), 0, 16, true),
			fragment6(t, udp6(t, 24), 16, 32, false),
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := parse(t, pair[0], packet.Offload{}), parse(t, pair[1], packet.Offload{})
			address := other4
			if a.Version() == 6 {
				address = other6
			}
			for _, p := range []*packet.Packet{a, b} {
				if !p.SetSource(address) || !p.SetDestination(address) {
					t.Error("an address was refused")
				}
				p.DecrementTTL()
				p.SetTrafficClass(4)
			}
			if !a.SetSourcePort(7) || b.SetSourcePort(7) || b.SetDestinationPort(7) {
				t.Error("a port was refused by the first fragment or taken by the second")
			}
			checkValid(t, joined(a, b))
		})
	}
}

// fragment6 cuts [from:to] out of the payload of the IPv6 packet b.
func fragment6(t *testing.T, b []byte, from, to int, more bool) []byte {
	t.Helper()
	word := uint16(from)
	if more {
		word |= 1
	}
	h := fragmentHeader(word)
	h[0] = b[6]
	f := append(append(append([]byte(nil), b[:40]...), h...), b[40+from:40+to]...)
	f[6] = 44
	return set16(f, 4, uint16(len(f)-40))
}

// TestEditCutShort: where the checksum is in the next fragment, nobody can
// keep it right.
func TestEditCutShort(t *testing.T) {
	b := fixHeader4(set16(set16(tcp4(t, 0)[:36], 2, 36), 6, 0x2000))
	p := parse(t, b, packet.Offload{})
	before := string(p.Bytes())
	if p.SetSource(other4) || p.SetDestination(other4) || p.SetSourcePort(1) || p.SetDestinationPort(1) {
		t.Error("an edit was taken")
	}
	if p.Edited() || string(p.Bytes()) != before {
		t.Error("changed all the same")
	}
	if port, ok := p.SourcePort(); !ok || port != 1234 {
		t.Errorf("SourcePort = %d, %v", port, ok)
	}
}

// TestEditWithoutChecksum: UDP over IPv4 may have none, and has none after
// (RFC 768).
func TestEditWithoutChecksum(t *testing.T) {
	p := parse(t, set16(udp4(t, 10), 26, 0), packet.Offload{})
	if !p.SetSource(other4) || !p.SetDestinationPort(9) || !p.DeferChecksum() {
		t.Error("an edit was refused")
	}
	p.FillChecksum()
	if got := binary.BigEndian.Uint16(p.Bytes()[26:]); got != 0 {
		t.Errorf("checksum = %#x, want none", got)
	}
	checkValid(t, p.Bytes())
}

// TestEditToZero: an incremental update that gives 0 writes the other zero for
// UDP.
func TestEditToZero(t *testing.T) {
	p := parse(t, udp4(t, 10), packet.Offload{})
	sum := binary.BigEndian.Uint16(p.Bytes()[26:])
	port, _ := p.SourcePort()
	// The checksum falls by what the port grows.
	p.SetSourcePort(foldTest(uint32(port) + uint32(sum)))
	if got := binary.BigEndian.Uint16(p.Bytes()[26:]); got != 0xffff {
		t.Errorf("checksum = %#x, want 0xffff", got)
	}
	checkValid(t, p.Bytes())
}

func foldTest(sum uint32) uint16 { return uint16(sum&0xffff + sum>>16) }

// TestEditKeepsCorruption: a checksum that was wrong stays wrong, so that the
// end host still finds out.
func TestEditKeepsCorruption(t *testing.T) {
	b := udp4(t, 10)
	b[30] ^= 4
	p := parse(t, b, packet.Offload{})
	p.SetSource(other4)
	p.SetDestinationPort(99)
	if p.TransportChecksumValid() {
		t.Error("the corruption was hidden")
	}
}

// TestEditAbsent: a checksum field nobody filled stays as it is.
func TestEditAbsent(t *testing.T) {
	p := parse(t, set16(tcp4(t, 10), 36, 0), packet.Offload{Checksum: packet.ChecksumAbsent})
	p.SetSource(other4)
	p.SetSourcePort(9)
	if !p.DeferChecksum() || p.Offload.Checksum != packet.ChecksumAbsent || binary.BigEndian.Uint16(p.Bytes()[36:]) != 0 {
		t.Errorf("%+v, % x", p.Offload, p.Bytes()[36:38])
	}
	p.FillChecksum()
	checkValid(t, p.Bytes())
}

// TestEditSourceRouted: the transport checksum covers the source and the final
// destination, not the next hop.
func TestEditSourceRouted(t *testing.T) {
	for name, b := range map[string][]byte{
		"v6": chain(t, 43, ext(4, 1)),
		"v4": func() []byte {
			b := udp4(t, 10)
			b = append(b[:20:20], append([]byte{131, 7, 4, 10, 0, 0, 9, 0}, b[20:]...)...)
			b[0] = 0x47
			return fixHeader4(set16(b, 2, uint16(len(b))))
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, b, packet.Offload{})
			address := other4
			if p.Version() == 6 {
				address = other6
			}
			before := string(p.Transport())
			if !p.SetDestination(address) || string(p.Transport()) != before {
				t.Error("refused, or the transport checksum followed the next hop")
			}
			if !p.SetSource(address) || string(p.Transport()) == before {
				t.Error("refused, or the transport checksum did not follow the source")
			}
			if p.DeferChecksum() {
				t.Error("DeferChecksum knows the final destination")
			}
		})
	}
}

// TestEditOtherProtocols: UDP-Lite and DCCP cover the addresses as UDP does,
// SCTP does not, and its own checksum is none of ours.
func TestEditOtherProtocols(t *testing.T) {
	for protocol, ports := range map[byte]bool{136: true, 33: true, 132: false, 58: false, 47: false} {
		b := udp4(t, 10)
		b[9] = protocol
		if protocol == 136 || protocol == 33 {
			// A full sum over everything, as UDP's but for the number.
			set16(b, 26, 0)
			set16(b, 26, ^slowSum(append(binary.BigEndian.AppendUint16(nil, pseudo(b, protocol, 18)), b[20:]...)))
		}
		fixHeader4(b)
		p := parse(t, b, packet.Offload{})
		before := string(p.Transport())
		if !p.SetSource(other4) {
			t.Errorf("protocol %d: address refused", protocol)
		}
		if p.SetSourcePort(5) != ports {
			t.Errorf("protocol %d: SetSourcePort = %v, want %v", protocol, !ports, ports)
		}
		if !ports {
			if string(p.Transport()) != before {
				t.Errorf("protocol %d: payload changed", protocol)
			}
			continue
		}
		got := p.Bytes()
		if sum := slowSum(append(binary.BigEndian.AppendUint16(nil, pseudo(got, protocol, 18)), got[20:]...)); sum != 0xffff {
			t.Errorf("protocol %d: sum %#x", protocol, sum)
		}
	}
}

// TestEditOuter: an edit of a tunnel's packet keeps the outer header right and
// leaves the inner partial checksum alone.
func TestEditOuter(t *testing.T) {
	inner := tcp4(t, 33)
	b := build(t, ip4(layers.IPProtocolUDP), udp(), gopacket.Payload(inner))
	partial(b[28:], 6, 20)
	// What the outer checksum has to be once the inner one is filled in
	// (local checksum offload).
	o := packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: 48, ChecksumOffset: 16}
	p := parse(t, b, o)
	p.SetSource(other4)
	p.SetDestinationPort(99)
	if p.Offload != o {
		t.Errorf("metadata changed: %+v", p.Offload)
	}
	p.FillChecksum()
	checkValid(t, p.Bytes())
	checkValid(t, p.Bytes()[28:])

	// DeferChecksum for the outer one completes the inner one.
	p = parse(t, b, o)
	p.Mutable()[22] ^= 1
	if !p.DeferChecksum() || p.Offload.ChecksumStart != 20 {
		t.Errorf("metadata: %+v", p.Offload)
	}
	p.FillChecksum()
	checkValid(t, p.Bytes())
	checkValid(t, p.Bytes()[28:])
}

// TestDecrementTTL: never below 0, and not marked.
func TestDecrementTTL(t *testing.T) {
	for _, b := range [][]byte{udp4(t, 1), udp6(t, 1)} {
		p := parse(t, b, packet.Offload{})
		for want := 63; want > -300; want-- {
			p.DecrementTTL()
			if got := int(p.TTL()); got != max(want, 0) {
				t.Fatalf("TTL = %d, want %d", got, max(want, 0))
			}
			if p.Edited() {
				t.Fatal("marked edited")
			}
			if !p.HeaderChecksumValid() {
				t.Fatalf("header checksum wrong at TTL %d", p.TTL())
			}
		}
	}
}

// TestHeaderChecksumAsComputed: incremental updates give what a full
// computation gives, never the other zero (RFC 1624, 3).
func TestHeaderChecksumAsComputed(t *testing.T) {
	b := udp4(t, 1)
	for id := range 1 << 16 {
		p := unparsed(t, fixHeader4(set16(b, 4, uint16(id))), packet.Offload{})
		if p.Parse() != hooks.ReasonNone {
			t.Fatal("does not parse")
		}
		p.DecrementTTL()
		got := binary.BigEndian.Uint16(p.Bytes()[10:])
		if want := binary.BigEndian.Uint16(fixHeader4(append([]byte(nil), p.Bytes()...))[10:]); got != want {
			t.Fatalf("id %#x: got %#x, want %#x", id, got, want)
		}
		p.Release()
	}
}

// TestEditNotParsed: nothing happens to what is no packet.
func TestEditNotParsed(t *testing.T) {
	for _, b := range [][]byte{{}, {0x45}, bytesOf(60)} {
		p := unparsed(t, b, packet.Offload{})
		p.Parse()
		p.SetTTL(1)
		p.DecrementTTL()
		p.SetTrafficClass(1)
		p.FillChecksum()
		if p.SetSource(other4) || p.SetDestination(other6) || p.SetSourcePort(1) || p.DeferChecksum() || p.SetSource(netip.Addr{}) {
			t.Error("an edit was taken")
		}
		if string(p.Bytes()) != string(b) {
			t.Errorf("changed to % x", p.Bytes())
		}
	}
}

// TestEditAddressKinds: an IPv4 address in IPv6 clothes is an IPv6 address, a
// zone does not matter, the zero address is none.
func TestEditAddressKinds(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	p4, p6 := parse(t, udp4(t, 1), packet.Offload{}), parse(t, udp6(t, 1), packet.Offload{})
	if p4.SetSource(mapped) || !p6.SetSource(mapped) || p4.SetSource(netip.Addr{}) || p6.SetSource(netip.Addr{}) {
		t.Error("families mixed up")
	}
	if !p6.SetDestination(netip.MustParseAddr("fe80::1%eth0")) || p6.Destination() != netip.MustParseAddr("fe80::1") {
		t.Errorf("destination = %v", p6.Destination())
	}
	checkValid(t, p6.Bytes())
}

// RFC 791, 3.1: the time is asked for where a Timestamp option takes it, and nowhere else: whoever sends options does not make
// the router read its clock.
func TestRecordAsksForTheTime(t *testing.T) {
	for name, c := range map[string]struct {
		options []byte
		asked   int
	}{
		"router alert":             {[]byte{148, 4, 0, 0}, 0},
		"no operation":             {[]byte{1, 1, 1, 1}, 0},
		"record route":             {[]byte{7, 7, 4, 0, 0, 0, 0, 0}, 0},
		"timestamp":                {[]byte{68, 8, 5, 0, 0, 0, 0, 0}, 1},
		"timestamp with address":   {[]byte{68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 1},
		"timestamp of ours":        {[]byte{68, 12, 5, 3, 192, 0, 2, 1, 0, 0, 0, 0}, 1},
		"timestamp of another":     {[]byte{68, 12, 5, 3, 192, 0, 2, 9, 0, 0, 0, 0}, 0},
		"timestamp, full":          {[]byte{68, 8, 9, 0, 9, 9, 9, 9}, 0},
		"timestamp behind a route": {[]byte{7, 7, 4, 0, 0, 0, 0, 68, 8, 5, 0, 0, 0, 0, 0, 0}, 1},
	} {
		p := parse(t, optioned(t, c.options...), packet.Offload{})
		asked := 0
		ours := netip.MustParseAddr("192.0.2.1")
		p.Record(ours, func() uint32 { asked++; return 0x01020304 }, func(a netip.Addr) bool { return a == ours })
		if asked != c.asked {
			t.Errorf("%s: the time was asked for %d times, want %d", name, asked, c.asked)
		}
		if written := bytes.Contains(p.Bytes()[20:p.HeaderLen()], []byte{1, 2, 3, 4}); written != (c.asked == 1) {
			t.Errorf("%s: options % x", name, p.Bytes()[20:p.HeaderLen()])
		}
		checkValid(t, p.Bytes())
	}
}

// Found by TestScribbled: what the next router will find wrong, the packet says as soon as it is so, not when it is next parsed.
func TestRecordLeavesAProblem(t *testing.T) {
	for name, c := range map[string]struct {
		options []byte
		pointer int // of the problem; 0: none
	}{
		"a byte of room is left":      {[]byte{7, 8, 4, 0, 0, 0, 0, 0}, 22},
		"full":                        {[]byte{7, 7, 4, 0, 0, 0, 0, 0}, 0},
		"the last overflow":           {[]byte{68, 8, 9, 14 << 4, 9, 9, 9, 9}, 23},
		"the last but one":            {[]byte{68, 8, 9, 13 << 4, 9, 9, 9, 9}, 0},
		"half an entry of timestamps": {[]byte{68, 10, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 22},
	} {
		p := parse(t, optioned(t, c.options...), packet.Offload{})
		if p.Problem() != packet.ProblemNone {
			t.Fatalf("%s: %v before", name, p.Problem())
		}
		p.Record(netip.MustParseAddr("192.0.2.1"), func() uint32 { return 1 }, func(netip.Addr) bool { return false })
		if got := p.Problem() != packet.ProblemNone; got != (c.pointer != 0) || got && int(p.ProblemPointer()) != c.pointer {
			t.Errorf("%s: problem %v at %d, want it at %d", name, p.Problem(), p.ProblemPointer(), c.pointer)
		}
		was, at := p.Problem(), p.ProblemPointer()
		if reason := p.Parse(); reason != hooks.ReasonNone || p.Problem() != was || p.ProblemPointer() != at {
			t.Errorf("%s: parsed again: %s, problem %v at %d", name, packet.ReasonName(reason), p.Problem(), p.ProblemPointer())
		}
	}
}
