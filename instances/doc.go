// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package instances keeps many TCP/IP stacks in one process. It is what an embedder imports first.
//
// A [Manager] gives out instance ids, which are never reused, and names, which are unique among the living. There is no
// package state: two managers know nothing of each other, except that both count from 1.
//
//	Manager ---- owns ----> netstack.Instance ---- owns ----> interfaces ----> devices (tun)
//	   |                          |  cable  |
//	   |                    netstack.Instance
//	   |                          :
//	   '-- knows --> Descriptor ..: Create, Shutdown, Destroy for each of them
//
// A cable ([Manager.Cable]) joins two instances in memory; it is an interface like any other at both ends, so packets on
// it meet the hooks of both instances.
//
// # Modules
//
// A module that wants to be part of all instances, present and future, registers a [Descriptor]
// (net_instance_register(9F)). What the life of an instance is to it:
//
//	Manager.Create      make the instance; Create of each descriptor; now it can be found
//	Manager.Register    Create for each living instance
//	Unregister          Shutdown for each instance, then Destroy for each
//	Manager.Destroy     cannot be found any more; Instance.Shutdown; Shutdown of each descriptor; Instance.Close; Destroy of each
//
// What belongs into Shutdown is written at [Descriptor]; the states of a descriptor on an instance, in pair.go.
//
// # Locking
//
// A Manager's methods may be called by any goroutine. One mutex guards its books and is never held while a callback or an
// instance is called, so that callbacks may use the whole API. Only what would wait for the callback it is called from is
// refused ([ErrInCallback]). The package starts no goroutine.
//
// Hooks, and callbacks of the package hooks, may create and find instances. They must not destroy, unregister or close:
// these wait for running hooks.
//
// # Where this differs from the original, on purpose
//
//   - A registration is ended by its handle, not by the name of its descriptor.
//   - Create can fail. The descriptor then has no part in that instance; there, the NULL is handed to the other callbacks.
//   - A callback that unregisters its own descriptor, or ends its own instance, gets an error; there it deadlocks.
//   - An instance that comes or goes calls its descriptors in the order of registration, whether or not it is older than they.
//   - Panics in callbacks are caught.
package instances
