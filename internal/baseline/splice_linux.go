// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package baseline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// spliceBuffer holds the longest superpacket and its virtio-net header.
const spliceBuffer = 10 + 64<<10

// TUN is a TUN device whose reads block in the kernel. It is for one path at a time.
type TUN struct {
	name string
	fd   int
}

// OpenTUN creates a device with a virtio-net header before every packet, in the network
// namespace of the calling thread. With
// offload, the kernel hands over and takes superpackets and partial checksums, as far
// as it can: the same as package tun asks for.
func OpenTUN(name string, offload bool) (*TUN, error) {
	return openTUN(name, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR, offload)
}

func openTUN(name string, flags uint16, offload bool) (*TUN, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	t := &TUN{name: name, fd: fd}
	if err := t.setUp(flags, offload); err != nil {
		return nil, fmt.Errorf("baseline: device %s: %w", name, errors.Join(err, t.Close()))
	}
	return t, nil
}

func (t *TUN) setUp(flags uint16, offload bool) error {
	req, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(t.fd, unix.TUNSETIFF, req); err != nil {
		return os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	t.name = req.Name()
	if !offload {
		return nil
	}
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	err = unix.IoctlSetInt(t.fd, unix.TUNSETOFFLOAD, tcp|unix.TUN_F_USO4|unix.TUN_F_USO6)
	if err == unix.EINVAL { // before Linux 6.2
		err = unix.IoctlSetInt(t.fd, unix.TUNSETOFFLOAD, tcp)
	}
	return os.NewSyscallError("ioctl TUNSETOFFLOAD", err)
}

// Name returns the device's name.
func (t *TUN) Name() string { return t.name }

// Close removes the device. No Splice may be using it.
func (t *TUN) Close() error { return unix.Close(t.fd) }

// Splice copies every packet from a to b and from b to a, virtio-net header and all,
// until ctx is done or a read fails, as it does when a device is deleted. It then
// returns nil or the error of the read. Packets that a device refuses are lost, as they
// are in a router. The devices stay open, but are not fit for another Splice.
//
// It is the obvious loop, made as fast as it honestly can be: a goroutine for each
// direction, a blocking read(2), a write(2) of the same bytes.
func Splice(ctx context.Context, a, b *TUN) error {
	ends := [2]*TUN{a, b}
	var copiers [2]copier
	var errs [2]error
	started, stopped := make(chan struct{}, 2), make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i := range copiers {
		wg.Go(func() { // one direction, stopped and waited for below
			errs[i] = copiers[i].run(ends[i].fd, ends[1-i].fd, started)
			stopped <- struct{}{}
		})
	}
	<-started
	<-started
	select {
	case <-ctx.Done():
	case <-stopped:
	}
	// A read that blocks on a TUN is woken by nothing a program can do to the
	// descriptor, close(2) included. But a signal makes the kernel begin it anew, and
	// then it looks whether the descriptor blocks. SIGURG is a signal that the Go
	// runtime handles and ignores. A reader that is not in the kernel just now finds
	// out when it comes there.
	stopErr := errors.Join(unix.SetNonblock(a.fd, true), unix.SetNonblock(b.fd, true))
	for i := range copiers {
		_ = unix.Tgkill(os.Getpid(), copiers[i].thread, unix.SIGURG)
	}
	wg.Wait()
	return errors.Join(errs[0], errs[1], stopErr)
}

// copier is one direction of a splice.
type copier struct {
	thread int // where it reads; set before it says that it has started
}

// run copies until the reading descriptor no longer blocks.
func (c *copier) run(from, to int, started chan<- struct{}) error {
	runtime.LockOSThread() // so that the thread to signal is known
	defer runtime.UnlockOSThread()
	c.thread = unix.Gettid()
	started <- struct{}{}

	buf := make([]byte, spliceBuffer)
	for {
		n, err := unix.Read(from, buf)
		switch err {
		case nil:
			_, _ = unix.Write(to, buf[:n])
		case unix.EINTR, unix.EINVAL: // EINVAL: the kernel threw away a packet that its header cannot describe
		case unix.EAGAIN:
			return nil
		default:
			return os.NewSyscallError("read", err)
		}
	}
}
