// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/soaktest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// soakHeapMargin is how much larger the heap may be after the soak than before, in bytes after a garbage collection: what
// gVisor keeps of connections that ended within the last minute, and of datagrams that are still to be put together.
const soakHeapMargin = 8 << 20

// A soak is a router under mixed traffic while everything about it changes:
//
//	red ---- left [router] right ---- blue     TCP, UDP, fragments, pings; every byte that arrives is checked
//	               spare
//	                 |
//	               green                       its device is deleted and made again; pings and UDP
type soak struct {
	*testbed.Router
	t     *testing.T
	green *testbed.Namespace
	spare *testbed.Link

	complaints atomic.Int64
	done       [numSoakCounts]atomic.Int64
}

type soakCount int

const (
	soakTCP4 soakCount = iota // bytes
	soakTCP6
	soakHost // TCP bytes to the host stack
	soakUDP  // datagrams that came back
	soakFragments
	soakPings
	soakGreen // datagrams that came back from green
	soakHooks
	soakStolen
	soakRoutes
	soakMTUs
	soakDevices
	numSoakCounts
)

var soakCountNames = [numSoakCounts]string{"TCP4 bytes", "TCP6 bytes", "host TCP bytes", "datagrams", "fragmented datagrams", "pings",
	"green datagrams", "hook changes", "stolen packets", "route changes", "MTU changes", "devices"}

// complain reports an error, unless there were enough.
func (s *soak) complain(format string, args ...any) {
	if n := s.complaints.Add(1); n <= 20 {
		s.t.Errorf(format, args...)
	}
}

const greenHost4, greenHost6 = "10.0.3.2", "fd00:3::2"

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, Router: testbed.NewRouter(t, testbed.RouterConfig{})}
	s.green = s.Namespace("green")
	s.spare = s.Link(s.green, s.Instance, testbed.LinkConfig{
		Name: "spare", Host: testbed.Prefixes(greenHost4+"/24", greenHost6+"/64"), Router: testbed.Prefixes("10.0.3.1/24", "fd00:3::1/64"), Routes: testbed.Everything,
	})
	for _, ns := range []*testbed.Namespace{s.Blue, s.Red} {
		s.serve(ns.Listen(t, "tcp", ":80"))
	}
	l, err := s.Instance.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s.serve(l)
	for _, ns := range []*testbed.Namespace{s.Blue, s.green} {
		c := ns.ListenPacket(t, "udp", ":7")
		go func() { // ends when the socket is closed
			b := make([]byte, 65536)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(b[:n], from) // green may have no device at the moment
			}
		}()
	}
	return s
}

// serve answers each connection's length and content with the content's hash.
func (s *soak) serve(l net.Listener) {
	go func() { // ends when the listener is closed
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				var n int64
				if binary.Read(c, binary.BigEndian, &n) != nil {
					return
				}
				sum := sha256.New()
				if _, err := io.CopyN(sum, c, n); err != nil {
					return
				}
				_, _ = c.Write(sum.Sum(nil))
				_, _ = c.Read(make([]byte, 1)) // the client ends it, and has the TIME-WAIT
			}()
		}
	}()
}

// stream sends content to a server and compares the hash. It must not fail: its links stay.
func (s *soak) stream(from *testbed.Namespace, address string, count soakCount) {
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		s.complain("%s: %v", address, err)
		return
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	content := make([]byte, 100_000+rand.IntN(500_000))
	key := [32]byte{}
	binary.BigEndian.PutUint64(key[:], rand.Uint64())
	_, _ = rand.NewChaCha8(key).Read(content) // never fails
	if _, err := c.Write(append(binary.BigEndian.AppendUint64(nil, uint64(len(content))), content...)); err != nil {
		s.complain("%s: %v", address, err)
		return
	}
	got := make([]byte, sha256.Size)
	if _, err := io.ReadFull(c, got); err != nil {
		s.complain("%s: %v", address, err)
		return
	}
	if want := sha256.Sum256(content); !bytes.Equal(got, want[:]) {
		s.complain("%s: %d bytes of TCP arrived as something else", address, len(content))
	}
	s.done[count].Add(int64(len(content)))
}

