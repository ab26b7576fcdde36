// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/tun"
)

// farDelay is what the fault device adds on the far side.
const farDelay = 20 * time.Millisecond

// What the ertt helper measures in the router is what the sender's kernel measures, but for the way between them: within a fifth.
func TestERTTAgainstKernel(t *testing.T) {
	far := func(dev tun.Device) tun.Device {
		faulty, err := tun.Fault(dev, tun.FaultConfig{Read: tun.Faults{Delay: farDelay}})
		if err != nil {
			t.Fatal(err)
		}
		return faulty
	}
	r := testbed.NewRouter(t, testbed.RouterConfig{Right: testbed.LinkConfig{Wrap: far}})
	helper, err := r.Instance.Helpers().Load(ertt.Helper(ertt.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	echoStreams(t, r.Blue.Listen(t, "tcp", ":7"))
	for _, address := range []string{testbed.Blue4, testbed.Blue6} {
		t.Run(address, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			c, err := r.Red.Dial(ctx, "tcp", net.JoinHostPort(address, "7"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			testbed.Eventually(t, func() string {
				for range 5 {
					exchangeBytes(t, c, 100)
				}
				kernel := minRTT(t, c)
				client, server := rttsOf(t, r.Instance, helper.ID(), c.LocalAddr().(*net.TCPAddr).AddrPort().Port())
				switch {
				case client.MinRTT < farDelay:
					t.Fatalf("MinRTT is %v, the way alone takes %v", client.MinRTT, farDelay)
				case !within(client.MinRTT, kernel, 0.2):
					return fmt.Sprintf("MinRTT is %v, the kernel's %v", client.MinRTT, kernel)
				case server.MinRTT == 0 || server.MinRTT > farDelay/2:
					return fmt.Sprintf("MinRTT of the server's end, without a delay, is %v", server.MinRTT)
				}
				t.Logf("MinRTT %v, the kernel's %v; of the other end %v", client.MinRTT, kernel, server.MinRTT)
				return ""
			})
		})
	}
}

func exchangeBytes(t *testing.T, c net.Conn, n int) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}

// minRTT is tcpi_min_rtt of a kernel's connection (tcp(7), TCP_INFO).
func minRTT(t *testing.T, c net.Conn) time.Duration {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if controlErr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return time.Duration(info.Min_rtt) * time.Microsecond
}

// rttsOf returns what the helper knows of both ends of the flow that a client's port began.
func rttsOf(t *testing.T, inst *netstack.Instance, id int, port uint16) (client, server ertt.Data) {
	t.Helper()
	found := false
	if err := inst.EachFlow(func(c, s *netstack.FlowEnd) {
		if c.Local.Port() == port {
			found = true
			client, server = *khelp.Get[ertt.Data](c, id), *khelp.Get[ertt.Data](s, id)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Fatalf("no flow from port %d", port)
	}
	return client, server
}

func within(got, want time.Duration, part float64) bool {
	return (got - want).Abs().Seconds() <= part*want.Seconds()
}

// TCP at an MTU of 1500 through one router in turns, with ertt on every flow and without. "superpackets" is what Linux does;
// "single segments" is what it costs for each packet. Rounds are those of BenchmarkThroughput, of -throughput.duration each.
func BenchmarkERTT(b *testing.B) {
	for name, noOffload := range map[string]bool{"superpackets": false, "single segments": true} {
		b.Run(name, func(b *testing.B) {
			testbed.Require(b, testbed.Root, testbed.TUN, "iperf3")
			link := testbed.LinkConfig{NoOffload: noOffload}
			r := testbed.NewRouter(b, testbed.RouterConfig{Left: link, Right: link})
			way := &path{client: r.Red, server: startIperf(b, r.Blue), target: testbed.Blue4}
			way.measure(b, time.Second) // warms up
			for b.Loop() {
				var without, with, ratios []float64
				for range *throughputRounds {
					without = append(without, way.measure(b, *throughputDuration)/1e9)
					helper, err := r.Instance.Helpers().Load(ertt.Helper(ertt.Config{}))
					if err != nil {
						b.Fatal(err)
					}
					with = append(with, way.measure(b, *throughputDuration)/1e9)
					if err := r.Instance.UnloadHelper(helper); err != nil {
						b.Fatal(err)
					}
					ratios = append(ratios, last(with)/last(without))
				}
				b.Logf("%d rounds of %v, medians: %.2f Gbit/s without, %.2f with ertt, ratio %.2f (of each round: %.2f)",
					len(ratios), *throughputDuration, median(without), median(with), median(ratios), ratios)
				b.ReportMetric(median(without), "without-Gbit/s")
				b.ReportMetric(median(with), "ertt-Gbit/s")
				b.ReportMetric(median(ratios), "ratio")
			}
		})
	}
}
