// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A router is one under test, between two hosts that the test plays itself:
//
//	ends[left] ---- left [router] right ---- ends[right]
//	10.0.1.0/24                              10.0.2.0/24
//	fd00:1::/64        MTU 1500  1400        fd00:2::/64
//
// hooknet's devices are in a namespace each, and the ends are AF_PACKET sockets there. The kernel's are in one namespace,
// and the ends are the programs behind its TUN devices. Either way the router gets the IP packets that the test sends, and
// nothing else.
type router struct {
	system   string
	ends     [2]end
	instance *netstack.Instance // nil: it is the kernel, in namespace
	gso      bool               // it writes superpackets

	namespace *testbed.Namespace

	sent    uint64         // packets that the devices have taken
	counted netstack.Stats // before the case that runs
	marker  uint32
}

// send sends a packet to the router from a side. What is neither IPv4 nor IPv6 some devices refuse: the router has not
// received it then.
func (r *router) send(t *testing.T, from side, b []byte) {
	t.Helper()
	if err := r.ends[from].Send(b); err == nil {
		r.sent++
	} else if r.instance != nil && !errors.Is(err, tun.ErrRefused) {
		t.Fatal(err)
	}
}

// An end is the test's end of a link, as a testbed.Tap is.
type end interface {
	Send(b []byte) error
	Receive(within time.Duration) ([]byte, error)
}

type side int

const (
	left side = iota
	right
)

func (s side) String() string { return [...]string{"left", "right"}[s] }

// A routerKind is a configuration that cases may ask for.
type routerKind struct {
	name             string
	host             bool // no forwarding
	sourceValidation netstack.SourceValidation
	limits           bool // Linux limits its ICMP errors, as hooknet always does
}

var routerKinds = []routerKind{
	{name: ""},
	{name: "host", host: true},
	{name: "strict", sourceValidation: netstack.SourceValidationStrict},
	{name: "loose", sourceValidation: netstack.SourceValidationLoose},
	{name: "limits", limits: true},
}

// The routes of all routers besides their connected ones.
var (
	routeUnreachable = testbed.Prefixes("198.51.100.0/26", "2001:db8:1::/64")
	routeProhibit    = testbed.Prefixes("198.51.100.64/26", "2001:db8:2::/64")
	routeBlackhole   = testbed.Prefixes("198.51.100.128/26", "2001:db8:3::/64")
	routeRight       = testbed.Prefixes("169.254.0.0/16")
	routeLeft        = testbed.Prefixes("fd00:9::/32")
	routeNarrow      = testbed.Prefixes("198.51.100.192/26", "2001:db8:4::/64") // to the right, of MTU narrowMTU
)

const (
	leftMTU, rightMTU, narrowMTU = 1500, 1400, 1300
)

// systems are what is tested.
var systems = []struct {
	name  string
	build func(t *testing.T, kind routerKind) *router
}{
	{"hooknet", func(t *testing.T, k routerKind) *router {
		return newHooknet(t, k, testbed.LinkConfig{Driver: tun.DriverLinux})
	}},
	{"hooknet without offload", func(t *testing.T, k routerKind) *router {
		return newHooknet(t, k, testbed.LinkConfig{Driver: tun.DriverLinux, NoOffload: true})
	}},
	{"hooknet on water", func(t *testing.T, k routerKind) *router {
		return newHooknet(t, k, testbed.LinkConfig{Driver: tun.DriverWater})
	}},
	{"hooknet in memory", newMemory},
	{"linux", newLinux},
}

var routerAddresses = [2][]netip.Prefix{
	testbed.Prefixes(testbed.Left4+"/24", testbed.Left6+"/64", "fe80::1:1/64"),
	testbed.Prefixes(testbed.Right4+"/24", testbed.Right6+"/64", "fe80::2:1/64"),
}

// newHooknet makes a router of hooknet. The hosts' kernels have no addresses and no IPv6: they say nothing.
func newHooknet(t *testing.T, kind routerKind, link testbed.LinkConfig) *router {
	t.Helper()
	bed := testbed.New(t)
	r := &router{system: "hooknet", gso: link.Driver == tun.DriverLinux && !link.NoOffload, instance: bed.Instance(netstack.Config{Name: "router", DisableForwarding: kind.host})}
	for i, mtu := range []int{leftMTU, rightMTU} {
		host := bed.Namespace(side(i).String())
		host.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
		link.Name, link.MTU, link.Router = side(i).String(), mtu, routerAddresses[i]
		if err := bed.Link(host, r.instance, link).Interface.SetSourceValidation(kind.sourceValidation); err != nil {
			t.Fatal(err)
		}
		r.ends[i] = host.Tap(t, testbed.TapConfig{Device: link.Name})
	}
	r.addRoutes(t)
	return r
}

