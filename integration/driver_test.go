// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// The drivers, in all combinations that make a difference.
var (
	linux = testbed.LinkConfig{Driver: tun.DriverLinux}
	plain = testbed.LinkConfig{Driver: tun.DriverLinux, NoOffload: true}
	water = testbed.LinkConfig{Driver: tun.DriverWater}
)

func TestWaterToWater(t *testing.T) { drivers(t, water, water) }
func TestWaterToLinux(t *testing.T) { drivers(t, water, linux) }
func TestPlainToPlain(t *testing.T) { drivers(t, plain, plain) }

// From a driver with superpackets to one without, they have to be cut.
func TestLinuxToWater(t *testing.T) { wantCut(t, drivers(t, linux, water)) }
func TestLinuxToPlain(t *testing.T) { wantCut(t, drivers(t, linux, plain)) }

func wantCut(t *testing.T, s netstack.Stats) {
	t.Helper()
	if s.Split < 100 {
		t.Errorf("only %d superpackets were cut", s.Split)
	}
}

// drivers sends all kinds of traffic from one to the other.
func drivers(t *testing.T, left, right testbed.LinkConfig) netstack.Stats {
	t.Helper()
	testbed.Require(t, testbed.Root, testbed.TUN, "ping", "iperf3", "curl", "traceroute")
	r := testbed.NewRouter(t, testbed.RouterConfig{Left: left, Right: right})
	answerAll(r.Red, r.Blue)
	server := startIperf(t, r.Blue)
	for _, target := range []string{testbed.Blue4, testbed.Blue6} {
		pingSizes(t, r.Red, target, 0, 56, 1472, 8000, largestPing6)
		traceroute(t, r.Red, target)
		serveFiles(t, r.Blue.Listen(t, "tcp", net.JoinHostPort(target, "80")))
		curl(t, r.Red, net.JoinHostPort(target, "80"), mediumFile)
		upload(t, r.Red, net.JoinHostPort(target, "80"), mediumFile)
	}
	server.tcp(t, r.Red, testbed.Blue4)
	server.tcp(t, r.Red, testbed.Blue6, "-R")
	server.udp(t, r.Red, testbed.Blue4)
	pingSizes(t, r.Red, testbed.Left4, 56)
	serveInstance(t, r, testbed.Right4+":80")
	curl(t, r.Red, testbed.Right4+":80", mediumFile)
	curl(t, r.Blue, testbed.Right4+":80", mediumFile)
	return r.Instance.Stats()
}

func serveInstance(t *testing.T, r *testbed.Router, address string) {
	t.Helper()
	l, err := r.Instance.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	serveFiles(t, l)
}

// The MTU is that of the device, also where superpackets are cut for it.
func TestDriversCutToMTU(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "curl")
	for name, driver := range map[string]tun.Driver{"linux": tun.DriverLinux, "water": tun.DriverWater} {
		t.Run(name, func(t *testing.T) {
			r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{Driver: driver, NoOffload: true, MTU: 1400}})
			for _, target := range []string{testbed.Blue4, testbed.Blue6} {
				serveFiles(t, r.Blue.Listen(t, "tcp", net.JoinHostPort(target, "80")))
				tap := r.Blue.Tap(t, testbed.TapConfig{Device: "right"})
				ctx, stop := context.WithCancel(t.Context())
				largest := make(chan int)
				go func() { // ends when nothing comes any more after stop
					n := 0
					for {
						b, err := tap.Receive(100 * time.Millisecond)
						n = max(n, len(b))
						if err != nil && ctx.Err() != nil {
							largest <- n
							return
						}
					}
				}()
				upload(t, r.Red, net.JoinHostPort(target, "80"), mediumFile)
				stop()
				if n := <-largest; n != 1400 {
					t.Errorf("%s: the largest packet has %d bytes, want 1400", target, n)
				}
			}
			wantCut(t, r.Instance.Stats())
		})
	}
}

