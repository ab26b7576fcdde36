// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/tun"
)

// A Need is something a test cannot do without: one of the constants, or the name of a program.
type Need string

const (
	// Root is the right to make network namespaces. Root has it, and so has everybody inside "unshare -Urn".
	Root Need = "root, or a user namespace of one's own (unshare -Urn)"
	// TUN is the right to open /dev/net/tun and to make a device.
	TUN Need = "/dev/net/tun"
)

// Require skips the test, and says why, if something it needs is missing. With HOOKNET_REQUIRE=1 in the environment the test
// fails instead, so that a machine meant to run everything cannot quietly run nothing.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	for _, need := range needs {
		switch need {
		case Root:
			hostnettest.Namespace(t)
		case TUN:
			var dev tun.Device
			requireTUN(t, hostnettest.Namespace(t).Do(func() (err error) {
				dev, err = tun.Open(tun.Config{})
				return err
			}))
			if err := dev.Close(); err != nil {
				t.Fatal(err)
			}
		default:
			hostnettest.Tool(t, string(need))
		}
	}
}

// requireTUN decides what an error of tun.Open means.
func requireTUN(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, fs.ErrNotExist) {
		hostnettest.Missing(t, string(TUN), err)
	}
	hostnettest.Require(t, string(TUN), err)
}
