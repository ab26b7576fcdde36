// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package packet holds one parsed IP packet: its bytes, what the device said
// about it, edits that keep checksums right, and the names of families,
// events and drop reasons.
//
// # A packet's way
//
//	device                 data path                     device
//	Get, Space, SetLen     Parse, hooks, DecrementTTL    Prefixed
//	      |                      |                          |
//	      v                      v                          v
//	+----------+ +---------------------------------------------+
//	| headroom | | IP header | transport header | payload ...  |   one pooled buffer
//	+----------+ +---------------------------------------------+
//	^          ^ ^                                             ^
//	|   device | Bytes()[0]                              Len()
//	|   header |
//	Prepend takes from here
//
// The bytes arrive once, by the driver's system call, and leave by another.
// Between the two nothing copies them. A superpacket (GSO) travels whole; a
// [Segmenter] splits it for who cannot take it whole, a [Fragmenter] splits an
// IPv4 packet for a smaller MTU. Both fill packets that the caller provides.
//
// # Ownership and concurrency
//
// A packet has one owner at a time, and only the owner may touch it, read or
// write; there are no locks here. [Get] makes the caller the owner, [Packet.Release]
// ends it. While hooks run, the owner is the data path and each hook borrows
// the packet for the length of its call; a hook that answers hooks.Steal
// becomes the owner. A hook that wants to keep the bytes takes a
// [Packet.Clone], and who keeps many of those it steals should keep clones in their
// place: what a device has read is in a buffer of 72 KiB, however short it is. Slices such as Bytes returns are the packet's own memory and
// are good until the next call that changes the packet's size, or its release.
//
// In builds with -race a released packet is never used again, so that every
// method called on it panics, a second Release panics, and its bytes are
// overwritten.
//
// # Trust
//
// [Packet.Parse] believes nothing: the bytes and the metadata may be anything
// an attacker can think of. No method panics on a packet that does not parse:
// its accessors return zero values, its setters report false.
//
// # What it does not do
//
// It knows no addresses of ours, routes or interfaces, so whether an address
// may appear as a source is not its matter. It does not reassemble and it
// does not coalesce. It never fragments IPv6, which no router does. It
// computes no SCTP checksum (CRC32c).
package packet
