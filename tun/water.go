// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/songgao/water"

	"github.com/hooknet/hooknet/packet"
)

// waterDevice is a TUN device of github.com/songgao/water: bare IP packets, one for
// each system call. Water hides what differs: the four bytes of address family that
// macOS puts before a packet, the TAP adapter of Windows that poses as a TUN.
//
// Close unblocks the reader on Linux and macOS, where water's descriptor is an os.File
// that the runtime's poller knows; on Windows the system cancels the read when the
// handle is closed.
type waterDevice struct {
	name   string
	rw     io.ReadWriteCloser
	reason error // why the first choice could not be had; or nil
	link   *linkWatcher

	closed    atomic.Bool
	closeOnce sync.Once
}

var (
	_ Device      = (*waterDevice)(nil)
	_ LinkWatcher = (*waterDevice)(nil)
)

// openWater opens a device with water.
func openWater(cfg Config) (*waterDevice, error) {
	if cfg.Queues > 1 {
		return nil, fmt.Errorf("%w: the water driver has one queue, not %d", ErrUnsupported, cfg.Queues)
	}
	platform, err := waterParams(cfg)
	if err != nil {
		return nil, err
	}
	iface, err := water.New(water.Config{DeviceType: water.TUN, PlatformSpecificParams: platform})
	if err != nil {
		return nil, explainWater(cfg, err)
	}
	d := &waterDevice{name: iface.Name(), rw: iface.ReadWriteCloser}
	closeOnExec(d.rw)
	d.link = watchWater(d.rw)
	return d, nil
}

func (d *waterDevice) Name() string              { return d.name }
func (d *waterDevice) Features() packet.Features { return 0 }
func (d *waterDevice) Queues() int               { return 1 }

func (d *waterDevice) NextLinkState(last LinkState) (LinkState, error) {
	return d.link.next(last)
}

func (d *waterDevice) String() string {
	s := d.name + ": water driver on " + runtime.GOOS
	if d.reason != nil {
		s += " (not the linux driver: " + d.reason.Error() + ")"
	}
	return s
}

// Read reads one packet.
func (d *waterDevice) Read(_ int, pkts []*packet.Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, errNoEntries
	}
	p := roomy(&pkts[0])
	n, err := d.rw.Read(p.Space(0))
	switch {
	case err == nil && n > 0: // water on macOS answers -4 with an error
		p.SetLen(n)
		return 1, nil
	case d.closed.Load():
		return 0, net.ErrClosed
	case err == nil || errors.Is(err, errnoGone), waterGone(d.rw):
		return 0, ErrGone
	}
	return 0, fmt.Errorf("tun: read %s: %w", d.name, err)
}

// Write writes packets one by one.
func (d *waterDevice) Write(_ int, pkts []*packet.Packet) (int, error) {
	for i, p := range pkts {
		if d.closed.Load() {
			return i, net.ErrClosed
		}
		if !acceptable(p, 0) {
			return i, ErrRefused
		}
		if _, err := d.rw.Write(p.Bytes()); err != nil {
			return i, d.writeError(err)
		}
	}
	return len(pkts), nil
}

func (d *waterDevice) writeError(err error) error {
	if d.closed.Load() || errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	for _, known := range []error{ErrDown, ErrRefused, ErrFull, ErrGone} {
		var stands *deviceError
		if errors.As(known, &stands) && errors.Is(err, stands.errno) {
			return known
		}
	}
	return fmt.Errorf("tun: write %s: %w", d.name, err)
}

func (d *waterDevice) Close() error {
	var err error
	d.closeOnce.Do(func() {
		d.closed.Store(true)
		d.link.close()
		if f, ok := d.rw.(interface{ SetReadDeadline(time.Time) error }); ok {
			_ = f.SetReadDeadline(time.Unix(1, 0)) // at once; Close can take the kernel 20 ms
		}
		err = d.rw.Close()
	})
	return err
}
