// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hostnet configures the host's side of the network: network namespaces,
// links, addresses, routes, and programs started inside a namespace. It is what the
// command uses to set up a TUN device, and what tests use to build a network.
//
//	ns, err := hostnet.New()                     // an anonymous namespace
//	err = ns.Do(func() error {                   // a TUN device in it
//		dev, err = tun.Open(tun.Config{Name: "hn0"})
//		return err
//	})
//	err = ns.Configure(hostnet.LinkConfig{
//		Name:      "hn0",
//		MTU:       1500,
//		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")},
//		Routes:    []hostnet.Route{{Destination: everything, Gateway: router}},
//	})
//	out, err := ns.Command(ctx, "ping", "-c", "1", "10.0.0.1").CombinedOutput()
//
// # Threads
//
// A network namespace belongs to an OS thread, not to a goroutine, and a thread in the
// wrong one is a bug that shows far away. So nothing here changes the caller's thread:
// every visit to a namespace is made by a goroutine of its own, on a thread of its own
// ([Namespace.Do]), and if that thread cannot come back it is thrown away.
//
// # Ownership and concurrency
//
// A [Namespace] is an open descriptor. It keeps an anonymous namespace alive; so does
// every device, socket and process in it. Close closes the descriptor and nothing
// else: namespaces with a name stay until [Delete]. All functions and methods are safe
// for concurrent use. No goroutine outlives the call that started it.
//
// # Rights
//
// CAP_SYS_ADMIN and CAP_NET_ADMIN, in the user namespace that owns the network
// namespace: root has them, and so has everybody inside "unshare -Urn". Named
// namespaces also need a writable /run/netns.
//
// # What it does not do
//
// Linux only: elsewhere every function returns [ErrUnsupported]. No firewall, no
// bridges, no DHCP. It never runs for a packet.
package hostnet
