// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// marker, in the environment of a program that Rerun started, is the user's real uid. It keeps the program from trying
// again.
const marker = "HOOKNET_ROOTLESS"

// Check returns nil if this process may make network namespaces and open the TUN device; ErrUnprivileged if not, but
// Rerun may help; else a *MissingError.
func Check() error { return gather().judge() }

// Rerun runs this program again inside a new user and network namespace, where it is root, and returns its exit status.
// When ctx is done the program is interrupted (SIGINT), and killed if it has not ended after five seconds. It is killed,
// too, when this process dies. The error is a *MissingError if there is no user namespace to be had.
func Rerun(ctx context.Context, p Program) (status int, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", p.Args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, p.Stdout, p.Stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", marker, os.Getuid()))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	// Pdeathsig means the death of the thread that started the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		f := gather()
		f.user = err
		return 0, &MissingError{f.missingNamespaces(f.forbidden())}
	}
	err = cmd.Wait()
	if state := cmd.ProcessState; state != nil && state.Exited() {
		return state.ExitCode(), nil
	}
	return 0, fmt.Errorf("rootless: %w", err)
}
