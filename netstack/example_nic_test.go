// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A hook of NIC_EVENTS is told what happens to interfaces and addresses, one event after the other.
func ExampleInstance_RegisterNICEvents() {
	inst, err := netstack.New(netstack.Config{})
	if err != nil {
		log.Fatal(err)
	}
	tell := func(e packet.NICEvent) hooks.Verdict {
		if e.LIF == 0 {
			fmt.Println(e.Family, e.Name, e.Type)
		} else {
			fmt.Println(e.Family, e.Name, e.Type, e.LIF, e.Address)
		}
		return hooks.Accept
	}
	handle, err := inst.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "tell", Func: tell})
	if err != nil {
		log.Fatal(err)
	}
	near, far := tun.Pair(tun.PairConfig{})
	defer far.Close()
	uplink, err := inst.AddInterface(near, netstack.InterfaceConfig{
		Name:      "uplink",
		Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = uplink.ReplaceAddress(netip.MustParseAddr("192.0.2.1"), netip.MustParsePrefix("192.0.2.7/24"))
	if err != nil {
		log.Fatal(err)
	}
	if err := uplink.SetUp(false); err != nil {
		log.Fatal(err)
	}
	if err := uplink.Close(); err != nil {
		log.Fatal(err)
	}
	if err := inst.Close(); err != nil { // the hook has seen everything when it returns
		log.Fatal(err)
	}
	_ = handle.Unregister()
	// Output:
	// inet uplink PLUMB
	// inet uplink UP
	// inet uplink LIF_UP 1 192.0.2.1/24
	// inet uplink LIF_DOWN 1 192.0.2.1/24
	// inet uplink ADDRESS_CHANGE 1 192.0.2.7/24
	// inet uplink LIF_UP 1 192.0.2.7/24
	// inet uplink LIF_DOWN 1 192.0.2.7/24
	// inet uplink DOWN
	// inet uplink UNPLUMB
	// inet lo LIF_DOWN 1 127.0.0.1/8
	// inet lo UNPLUMB
}
