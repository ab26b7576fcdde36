// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	"github.com/hooknet/hooknet/tun"
)

// addInterface adds one on a memory device that nobody reads.
func addInterface(t testing.TB, inst *netstack.Instance, cfg netstack.InterfaceConfig) *netstack.Interface {
	t.Helper()
	near, far := tun.Pair(tun.PairConfig{Names: [2]string{cfg.Name, "far-" + cfg.Name}})
	t.Cleanup(func() { far.Close() })
	f, err := inst.AddInterface(near, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ARP knows interfaces by name and number; everything else is unsupported.
func TestCase020_ARP(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	arp := lookUp(t, r.Instance, "arp")
	got := answers(t, arp)
	for _, name := range []string{"NICName", "NICByName", "NextNIC", "ValidChecksum", "Family", "InstanceID"} {
		if got[name] != nil {
			t.Errorf("%s: %v", name, got[name])
		}
		delete(got, name)
	}
	for _, name := range []string{"MTU", "LIFAddresses", "LIFFlags", "LIFZone", "NextLIF", "RouteTo", "ChecksumState", "PathMTUDiscovery"} {
		err := got[name]
		if !errors.Is(err, netstack.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, syscall.ENOTSUP) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("neither supported nor unsupported: %v", got)
	}
	if name, err := arp.NICName(r.b.Index()); name != "b" || err != nil {
		t.Errorf("name %q, %v", name, err)
	}
	if nic, err := arp.NICByName("b"); nic != r.b.Index() || err != nil {
		t.Errorf("index %d, %v", nic, err)
	}
	if diff := cmp.Diff([]uint32{1, r.a.Index(), r.b.Index()}, slices.Collect(arp.NICs())); diff != "" {
		t.Error(diff)
	}
}

// A walk gives each interface once by ascending index, then 0, also from an index that is not there.
func TestCase021_WalkOfInterfaces(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	gone := addInterface(t, r.Instance, netstack.InterfaceConfig{Name: "gone"})
	last := addInterface(t, r.Instance, netstack.InterfaceConfig{Name: "last"})
	want := []uint32{1, r.a.Index(), r.b.Index(), gone.Index(), last.Index()}
	for _, name := range []string{"inet", "inet6", "arp"} {
		p := lookUp(t, r.Instance, name)
		var got []uint32
		nic := uint32(0)
		for {
			var err error
			if nic, err = p.NextNIC(nic); err != nil {
				t.Fatal(err)
			}
			if nic == 0 {
				break
			}
			got = append(got, nic)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(want, slices.Collect(p.NICs())); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for nic := range p.NICs() { // may be left early
			if nic != 1 {
				t.Errorf("starts at %d", nic)
			}
			break
		}
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	p := lookUp(t, r.Instance, "inet")
	for after, want := range map[uint32]uint32{gone.Index(): last.Index(), r.b.Index(): last.Index(), last.Index(): 0, 1 << 31: 0} {
		if nic, err := p.NextNIC(after); nic != want || err != nil {
			t.Errorf("after %d comes %d, %v; want %d", after, nic, err, want)
		}
	}
}

// Addresses are numbered from 1 within a family.
func TestCase022_WalkOfAddresses(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f := addInterface(t, inst, netstack.InterfaceConfig{Name: "net0", Addresses: prefixes("10.0.0.1/24", "fd00::1/64", "10.0.1.1/24", "fe80::1/64", "fd01::1/64")})
	bare := addInterface(t, inst, netstack.InterfaceConfig{Name: "net1"})
	for name, want := range map[string][]string{"inet": {"10.0.0.1", "10.0.1.1"}, "inet6": {"fd00::1", "fe80::1", "fd01::1"}} {
		p := lookUp(t, inst, name)
		var got []string
		number := uint32(0)
		for lif := range p.LIFs(f.Index()) {
			if number++; lif != number {
				t.Errorf("%s: number %d, want %d", name, lif, number)
			}
			a, err := p.LIFAddresses(f.Index(), lif)
			if err != nil {
				t.Error(err)
			}
			got = append(got, a.Address.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if lif, err := p.NextLIF(f.Index(), number); lif != 0 || err != nil {
			t.Errorf("%s: after the last comes %d, %v", name, lif, err)
		}
		for lif := range p.LIFs(f.Index()) { // may be left early
			if lif != 1 {
				t.Errorf("%s: starts at %d", name, lif)
			}
			break
		}
		if lif, err := p.NextLIF(bare.Index(), 0); lif != 0 || err != nil {
			t.Errorf("%s: an interface without addresses has %d, %v", name, lif, err)
		}
	}
}

// A walk that stands at an address that is then removed is over; the other addresses keep their numbers.
func TestCase023_WalkAtARemovedAddress(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f := addInterface(t, inst, netstack.InterfaceConfig{Name: "net0", Addresses: prefixes("10.0.0.1/24", "10.0.1.1/24", "fd00::1/64", "10.0.2.1/24")})
	p := lookUp(t, inst, "inet")
	if lif, err := p.NextLIF(f.Index(), 1); lif != 2 || err != nil {
		t.Fatalf("after 1 comes %d, %v", lif, err)
	}
	var walked []uint32
	for lif := range p.LIFs(f.Index()) {
		walked = append(walked, lif)
		if lif == 2 {
			if err := f.RemoveAddress(netip.MustParseAddr("10.0.1.1")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff([]uint32{1, 2}, walked); diff != "" {
		t.Error(diff)
	}
	if lif, err := p.NextLIF(f.Index(), 2); lif != 0 || err != nil {
		t.Errorf("after the removed address comes %d, %v", lif, err)
	}
	if _, err := p.LIFAddresses(f.Index(), 2); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("the removed address: %v, want ErrNotFound", err)
	}
	if diff := cmp.Diff([]uint32{1, 3}, slices.Collect(p.LIFs(f.Index()))); diff != "" {
		t.Error(diff)
	}
	if a, err := p.LIFAddresses(f.Index(), 3); a.Address != netip.MustParseAddr("10.0.2.1") || err != nil {
		t.Errorf("address 3 is %v, %v", a.Address, err)
	}
	if err := f.RemoveAddress(netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if a, err := p.LIFAddresses(f.Index(), 0); a.Address != netip.MustParseAddr("10.0.2.1") || err != nil {
		t.Errorf("the first address is %v, %v", a.Address, err)
	}
	if err := f.AddAddress(netip.MustParsePrefix("10.0.9.1/24")); err != nil { // gets the lowest free number
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint32{1, 3}, slices.Collect(p.LIFs(f.Index()))); diff != "" {
		t.Error(diff)
	}
}

// What is not there is ErrNotFound everywhere.
func TestCase024_UnknownInterface(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	gone := addInterface(t, inst, netstack.InterfaceConfig{Name: "net0", Addresses: prefixes("10.0.0.1/24")})
	f := addInterface(t, inst, netstack.InterfaceConfig{Name: "net1", Addresses: prefixes("10.0.1.1/24")})
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"inet", "inet6"} {
		p := lookUp(t, inst, name)
		got := map[string]error{}
		for _, nic := range []uint32{0, gone.Index(), 99} {
			_, got[fmt.Sprint("NICName ", nic)] = p.NICName(nic)
			_, got[fmt.Sprint("NextLIF ", nic)] = p.NextLIF(nic, 0)
			for _, lif := range []uint32{0, 1} {
				at := fmt.Sprint(" ", nic, ":", lif)
				_, got["MTU"+at] = p.MTU(nic, lif)
				_, got["LIFAddresses"+at] = p.LIFAddresses(nic, lif)
				_, got["LIFFlags"+at] = p.LIFFlags(nic, lif)
				_, got["LIFZone"+at] = p.LIFZone(nic, lif)
			}
			for range p.LIFs(nic) {
				t.Errorf("interface %d has addresses", nic)
			}
		}
		_, got["NICByName net0"] = p.NICByName("net0")
		_, got["NICByName"] = p.NICByName("")
		_, got["MTU of an unknown address"] = p.MTU(f.Index(), 2)
		_, got["LIFAddresses of an unknown address"] = p.LIFAddresses(f.Index(), 2)
		_, got["LIFFlags of an unknown address"] = p.LIFFlags(f.Index(), 2)
		_, got["LIFZone of an unknown address"] = p.LIFZone(f.Index(), 2)
		for what, err := range got {
			if !errors.Is(err, netstack.ErrNotFound) || !errors.Is(err, syscall.ESRCH) {
				t.Errorf("%s: %s: %v, want ErrNotFound", name, what, err)
			}
		}
	}
	if _, err := lookUp(t, inst, "inet6").LIFAddresses(f.Index(), 0); !errors.Is(err, netstack.ErrNotFound) {
		t.Errorf("an address of an interface without any: %v, want ErrNotFound", err)
	}
}

// Everything that belongs to an address comes in one answer whose fields have names: there is no list of types to get
// wrong, which the original answers with an error.
func TestCase025_AddressesOfALIF(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	f := addInterface(t, inst, netstack.InterfaceConfig{Name: "net0", Addresses: prefixes(
		"10.0.0.1/24", "10.0.1.0/31", "10.0.1.3/31", "10.0.2.1/32", "10.0.3.1/30",
		"fd00::1/64", "fd00:1::/127", "fd00:2::1/127", "fd00:3::1/128")})
	a := func(s string) (a netip.Addr) {
		if s != "" {
			a = netip.MustParseAddr(s)
		}
		return a
	}
	const p2p = net.FlagUp | net.FlagRunning | net.FlagMulticast | net.FlagPointToPoint
	const broadcast = net.FlagUp | net.FlagRunning | net.FlagMulticast | net.FlagBroadcast
	const loopback = net.FlagUp | net.FlagRunning | net.FlagLoopback
	for _, c := range []struct {
		family                            string
		nic, lif                          uint32
		address, peer, broadcast, netmask string
		flags                             net.Flags
	}{
		{"inet", f.Index(), 0, "10.0.0.1", "", "10.0.0.255", "255.255.255.0", broadcast},
		{"inet", f.Index(), 1, "10.0.0.1", "", "10.0.0.255", "255.255.255.0", broadcast},
		{"inet", f.Index(), 2, "10.0.1.0", "10.0.1.1", "", "255.255.255.254", p2p},
		{"inet", f.Index(), 3, "10.0.1.3", "10.0.1.2", "", "255.255.255.254", p2p},
		{"inet", f.Index(), 4, "10.0.2.1", "", "", "255.255.255.255", p2p},
		{"inet", f.Index(), 5, "10.0.3.1", "", "10.0.3.3", "255.255.255.252", broadcast},
		{"inet", 1, 1, "127.0.0.1", "", "", "255.0.0.0", loopback},
		{"inet6", f.Index(), 0, "fd00::1", "", "", "ffff:ffff:ffff:ffff::", p2p},
		{"inet6", f.Index(), 1, "fd00::1", "", "", "ffff:ffff:ffff:ffff::", p2p},
		{"inet6", f.Index(), 2, "fd00:1::", "fd00:1::1", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", p2p},
		{"inet6", f.Index(), 3, "fd00:2::1", "fd00:2::", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", p2p},
		{"inet6", f.Index(), 4, "fd00:3::1", "", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", p2p},
		{"inet6", 1, 1, "::1", "", "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", loopback},
	} {
		t.Run(fmt.Sprint(c.family, c.nic, ":", c.lif), func(t *testing.T) {
			p := lookUp(t, inst, c.family)
			got, err := p.LIFAddresses(c.nic, c.lif)
			if err != nil {
				t.Fatal(err)
			}
			want := netstack.LIFAddresses{Address: a(c.address), Peer: a(c.peer), Broadcast: a(c.broadcast), Netmask: a(c.netmask)}
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
			if flags, err := p.LIFFlags(c.nic, c.lif); flags != c.flags || err != nil {
				t.Errorf("flags %v, %v; want %v", flags, err, c.flags)
			}
		})
	}
}

// RouteTo answers as packets go: the forwarding table decides.
func TestCase026_RouteTo(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	addInterface(t, r.Instance, netstack.InterfaceConfig{Name: "link", Addresses: prefixes("fe80::1/64")})
	link, _ := r.Interface("link")
	if err := r.AddRoutes(
		netstack.Route{Destination: netip.MustParsePrefix("10.1.0.0/16"), Interface: "b", Gateway: right4},
		netstack.Route{Destination: netip.MustParsePrefix("10.1.1.0/24"), Type: netstack.Blackhole},
		netstack.Route{Destination: netip.MustParsePrefix("10.1.2.0/24"), Type: netstack.Unreachable},
		netstack.Route{Destination: netip.MustParsePrefix("10.1.3.0/24"), Type: netstack.Prohibit},
		netstack.Route{Destination: netip.MustParsePrefix("fd01::/16"), Interface: "a", Gateway: left6},
		netstack.Route{Destination: netip.MustParsePrefix("fd01:1::/32"), Type: netstack.Blackhole},
	); err != nil {
		t.Fatal(err)
	}
	type answer struct {
		nic  uint32
		next string
		err  error
	}
	for _, c := range []struct {
		family, dst string
		want        answer
	}{
		{"inet", "10.0.1.2", answer{r.a.Index(), "10.0.1.2", nil}}, // on the link
		{"inet", "10.1.9.9", answer{r.b.Index(), "10.0.2.2", nil}}, // by a gateway
		{"inet", "10.0.2.1", answer{r.b.Index(), "10.0.2.1", nil}}, // an own address
		{"inet", "127.9.9.9", answer{1, "127.9.9.9", nil}},
		{"inet", "10.1.1.1", answer{err: netstack.ErrNotFound}}, // blackhole
		{"inet", "10.1.2.1", answer{err: netstack.ErrNotFound}}, // unreachable
		{"inet", "10.1.3.1", answer{err: netstack.ErrNotFound}}, // prohibit
		{"inet", "192.0.2.1", answer{err: netstack.ErrNotFound}},
		{"inet", "10.0.1.255", answer{err: netstack.ErrNotFound}}, // a subnet's broadcast
		{"inet", "255.255.255.255", answer{err: netstack.ErrNotFound}},
		{"inet", "0.0.0.0", answer{err: netstack.ErrNotFound}},
		{"inet", "fd00:1::2", answer{err: netstack.ErrInvalid}},
		{"inet", "::ffff:10.0.1.2", answer{err: netstack.ErrInvalid}},
		{"inet", "", answer{err: netstack.ErrInvalid}},
		{"inet6", "fd00:2::2", answer{r.b.Index(), "fd00:2::2", nil}},
		{"inet6", "fd01::1", answer{r.a.Index(), "fd00:1::2", nil}},
		{"inet6", "fd00:1::1", answer{r.a.Index(), "fd00:1::1", nil}},
		{"inet6", "::1", answer{1, "::1", nil}},
		{"inet6", "fd01:1::1", answer{err: netstack.ErrNotFound}},
		{"inet6", "fe80::1%b", answer{link.Index(), "fe80::1", nil}},    // an own address, wherever it is said to be
		{"inet6", "fe80::2%b", answer{r.b.Index(), "fe80::2", nil}},     // the zone decides
		{"inet6", "ff02::1%a", answer{r.a.Index(), "ff02::1", nil}},     // the zone decides
		{"inet6", "fe80::2%none", answer{err: netstack.ErrNotFound}},    // no such interface
		{"inet6", "fe80::2%lo", answer{err: netstack.ErrNotFound}},      // not by the loopback interface
		{"inet6", "fd00:2::2%a", answer{r.b.Index(), "fd00:2::2", nil}}, // a zone means nothing to it
		{"inet6", "ff02::1", answer{err: netstack.ErrNotFound}},         // which link?
		{"inet6", "::", answer{err: netstack.ErrNotFound}},
		{"inet6", "10.0.1.2", answer{err: netstack.ErrInvalid}},        // the other family
		{"inet6", "::ffff:10.0.1.2", answer{err: netstack.ErrInvalid}}, // the other family in disguise
		{"inet6", "::ffff:10.0.1.2%a", answer{err: netstack.ErrInvalid}},
		{"inet6", "2001:db8::1", answer{err: netstack.ErrNotFound}}, // no route
	} {
		t.Run(c.family+" "+c.dst, func(t *testing.T) {
			var dst netip.Addr
			if c.dst != "" {
				dst = netip.MustParseAddr(c.dst)
			}
			nic, next, err := lookUp(t, r.Instance, c.family).RouteTo(dst)
			got := answer{nic, "", err}
			if next.IsValid() {
				got.next = next.String()
			}
			if got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	// A default route does not make what must not be sent go anywhere.
	if err := r.AddRoutes(netstack.Route{Destination: netip.MustParsePrefix("0.0.0.0/0"), Interface: "b"}, netstack.Route{Destination: netip.MustParsePrefix("::/0"), Interface: "b"}); err != nil {
		t.Fatal(err)
	}
	for dst, want := range map[string]error{"255.255.255.255": netstack.ErrNotFound, "0.0.0.0": netstack.ErrNotFound, "192.0.2.1": nil} {
		if _, _, err := lookUp(t, r.Instance, "inet").RouteTo(netip.MustParseAddr(dst)); err != want {
			t.Errorf("%s with a default route: %v, want %v", dst, err, want)
		}
	}
}

// What RouteTo says is where a packet goes.
func TestRouteToAgreesWithThePath(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	inet := lookUp(t, r.Instance, "inet")
	said := make(chan uint32, 1)
	register(t, r.Instance, packet.Inet, packet.PhysicalIn, packet.Hook{Name: "ask", Func: func(c *packet.Context) hooks.Verdict {
		nic, _, err := inet.RouteTo(c.Packet.Destination())
		if err != nil {
			t.Error(err)
		}
		said <- nic
		return hooks.Accept
	}})
	went := make(chan uint32, 1)
	register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "see", Func: func(c *packet.Context) hooks.Verdict {
		went <- c.Out
		return hooks.Accept
	}})
	r.left.send(udp(t, left4, right4, 64, nil))
	r.right.receive()
	if said, went := <-said, <-went; said != went || went != r.b.Index() {
		t.Errorf("said %d, went %d", said, went)
	}
}

// The whole name, however long: there is no buffer to be too short.
func TestCase029_NameIsNeverCut(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	name := strings.Repeat("x", 15)
	f := addInterface(t, inst, netstack.InterfaceConfig{Name: name})
	for _, protocol := range []string{"inet", "inet6", "arp"} {
		if got, err := lookUp(t, inst, protocol).NICName(f.Index()); got != name || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// The rest of the accessors, on what is there.
func TestNetinfo(t *testing.T) {
	r := newRouterMTU(t, netstack.Config{ID: 42}, 1500, 9000, offloads)
	for _, name := range []string{"inet", "inet6"} {
		p := lookUp(t, r.Instance, name)
		for nic, want := range map[uint32]int{1: 65535, r.a.Index(): 1500, r.b.Index(): 9000} {
			for _, lif := range []uint32{0, 1} { // both are the first address
				if mtu, err := p.MTU(nic, lif); mtu != want || err != nil {
					t.Errorf("MTU %d, %v; want %d", mtu, err, want)
				}
				if zone, err := p.LIFZone(nic, lif); zone != 42 || err != nil {
					t.Errorf("zone %d, %v", zone, err)
				}
			}
		}
		if nic, err := p.NICByName("b"); nic != r.b.Index() || err != nil {
			t.Errorf("index %d, %v", nic, err)
		}
		if discovery, err := p.PathMTUDiscovery(); !discovery || err != nil {
			t.Errorf("path MTU discovery %v, %v", discovery, err)
		}
	}
	// An interface without addresses is one all the same.
	bare := addInterface(t, r.Instance, netstack.InterfaceConfig{Name: "bare", MTU: 1400})
	p := lookUp(t, r.Instance, "inet")
	if mtu, err := p.MTU(bare.Index(), 0); mtu != 1400 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	want := net.FlagUp | net.FlagRunning | net.FlagMulticast | net.FlagPointToPoint
	if flags, err := p.LIFFlags(bare.Index(), 0); flags != want || err != nil {
		t.Errorf("flags %v, %v; want %v", flags, err, want)
	}
}

// An interface that is down says so, and nothing is routed to it; its addresses stay the instance's own.
func TestNetinfoDown(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	p := lookUp(t, r.Instance, "inet6")
	zoned := netip.MustParseAddr("fe80::2%b")
	for _, up := range []bool{false, true} {
		if err := r.b.SetUp(up); err != nil {
			t.Fatal(err)
		}
		flags, err := p.LIFFlags(r.b.Index(), 1)
		if got := flags & (net.FlagUp | net.FlagRunning); err != nil || got != map[bool]net.Flags{true: net.FlagUp | net.FlagRunning}[up] {
			t.Errorf("up %v: flags %v, %v", up, flags, err)
		}
		for _, dst := range []netip.Addr{right6, zoned} {
			_, _, err := p.RouteTo(dst)
			if up && err != nil || !up && !errors.Is(err, netstack.ErrNotFound) {
				t.Errorf("up %v: route to %v: %v", up, dst, err)
			}
		}
		if nic, _, err := p.RouteTo(b6); nic != r.b.Index() || err != nil {
			t.Errorf("up %v: route to the own address by %d, %v", up, nic, err)
		}
	}
}

// What hooks may call allocates nothing, whether it succeeds or not.
func TestAccessorsDoNotAllocate(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, c := range []struct {
		name     string
		dst, far netip.Addr
	}{{"inet", right4, netip.MustParseAddr("192.0.2.1")}, {"inet6", right6, netip.MustParseAddr("2001:db8::1")}} {
		p := lookUp(t, r.Instance, c.name)
		zoned := netip.MustParseAddr("fe80::2%b")
		q := filled(t, udp(t, map[bool]netip.Addr{true: left4, false: left6}[c.dst.Is4()], c.dst, 64, nil))
		defer q.Release()
		q.Parse()
		nic := r.b.Index()
		for what, f := range map[string]func(){
			"NICName":          func() { p.NICName(nic); p.NICName(99) },
			"NICByName":        func() { p.NICByName("b"); p.NICByName("none") },
			"NextNIC":          func() { p.NextNIC(0); p.NextNIC(99) },
			"NICs":             func() { count(p.NICs()) },
			"NextLIF":          func() { p.NextLIF(nic, 0); p.NextLIF(99, 0) },
			"LIFs":             func() { count(p.LIFs(nic)) },
			"MTU":              func() { p.MTU(nic, 0); p.MTU(nic, 9) },
			"LIFAddresses":     func() { p.LIFAddresses(nic, 1); p.LIFAddresses(nic, 9) },
			"LIFFlags":         func() { p.LIFFlags(nic, 1); p.LIFFlags(nic, 9) },
			"LIFZone":          func() { p.LIFZone(nic, 1); p.LIFZone(nic, 9) },
			"RouteTo":          func() { p.RouteTo(c.dst); p.RouteTo(c.far); p.RouteTo(zoned) },
			"PathMTUDiscovery": func() { p.PathMTUDiscovery() },
			"ChecksumState":    func() { p.ChecksumState(q) },
			"ValidChecksum":    func() { p.ValidChecksum(q) },
			"InstanceID":       func() { p.InstanceID() },
			"Family":           func() { p.Family() },
		} {
			if allocs := testing.AllocsPerRun(100, f); allocs != 0 {
				t.Errorf("%s.%s allocates %v times", c.name, what, allocs)
			}
		}
	}
	p := lookUp(t, r.Instance, "inet")
	r.Shutdown()
	if allocs := testing.AllocsPerRun(100, func() { p.NICName(1); p.RouteTo(right4); p.Family() }); allocs != 0 {
		t.Errorf("after Shutdown: %v allocations", allocs)
	}
}

// Readers, and interfaces and addresses that come and go: what a reader is told fits together, and was true at some time.
func TestAccessorsRaceWithInterfaces(t *testing.T) {
	inst := newInstance(t, netstack.Config{})
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	var turns atomic.Uint64
	for _, name := range []string{"inet", "inet6"} {
		p := lookUp(t, inst, name)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				turns.Add(1)
				last := uint32(0)
				for nic := range p.NICs() {
					if nic <= last {
						t.Errorf("%d after %d", nic, last)
					}
					last = nic
					if _, err := p.NICName(nic); err != nil && err != netstack.ErrNotFound {
						t.Error(err)
					}
					if _, err := p.LIFFlags(nic, 0); err != nil && err != netstack.ErrNotFound {
						t.Error(err)
					}
					if mtu, err := p.MTU(nic, 0); err == nil && mtu != 1400 && mtu != 65535 {
						t.Errorf("MTU %d", mtu)
					}
					for lif := range p.LIFs(nic) {
						a, err := p.LIFAddresses(nic, lif)
						if err == nil && !a.Address.IsValid() {
							t.Error("an address that is none")
						}
						if err != nil || a.Address.IsLoopback() {
							continue
						}
						if to, _, err := p.RouteTo(a.Address); err == nil && to < nic {
							t.Errorf("%v of interface %d is routed to %d", a.Address, nic, to)
						}
					}
				}
				if last == 0 {
					t.Error("no loopback interface")
				}
			}
		})
	}
	for k := range 2 {
		writers.Go(func() {
			for range 50 {
				near, far := tun.Pair(tun.PairConfig{Names: [2]string{fmt.Sprint("net", k), "far"}})
				f, err := inst.AddInterface(near, netstack.InterfaceConfig{MTU: 1400, Addresses: prefixes(fmt.Sprintf("10.0.%d.1/24", k), fmt.Sprintf("fd00:%d::1/64", k))})
				if err != nil {
					t.Error(err)
					return
				}
				if err := errors.Join(f.Close(), far.Close()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	steady := addInterface(t, inst, netstack.InterfaceConfig{Name: "steady", MTU: 1400, Addresses: prefixes("10.0.9.1/24")})
	writers.Go(func() {
		for _, p := range slices.Repeat(prefixes("10.0.10.1/24", "fd00:10::1/64"), 50) {
			if err := errors.Join(steady.AddAddress(p), steady.SetUp(false), steady.SetUp(true), steady.RemoveAddress(p.Addr())); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	if turns.Load() == 0 {
		t.Error("nobody read anything")
	}
}