// Without superpackets in use anywhere, every checksum that hooknet sends must be right on the wire. tshark judges.
func TestChecksumsOnTheWire(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN, "tshark", "ping", "curl", "traceroute", "dig")
	for name, left := range map[string]testbed.LinkConfig{
		"plain to plain":   plain,
		"offload to plain": {}, // partial checksums have to be completed, superpackets cut
	} {
		t.Run(name, func(t *testing.T) {
			r := testbed.NewRouter(t, testbed.RouterConfig{Left: left, Right: testbed.LinkConfig{NoOffload: true, MTU: 1400}})
			answerAll(r.Red, r.Blue)
			c := startCapture(t, r.Blue, r.Right)
			for _, target := range []string{testbed.Blue4, testbed.Blue6} {
				r.Red.Try(t, "ping", "-n", "-c", "1", "-W", "5", "-s", "1472", target) // teaches the MTU
				pingSizes(t, r.Red, target, 0, 1, 1000, 8000)
				traceroute(t, r.Red, target)
				serveFiles(t, r.Blue.Listen(t, "tcp", net.JoinHostPort(target, "80")))
				curl(t, r.Red, net.JoinHostPort(target, "80"), 1<<20)
				upload(t, r.Red, net.JoinHostPort(target, "80"), 1<<20)
				serveNames(t, r.Blue.ListenPacket(t, "udp", net.JoinHostPort(target, "53")))
				dig(t, r.Red, target, "53")
			}
			// What the instance sends itself: its host stack, and the forwarder's errors.
			for _, target := range []string{testbed.Right4, testbed.Right6} {
				pingSizes(t, r.Blue, target, 56, 8000)
				serveInstance(t, r, net.JoinHostPort(target, "8080"))
				curl(t, r.Blue, net.JoinHostPort(target, "8080"), 1<<20)
			}
			r.Blue.Try(t, "ping", "-n", "-c", "1", "-W", "5", "192.0.2.1")
			r.Blue.Try(t, "ping", "-n", "-c", "1", "-W", "5", "2001:db8::1")
			file := c.stop(t)

			judge(t, r.Blue, file, 1400)
		})
	}
}

// checksumFields are the fields of tshark that say whether a checksum is right.
var checksumFields = []string{
	"ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
}

// judge lets tshark look at every packet of a file: no wrong checksum, nothing malformed, nothing longer than the MTU, and
// for each protocol checksums that were found right, which shows that it looked.
//
// The kernel, where it completes a TCP checksum in software that comes out as 0, writes 0xffff (skb_checksum_help), which
// tshark minds (RFC 1624). From a port of a kernel's socket we let it pass; from 8080, which is the instance's, not.
func judge(t *testing.T, in *testbed.Namespace, file string, mtu int) {
	t.Helper()
	const bad, good = "0", "1"
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=|"}
	for _, protocol := range []string{"ip", "tcp", "udp"} {
		args = append(args, "-o", protocol+".check_checksum:TRUE")
	}
	fields := append([]string{"frame.len", "_ws.malformed", "tcp.checksum", "tcp.srcport", "_ws.col.Info"}, checksumFields...)
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	right := make(map[string]int)
	packets := 0
	for line := range strings.Lines(in.Run(t, "tshark", args...)) {
		packets++
		values := strings.Split(strings.TrimSpace(line), "|")
		statuses := values[len(values)-len(checksumFields):] // the column before them may hold anything
		for i, field := range checksumFields {
			for status := range strings.SplitSeq(statuses[i], ",") { // several if a packet quotes another
				switch status {
				case bad:
					if field == "tcp.checksum.status" && values[2] == "0xffff" && values[3] != "8080" {
						continue
					}
					t.Errorf("packet %d: bad: %s: %s", packets, field, line)
				case good:
					right[field]++
				}
			}
		}
		if length := atoi(t, values[0]); length > mtu {
			t.Errorf("packet %d: %d bytes, the MTU is %d: %s", packets, length, mtu, line)
		}
		if values[1] != "" {
			t.Errorf("packet %d: malformed: %s", packets, line)
		}
	}
	for _, field := range checksumFields {
		if right[field] < 10 {
			t.Errorf("%d packets, in which tshark has verified %d times: %s", packets, right[field], field)
		}
	}
	t.Logf("%d packets; right: %v", packets, right)
}

// A capture is a running tshark.
type capture struct {
	process *testbed.Process
	link    *testbed.Link
	file    string
}

// startCapture returns when packets on the device are being captured.
func startCapture(t *testing.T, in *testbed.Namespace, link *testbed.Link) *capture {
	t.Helper()
	c := &capture{link: link, file: t.TempDir() + "/capture.pcapng"}
	c.process = in.Start(t, "tshark", "-n", "-i", link.Name, "-w", c.file, "-P", "-l")
	c.mark(t, 111)
	return c
}

// mark sends pings of an odd size until tshark shows one: packets are shown in order.
func (c *capture) mark(t *testing.T, size int) {
	t.Helper()
	in := c.link.Namespace
	router := c.link.Interface.Addresses()[0].Addr().String()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		if strings.Contains(c.process.Output(), fmt.Sprintf(" %d Echo (ping) reply", size+28)) {
			return
		}
		in.Run(t, "ping", "-n", "-c", "1", "-W", "1", "-s", fmt.Sprint(size), router)
	}
	t.Fatalf("tshark does not capture:\n%s", c.process.Output())
}

// stop returns the file with all that has been sent until now.
func (c *capture) stop(t *testing.T) string {
	t.Helper()
	c.mark(t, 113)
	c.process.Stop()
	return c.file
}
