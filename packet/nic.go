// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"net/netip"

	"github.com/hooknet/hooknet/hooks"
)

// NICEventType says what happened to an interface or one of its addresses
// (hook_nic_event(9S)). The zero value is no event.
type NICEventType uint8

// The types, with the values of the original.
const (
	NICPlumb         NICEventType = iota + 1 // NE_PLUMB: the interface is there, for this family
	NICUnplumb                               // NE_UNPLUMB: it is gone; its last event
	NICUp                                    // NE_UP
	NICDown                                  // NE_DOWN
	NICAddressChange                         // NE_ADDRESS_CHANGE
	NICLIFUp                                 // NE_LIF_UP: the address can be used
	NICLIFDown                               // NE_LIF_DOWN
	NICIfindexChange                         // NE_IFINDEX_CHANGE
)

var nicEventNames = [...]string{
	NICPlumb:         "PLUMB",
	NICUnplumb:       "UNPLUMB",
	NICUp:            "UP",
	NICDown:          "DOWN",
	NICAddressChange: "ADDRESS_CHANGE",
	NICLIFUp:         "LIF_UP",
	NICLIFDown:       "LIF_DOWN",
	NICIfindexChange: "IFINDEX_CHANGE",
}

// String returns the name, such as "LIF_UP"; "unknown" for a value that is no
// event.
func (t NICEventType) String() string {
	if t == 0 || int(t) >= len(nicEventNames) {
		return "unknown"
	}
	return nicEventNames[t]
}

// NICEvent is what a hook of NIC_EVENTS is called with. It is a copy: it can be
// kept, and writing to it changes nothing.
type NICEvent struct {
	Instance hooks.InstanceID
	Family   Family
	Type     NICEventType
	NIC      uint32       // index of the interface; before the change, for NICIfindexChange
	LIF      uint32       // number of the address on the interface, from 1; 0 if it is about the interface
	Name     string       // of the interface
	Address  netip.Prefix // the address, if LIF is not 0
	NewIndex uint32       // with NICIfindexChange
}
