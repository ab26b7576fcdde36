// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

func TestParse6Fields(t *testing.T) {
	b := udp6(t, 10)
	want := fields{
		Family: packet.Inet6, Version: 6, Source: "2001:db8::1", Destination: "2001:db8:1::1", TTL: 64, TrafficClass: 0xb8,
		HeaderLen: 40, TransportProtocol: 17, TransportOffset: 40, TransportLen: 18, DontFragment: true, SourcePort: 1234, DestinationPort: 4321,
	}
	if diff := cmp.Diff(want, fieldsOf(parse(t, b, packet.Offload{}))); diff != "" {
		t.Errorf("UDP (-want +got):\n%s", diff)
	}

	b = chain(t, 0, hop(5, 2, 0, 0), 60, ext(1, 4, 0, 0, 0, 0))
	want.HopByHop = 40
	want.TransportOffset, want.TransportProtocol, want.TransportLen, want.DestinationPort = 56, 6, 42, 8081
	if diff := cmp.Diff(want, fieldsOf(parse(t, b, packet.Offload{}))); diff != "" {
		t.Errorf("TCP behind two headers (-want +got):\n%s", diff)
	}
}

// chain is a TCP packet with extension headers: a number and the bytes of the
// header, and so on. The first byte of each, its next header field, is filled
// in by chain.
func chain(t T, headers ...any) []byte {
	t.Helper()
	b := tcp6(t, 10)
	transport := b[40:]
	b = b[:40:40]
	named := 6
	for i := 0; i < len(headers); i += 2 {
		b[named] = byte(headers[i].(int))
		named = len(b)
		b = append(b, headers[i+1].([]byte)...)
	}
	b[named] = 6
	b = append(b, transport...)
	return set16(b, 4, uint16(len(b)-40))
}

// ext is an extension header, its length right, with the given bytes from the
// third on.
func ext(rest ...byte) []byte {
	b := append([]byte{0, 0}, rest...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b)/8 - 1)
	return b
}

// hop is ext for a hop-by-hop header, under a name that says so.
func hop(options ...byte) []byte { return ext(options...) }

// fragmentHeader is an IPv6 fragment header with the given offset and M word.
func fragmentHeader(word uint16) []byte {
	return []byte{0, 0, byte(word >> 8), byte(word), 0, 0, 0, 1}
}

func edit(b []byte, f func(b []byte)) []byte {
	f(b)
	return b
}

