// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

var errOther = fmt.Errorf("network namespaces and TUN devices are needed, as Linux has them, and %s has not: %w", runtime.GOOS, errors.ErrUnsupported)

type network struct{}

func buildNetwork(context.Context, *Path, []string, string) (*network, error) { return nil, errOther }

func (n *network) measureTCP(context.Context, int, time.Duration) (map[string]float64, error) {
	return nil, errOther
}

func (n *network) measureUDP(context.Context, int, int, time.Duration) (map[string]float64, error) {
	return nil, errOther
}

func (n *network) measurePing(context.Context, time.Duration) (map[string]float64, error) {
	return nil, errOther
}

func (n *network) measureLoadedPing(context.Context, time.Duration) (map[string]float64, error) {
	return nil, errOther
}

func (n *network) close() error { return nil }

func thisMachine() Machine { return Machine{} }

// Worker returns an error that is errors.ErrUnsupported.
func Worker(context.Context, string, io.Reader, io.Writer) error { return errOther }
