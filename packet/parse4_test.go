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
)

// fields is what the accessors say.
type fields struct {
	Family                                   packet.Family
	Version                                  int
	Source, Destination                      string
	TTL, TrafficClass                        uint8
	HeaderLen                                int
	TransportProtocol                        uint8
	TransportOffset, TransportLen            int // TransportLen is -1 if Transport is nil
	IsFragment, MoreFragments, DontFragment  bool
	FragmentOffset, FragmentHeader, HopByHop int
	HasOptions, SourceRouted                 bool
	SourcePort, DestinationPort              int // -1 for none
	Problem                                  packet.Problem
	ProblemPointer                           uint32
	Edited                                   bool
}

func fieldsOf(p *packet.Packet) fields {
	f := fields{
		Family: p.Family(), Version: p.Version(), TTL: p.TTL(), TrafficClass: p.TrafficClass(),
		HeaderLen: p.HeaderLen(), TransportProtocol: p.TransportProtocol(), TransportOffset: p.TransportOffset(), TransportLen: len(p.Transport()),
		IsFragment: p.IsFragment(), MoreFragments: p.MoreFragments(), DontFragment: p.DontFragment(),
		FragmentOffset: p.FragmentOffset(), FragmentHeader: p.FragmentHeaderOffset(), HopByHop: p.HopByHopOffset(),
		HasOptions: p.HasOptions(), SourceRouted: p.SourceRouted(), SourcePort: -1, DestinationPort: -1,
		Problem: p.Problem(), ProblemPointer: p.ProblemPointer(), Edited: p.Edited(),
	}
	if a := p.Source(); a.IsValid() {
		f.Source = a.String()
	}
	if a := p.Destination(); a.IsValid() {
		f.Destination = a.String()
	}
	if p.Transport() == nil {
		f.TransportLen = -1
	}
	if port, ok := p.SourcePort(); ok {
		f.SourcePort = int(port)
	}
	if port, ok := p.DestinationPort(); ok {
		f.DestinationPort = int(port)
	}
	return f
}

// nothing is what the accessors say of a packet that did not parse.
var nothing = fields{TransportLen: -1, SourcePort: -1, DestinationPort: -1}

func TestParse4Fields(t *testing.T) {
	b := udp4(t, 10)
	want := fields{
		Family: packet.Inet, Version: 4, Source: "10.0.0.1", Destination: "10.0.1.1", TTL: 64, TrafficClass: 0xb8,
		HeaderLen: 20, TransportProtocol: 17, TransportOffset: 20, TransportLen: 18, SourcePort: 1234, DestinationPort: 4321,
	}
	if diff := cmp.Diff(want, fieldsOf(parse(t, b, packet.Offload{}))); diff != "" {
		t.Errorf("UDP (-want +got):\n%s", diff)
	}

	h := ip4(layers.IPProtocolTCP)
	h.Flags = layers.IPv4DontFragment
	h.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	want.HasOptions, want.DontFragment = true, true
	want.HeaderLen, want.TransportOffset, want.TransportProtocol, want.TransportLen = 24, 24, 6, 42
	want.DestinationPort = 8081
	b = build(t, h, tcp(), gopacket.Payload(bytesOf(10)))
	if diff := cmp.Diff(want, fieldsOf(parse(t, b, packet.Offload{}))); diff != "" {
		t.Errorf("TCP with an option and DF (-want +got):\n%s", diff)
	}
}

// edit4 applies f to the bytes of a UDP packet with n bytes of payload and
// makes the header checksum right again.
func edit4(t *testing.T, n int, f func(b []byte) []byte) []byte {
	return fixHeader4(f(udp4(t, n)))
}

func set16(b []byte, at int, v uint16) []byte {
	binary.BigEndian.PutUint16(b[at:], v)
	return b
}

