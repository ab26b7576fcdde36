// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hooknet/hooknet/internal/bench"
	"github.com/hooknet/hooknet/internal/terminal"
)

func newBenchCommand(env environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure hooknet on this machine, against other ways to do the same",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newBenchRouterCommand(env), newBenchWorkerCommand(env))
	return cmd
}

const benchRouterHelp = `Builds several ways from a client to a server in network namespaces of their
own, sends the same traffic over each in turn, round after round, and compares.
Prints a table; --json prints everything as one JSON object instead.

Figures depend on the machine and on what else it does. Ratios of figures from
the same run hold: they are medians of the ratios within each round.

The exit status is 0 if the figures can be used; 1 if something failed, or if
the run is void because a baseline was far too slow (the report says so); 2 for
a mistake in the command line; 130 after Ctrl-C. Nothing is left behind.

Linux only; root is not needed where users may make namespaces and open
/dev/net/tun.

Paths and tests:

`

type benchOptions struct {
	bench.Config
	asJSON bool
	svg    string
}

func newBenchRouterCommand(env environment) *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:     "router",
		Short:   "Forwarding: against the kernel, a copy loop and gVisor",
		Long:    benchRouterHelp + strings.TrimRight(bench.Describe(), "\n"),
		Example: "  hooknet bench router --rounds 3 --paths splice,hooknet --tests tcp1,ping\n  hooknet bench router --json --rounds 12 >router.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			expected, err := o.check(cmd)
			if err != nil {
				return &statusError{statusUsage, err}
			}
			return withNamespaces(cmd.Context(), env, "the benchmark", func() error {
				return runBenchRouter(cmd.Context(), env, o, expected)
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.Rounds, "rounds", 10, "how often each test measures each path")
	flags.DurationVar(&o.Duration, "duration", time.Second, "how long one measurement takes")
	flags.StringSliceVar(&o.Paths, "paths", nil, "only these `PATHS`, separated by commas")
	flags.StringSliceVar(&o.Tests, "tests", nil, "only these `TESTS`, separated by commas")
	flags.IntVar(&o.PacketRate, "udp-rate", 20_000, "UDP `PACKETS` offered a second")
	flags.StringVar(&o.Congestion, "congestion", "cubic", "congestion control `NAME` of TCP")
	flags.Uint64Var(&o.Seed, "seed", 0, "of the order of the paths in a round (0: another one\nevery time)")
	flags.BoolVar(&o.asJSON, "json", false, "print the report as one JSON object")
	flags.StringVar(&o.svg, "svg", "", "draw the throughput of TCP into this `FILE`, too")
	return cmd
}

// check says what is wrong with the command line, or how long it takes.
func (o *benchOptions) check(cmd *cobra.Command) (time.Duration, error) {
	for name, set := range map[string]bool{"rounds": o.Rounds > 0, "duration": o.Duration > 0, "udp-rate": o.PacketRate > 0} {
		if !set {
			return 0, fmt.Errorf("--%s %s: expected more than 0", name, cmd.Flag(name).Value)
		}
	}
	isTCP := func(test string) bool { return strings.HasPrefix(test, "tcp") }
	if o.svg != "" && len(o.Tests) > 0 && !slices.ContainsFunc(o.Tests, isTCP) {
		return 0, fmt.Errorf("--svg %s shows TCP, and --tests %s are without: add tcp1 or tcp4", o.svg, strings.Join(o.Tests, ","))
	}
	return o.Expected()
}

// runBenchRouter measures, and writes what came of it.
func runBenchRouter(ctx context.Context, env environment, o benchOptions, expected time.Duration) (err error) {
	var picture *os.File
	if o.svg != "" { // it would be a pity to find out at the end
		if picture, err = os.CreateTemp(filepath.Dir(o.svg), ".hooknet-*.svg"); err != nil {
			return fmt.Errorf("--svg %s: %w", o.svg, err)
		}
		defer func() { _ = os.Remove(picture.Name()) }()
	}
	_, _ = fmt.Fprintf(env.stderr, "hooknet: about %s for %s\n", terminal.Roughly(expected), terminal.Count(o.Rounds, "round"))
	p := newProgress(env)
	o.Worker = []string{"bench", benchWorker}
	if p.terminal {
		o.Progress = p.step
	}
	report, err := bench.Run(ctx, o.Config)
	p.done()
	if err != nil {
		return err
	}
	if picture != nil {
		if err := savePicture(report, picture, o.svg); err != nil {
			return err
		}
	}
	if o.asJSON {
		err = writeJSON(env.stdout, report)
	} else {
		err = report.WriteText(env.stdout, inColour(env, env.stdout))
	}
	switch {
	case err != nil || report.Void == "":
		return err
	case o.asJSON:
		return fmt.Errorf("void: %s", report.Void)
	default: // the text has said it
		return &statusError{status: statusFailure}
	}
}

// savePicture writes a picture into a file, and gives it its name.
func savePicture(report *bench.Report, file *os.File, name string) error {
	err := errors.Join(report.WriteSVG(file), file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("--svg %s: %w", name, err)
	}
	return nil
}

// benchWorker is the name of the command that bench.Run starts.
const benchWorker = "worker"

// newBenchWorkerCommand makes the command that is the router of a path. It is no use to people.
func newBenchWorkerCommand(env environment) *cobra.Command {
	return &cobra.Command{
		Use:    benchWorker + " PATH",
		Short:  "Be the router of a path, for hooknet bench router",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Worker(cmd.Context(), args[0], env.stdin, env.stdout)
		},
	}
}
