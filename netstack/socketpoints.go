// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
)

// The hook points of type hhook.Socket, in each instance from New to Close (HHOOK_SOCKET_CREATE and so on of the original,
// whose numbers they have). They run for the sockets of the host stack: what Dial, Listen, ListenPacket and Accept return.
// Their context is a *SocketContext, their object a *Socket. They run on the goroutine that uses the socket, with no lock
// held, several at the same time if it is used so. While nothing is hooked on one it costs an atomic load.
//
// The original's other points (options, filters for reading and writing) have nothing here to stand for.
const (
	// SocketCreate runs before a socket is made, before Dial connects it and Listen binds it, and before Accept returns one.
	// A Status makes Dial, Listen and ListenPacket fail; what Accept would have returned is closed, and Accept goes on waiting.
	SocketCreate hhook.ID = 1
	// SocketReceive runs when a socket has received something, before Read or ReadFrom returns it. With a Status that fails, and
	// what was received is lost.
	SocketReceive hhook.ID = 2
	// SocketSend runs before Write or WriteTo sends something. With a Status that fails, and nothing is sent.
	SocketSend hhook.ID = 3
	// SocketClose runs once for each socket that SocketCreate has let pass, before it is closed, by its owner or because the
	// instance is; also if it could not be connected or bound in the end. A Status changes nothing.
	SocketClose hhook.ID = 6
)

// A SocketContext is what the hooks on the socket points are called with (struct socket_hhook_data). It, and all it points at,
// is good until the hook returns.
type SocketContext struct {
	// Socket is the one that the point runs for; it is the object of the call, too.
	Socket *Socket
	// Bytes are what is sent or was received, for the hooks to read only. Of a datagram they may be less than all: what fits
	// into the reader's buffer. A stream's are whatever one call passes. Otherwise nil.
	Bytes []byte
	// Remote is where a datagram goes to or came from; of connected sockets it is Socket.Remote. The port of a ping is 0.
	Remote netip.AddrPort
	// Status is how hooks report back: if it is not nil after the last one, the call fails with it, inside a *net.OpError.
	Status error
}

// A Socket is one of the host stack's, as the socket points know it: the object that helpers of class khelp.Socket have their
// data on (struct socket). The data is made before SocketCreate runs, and destroyed after SocketClose and when no hook runs any
// more. If it cannot be made, the socket is not made either.
type Socket struct {
	khelp.Object

	// Network is "tcp", "udp" or "ping".
	Network string
	// Listening says that it is one that Listen makes; what that accepts are sockets of their own.
	Listening bool
	// Remote is what the socket is, or is to be, connected to. Not valid if to nothing.
	Remote netip.AddrPort

	local   atomic.Pointer[netip.AddrPort]
	sockets *sockets

	mu       sync.Mutex
	users    int  // runs of points, guarded by mu
	admitted bool // guarded by mu: SocketCreate has let it pass
	closed   bool // guarded by mu
}

// Local returns the socket's own address and port. It is not valid before the socket is bound, as at SocketCreate of those
// that are not accepted.
func (s *Socket) Local() netip.AddrPort {
	if local := s.local.Load(); local != nil {
		return *local
	}
	return netip.AddrPort{}
}

// sockets are those of an instance, and their points.
type sockets struct {
	helpers                    *khelp.Helpers
	create, receive, send, end *hhook.Point

	// alive counts the sockets whose objects are not destroyed; none is added after closed.
	alive sync.WaitGroup

	mu     sync.Mutex
	open   map[*Socket]struct{} // guarded by mu
	closed bool                 // guarded by mu
}

// register makes the points.
func (s *sockets) register(points *hhook.Points, helpers *khelp.Helpers) error {
	s.helpers = helpers
	s.open = make(map[*Socket]struct{})
	for id, point := range map[hhook.ID]**hhook.Point{
		SocketCreate: &s.create, SocketReceive: &s.receive, SocketSend: &s.send, SocketClose: &s.end,
	} {
		p, err := points.Register(hhook.Socket, id, hhook.InInstance)
		if err != nil {
			return err
		}
		*point = p
	}
	return nil
}

