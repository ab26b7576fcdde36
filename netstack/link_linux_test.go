// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A legged router has a TUN device in a namespace of its own on one side and a memory device on the other:
//
//	host [10.5.0.2/24] hn0 ---- tun [10.5.0.1/24]  instance  [10.0.2.1/24] b ---- right
type legged struct {
	*router
	ns   *hostnet.Namespace
	leg  *netstack.Interface
	log  *nicLog
	host netip.Addr
}

const legName = "hn0"

func openLeg(t *testing.T, ns *hostnet.Namespace) tun.Device {
	t.Helper()
	var dev tun.Device
	err := ns.Do(func() (err error) {
		dev, err = tun.Open(tun.Config{Name: legName})
		return err
	})
	hostnettest.Require(t, "a TUN device", err)
	return dev
}

func newLegged(t *testing.T) *legged {
	t.Helper()
	ns := hostnettest.Namespace(t)
	dev := openLeg(t, ns)
	inst := newInstance(t, netstack.Config{})
	r := &legged{router: &router{Instance: inst, t: t}, ns: ns, host: addr("10.5.0.2")}
	r.b, r.right = plug(t, inst, "b", "10.0.2.1/24")
	r.log = recordNICEvents(t, inst)
	leg, err := inst.AddInterface(dev, netstack.InterfaceConfig{Name: "tun", Addresses: prefixes("10.5.0.1/24")})
	must(t, err)
	r.leg = leg
	r.log.expect("inet PLUMB tun", "inet6 PLUMB tun") // the host's side is down
	r.configure()
	r.log.expectSoon("inet UP tun", "inet LIF_UP tun 1 10.5.0.1/24")
	return r
}

// configure sets the host's side up.
func (r *legged) configure() {
	r.t.Helper()
	must(r.t, r.ns.Configure(hostnet.LinkConfig{
		Name: legName, NoAutoconf: true,
		Addresses: []netip.Prefix{netip.PrefixFrom(r.host, 24)},
		Routes:    []hostnet.Route{{Destination: prefix("10.0.2.0/24"), Gateway: addr("10.5.0.1")}},
	}))
}

// expectSoon waits for events that are on their way from the kernel.
func (l *nicLog) expectSoon(want ...string) {
	l.t.Helper()
	eventually(l.t, "the NIC events", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.seen) >= len(want)
	})
	l.expect(want...)
}

// passes checks that packets pass from the host to the far end and back.
func (r *legged) passes() {
	r.t.Helper()
	var c net.PacketConn
	must(r.t, r.ns.Do(func() (err error) {
		c, err = net.ListenPacket("udp4", netip.AddrPortFrom(r.host, 1000).String())
		return err
	}))
	defer c.Close()
	_, err := c.WriteTo([]byte("there"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(right4, 4321)))
	must(r.t, err)
	r.right.receive()
	back := udp(r.t, right4, r.host, 64, []byte("back"))
	back[22], back[23] = 1000>>8, 1000&0xff
	back[26], back[27] = 0, 0 // no checksum
	r.right.send(back)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, _, err := c.ReadFrom(make([]byte, 10)); err != nil {
		r.t.Errorf("nothing came back: %v", err)
	}
}

// What happens to the host's side of a TUN device is reflected: down and up, MTU, another name.
func TestHostSideOfTUN(t *testing.T) {
	r := newLegged(t)
	r.passes()

	must(t, r.ns.SetUp(legName, false))
	r.log.expectSoon("inet LIF_DOWN tun 1 10.5.0.1/24", "inet DOWN tun")
	if s := r.leg.State(); s.Running() || s.Carrier || !s.Up || s.Gone {
		t.Errorf("down on the host: %+v", s)
	}
	before := r.settled(0).Drops["interface_down"]
	r.right.send(udp(t, right4, r.host, 64, nil))
	eventually(t, "a counted drop", func() bool { return r.Stats().Drops["interface_down"] == before+1 })
	r.configure()
	r.log.expectSoon("inet UP tun", "inet LIF_UP tun 1 10.5.0.1/24")
	r.passes()

	must(t, r.ns.Configure(hostnet.LinkConfig{Name: legName, MTU: 1400}))
	eventually(t, "the host's MTU", func() bool { return r.leg.MTU() == 1400 })
	must(t, r.ns.RenameLink(legName, "hn1"))
	eventually(t, "the host's name", func() bool { return r.leg.State().Host.Name == "hn1" })
	if r.leg.Name() != "tun" {
		t.Errorf("the interface is called %s", r.leg.Name())
	}
	r.log.expect()
	r.passes()

	there := hostnettest.Namespace(t)
	must(t, r.ns.MoveLink("hn1", there)) // arrives down
	r.log.expectSoon("inet LIF_DOWN tun 1 10.5.0.1/24", "inet DOWN tun")
	r.ns = there
	must(t, there.RenameLink("hn1", legName))
	r.configure()
	r.log.expectSoon("inet UP tun", "inet LIF_UP tun 1 10.5.0.1/24")
	r.passes()
	r.settled(0)
}

// The first packet behind a host's "up" finds the way there and back, whatever the watcher knows by then.
func TestFirstPacketAfterHostUp(t *testing.T) {
	r := newLegged(t)
	for range 20 {
		must(t, r.ns.SetUp(legName, false))
		r.configure()
		r.passes()
	}
}

// A TUN device that is deleted under traffic is a DOWN and counted drops; a new one takes its place on request, and
// sockets go on.
func TestTUNDeletedUnderTraffic(t *testing.T) {
	r := newLegged(t)
	u, err := r.ListenPacket("udp", "10.5.0.1:7")
	must(t, err)
	defer u.Close()
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		b := udp(t, right4, r.host, 64, nil)
		for {
			select {
			case <-stop:
				return
			case p := <-r.right.seen: // ICMP errors
				p.Release()
			default:
				p := packet.Get(len(b))
				_ = p.Fill(b)
				_, _ = r.right.dev.Write(0, []*packet.Packet{p}) // full at times
				p.Release()
				_, _ = u.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.host, 9)))
			}
		}
	})
	for range 3 {
		eventually(t, "traffic", func() bool {
			n := r.leg.Stats().SentPackets
			time.Sleep(time.Millisecond)
			return r.leg.Stats().SentPackets > n
		})
		must(t, r.ns.DeleteLink(legName))
		eventually(t, "the device is gone", func() bool { return r.leg.State().Gone })
		r.log.expectSoon("inet LIF_DOWN tun 1 10.5.0.1/24", "inet DOWN tun")
		before := r.Stats().Drops["no_route"]
		eventually(t, "counted drops", func() bool { return r.Stats().Drops["no_route"] > before })

		must(t, r.leg.ReplaceDevice(openLeg(t, r.ns)))
		r.configure()
		r.log.expectSoon("inet UP tun", "inet LIF_UP tun 1 10.5.0.1/24")
	}
	close(stop)
	traffic.Wait()
	r.settled(0)
	for len(r.right.seen) > 0 {
		(<-r.right.seen).Release()
	}
	r.passes()
	s := r.settled(0)
	if s.Drops["interface_down"]+s.Drops["no_route"] == 0 {
		t.Errorf("stats: %+v", s)
	}
}
