// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"fmt"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// resent is what the helper below keeps on each end of a TCP connection.
type resent struct{ segments, bytes int }

// countResent is a helper that counts what each end of a TCP connection sends more than once.
var countResent = khelp.Config{
	Name:    "resent",
	Classes: khelp.TCP,
	Data:    khelp.DataOf[resent]{},
	Hooks: []hhook.Hook{{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: khelp.With(func(c *hhook.Call, data *resent) {
		if segment := c.Context.(*netstack.TCPContext); segment.Retransmission {
			data.segments++
			data.bytes += segment.Length
		}
	})}},
}

// A helper watches a connection that the instance forwards.
func Example_helper() {
	router, err := netstack.New(netstack.Config{})
	check(err)
	defer router.Close()
	helper, err := router.Helpers().Load(countResent)
	check(err)

	attach := func(name, address string) (far tun.Device) {
		near, far := tun.Pair(tun.PairConfig{})
		_, err := router.AddInterface(near, netstack.InterfaceConfig{Name: name, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
		check(err)
		return far
	}
	left, right := attach("left", "10.0.1.1/24"), attach("right", "10.0.2.1/24")

	for _, sequence := range []uint32{1000, 1500, 2000, 1500} { // the second one again
		_, err = left.Write(0, []*packet.Packet{tcpSegment("10.0.1.2:4000", "10.0.2.2:80", sequence, 500)})
		check(err)
		_, err = right.Read(0, make([]*packet.Packet, 1))
		check(err)
	}
	check(router.EachFlow(func(client, _ *netstack.FlowEnd) {
		again := khelp.Get[resent](client, helper.ID())
		fmt.Printf("%v: %d segments, %d bytes; again %d, %d\n", client.Local, client.Segments, client.Bytes, again.segments, again.bytes)
	}))
	// Output: 10.0.1.2:4000: 4 segments, 2000 bytes; again 1, 500
}

func tcpSegment(from, to string, sequence uint32, length int) *packet.Packet {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: sequence, ACK: true, Window: 1000}
	check(tcp.SetNetworkLayerForChecksum(ip))
	b := gopacket.NewSerializeBuffer()
	check(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(make([]byte, length))))
	p := packet.Get(len(b.Bytes()))
	check(p.Fill(b.Bytes()))
	return p
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
