// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

func TestParseOffload(t *testing.T) {
	const bad = packet.ReasonOffloadMetadata
	type change func(b []byte, o *packet.Offload)
	none := func([]byte, *packet.Offload) {}
	for name, test := range map[string]struct {
		b      []byte
		size   int // SegmentSize; 0: no GSO
		change change
		want   hooks.Reason
	}{
		// A partial checksum on an ordinary packet: any protocol, any place
		// behind the IP header that has room for a checksum.
		"partial TCP":               {b: tcp4(t, 10), change: none},
		"partial UDP6":              {b: udp6(t, 10), change: none},
		"partial ICMPv6":            {b: icmp6(t, 10), change: none},
		"partial of a protocol":     {b: tcp4(t, 10), change: func(b []byte, _ *packet.Offload) { b[9] = 132; fixHeader4(b) }},
		"partial further in":        {b: udp4(t, 60), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart = 48 }},
		"partial in the header":     {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart = 19 }, want: bad},
		"partial in the v6 header":  {b: tcp6(t, 10), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart = 39 }, want: bad},
		"partial at the end":        {b: udp4(t, 10), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart, o.ChecksumOffset = 20, 16 }},
		"partial beyond the end":    {b: udp4(t, 10), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart, o.ChecksumOffset = 20, 17 }, want: bad},
		"partial, numbers overflow": {b: udp4(t, 10), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart, o.ChecksumOffset = 0xffff, 0xffff }, want: bad},
		"partial in the padding":    {b: append(udp4(t, 10), make([]byte, 20)...), change: func(_ []byte, o *packet.Offload) { o.ChecksumStart, o.ChecksumOffset = 38, 6 }, want: bad},
		"partial first fragment":    {b: udp4(t, 8), change: func(b []byte, _ *packet.Offload) { fixHeader4(set16(b, 6, 0x2000)) }, want: bad},
		"partial last fragment":     {b: udp4(t, 8), change: func(b []byte, _ *packet.Offload) { fixHeader4(set16(b, 6, 2)) }, want: bad},
		"absent":                    {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { *o = packet.Offload{Checksum: packet.ChecksumAbsent} }},
		"verified":                  {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { *o = packet.Offload{Checksum: packet.ChecksumVerified} }},
		"unknown checksum state":    {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { *o = packet.Offload{Checksum: 4} }, want: bad},
		"ECN without GSO":           {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { o.ECN = true }, want: bad},
		"ECN and nothing else":      {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) { *o = packet.Offload{ECN: true} }, want: bad},
		"numbers without meaning": {b: tcp4(t, 10), change: func(_ []byte, o *packet.Offload) {
			*o = packet.Offload{ChecksumStart: 1, ChecksumOffset: 2, SegmentSize: 3, HeaderLen: 4}
		}},

		"TCP4":                        {b: tcp4(t, 4000), size: 1000, change: none},
		"TCP6":                        {b: tcp6(t, 4000), size: 1000, change: none},
		"UDP4":                        {b: udp4(t, 4000), size: 1000, change: none},
		"UDP6":                        {b: udp6(t, 4000), size: 1000, change: none},
		"TCP4 with ECN":               {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.ECN = true }},
		"UDP4 with ECN":               {b: udp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.ECN = true }, want: bad},
		"one segment":                 {b: tcp4(t, 10), size: 1000, change: none},
		"no payload":                  {b: tcp4(t, 0), size: 1000, change: none},
		"segment size 0":              {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.SegmentSize = 0 }, want: bad},
		"unknown type":                {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.GSO = 5 }, want: bad},
		"TCP6 says a TCP4":            {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.GSO = packet.GSOTCP6 }, want: bad},
		"UDP4 says a TCP4":            {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.GSO = packet.GSOUDP4 }, want: bad},
		"GSO with a full checksum":    {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.Checksum = packet.ChecksumFull }, want: bad},
		"GSO with a verified one":     {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.Checksum = packet.ChecksumVerified }, want: bad},
		"GSO with an absent one":      {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.Checksum = packet.ChecksumAbsent }, want: bad},
		"checksum start elsewhere":    {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.ChecksumStart++ }, want: bad},
		"checksum offset elsewhere":   {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.ChecksumOffset = 6 }, want: bad},
		"UDP's checksum elsewhere":    {b: udp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.ChecksumOffset = 16 }, want: bad},
		"data offset below 5":         {b: tcp4(t, 4000), size: 1000, change: func(b []byte, _ *packet.Offload) { b[32] = 4 << 4 }, want: bad},
		"data offset beyond the end":  {b: tcp4(t, 10), size: 1000, change: func(b []byte, _ *packet.Offload) { b[32] = 15 << 4 }, want: bad},
		"TCP header cut short":        {b: set16(tcp6(t, 0)[:59], 4, 19), size: 1000, change: none, want: bad},
		"UDP header cut short":        {b: set16(udp6(t, 0)[:47], 4, 7), size: 1000, change: none, want: bad},
		"UDP length too small":        {b: udp4(t, 4000), size: 1000, change: func(b []byte, _ *packet.Offload) { set16(b, 24, 4007) }, want: bad},
		"UDP length too great":        {b: udp4(t, 4000), size: 1000, change: func(b []byte, _ *packet.Offload) { set16(b, 24, 4009) }, want: bad},
		"superpacket and a fragment":  {b: tcp4(t, 3992), size: 1000, change: func(b []byte, _ *packet.Offload) { fixHeader4(set16(b, 6, 0x2000)) }, want: bad},
		"superpacket, a later one":    {b: tcp4(t, 3992), size: 1000, change: func(b []byte, _ *packet.Offload) { fixHeader4(set16(b, 6, 1)) }, want: bad},
		"device's header length":      {b: tcp4(t, 4000), size: 1000, change: func(_ []byte, o *packet.Offload) { o.HeaderLen = 0xffff }},
		"padding behind superpackets": {b: append(tcp4(t, 4000), 1, 2, 3), size: 1000, change: none},
	} {
		t.Run(name, func(t *testing.T) {
			protocol, transport := test.b[9], 20
			if test.b[0]>>4 == 6 {
				protocol, transport = test.b[6], 40
			}
			b := append([]byte(nil), test.b...)
			offset := map[uint8]uint16{6: 16, 17: 6, 58: 2}[protocol]
			o := packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: uint16(transport), ChecksumOffset: offset}
			if test.size > 0 {
				o.SegmentSize = uint16(test.size)
				o.GSO = map[[2]byte]packet.GSOType{{4, 6}: packet.GSOTCP4, {6, 6}: packet.GSOTCP6, {4, 17}: packet.GSOUDP4, {6, 17}: packet.GSOUDP6}[[2]byte{b[0] >> 4, protocol}]
			}
			test.change(b, &o)
			p := unparsed(t, b, o)
			if got := p.Parse(); got != test.want {
				t.Fatalf("Parse: got %s, want %s", packet.ReasonName(got), packet.ReasonName(test.want))
			}
			if test.want != hooks.ReasonNone {
				return
			}
			headers := 0
			if test.size > 0 {
				headers = map[uint8]int{6: transport + 32, 17: transport + 8}[protocol]
			}
			if p.Offload.Checksum >= packet.ChecksumPartial && p.Offload.HeaderLen != uint16(headers) {
				t.Errorf("HeaderLen = %d, want %d", p.Offload.HeaderLen, headers)
			}
		})
	}
}

