// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// What a machine was seen to allow, and what is said of it.
func TestJudge(t *testing.T) {
	open := func(errno unix.Errno) error { return &os.PathError{Op: "open", Path: tunPath, Err: errno} }
	sysctl := func(pairs ...string) func(string) string {
		return func(name string) string {
			for k := 0; k < len(pairs); k += 2 {
				if pairs[k] == name {
					return pairs[k+1]
				}
			}
			return ""
		}
	}
	allowed := sysctl("user.max_user_namespaces", "1000", "user.max_net_namespaces", "1000", "kernel.unprivileged_userns_clone", "1")
	const apparmor = "kernel.apparmor_restrict_unprivileged_userns"
	for name, test := range map[string]struct {
		facts facts
		want  string // "" for nil
	}{
		"all there":         {facts{sysctl: allowed}, ""},
		"no root":           {facts{uid: 1000, namespace: unix.EPERM, sysctl: allowed}, ErrUnprivileged.Error()},
		"no root, apparmor": {facts{uid: 1000, namespace: unix.EPERM, sysctl: sysctl(apparmor, "1")}, ErrUnprivileged.Error()},
		"root needs no gates": {
			facts{sysctl: sysctl("user.max_user_namespaces", "0", "kernel.unprivileged_userns_clone", "0")}, "",
		},
		"tun missing": {facts{tun: open(unix.ENOENT), sysctl: allowed}, `
missing: the TUN driver, /dev/net/tun
   seen: open /dev/net/tun: no such file or directory
   mend: sudo modprobe tun
     or: sudo mkdir -p /dev/net && sudo mknod -m 0666 /dev/net/tun c 10 200
     or: docker run --device /dev/net/tun ... (in a container)`},
		"tun not loaded": {facts{tun: open(unix.ENODEV), sysctl: allowed}, `
missing: the TUN driver, /dev/net/tun
   seen: open /dev/net/tun: no such device
   mend: sudo modprobe tun`},
		"tun closed": {facts{uid: 1000, tun: open(unix.EACCES), tunMode: "mode 0600, owner uid 0", sysctl: allowed}, `
missing: permission to open /dev/net/tun
   seen: open /dev/net/tun: permission denied (mode 0600, owner uid 0; this is uid 1000)
   mend: sudo chmod 0666 /dev/net/tun
     or: run it as root`},
		"tun in a container": {facts{tun: open(unix.EPERM), sysctl: allowed}, `
missing: permission to open /dev/net/tun
   seen: open /dev/net/tun: operation not permitted (a container that was not given the device)
   mend: docker run --device /dev/net/tun ...`},
		"Debian": {facts{uid: 1000, namespace: unix.EPERM, sysctl: sysctl("kernel.unprivileged_userns_clone", "0")}, `
missing: the right to make namespaces
   seen: kernel.unprivileged_userns_clone = 0
   mend: sudo sysctl -w kernel.unprivileged_userns_clone=1
     or: run it as root`},
		"none allowed": {facts{uid: 1000, namespace: unix.EPERM, sysctl: sysctl("user.max_user_namespaces", "0")}, `
missing: the right to make namespaces
   seen: user.max_user_namespaces = 0
   mend: sudo sysctl -w user.max_user_namespaces=15000
     or: run it as root`},
		"Ubuntu": {facts{uid: 1000, again: true, namespace: unix.EPERM, sysctl: sysctl(apparmor, "1")}, `
missing: the right to make namespaces
   seen: kernel.apparmor_restrict_unprivileged_userns = 1
   mend: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
     or: run it as root`},
		"both": {facts{uid: 1000, tun: open(unix.EACCES), tunMode: "mode 0600, owner uid 0", namespace: unix.EPERM, sysctl: sysctl("user.max_user_namespaces", "0")}, `
missing: permission to open /dev/net/tun
   seen: open /dev/net/tun: permission denied (mode 0600, owner uid 0; this is uid 1000)
   mend: sudo chmod 0666 /dev/net/tun
     or: run it as root
missing: the right to make namespaces
   seen: user.max_user_namespaces = 0
   mend: sudo sysctl -w user.max_user_namespaces=15000
     or: run it as root`},
		"refused, nobody knows why": {facts{uid: 1000, namespace: unix.EPERM, user: unix.EPERM, sysctl: allowed}, `
missing: the right to make namespaces
   seen: make a user namespace: operation not permitted
   mend: run it as root`},
		"root in a container": {facts{namespace: unix.EPERM, user: unix.EPERM, sysctl: allowed}, `
missing: the right to make namespaces
   seen: make a user namespace: operation not permitted
   mend: docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun ...`},
		"no rights inside": {facts{uid: 1000, again: true, namespace: unix.EPERM, sysctl: allowed}, `
missing: the right to make namespaces
   seen: inside a user namespace: operation not permitted
   mend: run it as root`},
		"too many users": {facts{uid: 1000, namespace: unix.EPERM, user: unix.ENOSPC, sysctl: allowed}, `
missing: the right to make namespaces
   seen: make a user namespace: no space left on device
   mend: sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000
     or: run it as root`},
		"too many networks": {facts{namespace: unix.ENOSPC, sysctl: allowed}, `
missing: the right to make namespaces
   seen: no space left on device
   mend: sudo sysctl -w user.max_net_namespaces=15000`},
		"old kernel": {facts{namespace: unix.EINVAL, sysctl: allowed}, `
missing: the right to make namespaces
   seen: invalid argument (a kernel without CONFIG_NET_NS)
   mend: docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --device /dev/net/tun ...`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := test.facts.judge(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestGather(t *testing.T) {
	f := gather()
	if f.again || f.uid != os.Getuid() || f.sysctl("kernel.ostype") != "Linux" || f.sysctl("no.such.thing") != "" {
		t.Errorf("facts: %+v, kernel.ostype %q", f, f.sysctl("kernel.ostype"))
	}
	var missing *MissingError
	if err := Check(); err != nil && !errors.Is(err, ErrUnprivileged) && !errors.As(err, &missing) {
		t.Errorf("Check: %v", err)
	}
	t.Setenv(marker, "1234")
	if f := gather(); !f.again || f.uid != 1234 {
		t.Errorf("inside: again %v, uid %d; want true, 1234", f.again, f.uid)
	}
}
