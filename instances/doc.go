// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package instances keeps many TCP/IP stacks in one process. It is what an embedder imports first.
//
// A [Manager] gives out instance ids, which are never reused, and names, which are unique among the living. There is no
// package state: two managers know nothing of each other, except that both count from 1.
//
//	Manager ---- owns ----> netstack.Instance ---- owns ----> interfaces ----> devices (tun)
//	                              |  cable  |
//	                        netstack.Instance
//
// A cable ([Manager.Cable]) joins two instances in memory; it is an interface like any other at both ends, so packets on
// it meet the hooks of both instances.
//
// Locking: a Manager's methods may be called by any goroutine, but not from inside hooks when they end something
// (Destroy, Close): those wait for running hooks.
//
// Not here yet: instance descriptors with create, shutdown and destroy callbacks, budgets.
package instances