// TestParseOffloadExtensions: the checksum of a superpacket starts behind the
// extension headers.
func TestParseOffloadExtensions(t *testing.T) {
	b, o := super(chain(t, 0, hop(), 60, ext()), 6, 56, 4)
	p := parse(t, b, o)
	if p.Offload.HeaderLen != 88 {
		t.Errorf("HeaderLen = %d, want 88", p.Offload.HeaderLen)
	}
	b, o = super(chain(t, 44, fragmentHeader(0)), 6, 48, 4)
	if got := unparsed(t, b, o).Parse(); got != packet.ReasonOffloadMetadata {
		t.Errorf("with a fragment header: got %s, want offload_metadata", packet.ReasonName(got))
	}
	b, o = super(chain(t, 0, hop()), 6, 48, 4)
	o.ChecksumStart = 40
	if got := unparsed(t, b, o).Parse(); got != packet.ReasonOffloadMetadata {
		t.Errorf("start at the hop-by-hop header: got %s, want offload_metadata", packet.ReasonName(got))
	}
}

func TestNeeds(t *testing.T) {
	const all = packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO
	for name, test := range map[string]struct {
		o    packet.Offload
		want packet.Features
	}{
		"full":     {packet.Offload{}, 0},
		"verified": {packet.Offload{Checksum: packet.ChecksumVerified}, 0},
		"partial":  {packet.Offload{Checksum: packet.ChecksumPartial}, packet.FeatureChecksum},
		"tcp4":     {packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOTCP4}, packet.FeatureChecksum | packet.FeatureTSO4},
		"tcp6":     {packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOTCP6}, packet.FeatureChecksum | packet.FeatureTSO6},
		"udp4":     {packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOUDP4}, packet.FeatureChecksum | packet.FeatureUSO},
		"udp6":     {packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOUDP6}, packet.FeatureChecksum | packet.FeatureUSO},
	} {
		if got := test.o.Needs(); got != test.want {
			t.Errorf("%s: got %b, want %b", name, got, test.want)
		}
	}
	if missing := (packet.Offload{Checksum: packet.ChecksumAbsent}).Needs() &^ all; missing == 0 {
		t.Error("a device can send a packet without a checksum")
	}
}

