// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package khelp loads helpers into an instance, in the way of FreeBSD's khelp(9). A helper is a named set of hooks on
// points of package hhook that may keep data of its own on every object of the classes it is for, as on each TCP
// connection.
//
//	provider of objects                          helper
//	                                             Helpers.Load(Config): hooks, data, init
//	Helpers.Create(object) ---> New, for each helper of the object's class
//	Point.RunIf(..., object) -> hook(call, data), skipped if the helper has no data on the object
//	Object.Destroy ----------> Free, for each data
//	                                             Helper.Unload: refused while objects carry its data
//
// # Data
//
// The data of a helper on an object is made when the object is made, and destroyed with it, exactly once. So a helper
// never meets an object that is older than it is: its hooks are skipped there, for as long as the object lives. If one
// helper's data cannot be made the object gets none of any helper. Another helper's data is read with [Get], by id.
//
// A helper is unloaded while objects come and go all the time in three steps: [Helper.Drain], [Object.Drop] on each object,
// [Helper.Unload].
//
// # Ownership
//
// [Helpers] belong to the instance; a [Helper] to whoever loaded it. An [Object], and the data on it, belongs to whoever
// creates it: embed it in what the helpers are about.
//
// # Locking
//
// One mutex guards the helpers of an instance. It is not held while the functions of a helper run. Lock order: the mutex of
// Helpers, then what is below package hhook. An Object has no lock: whoever owns it sees to it that Create, Destroy and
// runs of points with it do not overlap; runs may overlap each other. The data a hook gets is locked by the helper, if
// the provider of the point does not say that calls for one object do not overlap.
// The package starts no goroutine.
//
// # Where this differs from the original, on purpose
//
//   - Helpers are loaded per instance, not for the whole system. Their names are unique.
//   - Loading attaches all hooks at one moment or none; there the first are live while the second are tried.
//   - That a helper needs data follows from Config.Data; there a flag and a size can contradict each other (EDOOFUS).
//   - Hooks added at run time are taken away by unloading, too; there they stay behind.
//   - What was started is undone when loading fails: Destroy is called if Init succeeded.
//   - A panic in New counts as failure; one in Free is counted; neither reaches the owner of the object.
//
// # What it does not do
//
// It makes no objects and runs no points: package netstack does, for TCP flows and sockets.
//
// # Glossary
//
// Every function of khelp(9) and osd(9), and what it is here.
//
//	KHELP_DECLARE_MOD(9)              khelp.Helpers.Load
//	KHELP_DECLARE_MOD_UMA(9)          khelp.Helpers.Load, with khelp.Config.Data
//	khelp_register_helper             khelp.Helpers.Load
//	khelp_deregister_helper           khelp.Helper.Unload
//	khelp_init_osd(9)                 khelp.Helpers.Create
//	khelp_destroy_osd(9)              khelp.Object.Destroy
//	khelp_get_osd(9)                  khelp.Get, khelp.Object.Data
//	khelp_get_id(9)                   khelp.Helpers.ID
//	khelp_add_hhook(9)                khelp.Helper.AddHook
//	khelp_remove_hhook(9)             khelp.Helper.RemoveHook
//	struct helper                     khelp.Config, khelp.Helper
//	HELPER_NEEDS_OSD                  khelp.Config.Data
//	HELPER_CLASS_TCP                  khelp.TCP
//	HELPER_CLASS_SOCKET               khelp.Socket
//	struct osd                        khelp.Object
//	osd_register, osd_deregister      none: a helper's id is its slot
//	osd_set                           none: Create does it
//	osd_reserve, osd_set_reserved     none: memory is no reason to fail
//	osd_free_reserved                 none: likewise
//	osd_get                           khelp.Object.Data
//	osd_del                           khelp.Object.Drop
//	osd_exit                          khelp.Object.Destroy
//	osd_call                          none: a point with the object is what calls helpers
package khelp
