// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// lookUp returns a handle that the test's end releases.
func lookUp(t testing.TB, inst *netstack.Instance, name string) *netstack.Protocol {
	t.Helper()
	p, err := inst.Protocol(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Release() })
	return p
}

// answers calls every accessor and returns what each failed with.
func answers(t testing.TB, n netstack.Netinfo) map[string]error {
	t.Helper()
	q := filled(t, udp(t, left4, right4, 64, nil))
	defer q.Release()
	q.Parse()
	errs := map[string]error{}
	_, errs["NICName"] = n.NICName(1)
	_, errs["NICByName"] = n.NICByName("lo")
	_, errs["NextNIC"] = n.NextNIC(0)
	_, errs["NextLIF"] = n.NextLIF(1, 0)
	_, errs["MTU"] = n.MTU(1, 0)
	_, errs["LIFAddresses"] = n.LIFAddresses(1, 1)
	_, errs["LIFFlags"] = n.LIFFlags(1, 1)
	_, errs["LIFZone"] = n.LIFZone(1, 1)
	_, _, errs["RouteTo"] = n.RouteTo(netip.MustParseAddr("127.0.0.1"))
	_, errs["PathMTUDiscovery"] = n.PathMTUDiscovery()
	_, errs["ChecksumState"] = n.ChecksumState(q)
	_, errs["ValidChecksum"] = n.ValidChecksum(q)
	if p, ok := n.(*netstack.Protocol); ok {
		_, errs["Family"] = p.Family()
		_, errs["InstanceID"] = p.InstanceID()
	}
	return errs
}

// allFail checks that every accessor of a handle fails with want, and that its walks are over at once.
func allFail(t *testing.T, p *netstack.Protocol, want error) {
	t.Helper()
	for name, err := range answers(t, p) {
		if !errors.Is(err, want) {
			t.Errorf("%s of %s: %v, want %v", name, p.Name(), err, want)
		}
	}
	for nic := range p.NICs() {
		t.Errorf("NICs of %s: %d", p.Name(), nic)
	}
	for lif := range p.LIFs(1) {
		t.Errorf("LIFs of %s: %d", p.Name(), lif)
	}
}

// While an instance shuts down there are no protocols and nothing can be registered; everything can be given back.
func TestCase015_ShutdownCondemnsProtocols(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	stack := r.Hooks()
	handles := slices.Collect(func(yield func(*netstack.Protocol) bool) {
		for _, name := range []string{"inet", "inet6", "arp"} {
			p, err := r.Protocol(name)
			if err != nil {
				t.Fatal(err)
			}
			yield(p)
		}
	})
	gre, err := r.RegisterProtocol("gre", netstack.Unsupported{})
	if err != nil {
		t.Fatal(err)
	}
	family, err := stack.AddFamily("gre")
	if err != nil {
		t.Fatal(err)
	}
	event, err := hooks.AddEvent[int](family, hooks.EventConfig{Name: "DECAP"})
	if err != nil {
		t.Fatal(err)
	}
	hook, err := r.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "h", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }})
	if err != nil {
		t.Fatal(err)
	}
	ignore := func(hooks.Notification) {}
	var notifiers []*hooks.Notifier
	for _, notify := range []func(string, func(hooks.Notification)) (*hooks.Notifier, error){stack.Notify, family.Notify, event.Notify} {
		n, err := notify("before", ignore)
		if err != nil {
			t.Fatal(err)
		}
		notifiers = append(notifiers, n)
	}

	r.Shutdown()
	refused := map[string]error{}
	for _, p := range handles {
		allFail(t, p, netstack.ErrClosed)
		_, refused["look up "+p.Name()] = r.Protocol(p.Name())
	}
	for p := range r.Protocols() {
		t.Errorf("%s is still there", p.Name())
	}
	_, refused["look up what never was"] = r.Protocol("ipx")
	_, refused["register a protocol"] = r.RegisterProtocol("new", netstack.Unsupported{})
	_, refused["register a hook"] = r.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "late", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }})
	_, refused["register a hook of another's"] = event.Register(hooks.Hook[int]{Name: "late", Func: func(int) hooks.Verdict { return hooks.Accept }})
	_, refused["add a family"] = stack.AddFamily("late")
	_, refused["notify of families"] = stack.Notify("late", ignore)
	_, refused["notify of events"] = family.Notify("late", ignore)
	_, refused["notify of hooks"] = event.Notify("late", ignore)
	for what, err := range refused {
		if !errors.Is(err, netstack.ErrClosed) || !errors.Is(err, hooks.ErrShutdown) || !errors.Is(err, syscall.ESHUTDOWN) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}

	r.left.send(udp(t, left4, right4, 64, nil)) // packets go on
	r.right.receive()
	for _, p := range handles {
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	}
	for _, n := range notifiers {
		if err := n.Unregister(); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(hook.Unregister(), event.Remove(), family.Remove(), gre.Unregister()); err != nil {
		t.Error(err)
	}
	<-gre.Gone()
	r.Shutdown() // nothing more happens
}

