// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/packet"
)

// Device is a source and sink of IP packets. Its methods are safe for concurrent
// use, with one exception: a queue has one reader at a time.
type Device interface {
	// Name is the device's name, as the host knows it. It does not follow a rename.
	Name() string

	// Features is what Write accepts. The caller segments packets and completes
	// checksums for everything else. It never changes.
	Features() packet.Features

	// Queues is how many queues the device has, at least 1. Queues are numbered from
	// 0; a queue number that does not exist is a programming error and may panic.
	Queues() int

	// Read blocks until packets are there, fills pkts from the front and returns how
	// many, at least 1 if the error is nil. Packets come with their Offload set and
	// not parsed. A nil entry gets a packet from packet.Get, with the room the device
	// needs; any other entry is reused, or released and replaced. A batch ends when
	// the queue is empty, when pkts is full, or when 64 KiB were read: what was read
	// is then still in the cache when it is written. Entries past the returned number
	// may have been filled in too, with empty packets.
	//
	// Errors are final: net.ErrClosed after Close, ErrGone once the device was
	// deleted, anything else unexpected. They come with no packets.
	Read(queue int, pkts []*packet.Packet) (int, error)

	// Write writes pkts in order and stops at the first packet the device refuses: n
	// is then its index, and err says why. The caller counts it and goes on with
	// pkts[n+1:]. A nil error means all were written. Write never waits for room:
	// ErrFull is the answer where there is none. Packets are neither kept nor
	// released; Write may use the headroom in front of them.
	//
	// Errors: ErrDown, ErrRefused, ErrFull (each concerns this packet), ErrGone,
	// net.ErrClosed (nothing can be written any more).
	Write(queue int, pkts []*packet.Packet) (n int, err error)

	// Close makes readers return net.ErrClosed at once and releases the device. It
	// waits until no call uses the device any more. Further calls return nil.
	Close() error
}

// batchBytes is where a batch ends (see Device.Read).
const batchBytes = 64 << 10

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
	// more than one.
	Queues int

	// NoOffload asks the kernel for ordinary packets with complete checksums, and
	// makes Features empty. For kernels whose offload is broken. DriverLinux only:
	// DriverWater has no offload anyway.
	NoOffload bool

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
	dev, err := openDriver(cfg)
	if err != nil {
		return nil, newOpError("open", cfg.Name, err)
	}
	return dev, nil
}

// acceptable tells whether a device with these features takes p at all: IP of either
// version, and nothing asked of the device that it does not do.
func acceptable(p *packet.Packet, features packet.Features) bool {
	if p.Len() == 0 || p.Offload.Needs()&^features != 0 {
		return false
	}
	version := p.Bytes()[0] >> 4
	return version == 4 || version == 6
}

// roomy makes *entry an empty packet with room for the longest packet, and returns it. It
// reuses what is there if that is large enough.
func roomy(entry **packet.Packet) *packet.Packet {
	p := *entry
	if p != nil && p.Room() >= packet.MaxLen {
		p.Reset()
		return p
	}
	if p != nil {
		p.Release()
	}
	*entry = packet.Get(packet.MaxLen)
	return *entry
}
