// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import "errors"

// VirtioHeaderLen is the length of the virtio-net header that goes before each packet of a [Tap] with VirtioHeader set
// (struct virtio_net_hdr, in the machine's byte order).
const VirtioHeaderLen = 10

// ErrNothing is Receive's when there is no packet in time.
var ErrNothing = errors.New("testbed: nothing received")

// TapConfig describes a [Tap].
type TapConfig struct {
	// Device is the name of the TUN device.
	Device string

	// VirtioHeader puts a virtio-net header before every packet sent and received (PACKET_VNET_HDR). The kernel refuses
	// headers that make no sense at all.
	VirtioHeader bool
}
