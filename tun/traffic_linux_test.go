// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// pump copies packets between two devices until they are closed, and counts.
type pump struct {
	wg          sync.WaitGroup
	packets     atomic.Int64
	superpacket [5]atomic.Int64 // by GSOType
	lost        atomic.Int64
	badParse    atomic.Int64
	badChecksum atomic.Int64
}

func (c *pump) copy(from, to tun.Device) {
	c.wg.Go(func() {
		pkts := make([]*packet.Packet, 32)
		for {
			n, err := from.Read(0, pkts)
			if err != nil {
				return
			}
			for _, p := range pkts[:n] {
				c.packets.Add(1)
				if p.Parse() != hooks.ReasonNone {
					c.badParse.Add(1)
					continue
				}
				if !p.TransportChecksumValid() {
					c.badChecksum.Add(1)
				}
				c.superpacket[p.Offload.GSO].Add(1)
			}
			for out := pkts[:n]; len(out) > 0; {
				done, err := to.Write(0, out)
				if err == nil {
					break
				}
				c.lost.Add(1)
				out = out[done+1:]
			}
		}
	})
}

// pumped joins two namespaces with two devices and a pump: 10.1.0.1 and fd01::1 in the
// first, 10.1.0.2 and fd01::2 in the second. stop ends the pump.
func pumped(t *testing.T, cfg tun.Config) (namespaces [2]*hostnet.Namespace, c *pump, stop func()) {
	t.Helper()
	a, nsA := newDevice(t, cfg, "10.1.0.1/24", "fd01::1/64")
	b, nsB := newDevice(t, cfg, "10.1.0.2/24", "fd01::2/64")
	c = &pump{}
	c.copy(a, b)
	c.copy(b, a)
	stop = sync.OnceFunc(func() {
		closeDevice(t, a)
		closeDevice(t, b)
		c.wg.Wait()
	})
	t.Cleanup(stop)
	return [2]*hostnet.Namespace{nsA, nsB}, c, stop
}

