// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/hooknet/hooknet/packet"
)

const (
	// pathMTULife is how long the MTU of a path is believed: RFC 1191 section 6.3 and RFC 8201 section 4 ask for 5 minutes
	// at least and suggest 10.
	pathMTULife = 10 * time.Minute
	// maxPathMTUs is how many destinations there may be; beyond, the oldest is forgotten.
	maxPathMTUs = 1024
	// leastPathMTU4 is the smallest that is believed for IPv4 (Linux: min_pmtu); for IPv6 it is minMTU6.
	leastPathMTU4 = 552
)

// pathMTUs are what the host stack's TCP connections have learned of the paths to other hosts (RFC 1191, RFC 8201). gVisor
// keeps that for the life of a connection, and loses all that is under way each time. Here it is kept for each
// destination, so that TCP packets that are too long for their path are cut on the way out (resegment).
type pathMTUs struct {
	known atomic.Pointer[map[netip.Addr]pathMTU] // immutable; nil if nothing is known

	clock func() time.Duration // since whenever; tests have their own

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu; of expire, nil as long as nothing is known
	closed bool        // guarded by mu
}

type pathMTU struct {
	mtu     int
	learned time.Duration
}

func (c *pathMTUs) init() {
	start := time.Now()
	c.clock = func() time.Duration { return time.Since(start) }
}

func (c *pathMTUs) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// limit returns the MTU of the path to a destination, whose first link has the MTU given.
func (c *pathMTUs) limit(dst netip.Addr, mtu int) int {
	known := c.known.Load()
	if known == nil {
		return mtu
	}
	if k, ok := (*known)[dst]; ok {
		return min(mtu, k.mtu)
	}
	return mtu
}

// learn notes the MTU of a path. It never grows by that, only with time.
func (c *pathMTUs) learn(dst netip.Addr, mtu int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock()
	table := make(map[netip.Addr]pathMTU)
	if known := c.known.Load(); known != nil {
		old, there := (*known)[dst]
		if there && old.mtu < mtu || there && old.mtu == mtu && now-old.learned < pathMTULife/10 {
			return // news that is none need not cost much
		}
		maps.Copy(table, *known)
	}
	table[dst] = pathMTU{mtu, now}
	if len(table) > maxPathMTUs {
		oldest := dst
		for a, k := range table {
			if k.learned < table[oldest].learned {
				oldest = a
			}
		}
		delete(table, oldest)
	}
	c.known.Store(&table)
	if c.timer == nil && !c.closed {
		c.timer = time.AfterFunc(pathMTULife, c.expire)
	}
}

// expire forgets what is too old, so that a path that has grown is used as it is.
func (c *pathMTUs) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.known.Load() == nil {
		return
	}
	now := c.clock()
	table := maps.Clone(*c.known.Load())
	next := pathMTULife
	for a, k := range table {
		if left := k.learned + pathMTULife - now; left <= 0 {
			delete(table, a)
		} else {
			next = min(next, left)
		}
	}
	if len(table) == 0 {
		c.known.Store(nil)
		c.timer = nil
		return
	}
	c.known.Store(&table)
	c.timer.Reset(next)
}

// tooBig returns the ICMP message that p is if it is a Fragmentation Needed (RFC 1191 section 4) or Packet Too Big (RFC 4443
// section 3.2), else nil: so of a later fragment, in which there is no header to read.
func tooBig(p *packet.Packet) []byte {
	m := p.Transport()
	if len(m) < icmpHeaderLen {
		return nil
	}
	switch p.TransportProtocol() {
	case uint8(header.ICMPv4ProtocolNumber):
		if p.Family() == packet.Inet && m[0] == 3 && m[1] == 4 {
			return m
		}
	case uint8(header.ICMPv6ProtocolNumber):
		if p.Family() == packet.Inet6 && m[0] == 2 {
			return m
		}
	}
	return nil
}

// plateaus are the MTUs of common links, less those that are not believed anyhow (RFC 1191 section 7.1).
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, leastPathMTU4}

