// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/demo"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/rootless"
)

// brief makes the demonstration short.
const brief = "--transfer=100ms"

// needDemo skips the test where the demonstration cannot run.
func needDemo(t *testing.T) {
	t.Helper()
	if err := rootless.Check(); err != nil && !errors.Is(err, rootless.ErrUnprivileged) {
		hostnettest.Missing(t, "what hooknet demo needs", err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		hostnettest.Missing(t, "root", os.ErrPermission)
	}
	needDemo(t)
}

// checkReport checks what "hooknet demo --json" wrote.
func checkReport(t *testing.T, out []byte) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(out))
	var r demo.Report
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("more than one JSON value (%v) in\n%s", err, out)
	}
	if !r.OK || r.Error != "" || r.ThroughputBPS <= 0 || r.DirectBPS <= 0 {
		t.Errorf("report: %s", out)
	}
	for _, family := range []string{"inet", "inet6"} {
		for _, event := range []string{"PHYSICAL_IN", "PHYSICAL_OUT", "FORWARDING", "LOOPBACK_IN", "LOOPBACK_OUT"} {
			hits := uint64(0)
			for _, h := range r.Hooks {
				if h.Family == family && h.Event == event {
					hits += h.Hits
				}
			}
			if hits == 0 {
				t.Errorf("%s %s: no hits", family, event)
			}
		}
	}
	if len(r.NICEvents) != 12 {
		t.Errorf("NIC events: %v, want 6 of each family", r.NICEvents)
	}
	if r.Drops["hook"] == 0 || r.Drops["ttl_expired"] == 0 {
		t.Errorf("drops %v, want some by hook and ttl_expired", r.Drops)
	}
}

func TestDemoJSON(t *testing.T) {
	needDemo(t)
	out, stderr := outputs(t, hooknet(t, "demo", "--json", brief), false)
	checkReport(t, []byte(out))
	if !regexp.MustCompile(`^(hooknet: [^\x1b\r]+\n)+$`).MatchString(stderr) {
		t.Errorf("progress: %q, want plain lines", stderr)
	}
}

// report matches a report, but for what is measured.
var report = regexp.MustCompile(`(?s)^
  ┌───.*│ red .*│ router .*│ blue .*
Traffic .*
  ✓ ping          IPv4  5 of 5 echoes from 10\.77\.2\.2, .*
  ✓               IPv6  5 of 5 echoes from fd77:2::2, .*
  ✓ HTTP          IPv4  10\.77\.9\.9:80 → 10\.77\.2\.2:8080, 1 MiB in .*
  ✓ NIC events          12 in order, in .*; .* of TCP meanwhile
.*
Hooks .*
  PHYSICAL_IN     1  count  .*
                  2  service  .*
  LOOPBACK_IN     1  count  .*
NIC events .*
  IPv4  guest  PLUMB → UP → LIF_UP 10\.77\.4\.1/24 → LIF_DOWN → DOWN → UNPLUMB
  IPv6  guest  PLUMB → UP → LIF_UP fd77:4::1/64 → LIF_DOWN → DOWN → UNPLUMB

Dropped .*
  hook  .*
  ttl_expired +2  .*
Throughput .*
  through hooknet  [█-▏]* .* [GM]bit/s
  veth, no router  [█-▏]* .* [GM]bit/s
.*
All \d+ checks passed\. It took \d+\.\d s, and nothing is left behind\.
$`)

