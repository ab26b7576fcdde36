// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/router"
	"github.com/hooknet/hooknet/netstack"
)

// Sources are validated unless the file says otherwise: red has an address that no route leads back to.
func TestSourceValidation(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	for kind, counted := range map[config.SourceValidation]string{
		config.SourceStrict: "reverse_path", config.SourceLoose: "reverse_path",
		config.SourceOff: "no_route", // of blue's answer: port unreachable
	} {
		t.Run(kind.String(), func(t *testing.T) {
			file := parse(t, between, red, blue)
			left := &file.Instances[0].Interfaces[0]
			if left.SourceValidation != config.SourceStrict {
				t.Errorf("the default is %v", left.SourceValidation)
			}
			left.SourceValidation = kind
			left.Host.Addresses = append(left.Host.Addresses, netip.MustParsePrefix("192.0.2.1/32"))
			r := open(t, file, router.Config{})
			defer r.Close()
			instance := only(t, r)
			red.ping("10.0.2.2", "10.0.1.1", "fd00:2::2")
			before := instance.Stats()
			if n := before.Drops["reverse_path"]; n != 0 {
				t.Errorf("%d packets of honest sources were dropped", n)
			}
			red.send(net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}}, "10.0.2.2:9")
			testbed.Eventually(t, func() string {
				if s := instance.Stats(); s.Drops[counted] == 0 {
					return fmt.Sprintf("the packet is not accounted for: %+v, before %+v", s, before)
				}
				return ""
			})
		})
	}
}

// What the file says of interfaces and of ends of cables reaches them.
func TestGuards(t *testing.T) {
	requireTUN(t)
	r := open(t, parse(t, `
instances:
  - name: a
  - name: b
cables:
  - ends:
      - {instance: a, interface: x}
      - {instance: b, interface: x, source_validation: loose}
  - ends:
      - {instance: a, interface: y, source_validation: off}
      - {instance: b, interface: y}
`), router.Config{})
	got := make(map[string]netstack.SourceValidation)
	for instance := range r.Instances() {
		for f := range instance.Interfaces() {
			if f.Name() != "lo" {
				got[instance.Name()+"."+f.Name()] = f.SourceValidation()
			}
		}
	}
	for end, want := range map[string]netstack.SourceValidation{
		"a.x": netstack.SourceValidationStrict, "b.x": netstack.SourceValidationLoose,
		"a.y": netstack.SourceValidationOff, "b.y": netstack.SourceValidationStrict,
	} {
		if got[end] != want {
			t.Errorf("%s: %v, want %v", end, got[end], want)
		}
	}
}

// only returns the one instance of a router.
func only(t *testing.T, r *router.Router) *netstack.Instance {
	t.Helper()
	for instance := range r.Instances() {
		return instance
	}
	t.Fatal("no instance")
	return nil
}
