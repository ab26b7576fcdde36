// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// The sum of a header is rarely so large that it carries twice.
func TestFoldSum(t *testing.T) {
	for _, sum := range []uint32{0, 1, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xfffff, 0x12ffff, 0xffff0000, 0xffffffff} {
		want := sum
		for want > 0xffff {
			want = want>>16 + want&0xffff
		}
		if got := foldSum(sum); uint32(got) != want {
			t.Errorf("foldSum(%#x) = %#x, want %#x", sum, got, want)
		}
	}
}

const everything = packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO

// groups runs the coalescer and returns the indices of the packets of each write.
func groups(pkts []*packet.Packet, allowed packet.Features) [][]int {
	var c coalescer
	c.plan(pkts, allowed)
	var list [][]int
	for i := range pkts {
		if c.joined>>i&1 != 0 {
			continue
		}
		group := []int{i}
		for n := c.next[i]; n != 0; n = c.next[n] {
			group = append(group, int(n))
		}
		list = append(list, group)
	}
	return list
}

// checkGroups plans a batch and checks what must hold for every one: each packet is in exactly one group, packets of a flow
// are in order, and a superpacket becomes the same packets again, byte for byte.
func checkGroups(t require, pkts []*packet.Packet, allowed packet.Features) [][]int {
	before := make([][]byte, len(pkts))
	for i, p := range pkts {
		before[i] = bytes.Clone(p.Bytes())
	}
	list := groups(pkts, allowed)
	var order []int
	for _, group := range list {
		order = append(order, group...)
		if len(group) > 1 {
			checkSuper(t, pkts, group)
		}
	}
	if sorted := slices.Sorted(slices.Values(order)); len(sorted) != len(pkts) || len(slices.Compact(sorted)) != len(pkts) {
		t.Fatalf("of %d packets, these are written: %v", len(pkts), order)
	}
	latest := make(map[flow]int)
	for _, i := range order {
		var s segment
		s.classify(pkts[i], allowed)
		if s.flow.version == 0 {
			for f, seen := range latest {
				if seen > i {
					t.Fatalf("%d of %v overtook %d, which is of no flow: %v", seen, f, i, list)
				}
			}
			continue
		}
		if seen, ok := latest[s.flow]; ok && seen > i {
			t.Fatalf("%d overtook %d of the same flow: %v", seen, i, list)
		}
		latest[s.flow] = i
	}
	for i, p := range pkts {
		if !bytes.Equal(p.Bytes(), before[i]) {
			t.Fatalf("packet %d was changed", i)
		}
	}
	return list
}

// checkSuper makes a superpacket of a group and cuts it up again.
func checkSuper(t require, pkts []*packet.Packet, group []int) {
	first, last := pkts[group[0]], pkts[group[len(group)-1]]
	length := first.Len()
	var header [superHeaderLimit]byte
	_, offload := superHeader(header[:], first, last, 0)
	for _, i := range group[1:] {
		length += pkts[i].Len() - int(offload.HeaderLen)
	}
	whole, offload := superHeader(header[:], first, last, length)
	for _, i := range group {
		whole = append(whole, pkts[i].Bytes()[offload.HeaderLen:]...)
	}
	super := packet.Get(len(whole))
	defer super.Release()
	if err := super.Fill(whole); err != nil {
		t.Fatalf("%v", err)
	}
	super.Offload = offload
	if r := super.Parse(); r != hooks.ReasonNone || super.Len() != length {
		t.Fatalf("the superpacket of %v: %s, %d bytes, want %d", group, packet.ReasonName(r), super.Len(), length)
	}
	var s packet.Segmenter
	if r := s.Init(super); r != hooks.ReasonNone || s.Segments() != len(group) {
		t.Fatalf("the superpacket of %v: %s, %d segments", group, packet.ReasonName(r), s.Segments())
	}
	got := packet.Get(0)
	defer got.Release()
	for n, i := range group {
		s.Next(got)
		original := pkts[i].Clone()
		original.FillChecksum()
		want := original.Bytes()
		if first.Version() == 4 && first.DontFragment() && n > 0 &&
			bytes.Equal(first.Bytes()[ipv4ID:ipv4ID+2], want[ipv4ID:ipv4ID+2]) { // see the coalescer's "What is lost"
			binary.BigEndian.PutUint16(want[ipv4ID:], binary.BigEndian.Uint16(want[ipv4ID:])+uint16(n))
			binary.BigEndian.PutUint16(want[ipv4Checksum:], 0)
			binary.BigEndian.PutUint16(want[ipv4Checksum:], ^sumOf(want[:ipv4Header]))
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("segment %d, packet %d:\n got %x\nwant %x", n, i, got.Bytes(), want)
		}
		original.Release()
	}
}

