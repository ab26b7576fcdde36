// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hhook lets code watch numbered points of a network stack, in the way of FreeBSD's hhook(9). A [Point] is known
// by its type and id, as (TCP, 0); whoever runs it hands a context to all hooks on it. Hooks observe: they give no answer,
// and nothing is dropped for them. For verdicts, and for an order other than first come first served, use package hooks,
// on whose run path this one is built.
//
//	provider                                      consumer
//	New, Points.Register                          Points.Get, Points.AddLookup
//	        |                                             |
//	        v                                             v
//	Point.RunIf(slot, context, object) ---> first, ... last <--- Point.Add, Attachment.Remove
//
// # Points
//
// [Points] are those of one instance, or, with instance 0, of the process. [Points.Register] makes a point; whoever asks
// for it with [Points.Get] holds a reference, and while there are any the point cannot be deregistered. A hook that
// was added by look-up ([Points.AddLookup]) waits for its point, if it must, and is attached each time the point appears.
//
// # Running
//
// [Point.RunIf] with nothing hooked is one atomic load and a branch, and never allocates. The list of hooks that
// runs is the one at its start. A hook that panics is caught, logged and counted, and disabled after
// [Config].PanicLimit panics; the hooks behind it miss that one run. A worker that runs a point often uses a [Visitor].
//
// # Ownership
//
// [Points] belong to whoever made them; a [Point] to whoever registered it; an [Attachment] to whoever added the hook, and
// also goes with its point unless it was added by look-up. [Points.Close] takes all away and names what was left.
// What a context points at is the hook's until the hook returns, and no longer.
//
// # Locking
//
// One mutex guards the points of an instance. It is not held while hooks or the logger run, so that these may use
// the whole API, but for what waits for running hooks: [Attachment.Remove], [Point.Remove], [Points.RemoveLookup],
// [Point.Deregister], [Points.Deregister] and [Points.Close] are refused inside a hook with hooks.ErrInHook, as two that
// wait for each other would wait for ever. Lock order: the mutex of Points, then that of the hooks.Stack below.
// The package starts no goroutine.
//
// # Where this differs from the original, on purpose
//
//   - A hook is known by its name, not by its function and argument: functions cannot be compared in Go.
//   - The owner's own reference is not counted, so that deregistering by key works for an owner who kept the pointer.
//   - Adding by look-up attaches in one instance, not in all of the system, and takes all of several hooks or none.
//   - Deregistering a point waits for the running calls of its hooks. There it is the caller's duty that none run.
//   - Hooks return nothing; there the result is ignored.
//
// # What it does not do
//
// It knows no packets and has no points of its own (package netstack has those of TCP and of sockets), and makes no per-object
// data: package khelp does.
//
// # Glossary
//
// Every function and constant of hhook(9), and what it is here.
//
//	hhook_head_register(9)            hhook.Points.Register
//	hhook_head_deregister(9)          hhook.Point.Deregister
//	hhook_head_deregister_lookup(9)   hhook.Points.Deregister
//	hhook_head_get                    hhook.Points.Get
//	hhook_head_release                hhook.Point.Release
//	hhook_head_is_virtualised         hhook.Point.IsVirtualised
//	hhook_head_is_virtualised_lookup  hhook.Points.Get, then hhook.Point.IsVirtualised
//	hhook_add_hook                    hhook.Point.Add
//	hhook_add_hook_lookup             hhook.Points.AddLookup
//	hhook_remove_hook                 hhook.Attachment.Remove, hhook.Point.Remove
//	hhook_remove_hook_lookup          hhook.Attachment.Remove, hhook.Points.RemoveLookup
//	hhook_run_hooks(9)                hhook.Point.RunIf
//	HHOOKS_RUN_IF(9)                  hhook.Point.RunIf
//	HHOOKS_RUN_LOOKUP_IF(9)           hhook.Points.RunLookupIf
//	struct hhook_head                 hhook.Point
//	struct hookinfo                   hhook.Hook
//	hhook_func_t                      hhook.Func, whose arguments are those in an *hhook.Call
//	HHOOK_WAITOK                      hhook.WaitOK
//	HHOOK_NOWAIT                      hhook.NoWait
//	HHOOK_HEADISINVNET                hhook.InInstance
//	HHOOK_TYPE_TCP                    hhook.TCP
//	HHOOK_TYPE_SOCKET                 hhook.Socket
package hhook
