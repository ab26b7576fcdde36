// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// linkWatcher follows a device over rtnetlink(7). Its socket is opened with the device,
// because it belongs to the namespace it was opened in; only who asks for the state
// subscribes to anything. When the device is moved to another namespace the socket is
// replaced by one of that namespace.
type linkWatcher struct {
	device syscall.RawConn // a descriptor of the TUN device

	// The caller's of next.
	index   int32
	asked   bool      // the socket has been subscribed and the state asked for
	overrun bool      // messages were lost: ask again once the rest is read
	state   LinkState // as far as it is known; the zero value if it is not
	ended   error     // what next returns from now on
	buffer  []byte

	mu     sync.Mutex
	socket *os.File // guarded by mu; nil if there is none
	err    error    // guarded by mu; why there is none
}

// watchLink makes the watcher of a device in the calling thread's namespace. It does not
// fail: a system without rtnetlink can still have devices.
func watchLink(device syscall.RawConn) *linkWatcher {
	w := &linkWatcher{device: device}
	w.socket, w.index, w.err = openLinkSocket(device)
	return w
}

// openLinkSocket opens an rtnetlink socket in the calling thread's namespace and looks
// the device's index up.
func openLinkSocket(device syscall.RawConn) (_ *os.File, index int32, err error) {
	var req *unix.Ifreq
	if e := device.Control(func(fd uintptr) { req, err = interfaceOf(int(fd)) }); e != nil {
		return nil, 0, net.ErrClosed
	}
	if err != nil {
		return nil, 0, os.NewSyscallError("ioctl TUNGETIFF", err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, 0, os.NewSyscallError("socket", err)
	}
	name, err := unix.NewIfreq(req.Name())
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, name)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, 0, fmt.Errorf("rtnetlink socket for %s: %w", req.Name(), err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), int32(name.Uint32()), nil
}

// close makes next return net.ErrClosed.
func (w *linkWatcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.socket != nil {
		_ = w.socket.Close()
	}
	w.socket, w.err = nil, net.ErrClosed
}

// next is NextLinkState.
func (w *linkWatcher) next(last LinkState) (LinkState, error) {
	if w.buffer == nil {
		w.buffer = make([]byte, 16<<10)
	}
	for {
		w.mu.Lock()
		socket, err := w.socket, w.err
		w.mu.Unlock()
		switch {
		case errors.Is(err, net.ErrClosed):
			return LinkState{}, net.ErrClosed
		case err != nil:
			return LinkState{}, fmt.Errorf("tun: link state: %w: %w", ErrUnsupported, err)
		case w.ended != nil:
			return LinkState{}, w.ended
		case w.state != LinkState{} && w.state != last:
			return w.state, nil
		}
		err = w.receive(socket)
		if err == errLinkLeft {
			err = w.follow()
		}
		switch {
		case err == nil, errors.Is(err, os.ErrClosed), err == net.ErrClosed: // closed is seen above
		case err == ErrGone:
			w.ended = ErrGone
		default:
			w.ended = fmt.Errorf("tun: link state: %w", err)
		}
	}
}

// errLinkLeft: the device is not in the socket's namespace any more.
var errLinkLeft = errors.New("tun: the device left the namespace")

// receive waits for the next messages and takes the state from them, if it is in one.
func (w *linkWatcher) receive(socket *os.File) error {
	if !w.asked {
		if err := w.ask(socket); err != nil {
			return err
		}
		w.asked = true
	}
	n, err := w.read(socket)
	if err != nil || n == 0 {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(w.buffer[:n])
	if err != nil { // longer than the buffer, which no message about a TUN device is
		return nil
	}
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_ERROR: // the answer to ask: no such device
			return errLinkLeft
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			if !w.isOurs(m.Data) {
				continue
			}
			if m.Header.Type == unix.RTM_DELLINK {
				return errLinkLeft
			}
			if s, ok := linkStateOf(m); ok {
				w.state = s
			}
		}
	}
	return nil
}

