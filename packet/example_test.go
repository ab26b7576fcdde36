// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet_test

import (
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// exampleBytes is a UDP packet as a device would hand it over.
var exampleBytes = []byte{
	0x45, 0, 0, 32, 0x12, 0x34, 0, 0, 64, 17, 0x53, 0x98, 10, 0, 0, 1, 10, 0, 1, 1,
	0x04, 0xd2, 0x10, 0xe1, 0, 12, 0xf6, 0x50, 'p', 'i', 'n', 'g',
}

// What a driver and the data path do with every packet.
func ExamplePacket_Parse() {
	p := packet.Get(1500)
	defer p.Release()
	p.SetLen(copy(p.Space(0), exampleBytes))
	if r := p.Parse(); r != hooks.ReasonNone {
		fmt.Println("dropped:", packet.ReasonName(r))
		return
	}
	p.DecrementTTL()
	fmt.Println(p)
	// Output: 10.0.0.1:1234 > 10.0.1.1:4321 UDP 32 ttl 63
}

// A hook that redirects a port to another host.
func ExamplePacket_SetDestination() {
	redirect := func(c *packet.Context) hooks.Verdict {
		if port, ok := c.Packet.DestinationPort(); ok && port == 4321 {
			c.Packet.SetDestination(netip.MustParseAddr("10.0.2.2"))
		}
		return hooks.Accept
	}
	p := packet.Get(1500)
	defer p.Release()
	_ = p.Fill(exampleBytes)
	p.Parse()
	redirect(&packet.Context{Packet: p, Family: packet.Inet, Event: packet.PhysicalIn})
	fmt.Println(p, "edited:", p.Edited(), "checksums right:", p.HeaderChecksumValid() && p.TransportChecksumValid())
	// Output: 10.0.0.1:1234 > 10.0.2.2:4321 UDP 32 ttl 64 edited: true checksums right: true
}

// A device without GSO gets the segments one by one.
func ExampleSegmenter() {
	p := packet.Get(packet.MaxLen)
	defer p.Release()
	_ = p.Fill(exampleBytes)
	p.Parse()
	if _, err := p.Append(2996); err != nil {
		fmt.Println(err)
		return
	}
	// Append has left a partial checksum, as a superpacket needs it.
	p.Offload.GSO, p.Offload.SegmentSize = packet.GSOUDP4, 1400
	fmt.Println(p, packet.ReasonName(p.Parse()))
	var s packet.Segmenter
	if r := s.Init(p); r != hooks.ReasonNone {
		fmt.Println("dropped:", packet.ReasonName(r))
		return
	}
	segment := packet.Get(1500)
	defer segment.Release()
	for s.Next(segment) {
		fmt.Println(segment)
	}
	// Output:
	// 10.0.0.1:1234 > 10.0.1.1:4321 UDP 3028 ttl 64 gso 1400 none
	// 10.0.0.1:1234 > 10.0.1.1:4321 UDP 1428 ttl 64
	// 10.0.0.1:1234 > 10.0.1.1:4321 UDP 1428 ttl 64
	// 10.0.0.1:1234 > 10.0.1.1:4321 UDP 228 ttl 64
}

// A link with a smaller MTU gets fragments.
func ExampleFragmenter() {
	p := packet.Get(1500)
	defer p.Release()
	_ = p.Fill(exampleBytes)
	p.Parse()
	if _, err := p.Append(1000); err != nil {
		fmt.Println(err)
		return
	}
	var f packet.Fragmenter
	if r := f.Init(p, 576); r != hooks.ReasonNone {
		fmt.Println("dropped:", packet.ReasonName(r))
		return
	}
	fragment := packet.Get(576)
	defer fragment.Release()
	for f.Next(fragment) {
		fmt.Println(fragment)
	}
	// Output:
	// 10.0.0.1:1234 > 10.0.1.1:4321 UDP 572 ttl 64 frag 0+
	// 10.0.0.1 > 10.0.1.1 UDP 480 ttl 64 frag 552
}
