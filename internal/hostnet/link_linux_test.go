// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestNewNamespaceIsEmpty(t *testing.T) {
	ns := hostnettest.Namespace(t)
	links, err := ns.Links()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Up || len(l.Addresses) != 0 {
			t.Errorf("%+v, want it down and without addresses", l)
		}
	}
	if len(links) == 0 || links[0].Name != "lo" || links[0].Index != 1 {
		t.Errorf("links %+v, want lo first", links)
	}
}

// veths returns two namespaces joined by a cable, va in the first and vb in the second.
func veths(t *testing.T) (a, b *hostnet.Namespace) {
	t.Helper()
	a, b = hostnettest.Namespace(t), hostnettest.Namespace(t)
	if err := a.AddVeth("va", b, "vb"); err != nil {
		if errors.Is(err, syscall.EOPNOTSUPP) {
			hostnettest.Missing(t, "the veth module", err)
		}
		t.Fatal(err)
	}
	return a, b
}

func TestConfigure(t *testing.T) {
	a, b := veths(t)
	config := hostnet.LinkConfig{
		Name:       "va",
		MTU:        1400,
		TxQueueLen: 2000,
		NoAutoconf: true,
		Addresses:  prefixes("10.1.0.1/24", "fd01::1/64"),
		Routes: []hostnet.Route{
			{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("10.1.0.2")},
			{Destination: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fd01::2")},
			{Destination: netip.MustParsePrefix("10.2.0.0/16")},
		},
	}
	for range 2 { // the second time changes nothing
		if err := a.Configure(config); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Configure(hostnet.LinkConfig{Name: "vb", NoAutoconf: true, Addresses: prefixes("10.1.0.2/24", "fd01::2/64")}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := errors.Join(a.WaitReady(ctx, "va"), b.WaitReady(ctx, "vb")); err != nil {
		t.Fatal(err)
	}

	got, err := a.Link("va")
	if err != nil {
		t.Fatal(err)
	}
	want := hostnet.Link{
		Index: got.Index, Name: "va", Type: "veth", MTU: 1400, TxQueueLen: 2000, Up: true,
		Addresses: prefixes("10.1.0.1/24", "fd01::1/64"),
	}
	if diff := cmp.Diff(want, got, comparePrefixes); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}

	// It works, and with the first packet: both families, a socket in each namespace.
	for _, address := range []string{"10.1.0.2", "fd01::2"} {
		server := hostnettest.ListenPacket(t, b, "udp", net.JoinHostPort(address, "0"))
		var client net.Conn
		if err := a.Do(func() (err error) {
			client, err = net.Dial("udp", server.LocalAddr().String())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 10)
		_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, _, err := server.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		_ = client.Close()
	}

	routes, err := a.Command(t.Context(), hostnettest.Tool(t, "ip"), "route").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"default via 10.1.0.2 dev va", "10.2.0.0/16 dev va scope link"} {
		if !strings.Contains(string(routes), line) {
			t.Errorf("no route %q in:\n%s", line, routes)
		}
	}
}

func TestConfigureErrors(t *testing.T) {
	ns, _ := veths(t)
	for name, test := range map[string]struct {
		config hostnet.LinkConfig
		errno  error
		words  []string
	}{
		"no such device": {
			hostnet.LinkConfig{Name: "nix"}, syscall.ENODEV, []string{"anonymous", "nix", "no such device"},
		},
		"MTU": {
			hostnet.LinkConfig{Name: "va", MTU: 10}, syscall.EINVAL, []string{"va", "MTU 10"},
		},
		"gateway out of reach": {
			hostnet.LinkConfig{Name: "va", Routes: []hostnet.Route{{
				Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"),
			}}},
			syscall.ENETUNREACH, []string{"va", "0.0.0.0/0 via 192.0.2.1", "subnet"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := ns.Configure(test.config)
			if !errors.Is(err, test.errno) {
				t.Errorf("error %v, want %v", err, test.errno)
			}
			for _, word := range test.words {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
		})
	}
}

// A veth has no carrier before its peer is up, which WaitReady says when it gives up.
func TestWaitReadyNoCarrier(t *testing.T) {
	a, _ := veths(t)
	if err := a.Configure(hostnet.LinkConfig{Name: "va", Addresses: prefixes("fd01::1/64")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := a.WaitReady(ctx, "va")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "carrier") {
		t.Errorf("WaitReady: %v, want context.DeadlineExceeded and a word of the carrier", err)
	}
	if err := a.WaitReady(ctx, "nix"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("WaitReady of no device: %v, want ENODEV", err)
	}
}

func TestLinkLife(t *testing.T) {
	a, b := veths(t)
	if err := a.SetUp("va", true); err != nil {
		t.Error(err)
	}
	if l, err := a.Link("va"); err != nil || !l.Up {
		t.Errorf("after SetUp: %+v, %v", l, err)
	}
	if err := a.SetUp("va", false); err != nil {
		t.Error(err)
	}
	if l, err := a.Link("va"); err != nil || l.Up {
		t.Errorf("after SetUp(false): %+v, %v", l, err)
	}
	if err := a.MoveLink("va", b); err != nil {
		t.Error(err)
	}
	if _, err := a.Link("va"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("after MoveLink, here: %v, want ENODEV", err)
	}
	if _, err := b.Link("va"); err != nil {
		t.Errorf("after MoveLink, there: %v", err)
	}
	if err := b.RenameLink("va", "vc"); err != nil {
		t.Error(err)
	}
	if _, err := b.Link("va"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("after RenameLink, the old name: %v, want ENODEV", err)
	}
	if err := b.DeleteLink("vc"); err != nil {
		t.Error(err)
	}
	if _, err := b.Link("vb"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("the peer of a deleted veth: %v, want ENODEV", err)
	}
	if err := b.DeleteLink("va"); !errors.Is(err, syscall.ENODEV) {
		t.Errorf("DeleteLink again: %v, want ENODEV", err)
	}
}

func TestSysctl(t *testing.T) {
	ns := hostnettest.Namespace(t)
	read := func() (value string) {
		t.Helper()
		if err := ns.Do(func() error {
			b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
			value = strings.TrimSpace(string(b))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return value
	}
	for _, want := range []string{"1", "0", "1"} {
		if err := ns.Sysctl("net/ipv4/ip_forward", want); err != nil {
			hostnettest.Require(t, "a writable /proc/sys/net", err)
		}
		if got := read(); got != want {
			t.Errorf("ip_forward is %s, want %s", got, want)
		}
	}
	if err := ns.Sysctl("net/ipv4/no_such_thing", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown parameter: %v, want fs.ErrNotExist", err)
	}
	// Parameters of the whole machine are out of reach. (These cannot be written at all:
	// a test that fails here must not change the machine.)
	for _, name := range []string{"kernel/version", "net/../kernel/version", "net/ipv4/../../kernel/version", "/net/ipv4/ip_forward", "net//ipv4/ip_forward"} {
		if err := ns.Sysctl(name, "1"); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Sysctl(%q): %v, want fs.ErrInvalid", name, err)
		}
	}
}

// As an ordinary user, in a user namespace of one's own, everything works but named
// namespaces. The test runs itself again in such a place.
func TestUnprivileged(t *testing.T) {
	const inside = "HOSTNET_TEST_UNPRIVILEGED"
	if os.Getenv(inside) != "" {
		a, b := veths(t)
		for _, end := range []struct {
			ns      *hostnet.Namespace
			name    string
			address string
		}{{a, "va", "10.1.0.1/24"}, {b, "vb", "10.1.0.2/24"}} {
			if err := end.ns.Configure(hostnet.LinkConfig{Name: end.name, Addresses: prefixes(end.address)}); err != nil {
				t.Error(err)
			}
		}
		if err := a.Sysctl("net/ipv4/ip_forward", "1"); err != nil {
			t.Error(err)
		}
		_, err := hostnet.Create("hostnet-test-unprivileged")
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Create: %v, want fs.ErrPermission", err)
		}
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1", "HOOKNET_REQUIRE=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Errorf("inside: %v\n%s", err, out)
	case err != nil:
		hostnettest.Require(t, "the right to make user namespaces", err)
	}
}