// addRoutes gives hooknet the routes of all routers.
func (r *router) addRoutes(t *testing.T) {
	t.Helper()
	var routes []netstack.Route
	for typ, prefixes := range map[netstack.RouteType][]netip.Prefix{
		netstack.Unreachable: routeUnreachable, netstack.Prohibit: routeProhibit, netstack.Blackhole: routeBlackhole,
	} {
		for _, p := range prefixes {
			routes = append(routes, netstack.Route{Destination: p, Type: typ})
		}
	}
	for s, prefixes := range [][]netip.Prefix{routeLeft, routeRight} {
		for _, p := range prefixes {
			routes = append(routes, netstack.Route{Destination: p, Interface: side(s).String()})
		}
	}
	for _, p := range routeNarrow {
		routes = append(routes, netstack.Route{Destination: p, Interface: right.String(), MTU: narrowMTU})
	}
	if err := r.instance.AddRoutes(routes...); err != nil {
		t.Fatal(err)
	}
}

// newMemory makes a router of hooknet on devices in memory.
func newMemory(t *testing.T, kind routerKind) *router {
	t.Helper()
	r := &router{system: "hooknet", instance: testbed.New(t).Instance(netstack.Config{Name: "router", DisableForwarding: kind.host})}
	for i, mtu := range []int{leftMTU, rightMTU} {
		name := side(i).String()
		near, far := tun.Pair(tun.PairConfig{Names: [2]string{name, "far-" + name}})
		r.ends[i] = newMemoryEnd(t, far)
		if _, err := r.instance.AddInterface(near, netstack.InterfaceConfig{
			Name: name, MTU: mtu, Addresses: routerAddresses[i], SourceValidation: kind.sourceValidation,
		}); err != nil {
			t.Fatal(err)
		}
	}
	r.addRoutes(t)
	return r
}

// A memoryEnd is an end on a device in memory.
type memoryEnd struct {
	dev  tun.Device
	seen chan []byte
}

