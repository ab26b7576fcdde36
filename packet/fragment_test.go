// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"pgregory.net/rapid"
)

// fragments splits p and returns the bytes of each fragment, after checking
// what must hold for all of them.
func fragments(t T, p *packet.Packet, mtu int) [][]byte {
	t.Helper()
	var f packet.Fragmenter
	if r := f.Init(p, mtu); r != hooks.ReasonNone {
		t.Fatalf("Init: %s", packet.ReasonName(r))
	}
	var list [][]byte
	dst := packet.Get(10)
	defer dst.Release()
	for f.Next(dst) {
		if dst.Len() > mtu {
			t.Fatalf("fragment %d: %d bytes, MTU %d", len(list), dst.Len(), mtu)
		}
		if dst.Offload != (packet.Offload{}) || dst.Edited() {
			t.Fatalf("fragment %d: %+v, edited %v", len(list), dst.Offload, dst.Edited())
		}
		got := fieldsOf(dst)
		fresh := parse(t, dst.Bytes(), packet.Offload{})
		if diff := cmp.Diff(fieldsOf(fresh), got); diff != "" {
			t.Fatalf("fragment %d: accessors (-fresh +got):\n%s", len(list), diff)
		}
		fresh.Release()
		list = append(list, append([]byte(nil), dst.Bytes()...))
	}
	if f.Next(dst) {
		t.Fatalf("a fragment after the last")
	}
	return list
}

// reassemble is RFC 791, 3.2, for fragments in any order, all of one datagram.
func reassemble(t T, list [][]byte) []byte {
	t.Helper()
	var first []byte
	data := make([]byte, 65536)
	covered := make([]bool, 65536)
	end := -1
	for _, b := range list {
		header := int(b[0]&15) * 4
		word := binary.BigEndian.Uint16(b[6:])
		at := int(word&0x1fff) * 8
		if at == 0 {
			first = b[:header]
		}
		for i, c := range b[header:] {
			if covered[at+i] {
				t.Fatalf("byte %d is in two fragments", at+i)
			}
			data[at+i], covered[at+i] = c, true
		}
		if word&0x2000 == 0 {
			end = at + len(b) - header
		}
	}
	if first == nil || end < 0 {
		t.Fatalf("the first or the last fragment is missing")
	}
	for i := range end {
		if !covered[i] {
			t.Fatalf("byte %d is missing", i)
		}
	}
	b := append(append([]byte(nil), first...), data[:end]...)
	return fixHeader4(set16(set16(b, 2, uint16(len(b))), 6, 0))
}

// TestFragmentsOfFragments: fragmented at every hop of a path, for the MTU that
// is there, and put together in any order, a packet is what it was. On the way
// the fragments overtake each other. Its checksum may have been partial.
func TestFragmentsOfFragments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t, 9000)
		m.version, m.inserted = 4, nil
		if m.protocol == layers.IPProtocolICMPv6 {
			m.protocol = layers.IPProtocolICMPv4
		}
		m.source, m.destination = drawAddr(t, 4, "source"), drawAddr(t, 4, "destination")
		for range rapid.IntRange(0, 3).Draw(t, "options") {
			m.inserted = append(m.inserted, rapid.SampledFrom([][]byte{
				{1, 1, 1, 1}, {7, 7, 4, 1, 2, 3, 4, 1}, {0x94, 4, 0, 0}, {1, 0x9e, 6, 9, 9, 9, 9, 1}, {0x9d, 3, 9, 1},
			}).Draw(t, "option")...)
		}
		whole := m.bytes(t)
		b, o := append([]byte(nil), whole...), packet.Offload{}
		if (m.protocol == layers.IPProtocolTCP || m.protocol == layers.IPProtocolUDP) && rapid.Bool().Draw(t, "partial") {
			b, o = partial(b, byte(m.protocol), m.transport())
		}
		mtus := rapid.SliceOfN(rapid.IntRange(68, 10000), 1, 5).Draw(t, "MTUs")
		list := fragments(t, parse(t, b, o), mtus[0])
		if len(whole) <= mtus[0] && len(list) != 1 {
			t.Fatalf("%d fragments of what fits", len(list))
		}
		smallest := mtus[0]
		for hop, mtu := range mtus[1:] {
			var next [][]byte
			for _, b := range rapid.Permutation(list).Draw(t, "order") {
				parts := fragments(t, parse(t, b, packet.Offload{}), mtu)
				if len(b) <= mtu && (len(parts) != 1 || string(parts[0]) != string(b)) {
					t.Fatalf("hop %d changed a fragment that fits", hop+2)
				}
				next = append(next, parts...)
			}
			list, smallest = next, min(smallest, mtu)
		}
		for _, b := range list {
			if len(b) > smallest {
				t.Fatalf("%d bytes at the end of a path with an MTU of %d", len(b), smallest)
			}
		}
		if diff := sameBytes(m, whole, reassemble(t, rapid.Permutation(list).Draw(t, "order"))); diff != "" {
			t.Fatalf("after MTUs %v (-want +got):\n%s", mtus, diff)
		}
	})
}

