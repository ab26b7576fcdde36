// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/router"
)

// chain joins two hosts by two instances with a cable between them, whose MTU is small: red 10.0.1.2 and fd00:1::2, blue
// 10.0.2.2 and fd00:2::2.
const chain = `
instances:
  - name: a
    interfaces:
      - name: hn0
        addresses: [10.0.1.1/24, "fd00:1::1/64"]
        host: {namespace: RED, addresses: [10.0.1.2/24, "fd00:1::2/64"], routes: [{to: default}]}
    routes: [{to: default, interface: c}]
  - name: b
    interfaces:
      - name: hn0
        addresses: [10.0.2.1/24, "fd00:2::1/64"]
        host: {namespace: BLUE, addresses: [10.0.2.2/24, "fd00:2::2/64"], routes: [{to: default}]}
    routes: [{to: default, interface: c}]
cables:
  - mtu: 1300
    ends:
      - {instance: a, interface: c, addresses: [10.9.0.1/30, "fd00:9::1/64"]}
      - {instance: b, interface: c, addresses: [10.9.0.2/30, "fd00:9::2/64"]}
`

// With clamp_mss at a cable's end, hosts know of the cable's small MTU from the handshake on; without, they find out later.
func TestClampMSS(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	file := parse(t, chain, red, blue)
	for name, where := range map[string]*config.Guards{
		"nowhere": nil, "near end": &file.Cables[0].Ends[0].Guards, "far end": &file.Cables[0].Ends[1].Guards,
		"interface": &file.Instances[1].Interfaces[0].Guards,
	} {
		t.Run(name, func(t *testing.T) {
			if where != nil {
				where.ClampMSS = true
				defer func() { where.ClampMSS = false }()
			}
			r := open(t, file, router.Config{})
			defer r.Close()
			for address, headers := range map[string]int{"10.0.2.2": 40, "fd00:2::2": 60} {
				got, want := segmentSize(t, red, blue, address), 1300-headers
				// Linux takes off what its own options need: 12 bytes of timestamps.
				if where != nil && (got > want || got < want-12) || where == nil && got <= want {
					t.Errorf("to %s: segments of up to %d bytes, where %d fit", address, got, want)
				}
			}
		})
	}
}

// segmentSize connects and returns the largest segment that from will send then.
func segmentSize(t *testing.T, from, to host, address string) (size int) {
	t.Helper()
	listener := hostnettest.Listen(t, to.Namespace, "tcp", net.JoinHostPort(address, "0"))
	defer listener.Close()
	if err := from.Do(func() error {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		var asked error
		err = raw.Control(func(fd uintptr) { size, asked = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
		if err != nil {
			return err
		}
		return asked
	}); err != nil {
		t.Fatal(err)
	}
	return size
}

// With pass_source_routes at an interface or at a cable's end, IPv4 packets with a source route pass there.
func TestPassSourceRoutes(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	file := parse(t, chain, red, blue)
	first, second := &file.Instances[0].Interfaces[0].Guards, &file.Cables[0].Ends[1].Guards
	for name, test := range map[string]struct {
		pass    []*config.Guards
		dropped string // by this instance
	}{
		"nowhere": {nil, "a"}, "interface": {[]*config.Guards{first}, "b"}, "both": {[]*config.Guards{first, second}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, where := range test.pass {
				where.PassSourceRoutes = true
				defer func() { where.PassSourceRoutes = false }()
			}
			r := open(t, file, router.Config{})
			defer r.Close()
			red.send(net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
				var asked error
				err := raw.Control(func(fd uintptr) {
					// Loose (RFC 791 section 3.1), by way of 10.0.2.2. Blue forwards nothing.
					asked = unix.SetsockoptString(int(fd), unix.IPPROTO_IP, unix.IP_OPTIONS, "\x83\x07\x04\x0a\x00\x02\x02\x00")
				})
				return errors.Join(err, asked)
			}}, "10.0.2.3:9")
			testbed.Eventually(t, func() string {
				passed, drops := uint64(0), make(map[string]uint64)
				for instance := range r.Instances() {
					s := instance.Stats()
					if n := s.Drops["source_route"]; n > 0 {
						drops[instance.Name()] = n
					}
					passed = s.Forwarded // of the last
				}
				want := map[string]uint64{}
				if test.dropped != "" {
					want[test.dropped] = 1
				}
				if !maps.Equal(drops, want) || (passed == 1) != (test.dropped == "") {
					return fmt.Sprintf("dropped %v, want %v; passed on by the last: %d", drops, want, passed)
				}
				return ""
			})
		})
	}
}
