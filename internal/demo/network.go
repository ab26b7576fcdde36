// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// dual is an address of each family, with its subnet.
type dual struct{ inet, inet6 netip.Prefix }

func newDual(inet, inet6 string) dual {
	return dual{netip.MustParsePrefix(inet), netip.MustParsePrefix(inet6)}
}

func (d dual) of(f packet.Family) netip.Addr { return d.prefix(f).Addr() }

func (d dual) prefix(f packet.Family) netip.Prefix {
	if f == packet.Inet {
		return d.inet
	}
	return d.inet6
}

func (d dual) prefixes() []netip.Prefix { return []netip.Prefix{d.inet, d.inet6} }

// The addresses. Each subnet has the router at 1 and the host at 2.
var (
	redSide  = newDual("10.77.1.1/24", "fd77:1::1/64")
	redHost  = newDual("10.77.1.2/24", "fd77:1::2/64")
	blueSide = newDual("10.77.2.1/24", "fd77:2::1/64")
	blueHost = newDual("10.77.2.2/24", "fd77:2::2/64")

	// service is nowhere: a hook sends what is for it to blue.
	service = newDual("10.77.9.9/32", "fd77:9::9/128")

	// The veth pair, the way without a router.
	redDirect  = newDual("10.77.3.1/24", "fd77:3::1/64")
	blueDirect = newDual("10.77.3.2/24", "fd77:3::2/64")

	// The cable to an instance that comes and goes.
	guestSide = newDual("10.77.4.1/24", "fd77:4::1/64")
	guestHost = newDual("10.77.4.2/24", "fd77:4::2/64")

	defaultRoutes = newDual("0.0.0.0/0", "::/0")
)

const (
	routerName = "router"
	deviceName = "tun0"    // in both namespaces
	directName = "direct0" // the veth pair, in both namespaces
	mtu        = 1500
)

// families are those whose packets are hooked and tried out.
var families = []packet.Family{packet.Inet, packet.Inet6}

// A network is what the demonstration runs on: two namespaces, a router between them, and a veth pair past it.
type network struct {
	red, blue *hostnet.Namespace
	manager   *instances.Manager
	router    *netstack.Instance
	devices   []tun.Device // the router's, red's and blue's
}

// build makes the network. On an error nothing of it is left.
func build() (*network, error) {
	n := &network{manager: instances.New(instances.Config{})}
	for _, step := range []func() error{n.addNamespaces, n.addRouter, n.addDirect} {
		if err := step(); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

func (n *network) addNamespaces() (err error) {
	for _, namespace := range []**hostnet.Namespace{&n.red, &n.blue} {
		if *namespace, err = hostnet.New(); err != nil {
			return err
		}
		if err := (*namespace).Configure(hostnet.LinkConfig{Name: "lo"}); err != nil {
			return err
		}
	}
	return nil
}

func (n *network) addRouter() (err error) {
	if n.router, err = n.manager.Create(netstack.Config{Name: routerName}); err != nil {
		return err
	}
	if err := n.connect("red", n.red, redSide, redHost); err != nil {
		return err
	}
	return n.connect("blue", n.blue, blueSide, blueHost)
}

// connect makes a TUN device in a namespace, gives the kernel one end of it and the router the other.
func (n *network) connect(name string, namespace *hostnet.Namespace, near, far dual) error {
	var device tun.Device
	err := namespace.Do(func() (err error) {
		device, err = tun.Open(tun.Config{Name: deviceName})
		return err
	})
	if err != nil {
		return err
	}
	_, err = namespace.ConfigureQuietly(hostnet.LinkConfig{
		Name:       deviceName,
		MTU:        mtu,
		TxQueueLen: hostnet.TUNQueueLen,
		Addresses:  far.prefixes(),
		Routes: []hostnet.Route{
			{Destination: defaultRoutes.inet, Gateway: near.inet.Addr()},
			{Destination: defaultRoutes.inet6, Gateway: near.inet6.Addr()},
		},
	})
	if err != nil {
		return errors.Join(err, device.Close())
	}
	n.devices = append(n.devices, device)
	_, err = n.router.AddInterface(device, netstack.InterfaceConfig{
		Name: name, MTU: mtu, Addresses: near.prefixes(), SourceValidation: netstack.SourceValidationStrict,
	})
	if err != nil {
		return errors.Join(err, device.Close())
	}
	return nil
}

// addDirect joins the namespaces by a veth pair.
func (n *network) addDirect() error {
	if err := n.red.AddVeth(directName, n.blue, directName); err != nil {
		return err
	}
	link := hostnet.LinkConfig{Name: directName, MTU: mtu, Addresses: redDirect.prefixes()}
	if _, err := n.red.ConfigureQuietly(link); err != nil {
		return err
	}
	link.Addresses = blueDirect.prefixes()
	_, err := n.blue.ConfigureQuietly(link)
	return err
}

// close takes everything down. The namespaces and the veth pair go with their last descriptor, the TUN devices with the
// router.
func (n *network) close() error {
	errs := []error{n.manager.Close()}
	for _, namespace := range []*hostnet.Namespace{n.red, n.blue} {
		if namespace != nil {
			errs = append(errs, namespace.Close())
		}
	}
	return errors.Join(errs...)
}

func (n *network) topology() Topology {
	t := Topology{
		Instance: n.router.Name(),
		Hosts:    []Host{{"red", redHost.prefixes()}, {"blue", blueHost.prefixes()}},
		Service:  []netip.Addr{service.inet.Addr(), service.inet6.Addr()},
		Direct:   []netip.Prefix{redDirect.inet, blueDirect.inet},
	}
	for f := range n.router.Interfaces() {
		if device := f.Device(); device != nil {
			t.Interfaces = append(t.Interfaces, Interface{f.Name(), fmt.Sprint(device), f.MTU(), f.Addresses()})
		}
	}
	return t
}