func TestCoalesce(t *testing.T) {
	tcp4 := stream(sample{payload: 100, seq: 0xffffff80, id: 0xfffe, options: "\x01\x01\x08\x0aABCDEFGH"}, 4)
	tcp6 := stream(sample{version: 6, payload: 100, class: 3, label: 0x12345}, 4)
	udp4 := stream(sample{udp: true, payload: 100}, 4)
	udp6 := stream(sample{version: 6, udp: true, payload: 100}, 4)
	all := [][]int{{0, 1, 2, 3}}
	none := [][]int{{0}, {1}, {2}, {3}}
	tail := [][]int{{0}, {1}, {2, 3}}
	between := [][]int{{0, 1}, {2}, {3}}
	halves := [][]int{{0, 1}, {2, 3}}
	for name, test := range map[string]struct {
		list    []sample
		want    [][]int
		allowed packet.Features
	}{
		"TCP4": {list: tcp4, want: all}, "TCP6": {list: tcp6, want: all},
		"UDP4": {list: udp4, want: all}, "UDP6": {list: udp6, want: all},
		"TCP4 not allowed": {list: tcp4, want: none, allowed: packet.FeatureTSO6 | packet.FeatureUSO},
		"TCP6 not allowed": {list: tcp6, want: none, allowed: packet.FeatureTSO4 | packet.FeatureUSO},
		"UDP4 not allowed": {list: udp4, want: none, allowed: packet.FeatureTSO4 | packet.FeatureTSO6},
		"UDP6 not allowed": {list: udp6, want: none, allowed: packet.FeatureTSO4 | packet.FeatureTSO6},

		"a shorter last one":       {list: with(tcp4, 3, func(s *sample) { s.payload = 1 }), want: all},
		"a shorter one between":    {list: with(udp4, 1, func(s *sample) { s.payload = 99 }), want: halves},
		"a longer one":             {list: with(udp4, 2, func(s *sample) { s.payload = 101 }), want: [][]int{{0, 1}, {2, 3}}},
		"no payload":               {list: with(tcp4, 2, func(s *sample) { s.payload = 0 }), want: between},
		"no payload, UDP":          {list: with(udp4, 2, func(s *sample) { s.payload = 0 }), want: between},
		"PSH on the last":          {list: with(tcp4, 3, func(s *sample) { s.flags = tcpFlagACK | tcpFlagPSH }), want: all},
		"PSH between":              {list: with(tcp4, 1, func(s *sample) { s.flags = tcpFlagACK | tcpFlagPSH }), want: halves},
		"PSH on the first":         {list: with(tcp4, 0, func(s *sample) { s.flags = tcpFlagACK | tcpFlagPSH }), want: [][]int{{0}, {1, 2, 3}}},
		"FIN":                      {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagACK | 0x01 }), want: between},
		"SYN":                      {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagACK | 0x02 }), want: between},
		"RST":                      {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagACK | 0x04 }), want: between},
		"URG":                      {list: with(tcp4, 2, func(s *sample) { s.flags, s.urgent = tcpFlagACK|0x20, 9 }), want: between},
		"ECE":                      {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagACK | 0x40 }), want: between},
		"CWR":                      {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagACK | 0x80 }), want: between},
		"CWR on the first":         {list: with(tcp4, 0, func(s *sample) { s.flags = tcpFlagACK | 0x80 }), want: [][]int{{0}, {1, 2, 3}}},
		"AE":                       {list: with(tcp4, 2, func(s *sample) { s.reserved = 1 }), want: between},
		"no ACK":                   {list: with(tcp4, 2, func(s *sample) { s.flags = tcpFlagPSH }), want: between},
		"a gap":                    {list: with(tcp4, 2, func(s *sample) { s.seq++ }), want: [][]int{{0, 1}, {2}, {3}}},
		"a repetition":             {list: with(tcp4, 2, func(s *sample) { s.seq -= 100 }), want: between},
		"another acknowledgment":   {list: with(tcp4, 2, func(s *sample) { s.ack++ }), want: between},
		"another window":           {list: with(tcp4, 2, func(s *sample) { s.window++ }), want: between},
		"another urgent pointer":   {list: with(tcp4, 2, func(s *sample) { s.urgent++ }), want: between},
		"another timestamp":        {list: with(tcp4, 2, func(s *sample) { s.options = "\x01\x01\x08\x0aABCDEFGI" }), want: between},
		"other options":            {list: with(tcp4, 2, func(s *sample) { s.options = "" }), want: between},
		"another TTL":              {list: with(tcp4, 2, func(s *sample) { s.ttl = 63 }), want: between},
		"another hop limit":        {list: with(udp6, 2, func(s *sample) { s.ttl = 63 }), want: between},
		"CE":                       {list: with(tcp4, 2, func(s *sample) { s.class = 3 }), want: between},
		"not CE, IPv6":             {list: with(tcp6, 2, func(s *sample) { s.class = 2 }), want: between},
		"another flow label":       {list: with(tcp6, 2, func(s *sample) { s.label++ }), want: between},
		"DF on one":                {list: with(tcp4, 2, func(s *sample) { s.fragment = df }), want: between},
		"an identification twice":  {list: with(tcp4, 2, func(s *sample) { s.id-- }), want: between},
		"an identification missed": {list: with(tcp4, 2, func(s *sample) { s.id++ }), want: between},
		"a fragment":               {list: with(udp4, 2, func(s *sample) { s.fragment = 1 }), want: between},
		"first fragments":          {list: stream(sample{udp: true, payload: 96, fragment: 0x2000}, 4), want: none},
		"IP options":               {list: stream(sample{payload: 100, extended: true}, 4), want: none},
		"an extension header":      {list: stream(sample{version: 6, payload: 100, extended: true}, 4), want: none},
		"options on one":           {list: with(udp4, 2, func(s *sample) { s.extended = true }), want: between},
		"padding":                  {list: stream(sample{udp: true, payload: 100, padded: true}, 4), want: none},
		"padding, IPv6":            {list: stream(sample{version: 6, udp: true, payload: 100, padded: true}, 4), want: none},
		"a checksum further in":    {list: stream(sample{udp: true, payload: 100, inner: true}, 4), want: none},
		"another flow":             {list: with(udp6, 2, func(s *sample) { s.flow++ }), want: [][]int{{0, 1, 3}, {2}}},
		"another protocol":         {list: with(tcp4, 2, func(s *sample) { s.udp = true }), want: [][]int{{0, 1}, {2}, {3}}},
		"no checksum":              {list: with(udp4, 2, func(s *sample) { s.noSum = true }), want: between},
		"corrupt":                  {list: with(tcp4, 2, func(s *sample) { s.corrupt = true }), want: between},
		"corrupt, the first":       {list: with(tcp4, 0, func(s *sample) { s.corrupt = true }), want: [][]int{{0}, {1, 2, 3}}},
		"corrupt, UDP":             {list: with(udp4, 1, func(s *sample) { s.corrupt = true }), want: tail},
		"corrupt, IPv6":            {list: with(udp6, 1, func(s *sample) { s.corrupt = true }), want: tail},
		"verified":                 {list: with(tcp4, 2, func(s *sample) { s.state = packet.ChecksumVerified }), want: all},
		"partial":                  {list: with(tcp4, 2, func(s *sample) { s.state = packet.ChecksumPartial }), want: all},
		"partial, the first":       {list: with(udp6, 0, func(s *sample) { s.state = packet.ChecksumPartial }), want: all},
		"not filled":               {list: with(tcp4, 2, func(s *sample) { s.state = packet.ChecksumAbsent }), want: between},
	} {
		t.Run(name, func(t *testing.T) {
			var pkts []*packet.Packet
			for _, s := range test.list {
				pkts = append(pkts, s.packet(t))
			}
			allowed := test.allowed
			if allowed == 0 {
				allowed = everything
			}
			got := checkGroups(t, pkts, allowed)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("written together (-want +got):\n%s", diff)
			}
		})
	}
}

