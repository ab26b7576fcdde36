// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hooknet/hooknet/internal/goldentest"
)

// A difference is what Linux does with a case instead, in the words of describe, and why hooknet does not.
type difference struct {
	does []string
	why  string
}

// linuxDiffers holds every case in which the kernel's router does something else, by its name. A difference that is gone,
// and one that is not here, fail TestConformance. It is true of Linux 6.18: older ones have been stricter about addresses.
var linuxDiffers = map[string]difference{
	"RFC 1812 4.3.2.7 from a directed broadcast, TTL 1": {
		[]string{"left: time exceeded quoting all"},
		"The sender's address is not that of one host: no error about it. Linux looks at the link's address, and a TUN device has none.",
	},
	"RFC 791 3.1 option without the copy bit": {
		[]string{"right: fragment 0+1376 more options 1e040102", "right: fragment 1376+100 options 01010101"},
		"Linux overwrites the option with No Operation in later fragments; hooknet leaves it out. RFC 791 section 3.2 lets headers differ in length.",
	},
	"RFC 791 3.2 a fragment beyond 65535": {
		passed, "No datagram has such a fragment, but attacks on reassembly have: nobody is helped by passing it on.",
	},
	"RFC 791 3.2 a fragment of 39 bytes and more follow": {
		passed, "No datagram has such a fragment, but attacks on reassembly have: nobody is helped by passing it on.",
	},
	"RFC 1812 4.2.3.1 to the network address of the right link": {
		passed, "Linux has made it an ordinary address since 5.14. RFC 1812 section 4.2.3.1 still calls it an obsolete broadcast, to be discarded or taken for one.",
	},
	"RFC 1812 5.3.7 from 0.1.2.3": {
		passed, "Linux has allowed all of 0/8 but 0.0.0.0 since 5.3. RFC 1812 section 5.3.7 and RFC 6890 do not.",
	},
	"RFC 6890 2.2.2 from 240.0.0.1": {
		passed, "Linux treats 240/4 as unicast. RFC 1812 section 5.3.7 wants class E sources dropped; RFC 6890 has the block neither forwarded nor a source.",
	},
	"RFC 6890 2.2.2 to 240.0.0.1": {
		[]string{"left: net unreachable quoting all"},
		"Linux looks it up like any other address. RFC 6890: not to be forwarded.",
	},
	"RFC 3927 7 from 169.254.1.1": {
		passed, "RFC 3927 section 7: a router must not forward it. Linux leaves that to the firewall.",
	},
	"RFC 3927 7 to 169.254.1.1": {
		passed, "RFC 3927 section 7: a router must not forward it, whatever its routes. Linux leaves that to the firewall.",
	},
	"RFC 791 3.1 rubbish behind the end": {
		[]string{"right: forwarded with options 00000000"},
		"Linux clears what follows the End option; hooknet changes nothing that it need not.",
	},
	"RFC 1812 5.2.7.2 back by the same interface": {
		[]string{"left: redirect to 10.0.1.99 quoting all, decremented", "left: forwarded"},
		"A TUN device is point to point: there is no neighbour to which the sender could turn instead. Linux does not look at that.",
	},

	"RFC 4443 3.2 too big for a route": {
		[]string{"left: too big mtu 1300 quoting 1232 bytes, decremented"},
		"Linux quotes the packet with a hop limit less one. hooknet quotes what came, which is what its sender knows.",
	},
	"RFC 8200 4 two hop-by-hop headers": {
		passed, "Linux does not look past the first. RFC 8200 section 4: a next header of 0 anywhere but in the IPv6 header is to be answered.",
	},
	"RFC 5095 3 routing header 0": {
		passed, "Linux refuses it as a destination only. To a router it is what a source route is in IPv4, and as harmful: off by default (RFC 5095 section 4.2).",
	},
	"RFC 4443 2.4 hop limit 1, redirect": {
		[]string{"left: time exceeded quoting all"},
		"RFC 4443 section 2.4 (e.2): no error about a redirect. Linux looks for errors only, by their type.",
	},
	"RFC 4443 3.1 unreachable route": {
		[]string{"left: no route quoting all"},
		"There is a route, and it says unreachable: code 3, as Host Unreachable in IPv4. Linux has code 0 for it.",
	},
	"RFC 4291 2.5.6 to fe80::99": {
		[]string{"left: forwarded"},
		"Linux may pass it on to another host on the link it came by. Behind a point-to-point device there is none but the sender.",
	},
	"RFC 4291 2.5.6 from fe80::1 to fe80::99": {
		[]string{"left: forwarded"},
		"Linux may pass it on to another host on the link it came by. Behind a point-to-point device there is none but the sender.",
	},
	"RFC 4291 2.5.5.2 from a mapped address": {
		passed, "RFC 6890 section 2.2.3: IPv4-mapped addresses are neither sources nor forwarded. Linux refuses them at sockets only.",
	},
	"RFC 4291 2.5.5.2 to a mapped address": {
		[]string{"left: no route quoting all"},
		"Linux looks it up like any other address. RFC 6890 section 2.2.3: not to be forwarded.",
	},
	"RFC 4291 2.5.2 to ::": {
		[]string{"left: no route quoting all"},
		"Linux looks it up like any other address. It is none: RFC 4291 section 2.5.2.",
	},

	"RFC 791 3.1 timestamp with address": {
		[]string{"right: forwarded with options 440c0d010a000101<now>"},
		"Linux writes the address of the interface the packet came by. hooknet writes the one it leaves by, as in Record Route.",
	},
	"RFC 791 3.1 record route, TTL 1": {
		[]string{"left: time exceeded quoting all options 0707080a00010100, changed"},
		"Linux fills the option in before it looks at the TTL, and copies it into the error. hooknet quotes what came, in an error without options.",
	},
	"RFC 791 3.1 record route, in fragments": {
		[]string{"right: fragment 0+1368 more options 0707080a00020100", "right: fragment 1368+104 options 0101010101010100"},
		"Linux overwrites the option with No Operation in later fragments; hooknet leaves it out. RFC 791 section 3.2 lets headers differ in length.",
	},
	"RFC 3704 2.2 strict, from the other side, IPv6": {
		passed, "The kernel has reverse path filters for IPv4 only; in IPv6 it takes a firewall rule. hooknet has one option for both.",
	},
	"RFC 3704 2.4 loose, from nowhere, IPv6": {
		passed, "The kernel has reverse path filters for IPv4 only; in IPv6 it takes a firewall rule. hooknet has one option for both.",
	},

	"RFC 1191 3 fragmentation needed 68": {
		[]string{"left: packets of 552 bytes"},
		"Linux goes down to its least (net.ipv4.route.min_pmtu). hooknet takes what no link has for a lie and ignores it.",
	},
	"RFC 5927 4.1 packet too big 1300 about what was never sent": {
		[]string{"left: packets of 1460 bytes"},
		"A defect of the host stack, which is gVisor's: it does not compare the sequence number that is quoted. Who guesses the ports can shrink a connection's packets, to no less than 1280 bytes.",
	},
	"RFC 5927 4.1 fragmentation needed 1300 about what was never sent": {
		[]string{"left: packets of 1440 bytes"},
		"A defect of the host stack, which is gVisor's: it does not compare the sequence number that is quoted. Who guesses the ports can shrink a connection's packets, to no less than 552 bytes.",
	},

	"RFC 1122 3.2.2.6 echo to all hosts": {
		nothing, "The host stack is gVisor's: it answers. RFC 1122 section 3.2.2.6 allows both; behind a point-to-point device there is one host to answer, no storm of them.",
	},
	"RFC 1122 3.2.2.8 timestamp request": {
		[]string{"left: timestamp reply"},
		"The host stack is gVisor's, which has no timestamp messages. RFC 1122 section 3.2.2.8: optional.",
	},
	"RFC 1122 3.2.2.1 closed port": {
		[]string{"left: port unreachable quoting all"},
		"A host's errors have TOS 0 (RFC 1122 section 3.2.2), and the host stack, which is gVisor's, sends these. Linux sends all with a router's (RFC 1812 section 4.3.2.5).",
	},
	"RFC 1122 3.2.2.1 unknown protocol": {
		[]string{"left: protocol unreachable quoting all"},
		"As with a closed port.",
	},
	"RFC 4443 3.4 unknown next header": {
		[]string{"left: unknown next header at 6 quoting all"},
		"A defect of the host stack, which is gVisor's: it points to the header, not to the field that names it (RFC 4443 section 3.4).",
	},
	"RFC 8200 4.5 a fragment within another": {
		[]string{"left: echo reply"},
		"Linux takes a fragment within one that it has for the same again. RFC 8200 section 4.5 only lets it be exactly the same.",
	},
	"RFC 7112 5 header chain goes on in the second fragment": {
		[]string{"left: incomplete header chain at 0 quoting all 1"},
		"Both discard it, which RFC 7112 section 5 asks for. The error is optional.",
	},
}

