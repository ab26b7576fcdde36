// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/router"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// refused tries to open a router, wants an error, and wants everything to be as it was.
func refused(t *testing.T, ctx context.Context, file *config.Config, cfg router.Config, hosts ...host) error {
	t.Helper()
	requireTUN(t)
	before := take(t, hosts...)
	r, err := router.Open(ctx, file, cfg)
	if err == nil {
		t.Error("no error")
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	take(t, hosts...).sameAs(t, before)
	return err
}

// Whatever goes wrong, and however late: the error says where, what and what to do, and nothing is left.
func TestRefusals(t *testing.T) {
	tunGone := errors.New("no device today")
	for name, test := range map[string]struct {
		spoil func(t *testing.T, red, blue host, file *config.Config, cfg *router.Config)
		want  string // of the error; RED and BLUE stand for hosts
		is    error
	}{
		"namespace missing": {
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances[0].Interfaces[1].Host.Namespace = "hnrouter-nowhere"
			},
			want: "router.yaml:18:11: interface right of instance r1: there is no network namespace hnrouter-nowhere;" +
				" make it: ip netns add hnrouter-nowhere",
			is: fs.ErrNotExist,
		},
		"device taken": {
			spoil: func(t *testing.T, _, blue host, _ *config.Config, _ *router.Config) {
				if err := blue.AddVeth("right", blue.Namespace, "other"); err != nil {
					t.Fatal(err)
				}
			},
			want: "router.yaml:15:9: interface right of instance r1: there is a device right in namespace BLUE already (veth);" +
				" give the interface another one (device: NAME)",
			is: syscall.EEXIST,
		},
		"TUN device taken": {
			spoil: func(t *testing.T, red, _ host, _ *config.Config, _ *router.Config) {
				if err := red.Do(func() error {
					other, err := tun.Open(tun.Config{Name: "hn-red"})
					if err == nil {
						t.Cleanup(func() { _ = other.Close() })
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
			},
			want: "router.yaml:5:9: interface left of instance r1: there is a device hn-red in namespace RED already (tuntap);" +
				" give the interface another one (device: NAME), end the program that has it, or remove it if none has:" +
				" ip -n RED link delete hn-red",
			is: syscall.EEXIST,
		},
		"routes taken": {
			spoil: func(t *testing.T, red, _ host, _ *config.Config, _ *router.Config) {
				if err := red.AddVeth("uplink", red.Namespace, "other"); err != nil {
					t.Fatal(err)
				}
				for _, device := range []string{"other", "uplink"} {
					link := hostnet.LinkConfig{Name: device}
					if device == "uplink" {
						link.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8::2/64")}
						link.Routes = []hostnet.Route{
							{Destination: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1")},
							{Destination: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("2001:db8::1")},
						}
					}
					if err := red.Configure(link); err != nil {
						t.Fatal(err)
					}
				}
				if err := red.WaitReady(t.Context(), "uplink"); err != nil {
					t.Fatal(err)
				}
			},
			want: "router.yaml:13:15: interface left of instance r1: there is a route to 0.0.0.0/0 in namespace RED already (by uplink)," +
				" which hooknet does not replace; place the device in another namespace (host: {namespace: NAME}), or give it narrower routes\n" +
				"router.yaml:14:15: interface left of instance r1: there is a route to ::/0 in namespace RED already (by uplink)," +
				" which hooknet does not replace; place the device in another namespace (host: {namespace: NAME}), or give it narrower routes",
			is: syscall.EEXIST,
		},
		"MTU": { // no file has it: package config refuses it
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances[0].Interfaces[1].MTU = 70000
			},
			want: "router.yaml:15:9: interface right of instance r1: netstack: add interface right: invalid: MTU 70000; expected 68 to 65535 bytes",
			is:   netstack.ErrInvalid,
		},
		"second device": {
			spoil: func(_ *testing.T, _, _ host, _ *config.Config, cfg *router.Config) {
				cfg.OpenDevice = func(cfg tun.Config) (tun.Device, error) {
					if cfg.Name == "right" {
						return nil, tunGone
					}
					return tun.Open(cfg)
				}
			},
			want: "router.yaml:15:9: interface right of instance r1: no device today",
			is:   tunGone,
		},
		"no IPv6 on the second host": {
			spoil: func(t *testing.T, _, blue host, _ *config.Config, _ *router.Config) {
				if err := blue.Sysctl("net/ipv6/conf/default/disable_ipv6", "1"); err != nil {
					t.Fatal(err)
				}
			},
			want: "router.yaml:18:11: interface right of instance r1: hostnet: namespace BLUE: device right: configure:" +
				" add address fd00:2::2/64: permission denied; is IPv6 switched off (net.ipv6.conf.all.disable_ipv6)?",
			is: fs.ErrPermission,
		},
		"gateway of the host": {
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances[0].Interfaces[1].Host.Routes[0].Gateway = netip.MustParseAddr("192.0.2.1")
			},
			want: "router.yaml:20:20: interface right of instance r1: hostnet: namespace BLUE: device right: configure:" +
				" add route 0.0.0.0/0 via 192.0.2.1: network is unreachable; the gateway must be in a subnet of one of the link's addresses",
			is: syscall.ENETUNREACH,
		},
		"instance": {
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances = append(file.Instances, config.Instance{Name: "r1"})
			},
			want: `instance r1: instances: create instance r1: already there: an instance of that name`,
			is:   netstack.ErrExists,
		},
		"cable": {
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances = append(file.Instances, config.Instance{Name: "r2"})
				file.Cables = []config.Cable{{
					Ends: [2]config.CableEnd{{Instance: "r2", Interface: "c0"}, {Instance: "r1", Interface: "left"}},
				}}
			},
			want: "cable from instance r2 to instance r1: netstack: add interface left: already there: an interface of that name",
			is:   netstack.ErrExists,
		},
		"route": {
			spoil: func(_ *testing.T, _, _ host, file *config.Config, _ *router.Config) {
				file.Instances[0].Routes = []config.Route{
					{Destination: netip.MustParsePrefix("10.9.0.0/16"), Interface: "left"},
					{Destination: netip.MustParsePrefix("10.8.0.0/16"), Interface: "middle"},
				}
			},
			want: `route to 10.8.0.0/16 of instance r1: netstack: add route 10.8.0.0/16: not found: no interface "middle" to route by`,
			is:   netstack.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			red, blue := newHost(t), newHost(t)
			file := parse(t, between, red, blue)
			var cfg router.Config
			test.spoil(t, red, blue, file, &cfg)
			err := refused(t, t.Context(), file, cfg, red, blue)
			if err == nil {
				return
			}
			got := strings.NewReplacer(red.String(), "RED", blue.String(), "BLUE").Replace(err.Error())
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			var e *router.Error
			if !errors.Is(err, test.is) || !errors.As(err, &e) {
				t.Errorf("%#v is no %v", err, test.is)
			}
		})
	}
}