func TestFillChecksum(t *testing.T) {
	for name, test := range map[string]struct {
		b         []byte
		protocol  uint8
		transport int
	}{
		"tcp4": {tcp4(t, 101), 6, 20}, "tcp6": {tcp6(t, 101), 6, 40}, "udp4": {udp4(t, 101), 17, 20}, "udp6": {udp6(t, 101), 17, 40}, "icmp6": {icmp6(t, 101), 58, 40},
	} {
		t.Run(name, func(t *testing.T) {
			want := append([]byte(nil), test.b...)
			b, o := partial(test.b, test.protocol, test.transport)
			p := parse(t, b, o)
			if !p.TransportChecksumValid() {
				t.Error("partial is not valid")
			}
			p.FillChecksum()
			checkValid(t, p.Bytes())
			if string(p.Bytes()) != string(want) || p.Offload != (packet.Offload{}) || p.Edited() {
				t.Errorf("got % x, %+v, edited %v\nwant % x", p.Bytes(), p.Offload, p.Edited(), want)
			}

			b = append([]byte(nil), want...)
			set16(b, test.transport+int(o.ChecksumOffset), 0)
			p = parse(t, b, packet.Offload{Checksum: packet.ChecksumAbsent})
			p.FillChecksum()
			if string(p.Bytes()) != string(want) || p.Offload != (packet.Offload{}) {
				t.Errorf("absent: got % x, %+v\nwant % x", p.Bytes(), p.Offload, want)
			}
		})
	}
}

// TestFillChecksumZero: the sum 0 is written as the other zero, because UDP
// takes 0 for none (RFC 768).
func TestFillChecksumZero(t *testing.T) {
	b, o := partial(udp4(t, 2), 17, 20)
	// Make the payload what the checksum would have been.
	p := parse(t, b, o)
	p.Mutable()[28], p.Mutable()[29] = 0, 0
	q := p.Clone()
	q.FillChecksum()
	copy(p.Mutable()[28:], q.Bytes()[26:28])
	p.FillChecksum()
	if got := p.Bytes()[26:28]; got[0] != 0xff || got[1] != 0xff {
		t.Errorf("checksum = % x, want ff ff", got)
	}
	if !p.TransportChecksumValid() {
		t.Error("not valid")
	}
}

// TestFillChecksumTunnel: in an IP-in-IP packet the partial checksum is the
// inner one's.
func TestFillChecksumTunnel(t *testing.T) {
	inner := tcp4(t, 33)
	outer := ip4(layers.IPProtocolIPv4)
	b := build(t, outer, gopacket.Payload(inner))
	_, o := partial(b[20:], 6, 20)
	o.ChecksumStart += 20
	p := parse(t, b, o)
	p.FillChecksum()
	checkValid(t, p.Bytes()[20:])
}

// TestFillChecksumWrongMetadata: what a hook wrote since the parse is not
// believed either.
func TestFillChecksumWrongMetadata(t *testing.T) {
	p := parse(t, udp4(t, 2), packet.Offload{})
	before := string(p.Bytes())
	p.Offload = packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: 0xffff, ChecksumOffset: 0xffff}
	p.FillChecksum()
	if string(p.Bytes()) != before || p.Offload.Checksum != packet.ChecksumPartial {
		t.Error("something was filled")
	}
	b, o := super(tcp4(t, 4000), 6, 20, 1000)
	p = parse(t, b, o)
	p.FillChecksum()
	if p.Offload.GSO != packet.GSOTCP4 || string(p.Bytes()) != string(b) {
		t.Error("the checksum of a superpacket was filled")
	}
}

