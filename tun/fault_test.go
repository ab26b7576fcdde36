// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// An arrival is a packet that came through a fault device: its number, and when, since all were sent.
type arrival struct {
	Number int
	After  time.Duration
}

// A passage is what came out of a fault device.
type passage struct {
	packets []*packet.Packet
	after   []time.Duration
	stats   tun.FaultStats
}

// arrivals says which packets of a series came, and when.
func (p passage) arrivals() (list []arrival) {
	for i, one := range p.packets {
		list = append(list, arrival{int(binary.BigEndian.Uint32(one.Bytes()[4:])), p.after[i]})
	}
	return list
}

// A sender sends packets through a fault device, all at once, and waits for a minute for what comes.
type sender func(f tun.Faults, sent []*packet.Packet) passage

// inBothDirections runs a test in a bubble, where no time is spent, once for each direction.
func inBothDirections(t *testing.T, test func(t *testing.T, send sender)) {
	for _, name := range []string{"read", "write"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, func(f tun.Faults, sent []*packet.Packet) passage { return sendThrough(t, f, name == "read", sent) })
			})
		})
	}
}

func sendThrough(t *testing.T, f tun.Faults, reading bool, sent []*packet.Packet) (got passage) {
	t.Helper()
	near, far := tun.Pair(tun.PairConfig{Features: everyFeature, QueueLen: 8192})
	cfg := tun.FaultConfig{Write: f, Seed: 7}
	if reading {
		cfg = tun.FaultConfig{Read: f, Seed: 7}
	}
	dev, err := tun.Fault(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	from, to := tun.Device(dev), far
	if reading {
		from, to = far, dev
	}
	begin := time.Now()
	ended := make(chan struct{})
	go func() { // ends when the device is closed
		defer close(ended)
		for {
			batch := make([]*packet.Packet, 128)
			n, err := to.Read(0, batch)
			if err != nil {
				return
			}
			for _, p := range batch[:n] {
				got.packets, got.after = append(got.packets, p), append(got.after, time.Since(begin))
			}
		}
	}()
	for rest := sent; len(rest) > 0; {
		n, err := from.Write(0, rest)
		if err == nil {
			break
		}
		if !errors.Is(err, tun.ErrFull) {
			t.Fatalf("Write: %v", err)
		}
		rest = rest[n+1:]
	}
	time.Sleep(time.Minute)
	closeDevice(t, dev)
	closeDevice(t, far)
	<-ended
	got.stats = dev.Stats()
	return got
}

// series returns numbered packets.
func series(count, length int) (list []*packet.Packet) {
	for i := range count {
		list = append(list, filled(numbered(i, length)))
	}
	return list
}

func TestFaultDelay(t *testing.T) {
	inBothDirections(t, func(t *testing.T, send sender) {
		got := send(tun.Faults{Delay: 20 * time.Millisecond}, series(2, 100)).arrivals()
		want := []arrival{{0, 20 * time.Millisecond}, {1, 20 * time.Millisecond}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// 100 bytes take 10 ms at 10,000 bytes in a second.
func TestFaultRate(t *testing.T) {
	inBothDirections(t, func(t *testing.T, send sender) {
		got := send(tun.Faults{Rate: 10_000, Delay: time.Millisecond}, series(3, 100)).arrivals()
		want := []arrival{{0, 11 * time.Millisecond}, {1, 21 * time.Millisecond}, {2, 31 * time.Millisecond}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Jitter spreads packets over its length and leaves them in order.
func TestFaultJitter(t *testing.T) {
	inBothDirections(t, func(t *testing.T, send sender) {
		got := send(tun.Faults{Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond}, series(1000, 100)).arrivals()
		if len(got) != 1000 {
			t.Fatalf("%d packets arrived, want 1000", len(got))
		}
		for i, a := range got {
			if a.Number != i || a.After < 5*time.Millisecond || a.After > 15*time.Millisecond {
				t.Errorf("arrival %d: packet %d after %v", i, a.Number, a.After)
			}
		}
		if first, last := got[0].After, got[999].After; last-first < time.Millisecond {
			t.Errorf("all arrived between %v and %v", first, last)
		}
	})
}

// A probability is one of each packet: within five standard deviations.
func TestFaultProbabilities(t *testing.T) {
	const count, probability = 5000, 0.1
	near := func(n uint64) bool {
		return math.Abs(float64(n)-count*probability) < 5*math.Sqrt(count*probability*(1-probability))
	}
	inBothDirections(t, func(t *testing.T, send sender) {
		sent := series(count, 100)
		for name, test := range map[string]struct {
			faults tun.Faults
			count  func(s tun.FaultStats) uint64
			comes  func(hit int) int
		}{
			"loss":      {tun.Faults{Loss: probability}, func(s tun.FaultStats) uint64 { return s.Lost }, func(hit int) int { return count - hit }},
			"duplicate": {tun.Faults{Duplicate: probability, QueueLen: 8000}, func(s tun.FaultStats) uint64 { return s.Duplicated }, func(hit int) int { return count + hit }},
			"corrupt":   {tun.Faults{Corrupt: probability}, func(s tun.FaultStats) uint64 { return s.Corrupted }, func(int) int { return count }},
			"reorder":   {tun.Faults{Reorder: probability}, func(s tun.FaultStats) uint64 { return s.HeldBack }, func(int) int { return count }},
		} {
			test.faults.QueueLen = 8000
			got, again := send(test.faults, sent), send(test.faults, sent)
			hit := test.count(got.stats)
			want := test.comes(int(hit))
			if name == "corrupt" {
				want -= int(got.stats.Refused) // by the pair, where the bit was in the version
			}
			if !near(hit) || len(got.packets) != want {
				t.Errorf("%s: %d of %d hit, %d arrived", name, hit, count, len(got.packets))
			}
			if diff := cmp.Diff(got.arrivals(), again.arrivals()); diff != "" {
				t.Errorf("%s: the same seed gives another result:\n%s", name, diff)
			}
		}
	})
}

// What is held back comes later by Hold, and what is behind it overtakes it.
func TestFaultReorder(t *testing.T) {
	inBothDirections(t, func(t *testing.T, send sender) {
		late := 0
		last := -1
		for _, a := range send(tun.Faults{Reorder: 0.2, Hold: time.Second, Delay: time.Millisecond}, series(100, 100)).arrivals() {
			switch {
			case a.After == time.Millisecond && late == 0 && a.Number > last:
				last = a.Number
			case a.After == time.Millisecond+time.Second:
				late++
			default:
				t.Errorf("packet %d after %v, behind %d", a.Number, a.After, last)
			}
		}
		if late == 0 || late > 50 {
			t.Errorf("%d of 100 were late", late)
		}
	})
}

// One bit is another, and a checksum that was missing or vouched for is there and wrong, or right and the data wrong.
func TestFaultCorrupt(t *testing.T) {
	super := filled(numbered(0, 2000))
	super.Offload = packet.Offload{Checksum: packet.ChecksumPartial, GSO: packet.GSOTCP4, SegmentSize: 1000}
	vouched := filled(numbered(0, 2000))
	vouched.Offload.Checksum = packet.ChecksumVerified
	inBothDirections(t, func(t *testing.T, send sender) {
		sent := []*packet.Packet{filled(numbered(0, 2000)), vouched, super}
		got := send(tun.Faults{Corrupt: 1}, sent)
		if len(got.packets) != 2 || got.stats != (tun.FaultStats{Corrupted: 2, Lost: 1}) {
			t.Fatalf("%d packets arrived, %+v; want 2 and the superpacket lost", len(got.packets), got.stats)
		}
		for i, p := range got.packets {
			different := 0
			for at, b := range p.Bytes() {
				different += bits.OnesCount8(b ^ sent[i].Bytes()[at])
			}
			if different != 1 || p.Offload.Checksum == packet.ChecksumVerified || p.Edited() {
				t.Errorf("packet %d: %d bits differ, checksum %v, edited %v", i, different, p.Offload.Checksum, p.Edited())
			}
		}
	})
}

// Those that find no room are lost, and Write says so.
func TestFaultQueueIsBounded(t *testing.T) {
	inBothDirections(t, func(t *testing.T, send sender) {
		got := send(tun.Faults{Delay: time.Second, Duplicate: 1, QueueLen: 10}, series(30, 100))
		if diff := cmp.Diff(tun.FaultStats{Duplicated: 5, Full: 25}, got.stats); diff != "" || len(got.packets) != 10 {
			t.Errorf("%d arrived, stats (-want +got):\n%s", len(got.packets), diff)
		}
	})
}

// The packet stays the writer's: what is under way is a copy.
func TestFaultWriteCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := filled(numbered(1, 100))
		near, far := tun.Pair(tun.PairConfig{})
		dev, err := tun.Fault(near, tun.FaultConfig{Write: tun.Faults{Delay: time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := dev.Write(0, []*packet.Packet{p}); n != 1 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		clear(p.Mutable())
		batch := make([]*packet.Packet, 1)
		if n, err := far.Read(0, batch); n != 1 || err != nil || !bytes.Equal(batch[0].Bytes(), numbered(1, 100)) {
			t.Errorf("Read: %d, %v, %v", n, err, batch[0])
		}
		closeDevice(t, dev)
		closeDevice(t, far)
	})
}

// The other end goes: what is under way is still read, then both directions say so.
func TestFaultDeviceGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := tun.Pair(tun.PairConfig{})
		late := tun.Faults{Delay: time.Second}
		dev, err := tun.Fault(near, tun.FaultConfig{Read: late, Write: late})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(0, series(1, 100)); err != nil {
			t.Fatal(err)
		}
		closeDevice(t, far)
		batch := make([]*packet.Packet, 4)
		if n, err := dev.Read(0, batch); n != 1 || err != nil {
			t.Errorf("Read: %d, %v; want the packet under way", n, err)
		}
		if n, err := dev.Read(0, batch); n != 0 || err != tun.ErrGone {
			t.Errorf("Read: %d, %v; want ErrGone", n, err)
		}
		if n, err := dev.Write(0, series(1, 100)); n != 1 || err != nil {
			t.Errorf("Write: %d, %v; want 1: nobody knows yet", n, err)
		}
		time.Sleep(2 * time.Second)
		if n, err := dev.Write(0, series(1, 100)); n != 0 || err != tun.ErrGone {
			t.Errorf("Write: %d, %v; want ErrGone", n, err)
		}
		if _, err := dev.NextLinkState(tun.LinkState{}); !errors.Is(err, tun.ErrUnsupported) {
			t.Errorf("NextLinkState: %v; want ErrUnsupported", err)
		}
		closeDevice(t, dev)
		if _, err := dev.Read(0, batch); err != net.ErrClosed {
			t.Errorf("Read: %v; want net.ErrClosed", err)
		}
	})
}

func TestFaultConfigIsChecked(t *testing.T) {
	near, far := tun.Pair(tun.PairConfig{})
	_, err := tun.Fault(near, tun.FaultConfig{
		Read:  tun.Faults{Loss: 1.5, Delay: -1},
		Write: tun.Faults{Corrupt: math.NaN(), QueueLen: -2},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"left", "Read.Loss is 1.5", "Read.Delay is -1", "Write.Corrupt is NaN", "Write.QueueLen is -2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
	closeDevice(t, near)
	closeDevice(t, far)
}

// A reading is a device that fills some batches with short packets in buffers for long ones, as drivers do, and then waits.
type reading struct {
	tun.Device
	batches int
}

func (d *reading) Read(queue int, pkts []*packet.Packet) (int, error) {
	if d.batches == 0 {
		return d.Device.Read(queue, pkts)
	}
	d.batches--
	for k := range pkts {
		if pkts[k] == nil {
			pkts[k] = packet.Get(packet.MaxLen)
		}
		if err := pkts[k].Fill(make([]byte, 100)); err != nil {
			return 0, err
		}
	}
	return len(pkts), nil
}

// What is under way from a device takes the room that it needs, not that of the buffers it was read into.
func TestFaultMemory(t *testing.T) {
	if invariant.Enabled {
		t.Skip("memory is measured without the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		heap := func() int64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		near, far := tun.Pair(tun.PairConfig{})
		defer far.Close()
		const queued = 1000
		dev, err := tun.Fault(&reading{near, 20}, tun.FaultConfig{Read: tun.Faults{Delay: time.Hour, QueueLen: queued}})
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		synctest.Wait()
		if dev.Stats().Full == 0 {
			t.Fatal("the queue is not full")
		}
		if used := heap() - before; used > queued*8<<10 {
			t.Errorf("%d packets of 100 bytes take %d bytes", queued, used)
		}
	})
}