// On a terminal there are colours, and progress is a line that is gone at the end; not so elsewhere, or if not wanted.
func TestDemoText(t *testing.T) {
	needDemo(t)
	for name, test := range map[string]struct {
		terminal, colour, overwritten bool
		env                           string
	}{
		"terminal":      {terminal: true, colour: true, overwritten: true},
		"NO_COLOR":      {terminal: true, env: "NO_COLOR=1", overwritten: true},
		"dumb terminal": {terminal: true, env: "TERM=dumb"},
		"pipe":          {},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := hooknet(t, "demo", brief)
			cmd.Env = append(cmd.Env, test.env)
			out, errOut := outputs(t, cmd, test.terminal)
			plain := sgr.ReplaceAllString(out, "")
			if colour := plain != out; colour != test.colour {
				t.Errorf("colours %v, want %v:\n%q", colour, test.colour, out)
			}
			if overwritten := strings.Contains(errOut, "\r"); overwritten != test.overwritten {
				t.Errorf("progress written over %v, want %v: %q", overwritten, test.overwritten, errOut)
			}
			if test.overwritten && !strings.HasSuffix(errOut, "\r"+clearLine) {
				t.Errorf("progress ends with %q, want it erased", errOut[max(0, len(errOut)-20):])
			}
			if !report.MatchString(trailing.ReplaceAllString(plain, "\n")) {
				t.Errorf("report:\n%s", plain)
			}
			for _, line := range strings.Split(plain, "\n") {
				if n := utf8.RuneCountInString(line); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

var (
	sgr      = regexp.MustCompile("\x1b\\[[0-9;]*m")
	trailing = regexp.MustCompile(" +\n")
)

// outputs runs a command that is to succeed, with its outputs on pseudo-terminals or on pipes, and returns what it
// wrote.
func outputs(t *testing.T, cmd *exec.Cmd, terminal bool) (stdout, stderr string) {
	t.Helper()
	open := pipe
	if terminal {
		open = pseudoTerminal
	}
	var read [2]chan string
	for k, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		near, far := open(t)
		*to = far
		defer func() { _ = near.Close() }()
		read[k] = make(chan string, 1)
		go func() { // ends with the last writer
			b, _ := io.ReadAll(near) // EIO is the end of a terminal
			read[k] <- string(b)
		}()
	}
	err := cmd.Start()
	_ = cmd.Stdout.(*os.File).Close()
	_ = cmd.Stderr.(*os.File).Close()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr = <-read[0], <-read[1]
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr)
	}
	return stdout, stderr
}

func pipe(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// pseudoTerminal opens a terminal that changes nothing of what is written to it (pty(7)).
func pseudoTerminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		hostnettest.Missing(t, "a pseudo-terminal", err)
	}
	number, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(errors.Join(err, near.Close()))
	}
	settings, err := unix.IoctlGetTermios(int(far.Fd()), unix.TCGETS)
	if err == nil {
		settings.Oflag &^= unix.OPOST
		err = unix.IoctlSetTermios(int(far.Fd()), unix.TCSETS, settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// interrupted starts a command, waits until it is in the middle of a transfer, does something to it, and returns its
// exit status and what it wrote. It returns when all processes that share the command's stderr have ended.
func interrupted(t *testing.T, cmd *exec.Cmd, disturb func(*os.Process) error) (status int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout = &out
	near, far := pipe(t)
	defer func() { _ = near.Close() }()
	cmd.Stderr = far
	err := cmd.Start()
	_ = far.Close()
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	var since time.Time
	for in := bufio.NewScanner(near); in.Scan(); { // to the end of the last process
		lines.WriteString(in.Text() + "\n")
		if strings.Contains(in.Text(), "TCP through the router") {
			if err := disturb(cmd.Process); err != nil {
				t.Error(err)
			}
			since = time.Now()
		}
	}
	took := time.Since(since)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	switch {
	case since.IsZero():
		t.Fatalf("it did not come to the transfer:\n%s", lines.String())
	case took > 5*time.Second:
		t.Errorf("it ended after %v", took)
	}
	return cmd.ProcessState.ExitCode(), out.String(), lines.String()
}

func TestDemoInterrupted(t *testing.T) {
	needDemo(t)
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := hooknet(t, "demo", "--transfer=1m")
			status, out, errOut := interrupted(t, cmd, func(p *os.Process) error { return p.Signal(signal) })
			if status != statusInterrupted || out != "" || !strings.HasSuffix(errOut, "\nhooknet: interrupted\n") {
				t.Errorf("exit status %d, stdout %q, stderr %q; want 130, nothing, and that it was interrupted", status, out, errOut)
			}
		})
	}
}