// supplyMTU puts an MTU into the Fragmentation Needed of a router that tells none: the next plateau below the length of the
// packet that it quotes (RFC 1191 section 5). gVisor would take it for a segment size of 1. If there is none it stays 0.
func supplyMTU(m []byte) {
	about := m[icmpHeaderLen:]
	if len(about) < header.IPv4MinimumSize {
		return
	}
	length := int(binary.BigEndian.Uint16(about[2:]))
	for _, mtu := range plateaus {
		if mtu < length {
			binary.BigEndian.PutUint16(m[6:], uint16(mtu))
			sum := ^binary.BigEndian.Uint16(m[2:])
			binary.BigEndian.PutUint16(m[2:], ^checksum.Combine(sum, uint16(mtu)))
			return
		}
	}
}

// believeTooBig decides about a message that a packet of ours was too big. It returns false for an MTU that hardly a link has:
// gVisor would believe them all, down to a segment size of 1. RFC 8201 section 4: below 1280 is to be ignored. What it tells
// of the path is noted if the packet may be one that we sent.
//
// RFC 5927 section 7.2 would also compare the sequence number that is quoted with those in flight. gVisor tells its own to a
// probe alone, for which it copies all of a connection's state with each segment that comes in. What goes out tells where a
// window of up to tcpBufferMax ends, not where it begins: one guess in a thousand would hit. So who guesses addresses and ports
// can lower a path MTU. What bounds the harm: not below leastPathMTU4 or minMTU6, of that connection as long as it lives, and of
// the path for pathMTULife after the last such message.
func (w *worker) believeTooBig(family packet.Family, m []byte) bool {
	var mtu, least int
	if family == packet.Inet {
		if binary.BigEndian.Uint16(m[6:]) == 0 {
			supplyMTU(m)
		}
		mtu, least = int(binary.BigEndian.Uint16(m[6:])), leastPathMTU4
	} else {
		mtu, least = int(min(binary.BigEndian.Uint32(m[4:]), maxMTU)), minMTU6
	}
	if mtu < least {
		return false
	}
	dst, ours := w.inst.host.sent(family, m[icmpHeaderLen:])
	if !ours {
		return true // gVisor looks for itself
	}
	if to := w.lookup(dst); to != nil && to.kind == hopForward && mtu < to.mtu() {
		w.inst.pathMTUs.learn(dst, mtu)
	}
	return true
}

// sent reports whether the beginning of a packet is that of a TCP packet as one of our connections may have sent it: from
// one of its addresses and ports to the other. Its sequence number is gVisor's secret.
func (h *hostStack) sent(family packet.Family, b []byte) (dst netip.Addr, ours bool) {
	var id stack.TransportEndpointID
	var protocol tcpip.NetworkProtocolNumber
	switch {
	case family == packet.Inet && len(b) >= header.IPv4MinimumSize && b[0]>>4 == 4 && b[9] == uint8(header.TCPProtocolNumber):
		protocol = header.IPv4ProtocolNumber
		id.LocalAddress, id.RemoteAddress = tcpip.AddrFrom4([4]byte(b[12:])), tcpip.AddrFrom4([4]byte(b[16:]))
		dst = netip.AddrFrom4([4]byte(b[16:]))
		b = b[min(len(b), int(b[0]&0xf)*4):]
	case family == packet.Inet6 && len(b) >= header.IPv6MinimumSize && b[0]>>4 == 6 && b[6] == uint8(header.TCPProtocolNumber):
		protocol = header.IPv6ProtocolNumber
		id.LocalAddress, id.RemoteAddress = tcpip.AddrFrom16([16]byte(b[8:])), tcpip.AddrFrom16([16]byte(b[24:]))
		dst = netip.AddrFrom16([16]byte(b[24:]))
		b = b[header.IPv6MinimumSize:]
	default:
		return netip.Addr{}, false
	}
	if len(b) < 4 {
		return netip.Addr{}, false
	}
	id.LocalPort, id.RemotePort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	ep, ok := h.stack.FindTransportEndpoint(protocol, tcp.ProtocolNumber, id, 0).(*tcp.Endpoint)
	return dst, ok && tcp.EndpointState(ep.State()) != tcp.StateListen // which stands in for those of no connection
}