// close ends all sockets, waits for running hooks, and takes the points away.
func (s *sockets) close() {
	s.mu.Lock()
	s.closed = true
	var list []*Socket
	for socket := range s.open {
		list = append(list, socket)
	}
	s.mu.Unlock()
	for _, socket := range list {
		socket.close()
	}
	s.alive.Wait()
	for _, p := range []*hhook.Point{s.create, s.receive, s.send, s.end} {
		_ = p.Deregister() // if it is still referenced Points.Close says so
	}
}

// admit asks the hooks about a new socket. The error is that of a hook or a helper, or net.ErrClosed. If there is none the caller
// sees to it that the socket is closed in the end.
func (s *sockets) admit(socket *Socket) (err error) {
	socket.sockets = s
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	s.alive.Add(1)
	s.open[socket] = struct{}{}
	socket.users++ // or close might destroy what is not made yet
	s.mu.Unlock()
	defer socket.leave()
	passed := false
	defer func() { // also if a hook ends the goroutine
		socket.mu.Lock()
		socket.admitted = passed
		ended := socket.closed           // by sockets.close meanwhile, which has left SocketClose to us
		socket.closed = ended || !passed // if it has not passed, without SocketClose
		socket.mu.Unlock()
		if ended && passed {
			err = net.ErrClosed
			socket.end()
		}
	}()
	err = s.helpers.Create(&socket.Object, khelp.Socket)
	if err == nil && s.create.Active() {
		c := SocketContext{Socket: socket, Remote: socket.Remote}
		s.create.RunIf(0, &c, socket)
		err = c.Status
	}
	passed = err == nil
	return err
}

// bound tells the socket its address.
func (s *Socket) bound(local net.Addr) {
	if at := addrPortOf(local); at.IsValid() {
		s.local.Store(&at)
	}
}

// received asks the hooks on SocketReceive.
func (s *Socket) received(b []byte, from netip.AddrPort) error {
	if s.sockets.receive.Active() {
		return s.run(s.sockets.receive, b, from)
	}
	return nil
}

// sending asks the hooks on SocketSend.
func (s *Socket) sending(b []byte, to netip.AddrPort) error {
	if s.sockets.send.Active() {
		return s.run(s.sockets.send, b, to)
	}
	return nil
}

// run runs a point. If the socket is closed, or just being closed, the error is net.ErrClosed: nothing gets past the hooks.
func (s *Socket) run(p *hhook.Point, b []byte, remote netip.AddrPort) error {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.users++
	}
	s.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	defer s.leave()
	c := SocketContext{Socket: s, Bytes: b, Remote: remote}
	p.RunIf(0, &c, s)
	return c.Status
}

// close runs SocketClose. The object goes with the last run of a point. Further calls do nothing and return false.
func (s *Socket) close() (first bool) {
	s.mu.Lock()
	first = !s.closed
	ends := first && s.admitted // else admit sees to it
	s.closed = true
	if ends {
		s.users++
	}
	s.mu.Unlock()
	if ends {
		defer s.leave()
		s.end()
	}
	return first
}

// end runs SocketClose.
func (s *Socket) end() {
	if s.sockets.end.Active() {
		c := SocketContext{Socket: s, Remote: s.Remote}
		s.sockets.end.RunIf(0, &c, s)
	}
}

// leave ends a run of a point.
func (s *Socket) leave() {
	s.mu.Lock()
	s.users--
	last := s.closed && s.users == 0
	s.mu.Unlock()
	if !last {
		return
	}
	s.Destroy()
	s.sockets.mu.Lock()
	delete(s.sockets.open, s)
	s.sockets.mu.Unlock()
	s.sockets.alive.Done()
}

// addrPortOf translates an address of the net package; the port of one that has none is 0.
func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	case *net.UDPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}
