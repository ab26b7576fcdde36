// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/leaktest"
)

// leakCheck is hooknet as a process of its own that looks, at the end, whether it has left a goroutine or an open file
// behind in itself.
const leakCheck = "leak check"

// statusLeak is what it exits with if it has.
const statusLeak = 99

func init() {
	programs[leakCheck] = func() error {
		before := leaktest.OpenFiles()
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		status := exitStatus(run(ctx, systemEnvironment()))
		stop()
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = statusLeak
		}
		if after := leaktest.OpenFiles(); !slices.Equal(before, after) {
			fmt.Fprintf(os.Stderr, "open files before: %q, after: %q\n", before, after)
			status = statusLeak
		}
		os.Exit(status)
		return nil
	}
}

// A bed is where the program is run: a namespace for itself, and two with names that its file speaks of.
type bed struct {
	t               *testing.T
	home, red, blue *hostnet.Namespace
	file            string // that in the help, with red and blue for red and blue
}

// newBed makes a bed.
func newBed(t *testing.T) *bed {
	t.Helper()
	device, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		hostnettest.Missing(t, "/dev/net/tun", err)
	}
	_ = device.Close()
	b := &bed{t: t, home: hostnettest.Namespace(t)}
	b.red, b.blue = hostnettest.Named(t), hostnettest.Named(t)
	text := strings.NewReplacer("namespace: red", "namespace: "+b.red.String(), "namespace: blue", "namespace: "+b.blue.String())
	b.file = write(t, text.Replace(exampleFile(t)))
	for _, directory := range []string{filepath.Dir(b.file), filepath.Dir(filepath.Dir(b.file))} {
		if err := os.Chmod(directory, 0o755); err != nil { // for other users
			t.Fatal(err)
		}
	}
	return b
}

// links lists the devices in the namespaces.
func (b *bed) links() (names []string) {
	b.t.Helper()
	for _, namespace := range []*hostnet.Namespace{b.home, b.red, b.blue} {
		links, err := namespace.Links()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, link := range links {
			names = append(names, namespace.String()+" "+link.Name)
		}
	}
	return names
}

// A process is the program at work.
type process struct {
	t      *testing.T
	cmd    *hostnet.Cmd
	stdout *bufio.Reader
	stderr bytes.Buffer // complete after wait
	ended  bool
}

// start starts the program in the bed's own namespace. Before that, change may change how.
func (b *bed) start(change func(*hostnet.Cmd), args ...string) *process {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	p := &process{t: b.t, cmd: b.home.Command(ctx, "/proc/self/exe", args...)}
	p.cmd.Env = append(os.Environ(), asProgram+"="+leakCheck, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = &p.stderr
	if change != nil {
		change(p.cmd)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		cancel()
		if !p.ended {
			_ = p.cmd.Wait()
		}
	})
	return p
}

// line waits for a line on standard output.
func (p *process) line() string {
	p.t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		p.wait()
		p.t.Fatalf("no line but %q: %v, standard error:\n%s", line, err, &p.stderr)
	}
	return line
}

// wait waits for the end and returns the exit status and the rest of standard output.
func (p *process) wait() (status int, rest string) {
	p.t.Helper()
	text, err := io.ReadAll(p.stdout)
	if err != nil {
		p.t.Error(err)
	}
	_ = p.cmd.Wait() // the status says it all
	p.ended = true
	return p.cmd.ProcessState.ExitCode(), string(text)
}

// The router of the help carries ping and TCP, and goes without a trace when it is told to.
func TestRun(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			b := newBed(t)
			before := b.links()
			p := b.start(nil, "run", "-c", b.file)
			want := fmt.Sprintf("hooknet: ready: 1 instance, 2 interfaces (pid %d)\n", p.cmd.Process.Pid)
			if got := p.line(); got != want {
				t.Errorf("ready line %q, want %q", got, want)
			}
			if out, err := b.red.Command(t.Context(), hostnettest.Tool(t, "ping"), "-n", "-c", "1", "-W", "5", "10.0.2.2").CombinedOutput(); err != nil {
				t.Errorf("ping: %v\n%s", err, out)
			}
			greet(t, b.red, b.blue, "10.0.2.2:0")
			if err := p.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			status, rest := p.wait()
			t.Logf("down in %v", time.Since(begin))
			if status != 0 || rest != "" {
				t.Errorf("status %d, further output %q, standard error:\n%s", status, rest, &p.stderr)
			}
			if diff := cmp.Diff(before, b.links()); diff != "" {
				t.Errorf("left behind (-before +after):\n%s", diff)
			}
			logged := regexp.MustCompile(`^time=\S+ level=INFO msg=stopping cause="\w+ signal received"\n$`)
			if !logged.MatchString(p.stderr.String()) {
				t.Errorf("standard error:\n%s", &p.stderr)
			}
		})
	}
}

// greet has a server in one namespace greet a client in another, over TCP.
func greet(t *testing.T, from, to *hostnet.Namespace, address string) {
	t.Helper()
	listener := hostnettest.Listen(t, to, "tcp", address)
	served := make(chan error, 1)
	go func() { // ends with its connection, or the listener
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.WriteString(conn, "good day")
			_ = conn.Close()
		}
		served <- err
	}()
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
		return err
	})
	if err == nil {
		var got []byte
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if got, err = io.ReadAll(conn); string(got) != "good day" {
			t.Errorf("over TCP: %q", got)
		}
		_ = conn.Close()
	}
	_ = listener.Close()
	if serverErr := <-served; err != nil || serverErr != nil {
		t.Errorf("TCP to %v: client %v, server %v", listener.Addr(), err, serverErr)
	}
}

