// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

func ExamplePair() {
	left, right := tun.Pair(tun.PairConfig{})
	defer left.Close()
	defer right.Close()

	// An IPv4 header is enough of a packet here: nobody looks inside.
	sent := packet.Get(20)
	defer sent.Release()
	_ = sent.Fill([]byte{0x45, 0, 0, 20, 19: 1})
	if _, err := left.Write(0, []*packet.Packet{sent, sent}); err != nil {
		fmt.Println(err)
	}

	// A reader asks for as many as it likes, and keeps its packets for the next time.
	pkts := make([]*packet.Packet, 8)
	n, err := right.Read(0, pkts)
	fmt.Println(n, "packets,", pkts[0].Len(), "bytes,", err)

	// Closing one end takes the other with it.
	_ = left.Close()
	_, err = right.Read(0, pkts)
	fmt.Println(errors.Is(err, tun.ErrGone))
	// Output:
	// 2 packets, 20 bytes, <nil>
	// true
}

func TestPairNames(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{})
	if a.Name() != "left" || b.Name() != "right" {
		t.Errorf("names %q and %q, want left and right", a.Name(), b.Name())
	}
	a, b = tun.Pair(tun.PairConfig{Names: [2]string{"x", "y"}, Features: packet.FeatureTSO4})
	if a.Name() != "x" || b.Name() != "y" {
		t.Errorf("names %q and %q, want x and y", a.Name(), b.Name())
	}
	if a.Features() != packet.FeatureTSO4 || b.Features() != packet.FeatureTSO4 {
		t.Errorf("features %b and %b, want TSO4", a.Features(), b.Features())
	}
}

// A full direction refuses packets one by one, and takes more once some were read, for
// every fill level and place of the ring.
func TestPairFull(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 8, 9, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			a, b := tun.Pair(tun.PairConfig{QueueLen: limit})
			defer closeDevice(t, a)
			var all []*packet.Packet
			for i := range limit + 1 {
				all = append(all, filled(numbered(i, 20)))
			}
			for round := range 3 * limit {
				n, err := a.Write(0, all)
				if n != limit || err != tun.ErrFull || !errors.Is(err, syscall.ENOBUFS) {
					t.Fatalf("Write: %d, %v; want %d, ErrFull", n, err, limit)
				}
				// Two reads, so that the ring turns.
				got := make([]*packet.Packet, limit)
				first, err := b.Read(0, got[:1+round%limit])
				if err != nil {
					t.Fatal(err)
				}
				if first < limit {
					if _, err := b.Read(0, got[first:]); err != nil {
						t.Fatal(err)
					}
				}
				for i, p := range got {
					if !bytes.Equal(p.Bytes(), numbered(i, 20)) {
						t.Fatalf("round %d: packet %d is %x", round, i, p.Bytes())
					}
				}
			}
		})
	}
}

func TestPairSuperpackets(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{Features: everyFeature})
	defer closeDevice(t, a)
	p := filled(numbered(1, 60000))
	p.Offload = packet.Offload{
		Checksum: packet.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 16,
		GSO: packet.GSOTCP4, SegmentSize: 1448, HeaderLen: 52, ECN: true,
	}
	small := filled(numbered(2, 100))
	if _, err := b.Write(0, []*packet.Packet{p, p, small}); err != nil {
		t.Fatal(err)
	}
	pkts := make([]*packet.Packet, 3)
	n, err := a.Read(0, pkts)
	if n != 2 || err != nil { // 64 KiB are full with the second
		t.Fatalf("Read: %d, %v; want 2", n, err)
	}
	for _, got := range pkts[:2] {
		if got.Offload != p.Offload || !bytes.Equal(got.Bytes(), p.Bytes()) {
			t.Errorf("arrived with %+v, or other bytes; want %+v", got.Offload, p.Offload)
		}
	}
	if n, err := a.Read(0, pkts); n != 1 || err != nil || pkts[0].Offload != (packet.Offload{}) {
		t.Errorf("Read: %d, %v, %+v; want an ordinary packet", n, err, pkts[0].Offload)
	}
}

