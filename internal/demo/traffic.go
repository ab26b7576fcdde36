// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/packet"
)

// at writes an address and a port.
func at(a netip.Addr, port int) string { return netip.AddrPortFrom(a, uint16(port)).String() }

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// visitService gets the page from the service address, which only a hook knows.
func (r *runner) visitService(ctx context.Context, f packet.Family) (string, error) {
	asked, served := at(service.of(f), servicePort), at(blueHost.of(f), serverPort)
	seen, err := visit(ctx, dialer(r.red), asked, served)
	return fmt.Sprintf("%s → %s, %s", asked, served, seen), err
}

// visitRouter gets the page from the router's own host stack.
func (r *runner) visitRouter(ctx context.Context, f packet.Family) (string, error) {
	asked := at(redSide.of(f), servicePort)
	seen, err := visit(ctx, dialer(r.red), asked, asked)
	return fmt.Sprintf("red → %s, %s", asked, seen), err
}

// visitItself gets the page from the router's own host stack, by a client on the same host stack.
func (r *runner) visitItself(ctx context.Context, f packet.Family) (string, error) {
	asked := at(blueSide.of(f), servicePort)
	seen, err := visit(ctx, r.router.Dial, asked, asked)
	return fmt.Sprintf("router → %s, %s", asked, seen), err
}

// visit gets the page from the server asked for, sees to it that it is intact and who serves it, and returns its size
// and how long that took.
func visit(ctx context.Context, dial dialFunc, asked, served string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+asked+"/", nil)
	if err != nil {
		return "", err
	}
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	got := size(uint64(len(body)))
	if err != nil {
		return "", fmt.Errorf("%s, then: %w", got, err)
	}
	took := time.Since(start)
	sum := sha256.Sum256(body)
	switch by := response.Header.Get(servedBy); {
	case response.StatusCode != http.StatusOK:
		return "", errors.New(response.Status)
	case hex.EncodeToString(sum[:]) != response.Header.Get(checksum):
		return "", fmt.Errorf("%s that are not what %s sent", got, by)
	case by != served:
		return "", fmt.Errorf("served by %s", by)
	}
	return fmt.Sprintf("%s in %s", got, short(took)), nil
}

// datagramSizes are those of the UDP payloads; the larger ones are fragments on their way.
var datagramSizes = []int{1, 64, 512, 1200, 1452, 1472, 2000, 4000, 8000, 16000}

// echo sends datagrams to blue and compares what comes back.
func (r *runner) echo(ctx context.Context, f packet.Family) (string, error) {
	conn, err := dialer(r.red)(ctx, "udp", at(blueHost.of(f), echoPort))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	defer bind(ctx, conn)()
	start := time.Now()
	b := make([]byte, 1<<16)
	for k, length := range datagramSizes {
		sent := page()[k : k+length]
		if _, err := conn.Write(sent); err != nil {
			return "", err
		}
		n, err := conn.Read(b)
		if err != nil {
			return "", fmt.Errorf("%d echoes, then for %d bytes: %w", k, length, err)
		}
		if !bytes.Equal(b[:n], sent) {
			return "", fmt.Errorf("%d bytes sent, %d other bytes back", length, n)
		}
	}
	last := datagramSizes[len(datagramSizes)-1]
	return fmt.Sprintf("%d echoes of up to %s bytes, %s each", len(datagramSizes), count(uint64(last)),
		short(time.Since(start)/time.Duration(len(datagramSizes)))), nil
}

// knock tries to connect to the blocked port, until the hook has been seen to refuse it.
func (r *runner) knock(ctx context.Context, f packet.Family) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-r.hooks.refused: // the other family's
	default:
	}
	dialed := make(chan error, 1)
	go func() { // ends when ctx is done, at the latest
		conn, err := dialer(r.red)(ctx, "tcp", at(blueHost.of(f), blockedPort))
		if err == nil {
			err = conn.Close()
		}
		dialed <- err
	}()
	select {
	case err := <-dialed:
		if err != nil {
			return "", err
		}
		return "", errors.New("a connection")
	case <-r.hooks.refused:
	}
	cancel()
	if err := <-dialed; err == nil {
		return "", errors.New("a connection, although a packet was dropped")
	}
	return fmt.Sprintf("SYN to %s dropped by a hook", at(blueHost.of(f), blockedPort)), nil
}

