// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"fmt"
	"log/slog"
	"net/netip"
)

// Driver selects the code that talks to the operating system.
type Driver uint8

const (
	// DriverAuto is DriverLinux on Linux, or DriverWater where the kernel's TUN has no
	// virtio-net header; DriverWater everywhere else.
	DriverAuto Driver = iota
	// DriverLinux is this package's own driver: virtio-net header, several queues,
	// batches.
	DriverLinux
	// DriverWater is github.com/songgao/water: portable, one queue, no offload.
	DriverWater
)

var driverNames = [...]string{DriverAuto: "auto", DriverLinux: "linux", DriverWater: "water"}

// String returns "auto", "linux" or "water".
func (d Driver) String() string {
	if int(d) < len(driverNames) {
		return driverNames[d]
	}
	return fmt.Sprintf("driver(%d)", uint8(d))
}

// ParseDriver is the inverse of String. The empty string is DriverAuto.
func ParseDriver(s string) (Driver, error) {
	if s == "" {
		return DriverAuto, nil
	}
	for d, name := range driverNames {
		if s == name {
			return Driver(d), nil
		}
	}
	return 0, fmt.Errorf("tun: no driver %q: there are auto, linux and water", s)
}

// Config says which device Open opens. The zero value opens a new TUN device with a
// name chosen by the kernel, one queue, and all the offload there is.
type Config struct {
	// Name is the device's name. On Linux: at most 15 bytes; a "%d" in it is replaced
	// by the kernel with the first free number, and an empty name means "tun%d"; a
	// persistent TUN device of that name is attached to. On macOS: "utun" and a
	// number, or empty. On Windows: the name of a TAP adapter, or empty for any.
	Name string

	// Driver selects the driver. The default is DriverAuto.
	Driver Driver

	// Queues is the number of queues, 1 to MaxQueues. 0 means 1. Only DriverLinux has
	// more than one. The kernel hands over a flow's packets by the queue that its
	// packets of the other direction were last written to; before any was, by one that
	// a hash of addresses and ports chooses, the same for both directions and for all
	// devices with as many queues.
	Queues int

	// NoOffload asks the kernel for ordinary packets with complete checksums, and
	// makes Features empty. For kernels whose offload is broken. DriverLinux only:
	// DriverWater has no offload anyway.
	NoOffload bool

	// NoCoalesce makes Write hand over every packet as it is. Otherwise, packets of one
	// Write that are segments of one TCP stream, or datagrams of one length of one UDP
	// flow, go to the kernel as one superpacket, from which it makes the same segments
	// again if it has to; packets of different flows may then change places. Only packets
	// that were parsed are looked at. With NoOffload there is nothing to switch off.
	// DriverLinux only.
	NoCoalesce bool

	// Logger is told, once, when the kernel turns out to refuse superpackets. Default:
	// nobody is told.
	Logger *slog.Logger

	// Path is the clone device. Empty means /dev/net/tun. DriverLinux only.
	Path string

	// Network is the address of the host's end and its subnet, IPv4. The TAP driver
	// of Windows needs it to answer ARP. Windows only.
	Network netip.Prefix
}

// defaultPath is the clone device of Linux.
const defaultPath = "/dev/net/tun"

// MaxQueues is the most queues a device can have (the limit of Linux).
const MaxQueues = 256

// Open opens a TUN device. On Linux the device is created in (or looked up in) the
// network namespace of the calling thread: internal/hostnet's Namespace.Do, or
// runtime.LockOSThread and setns(2), choose it. Afterwards the device works from any
// thread, and goes on working when it is moved to another namespace. The device is
// removed with Close, unless it is persistent.
//
// Errors say what is missing and how to mend it; errors.Is finds the errno, such as
// syscall.EBUSY, or ErrUnsupported. Devices implement fmt.Stringer: name, driver,
// what offload there is, and why a driver was not the first choice.
func Open(cfg Config) (Device, error) {
	if cfg.Queues < 0 || cfg.Queues > MaxQueues {
		return nil, newOpError("open", cfg.Name, fmt.Errorf("%d queues: must be 1 to %d", cfg.Queues, MaxQueues))
	}
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.Path == "" {
		cfg.Path = defaultPath
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	dev, err := openDriver(cfg)
	if err != nil {
		return nil, newOpError("open", cfg.Name, err)
	}
	return dev, nil
}
