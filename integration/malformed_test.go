// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// A bench throws packets at an instance that no kernel would make, from an AF_PACKET socket on red's side, and follows the
// instance's counters. The kernels have no IPv6 and say nothing of their own accord.
//
//	tap -- red ---- left [instance] right ---- blue (MTU 1400)
type bench struct {
	*testbed.Bed
	t        *testing.T
	instance *netstack.Instance
	red      *testbed.Namespace
	tap      *testbed.Tap
	virtio   *testbed.Tap // the same with virtio-net headers
	counted  count        // until now
}

func newBench(t *testing.T, left testbed.LinkConfig) *bench {
	t.Helper()
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	b := &bench{Bed: testbed.New(t), t: t, counted: count{drops: make(map[string]uint64)}}
	b.instance = b.Instance(netstack.Config{Name: "router"})
	b.red = b.Namespace("red")
	blue := b.Namespace("blue")
	for _, n := range []*testbed.Namespace{b.red, blue} {
		n.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	}
	left.Name = "left"
	left.Host, left.Router = testbed.Prefixes(testbed.Red4+"/24"), testbed.Prefixes(testbed.Left4+"/24", testbed.Left6+"/64")
	b.Link(b.red, b.instance, left)
	b.Link(blue, b.instance, testbed.LinkConfig{
		Name: "right", MTU: 1400,
		Host: testbed.Prefixes(testbed.Blue4 + "/24"), Router: testbed.Prefixes(testbed.Right4+"/24", testbed.Right6+"/64"),
	})
	b.tap = b.red.Tap(t, testbed.TapConfig{Device: "left"})
	b.virtio = b.red.Tap(t, testbed.TapConfig{Device: "left", VirtioHeader: true})
	b.settle(t, b.counted)
	return b
}

// A count is what an instance may have counted since its beginning.
type count struct {
	received, forwarded uint64
	drops               map[string]uint64
}

func (c count) matches(s netstack.Stats) bool {
	return s.Received == c.received && s.Forwarded == c.forwarded && maps.Equal(s.Drops, c.drops) && s.Balance() == nil
}

// plus returns the count after one packet more that met a fate.
func (c count) plus(fate string) count {
	c.drops = maps.Clone(c.drops)
	switch fate {
	case refused, lost:
		return c
	case delivered:
	case forwarded:
		c.forwarded++
	default:
		c.drops[fate]++
	}
	c.received++
	return c
}

// settle waits until the instance has counted one of these, and its books balance.
func (b *bench) settle(t *testing.T, wanted ...count) {
	t.Helper()
	var s netstack.Stats
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(100 * time.Microsecond) {
		s = b.instance.Stats()
		for _, c := range wanted {
			if c.matches(s) {
				b.counted = c
				return
			}
		}
	}
	if err := s.Balance(); err != nil {
		t.Error(err)
	}
	c := wanted[0]
	b.counted = count{s.Received, s.Forwarded, s.Drops}
	t.Errorf("received %d, want %d; forwarded %d, want %d; drops (-want +got):\n%s",
		s.Received, c.received, s.Forwarded, c.forwarded, cmp.Diff(c.drops, s.Drops))
}

// alive checks that the instance forwards and answers as ever, in both families.
func (b *bench) alive() {
	b.t.Helper()
	b.red.Run(b.t, "ping", "-n", "-c", "1", "-W", "5", testbed.Left4)
	green := b.Namespace("green") // a host with IPv6
	b.Link(green, b.instance, testbed.LinkConfig{
		Name: "green", Host: testbed.Prefixes("10.0.3.2/24", "fd00:3::2/64"), Router: testbed.Prefixes("10.0.3.1/24", "fd00:3::1/64"),
		Routes: testbed.Everything,
	})
	for _, target := range []string{testbed.Left4, testbed.Right6, "fd00:3::1"} {
		pingSizes(b.t, green, target, 56, 3000)
	}
}

