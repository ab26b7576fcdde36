// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/hooknet/hooknet/packet"
)

// gsoMaxSize is the largest TCP payload gVisor may put into one packet: with headers it must stay below 64 KiB.
const gsoMaxSize = 65000

// An endpoint is gVisor's view of one of our interfaces: a link that accepts superpackets and promises that transport
// checksums of what it delivers have been looked at.
type endpoint struct {
	host       *hostStack
	iface      *Interface
	dispatcher atomic.Pointer[stack.NetworkDispatcher]

	// delivering is held while gVisor takes a packet, by one alone if it is a fragment: see deliver.
	delivering sync.RWMutex
	fragment   atomic.Bool
}

// deliver hands a packet to gVisor. What carries a whole transport checksum we have verified, and say so by the capability
// that gVisor reads for each packet. A fragment's cannot be verified before reassembly: gVisor then has to do it.
func (e *endpoint) deliver(to stack.NetworkDispatcher, protocol tcpip.NetworkProtocolNumber, pkt *stack.PacketBuffer, fragment bool) {
	if fragment {
		e.delivering.Lock()
		defer e.delivering.Unlock()
		e.fragment.Store(true)
		defer e.fragment.Store(false)
	} else {
		e.delivering.RLock()
		defer e.delivering.RUnlock()
	}
	to.DeliverNetworkPacket(protocol, pkt)
}

var (
	_ stack.LinkEndpoint = (*endpoint)(nil)
	_ stack.GSOEndpoint  = (*endpoint)(nil)
)

func (e *endpoint) MTU() uint32                             { return uint32(e.iface.MTU()) }
func (e *endpoint) SetMTU(uint32)                           {}
func (e *endpoint) MaxHeaderLength() uint16                 { return 0 }
func (e *endpoint) LinkAddress() tcpip.LinkAddress          { return "" }
func (e *endpoint) SetLinkAddress(tcpip.LinkAddress)        {}
func (e *endpoint) Wait()                                   {}
func (e *endpoint) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (e *endpoint) AddHeader(*stack.PacketBuffer)           {}
func (e *endpoint) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (e *endpoint) Close()                                  {}
func (e *endpoint) SetOnCloseAction(func())                 {}
func (e *endpoint) GSOMaxSize() uint32                      { return gsoMaxSize }
func (e *endpoint) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }
func (e *endpoint) IsAttached() bool                        { return e.dispatcher.Load() != nil }

// Capabilities claims receive checksum offload, because we verify (worker.deliver), and no more: with transmit offload
// claimed, packets without GSO options would come with empty checksums. The loopback interface says what it is, or only
// 127.0.0.1 of all 127/8 would be accepted; the price is that its TCP and UDP packets come with empty checksums.
func (e *endpoint) Capabilities() stack.LinkEndpointCapabilities {
	var c stack.LinkEndpointCapabilities
	if !e.fragment.Load() {
		c |= stack.CapabilityRXChecksumOffload
	}
	if e.iface.loopback() {
		c |= stack.CapabilityLoopback
	}
	return c
}

// Attach gives the endpoint the stack to deliver to, nil when the NIC is removed.
func (e *endpoint) Attach(d stack.NetworkDispatcher) {
	if d == nil {
		e.dispatcher.Store(nil)
		return
	}
	e.dispatcher.Store(&d)
}

// WritePackets copies what gVisor sends into packets of ours and queues them for a goroutine of ours. It runs under a TCP
// endpoint's lock: from here a packet must not meet hooks, which may take their time, or come back into gVisor, which would
// deadlock.
func (e *endpoint) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, pkt := range list.AsSlice() {
		sender, _ := pkt.Owner.(*datagramEndpoint)
		if err := e.host.output.put(queued{packet: e.fromBuffer(pkt), iface: e.iface, sender: sender}); err != nil {
			return n, &tcpip.ErrNoBufferSpace{}
		}
		n++
	}
	return n, nil
}

// fromBuffer copies a packet and translates its GSO options.
func (e *endpoint) fromBuffer(pkt *stack.PacketBuffer) *packet.Packet {
	size := pkt.Size()
	p := packet.Get(size)
	to := p.Space(0)
	views, offset := pkt.AsViewList()
	n := 0
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		if offset >= len(b) {
			offset -= len(b)
			continue
		}
		n += copy(to[n:], b[offset:])
		offset = 0
	}
	p.SetLen(n)
	p.Offload = e.offloadOf(pkt)
	return p
}

// offloadOf says what gVisor left to do: on an established connection every segment has a partial checksum.
func (e *endpoint) offloadOf(pkt *stack.PacketBuffer) packet.Offload {
	gso := &pkt.GSOOptions
	if !gso.NeedsCsum {
		if p := pkt.TransportProtocolNumber; e.iface.loopback() && (p == header.TCPProtocolNumber || p == header.UDPProtocolNumber) {
			return packet.Offload{Checksum: packet.ChecksumAbsent}
		}
		return packet.Offload{}
	}
	o := packet.Offload{
		Checksum:       packet.ChecksumPartial,
		ChecksumStart:  gso.L3HdrLen,
		ChecksumOffset: gso.CsumOffset,
	}
	transport := len(pkt.TransportHeader().Slice())
	if payload := pkt.Size() - int(gso.L3HdrLen) - transport; gso.MSS == 0 || payload <= int(gso.MSS) {
		return o
	}
	o.GSO = packet.GSOTCP4
	if gso.Type == stack.GSOTCPv6 {
		o.GSO = packet.GSOTCP6
	}
	o.SegmentSize = gso.MSS
	o.HeaderLen = gso.L3HdrLen + uint16(transport)
	return o
}
