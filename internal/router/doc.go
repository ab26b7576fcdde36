// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package router builds what a configuration file describes on this machine, and takes it down again. It is the middle
// of "hooknet run".
//
//	config.Config
//	     |  survey    look at the namespaces; refuse what would be in the way     survey.go, routes.go
//	     v
//	     |  instances, devices and interfaces, cables, routes                     build.go
//	     v
//	     |  host sides: MTU, addresses, up, routes                                build.go
//	     v
//	  Router
//
// The host sides come last: the kernel sends nothing to an instance that is not complete.
//
// # All or nothing
//
// An [Open] that fails leaves nothing behind, and so does [Router.Close]. Both rest on one rule: nothing is made on the
// host that does not go with the TUN device it belongs to. Addresses, routes and settings of a device are gone with it.
// So Open attaches to no device that is there already and replaces no route; the survey says so before anything has
// been made. Errors are [*Error]: the place in the file, what it is about, what was found and what to do.
//
// # Ownership
//
// A Router owns its instances, they their interfaces, and those their devices. Namespaces are open during Open only;
// afterwards they are held by the devices in them.
//
// # Concurrency
//
// Open and Close may be called by any goroutine; the package starts none of its own. A device that is deleted while the
// Router runs costs its interface, which the instance logs; everything else goes on.
//
// # What it does not do
//
// It makes and deletes no namespaces. It does not follow changes of the file or of the host. Linux only, as soon as
// there is an interface: on other systems Open returns an error that is errors.ErrUnsupported.
package router