func TestParse4(t *testing.T) {
	withOptions := func(options ...byte) []byte { return optioned(t, options...) }
	fragment := func(n int, word uint16) []byte {
		return edit4(t, n, func(b []byte) []byte { return set16(b, 6, word) })
	}
	for name, test := range map[string]struct {
		b    []byte
		want hooks.Reason
		then func(t *testing.T, p *packet.Packet)
	}{
		"empty":                          {b: nil, want: packet.ReasonTruncated},
		"one byte":                       {b: []byte{0x45}, want: packet.ReasonTruncated},
		"nineteen bytes":                 {b: udp4(t, 0)[:19], want: packet.ReasonTruncated},
		"version 0":                      {b: make([]byte, 40), want: packet.ReasonVersion},
		"version 5":                      {b: append([]byte{0x55}, udp4(t, 0)[1:]...), want: packet.ReasonVersion},
		"version 15, one byte":           {b: []byte{0xff}, want: packet.ReasonVersion},
		"header length 0":                {b: append([]byte{0x40}, udp4(t, 0)[1:]...), want: packet.ReasonHeaderLength},
		"header length 16":               {b: append([]byte{0x44}, udp4(t, 0)[1:]...), want: packet.ReasonHeaderLength},
		"header longer than the bytes":   {b: append([]byte{0x4f}, udp4(t, 0)[1:]...), want: packet.ReasonTruncated},
		"header checksum off by one":     {b: func() []byte { b := udp4(t, 0); b[11]++; return b }(), want: packet.ReasonHeaderChecksum},
		"header checksum of an option":   {b: func() []byte { b := withOptions(1, 1, 1, 0); b[22]++; return b }(), want: packet.ReasonHeaderChecksum},
		"wrong checksum and length":      {b: set16(udp4(t, 0), 2, 9), want: packet.ReasonHeaderChecksum},
		"total length 0":                 {b: edit4(t, 4, func(b []byte) []byte { return set16(b, 2, 0) }), want: packet.ReasonTotalLength},
		"total length below the header":  {b: edit4(t, 4, func(b []byte) []byte { return set16(b, 2, 19) }), want: packet.ReasonTotalLength},
		"total length below the options": {b: fixHeader4(set16(withOptions(1, 1, 1, 0), 2, 23)), want: packet.ReasonTotalLength},
		"total length beyond the bytes":  {b: edit4(t, 4, func(b []byte) []byte { return set16(b, 2, 33) }), want: packet.ReasonTruncated},
		"header only": {b: edit4(t, 0, func(b []byte) []byte { return set16(b[:20], 2, 20) }), then: func(t *testing.T, p *packet.Packet) {
			if _, ok := p.SourcePort(); ok {
				t.Error("a port out of nowhere")
			}
			if got := p.Transport(); got == nil || len(got) != 0 {
				t.Errorf("Transport = %v, want empty", got)
			}
		}},
		"padding is cut off": {b: append(udp4(t, 4), bytesOf(14)...), then: func(t *testing.T, p *packet.Packet) {
			if diff := cmp.Diff(udp4(t, 4), p.Bytes()); diff != "" {
				t.Error(diff)
			}
		}},
		"transport header cut short": {b: edit4(t, 0, func(b []byte) []byte { return set16(b[:23], 2, 23) }), then: func(t *testing.T, p *packet.Packet) {
			if p.TransportOffset() != 20 || p.TransportProtocol() != 17 {
				t.Error("offset or protocol lost")
			}
			if _, ok := p.DestinationPort(); ok {
				t.Error("a port out of nowhere")
			}
		}},
		"ports and nothing else": {b: edit4(t, 0, func(b []byte) []byte { return set16(b[:24], 2, 24) }), then: func(t *testing.T, p *packet.Packet) {
			if port, ok := p.DestinationPort(); !ok || port != 4321 {
				t.Errorf("DestinationPort = %d, %v", port, ok)
			}
		}},
		"protocol without ports": {b: icmp4(t, 4), then: func(t *testing.T, p *packet.Packet) {
			if _, ok := p.SourcePort(); ok {
				t.Error("ICMP has a port")
			}
		}},
		"unknown protocol":      {b: edit4(t, 4, func(b []byte) []byte { b[9] = 253; return b })},
		"reserved flag":         {b: fragment(8, 0x8000)},
		"DF and MF":             {b: fragment(8, 0x6000)},
		"fragment, the first":   {b: fragment(8, 0x2000), then: wantFragment(0, true, true)},
		"fragment, in between":  {b: fragment(8, 0x2001), then: wantFragment(8, true, false)},
		"fragment, the last":    {b: fragment(3, 0x0002), then: wantFragment(16, false, false)},
		"fragment without data": {b: edit4(t, 0, func(b []byte) []byte { return set16(set16(b[:20], 2, 20), 6, 0x2001) })},
		"MF and 5 bytes":        {b: fragment(5, 0x2000), want: packet.ReasonFragment},
		"MF and 5 bytes, later": {b: fragment(5, 0x2010), want: packet.ReasonFragment},
		"ends at 65535":         {b: edit4(t, 8, func(b []byte) []byte { return set16(set16(b[:31], 2, 31), 6, 65504/8) })},
		"ends beyond 65535":     {b: fragment(8, 0x1fff), want: packet.ReasonFragment},
		"ends 1 beyond 65535":   {b: edit4(t, 8, func(b []byte) []byte { return set16(set16(b[:32], 2, 32), 6, 65504/8) }), want: packet.ReasonFragment},
		"options of no meaning": {b: withOptions(1, 30, 3, 9, 0, 0, 0, 0), then: wantProblem(packet.ProblemNone, 0)},
		"option without length": {b: withOptions(1, 1, 1, 7), then: wantProblem(packet.ProblemHeader, 23)},
		"option of length 0":    {b: withOptions(1, 7, 0, 1), then: wantProblem(packet.ProblemHeader, 21)},
		"option of length 1":    {b: withOptions(7, 1, 1, 1), then: wantProblem(packet.ProblemHeader, 20)},
		"option too long":       {b: withOptions(7, 5, 1, 1), then: wantProblem(packet.ProblemHeader, 20)},
		"junk after end":        {b: withOptions(0, 7, 0, 1), then: wantProblem(packet.ProblemNone, 0)},
		"loose source route":    {b: withOptions(131, 7, 4, 10, 0, 0, 9, 0), then: wantSourceRoute(true)},
		"strict source route":   {b: withOptions(1, 137, 7, 4, 10, 0, 0, 9), then: wantSourceRoute(true)},
		"source route finished": {b: withOptions(131, 7, 8, 10, 0, 0, 9, 0), then: wantSourceRoute(false)},
		"record route":          {b: withOptions(7, 7, 4, 0, 0, 0, 0, 0), then: wantSourceRoute(false)},
		"record route, wrong":   {b: withOptions(7, 7, 3, 0, 0, 0, 0, 0), then: wantProblem(packet.ProblemHeader, 22)},
		"record route, full":    {b: withOptions(7, 7, 8, 0, 0, 0, 0, 0), then: wantProblem(packet.ProblemNone, 0)},
		"timestamp, overflow":   {b: withOptions(68, 4, 5, 0xf0), then: wantProblem(packet.ProblemHeader, 23)},
		"wrong, then a route": {b: withOptions(7, 3, 3, 131, 7, 4, 10, 0, 0, 9, 0, 0), then: func(t *testing.T, p *packet.Packet) {
			if wantProblem(packet.ProblemHeader, 22)(t, p); !p.SourceRouted() {
				t.Error("the source route is overlooked")
			}
		}},
		"addresses are not judged": {b: edit4(t, 4, func(b []byte) []byte {
			copy(b[12:], []byte{127, 0, 0, 1, 255, 255, 255, 255})
			return b
		})},
		"TTL 0 is not judged": {b: edit4(t, 4, func(b []byte) []byte { b[8] = 0; return b })},
		"checksum field 0xffff, the other zero": {b: func() []byte {
			// The header without its checksum field sums up to 0xffff.
			b := edit4(t, 4, func(b []byte) []byte { b[4], b[5] = 0, 0; return b })
			b[4], b[5], b[10], b[11] = b[10], b[11], 0xff, 0xff
			return b
		}()},
	} {
		t.Run(name, func(t *testing.T) { checkParse(t, test.b, test.want, test.then) })
	}
}

