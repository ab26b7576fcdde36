// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/config"
)

// write makes a file of its own for a test.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "router.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunCommandLine(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no file":       {nil, "hooknet: no file to run: hooknet run -c FILE (\"hooknet run --help\" shows one)\nTry \"hooknet --help\"\n"},
		"file alone":    {[]string{"r.yaml"}, "hooknet: the file is given with -c: hooknet run -c r.yaml\nTry \"hooknet --help\"\n"},
		"two files":     {[]string{"-c", "r.yaml", "s.yaml"}, "hooknet: one file is enough: found \"s.yaml\" besides -c r.yaml\nTry \"hooknet --help\"\n"},
		"no such file":  {[]string{"-c", "/nowhere/r.yaml"}, "hooknet: config: open /nowhere/r.yaml: no such file or directory\n"},
		"no such level": {[]string{"-c", "r.yaml", "--log-level", "loud"}, "hooknet: invalid argument \"loud\" for \"--log-level\" flag: slog: level string \"loud\": unknown name\nTry \"hooknet --help\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := runHere(t, append([]string{"run"}, test.args...)...)
			if status := exitStatus(err); status != statusUsage || stdout != "" {
				t.Errorf("status %d, standard output %q", status, stdout)
			}
			if diff := cmp.Diff(test.want, stderr); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunCheck(t *testing.T) {
	const example = "../../examples/router.yaml"
	stdout, stderr, err := runHere(t, "run", "-c", example, "--check")
	if err != nil || stdout != example+": ok\n" || stderr != "" {
		t.Errorf("%v, standard output %q, standard error %q", err, stdout, stderr)
	}
}

// All that is wrong with a file is told, each line beginning with the place.
func TestRunWrongFile(t *testing.T) {
	path := write(t, "instances:\n  - name: r1\n    interfaces:\n      - {name: tun0, mtu: 67, adresses: []}\n")
	const want = `PATH:4:27: instances[0].interfaces[0].mtu: found 67, expected a whole number from 68 to 65535
          - {name: tun0, mtu: 67, adresses: []}
                              ^
PATH:4:31: instances[0].interfaces[0]: found unknown key "adresses", expected one of addresses, clamp_mss, coalesce, device, driver, host, mtu, name, offload, pass_source_routes, queues or source_validation (did you mean addresses?)
          - {name: tun0, mtu: 67, adresses: []}
                                  ^
`
	for _, args := range [][]string{{"run", "-c", path}, {"run", "-c", path, "--check"}} {
		stdout, stderr, err := runHere(t, args...)
		if status := exitStatus(err); status != statusUsage || stdout != "" {
			t.Errorf("status %d, standard output %q", status, stdout)
		}
		if diff := cmp.Diff(want, strings.ReplaceAll(stderr, path, "PATH")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// Who is told to stop before there is anything to stop does so, and says nothing of being ready.
func TestRunStoppedEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A file without interfaces needs no rights.
	path := write(t, "instances:\n  - name: r1\n")
	var stdout, stderr bytes.Buffer
	err := run(ctx, environment{args: []string{"run", "-c", path, "--json-logs"}, stdout: &stdout, stderr: &stderr})
	if err != nil || stdout.Len() > 0 || !strings.Contains(stderr.String(), `"level":"INFO"`) {
		t.Errorf("%v, standard output %q, standard error %q", err, &stdout, &stderr)
	}
}

// The file in the help is one.
func TestRunHelp(t *testing.T) {
	if _, err := config.Parse("help", []byte(exampleFile(t))); err != nil {
		t.Error(config.Explain(err))
	}
}

// exampleFile returns the file in the help.
func exampleFile(t *testing.T) string {
	t.Helper()
	_, rest, found := strings.Cut(runExample, "$ cat router.yaml\n")
	text, _, found2 := strings.Cut(rest, "  $ ")
	if !found || !found2 {
		t.Fatalf("no file in the example:\n%s", runExample)
	}
	return text
}
