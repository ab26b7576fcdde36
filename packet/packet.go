// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"sync"

	"github.com/hooknet/hooknet/internal/invariant"
)

const (
	// Headroom is the room, in bytes, before a fresh packet's first byte.
	Headroom = 128

	// DeviceHeadroom is the part of the headroom, the bytes just before the
	// packet, which [Packet.Prepend] never gives away: drivers put their
	// header there.
	DeviceHeadroom = 16

	// MaxLen is the length of the longest packet there is: an IPv6 header and
	// 65535 bytes behind it.
	MaxLen = 40 + 65535
)

// The two classes of buffers, headroom included. The small one is for packets
// of an ordinary MTU. The big one holds a packet of MaxLen; its size is what
// the allocator rounds that up to.
const (
	smallBuffer = 36 * 64 // not 32 lines apart: the headers of a batch would share two sets of the first cache
	bigBuffer   = 72 << 10
)

var (
	smallPool = sync.Pool{New: func() any { return &Packet{buf: make([]byte, smallBuffer)} }}
	bigPool   = sync.Pool{New: func() any { return &Packet{buf: make([]byte, bigBuffer)} }}
)

// Packet is one IP packet in a pooled buffer, with what [Packet.Parse] found
// in it. Get one with [Get]; the zero value is not usable. The methods are not
// safe for concurrent use; the package comment says who may call them.
type Packet struct {
	data   []byte // network header to end; its capacity reaches the end of buf
	parsed        // pointer-free

	// Offload is what is known of the packet beside its bytes. A driver sets
	// it before Parse, which checks it. The setters keep it right. Hooks may
	// change it and must then mark the packet edited with Mutable.
	Offload Offload

	buf []byte // headroom and room; nil after Release in -race builds
}

// parsed is what Parse found. Its zero value means: not parsed.
type parsed struct {
	family         Family // 0: not parsed
	headerLen      uint8  // of the fixed header with IPv4 options
	protocol       uint8  // of what begins at transport
	flags          flags
	transport      uint16 // where the transport header or a later fragment's payload begins
	fragmentOffset uint16 // in bytes
	fragmentHeader uint16 // where the IPv6 fragment header is, 0 none
	pointer        uint16 // what problem is about
	problem        Problem
}

// flags are the yes-or-no part of parsed.
type flags uint8

const (
	flagEdited         flags = 1 << iota
	flagTransport            // a transport header begins at transport, whole or cut short
	flagMoreFragments        // the MF bit
	flagDontFragment         // the DF bit; set for every IPv6 packet
	flagFragmentHeader       // there is an IPv6 fragment header
	flagHopByHop             // there is an IPv6 hop-by-hop header
	flagSourceRoute          // a source route with hops still to visit
)

// Get returns an empty packet with room for size bytes behind [Headroom]. The
// caller owns it until it calls Release or passes it on. A size above [MaxLen]
// counts as MaxLen. Safe for concurrent use.
func Get(size int) *Packet {
	pool := &bigPool
	if size <= smallBuffer-Headroom {
		pool = &smallPool
	}
	p := pool.Get().(*Packet)
	p.Reset()
	if invariant.Enabled {
		invariant.Packets.Add(1)
	}
	return p
}

// Release gives the packet back to the pool. The caller must not use it, or
// any slice of it, from then on. Releasing twice is a programming error, which
// -race builds answer with a panic.
func (p *Packet) Release() {
	p.check()
	if invariant.Enabled {
		for i := range p.data {
			p.data[i] = 0xdb
		}
		p.buf, p.data, p.parsed = nil, nil, parsed{}
		invariant.Packets.Add(-1)
		return
	}
	if len(p.buf) == smallBuffer {
		smallPool.Put(p)
	} else {
		bigPool.Put(p)
	}
}

// check panics, in -race builds, if the packet was released.
func (p *Packet) check() {
	if invariant.Enabled && p.buf == nil {
		panic("packet: used after Release")
	}
}

// Reset makes the packet empty again, as [Get] returns it: no bytes, full
// headroom, no metadata. For a worker that uses one packet over and over.
func (p *Packet) Reset() {
	p.check()
	p.data = p.buf[Headroom:Headroom]
	p.parsed = parsed{}
	p.Offload = Offload{}
}

// Room returns how many bytes fit behind the headroom of an empty packet.
func (p *Packet) Room() int {
	p.check()
	return len(p.buf) - Headroom
}

// Oversized reports whether the packet is in a big buffer and would fit into a
// small one, as after a read that did not know what would come. Who keeps it for
// a while keeps a [Packet.Clone] in its place.
func (p *Packet) Oversized() bool {
	p.check()
	return len(p.buf) != smallBuffer && len(p.data) <= smallBuffer-Headroom
}

