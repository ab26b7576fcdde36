// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A nicLog has seen the NIC events of an instance, as "inet LIF_UP a 1 10.0.0.1/24".
type nicLog struct {
	t    *testing.T
	inst *netstack.Instance

	mu   sync.Mutex
	seen []string
	mark chan struct{}
}

const markName = "mark"

func recordNICEvents(t *testing.T, inst *netstack.Instance) *nicLog {
	t.Helper()
	l := &nicLog{t: t, inst: inst, mark: make(chan struct{}, 1)}
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		if _, err := inst.RegisterNICEvents(family, hooks.Hook[packet.NICEvent]{Name: "log", Func: l.hook}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *nicLog) hook(e packet.NICEvent) hooks.Verdict {
	if e.Name == markName {
		l.mark <- struct{}{}
		return hooks.Accept
	}
	text := fmt.Sprintf("%v %v %s", e.Family, e.Type, e.Name)
	if e.LIF != 0 {
		text += fmt.Sprintf(" %d %v", e.LIF, e.Address)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, text)
	return hooks.Accept
}

// take returns what was seen since the last call: everything that was posted before this one.
func (l *nicLog) take() []string {
	l.t.Helper()
	if err := l.inst.PostNICEvent(packet.NICEvent{Family: packet.Inet, Type: packet.NICIfindexChange, Name: markName}); err != nil {
		l.t.Fatal(err)
	}
	select {
	case <-l.mark:
	case <-time.After(5 * time.Second):
		l.t.Fatal("NIC events do not come to an end in 5 s")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	l.seen = nil
	return seen
}

func (l *nicLog) expect(want ...string) {
	l.t.Helper()
	if diff := cmp.Diff(want, l.take()); diff != "" {
		l.t.Errorf("NIC events (-want +got):\n%s", diff)
	}
}

// plug is join for an interface with offload and these addresses.
func plug(t *testing.T, inst *netstack.Instance, name string, addresses ...string) (*netstack.Interface, *wire) {
	t.Helper()
	return join(t, inst, offloads, netstack.InterfaceConfig{Name: name, Addresses: prefixes(addresses...)})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A plumbed interface gives PLUMB with its name and lif 0, in the family being plumbed; the rest follows from its
// addresses.
func TestCase100_Plumb(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	l := recordNICEvents(t, inst)
	var first packet.NICEvent
	if _, err := inst.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "first", Hint: hooks.HintFirst, Func: func(e packet.NICEvent) hooks.Verdict {
		if first.Type == 0 {
			first = e
		}
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	f, _ := plug(t, inst, "a", "10.0.0.1/24", "fd00::1/64", "10.0.0.2/24")
	l.expect("inet PLUMB a", "inet6 PLUMB a",
		"inet UP a", "inet LIF_UP a 1 10.0.0.1/24", "inet LIF_UP a 2 10.0.0.2/24",
		"inet6 UP a", "inet6 LIF_UP a 1 fd00::1/64")
	want := packet.NICEvent{Instance: inst.ID(), Family: packet.Inet, Type: packet.NICPlumb, NIC: f.Index(), Name: "a"}
	if first != want {
		t.Errorf("the event: %+v, want %+v", first, want)
	}
	plug(t, inst, "unnumbered")
	l.expect("inet PLUMB unnumbered", "inet6 PLUMB unnumbered")
}

// An up address is replaced: LIF_DOWN, ADDRESS_CHANGE with the new address, LIF_UP, and no DOWN or UP.
func TestCase101_ReplaceAddress(t *testing.T) {
	for name, c := range map[string]struct{ old, address string }{
		"inet":  {"10.0.0.1", "10.0.7.1/16"},
		"inet6": {"fd00::1", "fd00::7/48"},
	} {
		t.Run(name, func(t *testing.T) {
			inst := newInstance(t, netstack.Config{})
			f, _ := plug(t, inst, "a", "10.0.0.1/24", "fd00::1/64")
			l := recordNICEvents(t, inst)
			old := netip.MustParseAddr(c.old)
			must(t, f.ReplaceAddress(old, netip.MustParsePrefix(c.address)))
			bits := map[string]string{"inet": "/24", "inet6": "/64"}[name]
			l.expect(name+" LIF_DOWN a 1 "+c.old+bits, name+" ADDRESS_CHANGE a 1 "+c.address, name+" LIF_UP a 1 "+c.address)

			must(t, f.SetUp(false)) // down, it is only stored
			l.take()
			must(t, f.ReplaceAddress(netip.MustParsePrefix(c.address).Addr(), netip.PrefixFrom(old, 32)))
			l.expect(name + " ADDRESS_CHANGE a 1 " + c.old + "/32")
		})
	}
}

// The last address goes: LIF_DOWN, DOWN. The first comes: UP, LIF_UP. The same order when the interface goes down and up.
func TestCase102_FirstAndLastAddress(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f, _ := plug(t, inst, "a")
	l := recordNICEvents(t, inst)
	one, two, six := netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.2/24"), netip.MustParsePrefix("fd00::1/64")

	must(t, f.AddAddress(one))
	l.expect("inet UP a", "inet LIF_UP a 1 10.0.0.1/24")
	must(t, f.AddAddress(two))
	l.expect("inet LIF_UP a 2 10.0.0.2/24")
	must(t, f.AddAddress(six))
	l.expect("inet6 UP a", "inet6 LIF_UP a 1 fd00::1/64")

	must(t, f.SetUp(false))
	l.expect("inet LIF_DOWN a 1 10.0.0.1/24", "inet LIF_DOWN a 2 10.0.0.2/24", "inet DOWN a", "inet6 LIF_DOWN a 1 fd00::1/64", "inet6 DOWN a")
	must(t, f.SetUp(false))
	l.expect()
	must(t, f.SetUp(true))
	l.expect("inet UP a", "inet LIF_UP a 1 10.0.0.1/24", "inet LIF_UP a 2 10.0.0.2/24", "inet6 UP a", "inet6 LIF_UP a 1 fd00::1/64")

	must(t, f.RemoveAddress(one.Addr()))
	l.expect("inet LIF_DOWN a 1 10.0.0.1/24")
	must(t, f.RemoveAddress(two.Addr()))
	l.expect("inet LIF_DOWN a 2 10.0.0.2/24", "inet DOWN a")
	must(t, f.AddAddress(two)) // under the lowest free number
	l.expect("inet UP a", "inet LIF_UP a 1 10.0.0.2/24")

	lo, _ := inst.Interface("lo") // neither UP nor DOWN
	must(t, lo.AddAddress(netip.MustParsePrefix("10.9.9.9/32")))
	l.expect("inet LIF_UP lo 2 10.9.9.9/32")
}

// There is no duplicate address detection on a TUN device: LIF_UP comes at once, and not before the address can be used.
func TestCase103_AddressIsUsableAtLIFUp(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f, _ := plug(t, inst, "a")
	result := make(chan error, 4)
	for _, family := range []packet.Family{packet.Inet, packet.Inet6} {
		if _, err := inst.RegisterNICEvents(family, hooks.Hook[packet.NICEvent]{Name: "listener", Func: func(e packet.NICEvent) hooks.Verdict {
			if e.Type == packet.NICLIFUp {
				c, err := inst.ListenPacket("udp", netip.AddrPortFrom(e.Address.Addr(), 53).String())
				if err == nil {
					err = c.Close()
				}
				result <- err
			}
			return hooks.Accept
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range prefixes("10.0.0.1/24", "fd00::1/64") {
		must(t, f.AddAddress(p))
		if err := <-result; err != nil {
			t.Errorf("%v at its LIF_UP: %v", p, err)
		}
	}
}

// UNPLUMB is the last event for an index, and carries the name.
func TestCase104_Unplumb(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f, _ := plug(t, inst, "a", "10.0.0.1/24")
	l := recordNICEvents(t, inst)
	must(t, f.Close())
	l.expect("inet LIF_DOWN a 1 10.0.0.1/24", "inet DOWN a", "inet UNPLUMB a", "inet6 UNPLUMB a")
	for what, err := range map[string]error{
		"AddAddress":     f.AddAddress(netip.MustParsePrefix("10.0.0.2/24")),
		"RemoveAddress":  f.RemoveAddress(netip.MustParseAddr("10.0.0.1")),
		"ReplaceAddress": f.ReplaceAddress(netip.MustParseAddr("10.0.0.1"), netip.MustParsePrefix("10.0.0.2/24")),
		"SetUp":          f.SetUp(false),
		"SetMTU":         f.SetMTU(1400),
		"ReplaceDevice":  f.ReplaceDevice(f.Device()),
	} {
		if !errors.Is(err, netstack.ErrClosed) {
			t.Errorf("%s of a closed interface: %v", what, err)
		}
	}
	l.expect()
	again, _ := plug(t, inst, "a")
	if again.Index() == f.Index() {
		t.Error("an index is used again")
	}
}

// A slow hook of NIC_EVENTS holds up no packet, and events stay in order.
func TestCase105_SlowHook(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	release := make(chan struct{})
	if _, err := r.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "slow", Hint: hooks.HintFirst, Func: func(packet.NICEvent) hooks.Verdict {
		<-release
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	l := recordNICEvents(t, r.Instance)
	var want []string
	for n := range 100 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, byte(n), 1}), 24)
		must(t, r.a.AddAddress(p))
		want = append(want, fmt.Sprintf("inet LIF_UP a %d %v", n+2, p))
	}
	for range 100 {
		r.left.send(udp(t, left4, right4, 64, nil))
		r.right.receive()
	}
	close(release)
	l.expect(want...)
}

// Every event of the original can be posted, by who knows of something the instance does not.
func TestPostNICEvent(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	var got packet.NICEvent
	done := make(chan struct{})
	if _, err := inst.RegisterNICEvents(packet.ARP, hooks.Hook[packet.NICEvent]{Name: "h", Func: func(e packet.NICEvent) hooks.Verdict {
		got = e
		close(done)
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	want := packet.NICEvent{Family: packet.ARP, Type: packet.NICIfindexChange, NIC: 4, NewIndex: 9, Name: "x"}
	must(t, inst.PostNICEvent(want))
	<-done
	want.Instance = inst.ID()
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, e := range []packet.NICEvent{{}, {Family: packet.Inet}, {Family: packet.Inet, Type: 9}, {Family: 4, Type: 1}, {Type: 1}} {
		if err := inst.PostNICEvent(e); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// The queue is bounded; what does not fit is an error, is counted, and harms nobody.
func TestNICEventsLost(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	release, entered := make(chan struct{}), make(chan struct{})
	var once sync.Once
	seen := 0
	if _, err := inst.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "slow", Func: func(packet.NICEvent) hooks.Verdict {
		once.Do(func() { close(entered) })
		<-release
		seen++
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	event := packet.NICEvent{Family: packet.Inet, Type: packet.NICUp}
	must(t, inst.PostNICEvent(event))
	<-entered
	for range 1024 {
		must(t, inst.PostNICEvent(event))
	}
	if err := inst.PostNICEvent(event); !errors.Is(err, netstack.ErrQueueFull) || !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("full: %v", err)
	}
	f, _ := plug(t, inst, "a", "10.0.0.1/24") // PLUMB, UP and LIF_UP are lost, the interface is not
	must(t, f.RemoveAddress(netip.MustParseAddr("10.0.0.1")))
	if lost := inst.Stats().NICEventsLost; lost != 1+5 {
		t.Errorf("%d lost, want 6", lost)
	}
	close(release)
	must(t, inst.Close())
	// LIF_DOWN and UNPLUMB of lo and UNPLUMB of a may have found room or not.
	if lost := inst.Stats().NICEventsLost; seen+int(lost) != 1025+6+3 {
		t.Errorf("%d seen, %d lost", seen, lost)
	}
}

// Close delivers what has happened, up to the UNPLUMB of every interface, and nothing afterwards.
func TestNICEventsOfClose(t *testing.T) {
	inst, err := netstack.New(netstack.Config{})
	must(t, err)
	plug(t, inst, "a", "10.0.0.1/24")
	l := recordNICEvents(t, inst)
	must(t, inst.Close())
	want := []string{
		"inet LIF_DOWN lo 1 127.0.0.1/8", "inet6 LIF_DOWN lo 1 ::1/128", "inet UNPLUMB lo", "inet6 UNPLUMB lo",
		"inet LIF_DOWN a 1 10.0.0.1/24", "inet DOWN a", "inet UNPLUMB a", "inet6 UNPLUMB a",
	}
	if diff := cmp.Diff(want, l.seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := inst.PostNICEvent(packet.NICEvent{Family: packet.Inet, Type: packet.NICUp}); err != nil && !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if len(l.seen) != len(want) {
		t.Errorf("after Close: %v", l.seen[len(want):])
	}
}

// A hook of NIC_EVENTS may call anything: here it takes the interface away, opens sockets, adds an interface, and at last
// closes the instance it belongs to.
func TestNICEventHookMayCallAnything(t *testing.T) {
	inst, err := netstack.New(netstack.Config{})
	must(t, err)
	f, _ := plug(t, inst, "a")
	done := make(chan error, 1)
	if _, err := inst.RegisterNICEvents(packet.Inet, hooks.Hook[packet.NICEvent]{Name: "busy", Func: func(e packet.NICEvent) hooks.Verdict {
		if e.Type != packet.NICLIFUp {
			return hooks.Accept
		}
		l, err := inst.Listen("tcp", ":80")
		if err != nil {
			done <- err
			return hooks.Accept
		}
		near, _ := tun.Pair(tun.PairConfig{})
		b, err := inst.AddInterface(near, netstack.InterfaceConfig{Name: "b"})
		done <- errors.Join(err, b.SetUp(false), b.SetMTU(1400), f.RemoveAddress(e.Address.Addr()), f.Close(), l.Close(), inst.Close(), inst.Close())
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	must(t, f.AddAddress(netip.MustParsePrefix("10.0.0.1/24")))
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("a hook of NIC_EVENTS is stuck")
	}
	must(t, inst.Close())
	if lost := inst.Stats().NICEventsLost; lost == 0 {
		t.Error("events that nobody will see are not counted as lost")
	}
}

// Whatever happens to an interface, from wherever, for each family its events nest: PLUMB (UP (LIF_UP LIF_DOWN) DOWN) UNPLUMB.
func TestNICEventsNest(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	l := recordNICEvents(t, inst)
	f, _ := plug(t, inst, "a")
	addresses := prefixes("10.0.0.1/24", "10.0.0.2/24", "10.1.0.1/16", "fd00::1/64", "fd00::2/64")
	var seen []string
	for round := range 10 { // the events of one have room in the queue, however slowly they are taken
		var workers sync.WaitGroup
		for worker := range 4 {
			workers.Go(func() {
				for n := round * 5; n < round*5+5; n++ {
					p, q := addresses[(n+worker)%5], addresses[(n*worker)%5]
					_ = f.AddAddress(p)
					_ = f.SetUp(n%3 != 0)
					_ = f.ReplaceAddress(p.Addr(), q)
					_ = f.RemoveAddress(q.Addr())
				}
			})
		}
		workers.Wait()
		seen = append(seen, l.take()...)
	}
	must(t, f.Close())
	seen = append(seen, l.take()...)
	if lost := inst.Stats().NICEventsLost; lost != 0 {
		t.Fatalf("%d events lost", lost)
	}
	for _, family := range []string{"inet", "inet6"} {
		plumbed, up := false, false
		lifs := map[string]string{}
		for k, text := range seen {
			var fam, typ, name, number, address string
			fmt.Sscan(text, &fam, &typ, &name, &number, &address)
			if fam != family {
				continue
			}
			ok := plumbed
			switch typ {
			case "PLUMB":
				ok, plumbed = !plumbed, true
			case "UNPLUMB":
				ok, plumbed = ok && !up, false
			case "UP":
				ok, up = ok && !up && len(lifs) == 0, true
			case "DOWN":
				ok, up = ok && up && len(lifs) == 0, false
			case "LIF_UP":
				ok = ok && up && lifs[number] == ""
				lifs[number] = address
			case "LIF_DOWN":
				ok = ok && up && lifs[number] == address
				delete(lifs, number)
			case "ADDRESS_CHANGE":
				ok = ok && lifs[number] == ""
			}
			if !ok {
				t.Fatalf("%s: %q is out of order in %q", family, text, slices.Concat(seen[max(0, k-8):k+1]))
			}
		}
		if plumbed || up || len(lifs) != 0 {
			t.Errorf("%s: left plumbed %t, up %t, %v", family, plumbed, up, lifs)
		}
	}
}
