// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package bench is what "hooknet bench router" does: it builds several ways from a client to a server, the router of each
// another one, sends the same traffic over all of them by turns, and compares.
//
//	namespace             a process for each path                  namespace
//	client                kernel, splice, gvisor, hooknet ...      server
//	10.99.1.2 -- TUN -- 10.99.1.1 [ router ] 10.99.2.1 -- TUN -- 10.99.2.2
//
// path.go lists the paths and the tests. [Run] (bench.go) builds (network_linux.go, process_linux.go), measures in rounds
// (tcp_linux.go, udp_linux.go, ping_linux.go) and takes down; [Worker] (worker_linux.go) is what each router's process
// runs. report.go is the result, stats.go what is made of the samples, text.go and svg.go write it for people.
//
// # What makes it a fair comparison
//
// All paths are there all the time, and one that is idle waits in the kernel. Within a round each test visits the paths in
// a shuffled order, one right after the other, and ratios are taken between figures of the same round: what slows down
// the machine for a while slows down both sides of a ratio. The routers have processes of their own, so that their
// processor time is told apart from that of client and server, which are threads of this process in plain blocking system
// calls. The lengths of queues, MTU, addresses and kernel TCP/IP are the same for all; TCP has the congestion control that
// [Config] says, not the machine's.
//
// The baselines (package baseline) are as fast as they honestly can be, but for gvisor: that one is gVisor as it comes, and
// gvisor-tuned beside it as fast as can be. A run in which the copy loop or gvisor is far slower than it should be, by
// comparison with the kernel, is void: Report.Void.
//
// # What it does not do
//
// IPv6, several clients, routes beyond two, hooks that do something. No program but this one takes part.
//
// The namespaces have no names and nothing is written to disk, so that all of it ends with the processes at the latest, and
// the routers' processes end when this one does. Rights are the caller's affair: see the package rootless. Linux only.
package bench
