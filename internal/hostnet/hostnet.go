// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"errors"
	"net/netip"
	"syscall"
)

// ErrUnsupported is in every error on systems other than Linux. It is
// errors.ErrUnsupported.
var ErrUnsupported = errors.ErrUnsupported

// OpError says what failed, where, and on which device. errors.Is finds the errno.
type OpError struct {
	Op        string // what was tried, in words: "set MTU 1280"
	Namespace string // as Namespace.String returns it
	Device    string // may be empty
	Err       error
}

func (e *OpError) Error() string {
	s := "hostnet: "
	if e.Namespace != "" {
		s += "namespace " + e.Namespace + ": "
	}
	if e.Device != "" {
		s += "device " + e.Device + ": "
	}
	return s + e.Op + ": " + e.Err.Error()
}

func (e *OpError) Unwrap() error { return e.Err }

// LinkConfig is how a link is to be. Configure only adds and sets: what a field does
// not mention stays as it is.
type LinkConfig struct {
	// Name is the link's name. "lo" is a link too, and down in a new namespace.
	Name string

	// MTU in bytes. 0 leaves it.
	MTU int

	// TxQueueLen is how many packets the link queues on their way out; for a TUN
	// device, on their way to the program that reads it (500 by default; bursts beyond
	// are lost; see TUNQueueLen). 0 leaves it.
	TxQueueLen int

	// NoAutoconf keeps IPv6 quiet: no link-local address but those given, no router
	// solicitations, no router advertisements heeded. For tests that count packets.
	NoAutoconf bool

	// Addresses are the link's addresses and their subnets. IPv6 addresses are added
	// without duplicate address detection.
	Addresses []netip.Prefix

	// Routes lead out of this link. They are added in order, so that a gateway can be
	// reached by the route before.
	Routes []Route
}

// TUNQueueLen is the TxQueueLen for a TUN device whose program is a router: the default
// is overrun by a burst of TCP with a large window, and by the fragments of a few large
// datagrams.
const TUNQueueLen = 2000

// ConfigureQuietly is Configure with NoAutoconf where that can be had. Where /proc/sys
// is read-only, as in many containers, IPv6 autoconfiguration stays on, and quiet is
// false.
func (n *Namespace) ConfigureQuietly(cfg LinkConfig) (quiet bool, err error) {
	cfg.NoAutoconf = true
	err = n.Configure(cfg)
	if !errors.Is(err, syscall.EROFS) {
		return true, err
	}
	cfg.NoAutoconf = false
	return false, n.Configure(cfg)
}

// Route is a route of the host's, or of a namespace's, main table.
type Route struct {
	// Destination is where the route leads. 0.0.0.0/0 and ::/0 are default routes.
	Destination netip.Prefix

	// Gateway is the next hop, if there is one.
	Gateway netip.Addr
}

// Link is what the kernel says of a link.
type Link struct {
	Index      int
	Name       string
	Type       string // "tuntap", "veth", "device", ...
	MTU        int
	TxQueueLen int
	Up         bool // administratively
	Addresses  []netip.Prefix
}
