// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// RFC 1122 section 4.1.3.3: a port unreachable reaches the socket that asked for it, also one that is waiting in Read.
func TestUDPRefused(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, host := range []string{a4.String(), b6.String(), "127.0.0.1", "::1"} {
		c, err := r.Dial(t.Context(), "udp", net.JoinHostPort(host, "9"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Error(err)
		}
		read := make(chan error)
		go func() { // ends with the error
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Error(err)
		}
		if err := <-read; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want ECONNREFUSED", host, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A socket hears of a drop at LOOPBACK_OUT or PHYSICAL_OUT by its next call, once, also one that waits in Read. What is
// dropped at LOOPBACK_IN has been sent.
func TestCase090_SenderLearnsOfDrop(t *testing.T) {
	echo := map[string][]byte{"ping4": {8, 0, 0, 0, 0, 0, 0, 1}, "ping6": {128, 0, 0, 0, 0, 0, 0, 1}, "udp": []byte("x")}
	for _, c := range []struct {
		network, address string
		at               packet.Event
		want             error
	}{
		{"udp", "127.0.0.1:7", packet.LoopbackOut, syscall.EPERM},
		{"udp", "[::1]:7", packet.LoopbackOut, syscall.EPERM},
		{"udp", "10.0.2.2:7", packet.PhysicalOut, syscall.EPERM},
		{"udp", "[fd00:2::2]:7", packet.PhysicalOut, syscall.EPERM},
		{"ping4", "10.0.1.1", packet.LoopbackOut, syscall.EPERM},
		{"ping6", "::1", packet.LoopbackOut, syscall.EPERM},
		{"ping4", "10.0.2.2", packet.PhysicalOut, syscall.EPERM},
		{"ping6", "fd00:2::2", packet.PhysicalOut, syscall.EPERM},
		{"udp", "127.0.0.1:7", packet.LoopbackIn, nil},
	} {
		t.Run(c.network+" "+c.address+" "+c.at.String(), func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			family := packet.Inet
			if strings.Count(c.address, ":") > 1 {
				family = packet.Inet6
			}
			dropper := register(t, r.Instance, family, c.at, packet.Hook{Name: "dropper", Func: func(*packet.Context) hooks.Verdict { return hooks.Drop }})
			conn, err := r.Dial(t.Context(), c.network, c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			dropped := func(n uint64) {
				t.Helper()
				for deadline := time.Now().Add(5 * time.Second); r.Stats().Drops["hook"] < n; time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("not dropped: %+v", r.Stats())
					}
				}
			}
			if _, err := conn.Write(echo[c.network]); err != nil {
				t.Errorf("the write that is dropped: %v", err)
			}
			dropped(1)
			if _, err := conn.Write(echo[c.network]); !errors.Is(err, c.want) {
				t.Errorf("the next write: %v, want %v", err, c.want)
			}
			if c.want == nil {
				return
			}
			read := make(chan error)
			go func() { // ends with the error
				_, err := conn.Read(make([]byte, 1))
				read <- err
			}()
			if _, err := conn.Write(echo[c.network]); err != nil {
				t.Errorf("told twice: %v", err)
			}
			if err := <-read; !errors.Is(err, c.want) {
				t.Errorf("a waiting read: %v, want %v", err, c.want)
			}
			if err := dropper.Unregister(); err != nil {
				t.Error(err)
			}
			if _, err := conn.Write(echo[c.network]); err != nil {
				t.Errorf("without the hook: %v", err)
			}
		})
	}
}

// A ping socket: RFC 792 and RFC 4443 section 4 echoes, to a host on the link and to ourselves.
func TestPingSocket(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, c := range []struct {
		network, address string
		request, reply   byte
	}{{"ping4", "10.0.1.2", 8, 0}, {"ping", "10.0.1.1", 8, 0}, {"ping", "127.0.0.1", 8, 0}, {"ping6", "fd00:1::2", 128, 129}, {"ping", "::1", 128, 129}} {
		t.Run(c.address, func(t *testing.T) {
			conn, err := r.Dial(t.Context(), c.network, c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(5 * time.Second))
			if _, err := conn.Write([]byte{c.request, 0, 0, 0, 0, 0, 0, 9, 'd', 'a', 't', 'a'}); err != nil {
				t.Fatal(err)
			}
			if dst := netip.MustParseAddr(c.address); dst == left4 || dst == left6 { // the host answers
				p := r.left.receive()
				if p.Destination() != dst || !p.TransportChecksumValid() {
					t.Errorf("request: %v", p)
				}
				p.SetDestination(p.Source())
				p.SetSource(dst)
				p.Mutable()[p.TransportOffset()] = c.reply
				p.DeferChecksum()
				p.FillChecksum()
				r.left.send(p.Bytes())
			}
			b := make([]byte, 100)
			n, err := conn.Read(b)
			if err != nil || n != 12 || b[0] != c.reply || !bytes.Equal(b[6:n], []byte("\x00\x09data")) {
				t.Errorf("reply % x, %v", b[:n], err)
			}
		})
	}
	for _, c := range [][2]string{{"ping4", "::1"}, {"ping6", "10.0.1.2"}, {"pingpong", "::1"}, {"ping", "host"}, {"ping", "10.0.1.2:7"}, {"ping", "fe80::1"}, {"ping", "fe80::1%none"}} {
		if _, err := r.Dial(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("dial %s %s: no error", c[0], c[1])
		}
	}
	r.Close()
	if _, err := r.Dial(t.Context(), "ping", "10.0.1.2"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed instance: %v", err)
	}
}
