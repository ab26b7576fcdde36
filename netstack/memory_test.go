// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
)

// growth returns how many bytes more are in use after a call than before it; 0 with the race detector, which has some of its own.
func growth(f func()) int64 {
	before := liveHeap()
	f()
	if invariant.Enabled {
		return 0
	}
	return int64(liveHeap()) - int64(before)
}

// datagram4 makes an IPv4 packet of some protocol.
func datagram4(src, dst netip.Addr, id uint16, fragment uint16, length int) []byte {
	b := make([]byte, length)
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
	return b
}

// A packet whose buffer is of its size is not copied on its way through a queue, one in a big buffer is.
func TestQueueCopiesWhatIsOversized(t *testing.T) {
	inst, _ := newTable(t)
	carried := make(chan *packet.Packet, 1)
	q := newQueue(inst, packet.ReasonHostQueueFull, func(w *worker, e queued) {
		carried <- e.packet
		w.finish(e.packet)
	})
	defer q.close()
	for name, test := range map[string]struct {
		room   int
		copied bool
	}{"small": {1500, false}, "big": {packet.MaxLen, true}} {
		p := packet.Get(test.room)
		if err := p.Fill(datagram4(destination4(1), destination4(2), 0, 0, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := q.put(queued{packet: p}); err != nil {
			t.Fatal(err)
		}
		if copied := <-carried != p; copied != test.copied {
			t.Errorf("%s: copied %v, want %v", name, copied, test.copied)
		}
	}
}

// What waits in a queue takes 16 MB at most, whatever buffers it came in: those of devices' readers have 72 KiB each. Short
// packets wait in buffers of their size, as many as there are places.
func TestQueueMemoryIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		length int
		places int
	}{"short": {100, queuePackets}, "long": {5000, queueBytes / (72 << 10)}} {
		t.Run(name, func(t *testing.T) {
			inst, _ := newTable(t)
			inside, leave := make(chan bool, 1), make(chan bool)
			if _, err := inst.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "wait", Func: func(*packet.Context) hooks.Verdict {
				select {
				case inside <- true:
				default:
				}
				<-leave
				return hooks.DropWith(packet.ReasonHook)
			}}); err != nil {
				t.Fatal(err)
			}
			put := func() error {
				p := packet.Get(packet.MaxLen)
				if err := p.Fill(datagram4(destination4(1), destination4(2), 0, 0, test.length)); err != nil {
					t.Fatal(err)
				}
				return inst.QueueIn(p, 2, nil)
			}
			if err := put(); err != nil {
				t.Fatal(err)
			}
			<-inside
			taken := 0
			n := growth(func() {
				for range 2 * queuePackets {
					err := put()
					if err == nil {
						taken++
					} else if !errors.Is(err, ErrQueueFull) {
						t.Error(err)
					}
				}
			})
			close(leave)
			t.Logf("%d packets, %d bytes", taken, n)
			if taken < test.places*9/10 || taken > queuePackets {
				t.Errorf("%d packets were queued, want %d or few less", taken, test.places)
			}
			if n > queueBytes+1<<20 {
				t.Errorf("%d packets of %d bytes take %d bytes, want %d at most", taken, test.length, n, queueBytes)
			}
		})
	}
}