func checkParse(t *testing.T, b []byte, want hooks.Reason, then func(*testing.T, *packet.Packet)) {
	t.Helper()
	p := unparsed(t, b, packet.Offload{})
	defer p.Release()
	if got := p.Parse(); got != want {
		t.Fatalf("Parse: got %s, want %s", packet.ReasonName(got), packet.ReasonName(want))
	}
	if want != hooks.ReasonNone {
		if diff := cmp.Diff(nothing, fieldsOf(p)); diff != "" {
			t.Errorf("accessors after a failed Parse (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(b, append([]byte(nil), p.Bytes()...)); diff != "" && len(b) > 0 {
			t.Errorf("a failed Parse changed the bytes:\n%s", diff)
		}
	}
	if then != nil {
		then(t, p)
	}
}

func wantFragment(offset int, more, ports bool) func(*testing.T, *packet.Packet) {
	return func(t *testing.T, p *packet.Packet) {
		if !p.IsFragment() || p.FragmentOffset() != offset || p.MoreFragments() != more {
			t.Errorf("IsFragment, FragmentOffset, MoreFragments = %v, %d, %v, want true, %d, %v",
				p.IsFragment(), p.FragmentOffset(), p.MoreFragments(), offset, more)
		}
		if _, ok := p.SourcePort(); ok != ports || (p.Transport() != nil) != ports {
			t.Errorf("ports, transport = %v, %v, want %v", ok, p.Transport() != nil, ports)
		}
	}
}

func wantProblem(problem packet.Problem, pointer uint32) func(*testing.T, *packet.Packet) {
	return func(t *testing.T, p *packet.Packet) {
		if p.Problem() != problem || p.ProblemPointer() != pointer {
			t.Errorf("Problem, ProblemPointer = %d, %d, want %d, %d", p.Problem(), p.ProblemPointer(), problem, pointer)
		}
	}
}

func wantSourceRoute(want bool) func(*testing.T, *packet.Packet) {
	return func(t *testing.T, p *packet.Packet) {
		if p.SourceRouted() != want {
			t.Errorf("SourceRouted = %v, want %v", p.SourceRouted(), want)
		}
		wantProblem(packet.ProblemNone, 0)(t, p)
	}
}

func TestProblemCode(t *testing.T) {
	for problem, want := range map[packet.Problem]int{
		packet.ProblemNone: -1, packet.ProblemHeader: 0, packet.ProblemNextHeader: 1, packet.ProblemOption: 2, packet.ProblemSilent: -1,
	} {
		code, answer := problem.Code()
		if got := int(code); answer != (want >= 0) || answer && got != want {
			t.Errorf("Problem(%d).Code() = %d, %v, want %d", problem, code, answer, want)
		}
	}
}

// TestParseClearsEdited: Parse clears the mark, Reparse sets it.
func TestParseClearsEdited(t *testing.T) {
	p := parse(t, udp4(t, 4), packet.Offload{})
	p.SetSource(netip.MustParseAddr("192.0.2.1"))
	if !p.Edited() {
		t.Error("not marked")
	}
	if r := p.Parse(); r != hooks.ReasonNone || p.Edited() {
		t.Errorf("Parse: %v, edited %v", r, p.Edited())
	}
	if r := p.Reparse(); r != hooks.ReasonNone || !p.Edited() {
		t.Errorf("Reparse: %v, edited %v", r, p.Edited())
	}
}
