// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// runLimit is how long a program may take that a test waits for.
const runLimit = 60 * time.Second

// A Result is what a program that has ended leaves.
type Result struct {
	Command string
	Stdout  string
	Output  string // standard output and standard error as they came
	Code    int    // exit status; -1 if it was killed
}

// String returns the command and its output, for messages.
func (r Result) String() string {
	return fmt.Sprintf("%s\n%s[exit status %d]", r.Command, r.Output, r.Code)
}

// Run runs a program in the namespace, waits for it, and returns its standard output. The test fails at once if the program
// does, and shows all of its output.
func (n *Namespace) Run(t testing.TB, program string, args ...string) string {
	t.Helper()
	r := n.Try(t, program, args...)
	if r.Code != 0 {
		t.Fatal(r)
	}
	return r.Stdout
}

// Try runs a program that may fail, and waits for it.
func (n *Namespace) Try(t testing.TB, program string, args ...string) Result {
	t.Helper()
	p := n.start(t, program, args)
	return p.wait(t)
}

// A Process is a program running in a namespace.
type Process struct {
	command string
	cancel  context.CancelFunc
	signal  func(os.Signal) error
	done    chan struct{} // closed when it has ended
	code    int           // valid after done

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with every output; guarded by mu
	stdout  bytes.Buffer  // guarded by mu
	output  bytes.Buffer  // guarded by mu
}

// Start starts a program in the namespace. At the end of t it is stopped if it still runs, and its output is shown if the
// test failed.
func (n *Namespace) Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	p := n.start(t, program, args)
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Log(p.result())
		}
	})
	return p
}

func (n *Namespace) start(t testing.TB, program string, args []string) *Process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := n.ns.Command(ctx, program, args...)
	p := &Process{
		command: strings.Join(append([]string{n.name + ":", program}, args...), " "),
		cancel:  cancel,
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	c.Env = append(os.Environ(), "LC_ALL=C")
	c.Stdout, c.Stderr = processOutput{p, true}, processOutput{p, false}
	c.WaitDelay = time.Second // for children that keep the pipes open
	if err := c.Start(); err != nil {
		cancel()
		t.Fatalf("testbed: %s: %v", p.command, err)
	}
	p.signal = c.Process.Signal
	go func() { // ends with the program
		defer close(p.done)
		err := c.Wait()
		p.code = c.ProcessState.ExitCode()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			_, _ = processOutput{p, false}.Write([]byte("testbed: " + err.Error() + "\n"))
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
	})
	return p
}

// processOutput is one of the two pipes of a program.
type processOutput struct {
	*Process
	isStdout bool
}

func (o processOutput) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.output.Write(b)
	if o.isStdout {
		o.stdout.Write(b)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

// Output returns what the program has written so far, standard output and standard error.
func (p *Process) Output() string {
	s, _ := p.look()
	return s
}

// look returns the output and a channel that is closed when there is more.
func (p *Process) look() (output string, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String(), p.changed
}

// Await waits until the program has written text. The test fails if the program ends before, or takes too long.
func (p *Process) Await(t testing.TB, text string) {
	t.Helper()
	late := time.After(runLimit)
	for {
		output, changed := p.look()
		if strings.Contains(output, text) {
			return
		}
		select {
		case <-changed:
		case <-p.done:
			if !strings.Contains(p.Output(), text) {
				t.Fatalf("testbed: ended without having written %q: %v", text, p.result())
			}
			return
		case <-late:
			t.Fatalf("testbed: has not written %q in %v: %s\n%s", text, runLimit, p.command, output)
		}
	}
}

// Wait waits until the program has ended by itself and returns its standard output. The test fails if the program does, or
// takes too long.
func (p *Process) Wait(t testing.TB) string {
	t.Helper()
	r := p.wait(t)
	if r.Code != 0 {
		t.Fatal(r)
	}
	return r.Stdout
}

func (p *Process) wait(t testing.TB) Result {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(runLimit):
		p.cancel()
		<-p.done
		t.Fatalf("testbed: killed after %v: %v", runLimit, p.result())
	}
	return p.result()
}

// Stop interrupts the program, as Ctrl-C does, waits for its end, and kills it if that takes too long. It may be called more
// than once.
func (p *Process) Stop() {
	_ = p.signal(os.Interrupt) // an error means that it has ended
	select {
	case <-p.done:
	case <-time.After(patience):
	}
	p.cancel()
	<-p.done
}

// result is valid once the program has ended.
func (p *Process) result() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Result{Command: p.command, Stdout: p.stdout.String(), Output: p.output.String(), Code: p.code}
}