// Superpackets go through a pair of devices as they are: read from one, written to the
// other, with every byte of the stream right.
func TestLinuxTCP(t *testing.T) {
	for name, test := range map[string]struct {
		cfg     tun.Config
		address string
		gso     packet.GSOType // expected, or GSONone: there must be none at all
	}{
		"IPv4":             {tun.Config{}, "10.1.0.2:0", packet.GSOTCP4},
		"IPv6":             {tun.Config{}, "[fd01::2]:0", packet.GSOTCP6},
		"IPv4, no offload": {tun.Config{NoOffload: true}, "10.1.0.2:0", packet.GSONone},
		"IPv6, no offload": {tun.Config{NoOffload: true}, "[fd01::2]:0", packet.GSONone},
		"IPv4, water":      {tun.Config{Driver: tun.DriverWater}, "10.1.0.2:0", packet.GSONone},
	} {
		t.Run(name, func(t *testing.T) {
			ns, c, stop := pumped(t, test.cfg)
			want := make([]byte, 1<<20)
			random := rand.NewChaCha8([32]byte{1})
			_, _ = random.Read(want)

			listener := hostnettest.Listen(t, ns[1], "tcp", test.address)
			var served sync.WaitGroup
			served.Go(func() {
				conn, err := listener.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(conn, conn); err != nil { // both directions
					t.Error(err)
				}
				_ = conn.Close()
			})
			var conn *net.TCPConn
			if err := ns[0].Do(func() error {
				c, err := net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
				if err == nil {
					conn = c.(*net.TCPConn)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			served.Go(func() {
				if _, err := conn.Write(want); err != nil {
					t.Error(err)
				}
				_ = conn.CloseWrite()
			})
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back, %v; want the %d sent", len(got), err, len(want))
			}
			_ = conn.Close()
			served.Wait()
			stop()

			if n := c.badParse.Load(); n != 0 {
				t.Errorf("%d packets of %d did not parse", n, c.packets.Load())
			}
			if n := c.badChecksum.Load(); n != 0 {
				t.Errorf("%d packets of %d had wrong checksums", n, c.packets.Load())
			}
			for gso := packet.GSOTCP4; gso <= packet.GSOUDP6; gso++ {
				n := c.superpacket[gso].Load()
				if expected := gso == test.gso; expected != (n > 0) {
					t.Errorf("%d superpackets of type %v; expected some: %v", n, gso, expected)
				}
			}
		})
	}
}

// UDP superpackets (USO) likewise: many datagrams of one send go through as one.
func TestLinuxUDP(t *testing.T) {
	for name, test := range map[string]struct {
		address string
		gso     packet.GSOType
	}{
		"IPv4": {"10.1.0.2:0", packet.GSOUDP4},
		"IPv6": {"[fd01::2]:0", packet.GSOUDP6},
	} {
		t.Run(name, func(t *testing.T) {
			ns, c, stop := pumped(t, tun.Config{})
			server := hostnettest.ListenPacket(t, ns[1], "udp", test.address)
			var client *net.UDPConn
			if err := ns[0].Do(func() error {
				c, err := net.Dial("udp", server.LocalAddr().String())
				if err == nil {
					client = c.(*net.UDPConn)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			const segment, count = 1000, 40
			raw, err := client.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var optErr error
			if err := raw.Control(func(fd uintptr) {
				optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment)
			}); err != nil || optErr != nil {
				hostnettest.Missing(t, "UDP_SEGMENT", errors.Join(err, optErr))
			}
			sent := make([]byte, segment*count)
			for i := range count {
				copy(sent[i*segment:], numbered(i, segment))
			}
			if _, err := client.Write(sent); err != nil {
				t.Fatal(err)
			}
			_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
			got := make([]byte, 2*segment)
			for i := range count {
				n, _, err := server.ReadFrom(got)
				if err != nil {
					t.Fatalf("datagram %d: %v; %d packets, %d superpackets, refused %d, not parsed %d", i, err, c.packets.Load(), c.superpacket[test.gso].Load(), c.lost.Load(), c.badParse.Load())
				}
				if !bytes.Equal(got[:n], numbered(i, segment)) {
					t.Errorf("datagram %d: %d other bytes", i, n)
				}
			}
			stop()
			if c.superpacket[test.gso].Load() == 0 {
				hostnettest.Missing(t, "USO in the kernel's TUN (Linux 6.2)", errors.New("it went as single packets"))
			}
		})
	}
}

// What a packet socket throws at the device, header included, must not harm the reader.
func TestGarbage(t *testing.T) {
	dev, ns := newDevice(t, tun.Config{})
	socket, address := packetSocket(t, ns, unix.SOCK_DGRAM)
	withHeader, _ := packetSocket(t, ns, unix.SOCK_RAW)
	if err := unix.SetsockoptInt(withHeader, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	var read atomic.Int64
	done := make(chan error)
	go func() { // until Close
		pkts := make([]*packet.Packet, 16)
		for {
			n, err := dev.Read(0, pkts)
			if err != nil {
				done <- err
				return
			}
			for _, p := range pkts[:n] {
				_ = p.Parse()
			}
			read.Add(int64(n))
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for i := range 5000 {
		b := make([]byte, 1+random.IntN(200))
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		to := socket
		if i%2 == 0 {
			to = withHeader
			h := make([]byte, 10, 210)
			h[0] = byte(random.IntN(4))
			h[1] = []byte{0, 0, 1, 3, 4, 5, 0x81, 0x85, 0xff}[random.IntN(9)]
			for j := 2; j < 10; j += 2 {
				binary.NativeEndian.PutUint16(h[j:], uint16(random.IntN(100)))
			}
			b[0] = 0x45
			b = append(h, b...)
		}
		if err := unix.Sendto(to, b, 0, address); err == nil {
			accepted++
		}
	}
	if accepted < 2500 {
		t.Errorf("the kernel took %d packets only", accepted)
	}
	for deadline := time.Now().Add(5 * time.Second); read.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no packet was read")
		}
	}
	t.Logf("%d packets sent, %d read", accepted, read.Load())
	closeDevice(t, dev)
	if err := <-done; err != net.ErrClosed {
		t.Errorf("Read: %v, want net.ErrClosed", err)
	}
}
