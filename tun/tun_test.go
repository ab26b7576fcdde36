// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"errors"
	"runtime"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/tun"
)

func TestDriverNames(t *testing.T) {
	for _, d := range []tun.Driver{tun.DriverAuto, tun.DriverLinux, tun.DriverWater} {
		if got, err := tun.ParseDriver(d.String()); got != d || err != nil {
			t.Errorf("ParseDriver(%q): %v, %v", d.String(), got, err)
		}
	}
	if got, err := tun.ParseDriver(""); got != tun.DriverAuto || err != nil {
		t.Errorf("ParseDriver of nothing: %v, %v; want auto", got, err)
	}
	if _, err := tun.ParseDriver("wintun"); err == nil {
		t.Error("ParseDriver(wintun): no error")
	}
	if got := tun.Driver(77).String(); got != "driver(77)" {
		t.Errorf("an unknown driver is %q", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, cfg := range map[string]tun.Config{
		"negative queues":              {Queues: -1},
		"too many queues":              {Queues: tun.MaxQueues + 1},
		"water with two queues":        {Driver: tun.DriverWater, Queues: 2},
		"a driver that does not exist": {Driver: 77},
	} {
		t.Run(name, func(t *testing.T) {
			dev, err := tun.Open(cfg)
			if err == nil {
				closeDevice(t, dev)
				t.Fatal("opened")
			}
			var op *tun.OpError
			if !errors.As(err, &op) || op.Op != "open" {
				t.Errorf("error %v, want an OpError of open", err)
			}
		})
	}
	if _, err := tun.Open(tun.Config{Driver: tun.DriverWater, Queues: 2}); !errors.Is(err, tun.ErrUnsupported) {
		t.Errorf("water with two queues: %v, want ErrUnsupported", err)
	}
	if runtime.GOOS != "linux" {
		if _, err := tun.Open(tun.Config{Driver: tun.DriverLinux}); !errors.Is(err, tun.ErrUnsupported) {
			t.Errorf("the linux driver on %s: %v, want ErrUnsupported", runtime.GOOS, err)
		}
	}
}

// The sentinels match their errno and nobody else's.
func TestSentinels(t *testing.T) {
	errnos := map[error]syscall.Errno{
		tun.ErrDown:    syscall.EIO,
		tun.ErrRefused: syscall.EINVAL,
		tun.ErrFull:    syscall.ENOBUFS,
	}
	for err := range errnos {
		for other, errno := range errnos {
			if got, want := errors.Is(err, errno), err == other; got != want {
				t.Errorf("errors.Is(%v, %v) is %v, want %v", err, errno, got, want)
			}
		}
	}
}
