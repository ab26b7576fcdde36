// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Tap is where a test puts packets of its own making into a network, byte for byte, whatever they are: on a TUN device,
// at the other end from the one that is tested. Namespace.Tap takes the kernel's place, for tests of an instance;
// Namespace.OpenTUN takes the instance's, for tests of a kernel. One goroutine may send and another receive.
type Tap struct {
	file *os.File
	conn interface {
		Read(func(uintptr) bool) error
		Write(func(uintptr) bool) error
	}
}

// Tap opens an AF_PACKET socket on a TUN device of the namespace. What it sends arrives at the instance as if the kernel had
// sent it; it receives what the instance writes to the device. It is closed at the end of t.
func (n *Namespace) Tap(t testing.TB, cfg TapConfig) *Tap {
	t.Helper()
	var tap *Tap
	err := n.ns.Do(func() (err error) {
		tap, err = openTap(cfg)
		return err
	})
	if err != nil {
		t.Fatalf("testbed: tap on %s in %s: %v", cfg.Device, n.name, err)
	}
	t.Cleanup(func() { _ = tap.file.Close() })
	return tap
}

// OpenTUN makes a TUN device in the namespace, down and without addresses (SetUp), and is the program behind it: what it
// sends is what the namespace's kernel receives by the device; it receives what the kernel sends there. The device goes with
// it at the end of t. The test is skipped if TUN devices cannot be made.
func (n *Namespace) OpenTUN(t testing.TB, device string) *Tap {
	t.Helper()
	var tap *Tap
	requireTUN(t, n.ns.Do(func() (err error) {
		tap, err = openTUN(device)
		return err
	}))
	t.Cleanup(func() { _ = tap.file.Close() })
	return tap
}

// openTUN does without package tun, whose devices are what is tested elsewhere: here the bytes are to be the test's.
func openTUN(device string) (*Tap, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		err = os.NewSyscallError("ioctl TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return newTap(os.NewFile(uintptr(fd), "tun "+device))
}

func newTap(file *os.File) (*Tap, error) {
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Tap{file: file, conn: conn}, nil
}

func openTap(cfg TapConfig) (*Tap, error) {
	device, err := net.InterfaceByName(cfg.Device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "tap "+cfg.Device)
	if err := setUpTap(fd, device.Index, cfg.VirtioHeader); err != nil {
		_ = file.Close()
		return nil, err
	}
	return newTap(file)
}

func setUpTap(fd, device int, virtioHeader bool) error {
	// Not what the kernel itself, or another Tap, sends.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return os.NewSyscallError("setsockopt PACKET_IGNORE_OUTGOING", err)
	}
	if virtioHeader {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return os.NewSyscallError("setsockopt PACKET_VNET_HDR", err)
		}
	}
	// A batch may come at once, and a superpacket counts for its whole size.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)) // htons
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: device}))
}

// Send gives one packet to the device. The errors are the kernel's, which refuses what is neither IPv4 nor IPv6 from OpenTUN,
// and packets above the MTU from Namespace.Tap (unless a virtio-net header allows them).
func (tap *Tap) Send(b []byte) error {
	var sendErr error
	err := tap.conn.Write(func(fd uintptr) bool {
		_, sendErr = unix.Write(int(fd), b)
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("write", sendErr)
}

// Receive returns the next packet from the other end; ErrNothing if there is none in time.
func (tap *Tap) Receive(within time.Duration) ([]byte, error) {
	if err := tap.file.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	b := make([]byte, VirtioHeaderLen+1<<16)
	var n int
	var readErr error
	err := tap.conn.Read(func(fd uintptr) bool {
		n, readErr = unix.Read(int(fd), b)
		return readErr != unix.EAGAIN
	})
	if os.IsTimeout(err) {
		return nil, ErrNothing
	}
	if err != nil {
		return nil, err
	}
	return b[:max(n, 0)], os.NewSyscallError("read", readErr)
}
