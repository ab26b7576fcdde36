// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/packet"
)

// errNoVirtioHeader: the kernel's TUN cannot put a virtio-net header before packets.
var errNoVirtioHeader = fmt.Errorf("%w: the kernel's TUN has no virtio-net header", ErrUnsupported)

// openDriver opens the device with the driver asked for, or the best there is.
func openDriver(cfg Config) (Device, error) {
	switch cfg.Driver {
	case DriverLinux:
		return openLinux(cfg)
	case DriverWater:
		return openWater(cfg)
	case DriverAuto:
		dev, err := openLinux(cfg)
		return orWater(cfg, dev, err)
	default:
		return nil, fmt.Errorf("%w: %v", ErrUnsupported, cfg.Driver)
	}
}

// orWater returns what openLinux did, or a device of the water driver if that can stand
// in: it has one queue, and knows one path.
func orWater(cfg Config, dev Device, err error) (Device, error) {
	if !errors.Is(err, errNoVirtioHeader) || cfg.Queues > 1 || cfg.Path != defaultPath {
		return dev, err
	}
	instead, waterErr := openWater(cfg)
	if waterErr != nil {
		return nil, err
	}
	instead.reason = err
	return instead, nil
}

// openLinux opens all queues of a device. Each is a descriptor of its own, attached to
// the same device by name.
func openLinux(cfg Config) (Device, error) {
	if err := checkName(cfg.Name); err != nil {
		return nil, err
	}
	d := &linuxDevice{name: cfg.Name, log: cfg.Logger}
	for range cfg.Queues {
		q, err := d.openQueue(cfg)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.queues = append(d.queues, q)
	}
	if !cfg.NoCoalesce {
		d.coalesce.Store(uint32(d.features & segmentation))
	}
	d.link = watchLink(d.queues[0].conn)
	return d, nil
}

// openQueue opens the clone device, makes of it a queue of device d.name, and sets
// d.name and d.features to what the kernel made of them.
func (d *linuxDevice) openQueue(cfg Config) (*linuxQueue, error) {
	fd, err := unix.Open(cfg.Path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explainOpen(cfg.Path, err)
	}
	if err := d.setUp(fd, cfg); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	// From here on the runtime's poller knows the descriptor, which had to become a TUN
	// first: before, poll(2) answers EPOLLERR.
	q := &linuxQueue{file: os.NewFile(uintptr(fd), cfg.Path), fd: uintptr(fd)}
	q.fill = q.fillPackets
	q.conn, err = q.file.SyscallConn()
	if err == nil {
		// An error here means that the poller did not take it.
		err = q.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, q.file.Close())
	}
	return q, nil
}

// setUp makes the descriptor a queue of device d.name.
func (d *linuxDevice) setUp(fd int, cfg Config) error {
	supported, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil || supported&unix.IFF_VNET_HDR == 0 {
		return errNoVirtioHeader
	}
	if d.name, err = attach(fd, d.name, cfg.Queues > 1); err != nil {
		return explainAttach(cfg, err)
	}
	// A persistent device may have been left with another length.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtioHeaderLen); err != nil {
		return os.NewSyscallError("ioctl TUNSETVNETHDRSZ", err)
	}
	d.features, err = setOffload(fd, cfg.NoOffload)
	return err
}

// attach is TUNSETIFF: it creates the device, or attaches to a persistent one, and
// returns its name.
func attach(fd int, name string, multiQueue bool) (string, error) {
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if multiQueue {
		flags |= unix.IFF_MULTI_QUEUE
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return name, err
	}
	req.SetUint16(flags)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	if err == unix.EINVAL && !multiQueue {
		// A persistent device that was created with several queues insists on the flag,
		// also for a single one.
		req.SetUint16(flags | unix.IFF_MULTI_QUEUE)
		if unix.IoctlIfreq(fd, unix.TUNSETIFF, req) == nil {
			err = nil
		}
	}
	if err != nil {
		return name, err
	}
	return req.Name(), nil
}

// isGone tells whether the device of a descriptor was deleted. It is for the errors that
// do not say so: a read that was about to wait fails with EFAULT, and the runtime's
// poller, having once seen EPOLLERR, fails with an error of its own.
func isGone(conn syscall.RawConn) (gone bool) {
	_ = conn.Control(func(fd uintptr) {
		_, err := interfaceOf(int(fd))
		gone = err == unix.EBADFD
	})
	return gone
}

// interfaceOf is TUNGETIFF: the name and flags of the device of a descriptor.
func interfaceOf(fd int) (*unix.Ifreq, error) {
	req, err := unix.NewIfreq("")
	if err != nil {
		return nil, err
	}
	return req, unix.IoctlIfreq(fd, unix.TUNGETIFF, req)
}

// setOffload is TUNSETOFFLOAD with the most the kernel takes.
func setOffload(fd int, none bool) (packet.Features, error) {
	steps := offloadSteps[:]
	if none {
		steps = steps[len(steps)-1:]
	}
	var err error
	for _, step := range steps {
		if err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, step.bits); err == nil {
			return step.features, nil
		}
		if err != unix.EINVAL {
			break
		}
	}
	return 0, os.NewSyscallError("ioctl TUNSETOFFLOAD", err)
}

// checkName refuses names the kernel would, with a reason.
func checkName(name string) error {
	switch {
	case len(name) >= unix.IFNAMSIZ:
		return fmt.Errorf("the name is %d bytes long; %d is the most: %w", len(name), unix.IFNAMSIZ-1, unix.EINVAL)
	case name == ".", name == "..", strings.ContainsAny(name, "/: \t\n\v\f\r\x00"):
		return fmt.Errorf("no network device can have this name: %w", unix.EINVAL)
	}
	return nil
}

// explainOpen says what to do about an error of open(2) on the clone device.
func explainOpen(path string, err error) error {
	advice := ""
	switch err {
	case unix.ENOENT:
		advice = "there is no such file: load the module (sudo modprobe tun), or give the container the device (--device /dev/net/tun)"
	case unix.ENODEV, unix.ENXIO:
		advice = "the kernel has no TUN driver loaded: sudo modprobe tun"
	case unix.EACCES, unix.EPERM:
		advice = "this user may not open it: sudo chmod 0666 " + path + ", or run as root"
	}
	err = &os.PathError{Op: "open", Path: path, Err: err}
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}

// explainAttach says what to do about an error of TUNSETIFF.
func explainAttach(cfg Config, err error) error {
	advice := ""
	switch err {
	case unix.EPERM:
		advice = "CAP_NET_ADMIN in this network namespace is needed: run as root or in a namespace of your own (unshare -Urn)," +
			" or let root prepare the device (ip tuntap add NAME mode tun user USER)"
	case unix.EBUSY:
		advice = "another process has the device open"
	case unix.EINVAL:
		advice = "a device of this name exists and is no TUN device, or was not created for"
		if cfg.Queues > 1 {
			advice += " several queues (ip tuntap add NAME mode tun multi_queue)"
		} else {
			advice += " this use"
		}
	case unix.E2BIG:
		advice = "the device has no more queues to give"
	}
	err = os.NewSyscallError("ioctl TUNSETIFF", err)
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}
