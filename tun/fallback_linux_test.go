// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// Where the kernel has no virtio-net header, water stands in and says so; but not where
// it could not do what was asked for.
func TestFallbackToWater(t *testing.T) {
	ns := hostnettest.Namespace(t)
	err := ns.Do(func() error {
		cfg := Config{Name: "hntest", Queues: 1, Path: defaultPath}
		dev, err := orWater(cfg, nil, errNoVirtioHeader)
		if err != nil {
			return err
		}
		if s := fmt.Sprint(dev); !strings.Contains(s, "water driver") || !strings.Contains(s, errNoVirtioHeader.Error()) {
			t.Errorf("the device is %q: want water, and why", s)
		}
		if err := dev.Close(); err != nil {
			t.Error(err)
		}

		for _, cfg := range []Config{
			{Name: "hntest", Queues: 2, Path: defaultPath},
			{Name: "hntest", Queues: 1, Path: "/dev/null"},
		} {
			if _, err := orWater(cfg, nil, errNoVirtioHeader); err != errNoVirtioHeader {
				t.Errorf("%+v: %v, want the first error", cfg, err)
			}
		}
		if _, err := orWater(cfg, nil, unix.EBUSY); !errors.Is(err, unix.EBUSY) {
			t.Errorf("after EBUSY: %v, want that", err)
		}
		return nil
	})
	hostnettest.Require(t, "a TUN device", err)
}
