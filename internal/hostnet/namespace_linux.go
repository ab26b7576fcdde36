// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// namedDir is where ip-netns(8) keeps named namespaces, each a file with the
	// namespace mounted on it.
	namedDir = "/run/netns"

	// threadNamespace is the network namespace of the thread that opens it.
	threadNamespace = "/proc/thread-self/ns/net"
)

// Namespace is an open network namespace. Get one from Current, Open, New or Create,
// and close it after use.
type Namespace struct {
	name string
	file *os.File
}

// Current opens the network namespace of the calling thread. That is the one the
// process was started in, unless the caller has locked its thread and moved it (or is
// inside Do).
func Current() (*Namespace, error) {
	return open("current", threadNamespace)
}

// Open opens the namespace that "ip netns add NAME" or Create made.
func Open(name string) (*Namespace, error) {
	if err := checkName(name); err != nil {
		return nil, &OpError{Op: "open", Namespace: name, Err: err}
	}
	path := filepath.Join(namedDir, name)
	n, err := open(name, path)
	if err != nil {
		return nil, err
	}
	// An empty file is left behind where an "ip netns add" failed or was killed.
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err == nil && stat.Type != unix.NSFS_MAGIC {
		return nil, errors.Join(n.failed("", "open", fmt.Errorf("%s is no namespace: ip netns delete %s removes it", path, name)), n.Close())
	}
	return n, nil
}

// FromFile takes over a namespace that another program has open and passed on, as
// File says. The name is for messages.
func FromFile(name string, file *os.File) *Namespace { return &Namespace{name: name, file: file} }

// File returns the open namespace, to pass it on to a program as one of the ExtraFiles
// of exec.Cmd. It remains the Namespace's own: not to be closed.
func (n *Namespace) File() *os.File { return n.file }

// New makes an anonymous namespace. It lives as long as it is open, or a device's
// descriptor, a socket or a process is in it. Its only link, "lo", is down.
func New() (*Namespace, error) {
	var n *Namespace
	err := onThread(func() (err error) {
		if err := unshare(); err != nil {
			return err
		}
		n, err = open("anonymous", threadNamespace)
		return err
	})
	if err != nil {
		return nil, &OpError{Op: "create an anonymous namespace", Err: err}
	}
	return n, nil
}

// Create makes a namespace with a name, as "ip netns add" does: ip-netns sees it, and
// it stays until Delete or "ip netns delete". errors.Is(err, fs.ErrExist) tells that
// the name is taken.
func Create(name string) (*Namespace, error) {
	n, err := create(name)
	if err != nil {
		return nil, &OpError{Op: "create", Namespace: name, Err: err}
	}
	return n, nil
}

func create(name string) (_ *Namespace, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := prepareNamedDir(); err != nil {
		return nil, err
	}
	path := filepath.Join(namedDir, name)
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	err = onThread(func() error {
		if err := unshare(); err != nil {
			return err
		}
		if err := unix.Mount(threadNamespace, path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount the namespace on %s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return Open(name)
}

// Delete removes the name of a namespace, as "ip netns delete" does. The namespace
// itself goes when nothing uses it any more.
func Delete(name string) error {
	err := checkName(name)
	if err == nil {
		path := filepath.Join(namedDir, name)
		// EINVAL: nothing is mounted there; the file is left over.
		if err = unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err == nil || err == unix.EINVAL {
			err = os.Remove(path)
		}
	}
	if err != nil {
		return &OpError{Op: "delete", Namespace: name, Err: err}
	}
	return nil
}

// prepareNamedDir makes namedDir and, as ip-netns does, makes mounts in it propagate to
// other mount namespaces, so that a namespace can be deleted everywhere.
func prepareNamedDir() error {
	if err := os.MkdirAll(namedDir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", namedDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err == unix.EINVAL { // not a mount point yet
		if err = unix.Mount(namedDir, namedDir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", namedDir, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("make %s a shared mount (needs CAP_SYS_ADMIN): %w", namedDir, err)
	}
	return nil
}

// checkName refuses names that are no file name.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > unix.NAME_MAX || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%q is no name for a namespace: %w", name, fs.ErrInvalid)
	}
	return nil
}

func open(name, path string) (*Namespace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, &OpError{Op: "open", Namespace: name, Err: err}
	}
	return &Namespace{name: name, file: file}, nil
}

// unshare gives the calling thread a new network namespace.
func unshare() error {
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == unix.EPERM {
		return fmt.Errorf("%w; CAP_SYS_ADMIN is needed: run as root, or inside a user namespace (unshare -Urn)", err)
	}
	return err
}

// String returns the namespace's name; "anonymous" and "current" stand for those that
// have none.
func (n *Namespace) String() string { return n.name }

// Close closes the descriptor. A namespace with a name stays. Calls in progress finish.
func (n *Namespace) Close() error {
	if err := n.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return n.failed("", "close", err)
	}
	return nil
}

// Do runs f inside the namespace and returns its error: sockets and TUN devices that f
// opens, files below /proc/sys/net and /proc/net that it opens, and programs that it
// starts belong to the namespace. f runs on a goroutine of its own, locked to its
// thread; goroutines that f starts do not. Do may be nested. A panic in f, and a
// runtime.Goexit (such as testing's FailNow), go on in the caller.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		enter := func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) }
		if err := n.withFD(enter); err != nil {
			return n.failed("", "enter", err)
		}
		return f()
	})
}

// onThread runs f on a goroutine that is locked to its thread, waits for it, and puts
// the thread back into the namespace it came from. If that fails the goroutine ends
// locked, and the runtime destroys the thread with it.
func onThread(f func() error) error {
	var (
		result   error
		returned bool
		panicked any
		done     = make(chan struct{})
	)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, err := os.Open(threadNamespace)
		if err != nil {
			runtime.UnlockOSThread()
			result, returned = err, true
			return
		}
		defer func() {
			if !returned {
				panicked = recover() // nil: f ended with runtime.Goexit
			}
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
			_ = home.Close()
		}()
		result = f()
		returned = true
	}()
	<-done
	switch {
	case returned:
		return result
	case panicked != nil:
		panic(panicked)
	}
	runtime.Goexit()
	return nil
}

// withFD runs f with the namespace's descriptor, which stays open meanwhile.
func (n *Namespace) withFD(f func(fd int) error) error {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	// The only error of Control is that of a closed file; it has no exported name.
	if conn.Control(func(fd uintptr) { err = f(int(fd)) }) != nil {
		return fs.ErrClosed
	}
	return err
}

// failed makes an OpError, or nil of nil.
func (n *Namespace) failed(device, op string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Namespace: n.name, Device: device, Err: err}
}
