// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package baseline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

var errOther = fmt.Errorf("baseline: on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// TUN is a device of Linux.
type TUN struct{}

// OpenTUN returns an error that is errors.ErrUnsupported.
func OpenTUN(string, bool) (*TUN, error) { return nil, errOther }

// OpenPlainTUN returns an error that is errors.ErrUnsupported.
func OpenPlainTUN(string) (*TUN, error) { return nil, errOther }

// Name returns the empty string.
func (t *TUN) Name() string { return "" }

// Close does nothing.
func (t *TUN) Close() error { return nil }

// Splice returns an error that is errors.ErrUnsupported.
func Splice(context.Context, *TUN, *TUN) error { return errOther }

// GVisor returns an error that is errors.ErrUnsupported.
func GVisor(context.Context, [2]*TUN, [2]netip.Prefix, int, bool) error { return errOther }