func TestParse6(t *testing.T) {
	const (
		hopByHop, routing, fragment, auth, noNext, options = 0, 43, 44, 51, 59, 60
	)
	noTransport := func(protocol uint8, offset int) func(*testing.T, *packet.Packet) {
		return func(t *testing.T, p *packet.Packet) {
			wantProblem(packet.ProblemNone, 0)(t, p)
			if p.Transport() != nil || p.TransportProtocol() != protocol || p.TransportOffset() != offset {
				t.Errorf("Transport nil %v, protocol %d, offset %d; want true, %d, %d",
					p.Transport() == nil, p.TransportProtocol(), p.TransportOffset(), protocol, offset)
			}
			if _, ok := p.SourcePort(); ok {
				t.Error("a port out of nowhere")
			}
		}
	}
	tcpAt := func(offset int) func(*testing.T, *packet.Packet) {
		return func(t *testing.T, p *packet.Packet) {
			wantProblem(packet.ProblemNone, 0)(t, p)
			if port, ok := p.DestinationPort(); !ok || port != 8081 || p.TransportOffset() != offset {
				t.Errorf("DestinationPort = %d, %v, TransportOffset = %d; want 8081, true, %d", port, ok, p.TransportOffset(), offset)
			}
		}
	}
	for name, test := range map[string]struct {
		b    []byte
		want hooks.Reason
		then func(t *testing.T, p *packet.Packet)
	}{
		"39 bytes":                    {b: udp6(t, 0)[:39], want: packet.ReasonTruncated},
		"one byte":                    {b: []byte{0x60}, want: packet.ReasonTruncated},
		"payload beyond the bytes":    {b: set16(udp6(t, 4), 4, 13), want: packet.ReasonTruncated},
		"payload length 65535":        {b: set16(udp6(t, 4), 4, 65535), want: packet.ReasonTruncated},
		"payload length 0 before UDP": {b: set16(udp6(t, 4), 4, 0), want: packet.ReasonTotalLength},
		"jumbogram":                   {b: set16(chain(t, hopByHop, hop(0xc2, 4, 0, 1, 0, 0)), 4, 0), want: packet.ReasonTotalLength},
		"no next header, padding": {b: edit(set16(udp6(t, 4), 4, 0), func(b []byte) { b[6] = noNext }), then: func(t *testing.T, p *packet.Packet) {
			if p.Len() != 40 {
				t.Errorf("Len = %d, want 40", p.Len())
			}
		}},
		"no next header, payload": {b: edit(udp6(t, 4), func(b []byte) { b[6] = noNext })},
		"header only": {b: set16(udp6(t, 0)[:40], 4, 0), then: func(t *testing.T, p *packet.Packet) {
			if _, ok := p.SourcePort(); ok {
				t.Error("a port out of nowhere")
			}
		}},
		"padding is cut off": {b: append(udp6(t, 4), bytesOf(14)...), then: func(t *testing.T, p *packet.Packet) {
			if diff := cmp.Diff(udp6(t, 4), p.Bytes()); diff != "" {
				t.Error(diff)
			}
		}},
		"transport header cut short": {b: set16(udp6(t, 0)[:43], 4, 3)},
		"unknown protocol":           {b: edit(udp6(t, 4), func(b []byte) { b[6] = 253 })},

		"hop-by-hop":                     {b: chain(t, hopByHop, hop(5, 2, 0, 0)), then: tcpAt(48)},
		"hop-by-hop beyond the packet":   {b: edit(chain(t, hopByHop, hop()), func(b []byte) { b[41] = 7 }), want: packet.ReasonExtensionHeader},
		"hop-by-hop cut short":           {b: set16(chain(t, hopByHop, hop())[:47], 4, 7), want: packet.ReasonExtensionHeader},
		"hop-by-hop missing":             {b: set16(chain(t, hopByHop, hop())[:40], 4, 0), want: packet.ReasonExtensionHeader},
		"hop-by-hop option too long":     {b: chain(t, hopByHop, hop(5, 5, 0, 0, 0, 0)), want: packet.ReasonExtensionHeader},
		"hop-by-hop option no length":    {b: chain(t, hopByHop, hop(1, 3, 0, 0, 0, 5)), want: packet.ReasonExtensionHeader},
		"hop-by-hop option just fits":    {b: chain(t, hopByHop, hop(1, 4, 0, 0, 0, 0)), then: tcpAt(48)},
		"hop-by-hop option 00, skip":     {b: chain(t, hopByHop, hop(0x1e, 2, 0, 0)), then: tcpAt(48)},
		"hop-by-hop option 01, discard":  {b: chain(t, hopByHop, hop(0, 0x5e, 2, 0, 0)), then: wantProblem(packet.ProblemSilent, 43)},
		"hop-by-hop option 10, answer":   {b: chain(t, hopByHop, hop(0, 0, 0x9e, 1, 0)), then: wantProblem(packet.ProblemOption, 44)},
		"hop-by-hop option 11, answer":   {b: chain(t, hopByHop, hop(0xde, 2, 0, 0)), then: wantProblem(packet.ProblemOption, 42)},
		"the first option counts":        {b: chain(t, hopByHop, hop(0x5e, 0, 0x9e, 0)), then: wantProblem(packet.ProblemSilent, 42)},
		"option 11, multicast":           {b: edit(chain(t, hopByHop, hop(0xde, 2, 0, 0)), func(b []byte) { b[24] = 0xff }), then: wantProblem(packet.ProblemSilent, 42)},
		"option 10, multicast":           {b: edit(chain(t, hopByHop, hop(0x9e, 2, 0, 0)), func(b []byte) { b[24] = 0xff }), then: wantProblem(packet.ProblemOption, 42)},
		"jumbo option with a length":     {b: chain(t, hopByHop, hop(0xc2, 4, 0, 1, 0, 0)), then: wantProblem(packet.ProblemOption, 42)},
		"hop-by-hop twice":               {b: chain(t, hopByHop, hop(), hopByHop, hop()), then: wantProblem(packet.ProblemNextHeader, 40)},
		"hop-by-hop after options":       {b: chain(t, options, ext(), hopByHop, hop()), then: noTransport(0, 48)},
		"hop-by-hop again after options": {b: chain(t, hopByHop, hop(), options, ext(), hopByHop, hop()), then: noTransport(0, 56)},
		"bad option, then hop-by-hop":    {b: chain(t, hopByHop, hop(0x9e, 0), hopByHop, hop()), then: wantProblem(packet.ProblemOption, 42)},

		"options":                     {b: chain(t, options, ext(0xde, 2, 1, 1)), then: tcpAt(48)},
		"options of 2048 bytes":       {b: chain(t, options, ext(make([]byte, 2046)...)), then: tcpAt(40 + 2048)},
		"options beyond the packet":   {b: edit(chain(t, options, ext()), func(b []byte) { b[41] = 7 }), then: noTransport(options, 40)},
		"options cut short":           {b: set16(chain(t, options, ext())[:47], 4, 7), then: noTransport(options, 40)},
		"options, then beyond":        {b: edit(chain(t, options, ext(), options, ext()), func(b []byte) { b[49] = 255 }), then: noTransport(options, 48)},
		"authentication header":       {b: chain(t, auth, []byte{0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), then: tcpAt(64)},
		"authentication header short": {b: set16(chain(t, auth, make([]byte, 8))[:46], 4, 6), then: noTransport(auth, 40)},
		"authentication beyond":       {b: edit(chain(t, auth, make([]byte, 8)), func(b []byte) { b[41] = 200 }), then: noTransport(auth, 40)},
		"ESP ends the walk":           {b: edit(udp6(t, 40), func(b []byte) { b[6] = 50 })},

		"routing header type 0":         {b: chain(t, routing, ext(0, 1, 0, 0, 0, 0)), then: wantProblem(packet.ProblemHeader, 42)},
		"type 0 behind options":         {b: chain(t, options, ext(), routing, ext(0, 1, 0, 0, 0, 0)), then: wantProblem(packet.ProblemHeader, 50)},
		"routing header type 0, done":   {b: chain(t, routing, ext(0, 0, 0, 0, 0, 0)), then: tcpAt(48)},
		"routing header type 4":         {b: chain(t, routing, ext(4, 1, 0, 0, 0, 0)), then: wantSourceRoute(true)},
		"routing header type 4, done":   {b: chain(t, routing, ext(4, 0, 0, 0, 0, 0)), then: wantSourceRoute(false)},
		"routing header cut short":      {b: set16(chain(t, routing, ext(0, 1))[:46], 4, 6), then: noTransport(routing, 40)},
		"routing header beyond":         {b: edit(chain(t, routing, ext(0, 1)), func(b []byte) { b[41] = 200 }), then: noTransport(routing, 40)},
		"16 headers":                    {b: chain(t, many(t, 15)...), then: tcpAt(40 + 15*8)},
		"more headers than anyone uses": {b: chain(t, many(t, 16)...), then: noTransport(options, 40+15*8)},

		"fragment, the first":           {b: chain(t, fragment, fragmentHeader(1)), then: wantFragment(0, true, true)},
		"fragment, the first, options":  {b: chain(t, hopByHop, hop(), fragment, fragmentHeader(1), options, ext()), then: wantFragment(0, true, true)},
		"fragment, in between":          {b: chain(t, fragment, fragmentHeader(8|1)), then: wantFragment(8, true, false)},
		"fragment, the last":            {b: chain(t, fragment, fragmentHeader(16)), then: wantFragment(16, false, false)},
		"fragment ends beyond 65535":    {b: chain(t, fragment, fragmentHeader(0xfff8)), then: wantFragment(65528, false, false)}, // the host's to answer
		"fragment, reserved bits":       {b: chain(t, fragment, fragmentHeader(6)), then: tcpAt(48)},
		"atomic fragment":               {b: chain(t, fragment, fragmentHeader(0)), then: tcpAt(48)},
		"fragment header twice":         {b: chain(t, fragment, fragmentHeader(0), fragment, fragmentHeader(0)), then: noTransport(fragment, 48)},
		"fragment header cut short":     {b: set16(chain(t, fragment, fragmentHeader(0))[:46], 4, 6), then: noTransport(fragment, 40)},
		"later fragment that ends here": {b: set16(chain(t, fragment, fragmentHeader(8))[:48], 4, 8), then: wantFragment(8, false, false)},
	} {
		t.Run(name, func(t *testing.T) { checkParse(t, test.b, test.want, test.then) })
	}
}

// many is n destination options headers for chain.
func many(t *testing.T, n int) []any {
	t.Helper()
	var list []any
	for range n {
		list = append(list, 60, ext())
	}
	return list
}

func TestParse6FragmentHeaderOffset(t *testing.T) {
	p := parse(t, chain(t, 60, ext(), 44, fragmentHeader(0)), packet.Offload{})
	if p.FragmentHeaderOffset() != 48 || p.IsFragment() {
		t.Errorf("FragmentHeaderOffset, IsFragment = %d, %v, want 48, false", p.FragmentHeaderOffset(), p.IsFragment())
	}
}

// TestParseAgainstGopacket compares what both find in packets with and without
// options and extension headers.
func TestParseAgainstGopacket(t *testing.T) {
	option := layers.IPv6DestinationOption{OptionType: 0x1e, OptionLength: 4, OptionData: []byte{1, 2, 3, 4}}
	destination := &layers.IPv6Destination{Options: []*layers.IPv6DestinationOption{&option}}
	destination.NextHeader = layers.IPProtocolUDP
	h4 := ip4(layers.IPProtocolUDP)
	h4.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}}
	for name, b := range map[string][]byte{
		"udp4": udp4(t, 3), "tcp4": tcp4(t, 3), "icmp4": icmp4(t, 3), "udp6": udp6(t, 3), "tcp6": tcp6(t, 3), "icmp6": icmp6(t, 3),
		"options":             build(t, h4, udp(), gopacket.Payload(bytesOf(3))),
		"destination options": build(t, ip6(layers.IPProtocolIPv6Destination), destination, udp(), gopacket.Payload(bytesOf(3))),
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, b, packet.Offload{})
			first := layers.LayerTypeIPv4
			if p.Version() == 6 {
				first = layers.LayerTypeIPv6
			}
			decoded := gopacket.NewPacket(b, first, gopacket.Default)
			flow := decoded.NetworkLayer().NetworkFlow()
			if got, want := p.Source().String()+">"+p.Destination().String(), flow.Src().String()+">"+flow.Dst().String(); got != want {
				t.Errorf("addresses: got %s, want %s", got, want)
			}
			switch h := decoded.NetworkLayer().(type) {
			case *layers.IPv4:
				if p.TTL() != h.TTL || p.TrafficClass() != h.TOS || p.HeaderLen() != int(h.IHL)*4 {
					t.Errorf("got TTL %d, TOS %#x, header %d, want %d, %#x, %d", p.TTL(), p.TrafficClass(), p.HeaderLen(), h.TTL, h.TOS, h.IHL*4)
				}
			case *layers.IPv6:
				if p.TTL() != h.HopLimit || p.TrafficClass() != h.TrafficClass {
					t.Errorf("got hop limit %d, class %#x, want %d, %#x", p.TTL(), p.TrafficClass(), h.HopLimit, h.TrafficClass)
				}
			}
			if transport := decoded.TransportLayer(); transport != nil {
				if diff := cmp.Diff(append(transport.LayerContents(), transport.LayerPayload()...), p.Transport()); diff != "" {
					t.Errorf("transport (-want +got):\n%s", diff)
				}
			}
		})
	}
}