func newMemoryEnd(t *testing.T, dev tun.Device) *memoryEnd {
	e := &memoryEnd{dev: dev, seen: make(chan []byte, 4096)}
	var reader sync.WaitGroup
	reader.Go(func() {
		batch := make([]*packet.Packet, 32)
		for {
			n, err := dev.Read(0, batch)
			for i, p := range batch[:n] {
				e.seen <- slices.Clone(p.Bytes())
				p.Release()
				batch[i] = nil
			}
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = dev.Close()
		reader.Wait()
	})
	return e
}

func (e *memoryEnd) Send(b []byte) error {
	p := packet.Get(len(b))
	defer p.Release()
	if err := p.Fill(b); err != nil {
		return err
	}
	_, err := e.dev.Write(0, []*packet.Packet{p})
	return err
}

func (e *memoryEnd) Receive(within time.Duration) ([]byte, error) {
	select {
	case b := <-e.seen:
		return b, nil
	case <-time.After(within):
		return nil, testbed.ErrNothing
	}
}

// newLinux makes a router of the kernel. Its parameters are their defaults, but for those that would make it answer now and
// not then, or refuse sources that hooknet is not asked to refuse.
func newLinux(t *testing.T, kind routerKind) *router {
	t.Helper()
	n := testbed.New(t).Namespace("router")
	r := &router{system: "linux", namespace: n}
	for i, mtu := range []int{leftMTU, rightMTU} {
		name := side(i).String()
		r.ends[i] = n.OpenTUN(t, name)
		n.SetUp(name, mtu, routerAddresses[i]...)
		n.Sysctl("net/ipv4/conf/"+name+"/rp_filter", strconv.Itoa(int(kind.sourceValidation))) // 0: off, 1: strict, 2: loose
	}
	n.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	if !kind.limits {
		n.Sysctl("net/ipv4/icmp_ratemask", "0")
		n.Sysctl("net/ipv6/icmp/ratelimit", "0")
	}
	if !kind.host {
		n.Forward()
	}
	const unreachable, blackhole, prohibit = 7, 6, 8 // RTN_UNREACHABLE and so on
	if err := n.Do(func() error {
		var index [2]int
		for s := range index {
			link, err := netlink.LinkByName(side(s).String())
			if err != nil {
				return err
			}
			index[s] = link.Attrs().Index
		}
		var err error
		for typ, prefixes := range map[int][]netip.Prefix{unreachable: routeUnreachable, prohibit: routeProhibit, blackhole: routeBlackhole} {
			for _, p := range prefixes {
				err = errors.Join(err, netlink.RouteAdd(&netlink.Route{Dst: ipNet(p), Type: typ}))
			}
		}
		for s, prefixes := range [][]netip.Prefix{routeLeft, routeRight} {
			for _, p := range prefixes {
				err = errors.Join(err, netlink.RouteAdd(&netlink.Route{Dst: ipNet(p), LinkIndex: index[s]}))
			}
		}
		for _, p := range routeNarrow {
			err = errors.Join(err, netlink.RouteAdd(&netlink.Route{Dst: ipNet(p), LinkIndex: index[right], MTU: narrowMTU}))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// A received packet is one that came out of the router.
type received struct {
	side  side
	bytes []byte
}

// exchange sends the packets of a case and returns everything that comes of them: what both hosts receive, and what
// hooknet's counters rise by, in the words of a conformance.
func (r *router) exchange(t *testing.T, c *conformance) (seen []received, counted string) {
	t.Helper()
	from := left
	if c.reverse {
		from = right
	}
	before := r.sent
	for _, p := range c.in {
		r.send(t, from, p)
	}
	refused := r.sent == before
	// Once its books balance, hooknet has written all there is to write. The kernel had when Send returned.
	r.settle(t)
	for s := range r.ends {
		seen = append(seen, r.drain(t, side(s))...)
	}
	if r.instance == nil {
		return seen, ""
	}
	after := r.settle(t)
	without := after
	without.Delivered -= uint64(len(r.ends)) // the echo requests of drain
	counted = increase(r.counted, without)
	r.counted = after
	if refused {
		counted = c.counted // there was nothing to count
	}
	return seen, counted
}

// drain returns what the router has sent to a side: until it answers an echo request, which comes behind it all.
func (r *router) drain(t *testing.T, s side) (seen []received) {
	t.Helper()
	r.marker++
	request := marker(s, r.marker)
	r.send(t, s, request)
	for {
		b, err := r.ends[s].Receive(5 * time.Second)
		if err != nil {
			t.Fatalf("the router does not answer %v any more: %v", s, err)
		}
		if isEchoReply(b, request) {
			return seen
		}
		if !isGroupReport(b) {
			seen = append(seen, received{s, b})
		}
	}
}

// settle waits until hooknet has received all that was sent, and its books balance.
func (r *router) settle(t *testing.T) (s netstack.Stats) {
	t.Helper()
	if r.instance == nil {
		return s
	}
	for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(50 * time.Microsecond) {
		s = r.instance.Stats()
		if s.Received == r.sent && s.Balance() == nil {
			return s
		}
	}
	t.Fatalf("received %d packets, want %d; %v", s.Received, r.sent, s.Balance())
	return s
}

// increase says what has become of the packets between two looks at the counters.
func increase(before, after netstack.Stats) string {
	var words []string
	add := func(word string, before, after uint64) {
		for range after - before {
			words = append(words, word)
		}
	}
	add("delivered", before.Delivered, after.Delivered)
	add("forwarded", before.Forwarded, after.Forwarded)
	add("split", before.Split, after.Split)
	for reason := range after.Drops {
		add(reason, before.Drops[reason], after.Drops[reason])
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

// marker is an echo request to the router's address on a side.
func marker(s side, number uint32) []byte {
	from, to := "10.0.1.250", testbed.Left4
	if s == right {
		from, to = "10.0.2.250", testbed.Right4
	}
	data := fmt.Appendf(nil, "marker %08x.", number)
	return ipv4(all(func(b []byte) []byte { return append(b[:20], echo4(8, data)...) }, size(28+len(data)), set(9, 1), from4(from), to4(to)))
}

// echo4 is an ICMP message with an identifier and a sequence number: 8 for a request, 0 for the reply.
func echo4(typ byte, data []byte) []byte {
	b := append([]byte{typ, 0, 0, 0, 0x12, 0x34, 0, 1}, data...)
	binary.BigEndian.PutUint16(b[2:], ^onesSum(b))
	return b
}

// isEchoReply reports whether b answers the ICMP echo request: its identifier, number and data, the addresses reversed, or
// from any if it was to a group.
func isEchoReply(b, request []byte) bool {
	if len(b) < 28 || len(request) < 28 || b[0]>>4 != 4 || b[9] != 1 || request[9] != 1 {
		return false
	}
	reply, asked := b[int(b[0]&15)*4:], request[int(request[0]&15)*4:]
	return reply[0] == 0 && asked[0] == 8 && bytes.Equal(reply[4:], asked[4:]) &&
		(bytes.Equal(b[12:16], request[16:20]) || request[16]&0xf0 == 0xe0) && bytes.Equal(b[16:20], request[12:16])
}

// isGroupReport holds for what a kernel says of its own accord: IGMP and MLD reports.
func isGroupReport(b []byte) bool {
	return len(b) >= 20 && b[0]>>4 == 4 && b[9] == 2 ||
		len(b) > 48 && b[0]>>4 == 6 && b[6] == 0 && b[40] == 58 && (b[48] == 143 || b[48] == 131)
}
