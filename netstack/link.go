// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A link is a device in use by an interface, and the goroutines that serve it: one reader for each queue, and one that
// follows the host's side if the device tells. The loopback interface has none, which is the nil *link.
type link struct {
	dev      tun.Device
	features packet.Features // what dev accepts
	queues   int             // of dev
	watcher  tun.LinkWatcher // dev, if it tells how its host's side is doing; else nil
	first    tun.LinkState   // what it told first
	wasUp    bool            // the host's side has been up; from then on changes are news to an operator
	started  atomic.Bool     // packets may be sent; not yet while ReplaceDevice waits for the device before

	goroutines sync.WaitGroup
}

func newLink(dev tun.Device) *link {
	if dev == nil {
		return nil
	}
	l := &link{dev: dev, features: dev.Features(), queues: dev.Queues()}
	if watcher, ok := dev.(tun.LinkWatcher); ok {
		var err error
		if l.first, err = watcher.NextLinkState(tun.LinkState{}); err == nil {
			l.watcher, l.wasUp = watcher, l.first.Up
		}
	}
	return l
}

// checkDevice refuses devices that an interface cannot have. Instance.mu is held.
func (i *Instance) checkDevice(dev tun.Device) error {
	if n := dev.Queues(); n < 1 {
		return fmt.Errorf("%w: device %s has %d queues; expected 1 at least", ErrInvalid, dev.Name(), n)
	}
	for f := range i.Interfaces() {
		if dev == f.Device() {
			return fmt.Errorf("%w: interface %s has this device", ErrInvalid, f.name)
		}
	}
	return nil
}

// read is Device.Read, which is not believed blindly: a bug in a device must not end the process, or keep a processor busy.
func (l *link) read(queue int, pkts []*packet.Packet) (int, error) {
	n, err := l.dev.Read(queue, pkts)
	if n >= 1 && n <= len(pkts) {
		return n, err
	}
	if err == nil {
		err = fmt.Errorf("device %s: Read of %d packets returned %d and no error", l.dev.Name(), len(pkts), n)
	}
	return 0, err
}

// downLink takes the place of a link that may not be used.
var downLink = &link{dev: downDevice{}, queues: 1}

type downDevice struct{ tun.Device }

func (downDevice) Write(int, []*packet.Packet) (int, error) { return 0, tun.ErrDown }

// close closes the device and waits for the goroutines.
func (l *link) close() error {
	if l == nil {
		return nil
	}
	err := l.dev.Close()
	l.goroutines.Wait()
	return err
}

// hostState returns the state of an interface that has this link as its new device.
func (l *link) hostState(up bool) InterfaceState {
	if l == nil || l.watcher == nil {
		return InterfaceState{Up: up, Carrier: true}
	}
	return InterfaceState{Up: up, Carrier: l.first.Up, Host: l.first}
}

// followedMTU returns the MTU of an interface that follows its host's side: what that is set to, as far as it is one that
// the families of the interface's addresses can live with.
func followedMTU(host tun.LinkState, addresses []netip.Prefix) int {
	if host.MTU == 0 {
		return defaultMTU
	}
	least := minMTU4
	for _, p := range addresses {
		least = max(least, minMTU(p.Addr().Is4()))
	}
	return min(max(host.MTU, least), maxMTU)
}

// An InterfaceState says whether an interface can be used.
type InterfaceState struct {
	// Up: the interface is meant to be used; see SetUp. If not, it drops what it receives, and what it is to send.
	Up bool
	// Carrier: the host's side of the device is up; true if the device does not tell (tun.LinkWatcher). If not, routes
	// stay as they are, as on Linux, and it is the device that refuses packets.
	Carrier bool
	// Gone: the device was deleted or has failed. ReplaceDevice gives the interface another.
	Gone bool
	// Host is what the device told last of its host's side; the zero value if it does not tell.
	Host tun.LinkState
}

// Running reports whether packets can pass.
func (s InterfaceState) Running() bool { return s.Up && s.Carrier && !s.Gone }

// usable reports whether routes by the interface are in force.
func (s InterfaceState) usable() bool { return s.Up && !s.Gone }

// State returns the interface's state.
func (f *Interface) State() InterfaceState { return *f.state.Load() }

// Device returns the device behind the interface, nil for the loopback interface.
func (f *Interface) Device() tun.Device {
	if l := f.link.Load(); l != nil {
		return l.dev
	}
	return nil
}

// MTU returns the largest packet the interface sends, in bytes (net_getmtu(9F)).
func (f *Interface) MTU() int { return int(f.mtu.Load()) }

// SetMTU changes the largest packet the interface sends, in bytes. Packets see it at once, those of established connections
// of the host stack too, which keep to a smaller one but do not learn of a larger one. The host's side of the device is not
// touched. 0 means what it means in InterfaceConfig: the host's MTU from now on. With less than 1280 an interface carries no
// IPv6 (reason "ipv6_disabled") until it has more again. ErrInvalid for an MTU that an
// InterfaceConfig could not have, ErrClosed.
func (f *Interface) SetMTU(mtu int) error {
	f.inst.mu.Lock()
	defer f.inst.mu.Unlock()
	if f.closed {
		return opError("set MTU", f.name, ErrClosed)
	}
	follow := mtu == 0
	if follow {
		mtu = followedMTU(f.State().Host, f.Addresses())
	}
	if err := validateMTU(mtu, f.Addresses()); err != nil {
		return opError("set MTU", f.name, err)
	}
	f.followMTU = follow
	f.mtu.Store(int32(mtu))
	return nil
}

