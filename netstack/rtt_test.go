// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// pairOfHosts joins two instances by a pair of devices, in front of which the first one's end has faults. They are 10.0.1.1 and
// 10.0.1.2.
func pairOfHosts(t *testing.T, features packet.Features, faults tun.FaultConfig) (near, far *netstack.Instance) {
	t.Helper()
	near, far = newInstance(t, netstack.Config{}), newInstance(t, netstack.Config{})
	left, right := tun.Pair(tun.PairConfig{Features: features, QueueLen: 4096})
	faulty, err := tun.Fault(left, faults)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := near.AddInterface(faulty, netstack.InterfaceConfig{Addresses: prefixes("10.0.1.1/24")}); err != nil {
		t.Fatal(err)
	}
	if _, err := far.AddInterface(right, netstack.InterfaceConfig{Addresses: prefixes("10.0.1.2/24")}); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// echoTCP answers what comes with the same, until the end of the test.
func echoTCP(t *testing.T, i *netstack.Instance, address string) {
	t.Helper()
	l, err := i.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the listener, and its one client
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

// For a connection of our own, over a way with 20 ms in it, the ertt helper measures what gVisor estimates: within a fifth.
func TestERTTAgainstGVisor(t *testing.T) {
	const delay = 20 * time.Millisecond
	near, far := pairOfHosts(t, offloads, tun.FaultConfig{Read: tun.Faults{Delay: delay}})
	echoTCP(t, far, ":7")
	helper, err := near.Helpers().Load(ertt.Helper(ertt.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	c, err := near.Dial(t.Context(), "tcp", "10.0.1.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var measured, estimated time.Duration
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		for range 5 {
			echoOnce(t, c)
		}
		estimated = near.SmoothedRTT(c)
		if err := near.EachFlow(func(client, _ *netstack.FlowEnd) {
			measured = khelp.Get[ertt.Data](client, helper.ID()).MinRTT
		}); err != nil {
			t.Fatal(err)
		}
		if measured < delay {
			t.Fatalf("MinRTT is %v, the way alone takes %v", measured, delay)
		}
		if (measured - estimated).Abs() <= estimated/5 {
			t.Logf("MinRTT %v, gVisor's estimate %v", measured, estimated)
			return
		}
	}
	t.Errorf("MinRTT is %v, gVisor's estimate %v", measured, estimated)
}

func echoOnce(t *testing.T, c net.Conn) {
	t.Helper()
	b := make([]byte, 100)
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
}