// Datagrams that are never completed take a bounded amount of memory: gVisor counts 4 MiB for each family, and its bookkeeping
// comes to less than six times as much.
func TestFragmentMemoryIsBounded(t *testing.T) {
	inst, w := newTable(t)
	f, _ := inst.Interface("to")
	own4, own6 := netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")
	if err := errors.Join(f.AddAddress(own4), f.AddAddress(own6)); err != nil {
		t.Fatal(err)
	}
	const more, fragments = 1 << 13, 200000
	n := growth(func() {
		for k := range fragments {
			b := datagram4(destination4(k>>16), own4.Addr(), uint16(k), more, 28)
			if k%2 != 0 {
				b = make([]byte, 56)
				b[0], b[5], b[6], b[7] = 0x60, 16, 44, 64
				src := destination6(1).As16()
				copy(b[8:], src[:])
				copy(b[24:], own6.Addr().AsSlice())
				b[40], b[43] = 17, 1
				binary.BigEndian.PutUint32(b[44:], uint32(k))
			}
			p := packet.Get(len(b))
			if err := p.Fill(b); err != nil {
				t.Fatal(err)
			}
			w.ingress(f, p)
			if k%64 == 63 {
				w.flush()
			}
		}
	})
	if s := inst.Stats(); s.Delivered != fragments {
		t.Fatalf("stats: %+v, want %d delivered", s, fragments)
	}
	t.Logf("%d bytes", n)
	if n > 2*6*4<<20 {
		t.Errorf("%d fragments take %d bytes", fragments, n)
	}
}

// Who provokes errors from as many addresses as it likes makes the instance remember none of them.
func TestICMPStormMemoryIsBounded(t *testing.T) {
	inst, w := newTable(t)
	from, _ := inst.Interface("from")
	if err := errors.Join(from.AddAddress(netip.MustParsePrefix("10.0.0.1/24")), inst.AddRoute(Route{Destination: defaultRoute4, Interface: "from"})); err != nil {
		t.Fatal(err)
	}
	const packets = 100000
	n := growth(func() {
		for k := range packets {
			b := datagram4(destination4(k), netip.AddrFrom4([4]byte{192, 0, 2, 1}), 0, 0, 28)
			b[8] = 1
			header.IPv4(b).SetChecksum(0)
			header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
			p := packet.Get(len(b))
			if err := p.Fill(b); err != nil {
				t.Fatal(err)
			}
			w.ingress(from, p)
			if k%64 == 63 {
				w.flush()
			}
		}
		w.flush()
	})
	s := inst.Stats()
	if s.Drops["ttl_expired"] != packets || s.Made == 0 || s.Made > packets/10 {
		t.Errorf("stats: %+v", s)
	}
	t.Logf("%d errors, %d bytes", s.Made, n)
	if n > 256<<10 {
		t.Errorf("%d packets left %d bytes", packets, n)
	}
}

// A flood of handshakes that are never finished leaves a listener with a bounded number of them.
func TestSYNFloodMemoryIsBounded(t *testing.T) {
	inst, w := newTable(t)
	from, _ := inst.Interface("from")
	own := netip.MustParsePrefix("10.0.0.1/24")
	if err := errors.Join(from.AddAddress(own), inst.AddRoute(Route{Destination: defaultRoute4, Interface: "from"})); err != nil {
		t.Fatal(err)
	}
	l, err := inst.Listen("tcp", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const packets = 50000
	n := growth(func() {
		for k := range packets {
			b := datagram4(destination4(k), own.Addr(), 0, 0, 40)
			b[9] = 6
			header.IPv4(b).SetChecksum(0)
			header.IPv4(b).SetChecksum(^header.IPv4(b).CalculateChecksum())
			tcp := header.TCP(b[20:])
			tcp.Encode(&header.TCPFields{SrcPort: 1000, DstPort: 80, SeqNum: uint32(k), DataOffset: 20, Flags: header.TCPFlagSyn, WindowSize: 1000})
			p := packet.Get(len(b))
			if err := p.Fill(b); err != nil {
				t.Fatal(err)
			}
			p.Offload.Checksum = packet.ChecksumVerified
			w.ingress(from, p)
			if k%64 == 63 {
				w.flush()
				inst.host.output.drain(time.Minute)
			}
		}
		w.flush()
		inst.host.output.drain(time.Minute)
	})
	s := inst.Stats()
	t.Logf("%d delivered, %d sent by the host stack, %d bytes", s.Delivered, s.FromHost, n)
	if s.Delivered != packets || s.FromHost == 0 {
		t.Errorf("stats: %+v", s)
	}
	if n > 32<<20 {
		t.Errorf("%d handshakes take %d bytes", packets, n)
	}
}