// read waits for a message. When messages were lost for want of room, what was not lost is
// still there, and the kernel answers no question before it is read: then read returns 0,
// and the state is to be asked for again.
func (w *linkWatcher) read(socket *os.File) (n int, err error) {
	conn, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := conn.Read(func(fd uintptr) bool {
		for {
			switch n, err = unix.Read(int(fd), w.buffer); err {
			case unix.EINTR:
			case unix.ENOBUFS:
				w.overrun = true
			case unix.EAGAIN:
				return w.overrun
			default:
				return true
			}
		}
	}); e != nil {
		return 0, os.ErrClosed // RawConn has an error of its own for it
	}
	if err == unix.EAGAIN {
		w.overrun, w.asked = false, false
		return 0, nil
	}
	return n, os.NewSyscallError("read", err)
}

// ask subscribes the socket to what happens to links, and asks for the state as it is.
func (w *linkWatcher) ask(socket *os.File) error {
	conn, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	if e := conn.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_LINK)
	}); e != nil {
		return os.ErrClosed
	}
	if err != nil {
		return os.NewSyscallError("setsockopt NETLINK_ADD_MEMBERSHIP", err)
	}
	b := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[0:], uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[unix.SizeofNlMsghdr+4:], uint32(w.index))
	_, err = socket.Write(b)
	return err
}

// isOurs tells whether an ifinfomsg is about the device itself. Those of another family
// are about its part in a bridge.
func (w *linkWatcher) isOurs(b []byte) bool {
	return len(b) >= unix.SizeofIfInfomsg && b[0] == unix.AF_UNSPEC && int32(binary.NativeEndian.Uint32(b[4:])) == w.index
}

// linkStateOf decodes an RTM_NEWLINK.
func linkStateOf(m syscall.NetlinkMessage) (LinkState, bool) {
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	s := LinkState{Index: int(binary.NativeEndian.Uint32(m.Data[4:])), Up: flags&up == up}
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return s, false
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			s.Name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_MTU:
			if len(a.Value) >= 4 {
				s.MTU = int(binary.NativeEndian.Uint32(a.Value))
			}
		}
	}
	return s, true
}

// followTries is how often the watcher looks for a device that is renamed or moved on just
// when it has been found.
const followTries = 100

// follow finds out where the device went, and opens a socket there.
func (w *linkWatcher) follow() error {
	w.asked = false
	var socket *os.File
	err := error(unix.ENODEV)
	for n := 0; errors.Is(err, unix.ENODEV) && n < followTries; n++ {
		if isGone(w.device) {
			return ErrGone
		}
		socket, err = w.openThere()
	}
	if err != nil {
		return w.lost(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.socket == nil { // closed meanwhile
		_ = socket.Close()
		return net.ErrClosed
	}
	_ = w.socket.Close()
	w.socket = socket
	return nil
}

// openThere opens a socket in the namespace that the device is in. The error is ENODEV if it
// is not there, or not by that name, any more.
func (w *linkWatcher) openThere() (socket *os.File, err error) {
	namespace, err := w.namespace()
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(namespace) }()
	err = inNamespace(namespace, func() (err error) {
		socket, w.index, err = openLinkSocket(w.device)
		return err
	})
	return socket, err
}

// lost says that the device could not be followed.
func (w *linkWatcher) lost(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case isGone(w.device):
		return ErrGone
	}
	return fmt.Errorf("%w: the device was moved to another network namespace: %w", ErrUnsupported, err)
}

// namespace opens the network namespace that the device is in.
func (w *linkWatcher) namespace() (fd int, err error) {
	e := w.device.Control(func(device uintptr) {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, device, unix.TUNGETDEVNETNS, 0)
		fd = int(r)
		if errno != 0 {
			err = os.NewSyscallError("ioctl TUNGETDEVNETNS", errno)
		}
	})
	if e != nil {
		return 0, net.ErrClosed
	}
	return fd, err
}

// inNamespace runs f on a thread that is in a network namespace. If the thread cannot come
// back it is thrown away: a goroutine that ends locked takes its thread along.
func inNamespace(namespace int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			runtime.UnlockOSThread()
			result <- os.NewSyscallError("open /proc/thread-self/ns/net", err)
			return
		}
		defer func() { _ = unix.Close(home) }()
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			result <- os.NewSyscallError("setns", err)
			return
		}
		err = f()
		if unix.Setns(home, unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}
