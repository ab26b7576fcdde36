// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

// LinkWatcher is a device that can tell how the host's end of it is doing. The devices
// of Open are: whether they can is in the error of NextLinkState. A device that wraps
// another one should have the method, too, and pass the call on.
type LinkWatcher interface {
	// NextLinkState blocks until the state is another than last, and returns it. For the
	// zero LinkState that is at once. Changes that are undone before it looks are not
	// seen. One goroutine at a time.
	//
	// Errors are final: net.ErrClosed after Close, at once; ErrGone once the device was
	// deleted; ErrUnsupported, with the reason, if the system does not tell, or not any more
	// since the device was moved where this process may not follow; anything else unexpected.
	NextLinkState(last LinkState) (LinkState, error)
}

// LinkState is what the host's end of a device is like. The zero value is that of a
// device that does not tell.
type LinkState struct {
	// Name is what the host calls the device: unlike Device.Name it follows a rename.
	Name string

	// Index is the host's interface index.
	Index int

	// MTU is the longest packet the host sends to the device, in bytes.
	MTU int

	// Up tells that the host's end is administratively up and has a carrier (IFF_UP and
	// IFF_LOWER_UP of netdevice(7)). If not, the host sends nothing to the device, and
	// Write answers ErrDown.
	Up bool
}
