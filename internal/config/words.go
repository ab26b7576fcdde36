// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// What is expected where a word of the given kind stands. The parse functions below return one of these, or something
// more exact, for a word they refuse, and "" for one they accept.
const (
	instanceNameRule = "a name of letters, digits, '.', '_' and '-', at most 64, the first a letter or digit"
	deviceNameRule   = "an interface name of at most 15 bytes, without spaces, '/', ':' and '%'"
	namespaceRule    = "the name of a network namespace in /run/netns, without '/'"
	addressRule      = "an address with its prefix length, as 10.0.1.1/24 or fd00:1::1/64"
	destinationRule  = "default, a prefix as 10.9.0.0/16 or fd00:9::/32, or an address"
	gatewayRule      = "an address as 10.0.1.1 or fd00:1::1"
)

func parseInstanceName(word string) (string, string) {
	if word == "" || len(word) > MaxInstanceName || strings.ContainsAny(word[:1], "._-") {
		return "", instanceNameRule
	}
	for _, c := range []byte(word) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		digit := '0' <= c && c <= '9'
		if !letter && !digit && c != '.' && c != '_' && c != '-' {
			return "", instanceNameRule
		}
	}
	return word, ""
}

// parseDeviceName keeps to what Linux takes for a device (dev_valid_name), and to printable ASCII. '%' is refused as
// it makes a name a pattern ("tun%d").
func parseDeviceName(word string) (string, string) {
	switch word {
	case "", ".", "..":
		return "", deviceNameRule
	case "lo":
		return "", "another name: lo is the loopback interface"
	case "all", "default":
		return "", "another name: Linux keeps all and default for its settings of every device"
	}
	if len(word) > MaxDeviceName {
		return "", fmt.Sprintf("an interface name of at most %d bytes (this one has %d)", MaxDeviceName, len(word))
	}
	for _, c := range []byte(word) {
		if c <= ' ' || c > '~' || c == '/' || c == ':' || c == '%' {
			return "", deviceNameRule
		}
	}
	return word, ""
}

func parseNamespace(word string) (string, string) {
	for _, directory := range []string{"/run/netns/", "/var/run/netns/"} {
		if name, found := strings.CutPrefix(word, directory); found {
			return "", fmt.Sprintf("the name alone: %s", name)
		}
	}
	if word == "" || word == "." || word == ".." || len(word) > 255 || strings.ContainsAny(word, "/\x00") {
		return "", namespaceRule
	}
	return word, ""
}

// parseAddress reads the address of an interface and the length of its network's prefix.
func parseAddress(word string) (netip.Prefix, string) {
	none := netip.Prefix{}
	if address, err := netip.ParseAddr(word); err == nil && address.Zone() == "" {
		return none, fmt.Sprintf("it with the length of its network's prefix, as %s", netip.PrefixFrom(address, usualLength(address)))
	}
	prefix, expected := parsePrefix(word, addressRule)
	if expected != "" {
		return none, expected
	}
	address, network := prefix.Addr(), prefix.Masked()
	switch {
	case prefix.Bits() == 0:
		return none, fmt.Sprintf("a prefix length from 1 to %d", address.BitLen())
	case !isHost(address):
		return none, "the address of a host (not unspecified, multicast, loopback or reserved)"
	case address.Is4() && prefix.Bits() < 31 && address == network.Addr():
		return none, fmt.Sprintf("an address inside the network, as %s: this is the network itself", netip.PrefixFrom(address.Next(), prefix.Bits()))
	case address.Is4() && prefix.Bits() < 31 && address == lastAddress(network):
		return none, fmt.Sprintf("an address inside the network, as %s: this is its broadcast address", netip.PrefixFrom(network.Addr().Next(), prefix.Bits()))
	}
	return prefix, ""
}

// parseDestination reads where a route leads. The zero Prefix stands for "default".
func parseDestination(word string) (netip.Prefix, string) {
	if word == "default" {
		return netip.Prefix{}, ""
	}
	if address, err := netip.ParseAddr(word); err == nil && address.Zone() == "" && !address.Is4In6() {
		return netip.PrefixFrom(address, address.BitLen()), ""
	}
	prefix, expected := parsePrefix(word, destinationRule)
	switch {
	case expected != "":
		return netip.Prefix{}, expected
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Sprintf("%s, or %s for the one address: bits behind the prefix are set", prefix.Masked(), prefix.Addr())
	}
	return prefix, ""
}

// parsePrefix reads ADDRESS/LENGTH; rule is what is expected where nothing more exact can be said.
func parsePrefix(word, rule string) (netip.Prefix, string) {
	prefix, err := netip.ParsePrefix(word)
	if err == nil {
		if prefix.Addr().Is4In6() {
			return netip.Prefix{}, "an IPv4 address written as such, as 10.0.1.1"
		}
		return prefix, ""
	}
	before, _, slash := strings.Cut(word, "/")
	if address, err := netip.ParseAddr(before); slash && err == nil && address.Zone() == "" {
		return netip.Prefix{}, fmt.Sprintf("a prefix length from 0 to %d behind an %s address", address.BitLen(), family(address))
	}
	return netip.Prefix{}, rule
}

func parseGateway(word string) (netip.Addr, string) {
	if before, _, slash := strings.Cut(word, "/"); slash {
		if address, err := netip.ParseAddr(before); err == nil {
			return netip.Addr{}, fmt.Sprintf("the address alone: %s", address.WithZone(""))
		}
	}
	address, err := netip.ParseAddr(word)
	switch {
	case err != nil:
		return netip.Addr{}, gatewayRule
	case address.Zone() != "":
		return netip.Addr{}, fmt.Sprintf("the address without a zone: %s", address.WithZone(""))
	case address.Is4In6():
		return netip.Addr{}, fmt.Sprintf("an IPv4 address written as such: %s", address.Unmap())
	case !isHost(address):
		return netip.Addr{}, "the address of a host (not unspecified, multicast, loopback or reserved)"
	}
	return address, ""
}

// isHost reports whether a host may have the address on a link: it is no source that RFC 1812 section 5.3.7 and RFC
// 4291 section 2.5 call invalid.
func isHost(address netip.Addr) bool {
	if address.Is4() {
		first := address.As4()[0]
		return first != 0 && first != 127 && first < 224
	}
	return !address.IsUnspecified() && !address.IsLoopback() && !address.IsMulticast()
}

// lastAddress returns the last address of an IPv4 network: its broadcast address.
func lastAddress(network netip.Prefix) netip.Addr {
	last := network.Addr().As4()
	for bit := network.Bits(); bit < 32; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(last)
}

// usualLength is the prefix length that networks of the address's family mostly have, to make an example of it.
func usualLength(address netip.Addr) int {
	if address.Is4() {
		return 24
	}
	return 64
}

func family(address netip.Addr) string {
	if address.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
