// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/config"
)

var update = flag.Bool("update", false, "write what Parse says into testdata/refusals.txt; look at the difference before it is committed")

const refusalsFile = "testdata/refusals.txt"

// refusal is a file with something wrong, and all that is to be said about it.
type refusal struct{ name, text, want string }

// refusals reads testdata/refusals.txt: for each case a line "=== name", the file, a line "---", the problems.
func refusals(t testing.TB) []refusal {
	t.Helper()
	data, err := os.ReadFile(refusalsFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []refusal
	for _, section := range strings.Split("\n"+string(data), "\n=== ")[1:] {
		name, rest, _ := strings.Cut(section, "\n")
		text, want, found := strings.Cut(rest, "\n---\n")
		if !found {
			t.Fatalf("%s: case %q has no line ---", refusalsFile, name)
		}
		cases = append(cases, refusal{name, text + "\n", strings.TrimSpace(want)})
	}
	return cases
}

func TestRefusals(t *testing.T) {
	cases := refusals(t)
	var written strings.Builder
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			got, err := config.Parse("r.yaml", []byte(test.text))
			if got != nil || err == nil {
				t.Errorf("got %v, %v; want an error only", got, err)
			}
			if diff := cmp.Diff(test.want, errorText(err)); diff != "" && !*update {
				t.Errorf("(-want +got):\n%s", diff)
			}
			written.WriteString("=== " + test.name + "\n" + test.text + "---\n" + errorText(err) + "\n\n")
		})
	}
	if *update {
		if err := os.WriteFile(refusalsFile, []byte(strings.TrimSuffix(written.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
