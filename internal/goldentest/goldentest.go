// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package goldentest

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the files that tests compare with anew; look at the difference before it is committed")

// Check fails the test if a file, by its path from the package's directory, is not what the test has made. With -update it
// becomes that.
func Check(t testing.TB, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (go test -update writes it anew): -want +got:\n%s", file, diff)
	}
}
