// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/packet"
)

// newPathMTUs returns a cache whose clock stands still until the test moves it.
func newPathMTUs(t *testing.T) (c *pathMTUs, now *time.Duration) {
	c, now = new(pathMTUs), new(time.Duration)
	c.clock = func() time.Duration { return *now }
	t.Cleanup(c.close)
	return c, now
}

// RFC 1191 section 6.3, RFC 8201 section 4: an estimate gets smaller at once, larger only with time, and not before 5
// minutes have passed.
func TestRFC8201_4_PathMTUGrowsWithTimeOnly(t *testing.T) {
	c, now := newPathMTUs(t)
	one, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	want := func(dst netip.Addr, first, mtu int) {
		t.Helper()
		if got := c.limit(dst, first); got != mtu {
			t.Errorf("path to %v: %d, want %d", dst, got, mtu)
		}
	}
	want(one, 1500, 1500)
	c.learn(one, 1300)
	want(one, 1500, 1300)
	want(one, 1280, 1280)
	want(other, 1500, 1500)
	c.learn(one, 1400) // an increase
	want(one, 1500, 1300)
	c.learn(one, 1290)
	want(one, 1500, 1290)
	*now += 5 * time.Minute
	c.learn(other, 1280)
	c.expire()
	want(one, 1500, 1290)
	*now += 5 * time.Minute
	c.expire()
	want(one, 1500, 1500)
	want(other, 1500, 1280)
	c.learn(other, 1280) // again: believed for longer
	*now += 6 * time.Minute
	c.expire()
	want(other, 1500, 1280)
	*now += 5 * time.Minute
	c.expire()
	want(other, 1500, 1500)
	if c.known.Load() != nil || c.timer != nil {
		t.Error("something is kept of nothing")
	}
}

// The cache has a bound; the oldest goes.
func TestPathMTUsAreBounded(t *testing.T) {
	c, now := newPathMTUs(t)
	for k := range maxPathMTUs + 10 {
		*now++
		c.learn(destination4(k), 1300)
	}
	if n := len(*c.known.Load()); n != maxPathMTUs {
		t.Errorf("%d destinations", n)
	}
	if c.limit(destination4(9), 1500) != 1500 || c.limit(destination4(10), 1500) != 1300 {
		t.Error("the oldest are kept, or later ones gone")
	}
}

// RFC 5927 section 7: what is not about a connection of ours teaches nothing, and MTUs that no link has are refused.
func TestRFC5927_TooBigAboutNothingOfOurs(t *testing.T) {
	inst, w := newTable(t)
	to, _ := inst.Interface("to")
	for _, a := range []string{"10.0.9.1/24", "fd00:9::1/64"} {
		if err := to.AddAddress(netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := inst.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	quote := func(source, destination string, protocol uint8) []byte {
		src, dst := netip.MustParseAddr(source), netip.MustParseAddr(destination)
		b := buildUDP(dst, 64)
		at := 20
		if dst.Is4() {
			copy(b[12:], src.AsSlice())
			b[9] = protocol
		} else {
			copy(b[8:], src.AsSlice())
			b[6], at = protocol, 40
		}
		binary.BigEndian.PutUint16(b[at:], 80)
		binary.BigEndian.PutUint16(b[at+2:], 4321)
		return b
	}
	for name, c := range map[string]struct {
		family  packet.Family
		mtu     int
		about   []byte
		believe bool
	}{
		"listener":         {packet.Inet, 1300, quote("10.0.9.1", "10.0.9.2", 6), true},
		"listener, IPv6":   {packet.Inet6, 1300, quote("fd00:9::1", "fd00:9::2", 6), true},
		"not from us":      {packet.Inet, 1300, quote("10.0.9.7", "10.0.9.2", 6), true},
		"UDP":              {packet.Inet, 1300, quote("10.0.9.1", "10.0.9.2", 17), true},
		"cut":              {packet.Inet, 1300, quote("10.0.9.1", "10.0.9.2", 6)[:22], true},
		"cut, IPv6":        {packet.Inet6, 1300, quote("fd00:9::1", "fd00:9::2", 6)[:39], true},
		"nothing":          {packet.Inet, 1300, nil, true},
		"wrong family":     {packet.Inet6, 1300, quote("10.0.9.1", "10.0.9.2", 6), true},
		"MTU 551":          {packet.Inet, 551, quote("10.0.9.1", "10.0.9.2", 6), false},
		"MTU 1279, IPv6":   {packet.Inet6, 1279, quote("fd00:9::1", "fd00:9::2", 6), false},
		"MTU 0, IPv6":      {packet.Inet6, 0, quote("fd00:9::1", "fd00:9::2", 6), false},
		"header length 60": {packet.Inet, 1300, append([]byte{0x4f}, quote("10.0.9.1", "10.0.9.2", 6)[1:]...), true},
	} {
		if got := w.believeTooBig(c.family, tooBigMessage(c.mtu, c.about)); got != c.believe {
			t.Errorf("%s: believed: %v", name, got)
		}
		if inst.pathMTUs.known.Load() != nil {
			t.Errorf("%s: learned", name)
			inst.pathMTUs.known.Store(nil)
		}
	}
}

// tooBigMessage builds what believeTooBig looks at, with the checksum of ICMPv4.
func tooBigMessage(mtu int, about []byte) []byte {
	m := append(make([]byte, icmpHeaderLen), about...)
	m[0], m[1] = 3, 4
	binary.BigEndian.PutUint32(m[4:], uint32(mtu))
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
	return m
}

// RFC 1191 section 5: the MTU that a router leaves out is the next plateau below the length of the packet, and refused if there
// is none that may be believed.
func TestRFC1191_5_NoMTUTold(t *testing.T) {
	_, w := newTable(t)
	for _, c := range []struct{ length, want int }{
		{65535, 32000}, {9000, 8166}, {1501, 1492}, {1500, 1492}, {1492, 1006}, {1006, 552}, {553, 552}, {552, 0}, {0, 0},
	} {
		about := make([]byte, header.IPv4MinimumSize+8)
		binary.BigEndian.PutUint16(about[2:], uint16(c.length))
		m := tooBigMessage(0, about)
		believed := w.believeTooBig(packet.Inet, m)
		if mtu := int(binary.BigEndian.Uint16(m[6:])); mtu != c.want || believed != (c.want != 0) {
			t.Errorf("packet of %d bytes: MTU %d, believed: %v; want %d", c.length, mtu, believed, c.want)
		}
		if checksum.Checksum(m, 0) != 0xffff {
			t.Errorf("packet of %d bytes: the checksum is wrong now", c.length)
		}
	}
	if w.believeTooBig(packet.Inet, tooBigMessage(0, nil)) {
		t.Error("without a quoted packet: believed")
	}
}
