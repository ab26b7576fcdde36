// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/demo"
)

// The tests of this file run the command as somebody who is not root, in a mount namespace with a /dev/net of its own.

// nobody is the user and group.
const nobody = 65534

// tunMode is the environment variable with the permissions of the user's /dev/net/tun: "0666", or "none" for no node.
const tunMode = "HOOKNET_TEST_TUN"

func init() {
	programs["as nobody"] = asNobody
	programs["as nobody without namespaces"] = asNobodyWithoutNamespaces
	programs["drop root"] = dropRoot
}

// ordinaryUser returns the command as a process of its own that is not root.
func ordinaryUser(t *testing.T, program, mode string, args ...string) *exec.Cmd {
	t.Helper()
	needRoot(t)
	cmd := hooknet(t, args...)
	cmd.Env = append(cmd.Env, asProgram+"="+program, tunMode+"="+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return cmd
}

// asNobody makes the private /dev/net, and becomes the command, without root's rights.
func asNobody() error {
	if err := privateTUN(); err != nil {
		return err
	}
	return dropRoot()
}

// asNobodyWithoutNamespaces is asNobody where user namespaces are forbidden.
func asNobodyWithoutNamespaces() error {
	if err := privateTUN(); err != nil {
		return err
	}
	// The limit belongs to a user namespace: make one to set it in.
	all := []syscall.SysProcIDMap{{Size: nobody + 1}}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), asProgram+"=drop root", "HOOKNET_TEST_LIMIT=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	return err
}

func privateTUN() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := os.MkdirAll("/dev/net", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("none", "/dev/net", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount on /dev/net: %w", err)
	}
	mode := os.Getenv(tunMode)
	if mode == "none" {
		return nil
	}
	permissions, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return err
	}
	const path = "/dev/net/tun" // 10, 200: Documentation/admin-guide/devices.txt
	if err := unix.Mknod(path, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return os.Chmod(path, os.FileMode(permissions))
}

// dropRoot becomes the command, without root's rights.
func dropRoot() error {
	if limit := os.Getenv("HOOKNET_TEST_LIMIT"); limit != "" {
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte(limit), 0); err != nil {
			return err
		}
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, os.Environ())
}

func TestDemoAsOrdinaryUser(t *testing.T) {
	out, _ := outputs(t, ordinaryUser(t, "as nobody", "0666", "demo", "--json", brief), false)
	checkReport(t, []byte(out))
}

// Whoever is interrupted or killed, nobody goes on.
func TestDemoAsOrdinaryUserInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		signal os.Signal
		status int
		last   string
	}{
		"interrupted": {os.Interrupt, statusInterrupted, "hooknet: interrupted\n"},
		"killed":      {os.Kill, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := ordinaryUser(t, "as nobody", "0666", "demo", "--transfer=1m")
			status, out, errOut := interrupted(t, cmd, func(p *os.Process) error { return p.Signal(test.signal) })
			if status != test.status || out != "" || !strings.HasSuffix(errOut, test.last) {
				t.Errorf("exit status %d, stdout %q, stderr %q; want %d, nothing, and %q at the end", status, out, errOut, test.status, test.last)
			}
			if strings.Count(errOut, "interrupted") > 1 {
				t.Errorf("told more than once: %q", errOut)
			}
		})
	}
}

// Where the demonstration cannot run it says what is missing, and the command that mends it.
func TestDemoSaysWhatIsMissing(t *testing.T) {
	const namespaces = "as nobody without namespaces"
	for name, test := range map[string]struct {
		program, mode string
		want          []string
	}{
		"closed tun": {"as nobody", "0600", []string{
			"missing: permission to open /dev/net/tun\n", "mode 0600, owner uid 0; this is uid 65534", "mend: sudo chmod 0666 /dev/net/tun\n",
		}},
		"no tun": {"as nobody", "none", []string{
			"missing: the TUN driver, /dev/net/tun\n", "no such file", "mend: sudo modprobe tun\n",
		}},
		"no namespaces": {namespaces, "0666", []string{
			"missing: the right to make namespaces\n", "user.max_user_namespaces = 0", "mend: sudo sysctl -w user.max_user_namespaces=15000\n",
		}},
		"neither": {namespaces, "0600", []string{
			"mend: sudo chmod 0666 /dev/net/tun\n", "mend: sudo sysctl -w user.max_user_namespaces=15000\n",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := ordinaryUser(t, test.program, test.mode, "demo", "--json", brief)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != statusFailure {
				t.Errorf("%v, want exit status 1", err)
			}
			for _, want := range append(test.want, "hooknet: the demonstration cannot run here\n") {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.Bytes())
				}
			}
			var report demo.Report
			if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || report.OK || !strings.Contains(report.Error, "missing:") {
				t.Errorf("JSON: %v in %q, want ok false and the error", err, stdout.Bytes())
			}
		})
	}
}
