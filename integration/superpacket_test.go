// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// The kinds of superpackets that a TUN device knows (linux/virtio_net.h).
var virtioKinds = map[string]struct {
	gso          uint8
	from, to     string
	protocol     layers.IPProtocol
	start, field uint16
}{
	"TSO4": {1, testbed.Red4, testbed.Blue4, layers.IPProtocolTCP, 20, 16},
	"TSO6": {4, testbed.Red6, testbed.Blue6, layers.IPProtocolTCP, 40, 16},
	"USO4": {5, testbed.Red4, testbed.Blue4, layers.IPProtocolUDP, 20, 6},
	"USO6": {5, testbed.Red6, testbed.Blue6, layers.IPProtocolUDP, 40, 6},
}

// virtioSuper builds a superpacket with its virtio-net header.
func virtioSuper(t *testing.T, kind string, payload, segment int) []byte {
	t.Helper()
	const needsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	k := virtioKinds[kind]
	src, dst := netip.MustParseAddr(k.from), netip.MustParseAddr(k.to)
	var l3 gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, TOS: 2, Id: 7, Flags: layers.IPv4DontFragment, Protocol: k.protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	if src.Is6() {
		l3 = &layers.IPv6{Version: 6, HopLimit: 64, TrafficClass: 2, NextHeader: k.protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	var l4 gopacket.SerializableLayer = &layers.UDP{SrcPort: 1000, DstPort: 2000}
	headers := k.start + 8
	if k.protocol == layers.IPProtocolTCP {
		l4, headers = &layers.TCP{SrcPort: 1000, DstPort: 2000, Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 1000}, k.start+20
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, l3, l4, gopacket.Payload(make([]byte, payload))); err != nil {
		t.Fatal(err)
	}
	b := buffer.Bytes()
	if src.Is4() {
		header.IPv4(b).SetChecksum(0)
		header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	}
	pseudo := header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(k.protocol), tcpip.AddrFromSlice(src.AsSlice()), tcpip.AddrFromSlice(dst.AsSlice()), uint16(len(b)-int(k.start)))
	binary.BigEndian.PutUint16(b[k.start+k.field:], pseudo)
	return append(virtioHeader(needsChecksum, k.gso, headers, uint16(segment), k.start, k.field), b...)
}

// From one TUN to another, virtio-net header and all: a superpacket whose segments fit comes out as it went in, one hop older;
// one whose segments do not fit is answered with the MTU.
func TestSuperpacketThroughTUNs(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN)
	for kind, k := range virtioKinds {
		for _, mtu := range []int{1500, 1300} {
			t.Run(fmt.Sprintf("%s/MTU=%d", kind, mtu), func(t *testing.T) {
				r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{MTU: mtu}})
				red := r.Red.Tap(t, testbed.TapConfig{Device: "left", VirtioHeader: true})
				blue := r.Blue.Tap(t, testbed.TapConfig{Device: "right", VirtioHeader: true})
				sent := virtioSuper(t, kind, 20000, 1400)
				if err := red.Send(sent); errors.Is(err, syscall.EINVAL) && k.gso == 5 {
					hostnettest.Missing(t, "USO, which came with Linux 6.2", err)
				} else if err != nil {
					t.Fatal(err)
				}
				is4 := k.start == 20
				if mtu < 1400+int(k.start) {
					got := receiveOf(t, red, map[bool]layers.IPProtocol{true: layers.IPProtocolICMPv4, false: layers.IPProtocolICMPv6}[is4])
					message := got[testbed.VirtioHeaderLen+int(k.start):]
					want := []byte{3, 4}
					if !is4 {
						want = []byte{2, 0}
					}
					if diff := cmp.Diff(want, message[:2]); diff != "" || binary.BigEndian.Uint32(message[4:]) != uint32(mtu) {
						t.Errorf("% x, want MTU %d; type and code (-want +got):\n%s", message[:8], mtu, diff)
					}
					return
				}
				got := receiveOf(t, blue, k.protocol)
				if diff := cmp.Diff(sent[:testbed.VirtioHeaderLen], got[:testbed.VirtioHeaderLen]); diff != "" {
					t.Errorf("virtio-net header (-want +got):\n%s", diff)
				}
				want := sent[testbed.VirtioHeaderLen:]
				if is4 {
					header.IPv4(want).SetTTL(63)
					header.IPv4(want).SetChecksum(0)
					header.IPv4(want).SetChecksum(^header.IPv4(want).CalculateChecksum())
				} else {
					want[7] = 63
				}
				if diff := cmp.Diff(want, got[testbed.VirtioHeaderLen:]); diff != "" {
					t.Errorf("packet (-want +got):\n%s", diff)
				}
				if s := r.Instance.Stats(); s.Split != 0 {
					t.Errorf("cut on the way: %+v", s)
				}
			})
		}
	}
}

// receiveOf waits for a packet of a protocol; the kernels send others of their own accord.
func receiveOf(t *testing.T, tap *testbed.Tap, protocol layers.IPProtocol) []byte {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; {
		b, err := tap.Receive(time.Until(deadline))
		if err != nil {
			t.Fatal(err)
		}
		p := b[testbed.VirtioHeaderLen:]
		multicast := p[0]>>4 == 6 && p[24] == 0xff
		if at := map[byte]int{4: 9, 6: 6}[p[0]>>4]; at != 0 && !multicast && p[at] == byte(protocol) {
			return b
		}
	}
}
