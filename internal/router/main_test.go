// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/leaktest"
	"github.com/hooknet/hooknet/internal/router"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A host is a network namespace with a name, in which a file can place devices.
type host struct {
	*hostnet.Namespace
	t testing.TB
}

// newHost makes a host. At the end of the test there must be nothing in it that was not there at the beginning, plus
// what the test itself has put there with hostnet.
func newHost(t testing.TB) host {
	t.Helper()
	return host{hostnettest.Named(t), t}
}

// snapshot is what there is to see of hosts and of this process.
type snapshot struct {
	Links  map[string][]hostnet.Link
	Routes []string // destination, gateway, metric, device
	Files  []string // open in this process, but for those of the Go runtime
}

func take(t testing.TB, hosts ...host) snapshot {
	t.Helper()
	s := snapshot{Links: make(map[string][]hostnet.Link)}
	for _, h := range hosts {
		links, err := h.Links()
		if err != nil {
			t.Fatal(err)
		}
		s.Links[h.String()] = links
		if err := h.Do(func() error {
			for table, columns := range map[string][]int{"route": {0, 1, 2, 6, 7}, "ipv6_route": {0, 1, 4, 5, 9}} {
				text, err := os.ReadFile("/proc/thread-self/net/" + table)
				if err != nil {
					return err
				}
				for line := range strings.Lines(string(text)) {
					fields := strings.Fields(line)
					if fields[0] == "Iface" {
						continue // a heading, if there have ever been routes
					}
					route := h.String()
					for _, column := range columns {
						route += " " + fields[column]
					}
					s.Routes = append(s.Routes, route)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(s.Routes)
	s.Files = leaktest.OpenFiles()
	return s
}

// sameAs compares with what was there before.
func (s snapshot) sameAs(t testing.TB, before snapshot) {
	t.Helper()
	if diff := cmp.Diff(before, s, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// parse makes a Config of a file in which RED, BLUE, ... stand for the names of hosts.
func parse(t testing.TB, text string, hosts ...host) *config.Config {
	t.Helper()
	for i, word := range []string{"RED", "BLUE"} {
		if i < len(hosts) {
			text = strings.ReplaceAll(text, word, hosts[i].String())
		}
	}
	file, err := config.Parse("router.yaml", []byte(text))
	if err != nil {
		t.Fatal(config.Explain(err))
	}
	return file
}

// open opens a router that is closed at the end of the test.
func open(t testing.TB, file *config.Config, cfg router.Config) *router.Router {
	t.Helper()
	requireTUN(t)
	r, err := router.Open(t.Context(), file, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// requireTUN skips the test where no TUN device can be had.
func requireTUN(t testing.TB) {
	t.Helper()
	file, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		hostnettest.Missing(t, "/dev/net/tun", err)
	}
	_ = file.Close()
}

// ping wants an answer from each address, sent to from the host.
func (h host) ping(addresses ...string) {
	h.t.Helper()
	program := hostnettest.Tool(h.t, "ping")
	for _, address := range addresses {
		ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
		out, err := h.Command(ctx, program, "-n", "-c", "1", "-W", "5", address).CombinedOutput()
		cancel()
		if err != nil {
			h.t.Errorf("ping %s: %v\n%s", address, err, out)
		}
	}
}

// send sends a UDP datagram.
func (h host) send(from net.Dialer, address string) {
	h.t.Helper()
	if err := h.Do(func() error {
		c, err := from.DialContext(h.t.Context(), "udp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("good day"))
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
}

// exchange sends bytes over TCP from one host to an address of another and back.
func exchange(t testing.TB, from, to host, address string) {
	t.Helper()
	listener := hostnettest.Listen(t, to.Namespace, "tcp", net.JoinHostPort(address, "0"))
	defer listener.Close()
	want := bytes.Repeat([]byte("over and back "), 50_000)
	var echo sync.WaitGroup
	defer echo.Wait()
	echo.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the test has given up
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Error(err)
		}
		if _, err := conn.Write(got); err != nil {
			t.Error(err)
		}
	})
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
		return err
	})
	if err != nil {
		_ = listener.Close()
		t.Errorf("no way to %s: %v", listener.Addr(), err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(want); err != nil {
		t.Error(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: something else came back: %v", address, err)
	}
}

// A journal is a logger's output, line by line.
type journal struct {
	mu    sync.Mutex
	text  strings.Builder
	wrote chan struct{} // holds one element after a Write
}

func newJournal() *journal { return &journal{wrote: make(chan struct{}, 1)} }

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(b)
	select {
	case j.wrote <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (j *journal) lines(with string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []string
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, with) {
			lines = append(lines, line)
		}
	}
	return lines
}

// await waits for a line.
func (j *journal) await(t testing.TB, with string) {
	t.Helper()
	late := time.After(10 * time.Second)
	for len(j.lines(with)) == 0 {
		select {
		case <-j.wrote:
		case <-late:
			t.Fatalf("no line with %q in\n%s", with, strings.Join(j.lines(""), ""))
		}
	}
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