// TestFragmentSizes: as much as fits, in units of 8 bytes, in the order of the
// offsets.
func TestFragmentSizes(t *testing.T) {
	type fragment struct {
		Len, Offset int
		More        bool
		ID          uint16
	}
	describe := func(list [][]byte) (got []fragment) {
		for _, b := range list {
			word := binary.BigEndian.Uint16(b[6:])
			got = append(got, fragment{len(b), int(word&0x1fff) * 8, word&0x2000 != 0, binary.BigEndian.Uint16(b[4:])})
		}
		return got
	}
	list := fragments(t, parse(t, udp4(t, 4000-28), packet.Offload{}), 1500)
	want := []fragment{{1500, 0, true, 0x1234}, {1500, 1480, true, 0x1234}, {1040, 2960, false, 0x1234}}
	if diff := cmp.Diff(want, describe(list)); diff != "" {
		t.Errorf("whole packet (-want +got):\n%s", diff)
	}
	// A middle fragment keeps its place and its MF flag, gVisor's 1.4.
	want = []fragment{{572, 1480, true, 0x1234}, {572, 2032, true, 0x1234}, {396, 2584, true, 0x1234}}
	if diff := cmp.Diff(want, describe(fragments(t, parse(t, list[1], packet.Offload{}), 576))); diff != "" {
		t.Errorf("middle fragment (-want +got):\n%s", diff)
	}
	want = []fragment{{572, 2960, true, 0x1234}, {488, 3512, false, 0x1234}}
	if diff := cmp.Diff(want, describe(fragments(t, parse(t, list[2], packet.Offload{}), 576))); diff != "" {
		t.Errorf("last fragment (-want +got):\n%s", diff)
	}
	// The longest packet and the smallest MTU.
	if got, want := len(fragments(t, parse(t, udp4(t, 65507), packet.Offload{}), 68)), (65515+47)/48; got != want {
		t.Errorf("%d fragments of the longest packet, want %d", got, want)
	}
}

