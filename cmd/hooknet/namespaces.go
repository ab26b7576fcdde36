// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hooknet/hooknet/internal/rootless"
)

// withNamespaces does what needs network namespaces and TUN devices: here, or by this same command line in a copy of this
// program that has the rights. The error says why not, if neither can be; what begins the sentence.
func withNamespaces(ctx context.Context, env environment, what string, do func() error) error {
	err := rootless.Check()
	if err == nil {
		return do()
	}
	if errors.Is(err, rootless.ErrUnprivileged) {
		var status int
		status, err = rootless.Rerun(ctx, rootless.Program{
			Args: env.args, Stdin: env.stdin, Stdout: env.stdout, Stderr: env.stderr,
		})
		if err == nil && status != 0 {
			err = &statusError{status: status}
		}
	}
	var missing *rootless.MissingError
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("%s cannot run here\n\n%w", what, err)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%s needs Linux: %w", what, err)
	}
	return err
}