// A name belongs to one live protocol of an instance, under both its spellings; another instance has names of its own.
func TestCase017_DuplicateProtocol(t *testing.T) {
	one, two := newInstance(t, netstack.Config{}), newInstance(t, netstack.Config{ID: 2})
	first, err := one.RegisterProtocol("gre", netstack.Unsupported{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gre", "inet", "NHF_INET", "NHF_INET6", "NHF_ARP"} {
		if _, err := one.RegisterProtocol(name, netstack.Unsupported{}); !errors.Is(err, netstack.ErrExists) {
			t.Errorf("%s: %v, want ErrExists", name, err)
		}
	}
	if _, err := two.RegisterProtocol("gre", netstack.Unsupported{}); err != nil {
		t.Error(err)
	}
	held := lookUp(t, one, "gre")
	if err := first.Unregister(); err != nil {
		t.Fatal(err)
	}
	// The name is free though somebody still holds the old one.
	second, err := one.RegisterProtocol("gre", ownMTU{42, netstack.Unsupported{}})
	if err != nil {
		t.Fatal(err)
	}
	if mtu, err := lookUp(t, one, "gre").MTU(0, 0); mtu != 42 || err != nil {
		t.Errorf("the new protocol answers %d, %v", mtu, err)
	}
	allFail(t, held, netstack.ErrClosed)
	if err := second.Unregister(); err != nil {
		t.Error(err)
	}
	for what, c := range map[string]struct {
		name string
		info netstack.Netinfo
	}{"no name": {"", netstack.Unsupported{}}, "no netinfo": {"x", nil}} {
		if _, err := one.RegisterProtocol(c.name, c.info); !errors.Is(err, netstack.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", what, err)
		}
	}
}

// ownMTU is a protocol with one answer.
type ownMTU struct {
	mtu int
	netstack.Unsupported
}

func (o ownMTU) MTU(_, _ uint32) (int, error) { return o.mtu, nil }

// After a protocol is unregistered its handles are good for Release only; with the last of them it is gone.
func TestCase018_UnregisteredProtocol(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	gre, err := inst.RegisterProtocol("gre", ownMTU{42, netstack.Unsupported{}})
	if err != nil {
		t.Fatal(err)
	}
	var handles []*netstack.Protocol
	for range 3 {
		p, err := inst.Protocol("gre")
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, p)
	}
	if mtu, err := handles[0].MTU(0, 0); mtu != 42 || err != nil {
		t.Fatalf("MTU %d, %v", mtu, err)
	}
	if err := gre.Unregister(); err != nil {
		t.Fatal(err)
	}
	if err := gre.Unregister(); !errors.Is(err, hooks.ErrGone) || !errors.Is(err, syscall.ESRCH) {
		t.Errorf("second Unregister: %v, want ErrGone", err)
	}
	if _, err := inst.Protocol("gre"); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("lookup: %v, want ErrNotFound", err)
	}
	for _, p := range handles {
		select {
		case <-gre.Gone():
			t.Fatal("gone with handles still held")
		default:
		}
		allFail(t, p, netstack.ErrClosed)
		if err := p.Release(); err != nil {
			t.Error(err)
		}
		if err := p.Release(); !errors.Is(err, hooks.ErrGone) || !errors.Is(err, syscall.ESRCH) {
			t.Errorf("second Release: %v, want ErrGone", err)
		}
		allFail(t, p, hooks.ErrGone)
	}
	<-gre.Gone()
}

// An instance that is gone, and a name that nobody has. (An id that nobody has: instances.Manager.Get.)
func TestCase019_LookupFails(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	for _, name := range []string{"", "ipx", "INET", "NHF_IPX"} {
		if p, err := inst.Protocol(name); p != nil || !errors.Is(err, netstack.ErrNotFound) || !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%q: %v, want ErrNotFound", name, err)
		}
	}
	held := lookUp(t, inst, "inet")
	inst.Close()
	if p, err := inst.Protocol("inet"); p != nil || !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	var value atomic.Uint64
	if _, err := inst.CreateKstat(netstack.KstatConfig{Module: "m", Name: "n", Counters: []netstack.KstatCounter{{Name: "c", Value: &value}}}); !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("kstat after Close: %v, want ErrClosed", err)
	}
	allFail(t, held, netstack.ErrClosed)
	if err := held.Release(); err != nil {
		t.Error(err)
	}
}

