// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/leaktest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A recorder is a test that may fail without this one failing.
type recorder struct {
	testing.TB
	failures []string
	skipped  bool
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool     { return len(r.failures) > 0 }
func (r *recorder) Log(args ...any)  {}
func (r *recorder) Error(args ...any) {
	r.failures = append(r.failures, fmt.Sprint(args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(string, ...any) {
	r.skipped = true
	runtime.Goexit()
}

// record runs a test and its cleanup, and returns what it complained about.
func record(t *testing.T, test func(testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	run := func(f func()) { // on a goroutine that Fatal may end
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { test(r) })
	for len(r.cleanups) > 0 {
		last := len(r.cleanups) - 1
		f := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		run(f)
	}
	return r
}

// wantFailure checks that a test fails once, and says why.
func wantFailure(t *testing.T, r *recorder, words ...string) {
	t.Helper()
	if len(r.failures) != 1 {
		t.Fatalf("%d failures, want one with %q: %q", len(r.failures), words, r.failures)
	}
	for _, word := range words {
		if !strings.Contains(r.failures[0], word) {
			t.Errorf("the failure does not say %q: %s", word, r.failures[0])
		}
	}
}

func TestRouter(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ping")
	r := testbed.NewRouter(t, testbed.RouterConfig{Left: testbed.LinkConfig{MTU: 1400}})
	for _, target := range []string{testbed.Blue4, testbed.Blue6, testbed.Left4, testbed.Right6} {
		if out := r.Red.Run(t, "ping", "-n", "-c", "1", target); !strings.Contains(out, "1 received") {
			t.Errorf("%s", out)
		}
	}
	if r.Left.Interface.MTU() != 1400 || r.Right.Interface.MTU() != 1500 {
		t.Errorf("MTU %d and %d, want 1400 and 1500", r.Left.Interface.MTU(), r.Right.Interface.MTU())
	}
}

// At the end nothing is left of a network: no device, no namespace, no goroutine (TestMain).
func TestNothingIsLeft(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "sleep")
	var instance *netstack.Instance
	got := record(t, func(t testing.TB) {
		r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{Driver: tun.DriverWater}})
		instance = r.Instance
		r.Red.Start(t, "sleep", "1000")
		r.Red.Listen(t, "tcp", testbed.Red4+":80")
		r.Blue.ListenPacket(t, "udp", "[::]:53")
		r.Blue.Tap(t, testbed.TapConfig{Device: "right"})
	})
	if len(got.failures) > 0 || got.skipped {
		t.Errorf("failures %q, skipped %v", got.failures, got.skipped)
	}
	if _, err := instance.Listen("tcp", ":80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the instance is not closed: %v", err)
	}
	// The threads that were in the namespaces are back, or gone.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	home := make(map[string]bool)
	for _, thread := range threads {
		if ns, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net"); err == nil {
			home[ns] = true
		}
	}
	if len(home) != 1 {
		t.Errorf("threads are in %d namespaces", len(home))
	}
}

