// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"errors"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// TestPrepend wraps a packet in another header, with its partial checksum, and
// takes it off again.
func TestPrepend(t *testing.T) {
	inner, o := partial(tcp4(t, 100), 6, 20)
	p := parse(t, inner, o)
	room, err := p.Prepend(40)
	must(t, err)
	if len(room) != 40 || p.Len() != len(inner)+40 || p.Version() != 0 || !p.Edited() {
		t.Fatalf("%d bytes, length %d, version %d, edited %v", len(room), p.Len(), p.Version(), p.Edited())
	}
	h := ip6(layers.IPProtocolIPv4)
	outer := build(t, h)
	copy(room, set16(outer, 4, uint16(len(inner))))
	if r := p.Reparse(); r != hooks.ReasonNone || !p.Edited() || p.TransportProtocol() != 4 {
		t.Fatalf("Reparse: %s, %v", packet.ReasonName(r), p)
	}
	if p.Offload.ChecksumStart != 60 || p.Offload.Checksum != packet.ChecksumPartial {
		t.Errorf("metadata: %+v", p.Offload)
	}
	p.FillChecksum()
	must(t, p.Replace(p.Bytes()[40:]))
	checkValid(t, p.Bytes())
	if p.SetTTL(1); p.String() != "10.0.0.1:1234 > 10.0.1.1:8081 TCP 152 ttl 1" {
		t.Error(p)
	}
}

func TestPrependLimits(t *testing.T) {
	p := parse(t, udp4(t, 10), packet.Offload{Checksum: packet.ChecksumVerified})
	before := string(p.Bytes())
	for _, n := range []int{-1, packet.Headroom - packet.DeviceHeadroom + 1, 1 << 40} {
		if _, err := p.Prepend(n); !errors.Is(err, packet.ErrHeadroom) {
			t.Errorf("Prepend(%d): got %v, want ErrHeadroom", n, err)
		}
	}
	if string(p.Bytes()) != before || p.Edited() || p.Version() != 4 {
		t.Error("changed by a failed Prepend")
	}
	room, err := p.Prepend(112) // leaves a dirty headroom behind
	must(t, err)
	copy(room, bytesOf(112))
	must(t, p.Fill([]byte(before)))
	p.Offload.Checksum = packet.ChecksumVerified
	for _, n := range []int{100, 12} {
		room, err := p.Prepend(n)
		must(t, err)
		for i := range room {
			if room[i] != 0 {
				t.Fatal("not zeroed")
			}
			room[i] = 0xaa
		}
	}
	if _, err := p.Prepend(1); !errors.Is(err, packet.ErrHeadroom) || p.Headroom() != 0 {
		t.Errorf("the driver's room was given away: %v, %d", err, p.Headroom())
	}
	if p.Offload.Checksum != packet.ChecksumFull {
		t.Error("still verified")
	}
	if len(p.Prefixed(packet.DeviceHeadroom)) != p.Len()+packet.DeviceHeadroom {
		t.Error("no room for the driver")
	}

	b, o := super(tcp4(t, 1000), 6, 20, 100)
	p = parse(t, b, o)
	if _, err := p.Prepend(20); !errors.Is(err, packet.ErrSuperpacket) || p.Edited() {
		t.Errorf("superpacket: %v", err)
	}
	p = packet.Get(packet.MaxLen)
	must(t, p.Fill(make([]byte, packet.MaxLen-10)))
	if _, err := p.Prepend(11); !errors.Is(err, packet.ErrTooLong) {
		t.Errorf("longest packet: %v", err)
	}
}

// TestAppendGrows: a packet outgrows its small buffer and keeps everything.
func TestAppendGrows(t *testing.T) {
	for name, b := range map[string][]byte{"v4": udp4(t, 1400), "v6": tcp6(t, 1400)} {
		t.Run(name, func(t *testing.T) {
			p := parse(t, b, packet.Offload{})
			longest := 65535
			if p.Version() == 6 {
				longest = packet.MaxLen
			}
			for _, n := range []int{500, 30000, longest - len(b) - 30500} {
				room, err := p.Append(n)
				must(t, err)
				copy(room, bytesOf(n))
			}
			if p.Len() != longest {
				t.Fatalf("length %d, want %d", p.Len(), longest)
			}
			for _, n := range []int{1, -1, 1 << 40} {
				if _, err := p.Append(n); !errors.Is(err, packet.ErrTooLong) || p.Len() != longest {
					t.Errorf("Append(%d): %v, length %d", n, err, p.Len())
				}
			}
			p.FillChecksum()
			checkValid(t, p.Bytes())
			must(t, p.Truncate(len(b)))
			p.FillChecksum()
			if string(p.Bytes()) != string(b) {
				t.Error("not what it was before")
			}
		})
	}
}

