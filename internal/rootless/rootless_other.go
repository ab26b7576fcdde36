// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package rootless

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

var errOther = fmt.Errorf("network namespaces are needed, which Linux has and %s has not: %w", runtime.GOOS, errors.ErrUnsupported)

// Check returns an error that is errors.ErrUnsupported.
func Check() error { return errOther }

// Rerun returns an error that is errors.ErrUnsupported.
func Rerun(context.Context, Program) (int, error) { return 0, errOther }
