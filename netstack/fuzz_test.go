// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
)

// FuzzIngest lets one packet, of any bytes with any metadata, arrive at an instance with two interfaces whose hooks look on
// and then do one thing to it at one event. Nothing panics, what is sent is whole and fits, every packet is accounted for,
// and each is released once.
func FuzzIngest(f *testing.F) {
	r := newFuzzed(f)
	for _, dst := range []netip.Addr{destination4(1), destination6(1), netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("ff02::1")} {
		b := buildUDP(dst, 100)
		super, o := buildTCP(dst, 4000)
		for how := range uint8(3 * len(mutations) * 2) {
			f.Add(b, how, uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
			f.Add(super, how, uint8(o.Checksum), uint8(o.GSO), o.ChecksumStart, o.ChecksumOffset, o.SegmentSize)
		}
		f.Add(buildUDP(dst, 1450), uint8(0), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
		f.Add(b, uint8(0), uint8(2), uint8(3), uint16(20), uint16(6), uint16(40))
		f.Add(b, uint8(0), uint8(2), uint8(4), uint16(40), uint16(6), uint16(40))
		f.Add(super, uint8(0), uint8(o.Checksum), uint8(o.GSO), o.ChecksumStart, o.ChecksumOffset, uint16(1))
		f.Add(buildSYN(dst, 1460), uint8(0), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
	}
	for _, options := range [][]byte{
		{7, 7, 4, 0, 0, 0, 0, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {68, 12, 5, 3, 10, 0, 2, 1, 0, 0, 0, 0}, {131, 7, 4, 10, 0, 2, 9, 0}, {68, 4, 5, 0xf0},
	} {
		f.Add(optioned(buildUDP(destination4(1), 100), options...), uint8(0), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
	}
	// The engine takes minutes over as many seeds as the captures hold. It gets one of a kind; go test alone carries them all.
	fuzzing := flag.Lookup("test.fuzz").Value.String() != ""
	kinds := make(map[string]bool)
	n := 0
	for b := range capturedPackets(f) {
		if k := kindOf(b); !fuzzing || !kinds[k] {
			kinds[k] = true
			f.Add(b, uint8(n), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
			n++
		}
	}
	f.Logf("%d packets from captures, of %d kinds", n, len(kinds))
	f.Fuzz(func(t *testing.T, data []byte, how, sum, gso uint8, start, offset, segment uint16) {
		r.carry(t, data, how, packet.Offload{
			Checksum: packet.ChecksumState(sum), GSO: packet.GSOType(gso), ChecksumStart: start, ChecksumOffset: offset, SegmentSize: segment,
		})
	})
}

// A fuzzed instance has an interface that takes superpackets and one that does not and is small:
//
//	[10.0.1.1/24 fd00:1::1/64] from --- instance --- to [10.0.2.1/24 fd00:2::1/64], the default routes
type fuzzed struct {
	inst     *Instance
	from, to *Interface
	w        *worker
	how      atomic.Uint32 // which of mutations, at which event
}

func newFuzzed(f *testing.F) *fuzzed {
	inst, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := inst.Close(); err != nil {
			f.Error(err)
		}
	})
	r := &fuzzed{inst: inst}
	add := func(mtu int, features packet.Features, addresses ...string) *Interface {
		dev := &strictSink{idle: newIdle(), f: f, mtu: mtu, features: features}
		cfg := InterfaceConfig{MTU: mtu, Name: addresses[0], SourceValidation: SourceValidationLoose, PassSourceRoutes: true, ClampMSS: true}
		for _, a := range addresses[1:] {
			cfg.Addresses = append(cfg.Addresses, netip.MustParsePrefix(a))
		}
		i, err := inst.AddInterface(dev, cfg)
		if err != nil {
			f.Fatal(err)
		}
		return i
	}
	r.from = add(1500, new(generator).Features(), "from", "10.0.1.1/24", "fd00:1::1/64")
	r.to = add(1280, 0, "to", "10.0.2.1/24", "fd00:2::1/64")
	if err := inst.AddRoutes(Route{Destination: defaultRoute4, Interface: "to"}, Route{Destination: defaultRoute6, Interface: "to"}); err != nil {
		f.Fatal(err)
	}
	if _, err := inst.Helpers().Load(countingHelper()); err != nil { // so that segments are looked into
		f.Fatal(err)
	}
	for _, family := range ipFamilies {
		for n, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
			for name, hook := range map[string]func(*packet.Context) hooks.Verdict{
				"noop": func(*packet.Context) hooks.Verdict { return hooks.Accept },
				"mutate": func(c *packet.Context) hooks.Verdict {
					if how := int(r.how.Load()); how%3 == n {
						return mutations[how/3%len(mutations)](c.Packet)
					}
					return hooks.Accept
				},
			} {
				h := packet.Hook{Name: name, Func: hook}
				if name == "noop" && family == packet.Inet6 && event == packet.PhysicalOut {
					h.Flags = hooks.FlagSegments
				}
				if _, err := inst.Register(family, event, h); err != nil {
					f.Fatal(err)
				}
			}
		}
	}
	r.w = inst.newWorker(0)
	return r
}

// mutations are what a hook may do to a packet.
var mutations = []func(p *packet.Packet) hooks.Verdict{
	func(*packet.Packet) hooks.Verdict { return hooks.Accept },
	func(p *packet.Packet) hooks.Verdict {
		p.SetSource(fuzzAddress(p, 3))
		p.SetSourcePort(9)
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		p.SetDestination(fuzzAddress(p, 3))
		p.SetDestinationPort(9)
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict { // one of our own
		p.SetDestination(fuzzAddress(p, 1))
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		p.SetTTL(p.TTL() / 64)
		p.SetTrafficClass(0x2e << 2)
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		if b, err := p.Append(300); err == nil {
			b[0] = 1
		}
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		_ = p.Truncate(p.Len() - 5) // refused if its headers would not remain
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		inner := p.Len()
		if b, err := p.Prepend(20); err == nil { // IP in IP
			copy(b, []byte{0x45, 0, byte((inner + 20) >> 8), byte(inner + 20), 0, 0, 0, 0, 64, 4, 0, 0, 10, 0, 1, 9, 20, 0, 1, 9})
			headerChecksum(b)
		}
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict {
		p.FillChecksum()
		if err := p.Replace(slices.Clone(p.Bytes())); err != nil {
			return hooks.Drop
		}
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict { // metadata that may not fit
		p.DeferChecksum()
		p.Offload.GSO, p.Offload.SegmentSize = packet.GSOType(1+p.TTL()%4), 50
		p.Mutable()
		return hooks.Accept
	},
	func(p *packet.Packet) hooks.Verdict { // anything
		b := p.Mutable()
		b[int(p.TTL())%len(b)] ^= 0xa5
		return hooks.Accept
	},
	func(*packet.Packet) hooks.Verdict { return hooks.DropWith(packet.ReasonProhibited) },
	func(p *packet.Packet) hooks.Verdict {
		p.Release()
		return hooks.Steal
	},
}

func fuzzAddress(p *packet.Packet, host byte) netip.Addr {
	if p.Version() == 4 {
		return netip.AddrFrom4([4]byte{10, 0, 2, host})
	}
	return netip.AddrFrom16([16]byte{0xfd, 0, 0, 2, 15: host})
}

// carry takes a packet through the instance and looks at what is left of it.
func (r *fuzzed) carry(t *testing.T, data []byte, how uint8, o packet.Offload) {
	before := invariant.Packets.Load()
	p := packet.Get(len(data))
	if err := p.Fill(data); err != nil {
		p.Release()
		return
	}
	p.Offload = o
	r.how.Store(uint32(how))
	in := r.from
	if int(how)/3/len(mutations)%2 == 1 {
		in = r.to
	}
	r.w.n.received++
	r.w.ingress(in, p)
	r.w.flush()
	for r.inst.Stats().Held > 0 { // an answer may be answered
		r.inst.host.output.drain(0)
	}
	if err := r.inst.Stats().Balance(); err != nil {
		t.Error(err)
	}
	if after := invariant.Packets.Load(); after != before {
		t.Errorf("%d packets are not released", after-before)
	}
	if r.inst.host.broken.Load() {
		t.Fatal("the host stack panicked")
	}
}

// A strictSink is an idle device that looks at what it is given.
type strictSink struct {
	*idle
	f        *testing.F
	mtu      int
	features packet.Features
}

func (s *strictSink) Features() packet.Features { return s.features }

func (s *strictSink) Write(_ int, pkts []*packet.Packet) (int, error) {
	for _, p := range pkts {
		c := p.Clone()
		if reason := c.Parse(); reason != hooks.ReasonNone {
			panic("sent a packet that does not parse: " + packet.ReasonName(reason))
		}
		if n := wireLen(c); n > s.mtu {
			panic("sent a packet that is too big: " + c.String())
		}
		if p.Offload.Needs()&^s.features != 0 {
			panic("sent a packet that the device cannot take: " + c.String())
		}
		c.Release()
	}
	return len(pkts), nil
}

// capturedPackets gives every packet of the captures in gopacket's tests, without its link layer. They are read from the module cache.
func capturedPackets(f *testing.F) func(yield func([]byte) bool) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gopacket/gopacket").Output()
	if err != nil {
		f.Fatalf("go list, to find gopacket's captures: %v", err)
	}
	return func(yield func([]byte) bool) {
		err := filepath.WalkDir(strings.TrimSpace(string(out)), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasPrefix(filepath.Ext(path), ".pcap") {
				return err
			}
			packets, err := readCapture(path)
			if err != nil {
				f.Logf("%s: %v after %d packets", path, err, len(packets)) // some are bad on purpose
			}
			for _, b := range packets {
				if !yield(b) {
					return fs.SkipAll
				}
			}
			return nil
		})
		if err != nil {
			f.Fatal(err)
		}
	}
}

// kindOf tells packets apart by their layers and the magnitude of their length.
func kindOf(b []byte) string {
	p := packet.Get(len(b))
	defer p.Release()
	if err := p.Fill(b); err != nil {
		return "too long"
	}
	reason := p.Parse()
	return fmt.Sprint(reason, p.Version(), p.HeaderLen(), p.TransportProtocol(), p.TransportOffset(), p.IsFragment(), bits.Len(uint(len(b))))
}

// readCapture reads the packets of a pcap or pcapng file. On an error it returns those before it.
func readCapture(path string) (packets [][]byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var reader gopacket.PacketDataSource
	var first layers.LinkType
	if r, err := pcapgo.NewReader(file); err == nil {
		reader, first = r, r.LinkType()
	} else {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		r, err := pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return nil, err
		}
		reader = r
	}
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return packets, nil
		}
		if err != nil {
			return packets, err
		}
		link := first
		if len(info.AncillaryData) > 0 { // the packet's own, of pcapng
			link, _ = info.AncillaryData[0].(layers.LinkType)
		}
		packets = append(packets, withoutLink(data, link))
	}
}

// withoutLink returns what follows the link-layer headers: the IP packet if there is one.
func withoutLink(data []byte, link layers.LinkType) []byte {
	decoded := gopacket.NewPacket(data, link, gopacket.Default)
	if l := decoded.NetworkLayer(); l != nil {
		return append(slices.Clone(l.LayerContents()), l.LayerPayload()...)
	}
	if l := decoded.LinkLayer(); l != nil {
		return slices.Clone(l.LayerPayload())
	}
	return data
}
