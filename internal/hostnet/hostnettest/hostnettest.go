// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostnettest gives tests network namespaces of their own, and decides what
// happens where they cannot have them: a test that lacks a right or a tool is skipped
// and says which; with HOOKNET_REQUIRE=1 in the environment it fails instead, so that
// a machine meant to run everything cannot quietly run nothing.
package hostnettest

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
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