// What becomes of a packet if it is not dropped for a reason.
const (
	forwarded = "forwarded"
	delivered = "delivered" // to the host stack
	refused   = "refused"   // by the kernel: send(2) fails
	lost      = "lost"      // in the kernel: hooknet never sees it
)

// check sends a packet and wants one thing counted: a drop for the reason, or one of the constants. Where it is the kernel's
// choice there may be several, with " or " between.
func (b *bench) check(name string, header, packet []byte, want string) {
	b.t.Run(name, func(t *testing.T) {
		tap := b.tap
		if header != nil {
			tap, packet = b.virtio, slices.Concat(header, packet)
		}
		err := tap.Send(packet)
		var wanted []count
		for fate := range strings.SplitSeq(want, " or ") {
			if (err != nil) == (fate == refused) {
				wanted = append(wanted, b.counted.plus(fate).plus(forwarded))
			}
		}
		if wanted == nil {
			t.Fatalf("send: %v, want the packet %s", err, want)
		}
		// A good packet behind it: once that has been counted, what was sent before has been, too.
		if err := b.tap.Send(ipv4(nil)); err != nil {
			t.Fatal(err)
		}
		b.settle(t, wanted...)
	})
}

// An AF_PACKET socket hands arbitrary bytes to our reader. Every packet is counted once, under the
// right name, and the router goes on.
func TestMalformed(t *testing.T) {
	for name, left := range map[string]testbed.LinkConfig{
		"linux": {Driver: tun.DriverLinux}, "linux without offload": {Driver: tun.DriverLinux, NoOffload: true}, "water": {Driver: tun.DriverWater},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, left)
			for _, m := range malformed4 {
				b.check("IPv4 "+m.name, nil, m.packet, m.want)
			}
			for _, m := range malformed6 {
				b.check("IPv6 "+m.name, nil, m.packet, m.want)
			}
			b.alive()
		})
	}
}