// With DF, identifications may stay as they are, but not sometimes.
func TestCoalesceIdentification(t *testing.T) {
	for name, test := range map[string]struct {
		fragment uint16
		ids      []uint16
		want     [][]int
	}{
		"counting":           {0, []uint16{7, 8, 9, 10}, [][]int{{0, 1, 2, 3}}},
		"counting, DF":       {df, []uint16{7, 8, 9, 10}, [][]int{{0, 1, 2, 3}}},
		"counting and round": {0, []uint16{0xffff, 0, 1, 2}, [][]int{{0, 1, 2, 3}}},
		"the same":           {0, []uint16{0, 0, 0, 0}, [][]int{{0}, {1}, {2}, {3}}},
		"the same, DF":       {df, []uint16{0, 0, 0, 0}, [][]int{{0, 1, 2, 3}}},
		"both, DF":           {df, []uint16{0, 0, 1, 2}, [][]int{{0, 1}, {2, 3}}},
		"random, DF":         {df, []uint16{4, 2, 9, 5}, [][]int{{0}, {1}, {2}, {3}}},
	} {
		t.Run(name, func(t *testing.T) {
			var pkts []*packet.Packet
			for i, s := range stream(sample{payload: 10, fragment: test.fragment}, len(test.ids)) {
				s.id = test.ids[i]
				pkts = append(pkts, s.packet(t))
			}
			if diff := cmp.Diff(test.want, checkGroups(t, pkts, everything)); diff != "" {
				t.Errorf("written together (-want +got):\n%s", diff)
			}
		})
	}
}

