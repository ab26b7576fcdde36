// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// waterParams also looks at a device that exists already. Water takes a device's
// persistence away unless it is told to keep it, and has to be told that a device was
// made for several queues.
func waterParams(cfg Config) (water.PlatformSpecificParams, error) {
	params := water.PlatformSpecificParams{Name: cfg.Name}
	if err := checkName(cfg.Name); err != nil {
		return params, err
	}
	if _, err := net.InterfaceByName(cfg.Name); err != nil {
		return params, nil // a new one, then
	}
	fd, err := unix.Open(defaultPath, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return params, explainOpen(defaultPath, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := attach(fd, cfg.Name, false); err != nil {
		return params, explainAttach(cfg, err)
	}
	req, err := interfaceOf(fd)
	if err != nil {
		return params, os.NewSyscallError("ioctl TUNGETIFF", err)
	}
	params.Persist = req.Uint16()&unix.IFF_PERSIST != 0
	params.MultiQueue = req.Uint16()&unix.IFF_MULTI_QUEUE != 0
	return params, nil
}

// explainWater gives the same advice as for the linux driver.
func explainWater(cfg Config, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("water: %w", err)
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return explainAttach(cfg, errno)
	}
	return explainOpen(defaultPath, errno)
}

// closeOnExec keeps the descriptor from the programs this process starts, which would
// keep the device alive after Close: water opens it without O_CLOEXEC.
func closeOnExec(rw io.ReadWriteCloser) {
	control(rw, func(conn syscall.RawConn) {
		_ = conn.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
	})
}

// waterGone tells whether the device was deleted.
func waterGone(rw io.ReadWriteCloser) (gone bool) {
	control(rw, func(conn syscall.RawConn) { gone = isGone(conn) })
	return gone
}

// watchWater makes the watcher of a device.
func watchWater(rw io.ReadWriteCloser) (w *linkWatcher) {
	control(rw, func(conn syscall.RawConn) { w = watchLink(conn) })
	if w == nil {
		w = &linkWatcher{err: errors.New("water hides the descriptor")}
	}
	return w
}

// control runs f with what gives access to the descriptor: on Linux, water's
// ReadWriteCloser is an os.File.
func control(rw io.ReadWriteCloser, f func(syscall.RawConn)) {
	if file, ok := rw.(syscall.Conn); ok {
		if conn, err := file.SyscallConn(); err == nil {
			f(conn)
		}
	}
}
