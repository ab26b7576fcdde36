// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// optioned builds a UDP packet with IPv4 options.
func optioned(t *testing.T, src, dst netip.Addr, ttl uint8, options ...layers.IPv4Option) []byte {
	t.Helper()
	l3 := ip(src, dst, ttl, layers.IPProtocolUDP).(*layers.IPv4)
	l3.Options = options
	u := &layers.UDP{SrcPort: 1234, DstPort: 4321}
	u.SetNetworkLayerForChecksum(l3)
	return serialize(t, l3, u, gopacket.Payload("payload"))
}

func option(typ byte, data ...byte) layers.IPv4Option {
	return layers.IPv4Option{OptionType: typ, OptionLength: uint8(len(data) + 2), OptionData: data}
}

// record is an option as it arrives: data, then room zero bytes.
func record(typ byte, room int, data ...byte) layers.IPv4Option {
	return option(typ, append(data, make([]byte, room)...)...)
}

const (
	recordRoute = 7
	timestamp   = 68
)

// now stands for four bytes of time in what a test wants to see.
var now = []byte("now!")

// The options as they arrive at the far side: RFC 791 section 3.1, RFC 1812 sections 5.3.13.1, 5.3.13.5 and 5.3.13.6. b4 is the
// address of the way out.
func TestRFC1812Options(t *testing.T) {
	b := b4.AsSlice()
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		sent []layers.IPv4Option
		want []byte // of the first option, to its end
	}{
		"RecordRoute/empty":         {sent: []layers.IPv4Option{record(recordRoute, 12, 4)}, want: join([]byte{7, 15, 8}, b, make([]byte, 8))},
		"RecordRoute/second":        {sent: []layers.IPv4Option{option(recordRoute, 8, 1, 2, 3, 4, 0, 0, 0, 0)}, want: join([]byte{7, 11, 12, 1, 2, 3, 4}, b)},
		"RecordRoute/full":          {sent: []layers.IPv4Option{option(recordRoute, 8, 1, 2, 3, 4)}, want: []byte{7, 7, 8, 1, 2, 3, 4}},
		"RecordRoute/far beyond":    {sent: []layers.IPv4Option{option(recordRoute, 255, 1, 2, 3, 4)}, want: []byte{7, 7, 255, 1, 2, 3, 4}},
		"RecordRoute/no room":       {sent: []layers.IPv4Option{option(recordRoute, 4)}, want: []byte{7, 3, 4}},
		"RecordRoute/odd pointer":   {sent: []layers.IPv4Option{record(recordRoute, 5, 5)}, want: join([]byte{7, 8, 9, 0}, b)},
		"RecordRoute/behind others": {sent: []layers.IPv4Option{{OptionType: 1}, record(recordRoute, 4, 4)}, want: join([]byte{1, 7, 7, 8}, b)},
		"RecordRoute/after the end": {sent: []layers.IPv4Option{{OptionType: 0}, record(recordRoute, 4, 4)}, want: []byte{0, 7, 7, 4, 0, 0, 0, 0}},
		"RecordRoute/and time":      {sent: []layers.IPv4Option{record(recordRoute, 4, 4), record(timestamp, 4, 5, 0)}, want: join([]byte{7, 7, 8}, b, []byte{68, 8, 9, 0}, now)},

		"Timestamp/only":                 {sent: []layers.IPv4Option{record(timestamp, 8, 5, 0)}, want: join([]byte{68, 12, 9, 0}, now, make([]byte, 4))},
		"Timestamp/with address":         {sent: []layers.IPv4Option{record(timestamp, 16, 5, 1)}, want: join([]byte{68, 20, 13, 1}, b, now, make([]byte, 8))},
		"Timestamp/second":               {sent: []layers.IPv4Option{record(timestamp, 8, 13, 1, 1, 2, 3, 4, 5, 6, 7, 8)}, want: join([]byte{68, 20, 21, 1, 1, 2, 3, 4, 5, 6, 7, 8}, b, now)},
		"Timestamp/prespecified":         {sent: []layers.IPv4Option{record(timestamp, 4, 5, 3, b[0], b[1], b[2], b[3])}, want: join([]byte{68, 12, 13, 3}, b, now)},
		"Timestamp/the way in":           {sent: []layers.IPv4Option{record(timestamp, 4, 5, 3, 10, 0, 1, 1)}, want: join([]byte{68, 12, 13, 3, 10, 0, 1, 1}, now)},
		"Timestamp/for somebody else":    {sent: []layers.IPv4Option{record(timestamp, 4, 5, 3, 10, 0, 1, 9)}, want: []byte{68, 12, 5, 3, 10, 0, 1, 9, 0, 0, 0, 0}},
		"Timestamp/overflow":             {sent: []layers.IPv4Option{option(timestamp, 9, 0, 1, 2, 3, 4)}, want: []byte{68, 8, 9, 0x10, 1, 2, 3, 4}},
		"Timestamp/overflow 14":          {sent: []layers.IPv4Option{option(timestamp, 5, 0xe1)}, want: []byte{68, 4, 5, 0xf1}},
		"Timestamp/prespecified, full":   {sent: []layers.IPv4Option{option(timestamp, 13, 0xf3, 1, 2, 3, 4, 5, 6, 7, 8)}, want: []byte{68, 12, 13, 0xf3, 1, 2, 3, 4, 5, 6, 7, 8}},
		"Timestamp/flag nobody knows":    {sent: []layers.IPv4Option{record(timestamp, 8, 5, 2)}, want: []byte{68, 12, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0}},
		"Timestamp/unknown flag is full": {sent: []layers.IPv4Option{option(timestamp, 5, 0xf7)}, want: []byte{68, 4, 5, 0xf7}},

		"Unknown":        {sent: []layers.IPv4Option{option(0x5e, 1, 2, 3)}, want: []byte{0x5e, 5, 1, 2, 3}},
		"Router alert":   {sent: []layers.IPv4Option{option(148, 0, 0)}, want: []byte{148, 4, 0, 0}},
		"Security":       {sent: []layers.IPv4Option{option(130, 1, 2, 3)}, want: []byte{130, 5, 1, 2, 3}},
		"Stream":         {sent: []layers.IPv4Option{option(136, 1, 2)}, want: []byte{136, 4, 1, 2}},
		"Route finished": {sent: []layers.IPv4Option{option(131, 8, 1, 2, 3, 4)}, want: []byte{131, 7, 8, 1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			before := time.Now()
			sent := optioned(t, left4, right4, 64, c.sent...)
			r.left.send(sent)
			got := r.right.receive() // Parse has verified the header checksum
			after := time.Now()
			if !bytes.Equal(got.Bytes()[got.HeaderLen():], sent[got.HeaderLen():]) || got.TTL() != 63 {
				t.Errorf("TTL %d, payload % x", got.TTL(), got.Bytes()[got.HeaderLen():])
			}
			arrived := bytes.Clone(got.Bytes()[20 : 20+len(c.want)])
			if at := bytes.Index(c.want, now); at >= 0 {
				checkTimestamp(t, binary.BigEndian.Uint32(arrived[at:]), before, after)
				copy(arrived[at:], now)
			}
			if diff := cmp.Diff(c.want, arrived); diff != "" {
				t.Error(diff)
			}
			if got.Edited() {
				t.Error("the packet counts as edited")
			}
		})
	}
}