// Metadata that lies. The kernel refuses or drops much of it itself, more with every version; what it lets through is for us
// to refuse.
func TestMalformedMetadata(t *testing.T) {
	const (
		needsChecksum, dataValid, rscInfo = 1, 2, 4

		gsoTCP4, gsoTCP6, gsoUSO, gsoECN = 1, 4, 5, 0x80
	)
	b := newBench(t, testbed.LinkConfig{Driver: tun.DriverLinux})
	partial := func(start, offset uint16) []byte { return virtioHeader(needsChecksum, 0, 0, 0, start, offset) }
	tcp := func(flags, gso byte, headerLen, size uint16) []byte {
		return virtioHeader(flags, gso, headerLen, size, 20, 16)
	}
	uso := func(size uint16) []byte { return virtioHeader(needsChecksum, gsoUSO, 28, size, 20, 6) }
	const notOurs = "refused or lost or offload_metadata"
	for _, m := range []struct {
		name           string
		header, packet []byte
		want           string
	}{
		{"none", virtioHeader(0, 0, 0, 0, 0, 0), ipv4(nil), forwarded},
		{"empty packet", virtioHeader(0, 0, 0, 0, 0, 0), nil, "refused or truncated"},
		{"empty packet without header", []byte{}, nil, "refused or truncated"},
		{"one byte", virtioHeader(0, 0, 0, 0, 0, 0), []byte{0x45}, "truncated"},
		{"header cut short", virtioHeader(0, 0, 0, 0, 0, 0)[:9], nil, refused},
		{"verified", virtioHeader(dataValid, 0, 0, 0, 0, 0), ipv4(nil), forwarded},
		{"unknown flags", virtioHeader(0xf8, 0, 0, 0, 0, 0), ipv4(nil), "refused or forwarded"},
		{"coalesced", virtioHeader(rscInfo, 0, 0, 0, 0, 0), ipv4(nil), "refused or forwarded"},

		{"partial", partial(20, 6), ipv4(nil), forwarded},
		{"partial, of what is no transport header", partial(28, 0), ipv4(nil), forwarded},
		{"partial, in the IP header", partial(0, 10), ipv4(nil), notOurs},
		{"partial, at the end", partial(20, 38), ipv4(nil), forwarded},
		{"partial, beyond the end", partial(20, 39), ipv4(nil), notOurs},
		{"partial, far beyond the end", partial(0xffff, 0xffff), ipv4(nil), notOurs},
		{"partial, beyond the total length", partial(20, 30), ipv4(set(2, 0, 50)), "offload_metadata"},
		{"partial, in a fragment", partial(20, 6), ipv4(set(6, 0x20, 0)), "offload_metadata"},
		{"partial, bad version", partial(20, 6), ipv4(set(0, 0x55)), "version"},

		{"superpacket", tcp(needsChecksum, gsoTCP4, 40, 1000), tcp4(3000), forwarded},
		{"superpacket, the largest", tcp(needsChecksum, gsoTCP4, 40, 1000), tcp4(65535 - 40), forwarded},
		{"superpacket, with ECN", tcp(needsChecksum, gsoTCP4|gsoECN, 40, 1000), tcp4(3000), forwarded},
		{"superpacket without payload", tcp(needsChecksum, gsoTCP4, 40, 1000), tcp4(0), "refused or forwarded"},
		{"superpacket, header length wrong", tcp(needsChecksum, gsoTCP4, 20, 1000), tcp4(3000), "refused or forwarded"},
		{"superpacket, header length 65535", tcp(needsChecksum, gsoTCP4, 0xffff, 1000), tcp4(3000), "refused or forwarded"},
		{"superpacket, total length too small", tcp(needsChecksum, gsoTCP4, 40, 1000), ipv4(all(size(3040), set(9, 6), set(32, 0x50, 0x10), set(2, 1, 0))), "refused or forwarded"},
		{"superpacket of segments of 1 byte", tcp(needsChecksum, gsoTCP4, 40, 1), tcp4(3000), "refused or forwarded"},
		{"superpacket of segments of 0 bytes", tcp(needsChecksum, gsoTCP4, 40, 0), tcp4(3000), notOurs},
		{"superpacket, data offset 0", tcp(needsChecksum, gsoTCP4, 40, 1000), set(32, 0)(tcp4(3000)), notOurs},
		{"superpacket, type unknown", tcp(needsChecksum, 0x42, 40, 1000), tcp4(3000), notOurs},
		{"superpacket, type of IPv6", tcp(needsChecksum, gsoTCP6, 60, 1000), tcp4(3000), notOurs},
		{"superpacket, checksum elsewhere", virtioHeader(needsChecksum, gsoTCP4, 40, 1000, 24, 12), tcp4(3000), notOurs},
		{"superpacket, UDP", virtioHeader(needsChecksum, gsoTCP4, 28, 1000, 20, 6), udp4(3000), notOurs},
		{"superpacket, fragment", tcp(needsChecksum, gsoTCP4, 40, 1000), ipv4(all(size(3040), set(9, 6), set(32, 0x50, 0x10), set(6, 0x20, 0))), "refused or fragment or offload_metadata"},
		{"superpacket, bad version", tcp(needsChecksum, gsoTCP4, 40, 1000), set(0, 0x55)(tcp4(3000)), "refused or lost or version"},
		{"superpacket, header checksum wrong", tcp(needsChecksum, gsoTCP4, 40, 1000), set(10, 0, 0)(tcp4(3000)), "header_checksum"},
		{"superpacket, TTL 1", tcp(needsChecksum, gsoTCP4, 40, 1000), ipv4(all(size(3040), set(9, 6), set(32, 0x50, 0x10), set(8, 1))), "ttl_expired"},
		{"superpacket of segments too big with DF", tcp(needsChecksum, gsoTCP4, 40, 1361), ipv4(all(size(3040), set(9, 6), set(32, 0x50, 0x10), set(6, 0x40))), "too_big"},
		{"superpacket of segments too big", tcp(needsChecksum, gsoTCP4, 40, 1361), tcp4(3000), forwarded},

		{"USO", uso(1000), udp4(3000), "refused or forwarded"},
		{"USO, datagram length wrong", uso(1000), set(24, 0, 0)(udp4(3000)), notOurs},
		{"USO, segments of 0 bytes", uso(0), udp4(3000), notOurs},
		{"USO, TCP", virtioHeader(needsChecksum, gsoUSO, 40, 1000, 20, 16), tcp4(3000), notOurs},
		{"ECN alone", virtioHeader(0, gsoECN, 0, 0, 0, 0), ipv4(nil), notOurs},
	} {
		b.check(m.name, m.header, m.packet, m.want)
	}
	b.alive()
}