// The end that stays reads what is on the way, and then learns that the other is gone.
func TestPairOtherEndCloses(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{})
	one := []*packet.Packet{filled(numbered(1, 20))}
	if _, err := a.Write(0, one); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(0, one); err != nil {
		t.Fatal(err)
	}
	closeDevice(t, a)
	pkts := make([]*packet.Packet, 2)
	if n, err := b.Read(0, pkts); n != 1 || err != nil {
		t.Errorf("Read of what was on the way: %d, %v", n, err)
	}
	if n, err := b.Read(0, pkts); n != 0 || err != tun.ErrGone {
		t.Errorf("Read after that: %d, %v; want ErrGone", n, err)
	}
	if n, err := b.Write(0, one); n != 0 || err != tun.ErrGone {
		t.Errorf("Write: %d, %v; want ErrGone", n, err)
	}
	if n, err := a.Read(0, pkts); n != 0 || err != net.ErrClosed {
		t.Errorf("Read of the closed end: %d, %v; want net.ErrClosed", n, err)
	}
	closeDevice(t, b)

	// One that is blocked learns it at once.
	a, b = tun.Pair(tun.PairConfig{})
	result := make(chan error)
	go func() { _, err := b.Read(0, pkts); result <- err }()
	waitUntilBlocked(t, 1)
	closeDevice(t, a)
	if err := <-result; err != tun.ErrGone {
		t.Errorf("blocked Read: %v, want ErrGone", err)
	}
}

func TestPairNoAllocs(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{})
	out := []*packet.Packet{filled(numbered(1, 64)), filled(numbered(2, 1500))}
	in := make([]*packet.Packet, 2)
	checkNoAllocs(t, func() {
		if _, err := a.Write(0, out); err != nil {
			t.Fatal(err)
		}
		if n, err := b.Read(0, in); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// The same with a reader that sleeps between packets.
func TestPairNoAllocsPingPong(t *testing.T) {
	a, b := tun.Pair(tun.PairConfig{})
	done := make(chan struct{})
	go func() { // echoes until the pair is closed
		defer close(done)
		pkts := make([]*packet.Packet, 4)
		for {
			n, err := b.Read(0, pkts)
			if err != nil {
				return
			}
			_, _ = b.Write(0, pkts[:n])
		}
	}()
	out, in := []*packet.Packet{filled(numbered(1, 64))}, make([]*packet.Packet, 4)
	defer func() { closeDevice(t, a); <-done }()
	checkNoAllocs(t, func() {
		if _, err := a.Write(0, out); err != nil {
			t.Fatal(err)
		}
		if n, err := a.Read(0, in); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	})
}

// Ten thousand instances with a cable each must fit in a process.
func TestPairIdleMemory(t *testing.T) {
	const count, limit = 1000, 600
	keep := make([]tun.Device, 0, 2*count)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range count {
		a, b := tun.Pair(tun.PairConfig{})
		keep = append(keep, a, b)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := int64(after.HeapAlloc-before.HeapAlloc) / count; each > limit {
		t.Errorf("an idle pair takes %d bytes, want at most %d", each, limit)
	} else {
		t.Logf("an idle pair takes %d bytes", each)
	}
	runtime.KeepAlive(keep)
}

func BenchmarkPair(b *testing.B) {
	for _, size := range []int{64, 1500, 65535} {
		for _, batch := range []int{1, 32} {
			b.Run(fmt.Sprintf("%d-bytes/batch-%d", size, batch), func(b *testing.B) {
				left, right := tun.Pair(tun.PairConfig{})
				out, in := make([]*packet.Packet, batch), make([]*packet.Packet, batch)
				for i := range out {
					out[i] = filled(numbered(i, size))
				}
				b.ReportAllocs()
				b.SetBytes(int64(size))
				n := 0
				for b.Loop() {
					// An operation is a packet: a batch every batch times.
					if n++; n%batch != 0 {
						continue
					}
					if _, err := left.Write(0, out); err != nil {
						b.Fatal(err)
					}
					for read := 0; read < batch; {
						k, err := right.Read(0, in)
						if err != nil {
							b.Fatal(err)
						}
						read += k
					}
				}
			})
		}
	}
}