// Nothing but parsed packets is looked at, and nothing overtakes what is not.
func TestCoalesceNotParsed(t *testing.T) {
	var pkts []*packet.Packet
	for _, s := range stream(sample{payload: 10}, 6) {
		pkts = append(pkts, s.packet(t))
	}
	pkts[1].Reset()
	if err := pkts[1].Fill(pkts[0].Bytes()); err != nil {
		t.Fatal(err)
	}
	_ = pkts[4].Mutable() // to be parsed again
	if diff := cmp.Diff([][]int{{0}, {1}, {2, 3}, {4}, {5}}, checkGroups(t, pkts, everything)); diff != "" {
		t.Errorf("written together (-want +got):\n%s", diff)
	}
}

// A superpacket is never longer than IPv4 can say, for both families.
func TestCoalesceLimit(t *testing.T) {
	for _, version := range []int{4, 6} {
		for _, payload := range []int{1448, 8948, 21824, 65000} {
			var pkts []*packet.Packet
			for _, s := range stream(sample{version: version, payload: payload}, coalesceBatch) {
				pkts = append(pkts, s.packet(t))
			}
			headers := pkts[0].Len() - payload
			want := min((coalesceLen-headers)/payload, coalesceBatch)
			for i, group := range checkGroups(t, pkts, everything) {
				if len(group) != want && i < coalesceBatch/want {
					t.Errorf("IPv%d, %d bytes each: %d together, want %d", version, payload, len(group), want)
				}
			}
		}
	}
}

