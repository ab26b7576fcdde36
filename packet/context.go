// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import "github.com/hooknet/hooknet/hooks"

// Context is what a packet hook is called with (hook_pkt_event(9S)): one
// packet and where it stands.
//
// It belongs to the caller of the hooks and is used again for the next
// packet: a hook must not keep the pointer after it has returned. The packet
// too stays the caller's, unless the hook answers hooks.Steal: then the hook
// owns Packet and has to [Packet.Release] it.
//
// A hook changes the packet through its methods. There is no way and no need
// to put another one in its place; see [Packet.Replace].
type Context struct {
	Packet   *Packet
	Instance hooks.InstanceID
	In       uint32 // index of the receiving interface, 0 absent
	Out      uint32 // index of the sending interface, 0 absent
	Flags    Flags
	Family   Family
	Event    Event
}

// Hook is a hook on packets.
type Hook = hooks.Hook[*Context]
