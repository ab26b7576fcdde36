// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"net"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/waiter"
)

// A tcpConn is gonet's with errors that the net package's users know.
type tcpConn struct {
	*gonet.TCPConn
	socket *Socket
	closed atomic.Bool
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 {
		if status := c.socket.received(b[:n], c.socket.Remote); status != nil {
			return 0, opErrorOf("read", "tcp", c, status)
		}
	}
	return n, translateOpen(err, &c.closed)
}

func (c *tcpConn) Write(b []byte) (int, error) {
	if status := c.socket.sending(b, c.socket.Remote); status != nil {
		return 0, opErrorOf("write", "tcp", c, status)
	}
	n, err := c.TCPConn.Write(b)
	return n, translateOpen(err, &c.closed)
}

func (c *tcpConn) CloseRead() error  { return translateOpen(c.TCPConn.CloseRead(), &c.closed) }
func (c *tcpConn) CloseWrite() error { return translateOpen(c.TCPConn.CloseWrite(), &c.closed) }

func (c *tcpConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.socket.close()
	return c.TCPConn.Close()
}

// A udpConn, of a UDP or ping socket, is gonet's with errors that the net package's users know.
type udpConn struct {
	*gonet.UDPConn
	inst   *Instance
	socket *Socket
	closed atomic.Bool
}

// newUDPConn makes a connection of an endpoint. gonet's reads wait for data alone; here an error, such as that of an ICMP
// message, ends their wait too.
func (i *Instance) newUDPConn(queue *waiter.Queue, ep tcpip.Endpoint, socket *Socket) *udpConn {
	onError := new(waiter.Entry)
	onError.Init(wakeReaders{queue}, waiter.EventErr)
	queue.EventRegister(onError)
	c := &udpConn{UDPConn: gonet.NewUDPConn(queue, newDatagramEndpoint(queue, ep)), inst: i, socket: socket}
	socket.bound(c.LocalAddr())
	return c
}

// wakeReaders listens for errors of an endpoint.
type wakeReaders struct{ queue *waiter.Queue }

// NotifyEvent runs with the queue's lock held, which Notify takes again.
func (w wakeReaders) NotifyEvent(waiter.EventMask) { go w.queue.Notify(waiter.ReadableEvents) }

func (c *udpConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	if err == nil {
		if status := c.socket.received(b[:n], c.socket.Remote); status != nil {
			return 0, opErrorOf("read", c.socket.Network, c, status)
		}
	}
	return n, c.translate(err)
}

func (c *udpConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.UDPConn.ReadFrom(b)
	if err == nil && c.inst.sockets.receive.Active() {
		if status := c.socket.received(b[:n], addrPortOf(from)); status != nil {
			return 0, from, opErrorOf("read", c.socket.Network, c, status)
		}
	}
	return n, from, c.translate(err)
}

func (c *udpConn) Write(b []byte) (int, error) {
	if status := c.socket.sending(b, c.socket.Remote); status != nil {
		return 0, opErrorOf("write", c.socket.Network, c, status)
	}
	n, err := c.UDPConn.Write(b)
	return n, c.translate(err)
}

func (c *udpConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if _, ok := to.(*net.UDPAddr); !ok {
		return 0, &net.OpError{Op: "write", Net: "udp", Addr: to, Err: fmt.Errorf("address of type %T; expected *net.UDPAddr", to)}
	}
	if c.inst.sockets.send.Active() {
		if status := c.socket.sending(b, addrPortOf(to)); status != nil {
			return 0, &net.OpError{Op: "write", Net: c.socket.Network, Source: c.LocalAddr(), Addr: to, Err: status}
		}
	}
	n, err := c.UDPConn.WriteTo(b, to)
	return n, c.translate(err)
}

// translate is translateOpen, for a socket that may also have lost its address.
func (c *udpConn) translate(err error) error {
	if err != nil && !c.closed.Load() && isEnded(err) {
		return c.inst.ended("udp", err)
	}
	return translateOpen(err, &c.closed)
}

func (c *udpConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.socket.close()
	return c.UDPConn.Close()
}

type listener struct {
	*gonet.TCPListener
	inst   *Instance
	socket *Socket
	closed atomic.Bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.TCPListener.Accept()
		switch {
		case err == nil:
			conn := c.(*gonet.TCPConn)
			socket := &Socket{Network: "tcp", Remote: addrPortOf(conn.RemoteAddr())}
			socket.bound(conn.LocalAddr())
			if l.inst.isLocal(socket.Local().Addr()) && l.inst.sockets.admit(socket) == nil {
				return &tcpConn{TCPConn: conn, socket: socket}, nil
			}
			_ = c.Close() // its address was taken away while it waited, or a hook does not want it
		case l.closed.Load():
			return nil, translateOpen(net.ErrClosed, &l.closed)
		case isEnded(err):
			return nil, l.inst.ended("tcp", err)
		default:
			return nil, translateOpen(err, &l.closed)
		}
	}
}

func (l *listener) Close() error {
	if l.closed.Swap(true) {
		return net.ErrClosed
	}
	l.socket.close()
	l.TCPListener.Shutdown() // wakes Accept
	return l.TCPListener.Close()
}

// opErrorOf is the error of a call that a hook on a socket point made fail.
func opErrorOf(op, network string, c net.Conn, status error) error {
	return &net.OpError{Op: op, Net: network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: status}
}
