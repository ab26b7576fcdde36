// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
)

// Cmd is an exec.Cmd that starts in a namespace. Set it up as usual, with the fields
// and pipes of exec.Cmd.
//
// Its SysProcAttr.Pdeathsig, if set, strikes early: the thread that starts the program
// need not live as long as this process.
type Cmd struct {
	*exec.Cmd
	namespace *Namespace
}

// Command is exec.CommandContext for a program that is to run in the namespace: when
// ctx is done before the program ends, the program is killed.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), namespace: n}
}

// Start starts the program. It inherits the namespace of the thread that forks, which
// is why Start runs in Namespace.Do.
func (c *Cmd) Start() error { return c.namespace.Do(c.Cmd.Start) }

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to its standard output.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("hostnet: Stdout already set")
	}
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to its standard output and
// standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stderr != nil {
		return nil, errors.New("hostnet: Stderr already set")
	}
	if c.Stdout != nil {
		return nil, errors.New("hostnet: Stdout already set")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}
