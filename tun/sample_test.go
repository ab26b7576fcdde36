// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"encoding/binary"
	"slices"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
)

// sample describes a packet of a stream. The zero value of a field that has an ordinary value means that.
type sample struct {
	version  int // 4
	udp      bool
	flow     byte // part of the source address and port
	seq, ack uint32
	flags    byte // ACK
	window   uint16
	urgent   uint16
	reserved byte // the bits behind the data offset
	options  string
	id       uint16
	fragment uint16 // flags and offset of IPv4
	ttl      byte   // 64
	class    byte   // traffic class
	label    uint32 // flow label
	payload  int
	state    packet.ChecksumState
	corrupt  bool
	noSum    bool // UDP without checksum
	padded   bool // UDP whose length is 4 less than the packet's
	inner    bool // a partial checksum that is not the transport's
	extended bool // IPv4 options, an IPv6 destination options header
}

const df = 0x4000

// bytes builds the packet, with a full checksum.
func (s sample) bytes() []byte {
	transport := make([]byte, 20, 100)
	protocol := byte(protocolTCP)
	if s.udp {
		protocol, transport = protocolUDP, transport[:8]
	}
	binary.BigEndian.PutUint16(transport, 1000+uint16(s.flow))
	binary.BigEndian.PutUint16(transport[2:], 80)
	field := udpChecksum
	if !s.udp {
		field = tcpChecksum
		binary.BigEndian.PutUint32(transport[4:], s.seq)
		binary.BigEndian.PutUint32(transport[8:], s.ack)
		transport = append(transport, s.options...)
		transport[12] = byte(len(transport)/4)<<4 | s.reserved
		if transport[13] = s.flags; s.flags == 0 {
			transport[13] = tcpFlagACK
		}
		binary.BigEndian.PutUint16(transport[14:], s.window)
		binary.BigEndian.PutUint16(transport[18:], s.urgent)
	}
	for i := range s.payload {
		transport = append(transport, byte(int(s.seq)+i*7))
	}
	if s.udp {
		length := len(transport)
		if s.padded {
			length -= 4
		}
		binary.BigEndian.PutUint16(transport[4:], uint16(length))
	}
	ttl := s.ttl
	if ttl == 0 {
		ttl = 64
	}
	var network, addresses []byte
	if s.version == 6 {
		network = make([]byte, 40)
		binary.BigEndian.PutUint32(network, 6<<28|uint32(s.class)<<20|s.label)
		binary.BigEndian.PutUint16(network[4:], uint16(len(transport)))
		network[6], network[7] = protocol, ttl
		network[8], network[23], network[24], network[25], network[39] = 0xfd, s.flow, 0xfd, 2, 1
		addresses = network[8:]
		if s.extended {
			network[6] = 60
			binary.BigEndian.PutUint16(network[4:], uint16(8+len(transport)))
			network = append(network, protocol, 0, 1, 4, 0, 0, 0, 0)
			addresses = network[8:40]
		}
	} else {
		network = []byte{0x45, s.class, 0, 0, 0, 0, 0, 0, ttl, protocol, 0, 0, 10, 0, 1, s.flow, 10, 0, 2, 1}
		binary.BigEndian.PutUint16(network[2:], uint16(20+len(transport)))
		binary.BigEndian.PutUint16(network[4:], s.id)
		binary.BigEndian.PutUint16(network[6:], s.fragment)
		if s.extended {
			network = append(network, 1, 1, 1, 1)
			network[0]++
			binary.BigEndian.PutUint16(network[2:], uint16(24+len(transport)))
		}
		binary.BigEndian.PutUint16(network[10:], ^sumOf(network))
		addresses = network[12:20]
	}
	if !s.noSum {
		covered := transport
		if s.padded {
			covered = transport[:len(transport)-4]
		}
		pseudo := binary.BigEndian.AppendUint32([]byte{0, protocol}, uint32(len(covered)))
		sum := ^sumOf(slices.Concat(addresses, pseudo, covered))
		if sum == 0 && s.udp {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(transport[field:], sum)
	}
	if s.corrupt {
		transport[len(transport)-1] ^= 1
	}
	return append(network, transport...)
}

// sumOf is RFC 1071 as it stands there.
func sumOf(b []byte) uint16 {
	var sum uint32
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// packet returns the packet parsed, with its checksum in the state asked for.
func (s sample) packet(t require) *packet.Packet {
	b := s.bytes()
	p := packet.Get(len(b))
	if err := p.Fill(b); err != nil {
		t.Fatalf("%v", err)
	}
	p.Offload.Checksum = s.state
	if s.state == packet.ChecksumPartial {
		p.Offload.Checksum = packet.ChecksumFull
	}
	if r := p.Parse(); r != hooks.ReasonNone {
		t.Fatalf("%+v: %s", s, packet.ReasonName(r))
	}
	if s.state == packet.ChecksumPartial && p.DeferChecksum() {
		if r := p.Parse(); r != hooks.ReasonNone {
			t.Fatalf("%+v, partial: %s", s, packet.ReasonName(r))
		}
	}
	if s.inner {
		p.Offload = packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: uint16(p.TransportOffset() + 20), ChecksumOffset: 6}
		if r := p.Parse(); r != hooks.ReasonNone {
			t.Fatalf("%+v: %s", s, packet.ReasonName(r))
		}
	}
	return p
}

// require is what *testing.T, *testing.B and *rapid.T can all do.
type require interface{ Fatalf(string, ...any) }

// stream returns n samples that follow on each other.
func stream(s sample, n int) []sample {
	list := make([]sample, n)
	for i := range list {
		list[i] = s
		s.seq += uint32(s.payload)
		s.id++
	}
	return list
}

// with returns a copy of the list in which the sample at index i was changed.
func with(list []sample, i int, change func(s *sample)) []sample {
	list = slices.Clone(list)
	change(&list[i])
	return list
}
