// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hooknet/hooknet/internal/demo"
	"github.com/hooknet/hooknet/internal/rootless"
)

func newDemoCommand(env environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what hooknet does, on a network of its own",
		Long: `Builds two network namespaces joined by a hooknet router, registers hooks on it,
sends real traffic through it and reports what happened. Takes a few seconds and
leaves nothing behind. Linux only; root is not needed where users may make
namespaces and open /dev/net/tun.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runDemo(cmd.Context(), env, asJSON)
			var status *statusError
			if err != nil && asJSON && !errors.As(err, &status) {
				return errors.Join(err, writeJSON(env.stdout, demo.Report{Error: err.Error()}))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as one JSON object")
	return cmd
}

// runDemo shows the demonstration, in a copy of this program if this one has not the rights.
func runDemo(ctx context.Context, env environment, asJSON bool) error {
	switch err := rootless.Check(); {
	case errors.Is(err, rootless.ErrUnprivileged):
		status, err := rootless.Rerun(ctx, rootless.Program{
			Args: env.args, Stdin: env.stdin, Stdout: env.stdout, Stderr: env.stderr,
		})
		if err == nil && status != 0 {
			err = &statusError{status: status}
		}
		return cannotDemo(err)
	case err != nil:
		return cannotDemo(err)
	}
	p := newProgress(env)
	report, err := demo.Run(ctx, demo.Config{Progress: p.step})
	p.done()
	if err != nil {
		return err
	}
	if asJSON {
		err = writeJSON(env.stdout, report)
	} else {
		err = report.WriteText(env.stdout, inColour(env, env.stdout))
	}
	if err == nil && !report.OK {
		err = &statusError{status: statusFailure}
	}
	return err
}

// cannotDemo says why there is no demonstration on this machine.
func cannotDemo(err error) error {
	var missing *rootless.MissingError
	switch {
	case errors.As(err, &missing):
		return fmt.Errorf("the demonstration cannot run here\n\n%w", err)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("the demonstration needs Linux: %w", err)
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
