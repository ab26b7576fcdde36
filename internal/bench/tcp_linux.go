// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// block is how many bytes of TCP are written, and at most read, at a time: as iperf3 does.
const block = 128 << 10

// A load is TCP from the client to the server, as much as gets through. Each stream has a goroutine that writes and one
// that reads.
type load struct {
	stop    atomic.Bool
	sockets []socket // while it is being set up: of the client and of the server, by turns
	streams []stream
	wg      sync.WaitGroup
}

// A stream is one connection. It has cache lines of its own.
type stream struct {
	received atomic.Uint64 // bytes
	err      error         // of the sender, once it has ended
	_        [112]byte
}

// startLoad connects and begins to send. The load ends with close.
func (n *network) startLoad(streams int) (_ *load, err error) {
	l := &load{streams: make([]stream, streams)}
	listener, err := openSocket(n.server, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, listener.close()) }()
	to, err := listener.bind(server.Addr())
	if err != nil {
		return nil, err
	}
	if err := unix.Listen(listener.fd, streams); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	for range streams {
		if err := l.connect(n, listener, to); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	for i := range l.streams {
		from, to := l.sockets[2*i], l.sockets[2*i+1]
		l.wg.Go(func() { l.send(from, &l.streams[i]) })
		l.wg.Go(func() { l.receive(to, &l.streams[i]) })
	}
	l.sockets = nil // each is its goroutine's
	return l, nil
}

// connect adds a connection: the sockets of the client and of the server.
func (l *load) connect(n *network, listener socket, to unix.Sockaddr) error {
	from, err := openSocket(n.client, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	l.sockets = append(l.sockets, from)
	if err := from.setCongestion(n.congestion); err != nil {
		return err
	}
	if err := from.connect(to); err != nil {
		return err
	}
	if err := listener.setTimeout(5 * time.Second); err != nil {
		return err
	}
	for {
		fd, _, err := unix.Accept4(listener.fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("accept", err)
		}
		accepted := socket{fd}
		l.sockets = append(l.sockets, accepted)
		return accepted.setTimeout(patience)
	}
}

// send writes until it is to stop, and then throws away what has not left yet: the next path is not to be kept waiting.
func (l *load) send(s socket, to *stream) {
	b := make([]byte, block)
	var t turn
	for !l.stop.Load() {
		t.yield()
		// Once it is to stop, the receiver may have gone before.
		if _, err := unix.Write(s.fd, b); err != nil && !again(err) && !l.stop.Load() {
			to.err = os.NewSyscallError("send", err)
			break
		}
	}
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = s.close()
}

// receive counts what arrives, until the sender resets the connection: then everything before has come through the
// router. A reset that is lost is not waited for.
func (l *load) receive(s socket, from *stream) {
	defer func() { _ = s.close() }()
	b := make([]byte, block)
	var t turn
	for {
		t.yield()
		n, err := unix.Read(s.fd, b)
		switch {
		case n > 0:
			from.received.Add(uint64(n))
		case err == unix.EINTR:
		case err == unix.EAGAIN && !l.stop.Load():
		default:
			return
		}
	}
}

// A turn of a goroutine that does little but system calls. When a turn has lasted 10 ms, the runtime takes its processor
// away in the middle of a call, and keeps its monitor awake every 20 microseconds for that, which costs up to a fifth of a
// processor. A goroutine that yields before that is left alone.
type turn struct{ began time.Time }

func (t *turn) yield() {
	if now := time.Now(); now.Sub(t.began) > 4*time.Millisecond {
		runtime.Gosched()
		t.began = now
	}
}

// received returns how many bytes have arrived.
func (l *load) received() (n uint64) {
	for i := range l.streams {
		n += l.streams[i].received.Load()
	}
	return n
}

// close ends the load, and returns what kept a stream from sending.
func (l *load) close() error {
	l.stop.Store(true)
	l.wg.Wait()
	var errs []error
	for i := range l.streams {
		errs = append(errs, l.streams[i].err)
	}
	for _, s := range l.sockets {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// measureTCP measures what arrives of TCP for a while, once it has had time to grow.
func (n *network) measureTCP(ctx context.Context, streams int, d time.Duration) (_ map[string]float64, err error) {
	l, err := n.startLoad(streams)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := sleep(ctx, min(d, rampUp)); err != nil {
		return nil, err
	}
	used, known, err := n.cpu()
	if err != nil {
		return nil, err
	}
	start, before := time.Now(), l.received()
	var arrived uint64
	for arrived == 0 { // almost never twice: only where next to nothing gets through
		if err := sleep(ctx, d); err != nil {
			return nil, err
		}
		arrived = l.received() - before
		if err := n.check(); err != nil || arrived == 0 && time.Since(start) > d+5*time.Second {
			return nil, errors.Join(err, errNothing)
		}
	}
	took := time.Since(start)
	figures := map[string]float64{Throughput: float64(arrived) * 8 / took.Seconds() / 1e9}
	if known {
		now, _, err := n.cpu()
		if err != nil {
			return nil, err
		}
		figures[CPU] = (now - used).Seconds() / took.Seconds()
	}
	return figures, nil
}

// errNothing: a path without a figure ends the run.
var errNothing = errors.New("nothing arrived")
