// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// rig is a device under test and the far side of it.
type rig struct {
	dev  tun.Device
	send func(p []byte) // makes the far side send p, which dev then reads
	take func() []byte  // waits for the next packet that dev wrote
	idle int            // how many goroutines of the device's own sleep while nothing comes
}

// drivers are all the drivers of this system; init functions of other files add theirs.
var drivers = map[string]func(t *testing.T) rig{
	"pair":                 func(t *testing.T) rig { return pairRig(t, tun.PairConfig{}) },
	"pair, superpackets":   func(t *testing.T) rig { return pairRig(t, tun.PairConfig{Features: everyFeature}) },
	"pair, a queue of 300": func(t *testing.T) rig { return pairRig(t, tun.PairConfig{QueueLen: 300}) },
	"fault, none":          func(t *testing.T) rig { return faultRig(t, tun.FaultConfig{}) },
	"fault, a delay": func(t *testing.T) rig {
		late := tun.Faults{Delay: time.Nanosecond}
		r := faultRig(t, tun.FaultConfig{Read: late, Write: late})
		r.idle = 2
		return r
	},
}

const everyFeature = packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO

func pairRig(t *testing.T, cfg tun.PairConfig) rig {
	dev, far := tun.Pair(cfg)
	t.Cleanup(func() { closeDevice(t, dev); closeDevice(t, far) })
	var waiting []*packet.Packet
	return rig{
		dev: dev,
		send: func(p []byte) {
			t.Helper()
			if _, err := far.Write(0, []*packet.Packet{filled(p)}); err != nil {
				t.Fatal(err)
			}
		},
		take: func() []byte {
			t.Helper()
			if len(waiting) == 0 {
				waiting = make([]*packet.Packet, 16)
				n, err := far.Read(0, waiting)
				if err != nil {
					t.Fatal(err)
				}
				waiting = waiting[:n]
			}
			p := waiting[0]
			waiting = waiting[1:]
			return p.Bytes()
		},
	}
}

// faultRig is a pair with faults.
func faultRig(t *testing.T, cfg tun.FaultConfig) rig {
	r := pairRig(t, tun.PairConfig{})
	dev, err := tun.Fault(r.dev, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDevice(t, dev) })
	r.dev = dev
	return r
}

func closeDevice(t *testing.T, dev tun.Device) {
	t.Helper()
	if err := dev.Close(); err != nil {
		t.Errorf("closing %s: %v", dev.Name(), err)
	}
}

// filled returns a packet with these bytes.
func filled(b []byte) *packet.Packet {
	p := packet.Get(len(b))
	if err := p.Fill(b); err != nil {
		panic(err)
	}
	return p
}

// numbered returns something of this length that passes for IPv4 with a device, and is
// different for every number.
func numbered(number, length int) []byte {
	b := make([]byte, length)
	for i := range b {
		b[i] = byte(i + number)
	}
	b[0] = 0x45
	binary.BigEndian.PutUint32(b[4:], uint32(number))
	return b
}

// forEachDriver runs the test once for every driver.
func forEachDriver(t *testing.T, test func(t *testing.T, r rig)) {
	for name, newRig := range drivers {
		t.Run(name, func(t *testing.T) { test(t, newRig(t)) })
	}
}

func TestConformName(t *testing.T) {
	forEachDriver(t, func(t *testing.T, r rig) {
		if r.dev.Name() == "" {
			t.Error("the device has no name")
		}
		if r.dev.Queues() < 1 {
			t.Errorf("%d queues, want at least 1", r.dev.Queues())
		}
		if s := fmt.Sprint(r.dev); !strings.HasPrefix(s, r.dev.Name()+": ") {
			t.Errorf("String is %q, want the name first", s)
		}
	})
}

// Every packet arrives, in order, unchanged, whatever the caller's entries are.
func TestConformRead(t *testing.T) {
	entries := map[string]func() *packet.Packet{
		"nil":   func() *packet.Packet { return nil },
		"small": func() *packet.Packet { return filled(numbered(999, 100)) },
		"large": func() *packet.Packet { return packet.Get(packet.MaxLen) },
	}
	for name, entry := range entries {
		t.Run(name, func(t *testing.T) {
			forEachDriver(t, func(t *testing.T, r rig) {
				const count = 300
				var sent [][]byte
				for i := range count {
					p := numbered(i, 20+(i*37)%1480)
					r.send(p)
					sent = append(sent, p)
				}
				pkts := make([]*packet.Packet, 128)
				for i := range pkts {
					pkts[i] = entry()
				}
				for len(sent) > 0 {
					n, err := r.dev.Read(0, pkts)
					if err != nil || n < 1 || n > len(sent) {
						t.Fatalf("Read: %d packets, %v; %d are still to come", n, err, len(sent))
					}
					size := 0
					for i, p := range pkts[:n] {
						if size >= 64<<10 {
							t.Errorf("a batch goes on after %d bytes", size)
						}
						size += p.Len()
						if !bytes.Equal(p.Bytes(), sent[i]) {
							t.Fatalf("packet %d:\n got %x\nwant %x", count-len(sent)+i, p.Bytes(), sent[i])
						}
						if p.Offload != (packet.Offload{}) {
							t.Errorf("packet %d: offload %+v, want none", count-len(sent)+i, p.Offload)
						}
					}
					sent = sent[n:]
				}
			})
		})
	}
}

