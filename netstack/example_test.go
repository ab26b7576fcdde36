// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// A module that knows nothing but an instance finds out about its interfaces.
func ExampleInstance_Protocol() {
	inst, err := netstack.New(netstack.Config{Name: "home"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inst.Close()
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{"net0", "wire"}})
	defer far.Close()
	if _, err := inst.AddInterface(near, netstack.InterfaceConfig{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.9.0.1/31")},
	}); err != nil {
		fmt.Println(err)
		return
	}
	inet, err := inst.Protocol("NHF_INET")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inet.Release()
	for nic := range inet.NICs() {
		name, _ := inet.NICName(nic)
		for lif := range inet.LIFs(nic) {
			a, err := inet.LIFAddresses(nic, lif)
			if err != nil {
				continue // it went meanwhile
			}
			flags, _ := inet.LIFFlags(nic, lif)
			fmt.Printf("%s:%d %v mask %v flags %v\n", name, lif, a.Address, a.Netmask, flags)
		}
	}
	nic, _, err := inet.RouteTo(netip.MustParseAddr("10.9.0.0"))
	fmt.Println(nic, err)
	// Output:
	// lo:1 127.0.0.1 mask 255.0.0.0 flags up|loopback|running
	// net0:1 10.0.0.1 mask 255.255.255.0 flags up|broadcast|multicast|running
	// net0:2 10.9.0.1 mask 255.255.255.254 flags up|pointtopoint|multicast|running
	// 2 <nil>
}

// A tunnel is a protocol with an event of its own, and its MTU is all that it tells.
func ExampleInstance_RegisterProtocol() {
	inst, err := netstack.New(netstack.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inst.Close()

	// The provider.
	gre, err := inst.RegisterProtocol("gre", tunnelInfo{mtu: 1476})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer gre.Unregister()
	family, err := inst.Hooks().AddFamily("gre")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer family.Remove()
	decapsulated, err := hooks.AddEvent[string](family, hooks.EventConfig{Name: "DECAPSULATED"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer decapsulated.Remove()

	// A consumer.
	protocol, err := inst.Protocol("gre")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer protocol.Release()
	fmt.Println(protocol.MTU(2, 0))
	fmt.Println(protocol.NICName(2))
	events, err := protocol.Family()
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := hooks.FindEvent[string](events, "DECAPSULATED")
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := event.Register(hooks.Hook[string]{Name: "log", Func: func(inner string) hooks.Verdict {
		fmt.Println("inside was", inner)
		return hooks.Accept
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Unregister()

	decapsulated.Run(0, "10.0.0.2 -> 10.0.0.1")
	// Output:
	// 1476 <nil>
	//  not supported by the protocol
	// inside was 10.0.0.2 -> 10.0.0.1
}

type tunnelInfo struct {
	netstack.Unsupported
	mtu int
}

func (t tunnelInfo) MTU(_, _ uint32) (int, error) { return t.mtu, nil }
