// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package netstack is the data path of one TCP/IP instance: interfaces on packet devices, a forwarding table, a router's
// duties, and a host stack, with hooks at every point that a packet passes. hooknet forwards, gVisor terminates: packets
// for other hosts never enter gVisor, whose stack only sees what is for our own addresses and only sends what our own
// sockets send.
//
// # The packet's way
//
//	           device queue                      readLoop       worker.go
//	                |  parse, martians           ingress        input.go
//	                v
//	          [PHYSICAL_IN]                      physicalIn
//	                |
//	           route lookup                      route          lookup.go, fib.go, source.go
//	       local /        \ forward
//	            v          v
//	         deliver   [FORWARDING]              forward        forward.go
//	            |          |  TTL, MTU, ICMP errors             icmp.go
//	            v          v  fragments, segments               output.go
//	       +---------+  [PHYSICAL_OUT] <--.      physicalOut
//	       |  host   |     |              |
//	       |  stack  |     v              |
//	       | (gVisor)|  device queue      |      flush
//	       +---------+                    |
//	         |     ^                      |
//	         |     |                      |
//	queue -> originate -- other hosts ----'      outputLoop     host.go
//	         |     |
//	         v     |  one of our own addresses
//	[LOOPBACK_OUT] -> [LOOPBACK_IN]              loopbackOut, loopbackIn
//
// One goroutine per device queue carries a packet all the way to the other device. The one queue in between is behind the
// host stack, whose packets come with a TCP endpoint's lock held.
//
// OBSERVING comes after PHYSICAL_IN, after PHYSICAL_OUT, and between LOOPBACK_OUT and LOOPBACK_IN: what was dropped there is
// not observed. NIC_EVENTS has its own queue and goroutine (nicevents.go). The packet events of the ARP family can be
// registered for and never come: TUN devices have no ARP.
//
// The TCP points of package hhook see segments beside the events: what is about to be written to a device (flush), what goes from
// one of our sockets to another (loopbackOut), and what is about to be delivered; tcppoints.go says what they are called with,
// tcpworker.go when, and tcpjoin.go which are shown as one. They follow connections in a table of flows (flow.go,
// flowtable.go), while something is hooked on them.
//
// A packet meets each event at most once. A hook that changes the destination at PHYSICAL_IN changes the route, at
// FORWARDING and PHYSICAL_OUT it does not. A packet that a hook edited is parsed again. PHYSICAL_OUT sees what goes on the
// device: fragments one by one, a superpacket whole where the device takes it whole.
//
// # What hooks may ask
//
// Instance.Protocol gives a handle on IPv4, IPv6 or ARP, whose accessors tell of interfaces, addresses, routes and
// checksums: the netinfo(9F) of the original (protocol.go, netinfo.go). They read the same snapshots as the packet path.
//
// # Socket points
//
// The sockets of the host stack (socket.go, conn.go, datagram.go) have hook points of package hhook: created, has received, is
// to send, closed (socketpoints.go). They stand beside the packet's way: they see what a program sends and receives, not packets.
//
// # Ownership
//
// The device fills a packet that belongs to the worker, and the worker passes it from stage to stage; it ends by being
// sent, delivered, dropped, split, or stolen by a hook, and then belongs to the worker again, or to the hook. Hooks get a
// packet.Context that is good until they return. What goes into gVisor and comes out of it is copied.
//
// # Locking
//
// The packet path takes no lock: the forwarding table and the lists of hooks, interfaces and addresses are immutable
// snapshots behind atomic pointers. The exceptions: ICMP errors, whose rate is limited (icmplimit.go); the host stack's queue,
// and deliveries to it, since fragments go there one by one (endpoint.go); what tells of a path MTU (pathmtu.go); and the table
// of flows, if something is hooked on the TCP points (docs/adr/0007).
// What changes an interface (address.go, link.go) runs under Instance.mu and waits for nobody but a few milliseconds for the
// host stack's output; whoever waits for hooks to return holds Interface.replacing at most.
// A flowShard's lock is taken by a worker that holds no other, and is held while the TCP points run.
// Lock order: Interface.replacing, Instance.mu, a queue's or nicEvents.mu; all others are held alone, but for endpoint.delivering,
// under which gVisor runs and puts into the host stack's queue. The hook stack's locks are never held when ours are taken, and
// of gVisor's only those under which it puts into that queue.
//
// # What it does not do
//
// Neighbours and link-layer addresses (TUN devices have none), multicast routing, redirects, NAT, source routing. There is
// no name resolution. Reassembly is the host stack's: forwarded fragments stay fragments.
package netstack