// A walk gives the live protocols, and holds each for its turn of the loop only.
func TestCase028_WalkReturnsLiveProtocols(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	gre, err := inst.RegisterProtocol("gre", netstack.Unsupported{})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := inst.RegisterProtocol("dead", netstack.Unsupported{})
	if err != nil {
		t.Fatal(err)
	}
	lookUp(t, inst, "dead")
	if err := dead.Unregister(); err != nil {
		t.Fatal(err)
	}
	var names []string
	var last *netstack.Protocol
	for p := range inst.Protocols() {
		names = append(names, p.Name())
		if p.Name() == "inet6" { // gone before the walk comes to it
			if err := gre.Unregister(); err != nil {
				t.Error(err)
			}
		}
		if last != nil {
			allFail(t, last, hooks.ErrGone)
		}
		if _, err := p.InstanceID(); err != nil {
			t.Error(err)
		}
		last = p
	}
	if diff := cmp.Diff([]string{"inet", "inet6", "arp"}, names); diff != "" {
		t.Error(diff)
	}
	for p := range inst.Protocols() {
		last = p
		break
	}
	if err := last.Release(); !errors.Is(err, hooks.ErrGone) {
		t.Errorf("a loop that was left early holds its handle: %v", err)
	}
	<-gre.Gone()
}

// Hooks that ask everything of the protocol whose packets they see, while others register and unregister whatever there is.
func TestCase079_AccessorsInsideHooks(t *testing.T) {
	r := newRouter(t, netstack.Config{ID: 42})
	var asked atomic.Uint64
	for _, c := range []struct {
		family   packet.Family
		src, via netip.Addr
	}{{packet.Inet, left4, a4}, {packet.Inet6, left6, a6}} {
		p := lookUp(t, r.Instance, c.family.String())
		register(t, r.Instance, c.family, packet.PhysicalIn, packet.Hook{Name: "curious", Func: func(x *packet.Context) hooks.Verdict {
			asked.Add(1)
			name, err1 := p.NICName(x.In)
			nic, err2 := p.NICByName("a")
			mtu, err3 := p.MTU(x.In, 1)
			own, err4 := p.LIFAddresses(x.In, 1)
			flags, err5 := p.LIFFlags(x.In, 1)
			zone, err6 := p.LIFZone(x.In, 1)
			route, next, err7 := p.RouteTo(c.src)
			discovery, err8 := p.PathMTUDiscovery()
			state, err9 := p.ChecksumState(x.Packet)
			valid, err10 := p.ValidChecksum(x.Packet)
			id, err11 := p.InstanceID()
			family, err12 := p.Family()
			if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12); err != nil {
				t.Error(err)
				return hooks.Drop
			}
			if name != "a" || nic != x.In || mtu != 1500 || own.Address != c.via || flags == 0 || zone != 42 || id != 42 || family.Name() != c.family.String() ||
				route != x.In || next != c.src || !discovery || state != packet.ChecksumFull || !valid {
				t.Error("wrong answer in", name, nic, mtu, own, flags, zone, id, family.Name(), route, next, discovery, state, valid)
			}
			if lifs := count(p.LIFs(x.In)); lifs != 1 {
				t.Errorf("%d addresses", lifs)
			}
			for range p.NICs() {
			}
			q, err := r.Protocol(p.Name())
			if err != nil || q.Release() != nil {
				t.Error(err)
			}
			return hooks.Accept
		}})
	}
	stop := make(chan struct{})
	var busy sync.WaitGroup
	until := func(what func() error) {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				runtime.Gosched()
				if err := what(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	inet, err := lookUp(t, r.Instance, "inet").Family()
	if err != nil {
		t.Fatal(err)
	}
	until(func() error {
		h, err := r.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "passing", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }})
		return errors.Join(err, h.Unregister())
	})
	until(func() error {
		n, err := inet.Notify("passing", func(hooks.Notification) {})
		return errors.Join(err, n.Unregister())
	})
	until(func() error {
		p, err := r.RegisterProtocol("passing", netstack.Unsupported{})
		return errors.Join(err, p.Unregister())
	})
	const packets = 200
	for range packets {
		r.left.send(udp(t, left4, right4, 64, nil))
		r.right.receive()
		r.left.send(udp(t, left6, right6, 64, nil))
		r.right.receive()
	}
	close(stop)
	busy.Wait()
	if n := asked.Load(); n != 2*packets {
		t.Errorf("%d packets met a hook, want %d", n, 2*packets)
	}
}

