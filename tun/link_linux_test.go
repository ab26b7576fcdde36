// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/tun"
)

// A watch calls NextLinkState in a loop, as its users do.
type watch struct {
	t      *testing.T
	states chan tun.LinkState
	end    chan error
}

func watchDevice(t *testing.T, dev tun.Device) *watch {
	w := &watch{t, make(chan tun.LinkState, 100), make(chan error, 1)}
	go func() { // ends when the device is closed
		var s tun.LinkState
		for {
			var err error
			s, err = dev.(tun.LinkWatcher).NextLinkState(s)
			if err != nil {
				w.end <- err
				return
			}
			w.states <- s
		}
	}()
	return w
}

// until waits for a state that passes, over those in between.
func (w *watch) until(what string, passes func(tun.LinkState) bool) tun.LinkState {
	w.t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		select {
		case s := <-w.states:
			if passes(s) {
				return s
			}
		case err := <-w.end:
			w.t.Fatalf("%s: the watch ended: %v", what, err)
		case <-timeout:
			w.t.Fatalf("%s: not seen in 5 s", what)
		}
	}
}

func (w *watch) ended() error {
	w.t.Helper()
	select {
	case err := <-w.end:
		return err
	case <-time.After(5 * time.Second):
		w.t.Fatal("the watch did not end in 5 s")
		return nil
	}
}

func up(s tun.LinkState) bool   { return s.Up }
func down(s tun.LinkState) bool { return !s.Up && s.Name != "" }

var watchedDrivers = []tun.Driver{tun.DriverLinux, tun.DriverWater}

// The watcher sees what happens to the host's end, from the first state on.
func TestLinkWatcher(t *testing.T) {
	for _, driver := range watchedDrivers {
		t.Run(driver.String(), func(t *testing.T) {
			ns := hostnettest.Namespace(t)
			dev := openIn(t, ns, tun.Config{Name: deviceName, Driver: driver})
			link, err := ns.Link(deviceName)
			if err != nil {
				t.Fatal(err)
			}
			w := watchDevice(t, dev)
			if s, want := <-w.states, (tun.LinkState{Name: deviceName, Index: link.Index, MTU: 1500}); s != want {
				t.Errorf("first state: %+v, want %+v", s, want)
			}
			step := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			step(ns.SetUp(deviceName, true))
			w.until("up", up)
			step(ns.Configure(hostnet.LinkConfig{Name: deviceName, MTU: 9000}))
			w.until("MTU 9000", func(s tun.LinkState) bool { return s.MTU == 9000 && s.Up })
			step(ns.SetUp("lo", true)) // none of its business
			step(ns.SetUp(deviceName, false))
			w.until("down", down)
			step(ns.RenameLink(deviceName, "other"))
			w.until("renamed", func(s tun.LinkState) bool { return s.Name == "other" })
			if dev.Name() != deviceName {
				t.Errorf("Device.Name followed: %s", dev.Name())
			}
			step(ns.DeleteLink("other"))
			if err := w.ended(); err != tun.ErrGone {
				t.Errorf("deleted: %v, want ErrGone", err)
			}
			if _, err := dev.(tun.LinkWatcher).NextLinkState(tun.LinkState{}); err != tun.ErrGone {
				t.Errorf("deleted, asked again: %v, want ErrGone", err)
			}
		})
	}
}

