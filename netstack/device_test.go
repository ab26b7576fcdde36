// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A badDevice is a device that does not keep to what tun.Device asks for.
type badDevice struct {
	queues int
	read   func(pkts []*packet.Packet) (int, error) // nil: nothing comes
	write  func(pkts []*packet.Packet) (int, error) // nil: all is written

	stuck   chan struct{} // nil: Close does not wait for it
	closing sync.Once
	closed  chan struct{}
}

func newBadDevice() *badDevice { return &badDevice{queues: 1, closed: make(chan struct{})} }

func (d *badDevice) Name() string              { return "bad" }
func (d *badDevice) Features() packet.Features { return 0 }
func (d *badDevice) Queues() int               { return d.queues }

func (d *badDevice) Read(_ int, pkts []*packet.Packet) (int, error) {
	select {
	case <-d.closed:
		return 0, net.ErrClosed
	default:
	}
	if d.read != nil {
		return d.read(pkts)
	}
	<-d.closed
	return 0, net.ErrClosed
}

func (d *badDevice) Write(_ int, pkts []*packet.Packet) (int, error) {
	if d.write != nil {
		return d.write(pkts)
	}
	return len(pkts), nil
}

func (d *badDevice) Close() error {
	d.closing.Do(func() { close(d.closed) })
	if d.stuck != nil {
		<-d.stuck
	}
	return nil
}

// A device whose Read returns a number that cannot be has failed: the interface stops, and nothing else does.
func TestDeviceReadsWhatCannotBe(t *testing.T) {
	for name, n := range map[string]int{"nothing without an error": 0, "less than nothing": -1, "more than was asked for": 1000} {
		t.Run(name, func(t *testing.T) {
			dev := newBadDevice()
			calls := 0
			dev.read = func([]*packet.Packet) (int, error) {
				calls++
				return n, nil
			}
			r := newRouter(t, netstack.Config{})
			f, err := r.AddInterface(dev, netstack.InterfaceConfig{Addresses: prefixes("10.0.3.1/24")})
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(5 * time.Second); !f.State().Gone; {
				if time.Now().After(deadline) {
					t.Fatal("the interface does not stop")
				}
				time.Sleep(time.Millisecond)
			}
			if err := f.Close(); err != nil { // and so its reader has ended
				t.Error(err)
			}
			if calls != 1 {
				t.Errorf("Read was called %d times", calls)
			}
			r.left.send(udp(t, left4, right4, 64, nil))
			r.right.receive()
		})
	}
}

// Whatever Write returns, all packets are written or refused, and counted so.
func TestDeviceWritesWhatCannotBe(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		write   func(pkts []*packet.Packet) (int, error)
		refused uint64 // of 3
		direct  error  // of DirectOut
	}{
		"all, and an error":        {func(p []*packet.Packet) (int, error) { return len(p), broken }, 0, nil},
		"more than there are":      {func(p []*packet.Packet) (int, error) { return len(p) + 5, broken }, 0, nil},
		"less than nothing":        {func(p []*packet.Packet) (int, error) { return -1, broken }, 3, broken},
		"not all without an error": {func(p []*packet.Packet) (int, error) { return 0, nil }, 3, io.ErrShortWrite},
	} {
		t.Run(name, func(t *testing.T) {
			dev := newBadDevice()
			dev.write = c.write
			r := newRouter(t, netstack.Config{})
			f, err := r.AddInterface(dev, netstack.InterfaceConfig{Addresses: prefixes("10.0.3.1/24")})
			if err != nil {
				t.Fatal(err)
			}
			dst := netip.MustParseAddr("10.0.3.2")
			for range 2 {
				r.left.send(udp(t, left4, dst, 64, nil))
			}
			r.settled(2)
			if err := r.DirectOut(filled(t, udp(t, a4, dst, 64, nil)), f.Index()); !errors.Is(err, c.direct) {
				t.Errorf("DirectOut: %v, want %v", err, c.direct)
			}
			if s := r.Stats(); s.Drops["device_write"] != c.refused || s.Sent != 3-c.refused {
				t.Errorf("stats: %+v, want %d refused", s, c.refused)
			}
			if s := f.Stats(); s.SendErrors != c.refused {
				t.Errorf("interface: %+v, want %d refused", s, c.refused)
			}
		})
	}
}

// A device without queues is refused, and so is one that another interface has.
func TestDeviceThatCannotBeUsed(t *testing.T) {
	none := newBadDevice()
	none.queues = 0
	r := newRouter(t, netstack.Config{})
	for name, dev := range map[string]tun.Device{"without queues": none, "in use": r.a.Device()} {
		if _, err := r.AddInterface(dev, netstack.InterfaceConfig{Name: "c"}); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("AddInterface with a device %s: %v", name, err)
		}
		if err := r.b.ReplaceDevice(dev); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("ReplaceDevice by a device %s: %v", name, err)
		}
	}
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
}

// An interface that waits for its device to close is gone: another may have its name and address.
func TestNameOfInterfaceThatCloses(t *testing.T) {
	dev := newBadDevice()
	dev.stuck = make(chan struct{})
	r := newRouter(t, netstack.Config{})
	cfg := netstack.InterfaceConfig{Name: "c", Addresses: prefixes("10.0.3.1/24", "fd00:3::1/64")}
	f, err := r.AddInterface(dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var closer sync.WaitGroup
	closer.Go(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	<-dev.closed
	if _, err := r.AddInterface(newBadDevice(), cfg); err != nil {
		t.Error(err)
	}
	close(dev.stuck)
	closer.Wait()
}