// More flows than there is room for: those that were there first are given up.
func TestCoalesceManyFlows(t *testing.T) {
	for flows, want := range map[int]int{coalesceFlows: coalesceFlows, coalesceFlows + 1: 4 * (coalesceFlows + 1)} {
		var pkts []*packet.Packet
		for round := range 4 {
			for f := range flows {
				pkts = append(pkts, stream(sample{flow: byte(f), payload: 10}, 4)[round].packet(t))
			}
		}
		if got := checkGroups(t, pkts, everything); len(got) != want {
			t.Errorf("%d flows in turns: %d writes, want %d", flows, len(got), want)
		}
	}
}

// A superpacket that comes among segments of its flow keeps its place.
func TestCoalesceBesideSuperpacket(t *testing.T) {
	var pkts []*packet.Packet
	for _, s := range stream(sample{version: 6, payload: 1000}, 5) {
		pkts = append(pkts, s.packet(t))
	}
	pkts[2].DeferChecksum()
	pkts[2].Offload.GSO, pkts[2].Offload.SegmentSize = packet.GSOTCP6, 500
	if r := pkts[2].Parse(); r != hooks.ReasonNone {
		t.Fatal(packet.ReasonName(r))
	}
	if diff := cmp.Diff([][]int{{0, 1}, {2}, {3, 4}}, checkGroups(t, pkts, everything)); diff != "" {
		t.Errorf("written together (-want +got):\n%s", diff)
	}
}

// Whatever comes: what is written together becomes what it was, and all is in order.
func TestCoalesceProperty(t *testing.T) {
	merged := 0
	rapid.Check(t, func(t *rapid.T) {
		streams := make([]sample, rapid.IntRange(1, coalesceFlows+2).Draw(t, "streams"))
		for i := range streams {
			streams[i] = sample{
				version: rapid.SampledFrom([]int{4, 6}).Draw(t, "version"), udp: rapid.Bool().Draw(t, "udp"), flow: byte(i),
				payload: rapid.OneOf(rapid.IntRange(1, 1460), rapid.Just(20000)).Draw(t, "size"), seq: rapid.Uint32().Draw(t, "seq"), id: rapid.Uint16().Draw(t, "id"),
				fragment: rapid.SampledFrom([]uint16{0, df}).Draw(t, "DF"), options: rapid.SampledFrom([]string{"", "\x01\x01\x08\x0aABCDEFGH"}).Draw(t, "options"),
			}
		}
		var pkts []*packet.Packet
		for range rapid.IntRange(1, coalesceBatch).Draw(t, "packets") {
			now := &streams[rapid.IntRange(0, len(streams)-1).Draw(t, "stream")]
			s := *now
			s.state = packet.ChecksumState(rapid.IntRange(0, 2).Draw(t, "state"))
			switch rapid.IntRange(0, 40).Draw(t, "mishap") {
			case 0:
				s.payload = rapid.IntRange(0, 1460).Draw(t, "payload")
			case 1:
				s.flags = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{
					tcpFlagACK | 0x01, tcpFlagACK | 0x04, tcpFlagACK | 0x20, tcpFlagACK | 0x40, tcpFlagACK | 0x80, tcpFlagPSH,
				})).Draw(t, "flags")
			case 2:
				s.corrupt = s.payload > 0 && s.state == packet.ChecksumFull
			case 3:
				s.id++
			case 4:
				s.seq++
			case 5:
				now.ack++
			case 6:
				s.class = 3
			case 7:
				s.fragment |= 1
			case 8:
				s.noSum = s.udp && s.version == 4
				s.state = packet.ChecksumFull
			case 9:
				s.ttl = 63
			case 10, 11:
				s.flags = tcpFlagACK | tcpFlagPSH
			case 12:
				s.window++
			case 13:
				s.urgent++
			case 14:
				s.reserved = byte(rapid.IntRange(1, 15).Draw(t, "reserved"))
			case 15:
				s.options = rapid.SampledFrom([]string{"", "\x01\x01\x01\x01", "\x01\x01\x08\x0aABCDEFGI"}).Draw(t, "other options")
			case 16:
				s.padded = s.udp && s.payload > 4
				s.state = packet.ChecksumFull
			case 17:
				s.inner = s.payload > 30
			case 18:
				s.extended = true
			case 19:
				s.label++
			}
			if s.version == 4 && s.fragment&1 != 0 {
				s.state = packet.ChecksumFull
			}
			pkts = append(pkts, s.packet(t))
			now.seq = s.seq + uint32(s.payload)
			now.id = s.id + uint16(rapid.IntRange(0, 5).Draw(t, "ID stays")+4)/5
		}
		for _, group := range checkGroups(t, pkts, everything) {
			merged += len(group) - 1
		}
		for _, p := range pkts {
			p.Release()
		}
	})
	if merged < 100 {
		t.Errorf("%d packets were put together in all: the test does not test", merged)
	}
}

