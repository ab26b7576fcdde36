// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package baseline_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/baseline"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// gVisor forwards. One way only: with traffic both ways the race detector finds that gVisor reads the TTL of a packet after
// DeepCopyForForwarding has given the header's memory back (forwardPacketWithRoute in network/ipv4).
func TestGVisor(t *testing.T) {
	hosts := [2]netip.Prefix{netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("10.2.0.2/24")}
	routers := [2]netip.Prefix{netip.MustParsePrefix("10.1.0.1/24"), netip.MustParsePrefix("10.2.0.1/24")}
	var tuns [2]*baseline.TUN
	var ns [2]*hostnet.Namespace
	for i := range ns {
		ns[i] = hostnettest.Namespace(t)
		err := ns[i].Do(func() (err error) {
			tuns[i], err = baseline.OpenPlainTUN("hngvisor")
			return err
		})
		hostnettest.Require(t, "/dev/net/tun", err)
		t.Cleanup(func() { _ = tuns[i].Close() })
		if err := ns[i].Configure(hostnet.LinkConfig{
			Name: "hngvisor", NoAutoconf: true, Addresses: []netip.Prefix{hosts[i]},
			Routes: []hostnet.Route{{Destination: routers[1-i].Masked()}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- baseline.GVisor(ctx, tuns, routers, 1500) }() // ended below

	var receiver net.PacketConn
	if err := ns[1].Do(func() (err error) {
		receiver, err = net.ListenPacket("udp4", "10.2.0.2:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = receiver.Close() }()
	var sender net.Conn
	if err := ns[0].Do(func() (err error) {
		sender, err = net.Dial("udp4", receiver.LocalAddr().String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sender.Close() }()
	got := make([]byte, 1500)
	for size := 1; size <= 1472; size += 100 {
		want := bytes.Repeat([]byte{byte(size)}, size)
		for attempts := 50; ; attempts-- { // it may not forward yet
			if _, err := sender.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := receiver.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if n, _, err := receiver.ReadFrom(got); err == nil && bytes.Equal(got[:n], want) {
				break
			} else if attempts == 0 {
				t.Fatalf("%d bytes do not arrive: %v", size, err)
			}
		}
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("GVisor: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it does not stop")
	}
}