// checkTimestamp checks milliseconds since midnight UT.
func checkTimestamp(t *testing.T, got uint32, before, after time.Time) {
	t.Helper()
	since := func(t time.Time) uint32 {
		u := t.UTC()
		midnight := time.Date(u.Year(), u.Month(), u.Day(), 0, 0, 0, 0, time.UTC)
		return uint32(u.Sub(midnight).Milliseconds())
	}
	from, to := since(before), since(after)
	if from <= to && (got < from || got > to) || from > to && got < from && got > to {
		t.Errorf("timestamp %d, want %d to %d", got, from, to)
	}
}

// What cannot be filled in is answered with a pointer to what is wrong, and quoted as it came.
func TestRFC1812OptionProblem(t *testing.T) {
	for name, c := range map[string]struct {
		options []layers.IPv4Option
		pointer byte
	}{
		"record route pointer 0":            {[]layers.IPv4Option{record(recordRoute, 4, 0)}, 22},
		"record route pointer 3":            {[]layers.IPv4Option{record(recordRoute, 4, 3)}, 22},
		"record route, too little room":     {[]layers.IPv4Option{record(recordRoute, 4, 5)}, 22},
		"record route without pointer":      {[]layers.IPv4Option{option(recordRoute)}, 21},
		"record route twice":                {[]layers.IPv4Option{record(recordRoute, 4, 4), record(recordRoute, 4, 4)}, 27},
		"timestamp pointer 4":               {[]layers.IPv4Option{record(timestamp, 4, 4, 0)}, 22},
		"timestamp, too little room":        {[]layers.IPv4Option{record(timestamp, 4, 6, 0)}, 22},
		"timestamp, no room for an address": {[]layers.IPv4Option{record(timestamp, 4, 5, 1)}, 22},
		"timestamp, prespecified, no room":  {[]layers.IPv4Option{record(timestamp, 4, 5, 3)}, 22},
		"timestamp without flags":           {[]layers.IPv4Option{option(timestamp, 5)}, 21},
		"timestamp overflow":                {[]layers.IPv4Option{option(timestamp, 5, 0xf0)}, 23},
		"timestamp overflow, addresses":     {[]layers.IPv4Option{option(timestamp, 5, 0xf1)}, 23},
		"timestamp twice":                   {[]layers.IPv4Option{record(timestamp, 4, 5, 0), record(timestamp, 4, 5, 0)}, 28},
		"the second one is wrong":           {[]layers.IPv4Option{record(recordRoute, 4, 4), record(timestamp, 4, 4, 0)}, 29},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			sent := optioned(t, left4, right4, 64, c.options...)
			r.left.send(sent)
			typ, code, rest, quote := icmpOf(r.left.receive())
			if typ != 12 || code != 0 || rest != [4]byte{c.pointer} {
				t.Errorf("type %d code %d pointer %v, want 12, 0, %d", typ, code, rest, c.pointer)
			}
			if !bytes.Equal(quote, sent) {
				t.Errorf("quoted % x, sent % x", quote, sent)
			}
			if s := r.settled(1); s.Drops["ip_option"] != 1 || s.Forwarded != 0 {
				t.Errorf("stats: %+v", s)
			}
			r.right.none()
		})
	}
}

