// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

func TestGet(t *testing.T) {
	const small = 36*64 - packet.Headroom
	for size, want := range map[int]bool{0: true, 1500: true, 1800: true, small: true, small + 1: false, 65535: false, packet.MaxLen: false, 1 << 20: false} {
		p := packet.Get(size)
		if p.Len() != 0 || p.Offload != (packet.Offload{}) || p.Edited() || p.Version() != 0 {
			t.Errorf("Get(%d) is not empty", size)
		}
		if (p.Room() == small) != want {
			t.Errorf("Get(%d).Room() = %d, small: want %v", size, p.Room(), want)
		}
		if p.Room() < min(size, packet.MaxLen) {
			t.Errorf("Get(%d).Room() = %d", size, p.Room())
		}
		if p.Headroom() != packet.Headroom-packet.DeviceHeadroom {
			t.Errorf("Get(%d).Headroom() = %d", size, p.Headroom())
		}
		p.Release()
	}
}

// A packet is oversized if it is in a big buffer without need.
func TestOversized(t *testing.T) {
	const small = 36*64 - packet.Headroom
	for _, c := range []struct {
		room, length int
		want         bool
	}{{0, 0, false}, {small, small, false}, {small + 1, small, true}, {small + 1, small + 1, false}, {packet.MaxLen, 100, true}} {
		p := packet.Get(c.room)
		p.SetLen(c.length)
		if got := p.Oversized(); got != c.want {
			t.Errorf("room for %d, length %d: %v, want %v", c.room, c.length, got, c.want)
		}
		p.Release()
	}
}

// TestGetIsEmpty: nothing of a packet's former life is left.
func TestGetIsEmpty(t *testing.T) {
	for range 100 {
		b, o := super(tcp4(t, 1000), 6, 20, 100)
		p := parse(t, b, o)
		p.SetTTL(3)
		p.Release()
		q := packet.Get(1500)
		if q.Len() != 0 || q.Offload != (packet.Offload{}) || q.Edited() || q.Family() != 0 || q.Headroom() != packet.Headroom-packet.DeviceHeadroom {
			t.Fatal("a packet from the pool is not empty")
		}
		q.Release()
	}
}

// TestDriver does what a driver does: its header and the packet in one read,
// its header and the packet in one write.
func TestDriver(t *testing.T) {
	wire := udp4(t, 20)
	p := packet.Get(1500)
	space := p.Space(12)
	if len(space) != 12+p.Room() {
		t.Fatalf("Space(12) has %d bytes, want %d", len(space), 12+p.Room())
	}
	n := copy(space, append([]byte("twelve bytes"), wire...))
	p.SetLen(n - 12)
	if p.Version() != 0 {
		t.Error("parsed before Parse")
	}
	if r := p.Parse(); r != hooks.ReasonNone {
		t.Fatal(packet.ReasonName(r))
	}
	if diff := cmp.Diff(wire, p.Bytes()); diff != "" {
		t.Error(diff)
	}
	out := p.Prefixed(10)
	copy(out, "ten bytes.")
	if got, want := string(out), "ten bytes."+string(wire); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.Parse() != hooks.ReasonNone {
		t.Error("the driver's header went into the packet")
	}
	p.Reset()
	if p.Len() != 0 || p.Version() != 0 {
		t.Error("not empty after Reset")
	}
	p.Release()
}

func TestFill(t *testing.T) {
	for _, n := range []int{0, 1, 1500, 2176, 2177, 65535, packet.MaxLen} {
		p := packet.Get(0)
		p.Offload.Checksum = packet.ChecksumVerified
		b := bytesOf(n)
		must(t, p.Fill(b))
		if string(p.Bytes()) != string(b) || p.Offload != (packet.Offload{}) {
			t.Errorf("Fill with %d bytes: got %d bytes, %+v", n, p.Len(), p.Offload)
		}
		if err := p.Fill(make([]byte, packet.MaxLen+1)); !errors.Is(err, packet.ErrTooLong) {
			t.Errorf("too long: got %v", err)
		}
		if string(p.Bytes()) != string(b) {
			t.Error("changed by a failed Fill")
		}
		p.Release()
	}
}

