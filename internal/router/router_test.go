// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/router"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// between joins two hosts: red 10.0.1.2 and fd00:1::2, blue 10.0.2.2 and fd00:2::2.
const between = `
instances:
  - name: r1
    interfaces:
      - name: left
        device: hn-red
        mtu: 1400
        addresses: [10.0.1.1/24, "fd00:1::1/64"]
        host:
          namespace: RED
          addresses: [10.0.1.2/24, "fd00:1::2/64"]
          routes:
            - {to: default, via: 10.0.1.1}
            - {to: default, via: "fd00:1::1"}
      - name: right
        addresses: [10.0.2.1/24, "fd00:2::1/64"]
        host:
          namespace: BLUE
          addresses: [10.0.2.2/24, "fd00:2::2/64"]
          routes: [{to: default}]
`

// Traffic of both families passes between two hosts, and everything is gone afterwards.
func TestTwoHosts(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	file := parse(t, between, red, blue)
	for driver, says := range map[config.Driver]string{
		config.DriverAuto: "linux driver", config.DriverLinux: "linux driver", config.DriverWater: "water driver",
	} {
		t.Run(driver.String(), func(t *testing.T) {
			for i := range file.Instances[0].Interfaces {
				file.Instances[0].Interfaces[i].Driver = driver
				file.Instances[0].Interfaces[i].Offload = driver != config.DriverWater
			}
			before := take(t, red, blue)
			r := open(t, file, router.Config{})
			for instance := range r.Instances() {
				for f := range instance.Interfaces() {
					if f.Device() != nil && !strings.Contains(fmt.Sprint(f.Device()), says) {
						t.Errorf("interface %s: %v, want the %s", f.Name(), f.Device(), says)
					}
				}
			}
			red.ping("10.0.2.2", "fd00:2::2", "10.0.2.1", "fd00:1::1")
			exchange(t, red, blue, "10.0.2.2")
			exchange(t, blue, red, "fd00:1::2")
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			take(t, red, blue).sameAs(t, before)
			if err := r.Close(); err != nil {
				t.Errorf("closed twice: %v", err)
			}
			for instance := range r.Instances() {
				if s := instance.Stats(); instance.Name() != "r1" || s.Forwarded == 0 {
					t.Errorf("instance %s: %+v", instance.Name(), s)
				}
			}
		})
	}
}