// TestFragmentOptions: the first fragment has all options, the others those
// whose copy bit is set (RFC 791, 3.1).
func TestFragmentOptions(t *testing.T) {
	for name, test := range map[string]struct{ options, want []byte }{
		"none copied":              {[]byte{7, 7, 4, 1, 2, 3, 4, 0}, nil},
		"copied":                   {[]byte{0x94, 4, 0, 0}, []byte{0x94, 4, 0, 0}},
		"one of two, padded":       {[]byte{7, 3, 4, 0x9d, 3, 9, 0, 0}, []byte{0x9d, 3, 9, 0}},
		"without the no-operation": {[]byte{1, 0x9d, 3, 9, 1, 0x9d, 3, 8}, []byte{0x9d, 3, 9, 0x9d, 3, 8, 0, 0}},
		"nothing after the end":    {[]byte{0x94, 4, 0, 0, 0, 0x9d, 3, 9}, []byte{0x94, 4, 0, 0}},
		"nothing after nonsense":   {[]byte{0x94, 4, 0, 0, 0x9d, 9, 3, 9}, []byte{0x94, 4, 0, 0}},
		"as many as there can be":  {append(append([]byte{0x94, 4, 0, 0, 7, 4, 4, 0}, make([]byte, 28)...), 1, 1, 1, 1), []byte{0x94, 4, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{version: 4, protocol: layers.IPProtocolUDP, source: drawFixed(4, 1), destination: drawFixed(4, 2), payload: bytesOf(500), inserted: test.options}
			list := fragments(t, parse(t, m.bytes(t), packet.Offload{}), 200)
			if diff := cmp.Diff(test.options, list[0][20:int(list[0][0]&15)*4]); diff != "" {
				t.Errorf("first (-want +got):\n%s", diff)
			}
			for _, b := range list[1:] {
				if diff := cmp.Diff(string(test.want), string(b[20:int(b[0]&15)*4])); diff != "" {
					t.Errorf("later (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFragmenterRefuses(t *testing.T) {
	dontFragment := func(n int) *packet.Packet {
		return parse(t, fixHeader4(set16(udp4(t, n), 6, 0x4000)), packet.Offload{})
	}
	gso, o := super(tcp4(t, 3000), 6, 20, 1000)
	options := &model{version: 4, protocol: layers.IPProtocolUDP, source: drawFixed(4, 1), destination: drawFixed(4, 2), payload: bytesOf(500), inserted: make([]byte, 40)}
	for name, test := range map[string]struct {
		p    *packet.Packet
		mtu  int
		want hooks.Reason
	}{
		"DF":                     {dontFragment(1473), 1500, packet.ReasonTooBig},
		"DF that fits":           {dontFragment(1472), 1500, hooks.ReasonNone},
		"IPv6":                   {parse(t, udp6(t, 100), packet.Offload{}), 100, packet.ReasonTooBig},
		"IPv6 that fits":         {parse(t, udp6(t, 100), packet.Offload{}), 1500, packet.ReasonTooBig},
		"superpacket":            {parse(t, gso, o), 1500, packet.ReasonOffloadMetadata},
		"not parsed":             {unparsed(t, udp4(t, 100), packet.Offload{}), 100, packet.ReasonVersion},
		"MTU 27":                 {parse(t, udp4(t, 100), packet.Offload{}), 27, packet.ReasonTooBig},
		"MTU 28":                 {parse(t, udp4(t, 100), packet.Offload{}), 28, hooks.ReasonNone},
		"MTU 0":                  {parse(t, udp4(t, 100), packet.Offload{}), 0, packet.ReasonTooBig},
		"MTU -1":                 {parse(t, udp4(t, 100), packet.Offload{}), -1, packet.ReasonTooBig},
		"longest header, MTU 67": {parse(t, options.bytes(t), packet.Offload{}), 67, packet.ReasonTooBig},
		"longest header, MTU 68": {parse(t, options.bytes(t), packet.Offload{}), 68, hooks.ReasonNone},
	} {
		t.Run(name, func(t *testing.T) {
			var f packet.Fragmenter
			if got := f.Init(test.p, test.mtu); got != test.want {
				t.Errorf("Init: got %s, want %s", packet.ReasonName(got), packet.ReasonName(test.want))
			}
			dst := packet.Get(1500)
			defer dst.Release()
			if f.Next(dst) != (test.want == hooks.ReasonNone) {
				t.Error("Next and Init disagree")
			}
		})
	}
}

// TestFragmentPartial: what no fragment could do, the fragmenter does before.
func TestFragmentPartial(t *testing.T) {
	b, o := partial(udp4(t, 3000), 17, 20)
	checkValid(t, reassemble(t, fragments(t, parse(t, b, o), 1500)))
	b = set16(udp4(t, 3000), 26, 0)
	checkValid(t, reassemble(t, fragments(t, parse(t, b, packet.Offload{Checksum: packet.ChecksumAbsent}), 1500)))
}
