// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// Header and transport checksums of both families, as the manual promises; what cannot be told counts as right.
func TestCase027_ValidChecksum(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	payload := make([]byte, 100)
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			tcp := func() []byte {
				l3 := ip(f.left, f.right, 64, layers.IPProtocolTCP)
				l4 := &layers.TCP{SrcPort: 1234, DstPort: 80, ACK: true}
				l4.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
				return serialize(t, l3, l4, gopacket.Payload(payload))
			}
			family := "inet6"
			header, checksumAt := 40, map[string]int{"tcp": 16, "udp": 6, "icmp": 2}
			if f.left.Is4() {
				family, header = "inet", 20
			}
			p := lookUp(t, inst, family)
			check := func(what string, q *packet.Packet, want bool) {
				t.Helper()
				if got, err := p.ValidChecksum(q); got != want || err != nil {
					t.Errorf("%s: %v, %v; want %v", what, got, err, want)
				}
			}
			for what, b := range map[string][]byte{"tcp": tcp(), "udp": udp(t, f.left, f.right, 64, payload), "icmp": echoRequest(t, f.left, f.right)} {
				q := filled(t, b)
				defer q.Release()
				q.Parse()
				check(what, q, true)
				q.Mutable()[header+checksumAt[what]] ^= 1
				check(what+", wrong", q, false)
				q.Mutable()[header+checksumAt[what]] ^= 1
				check(what+", mended", q, true)
				if f.left.Is4() {
					q.Mutable()[10] ^= 1
					check(what+", wrong header", q, false)
				}
			}

			b, o := superpacket(t, f.left, f.right, 5000, 1400)
			super := filled(t, b)
			defer super.Release()
			super.Offload = o
			super.Parse()
			check("superpacket", super, true)
			if f.left.Is4() {
				super.Mutable()[10] ^= 1
				check("superpacket with a wrong header", super, false)
			}

			fragment := filled(t, fragmentOf(t, udp(t, f.left, f.right, 64, payload)))
			defer fragment.Release()
			if reason := fragment.Parse(); reason != hooks.ReasonNone || !fragment.IsFragment() {
				t.Fatal("no fragment:", packet.ReasonName(reason))
			}
			check("fragment", fragment, true)

			broken := filled(t, udp(t, f.left, f.right, 64, payload)[:header-1])
			defer broken.Release()
			broken.Parse()
			check("what does not parse", broken, false)

			other := "inet"
			if family == other {
				other = "inet6"
			}
			whole := filled(t, tcp())
			defer whole.Release()
			whole.Parse()
			if _, err := lookUp(t, inst, other).ValidChecksum(whole); !errors.Is(err, netstack.ErrInvalid) {
				t.Errorf("%s of a packet of %s: %v, want ErrInvalid", other, family, err)
			}
			if _, err := lookUp(t, inst, other).ChecksumState(whole); !errors.Is(err, netstack.ErrInvalid) {
				t.Errorf("%s of a packet of %s: %v, want ErrInvalid", other, family, err)
			}
			for q, want := range map[*packet.Packet]packet.ChecksumState{whole: packet.ChecksumFull, super: packet.ChecksumPartial} {
				if got, err := p.ChecksumState(q); got != want || err != nil {
					t.Errorf("state %v, %v; want %v", got, err, want)
				}
			}
		})
	}
}

// fragmentOf turns a datagram into its first fragment, with a checksum that covers what is not here.
func fragmentOf(t *testing.T, b []byte) []byte {
	t.Helper()
	if b[0]>>4 == 6 {
		header := []byte{b[6], 0, 0, 1, 0, 0, 0, 7} // offset 0, more to come
		b = slices.Insert(slices.Clone(b[:40+96]), 40, header...)
		b[6] = 44
		b[4], b[5] = 0, byte(len(b)-40)
		return b
	}
	decoded := gopacket.NewPacket(b, layers.LayerTypeIPv4, gopacket.Default)
	l3 := decoded.NetworkLayer().(*layers.IPv4)
	l3.Flags = layers.IPv4MoreFragments
	return serialize(t, l3, gopacket.Payload(b[20:20+96]))
}
