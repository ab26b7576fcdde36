// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hooknet/hooknet/internal/hostnet"
)

const (
	echoPort = 7 // UDP, RFC 862
	sinkPort = 5001
	pageSize = 1 << 20
)

// page is what the web servers serve.
var page = sync.OnceValue(func() []byte {
	b := make([]byte, pageSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
})

// The servers' own words about themselves.
const (
	servedBy = "Served-By"
	checksum = "Checksum"
)

// servers are all those that run: blue's and the router's.
type servers struct {
	running sync.WaitGroup
	closers []io.Closer
}

// startServers starts blue's servers on the kernel's TCP/IP, and one on the router's own.
func (n *network) startServers() (*servers, error) {
	s := &servers{}
	web, err := listen(n.blue, serverPort)
	if err == nil {
		s.serveWeb(web)
		web, err = n.router.Listen("tcp", ":"+strconv.Itoa(servicePort))
	}
	if err == nil {
		s.serveWeb(web)
		err = s.serveEcho(n.blue)
	}
	if err == nil {
		// Somebody is at the blocked port: that nobody gets there is the hook's doing.
		err = s.serveSilence(n.blue)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *servers) close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	s.running.Wait()
	return errors.Join(errs...)
}

// listen opens a TCP listener for both families in a namespace.
func listen(namespace *hostnet.Namespace, port int) (l net.Listener, err error) {
	err = namespace.Do(func() (err error) {
		l, err = net.Listen("tcp", ":"+strconv.Itoa(port))
		return err
	})
	return l, err
}

// serveWeb serves the page, and says at which address it was asked for it.
func (s *servers) serveWeb(l net.Listener) {
	sum := sha256.Sum256(page())
	server := &http.Server{
		ReadHeaderTimeout: 2 * patience,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
				w.Header().Set(servedBy, at.String())
			}
			w.Header().Set(checksum, hex.EncodeToString(sum[:]))
			_, _ = w.Write(page()) // a client that is gone is the client's affair
		}),
	}
	s.closers = append(s.closers, server)
	s.running.Go(func() { _ = server.Serve(l) }) // until Close, always with an error
}

// serveEcho sends every datagram back.
func (s *servers) serveEcho(namespace *hostnet.Namespace) error {
	var conn net.PacketConn
	err := namespace.Do(func() (err error) {
		conn, err = net.ListenPacket("udp", ":"+strconv.Itoa(echoPort))
		return err
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, conn)
	s.running.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteTo(b[:n], from) // lost is lost, this is UDP
			}
		}
	})
	return nil
}

// serveSilence accepts connections to the blocked port and closes them.
func (s *servers) serveSilence(namespace *hostnet.Namespace) error {
	l, err := listen(namespace, blockedPort)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, l)
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	})
	return nil
}

// dialer returns a function that opens connections from inside a namespace.
func dialer(namespace *hostnet.Namespace) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = namespace.Do(func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// bind makes calls on conn fail as soon as ctx is done. The caller calls release when it needs that no longer.
func bind(ctx context.Context, conn interface{ SetDeadline(time.Time) error }) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}
