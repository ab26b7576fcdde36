// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// A process is a path's router at work: this program again, as Worker.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer // the router runs until its standard input ends
	stderr bytes.Buffer
	ended  chan struct{}
	err    error // once ended is closed
}

// readyLine is what a worker writes when it forwards.
const readyLine = "ready\n"

// startProcess starts a router between two namespaces, and returns when it forwards.
func startProcess(ctx context.Context, args []string, client, server *hostnet.Namespace) (*process, error) {
	p := &process{cmd: exec.Command("/proc/self/exe", args...), ended: make(chan struct{})}
	p.cmd.Args[0] = os.Args[0]
	p.cmd.ExtraFiles = []*os.File{client.File(), server.File()} // firstNamespace and the next
	p.cmd.Stderr = &p.stderr
	// Ctrl-C on a terminal is for this process, which ends the others.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, ready, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	p.cmd.Stdout = ready
	err = p.cmd.Start()
	_ = ready.Close()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), stdout.Close())
	}
	go func() { // ends with the process
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	stop := context.AfterFunc(ctx, func() { _ = stdin.Close() })
	defer stop()
	said, _ := io.ReadAll(io.LimitReader(stdout, int64(len(readyLine))))
	_ = stdout.Close()
	switch {
	case string(said) == readyLine:
		return p, nil
	case ctx.Err() != nil:
		return nil, errors.Join(context.Cause(ctx), p.close())
	}
	_ = p.close()
	return nil, p.failed()
}

// failed says how the process ended.
func (p *process) failed() error {
	words := strings.TrimSpace(p.stderr.String())
	if i := strings.Index(words, "\n\n"); i >= 0 { // the stacks of a panic
		words = words[:i]
	}
	switch {
	case words != "":
		return fmt.Errorf("the router's process: %s", words)
	case p.err != nil:
		return fmt.Errorf("the router's process: %w", p.err)
	}
	return errors.New("the router's process ended")
}

// check returns an error if the process has ended.
func (p *process) check() error {
	select {
	case <-p.ended:
		return p.failed()
	default:
		return nil
	}
}

// cpu returns the processor time of all threads of the process, what the kernel did in their name included.
func (p *process) cpu() (time.Duration, error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	// The clock of another process: MAKE_PROCESS_CPUCLOCK of the kernel, what clock_getcpuclockid(3) returns.
	const sched = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid)<<3|sched, &t); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return time.Duration(t.Nano()), nil
}

// close ends the process and waits for it.
func (p *process) close() error {
	_ = p.stdin.Close()
	select {
	case <-p.ended:
		if p.err != nil {
			return p.failed()
		}
		return nil
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return errors.New("the router's process had to be killed: it did not end by itself")
	}
}
