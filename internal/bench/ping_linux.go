// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// pingSize is that of a request, in bytes of ICMP: 56 of payload, as ping(8) has it.
const pingSize = 8 + 56

// A pinger sends ICMP echo requests, one after the other, which the kernel of the server's namespace answers.
type pinger struct {
	socket
	id, sequence  uint16
	request, read []byte
}

// errUnanswered: no answer in time.
var errUnanswered = errors.New("no answer")

func (n *network) newPinger(timeout time.Duration) (*pinger, error) {
	s, err := openSocket(n.client, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		return nil, err
	}
	p := &pinger{socket: s, id: uint16(os.Getpid()), request: make([]byte, pingSize), read: make([]byte, mtu)}
	// Connected, it gets what comes from the server and nothing else.
	err = errors.Join(
		os.NewSyscallError("connect", unix.Connect(s.fd, &unix.SockaddrInet4{Addr: server.Addr().As4()})),
		s.setTimeout(timeout))
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return p, nil
}

// ask sends a request and waits for the answer to it. The errors are errUnanswered and what is final.
func (p *pinger) ask() (roundTrip time.Duration, err error) {
	p.sequence++
	b := p.request
	b[0], b[2], b[3] = 8, 0, 0 // echo request (RFC 792)
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], p.sequence)
	binary.BigEndian.PutUint16(b[2:], ^checksum.Checksum(b, 0))
	sent := time.Now()
	if _, err := unix.Write(p.fd, b); err != nil {
		if again(err) || err == unix.ENOBUFS {
			return 0, errUnanswered
		}
		return 0, os.NewSyscallError("send", err)
	}
	for {
		n, err := unix.Read(p.fd, p.read)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, errUnanswered
		case err != nil:
			return 0, os.NewSyscallError("receive", err)
		}
		roundTrip = time.Since(sent)
		if p.answers(p.read[:n]) {
			return roundTrip, nil
		}
	}
}

// answers tells whether a packet is the answer to the last request.
func (p *pinger) answers(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	header := int(b[0]&0xf) * 4
	if len(b) < header+8 {
		return false
	}
	b = b[header:]
	return b[0] == 0 && binary.BigEndian.Uint16(b[4:]) == p.id && binary.BigEndian.Uint16(b[6:]) == p.sequence
}

// pingTimeout is how long an answer is waited for: far beyond what the queues of a path hold.
const pingTimeout = time.Second

// measurePing sends requests for a while, each as soon as the one before has been answered. At least one is.
func (n *network) measurePing(ctx context.Context, d time.Duration) (_ map[string]float64, err error) {
	p, err := n.newPinger(pingTimeout)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	var trips []float64
	var unanswered float64
	for start := time.Now(); time.Since(start) < d || len(trips) == 0; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		trip, err := p.ask()
		switch {
		case err == nil:
			trips = append(trips, float64(trip.Nanoseconds())/1e3)
		case !errors.Is(err, errUnanswered):
			return nil, err
		default:
			if unanswered++; unanswered == 5 && len(trips) == 0 {
				return nil, errNothing
			}
		}
	}
	return map[string]float64{
		RTT:        quantile(trips, 0.5),
		RTT99:      quantile(trips, 0.99),
		Unanswered: unanswered / (unanswered + float64(len(trips))),
	}, nil
}

// measureLoadedPing is measurePing while a stream of TCP takes all it can get.
func (n *network) measureLoadedPing(ctx context.Context, d time.Duration) (_ map[string]float64, err error) {
	l, err := n.startLoad(1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := sleep(ctx, min(d, rampUp)); err != nil {
		return nil, err
	}
	return n.measurePing(ctx, d)
}
