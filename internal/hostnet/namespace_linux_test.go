// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// threadNamespace identifies the network namespace of the calling thread.
func threadNamespace(t *testing.T) string {
	t.Helper()
	id, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDo(t *testing.T) {
	home := threadNamespace(t)
	ns := hostnettest.Namespace(t)
	other := hostnettest.Namespace(t)

	var inside, nested, after string
	err := ns.Do(func() error {
		inside = threadNamespace(t)
		err := other.Do(func() error { nested = threadNamespace(t); return nil })
		after = threadNamespace(t)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if inside == home || nested == home || nested == inside {
		t.Errorf("namespaces: home %s, inside %s, nested %s: want three", home, inside, nested)
	}
	if after != inside {
		t.Errorf("after the nested Do: %s, want %s", after, inside)
	}

	want := errors.New("from f")
	if got := ns.Do(func() error { return want }); got != want {
		t.Errorf("Do returned %v, want f's own error", got)
	}

	// No thread was left behind in a namespace: goroutines on every thread there is.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if id, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || id != home {
				t.Errorf("a thread is in %s (%v), want %s", id, err, home)
			}
		})
	}
	wg.Wait()
}

func TestDoPanic(t *testing.T) {
	ns := hostnettest.Namespace(t)
	defer func() {
		if got := recover(); got != "from f" {
			t.Errorf("recovered %v, want f's own panic", got)
		}
	}()
	_ = ns.Do(func() error { panic("from f") })
	t.Error("Do returned")
}

func TestDoGoexit(t *testing.T) {
	ns := hostnettest.Namespace(t)
	var returned bool
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = ns.Do(func() error { runtime.Goexit(); return nil })
		returned = true
	})
	wg.Wait()
	if returned {
		t.Error("Do returned after a Goexit in f")
	}
}

