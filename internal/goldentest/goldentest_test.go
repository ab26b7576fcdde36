// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package goldentest_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/hooknet/hooknet/internal/goldentest"
)

// A watched test writes down that it has failed.
type watched struct {
	testing.TB
	failed bool
}

func (w *watched) Errorf(string, ...any) { w.failed = true }

func TestCheck(t *testing.T) {
	update := flag.Lookup("update").Value
	set := func(to string) {
		if err := update.Set(to); err != nil {
			t.Fatal(err)
		}
	}
	defer set(update.String())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		update, got string
		fails       bool
	}{
		{"false", "old\n", false}, {"false", "new\n", true}, {"true", "new\n", false}, {"false", "new\n", false}, {"false", "old\n", true},
	} {
		set(step.update)
		w := &watched{TB: t}
		if goldentest.Check(w, file, step.got); w.failed != step.fails {
			t.Errorf("%+v: failed %v", step, w.failed)
		}
	}
}