// Whose turn it is not: a packet to us is the host stack's, one that goes no further is quoted as it came.
func TestRFC1812OptionsOfWhatIsNotForwarded(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	sent := optioned(t, left4, right4, 1, record(recordRoute, 4, 4))
	r.left.send(sent)
	if typ, _, _, quote := icmpOf(r.left.receive()); typ != 11 || !bytes.Equal(quote, sent) {
		t.Errorf("type %d, quote % x", typ, quote)
	}
}

// RFC 1812 section 2.2.7: an interface without an address goes by one of the router's others; a router without any records
// nothing.
func TestRFC1812RecordRouteUnnumbered(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	far := plainLeg(t, r, netip.MustParseAddr("192.0.2.9"))
	send := func(want ...byte) {
		t.Helper()
		r.left.send(optioned(t, left4, netip.MustParseAddr("192.0.2.9"), 64, record(recordRoute, 4, 4), record(timestamp, 8, 5, 1)))
		if got := far.receive().Bytes()[20:27]; !bytes.Equal(got, want) {
			t.Errorf("recorded % x, want % x", got, want)
		}
	}
	send(7, 7, 8, 10, 0, 1, 1)
	for f, a := range map[*netstack.Interface]netip.Addr{r.a: a4, r.b: b4} {
		if err := f.RemoveAddress(a); err != nil {
			t.Fatal(err)
		}
	}
	send(7, 7, 4, 0, 0, 0, 0)
}

// The first fragment takes the record with it, and a superpacket one for all its segments.
func TestRFC1812RecordRouteOfParts(t *testing.T) {
	t.Run("fragments", func(t *testing.T) {
		r := newRouter4(t, 1500, 576, offloads)
		l3 := ip(left4, right4, 64, layers.IPProtocolUDP).(*layers.IPv4)
		l3.Options = []layers.IPv4Option{record(recordRoute, 4, 4)}
		r.left.send(serialize(t, l3, gopacket.Payload(make([]byte, 1000))))
		first, second := r.right.receive(), r.right.receive()
		if got, want := first.Bytes()[20:27], append([]byte{7, 7, 8}, b4.AsSlice()...); !bytes.Equal(got, want) {
			t.Errorf("recorded % x, want % x", got, want)
		}
		if second.HasOptions() {
			t.Error("the second fragment has options")
		}
	})
	t.Run("segments", func(t *testing.T) {
		r := newRouter(t, netstack.Config{})
		_, plain := join(t, r.Instance, 0, netstack.InterfaceConfig{Name: "plain", Addresses: prefixes("192.0.2.1/24")})
		whole, o := superpacket(t, left4, netip.MustParseAddr("192.0.2.9"), 2000, 1000)
		b := append(bytes.Clone(whole[:20]), 7, 7, 4, 0, 0, 0, 0, 0)
		b = append(b, whole[20:]...)
		b[0] = 0x47
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		fixHeader(b)
		o.ChecksumStart += 8
		r.left.sendOffload(b, o)
		for range 2 {
			s := plain.receive()
			if got := s.Bytes()[20:27]; !bytes.Equal(got, []byte{7, 7, 8, 192, 0, 2, 1}) || s.Offload.GSO != packet.GSONone {
				t.Errorf("recorded % x", got)
			}
		}
	})
}

// fixHeader computes the IPv4 header checksum anew.
func fixHeader(b []byte) {
	header.IPv4(b).SetChecksum(0)
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
}
