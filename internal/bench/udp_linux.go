// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is how often the packets that are due are sent.
	tick = time.Millisecond
	// mostLate is how many ticks' worth of packets are sent at once, at most: if this process was kept from sending for
	// longer, the rate falls short, and the report shows it. A burst would measure queues.
	mostLate = 4
	// quiet is how long nothing must have arrived at the end.
	quiet = 100 * time.Millisecond
	// receiveBuffer, in bytes, holds what arrives while the receiver is kept from reading, so that what is lost is lost on
	// the path.
	receiveBuffer = 8 << 20
)

// measureUDP offers packets at a rate and counts those that arrive.
func (n *network) measureUDP(ctx context.Context, payload, rate int, d time.Duration) (_ map[string]float64, err error) {
	sink, err := openSocket(n.server, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sink.close()) }()
	if unix.SetsockoptInt(sink.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil { // not for root of a user namespace
		err = unix.SetsockoptInt(sink.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := errors.Join(os.NewSyscallError("setsockopt SO_RCVBUF", err), sink.setTimeout(quiet)); err != nil {
		return nil, err
	}
	to, err := sink.bind(server.Addr())
	if err != nil {
		return nil, err
	}
	source, err := openSocket(n.client, unix.SOCK_DGRAM, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if err := source.connect(to); err != nil {
		return nil, err
	}

	var done atomic.Bool
	counted := make(chan int)
	go func() { counted <- count(sink, &done) }() // ends when done is true and the line is quiet
	used, known, err := n.cpu()
	start := time.Now()
	sent := 0
	if err == nil {
		sent, err = offer(ctx, source, payload, rate, d)
	}
	took := time.Since(start)
	done.Store(true)
	arrived := <-counted
	if err != nil {
		return nil, err
	}
	if arrived == 0 {
		return nil, errNothing
	}
	figures := map[string]float64{
		Offered: float64(sent) / took.Seconds(),
		Loss:    max(0, 1-float64(arrived)/float64(sent)),
	}
	if known {
		now, _, err := n.cpu()
		if err != nil {
			return nil, err
		}
		figures[PacketCPU] = float64((now - used).Nanoseconds()) / 1e3 / float64(arrived)
	}
	return figures, nil
}

// offer sends packets for a while, and returns how many.
func offer(ctx context.Context, s socket, payload, rate int, d time.Duration) (sent int, err error) {
	b := make([]byte, payload)
	atOnce := max(1, int(float64(rate)*(mostLate*tick).Seconds()))
	due, last := 0.0, time.Duration(0)
	for start := time.Now(); ; {
		if err := ctx.Err(); err != nil {
			return sent, context.Cause(ctx)
		}
		elapsed := time.Since(start)
		if elapsed >= d {
			return sent, nil
		}
		due = min(due+(elapsed-last).Seconds()*float64(rate), float64(atOnce))
		for last = elapsed; due >= 1; due-- {
			_, err := unix.Write(s.fd, b)
			// ENOBUFS: the queue in front of the path is full, and the packet is lost like any other.
			if err != nil && !again(err) && err != unix.ENOBUFS {
				return sent, os.NewSyscallError("send", err)
			}
			sent++
		}
		time.Sleep(tick)
	}
}

// count counts packets.
func count(s socket, done *atomic.Bool) (arrived int) {
	b := make([]byte, mtu)
	for {
		switch _, err := unix.Read(s.fd, b); {
		case err == nil:
			arrived++
		case again(err):
			if err == unix.EAGAIN && done.Load() {
				return arrived
			}
		default:
			return arrived
		}
	}
}
