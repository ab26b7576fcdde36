// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asHooknet, in the environment of the test binary, makes it the hooknet command.
const asHooknet = "HOOKNET_TEST_AS_HOOKNET"

// programs are what else the test binary can be: functions run in place of the tests if their name is in the environment
// as HOOKNET_TEST_PROGRAM. They are for what has to happen in a process of its own.
var programs = map[string]func() error{}

const asProgram = "HOOKNET_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if name := os.Getenv(asProgram); name != "" {
		_ = os.Unsetenv(asProgram)
		if err := programs[name](); err != nil {
			_, _ = os.Stderr.WriteString(name + ": " + err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(asHooknet) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

// hooknet returns the command as a process of its own, not started, with a plain environment.
func hooknet(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Args[0] = "hooknet"
	cmd.Env = append(os.Environ(), asHooknet+"=1", "NO_COLOR=", "TERM=xterm", "LC_ALL=C.UTF-8")
	return cmd
}

// runHere carries out a command line in this process.
func runHere(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	err = run(t.Context(), environment{
		args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errOut,
		getenv: func(string) string { return "" },
	})
	return out.String(), errOut.String(), err
}
