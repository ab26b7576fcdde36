// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/hooknet/hooknet/packet"
)

const (
	pings    = 5
	pingID   = 0x686e // "hn"
	pingSize = 56     // bytes of payload, as ping(8)
)

// ping sends echo requests to blue.
func (r *runner) ping(ctx context.Context, family packet.Family) (string, error) {
	p, err := r.newPinger(family)
	if err != nil {
		return "", err
	}
	defer func() { _ = p.conn.Close() }()
	defer bind(ctx, p.conn)()
	best := time.Duration(1<<63 - 1)
	for n := range pings {
		a, err := p.ask(blueHost.of(family), n)
		if err == nil && a.expired {
			err = fmt.Errorf("a Time Exceeded from %v", a.from)
		}
		if err != nil {
			return "", fmt.Errorf("%d of %d echoes, then: %w", n, pings, err)
		}
		best = min(best, a.after)
	}
	return fmt.Sprintf("%d of %d echoes from %v, %s at best", pings, pings, blueHost.of(family), short(best)), nil
}

// expire sends an echo request that may go no further than the router, and then one that may.
func (r *runner) expire(ctx context.Context, family packet.Family) (string, error) {
	p, err := r.newPinger(family)
	if err != nil {
		return "", err
	}
	defer func() { _ = p.conn.Close() }()
	defer bind(ctx, p.conn)()
	if err := p.setTTL(1); err != nil {
		return "", err
	}
	a, err := p.ask(blueHost.of(family), 0)
	switch {
	case err != nil:
		return "", err
	case !a.expired:
		return "", fmt.Errorf("an echo from %v", a.from)
	case a.from != redSide.of(family):
		return "", fmt.Errorf("a Time Exceeded from %v", a.from)
	}
	if err := p.setTTL(2); err != nil {
		return "", err
	}
	b, err := p.ask(blueHost.of(family), 1)
	if err != nil {
		return "", fmt.Errorf("TTL 1 expired at %v; TTL 2: %w", a.from, err)
	}
	if b.expired {
		return "", fmt.Errorf("with TTL 2, too, Time Exceeded from %v", b.from)
	}
	return fmt.Sprintf("Time Exceeded from %v; TTL 2 reaches %v", a.from, b.from), nil
}

// A pinger sends echo requests from red by a raw socket.
type pinger struct {
	conn     *icmp.PacketConn
	family   packet.Family
	protocol int // of ICMP
	request  icmp.Type
}

func (n *network) newPinger(family packet.Family) (*pinger, error) {
	p := &pinger{family: family, protocol: 1, request: ipv4.ICMPTypeEcho}
	network, any := "ip4:icmp", "0.0.0.0"
	if family == packet.Inet6 {
		p.protocol, p.request = 58, ipv6.ICMPTypeEchoRequest
		network, any = "ip6:ipv6-icmp", "::"
	}
	err := n.red.Do(func() (err error) {
		p.conn, err = icmp.ListenPacket(network, any)
		return err
	})
	return p, err
}

func (p *pinger) setTTL(ttl int) error {
	if p.family == packet.Inet6 {
		return p.conn.IPv6PacketConn().SetHopLimit(ttl)
	}
	return p.conn.IPv4PacketConn().SetTTL(ttl)
}

// An answer to an echo request: the echo, or a Time Exceeded.
type answer struct {
	from    netip.Addr
	expired bool
	after   time.Duration
}

// ask sends one echo request and waits for an answer to it.
func (p *pinger) ask(to netip.Addr, sequence int) (answer, error) {
	payload := bytes.Repeat([]byte{byte(sequence)}, pingSize)
	request, err := (&icmp.Message{Type: p.request, Body: &icmp.Echo{ID: pingID, Seq: sequence, Data: payload}}).Marshal(nil)
	if err != nil {
		return answer{}, err
	}
	sent := time.Now()
	if _, err := p.conn.WriteTo(request, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return answer{}, err
	}
	b := make([]byte, mtu)
	for {
		n, from, err := p.conn.ReadFrom(b)
		if err != nil {
			return answer{}, err
		}
		after := time.Since(sent)
		m, err := icmp.ParseMessage(p.protocol, b[:n])
		if err != nil {
			continue // raw sockets see all there is
		}
		source, err := netip.ParseAddr(from.String())
		if err != nil {
			return answer{}, err
		}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			if m.Type != p.request && body.ID == pingID && body.Seq == sequence && bytes.Equal(body.Data, payload) {
				return answer{from: source, after: after}, nil
			}
		case *icmp.TimeExceeded:
			if p.quotes(body.Data, sequence) {
				return answer{from: source, expired: true, after: after}, nil
			}
		}
	}
}

// quotes reports whether b is the beginning of one of our echo requests with its IP header.
func (p *pinger) quotes(b []byte, sequence int) bool {
	header := ipv6.HeaderLen
	if p.family == packet.Inet {
		header = ipv4.HeaderLen
	}
	if len(b) < header+8 {
		return false
	}
	echo := b[header:]
	return binary.BigEndian.Uint16(echo[4:]) == pingID && int(binary.BigEndian.Uint16(echo[6:])) == sequence
}
