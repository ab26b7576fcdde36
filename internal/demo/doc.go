// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package demo is what "hooknet demo" shows: a network of two hosts and a hooknet router, real traffic on it, and a
// report of what the traffic and the hooks saw. It is also the smallest complete program on top of hooknet: network.go
// builds an instance with two interfaces, hooks.go is all there is to the hooks on packets, guest.go to a second instance
// that comes and goes while traffic flows, and to NIC events.
//
//	namespace red                  this process                  namespace blue
//	client, kernel TCP/IP          router, hooks                 servers, kernel TCP/IP
//	10.77.1.2, fd77:1::2 -- TUN -- 1::1 [instance] 2::1 -- TUN -- 10.77.2.2, fd77:2::2
//	      |                                                           |
//	      '------------------- a veth pair, to compare ---------------'
//
// [Run] does all of it: network.go builds, hooks.go registers, servers.go listens, demo.go lists the checks and runs them
// one by one, ping.go, traffic.go, guest.go and rtt.go are the checks, report.go is the result and text.go writes it for people.
//
// Client and servers are sockets of this process that were opened inside the namespaces. The namespaces have no names
// and nothing is written to disk, so that all of it ends with the process at the latest; Run takes it down before that,
// and waits for its goroutines.
//
// Rights are the caller's affair: see the package rootless. Everything but Run works on every system.
package demo
