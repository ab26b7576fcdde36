// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import "github.com/hooknet/hooknet/packet"

// Device is a source and sink of IP packets. Its methods are safe for concurrent
// use, with one exception: a queue has one reader at a time.
type Device interface {
	// Name is the device's name, as the host knows it. It does not follow a rename.
	Name() string

	// Features is what Write accepts. The caller segments packets and completes
	// checksums for everything else. It never changes.
	Features() packet.Features

	// Queues is how many queues the device has, at least 1. Queues are numbered from
	// 0; a queue number that does not exist is a programming error and may panic.
	Queues() int

	// Read blocks until packets are there, fills pkts from the front and returns how
	// many, at least 1 if the error is nil. Packets come with their Offload set and
	// not parsed. A nil entry gets a packet from packet.Get, with the room the device
	// needs; any other entry is reused, or released and replaced. A batch ends when
	// the queue is empty, when pkts is full, or when 64 KiB were read: what was read
	// is then still in the cache when it is written. A packet that the system lost on
	// the way arrives empty: the caller refuses and counts it. Entries past the
	// returned number may have been exchanged too, for empty packets.
	//
	// Errors are final: net.ErrClosed after Close, ErrGone once the device was
	// deleted, anything else unexpected. They come with no packets.
	Read(queue int, pkts []*packet.Packet) (int, error)

	// Write writes pkts in order and stops at the first packet the device refuses: n
	// is then its index, and err says why. The caller counts it and goes on with
	// pkts[n+1:]. A nil error means all were written. Write never waits for room:
	// ErrFull is the answer where there is none. Packets are neither kept nor
	// released; Write may use the headroom in front of them.
	//
	// A device may write packets of different flows in another order, in order to write
	// those of one flow together. When it then has to refuse one, it sorts pkts so that
	// the above is true.
	//
	// Errors: ErrDown, ErrRefused, ErrFull (each concerns this packet), ErrGone,
	// net.ErrClosed (nothing can be written any more).
	Write(queue int, pkts []*packet.Packet) (n int, err error)

	// Close makes readers return net.ErrClosed at once and releases the device. It
	// waits until no call uses the device any more. Further calls return nil.
	Close() error
}

// batchBytes is where a batch ends (see Device.Read).
const batchBytes = 64 << 10

// acceptable tells whether a device with these features takes p at all: IP of either
// version, and nothing asked of the device that it does not do.
func acceptable(p *packet.Packet, features packet.Features) bool {
	if p.Len() == 0 || p.Offload.Needs()&^features != 0 {
		return false
	}
	version := p.Bytes()[0] >> 4
	return version == 4 || version == 6
}

// roomy makes *entry an empty packet with room for the longest packet, and returns it. It
// reuses what is there if that is large enough.
func roomy(entry **packet.Packet) *packet.Packet {
	p := *entry
	if p != nil && p.Room() >= packet.MaxLen {
		p.Reset()
		return p
	}
	if p != nil {
		p.Release()
	}
	*entry = packet.Get(packet.MaxLen)
	return *entry
}