// Who has seen nothing yet need not wait for something to happen.
func TestLinkWatcherAgain(t *testing.T) {
	dev, _ := newDevice(t, tun.Config{})
	for range 2 {
		if s, err := dev.(tun.LinkWatcher).NextLinkState(tun.LinkState{}); err != nil || !s.Up || s.Name != deviceName {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

// Close ends the wait, whether it has begun or not.
func TestLinkWatcherClose(t *testing.T) {
	for _, driver := range watchedDrivers {
		t.Run(driver.String(), func(t *testing.T) {
			dev, _ := newDevice(t, tun.Config{Driver: driver})
			w := watchDevice(t, dev)
			<-w.states
			closeDevice(t, dev)
			if err := w.ended(); err != net.ErrClosed {
				t.Errorf("while waiting: %v, want net.ErrClosed", err)
			}
			if _, err := dev.(tun.LinkWatcher).NextLinkState(tun.LinkState{}); err != net.ErrClosed {
				t.Errorf("afterwards: %v, want net.ErrClosed", err)
			}
		})
	}
}

// A device that is moved to another namespace is followed, there and back.
func TestLinkWatcherMoved(t *testing.T) {
	for _, driver := range watchedDrivers {
		t.Run(driver.String(), func(t *testing.T) {
			dev, ns := newDevice(t, tun.Config{Driver: driver})
			there := hostnettest.Namespace(t)
			w := watchDevice(t, dev)
			w.until("up", up)
			for _, move := range [][2]*hostnet.Namespace{{ns, there}, {there, ns}} {
				if err := move[0].MoveLink(deviceName, move[1]); err != nil {
					t.Fatal(err)
				}
				w.until("down on arrival", down)
				if err := move[1].SetUp(deviceName, true); err != nil {
					t.Fatal(err)
				}
				w.until("up again", up)
			}
			if err := ns.DeleteLink(deviceName); err != nil {
				t.Fatal(err)
			}
			if err := w.ended(); err != tun.ErrGone {
				t.Errorf("deleted: %v, want ErrGone", err)
			}
		})
	}
}

// Whoever moves a device may rename it where it arrives, before the watcher has found it there.
func TestLinkWatcherMovedAndRenamed(t *testing.T) {
	here, there := hostnettest.Namespace(t), hostnettest.Namespace(t)
	dev := openIn(t, here, tun.Config{Name: deviceName})
	w := watchDevice(t, dev)
	if err := here.SetUp(deviceName, true); err != nil {
		t.Fatal(err)
	}
	w.until("up", up)
	for range 20 {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				_ = there.RenameLink(deviceName, "other") // it may not be there yet
				_ = there.RenameLink("other", deviceName)
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
		if err := here.MoveLink(deviceName, there); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(5 * time.Second); ; { // at times it is called otherwise
			err := there.SetUp(deviceName, true)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		w.until("down on its way", down)
		w.until("up again", up)
		close(stop)
		<-stopped
		here, there = there, here
	}
}

// Close may come while the watcher follows.
func TestLinkWatcherCloseWhileMoved(t *testing.T) {
	here, there := hostnettest.Namespace(t), hostnettest.Namespace(t)
	for n := range 20 {
		dev := openIn(t, here, tun.Config{Name: deviceName})
		w := watchDevice(t, dev)
		<-w.states
		closed := make(chan struct{})
		go func() { // at another moment each time
			defer close(closed)
			time.Sleep(time.Duration(n) * 50 * time.Microsecond)
			closeDevice(t, dev)
		}()
		_ = here.MoveLink(deviceName, there) // or it is gone already
		if err := w.ended(); err != net.ErrClosed {
			t.Errorf("after Close: %v, want net.ErrClosed", err)
		}
		<-closed
	}
}

// Changes that came faster than the watcher looked, or that the kernel had no room for, leave it with the state as it is.
func TestLinkWatcherOverrun(t *testing.T) {
	dev, ns := newDevice(t, tun.Config{})
	watcher := dev.(tun.LinkWatcher)
	if s, err := watcher.NextLinkState(tun.LinkState{}); err != nil || !s.Up {
		t.Fatalf("%+v, %v", s, err)
	}
	for n := range 400 { // some 600 KiB of messages: more than a socket holds
		if err := ns.SetUp(deviceName, n%2 == 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := ns.Configure(hostnet.LinkConfig{Name: deviceName, MTU: 1400}); err != nil {
		t.Fatal(err)
	}
	w := watchDevice(t, dev)
	w.until("the last state", func(s tun.LinkState) bool { return s.MTU == 1400 && s.Up })
}

// A pair in memory does not tell, and the fault in asking is the caller's.
func TestPairIsNoLinkWatcher(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{})
	for _, dev := range []tun.Device{a, b} {
		if _, watches := dev.(tun.LinkWatcher); watches {
			t.Error("a pair says that it tells its link state")
		}
		if err := errors.Join(dev.Close()); err != nil {
			t.Error(err)
		}
	}
}