func TestConformReadNoEntries(t *testing.T) {
	forEachDriver(t, func(t *testing.T, r rig) {
		if n, err := r.dev.Read(0, nil); n != 0 || err == nil {
			t.Errorf("Read without entries: %d, %v; want an error", n, err)
		}
	})
}

// What is written arrives in order and unchanged, and stays the caller's.
func TestConformWrite(t *testing.T) {
	forEachDriver(t, func(t *testing.T, r rig) {
		var pkts []*packet.Packet
		var want [][]byte
		for i, length := range []int{20, 21, 576, 1500, 9000, 65535, 20} {
			b := numbered(i, length)
			want = append(want, b)
			pkts = append(pkts, filled(b))
		}
		if n, err := r.dev.Write(0, pkts); n != len(pkts) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		for i, p := range pkts {
			if !bytes.Equal(p.Bytes(), want[i]) {
				t.Errorf("Write changed packet %d", i)
			}
			p.Reset() // the far side has its own copy
			p.Release()
		}
		for i := range want {
			if got := r.take(); !bytes.Equal(got, want[i]) {
				t.Errorf("packet %d: got %d bytes, want %d, or other bytes", i, len(got), len(want[i]))
			}
		}
		if n, err := r.dev.Write(0, nil); n != 0 || err != nil {
			t.Errorf("Write of nothing: %d, %v", n, err)
		}
	})
}

// A packet that is refused stops the batch at its index; the rest can be written.
func TestConformWriteRefused(t *testing.T) {
	absent := filled(numbered(0, 100))
	absent.Offload.Checksum = packet.ChecksumAbsent
	version := numbered(0, 100)
	version[0] = 0x55
	for name, bad := range map[string]*packet.Packet{
		"empty":                       packet.Get(0),
		"version":                     filled(version),
		"checksum that nobody filled": absent,
	} {
		t.Run(name, func(t *testing.T) {
			forEachDriver(t, func(t *testing.T, r rig) {
				pkts := []*packet.Packet{filled(numbered(1, 100)), bad, filled(numbered(2, 100))}
				n, err := r.dev.Write(0, pkts)
				if n != 1 || !errors.Is(err, tun.ErrRefused) || !errors.Is(err, syscall.EINVAL) {
					t.Errorf("Write: %d, %v; want 1, ErrRefused", n, err)
				}
				if n, err := r.dev.Write(0, pkts[n+1:]); n != 1 || err != nil {
					t.Errorf("Write of the rest: %d, %v", n, err)
				}
				for want := 1; want <= 2; want++ {
					if got := r.take(); !bytes.Equal(got, numbered(want, 100)) {
						t.Errorf("arrived %x, want packet %d", got, want)
					}
				}
			})
		})
	}
}

// A device that cannot do something refuses packets that need it.
func TestConformFeatures(t *testing.T) {
	forEachDriver(t, func(t *testing.T, r rig) {
		for feature, offload := range map[packet.Features]packet.Offload{
			packet.FeatureChecksum: {Checksum: packet.ChecksumPartial},
			packet.FeatureTSO4:     {GSO: packet.GSOTCP4},
			packet.FeatureTSO6:     {GSO: packet.GSOTCP6},
			packet.FeatureUSO:      {GSO: packet.GSOUDP4},
		} {
			if r.dev.Features()&feature != 0 {
				continue
			}
			p := filled(numbered(1, 100))
			p.Offload = offload
			if n, err := r.dev.Write(0, []*packet.Packet{p}); n != 0 || err != tun.ErrRefused {
				t.Errorf("%+v: %d, %v; want 0, ErrRefused", offload, n, err)
			}
		}
	})
}

// waitUntilBlocked waits until count goroutines sleep in a Read of package tun.
func waitUntilBlocked(t *testing.T, count int) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		n := runtime.Stack(stacks, true)
		blocked := 0
		for stack := range strings.SplitSeq(string(stacks[:n]), "\n\n") {
			state, _, _ := strings.Cut(stack, "\n")
			asleep := strings.Contains(state, "IO wait") || strings.Contains(state, "sync.Cond.Wait") || strings.Contains(state, "select")
			if asleep && strings.Contains(stack, "hooknet/tun.(") {
				blocked++
			}
		}
		switch {
		case blocked == count:
			return
		case time.Now().After(deadline):
			t.Fatalf("%d goroutines block in Read, want %d:\n%s", blocked, count, stacks[:n])
		}
	}
}

