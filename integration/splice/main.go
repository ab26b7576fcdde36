// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Splice runs the copy loop of internal/baseline between two network namespaces, in a process of its own as "hooknet run"
// is one, for the throughput test to compare:
//
//	splice NAMESPACE NAMESPACE
//
// It makes a TUN device named "splice" in each (a name in /run/netns), writes "splice: ready", and copies until it is
// interrupted. Addresses are for others to set.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/hooknet/hooknet/internal/baseline"
	"github.com/hooknet/hooknet/internal/hostnet"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "splice:", err)
		os.Exit(1)
	}
}

func run(names []string) (err error) {
	if len(names) != 2 {
		return errors.New("usage: splice NAMESPACE NAMESPACE")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var ends [2]*baseline.TUN
	for i, name := range names {
		if ends[i], err = open(name); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ends[i].Close()) }()
	}
	fmt.Println("splice: ready")
	return baseline.Splice(ctx, ends[0], ends[1])
}

func open(name string) (t *baseline.TUN, err error) {
	ns, err := hostnet.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	err = ns.Do(func() error {
		t, err = baseline.OpenTUN("splice", true)
		return err
	})
	return t, err
}
