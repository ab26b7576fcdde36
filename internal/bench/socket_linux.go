// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// A socket is a blocking one, used by plain system calls: what the runtime does for sockets of package net (a read that
// finds nothing, a poll, another read) costs time that the router could use.
type socket struct{ fd int }

// patience is how long a call on a socket blocks, at most, before it looks whether it is to stop.
const patience = 100 * time.Millisecond

// openSocket opens an IPv4 socket in a namespace.
func openSocket(in *hostnet.Namespace, kind, protocol int) (s socket, err error) {
	err = in.Do(func() error {
		s.fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, protocol)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return socket{}, err
	}
	if err := s.setTimeout(patience); err != nil {
		return socket{}, errors.Join(err, s.close())
	}
	return s, nil
}

// setTimeout sets how long a call may block.
func (s socket) setTimeout(d time.Duration) error {
	t := unix.NsecToTimeval(d.Nanoseconds())
	return errors.Join(
		os.NewSyscallError("setsockopt SO_RCVTIMEO", unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t)),
		os.NewSyscallError("setsockopt SO_SNDTIMEO", unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &t)))
}

// setCongestion sets the congestion control of a TCP socket. The machine's own may be one that paces what it sends by timers,
// such as bbr, and then it is the timers that are measured.
func (s socket) setCongestion(name string) error {
	err := unix.SetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	if err == nil {
		return nil
	}
	const known = "/proc/sys/net/ipv4/tcp_available_congestion_control"
	names, _ := os.ReadFile(known)
	return fmt.Errorf("congestion control %q: %w: expected one of %s, as in %s", name,
		os.NewSyscallError("setsockopt TCP_CONGESTION", err), strings.Join(strings.Fields(string(names)), ", "), known)
}

func (s socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// bind binds the socket to an address and a port of the kernel's choice, which it returns.
func (s socket) bind(a netip.Addr) (*unix.SockaddrInet4, error) {
	if err := unix.Bind(s.fd, &unix.SockaddrInet4{Addr: a.As4()}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	at, err := unix.Getsockname(s.fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	return at.(*unix.SockaddrInet4), nil
}

// connect connects the socket, in five seconds at most.
func (s socket) connect(to unix.Sockaddr) error {
	if err := s.setTimeout(5 * time.Second); err != nil {
		return err
	}
	err := unix.Connect(s.fd, to)
	for err == unix.EINTR { // it goes on by itself, and a second call waits for the first
		err = unix.Connect(s.fd, to)
	}
	return errors.Join(os.NewSyscallError("connect", err), s.setTimeout(patience))
}

// again tells that a call is worth repeating: it timed out, or a signal came, such as the runtime sends.
func again(err error) bool { return err == unix.EAGAIN || err == unix.EINTR }
