// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/hooknet/hooknet/internal/bench"
	"github.com/hooknet/hooknet/internal/leaktest"
)

// asWorker, as first argument of the test binary, makes it the router of a path.
const asWorker = "bench-worker"

// brokenWorkers are other things to be, by the first argument.
var brokenWorkers map[string]func() error

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && brokenWorkers[os.Args[1]] != nil {
		if err := brokenWorkers[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == asWorker {
		if err := bench.Worker(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}