// The host's side is as the file says, and nothing is there that the file does not say.
func TestHostSide(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	open(t, parse(t, between, red, blue), router.Config{})
	got, err := red.Link("hn-red")
	if err != nil {
		t.Fatal(err)
	}
	want := hostnet.Link{
		Name: "hn-red", Type: "tuntap", MTU: 1400, TxQueueLen: 2000, Up: true,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.2/24"), netip.MustParsePrefix("fd00:1::2/64")},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreFields(want, "Index")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Devices are opened as the file says.
func TestDevices(t *testing.T) {
	red := newHost(t)
	var got []tun.Config
	open(t, parse(t, `
instances:
  - name: r
    interfaces:
      - {name: a, host: {namespace: RED}}
      - {name: b, device: hn-b, driver: linux, queues: 2, coalesce: false, host: {namespace: RED}}
      - {name: c, driver: linux, offload: false, host: {namespace: RED}}
      - {name: d, driver: water, host: {namespace: RED}}
`, red), router.Config{OpenDevice: func(cfg tun.Config) (tun.Device, error) {
		got = append(got, cfg)
		return tun.Open(cfg)
	}})
	want := []tun.Config{
		{Name: "a", Queues: 1},
		{Name: "hn-b", Driver: tun.DriverLinux, Queues: 2, NoCoalesce: true},
		{Name: "c", Driver: tun.DriverLinux, Queues: 1, NoOffload: true, NoCoalesce: true},
		{Name: "d", Driver: tun.DriverWater, Queues: 1, NoOffload: true, NoCoalesce: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmpopts.IgnoreFields(tun.Config{}, "Logger")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Routes are as the file says; of those to one destination the lowest metric is in force.
func TestRoutes(t *testing.T) {
	r := open(t, parse(t, `
instances:
  - name: r
    routes:
      - {to: 10.66.0.0/16, type: prohibit, metric: 2147483647}
      - {to: 10.66.0.0/16, type: blackhole, metric: 7}
      - {to: "fd00:66::/32", type: unreachable}
`), router.Config{})
	got := make(map[string]netstack.RouteType)
	for route := range only(t, r).Routes() {
		if route.Type != netstack.Unicast {
			got[fmt.Sprint(route.Destination, " metric ", route.Metric)] = route.Type
		}
	}
	want := map[string]netstack.RouteType{
		"10.66.0.0/16 metric 7": netstack.Blackhole, "fd00:66::/32 metric 0": netstack.Unreachable,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Three instances in a row; the one in the middle has no device at all.
func TestCables(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	before := take(t, red, blue)
	r := open(t, parse(t, `
instances:
  - name: a
    interfaces:
      - name: hn0
        addresses: [10.0.1.1/24, "fd00:1::1/64"]
        host: {namespace: RED, addresses: [10.0.1.2/24, "fd00:1::2/64"], routes: [{to: default}]}
    routes: [{to: default, interface: to-b}]
  - name: b
    routes:
      - {to: 10.0.1.0/24, via: 10.8.0.1}
      - {to: 10.0.2.0/24, via: 10.9.0.2}
      - {to: "fd00:1::/64", interface: to-a}
      - {to: "fd00:2::/64", interface: to-c}
      - {to: 10.66.0.0/16, type: prohibit}
  - name: c
    interfaces:
      - name: hn0
        addresses: [10.0.2.1/24, "fd00:2::1/64"]
        host: {namespace: BLUE, addresses: [10.0.2.2/24, "fd00:2::2/64"], routes: [{to: default}]}
    routes: [{to: default, interface: to-b, mtu: 1300}]
cables:
  - ends:
      - {instance: a, interface: to-b, addresses: [10.8.0.1/30, "fd00:8::1/64"]}
      - {instance: b, interface: to-a, addresses: [10.8.0.2/30, "fd00:8::2/64"]}
  - mtu: 1400
    ends:
      - {instance: b, interface: to-c, addresses: [10.9.0.1/30, "fd00:9::1/64"]}
      - {instance: c, interface: to-b, addresses: [10.9.0.2/30, "fd00:9::2/64"]}
`, red, blue), router.Config{})
	red.ping("10.0.2.2", "fd00:2::2", "10.8.0.2", "10.9.0.2")
	exchange(t, red, blue, "10.0.2.2")
	exchange(t, blue, red, "fd00:1::2")

	named := make(map[string]*netstack.Instance)
	for instance := range r.Instances() {
		named[instance.Name()] = instance
	}
	if f, ok := named["b"].Interface("to-c"); !ok || f.MTU() != 1400 {
		t.Errorf("interface to-c of b: %v", f)
	}
	types := make(map[netstack.RouteType]int)
	for route := range named["b"].Routes() {
		types[route.Type]++
	}
	if types[netstack.Prohibit] != 1 {
		t.Errorf("routes of b by type: %v", types)
	}
	for route := range named["c"].Routes() {
		if route.Destination.Bits() == 0 && route.MTU != 1300 {
			t.Errorf("default route of c: %+v", route)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	take(t, red, blue).sameAs(t, before)
}

// Without a host side the device is brought up, in the namespace that Open is called in.
func TestCurrentNamespace(t *testing.T) {
	here := newHost(t)
	file := parse(t, `
instances:
  - name: r1
    interfaces:
      - name: hn0
        queues: 2
        offload: false
        addresses: [10.0.1.1/24]
`)
	if err := here.Do(func() error {
		r := open(t, file, router.Config{})
		link, err := here.Link("hn0")
		if err != nil || !link.Up || len(link.Addresses) != 0 {
			t.Errorf("%+v, %v", link, err)
		}
		for instance := range r.Instances() {
			f, ok := instance.Interface("hn0")
			if !ok || f.Device().Queues() != 2 || f.Device().Features() != 0 {
				t.Errorf("%v: want 2 queues and no offload", f.Device())
			}
		}
		return r.Close()
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Link("hn0"); err == nil {
		t.Error("the device is still there")
	}
}

// A device that is deleted costs its interface, and one line in the log.
func TestDeviceDeleted(t *testing.T) {
	for _, driver := range []config.Driver{config.DriverLinux, config.DriverWater} {
		t.Run(driver.String(), func(t *testing.T) {
			red, blue := newHost(t), newHost(t)
			file := parse(t, between, red, blue)
			for i := range file.Instances[0].Interfaces {
				file.Instances[0].Interfaces[i].Driver = driver
				file.Instances[0].Interfaces[i].Offload = driver == config.DriverLinux
			}
			journal := newJournal()
			open(t, file, router.Config{Logger: journal.logger()})
			red.ping("10.0.2.2")
			if err := red.DeleteLink("hn-red"); err != nil {
				t.Fatal(err)
			}
			journal.await(t, "level=WARN")
			blue.ping("10.0.2.1", "10.0.1.1", "fd00:1::1")
			got := journal.lines("level=WARN")
			if len(got) != 1 || !strings.Contains(got[0], "instance=r1 interface=left") {
				t.Errorf("log: %q", got)
			}
		})
	}
}

// Who asked for offload and does not get it is told, with the reason the driver gives.
func TestNoOffloadIsToldOf(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	journal := newJournal()
	open(t, parse(t, between, red, blue), router.Config{
		Logger: journal.logger(),
		OpenDevice: func(cfg tun.Config) (tun.Device, error) {
			cfg.Driver = tun.DriverWater // as auto does on a kernel without virtio-net header
			return tun.Open(cfg)
		},
	})
	red.ping("10.0.2.2")
	got := journal.lines("no offload")
	if len(got) != 2 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[0], `device="hn-red: water driver on linux`) {
		t.Errorf("log: %q", got)
	}
}

// A network that the host has on another link too is worth a warning: it may be meant, as two uplinks are.
func TestOverlapIsToldOf(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	if err := red.AddVeth("uplink", red.Namespace, "other-end"); err != nil {
		t.Fatal(err)
	}
	if err := red.Configure(hostnet.LinkConfig{Name: "uplink", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.1.77/25")}}); err != nil {
		t.Fatal(err)
	}
	journal := newJournal()
	open(t, parse(t, between, red, blue), router.Config{Logger: journal.logger()})
	got := journal.lines("level=WARN")
	if len(got) != 1 || !strings.Contains(got[0], "address=10.0.1.2/24 device=uplink") {
		t.Errorf("log: %q", got)
	}
}
