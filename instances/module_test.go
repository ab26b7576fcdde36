// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"fmt"
	"log"
	"net/netip"
	"sync"
	"testing"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// echoRequest returns an ICMP echo request from 10.0.0.2 to 10.0.0.1.
func echoRequest() *packet.Packet {
	p := packet.Get(64)
	p.Fill([]byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0x66, 0xdf, 10, 0, 0, 2, 10, 0, 0, 1,
		8, 0, 0xf7, 0xfd, 0, 1, 0, 1,
	})
	return p
}

// ping sends n echo requests and returns when all have been answered but every hundredth. The last must be answered.
func ping(dev tun.Device, n int) {
	request := echoRequest()
	defer request.Release()
	for range n {
		if _, err := dev.Write(0, []*packet.Packet{request}); err != nil {
			log.Fatal(err)
		}
	}
	for pending := n - n/100; pending > 0; {
		answers := make([]*packet.Packet, 16)
		got, err := dev.Read(0, answers)
		if err != nil {
			log.Fatal(err)
		}
		for _, answer := range answers[:got] {
			answer.Release()
		}
		pending -= got
	}
}

// The example's module on instances that were there before it, came after it and go before it; it comes and goes under
// traffic, and leaves nothing behind.
func TestExampleModule(t *testing.T) {
	m := newManager(t, "before")
	device := func(i *netstack.Instance) tun.Device {
		near, far := tun.Pair(tun.PairConfig{})
		if _, err := i.AddInterface(near, netstack.InterfaceConfig{
			Name: "net0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")},
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { far.Close() })
		return far
	}
	before := find(t, m, "before")
	busy := create(t, m, "busy")
	flooded := device(busy)
	var flood sync.WaitGroup
	stop := make(chan struct{})
	defer flood.Wait()
	defer close(stop)
	flood.Go(func() {
		request := echoRequest()
		defer request.Release()
		for {
			select {
			case <-stop:
				return
			default:
				flooded.Write(0, []*packet.Packet{request}) // its queue may be full
			}
		}
	})
	devices := map[string]tun.Device{"before": device(before)}
	idle := len(kstats(before))
	for round := range 3 {
		r := register(t, m, dropperModule)
		after := create(t, m, fmt.Sprint("after", round))
		devices[after.Name()] = device(after)
		short := create(t, m, fmt.Sprint("short", round))
		destroy(t, m, short)
		if failed := r.Failed(); len(failed) != 0 {
			t.Errorf("failed: %v", failed)
		}
		var wg sync.WaitGroup
		for _, dev := range devices {
			wg.Go(func() { ping(dev, 250) })
		}
		wg.Wait()
		for name := range devices {
			if got := kstats(find(t, m, name))["dropper:0:packets"]; got != "[{seen 250} {dropped 2}]" {
				t.Errorf("round %d, %s: %v", round, name, got)
			}
		}
		unregister(t, r)
		if got := before.Stats().Drops["hook"]; got != uint64(round+1)*2 {
			t.Errorf("round %d: %d drops", round, got)
		}
		for i := range m.All() {
			if got := kstats(i); len(got) != idle {
				t.Errorf("left on %s: %v", i.Name(), got)
			}
		}
	}
}

// A small budget keeps the module off an instance, and what it had begun is undone.
func TestExampleModuleOverBudget(t *testing.T) {
	m := newManager(t)
	small, err := m.Create(netstack.Config{Name: "small", Budget: netstack.Budget{Hooks: 2}})
	if err != nil {
		t.Fatal(err)
	}
	large := create(t, m, "large")
	idle := len(kstats(small))
	r := register(t, m, dropperModule)
	failed := r.Failed()
	if len(failed) != 1 || failed[small.ID()] == nil {
		t.Errorf("failed: %v", failed)
	}
	if got := kstats(small); len(got) != idle {
		t.Errorf("left behind: %v", got)
	}
	if got := kstats(large); len(got) != idle+4 {
		t.Errorf("%v", got)
	}
	unregister(t, r)
}

// kstats returns the values of an instance's kstats by name.
func kstats(i *netstack.Instance) map[string]string {
	all := map[string]string{}
	for k := range i.Kstats() {
		all[k.String()] = fmt.Sprint(k.Values)
	}
	return all
}