// datagrams sends numbered datagrams and checks what comes back. Some may be lost.
func (s *soak) datagrams(ctx context.Context, from *testbed.Namespace, address string, size int, count soakCount) {
	content := func(seq uint64) []byte {
		var key [32]byte
		binary.BigEndian.PutUint64(key[:], seq)
		b := make([]byte, size)
		_, _ = rand.NewChaCha8(key).Read(b[8:]) // never fails
		binary.BigEndian.PutUint64(b, seq)
		return b
	}
	c, err := from.Dial(ctx, "udp", address)
	if err != nil {
		if ctx.Err() == nil {
			s.complain("%s: %v", address, err)
		}
		return
	}
	defer c.Close()
	b := make([]byte, 65536)
	for seq := uint64(0); ctx.Err() == nil; seq++ {
		_, _ = c.Write(content(seq)) // an ICMP error about an earlier one
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := c.Read(b)
		if err != nil {
			continue
		}
		if n < 8 || !bytes.Equal(b[:n], content(binary.BigEndian.Uint64(b))) {
			s.complain("%s: a datagram of %d bytes came back as something else, of %d", address, size, n)
		}
		s.done[count].Add(1)
	}
}

// pings asks from the instance's own ping sockets.
func (s *soak) pings(ctx context.Context, network, address string, request byte) {
	c, err := s.Instance.Dial(ctx, network, address)
	if err != nil {
		if ctx.Err() == nil {
			s.complain("%s: %v", address, err)
		}
		return
	}
	defer c.Close()
	b := make([]byte, 100)
	for seq := byte(0); ctx.Err() == nil; seq++ {
		_, _ = c.Write([]byte{request, 0, 0, 0, 0, 0, 0, seq, 'p', 'i', 'n', 'g'})
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, err := c.Read(b)
		if err != nil {
			continue
		}
		if n != 12 || string(b[8:n]) != "ping" {
			s.complain("ping %s: % x", address, b[:n])
		}
		s.done[soakPings].Add(1)
		pause(ctx, time.Millisecond)
	}
}

// pause waits, or until there is no more to wait for.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// changeHooks lets hooks come and go: some look on, some write, some want segments, some steal what is for UDP port 9.
func (s *soak) changeHooks(ctx context.Context) {
	kinds := []packet.Hook{
		{Name: "look", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }},
		{Name: "segments", Flags: hooks.FlagSegments, Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }},
		{Name: "write", Func: func(c *packet.Context) hooks.Verdict {
			c.Packet.SetTrafficClass(0x28 | c.Packet.TrafficClass()&3)
			return hooks.Accept
		}},
		{Name: "steal", Func: func(c *packet.Context) hooks.Verdict {
			if port, ok := c.Packet.DestinationPort(); !ok || port != 9 || c.Packet.TransportProtocol() != 17 {
				return hooks.Accept
			}
			c.Packet.Release()
			s.done[soakStolen].Add(1)
			return hooks.Steal
		}},
	}
	for n := 0; ctx.Err() == nil; n++ {
		var handles []*hooks.Handle
		for _, family := range bothFamilies {
			for _, event := range packetEvents {
				h, err := s.Instance.Register(family, event, kinds[(n+int(event))%len(kinds)])
				if err != nil {
					s.complain("register: %v", err)
					continue
				}
				handles = append(handles, h)
			}
		}
		pause(ctx, 5*time.Millisecond)
		for _, h := range handles {
			if err := h.Unregister(); err != nil {
				s.complain("unregister: %v", err)
			}
		}
		s.done[soakHooks].Add(1)
	}
}

// changeRoutes lets routes to elsewhere come and go, and a better one to where the traffic goes.
func (s *soak) changeRoutes(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		list := []netstack.Route{
			{Destination: netip.MustParsePrefix(testbed.Blue4 + "/32"), Interface: "right"},
			{Destination: netip.MustParsePrefix(testbed.Blue6 + "/128"), Interface: "right", MTU: 1280 + n%200},
			{Destination: netip.MustParsePrefix("198.18.0.0/15"), Type: netstack.Blackhole},
		}
		for k := range 100 {
			list = append(list, netstack.Route{Destination: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(k), 113, 0}), 24), Interface: "left"})
		}
		if err := s.Instance.AddRoutes(list...); err != nil {
			s.complain("routes: %v", err)
		}
		pause(ctx, 2*time.Millisecond)
		for _, r := range list {
			if err := s.Instance.RemoveRoute(r.Destination, r.Metric); err != nil {
				s.complain("remove %v: %v", r.Destination, err)
			}
		}
		s.done[soakRoutes].Add(int64(2 * len(list)))
	}
}

// changeMTU makes the way to blue narrower and wider.
func (s *soak) changeMTU(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		if err := s.Right.Interface.SetMTU([]int{1400, 1500, 1280, 1500}[n%4]); err != nil {
			s.complain("MTU: %v", err)
		}
		s.done[soakMTUs].Add(1)
		pause(ctx, 50*time.Millisecond)
	}
	if err := s.Right.Interface.SetMTU(1500); err != nil {
		s.complain("MTU: %v", err)
	}
}

