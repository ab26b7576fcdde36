// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// An environment is all that a command knows of the process it runs in.
type environment struct {
	args           []string // without the program's name
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

func systemEnvironment() environment {
	return environment{os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv}
}

// commands make the subcommands; each is one function in a file of its own.
var commands = []func(environment) *cobra.Command{
	newBenchCommand,
	newDemoCommand,
	newRunCommand,
	newVersionCommand,
}

// run carries out the command line, until it is done or ctx is. Errors have been told on env.stderr when it returns.
func run(ctx context.Context, env environment) error {
	started := false
	root := &cobra.Command{
		Use:               "hooknet",
		Short:             "A userspace router over TUN devices, with hooks at every point a packet passes",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRun:  func(*cobra.Command, []string) { started = true },
	}
	for _, newCommand := range commands {
		root.AddCommand(newCommand(env))
	}
	root.SetArgs(env.args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return nil
	case !started:
		err = &statusError{statusUsage, fmt.Errorf("%w\nTry \"hooknet --help\"", err)}
	case ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))):
		err = &statusError{statusInterrupted, errors.New("interrupted")}
	}
	var status *statusError
	if !errors.As(err, &status) || status.err != nil {
		_, _ = fmt.Fprintf(env.stderr, "hooknet: %v\n", err)
	}
	return err
}

// The exit statuses besides 0.
const (
	statusFailure     = 1
	statusUsage       = 2
	statusInterrupted = 130 // as a shell gives for a program that SIGINT ended
)

// A statusError is an error with an exit status of its own.
type statusError struct {
	status int
	err    error // nil: all has been said
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

// exitStatus returns what a program that ends with err exits with.
func exitStatus(err error) int {
	var status *statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.status
	}
	return statusFailure
}
