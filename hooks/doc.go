// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package hooks lets code hook named points of a network stack, in the way of the Solaris packet filtering hooks
// (hook(9F), neti of illumos): a [Stack] per instance has families ("inet"), a family has events ("PHYSICAL_IN"), and on
// an [Event] any number of hooks can be registered, which are called in an order that they can influence. The package
// knows no packets: what an event hands to its hooks is a type parameter.
//
//	provider                                     consumer
//	NewStack, AddFamily, AddEvent                Stack.Family, FindEvent
//	        |                                            |
//	        v                                            v
//	Event.Run(slot, context) ---> first, ... last <--- Event.Register, Handle.Unregister
//	        |                                            ^
//	        v                                            |
//	Accept, Drop or Steal                        Notify: of families, events, hooks
//
// # Running
//
// [Event.Run] executes the list of hooks as it was when the run started: an immutable chain behind an atomic pointer. It
// takes no lock, allocates nothing, and its counters are striped so that workers do not share cache lines. With nothing
// hooked it is one load and a branch, inlined. The comment of run in run.go tells how an Unregister knows that the last
// running call of its hook has returned.
//
// The first hook that does not answer [Accept] ends the run, and its [Verdict] is what Run returns. A panic in a hook is
// caught: the packet is dropped, and the hook is disabled after [EventConfig].PanicLimit of them, but keeps its place and
// drops what it cannot judge (or lets it pass, if it has [FlagFailOpen]). A fault that Go cannot recover from, as concurrent
// map writes, still ends the process.
//
// # Order
//
// [Hook].Hint: at most one hook is first and is always first, at most one is last and is always last; before and after a
// named hook hold whenever both are there, whichever came first. A registration whose hints cannot hold is refused with
// [ErrBusy] and the names of the hooks it conflicts with. The comment of place in place.go says where a hook goes if
// several places would do.
//
// # Ownership
//
//	Stack        the provider; gone after Remove (or Close) when its last family and notifier have gone
//	  Notifier   who called Notify; nobody else can take it away
//	  Family     the provider; gone after Remove when its last event and notifier have gone
//	    Notifier
//	    Event    the provider; gone after Remove when its last hook and notifier have gone
//	      Notifier
//	      Handle who called Register; nobody else can take the hook away
//
// Removing what is still used succeeds; the object is then condemned, takes nothing new, and goes with its last user.
// Hooks that are there are called as long as the provider runs the event. [Stack.Leftovers] names the users.
//
// A context belongs to the hook that it is handed to until the hook returns. What that means for a packet, also after
// [Steal], is said where packets are known.
//
// # Locking
//
// One mutex per stack guards the registry: everything but the chains that run. It is never held while a hook, a callback,
// an observer or the logger is called, so that all of these may use the whole API. There is one exception, for which Go
// leaves no choice: in hooks and callbacks nothing can wait for running hooks, as two could wait for each other.
// [Handle.Unregister] finds out and refuses with [ErrInHook]; [Handle.Retire] does not wait. How notifications are ordered,
// and who waits for them, is written at [Notifier]. The package starts no goroutine.
//
// # Where this differs from the original, on purpose
//
//   - Hints hold: the original breaks LAST, BEFORE and AFTER when hooks come in an unlucky order.
//   - Registering on a shut-down stack is an error (the original returns success and does nothing).
//   - Late notifiers are told of what is there (as the manual says, and as later illumos does), each child exactly once and
//     also against concurrent changes; shut-down children are never announced.
//   - Callbacks may change the object that is notifying; there it deadlocks.
//   - A hook is taken away by the handle that registering it gave, not by its name. Notifiers are identified by name, not
//     by function. A second use gives [ErrGone].
//   - Names of events are unique in a family. Positions in the kstats are always current.
//   - Verdicts have names and can carry a [Reason]; the original has zero and non-zero. Verdicts on read-only events are
//     ignored by Run itself, as the original leaves to every provider.
//   - Panics are caught, Unregister from inside a hook is refused: there the kernel panics, or hangs.
//   - A protocol and its family have one name; lookups understand both of the original's.
//
// # What it does not do
//
// It has no hook points of its own, knows no packets and no interfaces, and does not limit how long a hook runs.
//
// # Glossary
//
// Every function of hook(9F) and neti, and what it is here. netstack, packet and instances are the packages above this one.
//
//	hook_alloc(9F)                       none: a Hook literal; Register copies it
//	hook_free(9F)                        none: garbage collected
//	HOOK_INIT                            none: a Hook literal
//	net_hook_register(9F)                hooks.Event.Register, netstack.Instance.Register
//	net_hook_unregister(9F)              hooks.Handle.Unregister, hooks.Handle.Retire
//	hook_run                             hooks.Event.Run
//	he_interested                        hooks.Event.Active, hooks.Event.Flags
//
//	net_protocol_register(9F)            netstack.Instance.RegisterProtocol
//	net_protocol_unregister(9F)          netstack.ProtocolRegistration.Unregister
//	net_protocol_lookup(9F)              netstack.Instance.Protocol; for its events alone hooks.Stack.Family
//	net_protocol_release(9F)             netstack.Protocol.Release
//	net_protocol_walk(9F)                netstack.Instance.Protocols; of the families hooks.Stack.Families
//	net_family_register(9F)              hooks.Stack.AddFamily
//	net_family_shutdown(9F)              hooks.Family.Shutdown
//	net_family_unregister(9F)            hooks.Family.Remove
//	HOOK_FAMILY_INIT                     none: AddFamily takes the name
//	net_event_register(9F)               hooks.AddEvent
//	net_event_shutdown(9F)               hooks.Event.Shutdown
//	net_event_unregister(9F)             hooks.Event.Remove
//	HOOK_EVENT_INIT                      hooks.EventConfig
//
//	net_instance_notify_register(9F)     hooks.Stack.Notify
//	net_instance_notify_unregister(9F)   hooks.Notifier.Unregister
//	net_protocol_notify_register(9F)     hooks.Family.Notify, on netstack.Protocol.Family
//	net_protocol_notify_unregister(9F)   hooks.Notifier.Unregister
//	net_event_notify_register(9F)        hooks.Event.Notify
//	net_event_notify_unregister(9F)      hooks.Notifier.Unregister
//
//	hook_stack_init                      hooks.NewStack
//	hook_stack_shutdown                  hooks.Stack.Shutdown
//	hook_stack_fini                      hooks.Stack.Remove, hooks.Stack.Close
//	hook_stack_notify_register           hooks.Stack.Notify
//	hook_stack_notify_unregister         hooks.Notifier.Unregister
//	hook_family_add                      hooks.Stack.AddFamily
//	hook_family_shutdown                 hooks.Family.Shutdown
//	hook_family_remove                   hooks.Family.Remove
//	hook_family_notify_register          hooks.Family.Notify
//	hook_family_notify_unregister        hooks.Notifier.Unregister
//	hook_event_add                       hooks.AddEvent
//	hook_event_shutdown                  hooks.Event.Shutdown
//	hook_event_remove                    hooks.Event.Remove
//	hook_event_notify_register           hooks.Event.Notify
//	hook_event_notify_unregister         hooks.Notifier.Unregister
//	hook_register                        hooks.Event.Register
//	hook_unregister                      hooks.Handle.Unregister
//	hook__run__start and the other probes hooks.Event.Observe
//
//	net_kstat_create(9F)                 netstack.Instance.CreateKstat; those of hooks are read by hooks.Stack.Stats, hooks.Family.Stats, hooks.Event.Stats
//	net_kstat_delete(9F)                 netstack.Kstat.Delete
//
//	net_instance_alloc(9F)               none: a literal
//	net_instance_free(9F)                none: garbage collected
//	net_instance_register(9F)            instances.Manager.Register
//	net_instance_unregister(9F)          instances.Registration.Unregister
//	net_getnetid(9F)                     netstack.Protocol.InstanceID, netstack.Instance.ID
//	net_zoneidtonetid(9F)                instances.Manager.Find
//	net_getzoneidbynetid                 netstack.Instance.Name
//
//	net_getifname(9F)                    netstack.Protocol.NICName, netstack.Interface.Name
//	net_getmtu(9F)                       netstack.Protocol.MTU, netstack.Interface.MTU
//	net_getpmtuenabled(9F)               netstack.Protocol.PathMTUDiscovery
//	net_getlifaddr(9F)                   netstack.Protocol.LIFAddresses, netstack.Interface.Addresses
//	net_getlifzone(9F)                   netstack.Protocol.LIFZone
//	net_getlifflags(9F)                  netstack.Protocol.LIFFlags
//	net_phygetnext(9F)                   netstack.Protocol.NextNIC, netstack.Protocol.NICs, netstack.Instance.Interfaces
//	net_phylookup(9F)                    netstack.Protocol.NICByName, netstack.Instance.Interface
//	net_lifgetnext(9F)                   netstack.Protocol.NextLIF, netstack.Protocol.LIFs, netstack.Interface.LIFs
//	net_routeto(9F)                      netstack.Protocol.RouteTo
//	net_ispartialchecksum(9F)            netstack.Protocol.ChecksumState, packet.Packet.Offload
//	net_isvalidchecksum(9F)              netstack.Protocol.ValidChecksum, packet.Packet.HeaderChecksumValid, packet.Packet.TransportChecksumValid
//
//	net_inject_alloc(9F)                 none: a literal
//	net_inject_free(9F)                  none: garbage collected
//	net_inject(9F)                       netstack.Instance.QueueIn, netstack.Instance.QueueOut, netstack.Instance.DirectOut
package hooks