// A thread that may not go home any more must not go on working for the process.
func TestDoThrowsThreadAway(t *testing.T) {
	home := threadNamespace(t)
	ns := hostnettest.Namespace(t)
	var tid int
	err := ns.Do(func() error {
		tid = unix.Gettid()
		if tid == os.Getpid() {
			t.Skip("on the main thread, which the runtime keeps and never uses again")
		}
		// Capabilities belong to the thread: without them setns(2) is refused.
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		return unix.Capset(&header, &none[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	task := fmt.Sprintf("/proc/self/task/%d", tid)
	waitFor(t, "thread "+task+" to end", func() bool {
		_, err := os.Stat(task)
		return errors.Is(err, fs.ErrNotExist)
	})
	if err := ns.Do(func() error { return nil }); err != nil {
		t.Errorf("Do afterwards: %v", err)
	}
	if id := threadNamespace(t); id != home {
		t.Errorf("the test's thread is in %s, want %s", id, home)
	}
}

// waitFor polls for what no event announces.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 5 s for %s", what)
		}
	}
}

func TestCurrent(t *testing.T) {
	ns := hostnettest.Namespace(t)
	var inside string
	err := ns.Do(func() error {
		inside = threadNamespace(t)
		current, err := hostnet.Current()
		if err != nil {
			return err
		}
		defer func() { _ = current.Close() }()
		return current.Do(func() error {
			if got := threadNamespace(t); got != inside {
				t.Errorf("current namespace is %s, want %s", got, inside)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestClosed(t *testing.T) {
	ns := hostnettest.Namespace(t)
	for range 2 {
		if err := ns.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	err := ns.Do(func() error { t.Error("f was called"); return nil })
	if !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Do after Close: %v, want fs.ErrClosed", err)
	}
}

// uniqueName returns a name for a namespace, which is deleted after the test.
func uniqueName(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("hostnet-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() { _ = hostnet.Delete(name) })
	return name
}

// ip runs ip(8) in the test's own namespace.
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(hostnettest.Tool(t, "ip"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestNamed(t *testing.T) {
	name := uniqueName(t)
	ns, err := hostnet.Create(name)
	hostnettest.Require(t, "the right to make named network namespaces (root)", err)
	defer func() { _ = ns.Close() }()

	if got := ip(t, "netns", "list"); !strings.Contains(got, name) {
		t.Errorf("ip netns list does not show %s:\n%s", name, got)
	}
	if _, err := hostnet.Create(name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create again: %v, want fs.ErrExist", err)
	}
	if err := ns.Configure(hostnet.LinkConfig{Name: "lo"}); err != nil {
		t.Error(err)
	}
	if got := ip(t, "-n", name, "link", "show", "up"); !strings.Contains(got, "lo:") {
		t.Errorf("lo is not up for ip:\n%s", got)
	}

	again, err := hostnet.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if lo, err := again.Link("lo"); err != nil || !lo.Up {
		t.Errorf("lo through Open: %+v, %v; want it up", lo, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}

	if err := hostnet.Delete(name); err != nil {
		t.Error(err)
	}
	if got := ip(t, "netns", "list"); strings.Contains(got, name) {
		t.Errorf("ip netns list still shows %s", name)
	}
	if err := hostnet.Delete(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Delete again: %v, want fs.ErrNotExist", err)
	}
	if _, err := hostnet.Open(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open after Delete: %v, want fs.ErrNotExist", err)
	}
	// The open one still works.
	if _, err := ns.Links(); err != nil {
		t.Errorf("Links after Delete: %v", err)
	}
}

func TestNamedBothWays(t *testing.T) {
	name := uniqueName(t)
	ns, err := hostnet.Create(name)
	hostnettest.Require(t, "the right to make named network namespaces (root)", err)
	_ = ns.Close()
	ip(t, "netns", "delete", name)

	ip(t, "netns", "add", name)
	ns, err = hostnet.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	_ = ns.Close()
	if err := hostnet.Delete(name); err != nil {
		t.Error(err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../etc", strings.Repeat("x", 256)} {
		if _, err := hostnet.Create(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Create(%q): %v, want fs.ErrInvalid", name, err)
		}
		if _, err := hostnet.Open(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%q): %v, want fs.ErrInvalid", name, err)
		}
		if err := hostnet.Delete(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Delete(%q): %v, want fs.ErrInvalid", name, err)
		}
	}
}

func TestOpenNoNamespace(t *testing.T) {
	name := uniqueName(t)
	ns, err := hostnet.Create(name) // makes the directory, too
	hostnettest.Require(t, "the right to make named network namespaces (root)", err)
	_ = ns.Close()
	if err := unix.Unmount("/run/netns/"+name, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if _, err := hostnet.Open(name); err == nil || !strings.Contains(err.Error(), "no namespace") {
		t.Errorf("Open of an empty file: %v, want an error that says so", err)
	}
	if err := hostnet.Delete(name); err != nil {
		t.Errorf("Delete of an empty file: %v", err)
	}
}

func TestCommand(t *testing.T) {
	ns := hostnettest.Namespace(t)
	var want string
	if err := ns.Do(func() error { want = threadNamespace(t); return nil }); err != nil {
		t.Fatal(err)
	}
	out, err := ns.Command(t.Context(), "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("the program ran in %s, want %s", got, want)
	}
	out, err = ns.Command(t.Context(), "sh", "-c", "echo out; echo err >&2; exit 3").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || string(out) != "out\nerr\n" {
		t.Errorf("CombinedOutput: %q, %v; want both lines and exit status 3", out, err)
	}
	if err := ns.Command(t.Context(), "no-such-program-anywhere").Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("Run: %v, want exec.ErrNotFound", err)
	}
}

func TestCommandContext(t *testing.T) {
	ns := hostnettest.Namespace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := ns.Command(ctx, "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("Wait: %v, want killed", err)
	}
}

func TestNoLeak(t *testing.T) {
	cycle := func() {
		ns, err := hostnet.New()
		hostnettest.Require(t, "the right to make network namespaces (root, or unshare -Urn)", err)
		if err := ns.Configure(hostnet.LinkConfig{Name: "lo"}); err != nil {
			t.Error(err)
		}
		if _, err := ns.Links(); err != nil {
			t.Error(err)
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	}
	cycle()
	before := openFiles(t)
	for range 20 {
		cycle()
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d open files, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
