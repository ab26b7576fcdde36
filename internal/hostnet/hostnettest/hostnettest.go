// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostnettest gives tests network namespaces of their own, with sockets, and decides what
// happens where they cannot have them: a test that lacks a right or a tool is skipped
// and says which; with HOOKNET_REQUIRE=1 in the environment it fails instead, so that
// a machine meant to run everything cannot quietly run nothing.
package hostnettest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// Missing skips the test, or fails it under HOOKNET_REQUIRE=1, because of what is not
// there: "root", "/dev/net/tun", "iperf3".
func Missing(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("HOOKNET_REQUIRE") == "1" {
		t.Fatalf("HOOKNET_REQUIRE=1 and %s is missing: %v", what, err)
	}
	t.Skipf("skipped: %s is missing: %v", what, err)
}

// Require does nothing if err is nil. An error that means the system lacks or forbids
// something is Missing; any other is a failure of the test.
func Require(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errors.ErrUnsupported), errors.Is(err, exec.ErrNotFound):
		Missing(t, what, err)
	default:
		t.Fatalf("%s: %v", what, err)
	}
}

// Tool returns the path of a program, or is Missing.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name, err)
	}
	return path
}

// Listen listens for connections in a namespace, as net.Listen does, until the end of the
// test.
func Listen(t testing.TB, in *hostnet.Namespace, network, address string) (l net.Listener) {
	t.Helper()
	if err := in.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	}); err != nil {
		t.Fatalf("in namespace %v: %v", in, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// ListenPacket is Listen for datagrams, as net.ListenPacket is.
func ListenPacket(t testing.TB, in *hostnet.Namespace, network, address string) (c net.PacketConn) {
	t.Helper()
	if err := in.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	}); err != nil {
		t.Fatalf("in namespace %v: %v", in, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Named returns a new namespace that other programs find by its name, closed and deleted
// at the end of the test.
func Named(t testing.TB) *hostnet.Namespace {
	t.Helper()
	name := fmt.Sprintf("hntest-%d-%d", os.Getpid(), named.Add(1))
	ns, err := hostnet.Create(name)
	Require(t, "the right to give network namespaces names (root)", err)
	t.Cleanup(func() {
		if err := errors.Join(ns.Close(), hostnet.Delete(name)); err != nil {
			t.Error(err)
		}
	})
	return ns
}

var named atomic.Int32

// Namespace returns a new anonymous namespace, closed at the end of the test.
func Namespace(t testing.TB) *hostnet.Namespace {
	t.Helper()
	ns, err := hostnet.New()
	Require(t, "the right to make network namespaces (root, or unshare -Urn)", err)
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}
