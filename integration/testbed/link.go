// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// LinkConfig describes a TUN device between a namespace and an instance.
type LinkConfig struct {
	// Name is that of the device in the namespace and of the instance's interface. Default: hn0, hn1, ... in the order of
	// their making.
	Name string

	// Driver, Queues and NoOffload are those of tun.Config.
	Driver    tun.Driver
	Queues    int
	NoOffload bool

	// Wrap returns the device for the instance to use in the place of the TUN device. Default: that itself.
	Wrap func(tun.Device) tun.Device

	// MTU of both ends, in bytes. Default: 1500.
	MTU int

	// TxQueueLen is how many packets the kernel keeps for a slow reader. Default: hostnet.TUNQueueLen, 2000, so that a burst of fragments is
	// not lost before hooknet sees it.
	TxQueueLen int

	// Host and Router are the addresses of the two ends with their subnets: of the device in the namespace, and of the
	// instance's interface.
	Host, Router []netip.Prefix

	// Routes are destinations that the namespace reaches by this link, through the first address of Router in their
	// family. [Everything] makes it the way to the world.
	Routes []netip.Prefix
}

// Everything is the two default routes.
var Everything = Prefixes("0.0.0.0/0", "::/0")

const defaultMTU = 1500

// A Link is a TUN device between a namespace and an instance.
type Link struct {
	Name      string
	Namespace *Namespace
	Interface *netstack.Interface
	Device    tun.Device // the instance's; to look at
}

// Link makes a TUN device in the namespace and an interface of the instance on it. The kernel sends nothing by it of its
// own accord but multicast listener reports. The test is skipped if TUN devices cannot be made.
func (b *Bed) Link(ns *Namespace, inst *netstack.Instance, cfg LinkConfig) *Link {
	b.t.Helper()
	if cfg.Name == "" {
		cfg.Name = fmt.Sprintf("hn%d", b.links)
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	if cfg.TxQueueLen == 0 {
		cfg.TxQueueLen = hostnet.TUNQueueLen
	}
	b.links++

	var dev tun.Device
	requireTUN(b.t, ns.ns.Do(func() (err error) {
		dev, err = tun.Open(tun.Config{Name: cfg.Name, Driver: cfg.Driver, Queues: cfg.Queues, NoOffload: cfg.NoOffload})
		return err
	}))
	if cfg.Wrap != nil {
		dev = cfg.Wrap(dev)
	}
	f, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: cfg.Name, MTU: cfg.MTU, Addresses: cfg.Router})
	if err != nil {
		_ = dev.Close()
		b.t.Fatal(err)
	}
	host := hostnet.LinkConfig{
		Name:       cfg.Name,
		MTU:        cfg.MTU,
		TxQueueLen: cfg.TxQueueLen,
		NoAutoconf: true,
		Addresses:  cfg.Host,
	}
	for _, destination := range cfg.Routes {
		host.Routes = append(host.Routes, hostnet.Route{Destination: destination, Gateway: gateway(cfg.Router, destination)})
	}
	ns.configure(host)
	return &Link{Name: cfg.Name, Namespace: ns, Interface: f, Device: dev}
}

// gateway returns the first address of the destination's family; the zero Addr if there is none: straight into the device.
func gateway(addresses []netip.Prefix, destination netip.Prefix) netip.Addr {
	for _, p := range addresses {
		if p.Addr().Is4() == destination.Addr().Is4() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}
