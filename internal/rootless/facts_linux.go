// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// tunPath is the device node that TUN devices are made of.
const tunPath = "/dev/net/tun"

// facts are what a machine was seen to allow this process.
type facts struct {
	uid       int    // of the user, not of the root that he is in his own user namespace
	again     bool   // this is the program that Rerun started
	tun       error  // of opening /dev/net/tun
	tunMode   string // permissions and owner of /dev/net/tun, "" if it is not there
	namespace error  // of making a network namespace
	user      error  // of making a user namespace; nil if it was not tried
	sysctl    func(name string) string
}

func gather() facts {
	f := facts{uid: os.Getuid(), tun: openTUN(), tunMode: modeTUN(), namespace: makeNamespace(), sysctl: readSysctl}
	if outer, err := strconv.Atoi(os.Getenv(marker)); err == nil {
		f.again, f.uid = true, outer
	}
	return f
}

func openTUN() error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: tunPath, Err: err}
	}
	return unix.Close(fd)
}

func modeTUN() string {
	var stat unix.Stat_t
	if unix.Stat(tunPath, &stat) != nil {
		return ""
	}
	return fmt.Sprintf("mode %04o, owner uid %d", stat.Mode&0o7777, stat.Uid)
}

func makeNamespace() error {
	namespace, err := hostnet.New()
	if err != nil {
		return err
	}
	return namespace.Close()
}

// readSysctl returns a kernel parameter, "" if this kernel does not have it.
func readSysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// judge returns nil if nothing is in the way, ErrUnprivileged if a user namespace may help, else a *MissingError.
func (f facts) judge() error {
	var missing []Missing
	if f.tun != nil {
		missing = append(missing, f.missingTUN())
	}
	rerun := false
	switch forbidden := f.forbidden(); {
	case f.namespace == nil:
	case f.user == nil && !f.again && errors.Is(f.namespace, unix.EPERM) && len(forbidden) == 0:
		rerun = true
	default:
		missing = append(missing, f.missingNamespaces(forbidden)...)
	}
	switch {
	case len(missing) > 0:
		return &MissingError{Missing: missing}
	case rerun:
		return ErrUnprivileged
	}
	return nil
}

// asRoot is the way out that needs no explanation. Root who lacks a right is in a container.
func (f facts) asRoot() string {
	if f.uid == 0 {
		return "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun ..."
	}
	return "run it as root"
}

func (f facts) missingTUN() Missing {
	m := Missing{What: "the TUN driver, " + tunPath, Seen: f.tun.Error(), Mend: []string{"sudo modprobe tun"}}
	switch {
	case errors.Is(f.tun, unix.ENOENT):
		m.Mend = append(m.Mend,
			"sudo mkdir -p /dev/net && sudo mknod -m 0666 /dev/net/tun c 10 200",
			"docker run --device /dev/net/tun ... (in a container)")
	case errors.Is(f.tun, unix.EACCES):
		m.What = "permission to open " + tunPath
		m.Seen += fmt.Sprintf(" (%s; this is uid %d)", f.tunMode, f.uid)
		m.Mend = []string{"sudo chmod 0666 /dev/net/tun", f.asRoot()}
	case errors.Is(f.tun, unix.EPERM): // the device cgroup
		m.What = "permission to open " + tunPath
		m.Seen += " (a container that was not given the device)"
		m.Mend = []string{"docker run --device /dev/net/tun ..."}
	}
	return m
}

// A gate is a kernel parameter that can forbid namespaces.
type gate struct {
	sysctl, shut, open string
	late               bool // it may make exceptions: blamed only after an attempt has failed
}

var gates = []gate{
	{sysctl: "kernel.unprivileged_userns_clone", shut: "0", open: "1"}, // Debian's
	{sysctl: "user.max_user_namespaces", shut: "0", open: "15000"},
	{sysctl: "user.max_net_namespaces", shut: "0", open: "15000"},
	{sysctl: "kernel.apparmor_restrict_unprivileged_userns", shut: "1", open: "0", late: true}, // Ubuntu's
}

// forbidden returns the gates that are shut.
func (f facts) forbidden() []gate {
	var shut []gate
	for _, g := range gates {
		if tried := f.again || f.user != nil; (tried || !g.late) && f.sysctl(g.sysctl) == g.shut {
			shut = append(shut, g)
		}
	}
	return shut
}

// missingNamespaces says why there are no network namespaces for this process.
func (f facts) missingNamespaces(forbidden []gate) []Missing {
	var missing []Missing
	for _, g := range forbidden {
		missing = append(missing, Missing{
			What: "the right to make namespaces",
			Seen: g.sysctl + " = " + g.shut,
			Mend: []string{"sudo sysctl -w " + g.sysctl + "=" + g.open, f.asRoot()},
		})
	}
	if len(missing) > 0 {
		return missing
	}
	m := Missing{What: "the right to make namespaces", Mend: []string{f.asRoot()}}
	switch {
	case f.user != nil:
		m.Seen = "make a user namespace: " + f.user.Error()
	case f.again:
		m.Seen = "inside a user namespace: " + f.namespace.Error()
	default:
		m.Seen = f.namespace.Error()
	}
	switch {
	case errors.Is(f.user, unix.ENOSPC):
		m.Mend = append([]string{"sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000"}, m.Mend...)
	case errors.Is(f.namespace, unix.ENOSPC):
		m.Mend = []string{"sudo sysctl -w user.max_net_namespaces=15000"}
	case errors.Is(f.user, unix.EINVAL), errors.Is(f.user, unix.ENOSYS):
		m.Seen += " (a kernel without CONFIG_USER_NS)"
	case errors.Is(f.namespace, unix.EINVAL), errors.Is(f.namespace, unix.ENOSYS):
		m.Seen += " (a kernel without CONFIG_NET_NS)"
	}
	return []Missing{m}
}
