// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// echoRequest builds a ping of either family.
func echoRequest(t testing.TB, src, dst netip.Addr) []byte {
	t.Helper()
	return echoRequestWith(t, src, dst, []byte("0123456789"))
}

func echoRequestWith(t testing.TB, src, dst netip.Addr, data []byte) []byte {
	t.Helper()
	payload := gopacket.Payload(data)
	if src.Is4() {
		return serialize(t, ip(src, dst, 64, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 5, Seq: 6}, payload)
	}
	l3 := ip(src, dst, 64, layers.IPProtocolICMPv6)
	i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
	i.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	return serialize(t, l3, i, &layers.ICMPv6Echo{Identifier: 5, SeqNumber: 6}, payload)
}

// RFC 1122 section 3.2.2.6, RFC 4443 section 4.2: identifier, sequence number and data come back.
func TestPing(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			sent := echoRequest(t, f.left, f.a)
			r.left.send(sent)
			p := r.left.receive()
			typ, _, rest, data := icmpOf(p)
			want := uint8(0)
			if f.left.Is6() {
				want = 129
			}
			if typ != want || rest != [4]byte{0, 5, 0, 6} || string(data) != "0123456789" || !p.TransportChecksumValid() {
				t.Errorf("type %d, rest %x, data %q", typ, rest, data)
			}
		})
	}
}

// A packet for us with a wrong transport checksum is dropped before the host stack, which would believe us.
func TestWrongChecksumIsNotDelivered(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			b := echoRequest(t, f.left, f.a)
			b[len(b)-1] ^= 1
			r.left.send(b)
			if s := r.settled(1); s.Drops["transport_checksum"] != 1 || s.Delivered != 0 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// pairOfInstances joins two instances in memory: 10.9.0.1 and 10.9.0.2, fd09::1 and fd09::2.
func pairOfInstances(t *testing.T, features packet.Features) (*netstack.Instance, *netstack.Instance) {
	t.Helper()
	near, far := tun.Pair(tun.PairConfig{Features: features})
	var list [2]*netstack.Instance
	for k, dev := range []tun.Device{near, far} {
		inst := newInstance(t, netstack.Config{})
		address := []string{"10.9.0.1/30 fd09::1/64", "10.9.0.2/30 fd09::2/64"}[k]
		if _, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "cable", Addresses: prefixes(strings.Fields(address)...)}); err != nil {
			t.Fatal(err)
		}
		list[k] = inst
	}
	return list[0], list[1]
}

// TCP between two host stacks, both families, with and without offload on the link.
func TestTCPBetweenInstances(t *testing.T) {
	for name, features := range map[string]packet.Features{"offload": offloads, "plain": 0} {
		for _, address := range []string{"10.9.0.2:80", "[fd09::2]:80"} {
			t.Run(name+"/"+address, func(t *testing.T) {
				client, server := pairOfInstances(t, features)
				l, err := server.Listen("tcp", ":80")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				var wg sync.WaitGroup
				wg.Go(func() {
					c, err := l.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					if _, err := io.Copy(c, c); err != nil {
						t.Error(err)
					}
				})
				ctx, cancel := dialer(t)
				defer cancel()
				c, err := client.Dial(ctx, "tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				sent := bytes.Repeat([]byte("abcdefghijklmnop"), 1<<16) // 1 MiB
				wg.Go(func() {
					if _, err := c.Write(sent); err != nil {
						t.Error(err)
					}
					if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes came back, want %d; %v", len(got), len(sent), err)
				}
				wg.Wait()
			})
		}
	}
}

// Errors of sockets are those that users of the net package know.
func TestSocketErrors(t *testing.T) {
	client, server := pairOfInstances(t, 0)
	ctx, cancel := dialer(t)
	defer cancel()
	if _, err := client.Dial(ctx, "tcp", "10.9.0.2:81"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := client.Dial(ctx, "tcp", "192.0.2.1:80"); !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
		t.Errorf("no route: %v", err)
	}
	for _, address := range []string{"nohost:80", "10.9.0.2", "10.9.0.2:http", ":80", "[fe80::1]:80", "[fe80::1%nope]:80"} {
		if _, err := client.Dial(ctx, "tcp", address); err == nil {
			t.Errorf("dial %q: no error", address)
		}
	}
	for _, network := range []string{"ip", "unix", "tcp5"} {
		if _, err := client.Dial(ctx, network, "10.9.0.2:80"); err == nil {
			t.Errorf("dial by %q: no error", network)
		}
	}
	l, err := server.Listen("tcp4", "10.9.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Listen("tcp4", "10.9.0.2:80"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port taken: %v", err)
	}
	if l6, err := server.Listen("tcp6", ":80"); err != nil {
		t.Errorf("tcp6 beside tcp4: %v", err)
	} else {
		l6.Close()
	}
	if _, err := server.Listen("tcp", "10.9.0.77:80"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("not our address: %v", err)
	}
	c, err := client.Dial(ctx, "tcp", "10.9.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	c.SetReadDeadline(time.Time{})
	closed := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		closed <- err
	}()
	c.Close()
	if err := <-closed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read on a closed connection: %v", err)
	}
	u, err := client.ListenPacket("udp", ":5353")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _, err := u.ReadFrom(make([]byte, 1))
		closed <- err
	}()
	u.Close()
	if err := <-closed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("read on a closed packet socket: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write on a closed connection: %v", err)
	}
	go func() {
		_, err := l.Accept() // the connection above
		if err == nil {
			_, err = l.Accept()
		}
		closed <- err
	}()
	time.AfterFunc(10*time.Millisecond, func() { l.Close() })
	if err := <-closed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed listener: %v", err)
	}
	timeout, cancel2 := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel2()
	if err := client.AddRoute(netstack.Route{Destination: netip.MustParsePrefix("198.51.100.0/24"), Type: netstack.Blackhole}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Dial(timeout, "tcp", "198.51.100.1:80"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("blackhole: %v", err)
	}
	client.Close()
	if _, err := client.Dial(ctx, "tcp", "10.9.0.2:80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed instance: %v", err)
	}
	if _, err := client.Listen("tcp", ":80"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed instance: %v", err)
	}
}