// What can be known beforehand is known at once.
func TestAllRefusalsTogether(t *testing.T) {
	red := newHost(t)
	if err := red.AddVeth("hn-red", red.Namespace, "other"); err != nil {
		t.Fatal(err)
	}
	file := parse(t, between, red)
	file.Instances[0].Interfaces = append(file.Instances[0].Interfaces, file.Instances[0].Interfaces[1])
	file.Instances[0].Interfaces[2].Host.Namespace = "hnrouter-neither"
	err := refused(t, t.Context(), file, router.Config{}, red)
	if err == nil {
		return
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{"there is a device hn-red", "ip netns add BLUE", "ip netns add hnrouter-neither"} {
		if i >= len(lines) || !strings.Contains(lines[i], want) {
			t.Errorf("line %d: want %q in\n%v", i+1, want, err)
		}
	}
}

// A route with another metric is another route.
func TestRoutesOfOtherMetrics(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	ip := hostnettest.Tool(t, "ip")
	if err := red.AddVeth("uplink", red.Namespace, "other"); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		"link set other addrgenmode none", "link set uplink addrgenmode none", // or addresses come of their own accord, sooner or later
		"link set other up", "link set uplink up", "addr add 192.0.2.2/24 dev uplink", "route add default via 192.0.2.1 metric 100",
		"-6 route add default dev uplink metric 512", "-6 route add 2001:db8::/32 dev uplink",
	} {
		if out, err := red.Command(t.Context(), ip, strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	// The kernel makes a route for IPv6 multicast when it has heard of the carrier, which is later.
	testbed.Eventually(t, func() string {
		routes := take(t, red).Routes
		for _, device := range []string{"other", "uplink"} {
			if !slices.ContainsFunc(routes, func(route string) bool {
				return strings.Contains(route, " ff00000000000000") && strings.HasSuffix(route, " "+device)
			}) {
				return "no route for multicast by " + device
			}
		}
		return ""
	})
	before := take(t, red, blue)
	r := open(t, parse(t, between, red, blue), router.Config{})
	red.ping("10.0.2.2")
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	take(t, red, blue).sameAs(t, before)
}

// Interrupted between one interface and the next, everything is undone.
func TestInterrupted(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := refused(t, ctx, parse(t, between, red, blue), router.Config{OpenDevice: func(cfg tun.Config) (tun.Device, error) {
		cancel()
		return tun.Open(cfg)
	}}, red, blue)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A name in /run/netns behind which there is no namespace is refused with the way to get rid of it.
func TestLeftoverNamespaceFile(t *testing.T) {
	red := newHost(t)
	path := "/run/netns/" + red.String() + "-left"
	if err := os.WriteFile(path, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(path) })
	file := parse(t, between, red)
	file.Instances[0].Interfaces[1].Host.Namespace = red.String() + "-left"
	err := refused(t, t.Context(), file, router.Config{}, red)
	if err == nil || !strings.Contains(err.Error(), "ip netns delete "+red.String()+"-left") {
		t.Errorf("got %v", err)
	}
}