// Bytes at random: alone, as damaged packets, and with metadata at random, for us and for others.
func TestMalformedRandom(t *testing.T) {
	for name, left := range map[string]testbed.LinkConfig{
		"linux": {Driver: tun.DriverLinux}, "water": {Driver: tun.DriverWater},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, left)
			random := rand.New(rand.NewPCG(1, 2))
			models := append(slices.Clone(malformed4), malformed6...)
			const packets = 10_000
			tries := 0
			for sent := 0; sent < packets; tries++ {
				packet := make([]byte, random.IntN(200))
				for i := range packet {
					packet[i] = byte(random.Uint32())
				}
				kind := random.IntN(4)
				if kind > 0 { // a damaged packet
					packet = slices.Clone(models[random.IntN(len(models))].packet)
					for range random.IntN(4) {
						packet[random.IntN(len(packet))] = byte(random.Uint32())
					}
				}
				if random.IntN(2) == 0 { // for us
					switch {
					case len(packet) >= 20 && packet[0]>>4 == 4:
						to4(testbed.Left4)(packet)
					case len(packet) >= 40 && packet[0]>>4 == 6:
						to6(testbed.Left6)(packet)
					}
				}
				if random.IntN(8) != 0 {
					fixHeader(packet)
				}
				tap := b.tap
				if kind > 1 {
					header := make([]byte, testbed.VirtioHeaderLen)
					for i := range header {
						header[i] = byte(random.Uint32())
					}
					if kind > 2 { // likelier ones
						header[0] &= 3
						header[1] = []byte{0, 1, 4, 5, 0x81}[random.IntN(5)]
						for _, high := range []int{3, 5, 7, 9} {
							header[high] = 0
						}
					}
					tap, packet = b.virtio, append(header, packet...)
				}
				if tap.Send(packet) == nil {
					sent++
				}
			}
			// How many come is the kernel's choice: it cuts some into several, and throws some away.
			s := b.drained()
			t.Logf("%d packets sent, %d refused: %+v", packets, tries-packets, s)
			if s.Received < packets/2 {
				t.Errorf("only %d of %d packets have come", s.Received, packets)
			}
			b.alive()
		})
	}
}

// drained waits until all that was sent has been looked at, and the books balance. The instance answers a ping behind it all.
func (b *bench) drained() (s netstack.Stats) {
	b.t.Helper()
	request := marker(left, 1)
	testbed.Eventually(b.t, func() string {
		if err := b.tap.Send(request); err != nil { // again: a queue may be full
			b.t.Fatal(err)
		}
		for {
			reply, err := b.tap.Receive(time.Second)
			switch {
			case errors.Is(err, testbed.ErrNothing):
				return "the instance does not answer"
			case err != nil:
				b.t.Fatal(err)
			case isEchoReply(reply, request):
				return ""
			}
		}
	})
	testbed.Eventually(b.t, func() string {
		s = b.instance.Stats()
		if err := s.Balance(); err != nil {
			return err.Error()
		}
		return ""
	})
	return s
}
