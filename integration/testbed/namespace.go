// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// A Namespace is a host of the network: a network namespace with the kernel's TCP/IP in it. It has nothing but a
// loopback link to begin with.
type Namespace struct {
	bed   *Bed
	name  string
	file  string // in /run/netns, or empty
	ns    *hostnet.Namespace
	links []string // that it was born with
}

// Namespace makes a namespace with its loopback up. The name is for messages. The test is skipped if namespaces cannot be
// made.
func (b *Bed) Namespace(name string) *Namespace {
	b.t.Helper()
	ns, err := hostnet.New()
	hostnettest.Require(b.t, string(Root), err)
	return b.adopt(&Namespace{bed: b, name: name, ns: ns})
}

// NamedNamespace makes a namespace that other programs can find, by its SystemName, until the end of the test. This takes
// root: a user namespace is not enough.
func (b *Bed) NamedNamespace(name string) *Namespace {
	b.t.Helper()
	for number := 1; ; number++ {
		file := fmt.Sprintf("testbed-%s-%d", name, number)
		ns, err := hostnet.Create(file)
		if errors.Is(err, fs.ErrExist) {
			continue // another test's
		}
		hostnettest.Require(b.t, "root, to give a network namespace a name", err)
		return b.adopt(&Namespace{bed: b, name: name, file: file, ns: ns})
	}
}

func (b *Bed) adopt(n *Namespace) *Namespace {
	b.t.Helper()
	b.namespaces = append(b.namespaces, n)
	n.links = n.linkNames()
	n.configure(hostnet.LinkConfig{Name: "lo"})
	return n
}

// Name returns the name that Bed.Namespace was given.
func (n *Namespace) Name() string { return n.name }

// SystemName returns the name by which ip-netns(8) and configuration files know the namespace: of its file in /run/netns.
// It is empty unless NamedNamespace made it.
func (n *Namespace) SystemName() string { return n.file }

func (n *Namespace) configure(cfg hostnet.LinkConfig) {
	n.bed.t.Helper()
	if err := n.ns.Configure(cfg); err != nil {
		n.bed.t.Fatalf("testbed: %s: %v", n.name, err)
	}
}

// SetUp brings up a device that the test itself has made in the namespace, and gives it an MTU in bytes (0: as it is),
// addresses, and a queue as long as that of a Link.
func (n *Namespace) SetUp(device string, mtu int, addresses ...netip.Prefix) {
	n.bed.t.Helper()
	n.configure(hostnet.LinkConfig{Name: device, MTU: mtu, TxQueueLen: hostnet.TUNQueueLen, NoAutoconf: true, Addresses: addresses})
}

func (n *Namespace) linkNames() []string {
	n.bed.t.Helper()
	links, err := n.ns.Links()
	if err != nil {
		n.bed.t.Errorf("testbed: %s: %v", n.name, err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	return names
}

// Do runs f inside the namespace and returns its error: sockets that f opens, files below /proc/sys/net and /proc/net, and
// programs that it starts belong to the namespace. Goroutines that f starts do not run there.
func (n *Namespace) Do(f func() error) error { return n.ns.Do(f) }

// Sysctl sets a kernel parameter of the namespace. The name is a path below /proc/sys that begins with "net/".
func (n *Namespace) Sysctl(name, value string) {
	n.bed.t.Helper()
	if err := n.ns.Sysctl(name, value); err != nil {
		n.bed.t.Fatalf("testbed: %s: %v", n.name, err)
	}
}

// Forward makes the namespace's kernel a router too, for both families.
func (n *Namespace) Forward() {
	n.bed.t.Helper()
	n.Sysctl("net/ipv4/ip_forward", "1")
	n.Sysctl("net/ipv6/conf/all/forwarding", "1")
}

// Listen opens a listening socket of the kernel in the namespace: tcp, tcp4, tcp6. It is closed at the end of t.
func (n *Namespace) Listen(t testing.TB, network, address string) net.Listener {
	t.Helper()
	return hostnettest.Listen(t, n.ns, network, address)
}

// ListenPacket opens a datagram socket of the kernel in the namespace: udp, udp4, udp6. It is closed at the end of t.
func (n *Namespace) ListenPacket(t testing.TB, network, address string) net.PacketConn {
	t.Helper()
	return hostnettest.ListenPacket(t, n.ns, network, address)
}

// Dial opens a connection from the namespace's kernel. The address is an IP address and port. The connection is the
// caller's to close.
func (n *Namespace) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var c net.Conn
	err := n.ns.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// close gives the namespace up, which must be as it was: no devices, no programs.
func (n *Namespace) close() {
	if s := poll(n.leftovers); s != "" {
		n.bed.t.Errorf("testbed: left behind in namespace %s: %s", n.name, s)
	}
	err := n.ns.Close()
	if n.file != "" {
		err = errors.Join(err, hostnet.Delete(n.file))
	}
	if err != nil {
		n.bed.t.Errorf("testbed: %s: %v", n.name, err)
	}
}

// leftovers names what is in the namespace and was not at its beginning; empty if there is nothing.
func (n *Namespace) leftovers() string {
	var left []string
	for _, name := range n.linkNames() {
		if !slices.Contains(n.links, name) {
			left = append(left, "device "+name)
		}
	}
	var self string
	if err := n.ns.Do(func() (err error) {
		self, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}); err != nil {
		return err.Error()
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range processes {
		// Processes come and go meanwhile, and some are not ours to look at.
		if where, err := os.Readlink(path); err != nil || where != self {
			continue
		}
		pid := strings.Split(path, "/")[2]
		command, _ := os.ReadFile("/proc/" + pid + "/comm")
		left = append(left, fmt.Sprintf("process %s (%s)", pid, strings.TrimSpace(string(command))))
	}
	return strings.Join(left, ", ")
}
