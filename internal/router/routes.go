// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// The metrics of routes that are set without one; a route is known by destination and metric. IPv6's is
// IP6_RT_PRIO_USER.
const (
	metric4 = 0
	metric6 = 1024
)

// takenRoutes returns those of the routes to be set that the namespace has already, with the devices they lead to.
func (p *place) takenRoutes() (map[netip.Prefix]string, error) {
	taken := make(map[netip.Prefix]string)
	wanted := make(map[netip.Prefix]bool)
	for _, l := range p.links {
		for _, r := range l.Host.Routes {
			wanted[r.Destination] = true
		}
	}
	if len(wanted) == 0 {
		return taken, nil // a table may be long
	}
	note := func(destination netip.Prefix, device string) {
		if wanted[destination] {
			taken[destination] = device
		}
	}
	err := p.Do(func() error {
		return errors.Join(
			readTable("/proc/thread-self/net/route", parseRoute4, note),
			readTable("/proc/thread-self/net/ipv6_route", parseRoute6, note),
		)
	})
	return taken, err
}

// readTable calls note for each route of a table in /proc that parse finds in its lines. A table that is not there, as
// IPv6's may be, is empty.
func readTable(path string, parse func(fields []string) (netip.Prefix, string, bool), note func(netip.Prefix, string)) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	return scanTable(file, parse, note)
}

func scanTable(r io.Reader, parse func(fields []string) (netip.Prefix, string, bool), note func(netip.Prefix, string)) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if destination, device, ok := parse(strings.Fields(lines.Text())); ok {
			note(destination, device)
		}
	}
	return lines.Err()
}

// parseRoute4 reads a line of /proc/net/route (proc_net(5)), which are those of the main table: device, destination,
// gateway, flags, reference count, use, metric, mask, ... Addresses are in the byte order of the machine.
func parseRoute4(fields []string) (netip.Prefix, string, bool) {
	if len(fields) < 8 {
		return netip.Prefix{}, "", false
	}
	destination, err := strconv.ParseUint(fields[1], 16, 32)
	if err != nil || fields[6] != strconv.Itoa(metric4) {
		return netip.Prefix{}, "", false // also the heading
	}
	mask, err := strconv.ParseUint(fields[7], 16, 32)
	if err != nil {
		return netip.Prefix{}, "", false
	}
	var address [4]byte
	binary.NativeEndian.PutUint32(address[:], uint32(destination))
	return netip.PrefixFrom(netip.AddrFrom4(address), bits.OnesCount32(uint32(mask))), fields[0], true
}

// parseRoute6 reads a line of /proc/net/ipv6_route (proc_net(5)): destination, its prefix length, source, its prefix
// length, gateway, metric, reference count, use, flags, device; all numbers are hexadecimal.
func parseRoute6(fields []string) (netip.Prefix, string, bool) {
	if len(fields) < 10 {
		return netip.Prefix{}, "", false
	}
	var address [16]byte
	if n, err := hex.Decode(address[:], []byte(fields[0])[:min(len(fields[0]), 32)]); err != nil || n != len(address) {
		return netip.Prefix{}, "", false
	}
	length, err := strconv.ParseUint(fields[1], 16, 8)
	if err != nil || length > 128 {
		return netip.Prefix{}, "", false
	}
	metric, err := strconv.ParseUint(fields[5], 16, 32)
	if err != nil || metric != metric6 {
		return netip.Prefix{}, "", false
	}
	return netip.PrefixFrom(netip.AddrFrom16(address), int(length)), fields[9], true
}