// SetUp sets the interface administratively up, as it is from the beginning, or down. A down interface drops what it
// receives and what it is to send, and the routes that lead to it do not count, as on Linux; unlike on Linux they do again
// when it comes up. Its addresses stay the instance's own and its sockets stay open, as on Linux.
// ErrInvalid for the loopback interface, ErrClosed.
func (f *Interface) SetUp(up bool) error {
	f.inst.mu.Lock()
	defer f.inst.mu.Unlock()
	switch {
	case f.closed:
		return opError("set up or down", f.name, ErrClosed)
	case f.loopback():
		return opError("set up or down", f.name, fmt.Errorf("%w: the loopback interface is always up", ErrInvalid))
	}
	state := f.State()
	state.Up = up
	f.setState(state)
	return nil
}

// setState changes the state, the routes that are in force, and tells the hooks of NIC_EVENTS. Instance.mu is held.
func (f *Interface) setState(state InterfaceState) {
	before, old := f.nicState(), f.State()
	f.state.Store(&state)
	if old.usable() != state.usable() {
		f.inst.fib.refresh(f)
		f.inst.mirrorRoutes()
	}
	f.announce(before, f.nicState())
}

// start starts the goroutines of the interface's device. They end when it is closed or gone. Instance.mu is held.
func (f *Interface) start(l *link) {
	if l == nil {
		return
	}
	l.started.Store(true)
	for queue := range l.queues {
		l.goroutines.Go(func() { f.inst.newWorker(queue).readLoop(f, l) })
	}
	if l.watcher != nil {
		l.goroutines.Go(func() { f.watchLoop(l) })
	}
}

// watchLoop follows the host's side of a device.
func (f *Interface) watchLoop(l *link) {
	for last := l.first; ; {
		state, err := l.watcher.NextLinkState(last)
		switch {
		case errors.Is(err, tun.ErrGone), errors.Is(err, net.ErrClosed):
			f.lostDevice(l, err)
			return
		case err != nil:
			f.inst.log.Warn("the host's side of a device is not followed any more", "interface", f.name, "error", err)
			return
		}
		f.hostChanged(l, state)
		last = state
	}
}

// hostChanged takes over what a device told of its host's side.
func (f *Interface) hostChanged(l *link, host tun.LinkState) {
	f.inst.mu.Lock()
	state := f.State()
	old := state.Host
	current := !f.closed && f.link.Load() == l && !state.Gone
	if current {
		state.Host, state.Carrier = host, host.Up
		if f.followMTU {
			f.mtu.Store(int32(followedMTU(host, f.Addresses())))
		}
		f.setState(state)
	}
	f.inst.mu.Unlock()
	news := l.wasUp && (host.Name != old.Name || host.MTU != old.MTU || host.Up != old.Up)
	l.wasUp = l.wasUp || host.Up
	if current && news {
		f.inst.log.Info("the host's side of a device has changed", "interface", f.name,
			"device", host.Name, "up", host.Up, "host MTU", host.MTU, "MTU", f.MTU())
	}
}

// lostDevice is told by each goroutine of a device that it has ended, and why.
func (f *Interface) lostDevice(l *link, err error) {
	f.inst.mu.Lock()
	state := f.State()
	lost := !f.closed && f.link.Load() == l && !state.Gone
	if lost {
		state.Gone, state.Carrier = true, false
		f.setState(state)
	}
	f.inst.mu.Unlock()
	switch {
	case lost && l.watcher == nil && errors.Is(err, tun.ErrGone):
		f.inst.log.Info("interface stopped: its cable was cut", "interface", f.name)
	case lost:
		f.inst.log.Warn("interface stopped: its device failed", "interface", f.name, "error", err)
	}
}

// ReplaceDevice gives the interface another device, in the place of one that is gone or that still works. Addresses,
// routes, sockets and hooks are untouched; what is sent before the new device takes over is dropped and counted, and does
// not take another route. (Nor does it while a device is gone, if there is a Blackhole route of a higher metric.) The old
// device is closed and its goroutines have ended on return. An MTU that follows the host's is now the new device's. Errors:
// ErrInvalid, ErrClosed, and hooks.ErrInHook from inside what it would wait for (InHook); then the device is still the caller's.
func (f *Interface) ReplaceDevice(dev tun.Device) error {
	if dev == nil || f.loopback() {
		return opError("replace device", f.name, fmt.Errorf("%w: the loopback interface has no device, and any other needs one", ErrInvalid))
	}
	if InHook() {
		return opError("replace device", f.name, hooks.ErrInHook)
	}
	f.replacing.Lock()
	defer f.replacing.Unlock()
	l, i := newLink(dev), f.inst

	i.mu.Lock()
	if f.closed {
		i.mu.Unlock()
		return opError("replace device", f.name, ErrClosed)
	}
	if err := i.checkDevice(dev); err != nil {
		i.mu.Unlock()
		return opError("replace device", f.name, err)
	}
	state := f.State()
	state.Carrier = false // routes stay as they are: traffic must not take another way for this moment
	f.setState(state)
	old := f.link.Swap(l)
	i.mu.Unlock()

	if err := old.close(); err != nil {
		i.log.Warn("closing a replaced device", "interface", f.name, "error", err)
	}

	i.mu.Lock()
	defer i.mu.Unlock()
	if f.followMTU {
		f.mtu.Store(int32(followedMTU(l.first, f.Addresses())))
	}
	f.setState(l.hostState(f.State().Up))
	f.start(l)
	return nil
}
