// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package archtest

import "slices"

// Module is the path of this module.
const Module = "github.com/hooknet/hooknet"

// Room is a package, with those below it that have no row of their own, and what it may import besides the standard
// library and itself.
type Room struct {
	// Path is that of the package, relative to the module.
	Path string
	// Rooms are other rooms, by their paths. The packages below a room are meant too, unless they have a row.
	Rooms []string
	// Packages are those of other modules, by import path. "x/..." is x and all below it.
	Packages []string
	// Tests are Packages for the room's _test.go files only.
	Tests []string
	// TestRooms are Rooms for the room's _test.go files only.
	TestRooms []string
	// Anything lifts every restriction but one: that another room lists it before importing it.
	Anything bool
}

// Groups of rooms and packages that several rows share.
var (
	// belowNetstack are the rooms that an instance's data path is built of, the lowest first.
	belowNetstack = []string{"internal/inside", "internal/invariant", "hooks", "hooks/hhook", "hooks/khelp", "packet", "tun"}
	// belowInstances and embedders are those with netstack, and with instances.
	belowInstances = with(belowNetstack, "netstack", "netstack/ertt")
	embedders      = with(belowInstances, "instances")

	gvisor     = "gvisor.dev/gvisor/..."
	system     = "golang.org/x/sys/..."
	networking = "golang.org/x/net/..."
)

// with returns a list of its own that holds rooms and more.
func with(rooms []string, more ...string) []string { return slices.Concat(rooms, more) }

// Rooms is the table of rooms. A new package needs a row, or a place below a room that has one; a new arrow needs a line
// here, which is where a reviewer looks at it.
var Rooms = []Room{
	// The mechanism. Knows no packets.
	{Path: "hooks", Rooms: []string{"internal/inside"}, Tests: []string{"github.com/anishathalye/porcupine/..."}, TestRooms: []string{"internal/soaktest"}},
	{Path: "hooks/hhook", Rooms: []string{"hooks"}},
	{Path: "hooks/khelp", Rooms: []string{"hooks", "hooks/hhook", "internal/inside"}},

	// One parsed packet.
	{
		Path:  "packet",
		Rooms: []string{"hooks", "internal/invariant"},
		Packages: []string{
			"gvisor.dev/gvisor/pkg/tcpip/header",
			"gvisor.dev/gvisor/pkg/tcpip/checksum",
		},
		Tests: []string{gvisor},
	},

	// Packet devices.
	{
		Path:      "tun",
		Rooms:     []string{"packet", "internal/invariant"},
		Packages:  []string{system, "github.com/songgao/water/..."},
		TestRooms: []string{"hooks", "tun/tuntest", "internal/hostnet"},
	},
	{Path: "tun/tuntest", Rooms: []string{"packet", "tun"}, Packages: []string{"github.com/gopacket/gopacket/..."}},

	// One instance's data path. The only importer of gVisor's stack.
	{
		Path:      "netstack",
		Rooms:     belowNetstack,
		Packages:  []string{gvisor, "github.com/gaissmai/bart/..."},
		TestRooms: []string{"netstack/ertt", "tun/tuntest", "internal/hostnet", "internal/leaktest"},
	},

	// The round-trip-time helper, for the TCP points.
	{Path: "netstack/ertt", Rooms: []string{"hooks", "hooks/hhook", "hooks/khelp", "netstack"}, TestRooms: []string{"packet", "tun", "internal/leaktest"}},

	// Many instances. What an embedder imports first.
	{Path: "instances", Rooms: belowInstances, TestRooms: []string{"tun/tuntest", "internal/hostnet", "internal/leaktest", "internal/soaktest"}},

	// Adapters to and from wireguard-go.
	{Path: "wgtun", Rooms: embedders, Packages: []string{"golang.zx2c4.com/wireguard/..."}, TestRooms: []string{"tun/tuntest"}},

	// The command.
	{
		Path: "cmd/hooknet",
		Rooms: with(embedders, "internal/bench", "internal/capture", "internal/config",
			"internal/control", "internal/demo", "internal/hostnet", "internal/metrics", "internal/rootless", "internal/router",
			"internal/terminal"),
		Packages:  []string{"github.com/spf13/cobra/...", system},
		TestRooms: []string{"internal/leaktest"},
	},

	// Tests with real tools in real namespaces, and the helper for users' own tests. Nothing in the product imports them.
	{Path: "integration", Anything: true},
	{Path: "integration/testbed", Rooms: with(embedders, "internal/hostnet"), Packages: []string{system}, TestRooms: []string{"internal/leaktest"}},

	// The host's side. Never on the packet path.
	{Path: "internal/hostnet", Packages: []string{"github.com/vishvananda/netlink/...", system}},

	// The paths hooknet is measured against: for "hooknet bench" only.
	{Path: "internal/baseline", Anything: true},

	// Small things with one job each.
	{Path: "internal/archtest"},
	{
		Path:      "internal/bench",
		Rooms:     with(embedders, "internal/baseline", "internal/hostnet", "internal/terminal"),
		Packages:  []string{"gvisor.dev/gvisor/pkg/tcpip/checksum", system},
		TestRooms: []string{"internal/goldentest", "internal/leaktest"},
	},
	{Path: "internal/capture", Rooms: embedders, Packages: []string{"github.com/gopacket/gopacket/...", "golang.org/x/net/bpf"}},
	{Path: "internal/config", Packages: []string{"go.yaml.in/yaml/v3"}},
	{Path: "internal/control", Rooms: embedders},
	{
		Path:      "internal/demo",
		Rooms:     with(embedders, "internal/hostnet", "internal/terminal"),
		Packages:  []string{networking},
		TestRooms: []string{"internal/goldentest", "internal/leaktest"},
	},
	{Path: "internal/goldentest", Packages: []string{"github.com/google/go-cmp/..."}},
	{Path: "internal/inside"},
	{Path: "internal/invariant"},
	{Path: "internal/leaktest", Packages: []string{gvisor, "go.uber.org/goleak"}},
	{Path: "internal/metrics", Rooms: embedders, Packages: []string{"github.com/prometheus/client_golang/..."}},
	{Path: "internal/rootless", Rooms: []string{"internal/hostnet"}, Packages: []string{system}},
	{
		Path:      "internal/router",
		Rooms:     with(embedders, "internal/config", "internal/hostnet"),
		TestRooms: []string{"integration/testbed", "internal/leaktest"},
	},
	{Path: "internal/soaktest"},
	{Path: "internal/terminal"},
}

// TestPackages are those of other modules that any room's _test.go files may import.
var TestPackages = []string{
	"github.com/google/go-cmp/...",
	"github.com/gopacket/gopacket/...",
	"go.uber.org/goleak/...",
	"pgregory.net/rapid/...",
	system,
	networking,
}

// Embedded are the rooms that others build into their programs, and Unwanted the packages that may not come along with
// them, by whatever way: heavy ones, and those for tests.
var (
	Embedded = []string{"hooks", "hooks/hhook", "hooks/khelp", "packet", "tun", "netstack", "netstack/ertt", "instances", "wgtun"}
	Unwanted = []string{
		"testing",
		"github.com/anishathalye/porcupine/...",
		"github.com/google/go-cmp/...",
		"github.com/gopacket/gopacket/...",
		"github.com/prometheus/...",
		"github.com/spf13/...",
		"go.uber.org/goleak/...",
		"go.yaml.in/...",
		"pgregory.net/rapid/...",
	}
)
