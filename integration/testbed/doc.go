// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package testbed builds small networks for tests: network namespaces whose kernel plays the hosts, hooknet instances that
// play the routers, TUN devices between the two, and real programs inside. It is for hooknet's own tests and for those of
// its users.
//
//	func TestPing(t *testing.T) {
//		testbed.Require(t, testbed.Root, testbed.TUN, "ping")
//		r := testbed.NewRouter(t, testbed.RouterConfig{}) // red ---- router ---- blue
//		r.Red.Run(t, "ping", "-c", "1", testbed.Blue4)
//	}
//
// Any other network is put together from its parts:
//
//	bed := testbed.New(t)
//	red := bed.Namespace("red")
//	router := bed.Instance(netstack.Config{Name: "router"})
//	bed.Link(red, router, testbed.LinkConfig{
//		Host:   testbed.Prefixes("10.0.1.2/24"),
//		Router: testbed.Prefixes("10.0.1.1/24"),
//		Routes: testbed.Everything,
//	})
//
// # The packet's way
//
//	program  --socket-->  kernel of the namespace  --TUN-->  instance  --TUN-->  kernel  -->  program
//	                             |         ^
//	                       [Tap]: bytes of the test's own making, in place of the kernel's
//
// # Ownership
//
// A [Bed] owns all that was made with it and takes it down at the end of its test: programs are stopped, instances closed,
// namespaces given up. It then looks whether anything stayed behind, and whether the books of every instance balance
// (netstack.Stats): each is a failure of the test. Goroutines are for goleak in the test's TestMain to find.
//
// # Concurrency
//
// A network is built by one goroutine, that of its test. Programs may be run from many; methods that take a testing.TB
// report to that one, so that subtests can share a network.
//
// # What it does not do
//
// Linux only; elsewhere, and where root or a tool is missing, tests are skipped with the name of what is missing, or fail if
// HOOKNET_REQUIRE=1 is in the environment. No virtual time, no loss or delay: the fault devices of package tun make those.
package testbed
