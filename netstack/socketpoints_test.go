// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
)

var socketPointNames = map[hhook.ID]string{
	netstack.SocketCreate: "create", netstack.SocketReceive: "receive", netstack.SocketSend: "send", netstack.SocketClose: "close",
}

// watchSockets hooks all socket points and returns what has happened so far, a line each, in which ports that nobody chose
// are "*". before, if not nil, is called first.
func watchSockets(t *testing.T, i *netstack.Instance, before func(id hhook.ID, c *netstack.SocketContext)) (seen func() []string) {
	t.Helper()
	var mu sync.Mutex
	var lines []string
	for id, name := range socketPointNames {
		attachments, err := i.Points().AddLookup(hhook.Hook{Type: hhook.Socket, ID: id, Name: "watch", Func: func(call *hhook.Call) {
			c := call.Context.(*netstack.SocketContext)
			if before != nil {
				before(id, c)
			}
			if call.Object != hhook.Object(c.Socket) {
				t.Errorf("%s: object %v, want the socket", name, call.Object)
			}
			line := name + " " + c.Socket.Network
			if c.Socket.Listening {
				line += " listening"
			}
			if local := c.Socket.Local(); local.IsValid() {
				line += fmt.Sprintf(" at %v", local.Addr())
			}
			if c.Remote.IsValid() {
				line += fmt.Sprintf(" with %v", c.Remote.Addr())
			}
			if c.Bytes != nil {
				line += fmt.Sprintf(" %q", c.Bytes)
			}
			mu.Lock()
			lines = append(lines, line)
			mu.Unlock()
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := attachments[0].Remove(); err != nil {
				t.Error(err)
			}
		})
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(lines)
	}
}

// connected returns both ends of a connection inside the instance, and its listener.
func connected(t *testing.T, i *netstack.Instance) (client, server net.Conn, l net.Listener) {
	t.Helper()
	l, err := i.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	if client, err = i.Dial(t.Context(), "tcp", "127.0.0.1:80"); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server, l
}

func TestSocketPointsTCP(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	seen := watchSockets(t, i, nil)
	client, server, l := connected(t, i)
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	for _, c := range []io.Closer{server, client, l} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		_ = c.Close() // is seen once
	}
	_, _ = client.Write([]byte("too late"))
	want := []string{
		"create tcp listening",
		"create tcp with 127.0.0.1",
		"create tcp at 127.0.0.1 with 127.0.0.1",
		`send tcp at 127.0.0.1 with 127.0.0.1 "hello"`,
		`receive tcp at 127.0.0.1 with 127.0.0.1 "hello"`,
		"close tcp at 127.0.0.1 with 127.0.0.1",
		"close tcp at 127.0.0.1 with 127.0.0.1",
		"close tcp listening at 127.0.0.1",
	}
	if diff := cmp.Diff(want, seen()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSocketPointsDatagrams(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	seen := watchSockets(t, i, nil)
	server, err := i.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	client, err := i.Dial(t.Context(), "udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("question")); err != nil {
		t.Error(err)
	}
	b := make([]byte, 100)
	n, from, err := server.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.WriteTo(b[:n], from); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(b); err != nil {
		t.Error(err)
	}
	ping, err := i.Dial(t.Context(), "ping", "::1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{ping, client, server} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	want := []string{
		"create udp",
		"create udp with 127.0.0.1",
		`send udp at 127.0.0.1 with 127.0.0.1 "question"`,
		`receive udp at 127.0.0.1 with 127.0.0.1 "question"`,
		`send udp at 127.0.0.1 with 127.0.0.1 "question"`,
		`receive udp at 127.0.0.1 with 127.0.0.1 "question"`,
		"create ping with ::1",
		"close ping at ::1 with ::1",
		"close udp at 127.0.0.1 with 127.0.0.1",
		"close udp at 127.0.0.1",
	}
	if diff := cmp.Diff(want, seen()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

var errUnwanted = errors.New("unwanted")

// wantStatus checks that a call failed with what a hook has reported.
func wantStatus(t *testing.T, what string, err error) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, errUnwanted) || !errors.As(err, &op) {
		t.Errorf("%s: %v, want a *net.OpError of %v", what, err, errUnwanted)
	}
}

func TestSocketStatus(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	var mu sync.Mutex
	var refuse hhook.ID
	refusing := func(id hhook.ID) {
		mu.Lock()
		defer mu.Unlock()
		refuse = id
	}
	seen := watchSockets(t, i, func(id hhook.ID, c *netstack.SocketContext) {
		mu.Lock()
		defer mu.Unlock()
		if id == refuse {
			c.Status = errUnwanted
		}
	})
	client, server, l := connected(t, i)
	packets, err := i.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)

	refusing(netstack.SocketSend)
	n, err := client.Write([]byte("never sent"))
	wantStatus(t, "Write", err)
	if n != 0 {
		t.Errorf("Write: %d bytes", n)
	}
	_, err = packets.WriteTo([]byte("never sent"), packets.LocalAddr())
	wantStatus(t, "WriteTo", err)

	refusing(netstack.SocketReceive)
	for _, w := range []string{"lost", "seen"} {
		if _, err := client.Write([]byte(w)); err != nil {
			t.Error(err)
		}
		n, err := server.Read(b)
		if w == "lost" {
			wantStatus(t, "Read", err)
			refusing(0)
		} else if string(b[:n]) != "seen" || err != nil {
			t.Errorf("Read: %q, %v", b[:n], err)
		}
	}
	refusing(netstack.SocketReceive)
	if _, err := packets.WriteTo([]byte("lost"), packets.LocalAddr()); err != nil {
		t.Error(err)
	}
	_, _, err = packets.ReadFrom(b)
	wantStatus(t, "ReadFrom", err)

	refusing(netstack.SocketCreate)
	for network, address := range map[string]string{"tcp": "127.0.0.1:80", "udp": "127.0.0.1:80", "ping": "127.0.0.1"} {
		_, err := i.Dial(t.Context(), network, address)
		wantStatus(t, "Dial "+network, err)
	}
	_, err = i.Listen("tcp", ":81")
	wantStatus(t, "Listen", err)
	_, err = i.ListenPacket("udp", ":81")
	wantStatus(t, "ListenPacket", err)

	refusing(netstack.SocketClose) // changes nothing
	for _, c := range []io.Closer{client, server, l, packets} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	created, closed := 0, 0
	for _, line := range seen() {
		if strings.HasPrefix(line, "create") {
			created++
		} else if strings.HasPrefix(line, "close") {
			closed++
		}
	}
	if created != 9 || closed != 4 {
		t.Errorf("%d created, of which 5 refused; %d closed", created, closed)
	}
}

// A connection that a hook refuses is closed, and the next one is accepted.
func TestSocketStatusOfAccepted(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	accepted := 0
	watchSockets(t, i, func(id hhook.ID, c *netstack.SocketContext) {
		if id == netstack.SocketCreate && c.Socket.Local().IsValid() {
			if accepted++; accepted == 1 {
				c.Status = errUnwanted
			}
		}
	})
	l, err := i.Listen("tcp", "127.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var clients []net.Conn
	for range 2 {
		c, err := i.Dial(t.Context(), "tcp", "127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	refused := clients[0]
	switch c.RemoteAddr().String() { // gVisor finishes two handshakes in any order
	case clients[0].LocalAddr().String():
		refused = clients[1]
	case clients[1].LocalAddr().String():
	default:
		t.Errorf("accepted %v, want %v or %v", c.RemoteAddr(), clients[0].LocalAddr(), clients[1].LocalAddr())
	}
	_ = refused.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := refused.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the refused one: %d, %v; want EOF", n, err)
	}
}

// A helper's data is on each socket from before SocketCreate until after SocketClose; a socket that it refuses is not made.
func TestSocketHelper(t *testing.T) {
	type count struct{ calls int }
	i := newInstance(t, netstack.Config{})
	var mu sync.Mutex
	alive, calls, full := 0, 0, false
	cfg := khelp.Config{
		Name: "count", Classes: khelp.Socket,
		Data: khelp.DataOf[count]{
			New: func(*count) error {
				mu.Lock()
				defer mu.Unlock()
				if full {
					return errUnwanted
				}
				alive++
				return nil
			},
			Free: func(c *count) {
				mu.Lock()
				defer mu.Unlock()
				alive--
				calls += c.calls
			},
		},
	}
	for id := range socketPointNames {
		cfg.Hooks = append(cfg.Hooks, hhook.Hook{Type: hhook.Socket, ID: id, Func: khelp.With(func(_ *hhook.Call, c *count) {
			mu.Lock()
			defer mu.Unlock()
			c.calls++
		})})
	}
	helper, err := i.Helpers().Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client, server, l := connected(t, i)
	if _, err := client.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if alive != 3 || helper.Objects() != 3 {
		t.Errorf("%d data, %d objects; want 3", alive, helper.Objects())
	}
	mu.Lock()
	full = true
	mu.Unlock()
	if _, err := i.Dial(t.Context(), "tcp", "127.0.0.1:80"); !errors.Is(err, khelp.ErrData) || !errors.Is(err, errUnwanted) {
		t.Errorf("Dial without memory for the helper: %v, want khelp.ErrData", err)
	}
	if err := helper.Unload(); !errors.Is(err, khelp.ErrBusy) {
		t.Errorf("Unload: %v, want ErrBusy", err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	// The instance ends the other two.
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if alive != 0 || calls != 3+3+1 { // create, close, and a send
		t.Errorf("%d data left, %d calls; want 0, 7", alive, calls)
	}
	for _, c := range []io.Closer{server, l} {
		_ = c.Close()
	}
	if calls != 7 {
		t.Errorf("closing what the instance had closed has run the points again: %d calls", calls)
	}
}

// Closing a socket does not wait for its hooks, also from inside one; its data stays until the last has returned.
func TestSocketClosedInsideHook(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	type data struct{ live bool }
	var conn net.Conn
	_, err := i.Helpers().Load(khelp.Config{
		Name: "closer", Classes: khelp.Socket,
		Data: khelp.DataOf[data]{New: func(d *data) error { d.live = true; return nil }, Free: func(d *data) { d.live = false }},
		Hooks: []hhook.Hook{{Type: hhook.Socket, ID: netstack.SocketSend, Func: khelp.With(func(_ *hhook.Call, d *data) {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if !d.live {
				t.Error("the data is gone while the hook uses it")
			}
		})}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if conn, err = i.Dial(t.Context(), "udp", "127.0.0.1:9"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v, want net.ErrClosed", err)
	}
}

// Sockets that are made, used and closed while the instance is closed: each SocketCreate has its SocketClose.
func TestSocketsEndWithInstance(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	var mu sync.Mutex
	balance := map[*netstack.Socket]int{}
	seen := 0
	watchSockets(t, i, func(id hhook.ID, c *netstack.SocketContext) {
		mu.Lock()
		defer mu.Unlock()
		switch id {
		case netstack.SocketCreate:
			balance[c.Socket]++
			seen++
		case netstack.SocketClose:
			balance[c.Socket]--
		}
	})
	var users sync.WaitGroup
	started := make(chan struct{}, 4)
	for range 4 {
		users.Go(func() {
			for n := 0; ; n++ {
				c, err := i.Dial(t.Context(), "udp", "127.0.0.1:9")
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Dial: %v, want net.ErrClosed", err)
					}
					return
				}
				_, _ = c.Write([]byte("x"))
				if n%2 == 0 {
					_ = c.Close()
				}
				if n == 10 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-started
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	users.Wait()
	for _, n := range balance {
		if n != 0 {
			t.Errorf("a socket was created and closed with balance %d", n)
		}
	}
	if seen < 40 {
		t.Errorf("%d sockets were seen", seen)
	}
}

// What is sent and read while a socket is being closed, as by a hook on SocketClose, does not get past the other points.
func TestSocketUsedWhileItCloses(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	client, server, _ := connected(t, i)
	if _, err := server.Write([]byte("all")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil { // so that the rest is there, too
		t.Fatal(err)
	}
	watchSockets(t, i, func(id hhook.ID, c *netstack.SocketContext) {
		if id != netstack.SocketClose || c.Remote.Port() != 80 {
			return
		}
		if n, err := client.Write([]byte("unseen")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %d, %v, want net.ErrClosed", n, err)
		}
		if n, err := client.Read(make([]byte, 2)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %d, %v, want net.ErrClosed", n, err)
		}
	})
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

// The instance is closed while a helper makes its data for a new socket: SocketClose runs after SocketCreate, with the data.
func TestInstanceClosedWhileSocketIsMade(t *testing.T) {
	i := newInstance(t, netstack.Config{})
	var others sync.WaitGroup
	for range 20 {
		if _, err := i.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		others.Add(1)
	}
	making, goOn := make(chan struct{}), make(chan struct{})
	var calls []string
	point := func(id hhook.ID) hhook.Hook {
		return hhook.Hook{Type: hhook.Socket, ID: id, Func: khelp.With(func(_ *hhook.Call, ready *bool) {
			calls = append(calls, fmt.Sprint(socketPointNames[id], " ", *ready))
		})}
	}
	_, err := i.Helpers().Load(khelp.Config{
		Name: "slow", Classes: khelp.Socket,
		Data: khelp.DataOf[bool]{New: func(ready *bool) error {
			close(making)
			<-goOn
			*ready = true
			return nil
		}},
		Hooks: []hhook.Hook{point(netstack.SocketCreate), point(netstack.SocketClose)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Points().AddLookup(hhook.Hook{Type: hhook.Socket, ID: netstack.SocketClose, Name: "count", Func: func(c *hhook.Call) {
		if !c.Context.(*netstack.SocketContext).Remote.IsValid() {
			others.Done()
		}
	}}); err != nil {
		t.Fatal(err)
	}
	dialled := make(chan error, 1)
	go func() {
		_, err := i.Dial(t.Context(), "udp", "127.0.0.1:9")
		dialled <- err
	}()
	<-making
	closed := make(chan error, 1)
	go func() { closed <- i.Close() }()
	others.Wait() // Close has come to all sockets, or all but the new one
	close(goOn)
	if err := <-dialled; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial: %v, want net.ErrClosed", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"create true", "close true"}, calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