func TestClone(t *testing.T) {
	b, o := super(tcp4(t, 3000), 6, 20, 1000)
	p := parse(t, b, o)
	p.SetTTL(9)
	q := p.Clone()
	if diff := cmp.Diff(fieldsOf(p), fieldsOf(q)); diff != "" {
		t.Error(diff)
	}
	if string(p.Bytes()) != string(q.Bytes()) || p.Offload != q.Offload {
		t.Error("bytes or metadata differ")
	}
	before := string(p.Bytes())
	clear(q.Mutable())
	if string(p.Bytes()) != before {
		t.Error("the copy shares its bytes")
	}
	q.Release()
	p.Release()
}

// TestBytesHaveNoSpareCapacity: appending to what the packet hands out must
// not write behind the packet.
func TestBytesHaveNoSpareCapacity(t *testing.T) {
	p := parse(t, udp4(t, 9), packet.Offload{})
	for name, b := range map[string][]byte{"Bytes": p.Bytes(), "Mutable": p.Mutable(), "Transport": p.Transport()} {
		if cap(b) != len(b) {
			t.Errorf("%s: length %d, capacity %d", name, len(b), cap(b))
		}
	}
}

// TestMutable: a hand in the bytes ends what the device vouched for.
func TestMutable(t *testing.T) {
	p := parse(t, udp4(t, 9), packet.Offload{Checksum: packet.ChecksumVerified})
	if p.Edited() {
		t.Error("edited before")
	}
	p.Mutable()[35] ^= 1
	if !p.Edited() || p.Offload.Checksum != packet.ChecksumFull || p.TransportChecksumValid() {
		t.Errorf("edited %v, checksum %v, valid %v", p.Edited(), p.Offload.Checksum, p.TransportChecksumValid())
	}
	b, o := partial(udp4(t, 9), 17, 20)
	p = parse(t, b, o)
	p.Mutable()[35] ^= 1
	if p.Offload.Checksum != packet.ChecksumPartial {
		t.Error("a partial checksum did not stay partial")
	}
	p.FillChecksum()
	checkValid(t, p.Bytes())
}

func TestString(t *testing.T) {
	gso, o := super(tcp4(t, 4000), 6, 20, 1000)
	for want, p := range map[string]*packet.Packet{
		"10.0.0.1:1234 > 10.0.1.1:4321 UDP 38 ttl 64":             parse(t, udp4(t, 10), packet.Offload{}),
		"[2001:db8::1]:1234 > [2001:db8:1::1]:8081 TCP 82 ttl 64": parse(t, tcp6(t, 10), packet.Offload{}),
		"10.0.0.1 > 10.0.1.1 ICMP 38 ttl 64":                      parse(t, icmp4(t, 10), packet.Offload{}),
		"2001:db8::1 > 2001:db8:1::1 ICMPv6 58 ttl 64":            parse(t, icmp6(t, 10), packet.Offload{}),
		"10.0.0.1:1234 > 10.0.1.1:8081 TCP 4052 ttl 64 gso 1000":  parse(t, gso, o),
		"10.0.0.1:1234 > 10.0.1.1:4321 UDP 36 ttl 64 frag 0+":     parse(t, fixHeader4(set16(udp4(t, 8), 6, 0x2000)), packet.Offload{}),
		"10.0.0.1 > 10.0.1.1 UDP 36 ttl 64 frag 80":               parse(t, fixHeader4(set16(udp4(t, 8), 6, 10)), packet.Offload{}),
		"10.0.0.1 > 10.0.1.1 protocol-47 36 ttl 64":               parse(t, fixHeader4(edit(udp4(t, 8), func(b []byte) { b[9] = 47 })), packet.Offload{}),
		"10.0.0.1:1234 > 10.0.1.1:4321 SCTP 36 ttl 64":            parse(t, fixHeader4(edit(udp4(t, 8), func(b []byte) { b[9] = 132 })), packet.Offload{}),
		"2001:db8::1 > 2001:db8:1::1 no-next-header 48 ttl 64":    parse(t, edit(udp6(t, 0), func(b []byte) { b[6] = 59 }), packet.Offload{}),
		"not parsed, 3 bytes":                                     unparsed(t, []byte{1, 2, 3}, packet.Offload{}),
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if strings.Contains(p.String(), "\n") {
			t.Error("more than a line")
		}
	}
}