// TestResizeFragment: only the IP header can follow.
func TestResizeFragment(t *testing.T) {
	p := parse(t, fixHeader4(set16(udp4(t, 32), 6, 0x2000)), packet.Offload{Checksum: packet.ChecksumVerified})
	transport := string(p.Transport()[:8])
	must(t, p.Truncate(44))
	if r := p.Reparse(); r != hooks.ReasonNone || p.Len() != 44 {
		t.Fatalf("%s, length %d", packet.ReasonName(r), p.Len())
	}
	if string(p.Transport()[:8]) != transport {
		t.Error("the UDP header, which is about the whole datagram, was changed")
	}
	if p.Offload.Checksum != packet.ChecksumFull {
		t.Error("still vouched for")
	}
	must(t, p.Truncate(40))
	must(t, p.Truncate(28))
	if err := p.Truncate(27); !errors.Is(err, packet.ErrTooShort) {
		t.Error(err)
	}
}

// TestTruncateCutShort: a header that is cut short already counts as none.
func TestTruncateCutShort(t *testing.T) {
	for _, b := range [][]byte{fixHeader4(set16(udp4(t, 0)[:27], 2, 27)), fixHeader4(set16(tcp4(t, 0)[:50], 2, 50)), fixHeader4(set16(tcp4(t, 0)[:39], 2, 39))} {
		p := parse(t, b, packet.Offload{})
		if err := p.Truncate(19); !errors.Is(err, packet.ErrTooShort) {
			t.Error(err)
		}
		must(t, p.Truncate(20))
		if p.Parse() != hooks.ReasonNone || p.Len() != 20 {
			t.Error(p)
		}
	}
}

// TestResizeNotParsed: bytes are bytes.
func TestResizeNotParsed(t *testing.T) {
	p := unparsed(t, []byte("abc"), packet.Offload{})
	room, err := p.Append(2)
	must(t, err)
	copy(room, "de")
	must(t, p.Truncate(4))
	if got := string(p.Bytes()); got != "abcd" {
		t.Errorf("got %q", got)
	}
	if err := p.Truncate(-1); !errors.Is(err, packet.ErrTooShort) {
		t.Error(err)
	}
}

// TestReplace: the new packet may be longer than the buffer, part of the old
// one, or none at all.
func TestReplace(t *testing.T) {
	p := parse(t, udp4(t, 10), packet.Offload{})
	must(t, p.Replace(tcp6(t, 30000)))
	if p.Version() != 6 || !p.Edited() || !p.TransportChecksumValid() {
		t.Errorf("%v, edited %v", p, p.Edited())
	}
	must(t, p.Replace([]byte{1, 2}))
	if p.Version() != 0 || !p.Edited() || p.Parse() != packet.ReasonVersion {
		t.Errorf("%v, edited %v", p, p.Edited())
	}
	before := string(p.Bytes())
	if err := p.Replace(make([]byte, packet.MaxLen+1)); !errors.Is(err, packet.ErrTooLong) || string(p.Bytes()) != before {
		t.Errorf("%v, %d bytes", err, p.Len())
	}
}

// TestDeferChecksum: with bytes behind the UDP datagram, which a partial
// checksum would take in, it computes at once.
func TestDeferChecksum(t *testing.T) {
	b := fixHeader4(set16(append(udp4(t, 9), 1, 2), 2, 39))
	p := parse(t, b, packet.Offload{})
	p.Mutable()[30] ^= 1
	if !p.DeferChecksum() || p.Offload.Checksum != packet.ChecksumFull || !p.TransportChecksumValid() {
		t.Errorf("%+v, valid %v", p.Offload, p.TransportChecksumValid())
	}
	for name, b := range map[string][]byte{
		"fragment":             fixHeader4(set16(udp4(t, 8), 6, 0x2000)),
		"later fragment":       fixHeader4(set16(udp4(t, 8), 6, 1)),
		"cut short":            fixHeader4(set16(udp4(t, 0)[:27], 2, 27)),
		"no protocol of ours":  fixHeader4(edit(udp4(t, 8), func(b []byte) { b[9] = 132 })),
		"UDP length too great": set16(udp4(t, 8), 24, 17),
	} {
		p := parse(t, b, packet.Offload{})
		if p.DeferChecksum() || p.Edited() || p.Offload.Checksum != packet.ChecksumFull {
			t.Errorf("%s: edited %v, %+v", name, p.Edited(), p.Offload)
		}
	}
}