// FuzzCoalesce: the input is a list of packets, each behind two bytes with its length and checksum state.
func FuzzCoalesce(f *testing.F) {
	seed := func(list []sample) {
		var b []byte
		for _, s := range list {
			one := s.bytes()
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(one))<<2|uint16(s.state)), one...)
		}
		f.Add(b)
	}
	for _, version := range []int{4, 6} {
		for _, udp := range []bool{false, true} {
			list := stream(sample{version: version, udp: udp, payload: 12, options: "\x01\x01\x01\x01"}, 4)
			seed(list)
			seed(with(list, 1, func(s *sample) { s.flags = tcpFlagACK | tcpFlagPSH }))
			seed(with(list, 2, func(s *sample) { s.corrupt = true }))
			seed(slices.Concat(list, stream(sample{version: version, udp: udp, payload: 5, flow: 1, state: packet.ChecksumVerified}, 2)))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var pkts []*packet.Packet
		for len(b) > 2 && len(pkts) < coalesceBatch {
			n, state := int(binary.BigEndian.Uint16(b)>>2), packet.ChecksumState(b[1]&3)
			b = b[2:]
			n = min(n, len(b))
			p := packet.Get(n)
			if err := p.Fill(b[:n]); err != nil {
				t.Fatal(err)
			}
			b = b[n:]
			partial := state == packet.ChecksumPartial
			if !partial {
				p.Offload.Checksum = state
			}
			// A device that says "verified" of what is not vouches for it.
			if p.Parse() == hooks.ReasonNone && (partial || state == packet.ChecksumVerified && !sound(p)) {
				p.DeferChecksum()
				_ = p.Parse()
			}
			pkts = append(pkts, p)
		}
		checkGroups(t, pkts, everything)
		for _, p := range pkts {
			p.Release()
		}
	})
}

// sound tells whether a checksum that is said to be verified is.
func sound(p *packet.Packet) bool {
	q := p.Clone()
	defer q.Release()
	q.Offload.Checksum = packet.ChecksumFull
	return q.TransportChecksumValid()
}

// BenchmarkCoalesce is the cost of the decision alone, ns per packet, for 32 packets: of one stream or of as many flows,
// with checksums that are partial, or full and to be verified.
func BenchmarkCoalesce(b *testing.B) {
	for _, payload := range []int{36, 1400} {
		for name, state := range map[string]packet.ChecksumState{"partial": packet.ChecksumPartial, "full": packet.ChecksumFull} {
			for _, flows := range []int{1, 4, 32} {
				b.Run(fmt.Sprintf("payload=%d/checksum=%s/flows=%d", payload, name, flows), func(b *testing.B) {
					pkts := make([]*packet.Packet, 32)
					for i := range pkts {
						pkts[i] = stream(sample{flow: byte(i % flows), payload: payload, state: state}, 32)[i/flows].packet(b)
					}
					b.ReportAllocs()
					for b.Loop() {
						var c coalescer
						c.plan(pkts, everything)
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(pkts)), "ns/packet")
				})
			}
		}
	}
}