func TestNamedNamespace(t *testing.T) {
	testbed.Require(t, testbed.Root)
	var files []string
	got := record(t, func(t testing.TB) {
		bed := testbed.New(t)
		for range 2 { // of one name
			files = append(files, "/run/netns/"+bed.NamedNamespace("red").SystemName())
		}
		for _, file := range files {
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
		}
	})
	if got.skipped {
		t.Skip("skipped: root is missing, a user namespace is not enough")
	}
	if len(got.failures) > 0 || len(files) != 2 || files[0] == files[1] {
		t.Errorf("files %q, failures %q", files, got.failures)
	}
	for _, file := range files {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestLeftoversAreFound(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "sleep")
	t.Run("device", func(t *testing.T) {
		var dev tun.Device
		wantFailure(t, record(t, func(t testing.TB) {
			if err := testbed.New(t).Namespace("red").Do(func() (err error) {
				dev, err = tun.Open(tun.Config{Name: "forgotten"})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}), "red", "device forgotten")
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("process", func(t *testing.T) {
		var kill func() error
		wantFailure(t, record(t, func(t testing.TB) {
			if err := testbed.New(t).Namespace("red").Do(func() error {
				p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
				if err == nil {
					kill = func() error { return errors.Join(p.Kill(), wait(p)) }
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}), "red", "(sleep)")
		if err := kill(); err != nil {
			t.Error(err)
		}
	})
}

func wait(p *os.Process) error {
	_, err := p.Wait()
	return err
}

func TestRun(t *testing.T) {
	testbed.Require(t, testbed.Root, "sh")
	ns := testbed.New(t).Namespace("red")
	if got := ns.Run(t, "sh", "-c", "echo out; echo err >&2"); got != "out\n" {
		t.Errorf("standard output %q", got)
	}
	got := ns.Try(t, "sh", "-c", "echo err >&2; exit 3")
	if got.Code != 3 || got.Stdout != "" || got.Output != "err\n" {
		t.Errorf("%+v", got)
	}
	wantFailure(t, record(t, func(t testing.TB) { ns.Run(t, "sh", "-c", "echo why >&2; exit 1") }), "red: sh -c", "why", "exit status 1")
	wantFailure(t, record(t, func(t testing.TB) { ns.Run(t, "no-such-program") }), "red: no-such-program")
}

func TestProcess(t *testing.T) {
	testbed.Require(t, testbed.Root, "sh", "cat")
	ns := testbed.New(t).Namespace("red")
	p := ns.Start(t, "sh", "-c", "echo ready; exec sleep 1000")
	p.Await(t, "ready")
	if got := p.Output(); got != "ready\n" {
		t.Errorf("output %q", got)
	}
	p.Stop()
	p.Stop()
	wantFailure(t, record(t, func(t testing.TB) { p.Await(t, "more") }), "more", "ready")

	if got := ns.Start(t, "echo", "done").Wait(t); got != "done\n" {
		t.Errorf("output %q", got)
	}
	wantFailure(t, record(t, func(t testing.TB) { ns.Start(t, "false").Wait(t) }), "false")
}

func TestRequire(t *testing.T) {
	t.Setenv("HOOKNET_REQUIRE", "")
	if got := record(t, func(t testing.TB) { testbed.Require(t, "no-such-program") }); !got.skipped || got.Failed() {
		t.Errorf("skipped %v, failures %q", got.skipped, got.failures)
	}
	t.Setenv("HOOKNET_REQUIRE", "1")
	wantFailure(t, record(t, func(t testing.TB) { testbed.Require(t, "sh", "no-such-program") }), "no-such-program")
}

// A Tap's bytes arrive at the instance, and the instance's at the Tap.
func TestTap(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN)
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	in := r.Red.Tap(t, testbed.TapConfig{Device: "left"})
	plain, virtio := r.Blue.Tap(t, testbed.TapConfig{Device: "right"}), r.Blue.Tap(t, testbed.TapConfig{Device: "right", VirtioHeader: true})
	sent := echoReply(testbed.Red4, testbed.Blue4) // nobody answers
	if err := in.Send(sent); err != nil {
		t.Fatal(err)
	}
	got := receive(t, plain, "payload")
	if len(got) != len(sent) || got[8] != sent[8]-1 || !bytes.Equal(got[12:], sent[12:]) {
		t.Errorf("sent %x, got %x", sent, got)
	}
	if got := receive(t, virtio, "payload"); len(got) != testbed.VirtioHeaderLen+len(sent) {
		t.Errorf("%d bytes with header, want %d", len(got), testbed.VirtioHeaderLen+len(sent))
	}
	for { // a multicast report, perhaps
		if _, err := plain.Receive(10 * time.Millisecond); errors.Is(err, testbed.ErrNothing) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// receive returns the next packet with text in it.
func receive(t *testing.T, tap *testbed.Tap, text string) []byte {
	t.Helper()
	for {
		b, err := tap.Receive(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			return b
		}
	}
}

// echoReply returns an IPv4 packet.
func echoReply(from, to string) []byte {
	b := append([]byte{0x45, 0, 0, 36, 0, 0, 0, 0, 64, 1, 0, 0}, netip.MustParseAddr(from).AsSlice()...)
	b = append(b, netip.MustParseAddr(to).AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 1, 0, 1)
	b = append(b, "payload."...)
	putChecksum(b[:20], 10)
	putChecksum(b[20:], 2)
	return b
}

func putChecksum(b []byte, at int) {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	sum = sum&0xffff + sum>>16
	sum = ^(sum&0xffff + sum>>16)
	b[at], b[at+1] = byte(sum>>8), byte(sum)
}

// Sockets of the kernel, from Go.
func TestSockets(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN)
	r := testbed.NewRouter(t, testbed.RouterConfig{})
	l := r.Blue.Listen(t, "tcp", net.JoinHostPort(testbed.Blue6, "80"))
	c, err := r.Red.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	s.Close()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