// renewDevice deletes green's device and makes it anew.
func (s *soak) renewDevice(ctx context.Context, every time.Duration) {
	for ; ctx.Err() == nil; pause(ctx, every) {
		if out := s.green.Try(s.t, "ip", "link", "delete", "spare"); out.Code != 0 {
			s.complain("delete: %v", out)
			return
		}
		var dev tun.Device
		err := s.green.Do(func() (err error) {
			dev, err = tun.Open(tun.Config{Name: "spare"})
			return err
		})
		if err == nil {
			err = s.spare.Interface.ReplaceDevice(dev)
		}
		if err != nil {
			s.complain("device: %v", err)
			return
		}
		for _, args := range [][]string{
			{"link", "set", "spare", "mtu", "1500", "up"},
			{"address", "add", greenHost4 + "/24", "dev", "spare"}, {"address", "add", greenHost6 + "/64", "dev", "spare", "nodad"},
			{"route", "add", "default", "dev", "spare"}, {"-6", "route", "add", "default", "dev", "spare"},
		} {
			if out := s.green.Try(s.t, "ip", args...); out.Code != 0 {
				s.complain("ip %v: %v", args, out)
			}
		}
		s.done[soakDevices].Add(1)
	}
}

// mix runs everything at once for a while, and returns when all of it has ended.
func (s *soak) mix(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var all sync.WaitGroup
	each := func(f func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				f()
			}
		})
	}
	each(func() { s.stream(s.Red, testbed.Blue4+":80", soakTCP4) })
	each(func() { s.stream(s.Red, "["+testbed.Blue6+"]:80", soakTCP6) })
	each(func() { s.stream(s.Blue, testbed.Red4+":80", soakTCP4) })
	each(func() { s.stream(s.Red, testbed.Left4+":80", soakHost) })
	each(func() { s.stream(s.Blue, "["+testbed.Left6+"]:80", soakHost) })
	all.Go(func() { s.datagrams(ctx, s.Red, testbed.Blue4+":7", 300, soakUDP) })
	all.Go(func() { s.datagrams(ctx, s.Red, "["+testbed.Blue6+"]:7", 300, soakUDP) })
	all.Go(func() { s.datagrams(ctx, s.Red, testbed.Blue4+":7", 5000, soakFragments) })
	all.Go(func() { s.datagrams(ctx, s.Red, testbed.Blue4+":9", 100, soakUDP) }) // stolen, now and then
	all.Go(func() { s.datagrams(ctx, s.Red, greenHost4+":7", 300, soakGreen) })
	all.Go(func() { s.datagrams(ctx, s.Red, "["+greenHost6+"]:7", 300, soakGreen) })
	all.Go(func() { s.pings(ctx, "ping4", testbed.Blue4, 8) })
	all.Go(func() { s.pings(ctx, "ping6", testbed.Red6, 128) })
	all.Go(func() { s.changeHooks(ctx) })
	all.Go(func() { s.changeRoutes(ctx) })
	all.Go(func() { s.changeMTU(ctx) })
	all.Go(func() { s.renewDevice(ctx, max(700*time.Millisecond, d/100)) }) // each leaves some lines in the log
	all.Wait()
}

// A footprint is what the process uses.
type footprint struct {
	goroutines, files int
	heap              uint64
}

func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB of heap", f.goroutines, f.files, f.heap>>10)
}

func measure(t *testing.T) footprint {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // twice for what pools hold
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), len(files), m.HeapAlloc}
}

// After a long time of everything at once the process uses what it used before, and not a byte of TCP was wrong.
func TestSoakRouter(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "ip")
	s := newSoak(t)
	s.mix(1500 * time.Millisecond) // what is made once
	before := rest(t, footprint{}) // as little as it gets
	for k := range s.done {
		s.done[k].Store(0)
	}
	s.mix(soaktest.Time(t, 5*time.Second))
	after := rest(t, before)
	for k := range s.done {
		n := s.done[k].Load()
		if n == 0 {
			t.Errorf("no %s", soakCountNames[k])
		}
		t.Logf("%12d %s", n, soakCountNames[k])
	}
	t.Logf("before: %v; after: %v; complaints: %d", before, after, s.complaints.Load())
	if after.goroutines > before.goroutines || after.files > before.files || after.heap > before.heap+soakHeapMargin {
		t.Errorf("used before: %v; after: %v; the heap may grow by %d KiB", before, after, soakHeapMargin>>10)
	}
}

// rest waits until no more is used than before, but not longer than some seconds: connections take a moment to end.
func rest(t *testing.T, before footprint) (now footprint) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		now = measure(t)
		if now.goroutines <= before.goroutines && now.files <= before.files && now.heap <= before.heap+soakHeapMargin || time.Now().After(deadline) {
			return now
		}
	}
}
