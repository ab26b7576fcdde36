// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"io"
	"net/netip"
	"os"
)

// Bounds and defaults of the values in a file.
const (
	// MinMTU and MaxMTU bound every MTU, in bytes. 68 is what every IPv4 link must carry (RFC 791 section 3.2), 65535
	// the largest IP packet.
	MinMTU = 68
	MaxMTU = 65535
	// MaxMetric is the largest metric of a route.
	MaxMetric = 1<<31 - 1
	// MinMTU6 is the least MTU of a link that carries IPv6 (RFC 8200 section 5), in bytes.
	MinMTU6 = 1280
	// DefaultMTU is the MTU of an interface or cable that gives none, in bytes.
	DefaultMTU = 1500
	// MaxQueues is the largest number of queues of one device (Linux: MAX_TAP_QUEUES).
	MaxQueues = 256
	// MaxDeviceName is the longest name of a device, in bytes (Linux: IFNAMSIZ without the terminating NUL). The
	// names of interfaces inside an instance keep to it too, as they are the default for the device's name.
	MaxDeviceName = 15
	// MaxInstanceName is the longest name of an instance, in bytes.
	MaxInstanceName = 64
	// MaxFileSize is the largest file that is read, in bytes.
	MaxFileSize = 1 << 20
)

// Config is a whole file: a set of instances, each with its interfaces and routes, and the cables between them.
type Config struct {
	Instances []Instance // at least one
	Cables    []Cable
}

// Instance is one independent TCP/IP stack.
type Instance struct {
	At         Position
	Name       string // unique in the file
	Interfaces []Interface
	Routes     []Route // at most one per destination
}

// Interface is an interface of an instance that is bound to a TUN device of the host.
type Interface struct {
	At        Position
	Name      string // inside the instance; unique there, cable ends included
	Driver    Driver
	Device    string // on the host; unique in the host's namespace
	Queues    int    // 1 to MaxQueues; always 1 for DriverWater
	Offload   bool   // checksum and segmentation offload (the virtio-net header); always false for DriverWater
	Coalesce  bool   // segments of one stream are written as superpackets; always false without Offload
	MTU       int    // of both sides, in bytes
	Addresses []netip.Prefix
	Host      Host
	Guards
}

// Guards say what an interface, or an end of a cable, lets pass.
type Guards struct {
	SourceValidation SourceValidation
	PassSourceRoutes bool // IPv4 source route options pass, unprocessed
	ClampMSS         bool // TCP handshakes announce no more than fits
}

// Host is the host's side of a TUN device. The device is brought up there whether or not the file says anything more.
type Host struct {
	At        Position // of the interface where the file gives no host side
	Namespace string   // a name in /run/netns; empty: the namespace hooknet runs in
	Addresses []netip.Prefix
	Routes    []HostRoute
}

// HostRoute is a route of the host through a TUN device.
type HostRoute struct {
	At          Position
	Destination netip.Prefix // masked
	Gateway     netip.Addr   // of the destination's family; the zero Addr: straight into the device
}

// Route is a route of an instance.
type Route struct {
	At          Position
	Destination netip.Prefix // masked
	Type        RouteType
	Interface   string     // an interface or cable end of the instance; empty unless Type is RouteUnicast
	Gateway     netip.Addr // of the destination's family; the zero Addr: straight to the other end of the interface
	MTU         int        // in bytes, at most that of the interface; 0: that of the interface
	Metric      uint32     // at most MaxMetric; of the routes to one destination, which have different ones, the lowest is in force
}

// Cable is an in-memory link between two different instances.
type Cable struct {
	At   Position
	Ends [2]CableEnd
	MTU  int // of both ends, in bytes
}

// CableEnd is one end of a cable: an interface of an instance.
type CableEnd struct {
	At        Position
	Instance  string
	Interface string // unique in the instance
	Addresses []netip.Prefix
	Guards
}

// Driver names the code that talks to a TUN device.
type Driver uint8

// The drivers. The zero value leaves the choice to the platform: the Linux driver where it is to be had, water elsewhere.
const (
	DriverAuto Driver = iota
	DriverLinux
	DriverWater
)

// driverNames are the words of the file, by value.
var driverNames = [...]string{DriverAuto: "auto", DriverLinux: "linux", DriverWater: "water"}

// String returns the word that stands for the driver in a file.
func (d Driver) String() string {
	if int(d) < len(driverNames) {
		return driverNames[d]
	}
	return fmt.Sprintf("Driver(%d)", d)
}

// SourceValidation says which source addresses are believed.
type SourceValidation uint8

// The kinds of source validation. The zero value is the safe one.
const (
	SourceStrict SourceValidation = iota // the way back leads out by where the packet came in
	SourceLoose                          // there is a way back
	SourceOff
)

// sourceValidationNames are the words of the file, by value.
var sourceValidationNames = [...]string{SourceStrict: "strict", SourceLoose: "loose", SourceOff: "off"}

// String returns the word that stands for the kind in a file.
func (v SourceValidation) String() string {
	if int(v) < len(sourceValidationNames) {
		return sourceValidationNames[v]
	}
	return fmt.Sprintf("SourceValidation(%d)", v)
}

// RouteType says what becomes of the packets a route matches. The words are those of ip-route(8).
type RouteType uint8

// The types of route.
const (
	RouteUnicast     RouteType = iota // sent out of an interface
	RouteBlackhole                    // dropped silently
	RouteUnreachable                  // dropped; the sender is told "host unreachable"
	RouteProhibit                     // dropped; the sender is told "administratively prohibited"
)

// routeTypeNames are the words of the file, by value.
var routeTypeNames = [...]string{
	RouteUnicast:     "unicast",
	RouteBlackhole:   "blackhole",
	RouteUnreachable: "unreachable",
	RouteProhibit:    "prohibit",
}

// String returns the word that stands for the type in a file.
func (t RouteType) String() string {
	if int(t) < len(routeTypeNames) {
		return routeTypeNames[t]
	}
	return fmt.Sprintf("RouteType(%d)", t)
}

// Load reads and checks the file at path. Its errors are those of [Parse], or of reading: a missing file matches
// [fs.ErrNotExist].
//
// [fs.ErrNotExist]: https://pkg.go.dev/io/fs#ErrNotExist
func Load(path string) (*Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer file.Close()
	// One byte more than is allowed tells too large a file from one of just that size.
	data, err := io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, data)
}

// Parse checks the text of a file; name stands for it in positions. Its error joins one [*Problem] for each thing that
// is wrong with the file, in the order of the file (see [Problems]).
func Parse(name string, data []byte) (*Config, error) {
	d := newDecoder(name, data)
	root := d.document(data)
	if root == nil {
		return nil, d.err()
	}
	config := d.check(d.config(root))
	if err := d.err(); err != nil {
		return nil, err
	}
	return config, nil
}
