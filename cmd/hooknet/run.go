// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/router"
	"github.com/hooknet/hooknet/internal/terminal"
	"github.com/hooknet/hooknet/netstack"
)

const runHelp = `Builds what a YAML file describes: instances, their interfaces on TUN devices,
the host's side of each device with its addresses and routes, the instances'
routes, and cables between instances. Prints one line when all of it is there,
and runs until Ctrl-C (SIGINT) or SIGTERM.

Nothing is left behind: not at the end, and not after an error, when what had
been made is undone. The network namespaces that the file names must be there
already; no route and no device of the host is replaced.

The exit status is 0 after a signal, 1 if something could not be made, and 2 if
the file is wrong: then every mistake has been reported with its line, and
nothing has been made.

Needs Linux and root (CAP_SYS_ADMIN and CAP_NET_ADMIN). docs/configuration.md
describes every key of the file.`

const runExample = `  $ cat router.yaml
  instances:
    - name: r1
      interfaces:
        - name: hn0
          addresses: [10.0.1.1/24]
          host:
            namespace: red
            addresses: [10.0.1.2/24]
            routes: [{to: default}]
        - name: hn1
          addresses: [10.0.2.1/24]
          host:
            namespace: blue
            addresses: [10.0.2.2/24]
            routes: [{to: default}]
  $ hooknet run -c router.yaml --check
  router.yaml: ok
  $ sudo ip netns add red && sudo ip netns add blue
  $ sudo hooknet run -c router.yaml
  hooknet: ready: 1 instance, 2 interfaces (pid 1234)

  $ sudo ip netns exec red ping 10.0.2.2        # in another terminal`

// runOptions are the flags of hooknet run.
type runOptions struct {
	file     string
	check    bool
	logLevel slog.Level
	jsonLogs bool
}

func newRunCommand(env environment) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:                   "run -c FILE",
		Short:                 "Run the routers that a file describes",
		Long:                  runHelp,
		Example:               runExample,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case o.file == "" && len(args) == 1:
				return fmt.Errorf("the file is given with -c: hooknet run -c %s", args[0])
			case o.file == "":
				return errors.New("no file to run: hooknet run -c FILE (\"hooknet run --help\" shows one)")
			case len(args) > 0:
				return fmt.Errorf("one file is enough: found %q besides -c %s", strings.Join(args, " "), o.file)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runRouter(cmd.Context(), env, o) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&o.file, "config", "c", "", "the `FILE` to run; required")
	flags.BoolVar(&o.check, "check", false, "only check the file: make nothing, say \"FILE: ok\"")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "log to standard error from this `LEVEL` on: debug,\ninfo, warn or error")
	flags.BoolVar(&o.jsonLogs, "json-logs", false, "log in JSON")
	return cmd
}

// runRouter runs what a file describes until ctx is done.
func runRouter(ctx context.Context, env environment, o runOptions) error {
	file, err := config.Load(o.file)
	switch {
	case len(config.Problems(err)) > 0:
		return said(env, statusUsage, config.Explain(err))
	case err != nil:
		return &statusError{statusUsage, err}
	case o.check:
		_, err := fmt.Fprintf(env.stdout, "%s: ok\n", o.file)
		return err
	}
	logger := newLogger(env.stderr, o)
	r, err := router.Open(ctx, file, router.Config{Logger: logger})
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		logger.Info("stopped before it was ready", "cause", context.Cause(ctx))
		return nil
	case err != nil:
		return said(env, statusFailure, err.Error())
	}
	if _, err := fmt.Fprintf(env.stdout, "hooknet: ready: %s (pid %d)\n", contents(file), os.Getpid()); err != nil {
		return errors.Join(err, r.Close())
	}
	<-ctx.Done()
	logger.Info("stopping", "cause", context.Cause(ctx))
	err = r.Close()
	for instance := range r.Instances() {
		logStats(logger, instance)
	}
	return err
}

// said writes a message whose lines begin with places in a file, as editors and terminals know them, and returns an
// error that has nothing to add.
func said(env environment, status int, message string) error {
	_, _ = fmt.Fprintln(env.stderr, message)
	return &statusError{status: status}
}

func newLogger(w io.Writer, o runOptions) *slog.Logger {
	options := &slog.HandlerOptions{Level: o.logLevel}
	if o.jsonLogs {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// contents says what a file describes, as "1 instance, 2 interfaces".
func contents(file *config.Config) string {
	interfaces := 0
	for _, instance := range file.Instances {
		interfaces += len(instance.Interfaces)
	}
	text := terminal.Count(len(file.Instances), "instance") + ", " + terminal.Count(interfaces, "interface")
	if cables := len(file.Cables); cables > 0 {
		text += ", " + terminal.Count(cables, "cable")
	}
	return text
}

// logStats logs what became of the packets of an instance, for those who want to know.
func logStats(logger *slog.Logger, instance *netstack.Instance) {
	s := instance.Stats()
	var drops []any
	for _, reason := range slices.Sorted(maps.Keys(s.Drops)) {
		drops = append(drops, slog.Uint64(reason, s.Drops[reason]))
	}
	logger.Debug("stopped", "instance", instance.Name(), "received", s.Received, "sent", s.Sent,
		"forwarded", s.Forwarded, "delivered", s.Delivered, slog.Group("drops", drops...))
}