func count[T any](seq func(func(T) bool)) (n int) {
	for range seq {
		n++
	}
	return n
}

// Both names of a protocol find it, and it goes by one.
func TestProtocolNames(t *testing.T) {
	inst := newInstance(t, netstack.Config{ID: 7})
	for _, c := range []struct{ name, want string }{
		{"inet", "inet"}, {"NHF_INET", "inet"}, {"inet6", "inet6"}, {"NHF_INET6", "inet6"}, {"arp", "arp"}, {"NHF_ARP", "arp"},
	} {
		p := lookUp(t, inst, c.name)
		if p.Name() != c.want {
			t.Errorf("%s is called %s", c.name, p.Name())
		}
		f, err := p.Family()
		if err != nil || f.Name() != c.want {
			t.Errorf("family of %s: %v", c.name, err)
		}
		if id, err := p.InstanceID(); id != 7 || err != nil {
			t.Errorf("instance %d, %v", id, err)
		}
	}
}

// The family of a protocol is the one of its name, as long as it is there.
func TestProtocolFamily(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	told := make(chan string, 1)
	watch, err := inst.Hooks().Notify("watch", func(n hooks.Notification) {
		if n.Family != "gre" || n.Command != hooks.CommandRegister {
			return
		}
		p, err := inst.Protocol(n.Family)
		if err != nil {
			t.Error(err)
			return
		}
		defer p.Release()
		f, err := p.Family() // while it is being added
		if err != nil {
			t.Error(err)
			return
		}
		told <- f.Name()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Unregister()
	if _, err := inst.RegisterProtocol("gre", netstack.Unsupported{}); err != nil {
		t.Fatal(err)
	}
	p := lookUp(t, inst, "gre")
	if _, err := p.Family(); !errors.Is(err, hooks.ErrNotFound) {
		t.Errorf("a protocol without events: %v, want ErrNotFound", err)
	}
	f, err := inst.Hooks().AddFamily("gre")
	if err != nil {
		t.Fatal(err)
	}
	if name := <-told; name != "gre" {
		t.Errorf("told of %s", name)
	}
	if got, err := p.Family(); got != f || err != nil {
		t.Errorf("Family: %v", err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Family(); err == nil {
		t.Error("found a family that was removed")
	}
}

// What is left behind is named in the log when the instance is closed, and can still be given back.
func TestProtocolsLeftBehind(t *testing.T) {
	var log bytes.Buffer
	inst, err := netstack.New(netstack.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	gre, err := inst.RegisterProtocol("gre", netstack.Unsupported{})
	if err != nil {
		t.Fatal(err)
	}
	p := lookUp(t, inst, "inet6")
	if err := inst.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"protocol gre", "1 handles of protocol inet6"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, log.String())
		}
	}
	if err := errors.Join(p.Release(), gre.Unregister()); err != nil {
		t.Error(err)
	}
	log.Reset()
	tidy := newInstance(t, netstack.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tidy.Close()
	if log.Len() != 0 {
		t.Errorf("nothing was left behind: %s", log.String())
	}
}

// Lookups, releases, walks, registrations and an end, all at the same time; the books balance.
func TestProtocolRegistryRace(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	var all sync.WaitGroup
	for k := range 3 {
		name := fmt.Sprint("own", k%2) // two of three contend for a name
		all.Go(func() {
			for {
				own, err := inst.RegisterProtocol(name, ownMTU{k, netstack.Unsupported{}})
				if errors.Is(err, netstack.ErrClosed) {
					return
				}
				if errors.Is(err, netstack.ErrExists) {
					continue
				}
				if err := own.Unregister(); err != nil {
					t.Error(err)
				}
				<-own.Gone() // whoever looked it up releases it
			}
		})
		all.Go(func() {
			for n := 0; ; n++ {
				p, err := inst.Protocol(name)
				switch {
				case errors.Is(err, netstack.ErrClosed):
					return
				case err != nil:
				default:
					if mtu, err := p.MTU(0, 0); err == nil && fmt.Sprint("own", mtu%2) != name {
						t.Errorf("%s answers %d", name, mtu)
					}
					if err := p.Release(); err != nil {
						t.Error(err)
					}
				}
				for p := range inst.Protocols() {
					p.NextNIC(0)
				}
				if n == 200 {
					inst.Shutdown()
				}
			}
		})
	}
	all.Wait()
}
