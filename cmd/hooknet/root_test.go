// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/hooknet/hooknet/internal/terminal"
)

// The help of every command fits a terminal.
func TestHelpFits(t *testing.T) {
	var check func(commands []*cobra.Command, path ...string)
	check = func(commands []*cobra.Command, path ...string) {
		out, errOut, err := runHere(t, append(slices.Clone(path), "--help")...)
		if err != nil || errOut != "" {
			t.Errorf("%q: %v, standard error %q", path, err, errOut)
		}
		for line := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > terminal.Width {
				t.Errorf("%q: %d columns: %s", path, n, line)
			}
		}
		for _, c := range commands {
			check(c.Commands(), append(slices.Clone(path), c.Name())...)
		}
	}
	var all []*cobra.Command
	for _, newCommand := range commands {
		all = append(all, newCommand(environment{}))
	}
	check(all)
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
		out    string // regular expressions
		err    string
	}{
		{[]string{}, 0, `(?s)^A userspace router.*demo .*version `, `^$`},
		{[]string{"--help"}, 0, `(?s)^A userspace router.*demo .*version `, `^$`},
		{[]string{"demo", "--help"}, 0, `(?s)^Builds two network namespaces.*--json `, `^$`},
		{[]string{"version"}, 0, `^hooknet \S+.* \(go1\.\S+, \w+/\w+\)\n$`, `^$`},
		{[]string{"dmeo"}, 2, `^$`, `^hooknet: unknown command "dmeo" for "hooknet"`},
		{[]string{"demo", "--josn"}, 2, `^$`, `^hooknet: unknown flag: --josn\nTry "hooknet --help"\n$`},
		{[]string{"demo", "--transfer", "0s"}, 2, `^$`, `^hooknet: --transfer 0s: expected `},
		{[]string{"demo", "me"}, 2, `^$`, `^hooknet: unknown command "me" for "hooknet demo"`},
		{[]string{"version", "2"}, 2, `^$`, `^hooknet: unknown command "2" for "hooknet version"`},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			out, errOut, err := runHere(t, test.args...)
			if got := exitStatus(err); got != test.status {
				t.Errorf("exit status %d, want %d", got, test.status)
			}
			if !regexp.MustCompile(test.out).MatchString(out) {
				t.Errorf("standard output %q, want %s", out, test.out)
			}
			if !regexp.MustCompile(test.err).MatchString(errOut) {
				t.Errorf("standard error %q, want %s", errOut, test.err)
			}
		})
	}
}