func TestConformClose(t *testing.T) {
	for name, newRig := range drivers {
		t.Run(name, func(t *testing.T) {
			// On a busy machine a goroutine may wait long for its turn: once is enough.
			const limit, attempts = 100 * time.Millisecond, 5
			var took time.Duration
			for range attempts {
				if took = closeBlocked(t, newRig(t)); took <= limit {
					return
				}
			}
			t.Errorf("Read came back %v after Close, at best %v in %d attempts is wanted", took, limit, attempts)
		})
	}
}

// closeBlocked closes a device with a reader blocked in every queue, and returns how long
// it took the last of them to come back.
func closeBlocked(t *testing.T, r rig) time.Duration {
	t.Helper()
	queues := r.dev.Queues()
	errs := make(chan error, queues)
	for q := range queues {
		go func() { // ends when Close unblocks it
			_, err := r.dev.Read(q, make([]*packet.Packet, 4))
			errs <- err
		}()
	}
	waitUntilBlocked(t, queues+r.idle)
	begin := time.Now()
	closed := make(chan error)
	go func() { closed <- r.dev.Close() }()
	for range queues {
		if err := <-errs; err != net.ErrClosed {
			t.Errorf("blocked Read: %v, want net.ErrClosed", err)
		}
	}
	took := time.Since(begin)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := r.dev.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	for q := range queues {
		if n, err := r.dev.Read(q, make([]*packet.Packet, 4)); n != 0 || err != net.ErrClosed {
			t.Errorf("Read after Close: %d, %v; want net.ErrClosed", n, err)
		}
		if n, err := r.dev.Write(q, []*packet.Packet{filled(numbered(1, 20))}); n != 0 || err != net.ErrClosed {
			t.Errorf("Write after Close: %d, %v; want net.ErrClosed", n, err)
		}
	}
	return took
}

// Close while everything is going on. What matters is that nothing hangs, that the race
// detector is content, and that everybody learns of it.
func TestConformCloseBusy(t *testing.T) {
	forEachDriver(t, func(t *testing.T, r rig) {
		var wg sync.WaitGroup
		written := make(chan struct{}, 4)
		for range 4 {
			wg.Go(func() {
				pkts := []*packet.Packet{filled(numbered(1, 1000)), filled(numbered(2, 20))}
				for i := 0; ; i++ {
					_, err := r.dev.Write(0, pkts)
					if err == net.ErrClosed {
						return
					}
					if err != nil && err != tun.ErrFull {
						t.Errorf("Write: %v", err)
						return
					}
					if i == 100 {
						written <- struct{}{}
					}
				}
			})
		}
		for q := range r.dev.Queues() {
			wg.Go(func() {
				pkts := make([]*packet.Packet, 8)
				for {
					if _, err := r.dev.Read(q, pkts); err != nil {
						if err != net.ErrClosed {
							t.Errorf("Read: %v", err)
						}
						return
					}
				}
			})
		}
		for i := range 50 {
			r.send(numbered(i, 500))
		}
		for range 4 {
			<-written
		}
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() { closeDevice(t, r.dev) })
		}
		closers.Wait()
		wg.Wait()
	})
}

// Opening, reading and closing leaves nothing behind.
func TestConformNoLeak(t *testing.T) {
	for name, newRig := range drivers {
		t.Run(name, func(t *testing.T) {
			rounds := 100
			if variant := strings.Contains(name, ","); variant || testing.Short() {
				rounds = 10
			}
			cycle := func(t *testing.T) {
				r := newRig(t)
				for q := range r.dev.Queues() {
					done := make(chan struct{})
					go func() { // ends when Close unblocks it
						defer close(done)
						_, _ = r.dev.Read(q, make([]*packet.Packet, 1))
					}()
					t.Cleanup(func() { <-done })
				}
				waitUntilBlocked(t, r.dev.Queues()+r.idle)
				closeDevice(t, r.dev)
			}
			t.Run("first", cycle)
			files, goroutines := openFiles(), runtime.NumGoroutine()
			for range rounds {
				t.Run("again", cycle)
			}
			if got := openFiles(); got > files {
				t.Errorf("%d open files, %d before", got, files)
			}
			// The goroutines of the subtests take a moment to end.
			for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
				}
			}
		})
	}
}

// openFiles counts the open descriptors of the process, where that is easy.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// checkNoAllocs fails the test if a round trip of packets allocates.
func checkNoAllocs(t *testing.T, roundTrip func()) {
	t.Helper()
	if invariant.Enabled {
		t.Skip("-race builds do not reuse packets")
	}
	roundTrip()
	if got := testing.AllocsPerRun(1000, roundTrip); got != 0 {
		t.Errorf("%v allocations for a round trip, want 0", got)
	}
}