func TestTransportChecksumValid(t *testing.T) {
	flip := func(b []byte, at int) []byte {
		b[at] ^= 1
		return b
	}
	fragmented := func(b []byte, word uint16) []byte { return fixHeader4(set16(b, 6, word)) }
	for name, test := range map[string]struct {
		b    []byte
		o    packet.Offload
		want bool
	}{
		"tcp4": {b: tcp4(t, 9), want: true}, "tcp6": {b: tcp6(t, 9), want: true}, "udp4": {b: udp4(t, 9), want: true},
		"udp6": {b: udp6(t, 9), want: true}, "icmp4": {b: icmp4(t, 9), want: true}, "icmp6": {b: icmp6(t, 9), want: true},
		"tcp4 wrong":             {b: flip(tcp4(t, 9), 60)},
		"tcp6 wrong":             {b: flip(tcp6(t, 9), 80)},
		"udp4 wrong":             {b: flip(udp4(t, 9), 36)},
		"udp6 wrong":             {b: flip(udp6(t, 9), 8)},
		"icmp4 wrong":            {b: flip(icmp4(t, 9), 30)},
		"icmp6 wrong":            {b: flip(icmp6(t, 9), 39)},
		"verified by the device": {b: flip(tcp4(t, 9), 60), o: packet.Offload{Checksum: packet.ChecksumVerified}, want: true},
		"absent":                 {b: flip(tcp4(t, 9), 60), o: packet.Offload{Checksum: packet.ChecksumAbsent}, want: true},
		"udp4 without":           {b: set16(udp4(t, 9), 26, 0), want: true},
		"udp6 without":           {b: set16(udp6(t, 9), 46, 0)},
		"udp length short of it": {b: set16(udp4(t, 9), 24, 16)},
		"udp length 7":           {b: set16(udp4(t, 9), 24, 7)},
		"udp length beyond":      {b: set16(udp4(t, 9), 24, 18)},
		"udp padding behind":     {b: fixHeader4(set16(append(udp4(t, 9), 1, 2), 2, 39)), want: true},
		"tcp header cut short":   {b: fixHeader4(set16(tcp4(t, 0)[:39], 2, 39))},
		"udp header cut short":   {b: fixHeader4(set16(udp4(t, 0)[:27], 2, 27))},
		"icmp header cut short":  {b: fixHeader4(set16(icmp4(t, 0)[:27], 2, 27))},
		"icmp6 cut short":        {b: set16(icmp6(t, 0)[:43], 4, 3)},
		"first fragment":         {b: fragmented(flip(udp4(t, 8), 30), 0x2000), want: true},
		"later fragment":         {b: fragmented(flip(udp4(t, 8), 30), 9), want: true},
		"unknown protocol":       {b: fixHeader4(flip(udp4(t, 8), 9)), want: true},
		"ICMPv6 over IPv4":       {b: fixHeader4(edit(udp4(t, 8), func(b []byte) { b[9] = 58 })), want: true},
		"behind options":         {b: chain(t, 0, hop(), 60, ext()), want: true},
		"behind options, wrong":  {b: flip(chain(t, 0, hop(), 60, ext()), 60)},
		"atomic fragment":        {b: chain(t, 44, fragmentHeader(0)), want: true},
		"atomic fragment, wrong": {b: flip(chain(t, 44, fragmentHeader(0)), 60)},
		"routing header":         {b: flip(chain(t, 43, ext(4, 1)), 60), want: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, test.b, test.o)
			if got := p.TransportChecksumValid(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !p.HeaderChecksumValid() {
				t.Error("HeaderChecksumValid = false")
			}
		})
	}
	p := unparsed(t, []byte{1}, packet.Offload{})
	p.Parse()
	if p.TransportChecksumValid() || p.HeaderChecksumValid() {
		t.Error("valid checksums in what is no packet")
	}
	p = parse(t, udp4(t, 1), packet.Offload{})
	p.Mutable()[8]--
	if p.HeaderChecksumValid() {
		t.Error("HeaderChecksumValid after a raw edit = true")
	}
}