// docs/linux-differences.md says what linuxDiffers says. It is written by
//
//	go test -run LinuxDifferencesAreDocumented ./integration -update
func TestLinuxDifferencesAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Where hooknet and a Linux router differ

The same packets go through hooknet and through the kernel's own forwarding in the same shape of network (TestConformance in
integration/): two TUN devices, the test at the other end of both. Of the cases there, these are all that end differently, as
of Linux 6.18. The kernel's parameters are their defaults, but for forwarding on, reverse path filters off, and no limit on
ICMP errors.

What is said of packets: where they come out, and as what. "forwarded" is the packet as it went in, but for TTL and header
checksum; an ICMP error is from the address of the interface it comes out of, unless it says otherwise.

This page is generated: go test -run LinuxDifferencesAreDocumented ./integration -update
`)
	count := 0
	for _, r := range requirements {
		heading := "\n## " + r.text + "\n"
		for _, c := range r.cases {
			d, differs := linuxDiffers[c.name]
			if !differs {
				continue
			}
			count++
			fmt.Fprintf(&b, "%s\n**%s**\n\n- hooknet: %s\n- Linux: %s\n- why: %s\n", heading, c.name, inWords(c.want), inWords(d.does), d.why)
			heading = ""
		}
	}
	if count != len(linuxDiffers) {
		t.Errorf("%d of %d differences have a case", count, len(linuxDiffers))
	}
	goldentest.Check(t, filepath.Join("..", "docs", "linux-differences.md"), b.String())
}

func inWords(seen []string) string {
	if len(seen) == 0 {
		return "nothing"
	}
	return strings.Join(seen, "; ")
}
