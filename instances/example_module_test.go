// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"errors"
	"fmt"
	"log"
	"net/netip"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// The module "dropper" drops one of a hundred packets that come into an instance, of whatever protocol. Its name is that of
// its hooks and its kstat as well. It is part of every instance that there is or will be.
var dropperModule = instances.Descriptor{
	Name: "dropper",
	Create: func(i *netstack.Instance) (any, error) {
		d := new(dropper)
		if err := d.start(i); err != nil {
			return nil, errors.Join(err, d.stop()) // all or nothing
		}
		return d, nil
	},
	Shutdown: func(i *netstack.Instance, context any) {
		if err := context.(*dropper).stop(); err != nil {
			log.Printf("dropper on %s: %v", i.Name(), err)
		}
	},
	Destroy: func(*netstack.Instance, any) {}, // the rest is the garbage collector's
}

// A dropper is the module's part in one instance.
type dropper struct {
	seen, dropped atomic.Uint64 // the hook runs on several goroutines at once
	undo          []func() error
}

func (d *dropper) start(i *netstack.Instance) error {
	kstat, err := i.CreateKstat(netstack.KstatConfig{Module: "dropper", Name: "packets", Class: "net", Counters: []netstack.KstatCounter{
		{Name: "seen", Value: &d.seen}, {Name: "dropped", Value: &d.dropped},
	}})
	if err != nil {
		return err
	}
	d.undo = append(d.undo, kstat.Delete)
	for _, family := range []packet.Family{packet.Inet, packet.Inet6, packet.ARP} {
		handle, err := i.Register(family, packet.PhysicalIn, packet.Hook{Name: "dropper", Func: d.judge})
		if err != nil {
			return err
		}
		d.undo = append(d.undo, handle.Unregister)
	}
	return nil
}

func (d *dropper) judge(*packet.Context) hooks.Verdict {
	if d.seen.Add(1)%100 != 0 {
		return hooks.Accept
	}
	d.dropped.Add(1)
	return hooks.Drop
}

func (d *dropper) stop() (err error) {
	for _, undo := range d.undo {
		err = errors.Join(err, undo())
	}
	return err
}

// A module to copy: what it does on all instances, present and future, and that it leaves nothing behind.
func Example_module() {
	m := instances.New(instances.Config{})
	defer m.Close()
	registration, _ := m.Register(dropperModule)
	home, _ := m.Create(netstack.Config{Name: "home"})
	near, far := tun.Pair(tun.PairConfig{})
	home.AddInterface(near, netstack.InterfaceConfig{Name: "net0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}})
	ping(far, 150) // and wait for 149 answers
	for k := range home.Kstats() {
		if k.Module == "dropper" {
			fmt.Println(k, k.Values)
		}
	}
	fmt.Println(registration.Unregister())
	// Output:
	// dropper:0:packets [{seen 150} {dropped 1}]
	// <nil>
}
