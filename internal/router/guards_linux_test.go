// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/router"
)

// With clamp_mss at a cable's end, hosts know of the cable's small MTU from the handshake on; without, they find out later.
func TestClampMSS(t *testing.T) {
	red, blue := newHost(t), newHost(t)
	file := parse(t, `
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
`, red, blue)
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
	var listener net.Listener
	if err := to.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
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
