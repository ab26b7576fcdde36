// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// briefBench makes the benchmark short.
func briefBench(args ...string) []string {
	return append([]string{"bench", "router", "--rounds=2", "--duration=50ms"}, args...)
}

// finish runs a command that is to succeed, or that may end as void: a busy machine can do that to a short run.
func finish(t *testing.T, cmd *exec.Cmd) (stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if err != nil && !strings.Contains(strings.ToLower(out.String()), "void") {
		t.Fatalf("%v\n%s", err, errOut.Bytes())
	}
	return out.String(), errOut.String()
}

func TestBenchJSON(t *testing.T) {
	needDemo(t)
	picture := filepath.Join(t.TempDir(), "router.svg")
	out, errOut := finish(t, hooknet(t, briefBench("--json", "--paths=kernel,splice,hooknet", "--tests=tcp1,ping", "--svg", picture)...))
	var report struct {
		MedianGbps map[string]float64 `json:"median_gbps"`
		Ratio      map[string]float64
		Rounds     int
		Void       *string
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	if report.Rounds != 2 || report.Void == nil || len(report.MedianGbps) != 3 {
		t.Errorf("report: %s", out)
	}
	for _, key := range []string{"hooknet/splice", "hooknet/kernel", "splice/kernel"} {
		if report.Ratio[key] <= 0 {
			t.Errorf("ratio %s is %v", key, report.Ratio[key])
		}
	}
	if !regexp.MustCompile(`^hooknet: about \d+ s for 2 rounds\n(hooknet: void: .*\n)?$`).MatchString(errOut) {
		t.Errorf("stderr %q, want how long it takes and nothing else", errOut)
	}
	svg, err := os.ReadFile(picture)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(svg, new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("%v in\n%s", err, svg)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(picture), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A picture that cannot be written is found out before anything is measured.
func TestBenchPictureNowhere(t *testing.T) {
	needRoot(t) // otherwise another process would run it
	_, stderr, err := runHere(t, "bench", "router", "--svg", filepath.Join(t.TempDir(), "none", "x.svg"))
	if exitStatus(err) != statusFailure || strings.Contains(stderr, "about") {
		t.Errorf("exit status %d, stderr %q; want 1, at once", exitStatus(err), stderr)
	}
}

// On a terminal there are colours and progress, elsewhere neither.
func TestBenchText(t *testing.T) {
	needDemo(t)
	for name, terminal := range map[string]bool{"terminal": true, "pipe": false} {
		t.Run(name, func(t *testing.T) {
			// Without the kernel's path no run is void, and the exit status says whether it worked.
			cmd := hooknet(t, briefBench("--tests=tcp1,udp64,ping", "--paths=splice,hooknet")...)
			out, errOut := outputs(t, cmd, terminal)
			plain := sgr.ReplaceAllString(out, "")
			if colours := plain != out; colours != terminal {
				t.Errorf("colours %v, want %v:\n%q", colours, terminal, out)
			}
			if progress := strings.Contains(errOut, "round 2 of 2, Ping, no load, "); progress != terminal {
				t.Errorf("progress %v, want %v: %q", progress, terminal, errOut)
			}
			for _, want := range []string{"\nTCP, 1 stream\n", "\nUDP, 64 bytes\n", "\nPing, no load\n", "TCP, 1 stream: hooknet ", " of splice\n"} {
				if !strings.Contains(plain, want) {
					t.Errorf("no %q in\n%s", want, plain)
				}
			}
			for _, line := range strings.Split(plain, "\n") {
				if n := utf8.RuneCountInString(line); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestBenchAsOrdinaryUser(t *testing.T) {
	cmd := ordinaryUser(t, "as nobody", "0666", briefBench("--json", "--tests=tcp1,udp64,ping", "--paths=splice,hooknet")...)
	if out, _ := finish(t, cmd); !strings.Contains(out, `"hooknet/splice":`) {
		t.Errorf("report: %s", out)
	}
}

func TestBenchSaysWhatIsMissing(t *testing.T) {
	cmd := ordinaryUser(t, "as nobody", "0600", briefBench()...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "hooknet: the benchmark cannot run here\n\nmissing: permission to open /dev/net/tun\n") {
		t.Errorf("%v; it says\n%s", err, out)
	}
}

// Interrupted or killed, it leaves no process behind, and with the processes go the namespaces and the devices.
func TestBenchInterrupted(t *testing.T) {
	needDemo(t)
	for name, test := range map[string]struct {
		signal syscall.Signal
		status int
		last   string
	}{
		"interrupted": {syscall.SIGINT, statusInterrupted, "hooknet: interrupted\n"},
		"terminated":  {syscall.SIGTERM, statusInterrupted, "hooknet: interrupted\n"},
		"killed":      {syscall.SIGKILL, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			mark := fmt.Sprintf("HOOKNET_TEST_MARK=%d-%s", os.Getpid(), name)
			cmd := hooknet(t, briefBench("--rounds=100000", "--paths=kernel,splice,hooknet")...)
			cmd.Env = append(cmd.Env, mark)
			var out, errOut bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errOut
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			awaitProcesses(t, mark, 3) // the command, and the routers of two paths
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != test.status || out.Len() > 0 || !strings.HasSuffix(errOut.String(), test.last) {
				t.Errorf("exit status %d, stdout %q, stderr %q; want %d, nothing, and %q at the end", status, out.Bytes(), errOut.Bytes(), test.status, test.last)
			}
			awaitProcesses(t, mark, 0)
		})
	}
}

// awaitProcesses waits until there are n processes with this in their environment.
func awaitProcesses(t *testing.T, mark string, n int) {
	t.Helper()
	found := 0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		found = 0
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, file := range files {
			if environ, _ := os.ReadFile(file); bytes.Contains(environ, []byte(mark+"\x00")) {
				found++
			}
		}
		if found == n {
			return
		}
	}
	t.Fatalf("%d processes, want %d", found, n)
}
