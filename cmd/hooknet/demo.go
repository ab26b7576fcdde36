// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooknet/hooknet/internal/demo"
)

func newDemoCommand(env environment) *cobra.Command {
	var options demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show what hooknet does, on a network of its own",
		Long: `Builds two network namespaces joined by a hooknet router, registers hooks on it,
sends real traffic through it, creates and destroys another instance meanwhile
and reports what happened. Takes a few seconds and leaves nothing behind.

Linux only; root is not needed where users may make namespaces and open
/dev/net/tun.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.transfer <= 0 {
				return &statusError{statusUsage, fmt.Errorf("--transfer %v: expected a time to send for, such as 2s", options.transfer)}
			}
			err := withNamespaces(cmd.Context(), env, "the demonstration", func() error {
				return runDemo(cmd.Context(), env, options)
			})
			var told *statusError
			if err != nil && options.asJSON && !errors.As(err, &told) {
				return errors.Join(err, writeJSON(env.stdout, demo.NoReport(err)))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&options.asJSON, "json", false, "print the report as one JSON object")
	cmd.Flags().DurationVar(&options.transfer, "transfer", 2*time.Second, "how long each TCP transfer takes")
	return cmd
}

type demoOptions struct {
	asJSON   bool
	transfer time.Duration
}

// runDemo shows the demonstration.
func runDemo(ctx context.Context, env environment, options demoOptions) error {
	p := newProgress(env)
	report, err := demo.Run(ctx, demo.Config{Transfer: options.transfer, Progress: p.step, Live: p.live})
	p.done()
	if err != nil {
		return err
	}
	if options.asJSON {
		err = writeJSON(env.stdout, report)
	} else {
		err = report.WriteText(env.stdout, inColour(env, env.stdout))
	}
	if err == nil && !report.OK {
		err = &statusError{status: statusFailure}
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
