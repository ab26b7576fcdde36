// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// An instance on a memory device, with a hook that sees every packet that comes in.
func Example() {
	m := instances.New(instances.Config{})
	defer m.Close()
	inst, err := m.Create(netstack.Config{Name: "home"})
	if err != nil {
		log.Fatal(err)
	}
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"net0", "wire"}})
	defer far.Close()
	if _, err := inst.AddInterface(near, netstack.InterfaceConfig{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
	}); err != nil {
		log.Fatal(err)
	}
	seen := make(chan string, 1)
	if _, err := inst.Register(packet.Inet, packet.PhysicalIn, packet.Hook{
		Name: "log",
		Func: func(c *packet.Context) hooks.Verdict {
			seen <- fmt.Sprint(c.Packet.Source(), " -> ", c.Packet.Destination())
			return hooks.Accept
		},
	}); err != nil {
		log.Fatal(err)
	}
	ping := packet.Get(64)
	defer ping.Release()
	ping.Fill([]byte{
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0x66, 0xdf, 10, 0, 0, 2, 10, 0, 0, 1,
		8, 0, 0xf7, 0xfd, 0, 1, 0, 1,
	})
	far.Write(0, []*packet.Packet{ping})
	fmt.Println(<-seen)
	// Output: 10.0.0.2 -> 10.0.0.1
}

// A descriptor sees every instance, whether it was there before or comes later, and its end.
func ExampleManager_Register() {
	m := instances.New(instances.Config{})
	defer m.Close()
	m.Create(netstack.Config{Name: "home"})
	registration, err := m.Register(instances.Descriptor{
		Name: "greeter",
		Create: func(i *netstack.Instance) (any, error) {
			fmt.Println("hello,", i.Name())
			return "dear " + i.Name(), nil
		},
		Shutdown: func(i *netstack.Instance, context any) { fmt.Println("so long,", context) },
		Destroy:  func(i *netstack.Instance, context any) { fmt.Println("farewell,", context) },
	})
	if err != nil {
		log.Fatal(err)
	}
	office, _ := m.Create(netstack.Config{Name: "office"})
	m.Destroy(office.ID())
	registration.Unregister()
	// Output:
	// hello, home
	// hello, office
	// so long, dear office
	// farewell, dear office
	// so long, dear home
	// farewell, dear home
}

// A callback may fail for one instance; the others are not concerned.
func ExampleRegistration_Failed() {
	m := instances.New(instances.Config{})
	defer m.Close()
	small, _ := m.Create(netstack.Config{Name: "small", Budget: netstack.Budget{Hooks: 1}})
	m.Create(netstack.Config{Name: "large"})
	registration, _ := m.Register(dropperModule)
	fmt.Println(len(registration.Failed()))
	fmt.Println(registration.Failed()[small.ID()])
	// Output:
	// 1
	// netstack: register hook dropper: the budget of 1 hooks is used up
}