// Headroom returns how many bytes [Packet.Prepend] can still give.
func (p *Packet) Headroom() int {
	p.check()
	return p.start() - DeviceHeadroom
}

// start returns where in buf the packet begins.
func (p *Packet) start() int { return len(p.buf) - cap(p.data) }

// reserve makes an empty packet's room at least n bytes, n <= MaxLen, by
// swapping buffers with a bigger packet if need be.
func (p *Packet) reserve(n int) {
	if n <= len(p.buf)-Headroom {
		return
	}
	q := Get(n)
	p.buf, q.buf = q.buf, p.buf
	p.data = p.buf[Headroom:Headroom]
	q.Reset()
	q.Release()
}

// Clone returns a copy of the packet: bytes, metadata, and what Parse found.
// The caller owns the copy. Its headroom is that of a fresh packet.
func (p *Packet) Clone() *Packet {
	p.check()
	q := Get(len(p.data))
	q.data = append(q.data, p.data...)
	q.parsed = p.parsed
	q.Offload = p.Offload
	return q
}

// Bytes returns the packet from its network header to its end. Read only: to
// write, use the setters or [Packet.Mutable]. The slice is the packet's own
// memory; see the package comment for how long it is good.
func (p *Packet) Bytes() []byte {
	p.check()
	return p.data[:len(p.data):len(p.data)]
}

// Mutable returns the packet's bytes for writing and marks the packet edited,
// so that the data path parses it again. Whoever writes through it has to keep
// the lengths and checksums in the packet right; for the transport checksum
// [Packet.DeferChecksum] does that. Until it is parsed again, the accessors
// take the headers to be where they were.
//
// A checksum the device vouched for counts as unverified from here on.
func (p *Packet) Mutable() []byte {
	p.check()
	p.flags |= flagEdited
	if p.Offload.Checksum == ChecksumVerified {
		p.Offload.Checksum = ChecksumFull
	}
	return p.data[:len(p.data):len(p.data)]
}

// Edited reports whether the packet was changed since the last Parse.
// [Packet.DecrementTTL] does not count: it is the forwarder's own edit.
func (p *Packet) Edited() bool {
	p.check()
	return p.flags&flagEdited != 0
}

// Len returns the packet's length in bytes, network header to end.
func (p *Packet) Len() int {
	p.check()
	return len(p.data)
}

// Space is for drivers: it returns header bytes before the place where the
// packet begins, and all the room behind. The driver reads its own header and
// the packet into it, header at most [DeviceHeadroom] bytes, and then calls
// [Packet.SetLen].
func (p *Packet) Space(header int) []byte {
	p.check()
	return p.buf[p.start()-header:]
}

// SetLen is for drivers: it says that the packet is n bytes long, the driver's
// header not counted, and is to be parsed. n must not exceed the room.
func (p *Packet) SetLen(n int) {
	p.check()
	p.data = p.data[:n]
	p.parsed = parsed{}
}

// Prefixed is for drivers: it returns the packet with header bytes before it,
// at most [DeviceHeadroom], for the driver to fill. They hold anything. The
// packet itself must not be written to.
func (p *Packet) Prefixed(header int) []byte {
	p.check()
	start := p.start()
	return p.buf[start-header : start+len(p.data)]
}

// Fill makes the packet a copy of b that is not parsed yet and carries no
// metadata, as a driver without offload would. It returns [ErrTooLong], with
// the packet unchanged, if b is longer than [MaxLen]; a packet with too little
// room gets a bigger buffer.
func (p *Packet) Fill(b []byte) error {
	p.check()
	if len(b) > MaxLen {
		return ErrTooLong
	}
	p.fill(b)
	return nil
}

// fill is Fill for a length that is known to be possible. b may be part of the
// packet itself.
func (p *Packet) fill(b []byte) {
	if len(b) > p.Room() {
		p.reserve(len(b)) // b is not in the old buffer, which is smaller
	}
	p.Reset()
	p.data = p.data[:len(b)]
	copy(p.data, b)
}

// Take is called by who takes a packet over for good, such as an injection
// queue, and returns the packet to go on with. That is p itself; in -race
// builds it is another one with the same buffer, and p counts as released: the
// giver's further use of it panics.
func (p *Packet) Take() *Packet {
	p.check()
	if !invariant.Enabled {
		return p
	}
	q := new(Packet)
	*q = *p
	p.buf, p.data, p.parsed = nil, nil, parsed{}
	return q
}