// A statistics line for those who ask for it, in JSON for machines.
func TestRunLogs(t *testing.T) {
	b := newBed(t)
	p := b.start(nil, "run", "-c", b.file, "--log-level=debug", "--json-logs")
	p.line()
	if out, err := b.red.Command(t.Context(), hostnettest.Tool(t, "ping"), "-n", "-c", "1", "-W", "5", "10.0.99.99").CombinedOutput(); err == nil {
		t.Errorf("ping of nobody:\n%s", out)
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	p.wait()
	var messages []string
	for line := range strings.Lines(p.stderr.String()) {
		var record struct {
			Message string `json:"msg"`
			Drops   map[string]int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		messages = append(messages, record.Message)
		if record.Message == "stopped" && record.Drops["no_route"] != 1 {
			t.Errorf("statistics: %s", line)
		}
	}
	want := "interface made, interface made, stopping, stopped"
	if got := strings.Join(messages, ", "); got != want {
		t.Errorf("logged %s; want %s", got, want)
	}
}

// mounting makes the program run in a mount namespace of its own, in which a shell has done something before.
func mounting(t *testing.T, something string) func(*hostnet.Cmd) {
	t.Helper()
	shell := hostnettest.Tool(t, "sh")
	hostnettest.Tool(t, "mount")
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(c *hostnet.Cmd) {
		c.Path = shell
		c.Args = append([]string{"sh", "-c", something + ` && exec "$@"`, "sh", executable}, c.Args[1:]...)
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	}
}

// Wherever the machine does not play along: status 1, an explanation that begins with the place in the file, and nothing
// is left behind.
func TestRunCannot(t *testing.T) {
	nobody := func(c *hostnet.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	for name, test := range map[string]struct {
		change func(*hostnet.Cmd)
		edit   func(*bed, string) string // of the file
		want   string                    // standard error, as a regular expression
	}{
		"no /dev/net/tun": {
			change: mounting(t, "mount -t tmpfs tmpfs /dev/net"),
			want: `^\S+/router.yaml:4:11: interface hn0 of instance r1: tun: open hn0: open /dev/net/tun: no such file or directory; ` +
				`.*modprobe tun.*\n$`,
		},
		"no permission, namespace": {
			change: nobody,
			want: `^\S+/router.yaml:7:13: interface hn0 of instance r1: hostnet: namespace \S+: enter: operation not permitted; ` +
				`CAP_SYS_ADMIN and CAP_NET_ADMIN are needed: run hooknet as root\n` +
				`\S+/router.yaml:13:13: interface hn1 of instance r1: hostnet: namespace \S+: enter: operation not permitted; ` +
				`CAP_SYS_ADMIN and CAP_NET_ADMIN are needed: run hooknet as root\n$`,
		},
		"no permission, here": {
			change: nobody,
			edit: func(*bed, string) string {
				return "instances:\n  - name: r1\n    interfaces:\n      - name: hn0\n"
			},
			want: `^\S+/router.yaml:4:9: interface hn0 of instance r1: hostnet: .*: operation not permitted; ` +
				`CAP_SYS_ADMIN and CAP_NET_ADMIN are needed: run hooknet as root, or in a namespace of your own: unshare -Urn hooknet run ...\n$`,
		},
		"namespace missing": {
			edit: func(b *bed, text string) string {
				return strings.ReplaceAll(text, b.blue.String(), "nowhere")
			},
			want: `^\S+/router.yaml:13:13: interface hn1 of instance r1: there is no network namespace nowhere; make it: ip netns add nowhere\n$`,
		},
		"a device of another": {
			edit: func(b *bed, text string) string {
				if err := b.blue.AddVeth("hn1", b.blue, "other"); err != nil {
					t.Fatal(err)
				}
				return text
			},
			want: `^\S+/router.yaml:10:11: interface hn1 of instance r1: there is a device hn1 in namespace \S+ already \(veth\); `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if test.edit != nil {
				text, err := os.ReadFile(b.file)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(b.file, []byte(test.edit(b, string(text))), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := b.links()
			p := b.start(test.change, "run", "-c", b.file)
			status, stdout := p.wait()
			if status != statusFailure || stdout != "" {
				t.Errorf("status %d, standard output %q", status, stdout)
			}
			if !regexp.MustCompile(test.want).MatchString(p.stderr.String()) {
				t.Errorf("standard error:\n%s\nwant\n%s", &p.stderr, test.want)
			}
			if diff := cmp.Diff(before, b.links()); diff != "" {
				t.Errorf("left behind (-before +after):\n%s", diff)
			}
		})
	}
}

// Containers often have /proc/sys read-only. That costs nothing but some silence.
func TestRunReadOnlySysctl(t *testing.T) {
	b := newBed(t)
	readOnly := mounting(t, "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys")
	p := b.start(readOnly, "run", "-c", b.file, "--log-level", "debug")
	p.line()
	greet(t, b.red, b.blue, "10.0.2.2:0")
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if status, _ := p.wait(); status != 0 || !strings.Contains(p.stderr.String(), "/proc/sys is read-only") {
		t.Errorf("status %d, standard error:\n%s", status, &p.stderr)
	}
}

// A wrong file costs nothing: it is refused before any namespace is looked at.
func TestRunWrongFileMakesNothing(t *testing.T) {
	b := newBed(t)
	text, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file, append(text, "    routes: [{to: 10.0.0.1/8, interface: hn0}]\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	before := b.links()
	status, stdout := b.start(nil, "run", "-c", b.file).wait()
	if status != statusUsage || stdout != "" {
		t.Errorf("status %d, standard output %q", status, stdout)
	}
	if diff := cmp.Diff(before, b.links()); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}