func (r *runner) measureRouter(ctx context.Context, _ packet.Family) (seen string, err error) {
	watched, stop := context.WithCancel(ctx)
	watching := make(chan error, 1)
	go func() { // ends with watched
		watching <- r.stopwatch.watch(watched, sinkPort, func(f Flow) {
			r.live(fmt.Sprintf("TCP through the router for %v: %s", r.transfer, f.times()))
		})
	}()
	r.report.ThroughputBPS, seen, err = r.measure(ctx, redHost, blueHost, r.receiveGuest)
	stop()
	return seen, errors.Join(err, <-watching)
}

func (r *runner) measureDirect(ctx context.Context, _ packet.Family) (seen string, err error) {
	r.report.DirectBPS, seen, err = r.measure(ctx, redDirect, blueDirect, func(context.Context, *atomic.Uint64) {})
	return seen, err
}

// measure sends for a while from red to an IPv4 address of blue's, which is reached from the given address of red's, and
// returns what arrived: in bits per second, and in words. It does not end before meanwhile does, which runs at the same
// time and can see how many bytes have arrived.
func (r *runner) measure(
	ctx context.Context, from, to dual, meanwhile func(ctx context.Context, arrived *atomic.Uint64),
) (bps float64, seen string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := listen(r.blue, sinkPort)
	if err != nil {
		return 0, "", err
	}
	received := make(chan sinkResult, 1)
	var arrived atomic.Uint64
	go func() { received <- sink(ctx, l, &arrived) }() // ends with the connection, or ctx
	done := make(chan struct{})
	go func() { // ends with meanwhile, or ctx
		defer close(done)
		meanwhile(ctx, &arrived)
	}()
	sendErr := source(ctx, r.red, at(to.inet.Addr(), sinkPort), r.transfer, done)
	if sendErr != nil {
		_ = l.Close() // nobody comes any more
		cancel()
	}
	result := <-received
	<-done
	if err := errors.Join(sendErr, result.err); err != nil {
		return 0, "", err
	}
	if result.bytes == 0 {
		return 0, "", errors.New("no bytes arrived")
	}
	seen = fmt.Sprintf("%s → %s, %s in %s", from.inet.Addr(), at(to.inet.Addr(), sinkPort), size(result.bytes), short(result.took))
	return float64(result.bytes) * 8 / result.took.Seconds(), seen, nil
}

const blockSize = 256 << 10

// source sends for a while, and until done is closed.
func source(ctx context.Context, from *hostnet.Namespace, to string, d time.Duration, done <-chan struct{}) error {
	conn, err := dialer(from)(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	enough, stop := context.WithCancel(ctx)
	defer stop()
	defer bind(enough, conn)()
	defer time.AfterFunc(d, func() {
		<-done
		stop()
	}).Stop()
	block := page()[:blockSize]
	for {
		if _, err := conn.Write(block); errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		} else if err != nil {
			return err
		}
	}
}

type sinkResult struct {
	bytes uint64
	took  time.Duration // from the first byte to the last
	err   error
}

// sink reads the one connection that l accepts to its end, and says how much has arrived as it does.
func sink(ctx context.Context, l net.Listener, arrived *atomic.Uint64) (result sinkResult) {
	conn, err := l.Accept()
	_ = l.Close()
	if err != nil {
		return sinkResult{err: err}
	}
	defer func() { _ = conn.Close() }()
	defer bind(ctx, conn)()
	block := make([]byte, blockSize)
	var start time.Time
	for {
		n, err := conn.Read(block)
		if start.IsZero() {
			start = time.Now()
		}
		result.bytes = arrived.Add(uint64(n))
		if err != nil {
			result.took = time.Since(start)
			if !errors.Is(err, io.EOF) {
				result.err = err
			}
			return result
		}
	}
}