// A USO superpacket is many datagrams: the receiver must not see one.
func TestUDPSuperpacketIsDeliveredAsDatagrams(t *testing.T) {
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, netstack.Config{})
			c, err := r.ListenPacket("udp", ":4321")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b := udp(t, f.left, f.a, 64, bytes.Repeat([]byte("0123456789"), 25))
			at := 20
			o := packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOUDP4, ChecksumOffset: 6, SegmentSize: 100}
			if f.left.Is6() {
				at, o.GSO = 40, packet.GSOUDP6
			}
			o.ChecksumStart = uint16(at)
			pseudo := header.PseudoHeaderChecksum(header.UDPProtocolNumber, tcpip.AddrFromSlice(f.left.AsSlice()), tcpip.AddrFromSlice(f.a.AsSlice()), uint16(len(b)-at))
			binary.BigEndian.PutUint16(b[at+6:], pseudo)
			r.left.sendOffload(b, o)
			got := make([]byte, 1000)
			for _, want := range []int{100, 100, 50} {
				c.SetReadDeadline(time.Now().Add(5 * time.Second))
				if n, _, err := c.ReadFrom(got); err != nil || n != want {
					t.Errorf("datagram of %d bytes, want %d; %v", n, want, err)
				}
			}
		})
	}
}

// RFC 1122 section 3.2.1.3: all of 127/8 is this host.
func TestWholeLoopbackPrefix(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	l, err := r.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := dialer(t)
	defer cancel()
	c, err := r.Dial(ctx, "tcp", "127.3.2.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().(*net.TCPAddr).IP.String(); got != "127.0.0.1" {
		t.Errorf("source %s", got)
	}
}

// Source and egress of a dial follow the forwarding table.
func TestSourceSelection(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, c := range []struct {
		dst, source string
		out         *wire
	}{
		{"10.0.1.9", "10.0.1.1", r.left},
		{"10.0.2.9", "10.0.2.1", r.right},
		{"fd00:1::9", "fd00:1::1", r.left},
		{"fd00:2::9", "fd00:2::1", r.right},
	} {
		conn, err := r.Dial(t.Context(), "udp", net.JoinHostPort(c.dst, "9"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if p := c.out.receive(); p.Source().String() != c.source || p.Destination().String() != c.dst {
			t.Errorf("to %s: %v", c.dst, p)
		}
		conn.Close()
	}
}

// RFC 8201 section 4 and Linux's floor: errors that would shrink segments to nothing are not believed.
func TestLyingTooBig(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	v4 := func(mtu uint32) []byte { return tooBig(t, left4, a4, mtu, udp(t, a4, left4, 64, nil)) }
	v6 := func(mtu uint32) []byte { return tooBig(t, left6, a6, mtu, udp(t, a6, left6, 64, nil)) }
	for _, b := range [][]byte{v4(0), v4(68), v4(551), v6(0), v6(600), v6(1279)} {
		r.left.send(b)
	}
	if s := r.settled(6); s.Drops["host_refused"] != 6 {
		t.Errorf("stats: %+v", s)
	}
	r.left.send(v4(1300))
	r.left.send(v6(1300))
	if s := r.settled(8); s.Delivered != 2 {
		t.Errorf("stats: %+v", s)
	}
}

// tooBig builds a Fragmentation Needed or Packet Too Big.
func tooBig(t *testing.T, src, dst netip.Addr, mtu uint32, quote []byte) []byte {
	t.Helper()
	if src.Is4() {
		return serialize(t, ip(src, dst, 64, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(mtu)},
			gopacket.Payload(quote))
	}
	l3 := ip(src, dst, 64, layers.IPProtocolICMPv6)
	i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
	i.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	return serialize(t, l3, i, gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, mtu), quote...)))
}

// Closing ends connections, readers and devices; a second Close is harmless, and the far end sees the device go.
func TestClose(t *testing.T) {
	client, server := pairOfInstances(t, offloads)
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	ctx, cancel := dialer(t)
	defer cancel()
	c, err := client.Dial(ctx, "tcp", "10.9.0.2:80")
	if err != nil {
		t.Fatal(err)
	}
	s := <-accepted
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the peer of a closed instance reads: %v", err)
	}
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlived its instance")
	}
	if _, err := server.AddInterface(nil, netstack.InterfaceConfig{}); err == nil {
		t.Error("interface added to a closed instance")
	}
}

// Packets for an address that is just being added meet an interface that is whole (a race that traffic found).
func TestDeliverWhileInterfaceIsAdded(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	stop := make(chan struct{})
	var sender sync.WaitGroup
	b := echoRequest(t, left4, netip.MustParseAddr("10.0.3.1"))
	sender.Go(func() {
		p := packet.Get(len(b))
		defer p.Release()
		for {
			select {
			case <-stop:
				return
			case <-r.left.seen: // answers and errors
			default:
				if err := p.Fill(b); err != nil {
					t.Error(err)
				}
				r.left.dev.Write(0, []*packet.Packet{p}) // full now and then
			}
		}
	})
	for range 20 {
		near, far := tun.Pair(tun.PairConfig{Names: [2]string{"c", ""}})
		f, err := r.AddInterface(near, netstack.InterfaceConfig{Addresses: prefixes("10.0.3.1/24")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // under traffic
		if err := errors.Join(f.Close(), far.Close()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	sender.Wait()
}
