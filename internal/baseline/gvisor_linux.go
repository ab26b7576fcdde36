// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package baseline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/fdbased"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// OpenPlainTUN creates a device without virtio-net header and without offload, which is what most programs open: every
// packet passes by itself and with complete checksums. Otherwise it is OpenTUN.
func OpenPlainTUN(name string) (*TUN, error) {
	return openTUN(name, unix.IFF_TUN|unix.IFF_NO_PI, false)
}

// GVisor forwards IPv4 between two plain TUN devices with gVisor's own stack, until ctx is done. Each address, with its
// subnet, is the stack's own on the device of the same position; the subnets are all the routes there are. The devices
// stay open, but are not fit for another use.
//
// It is what one writes who takes gVisor for a router: a stack, the link endpoint that gVisor ships for descriptors with the
// defaults of its options, as gVisor's sample programs have it (pkg/tcpip/sample), routes, forwarding on. Superpackets are
// out of reach: gVisor's forwarder forgets what it needs to know of them.
//
// Tuned, the endpoint has the settings that make a forwarder faster without making it worse. It claims offload of the
// checksums it sends, so that gVisor does not sum up every payload it forwards: packets come with complete checksums, and
// nothing but ICMP errors starts here. And each device has one processor, not one for each core: packets are handled where
// they are read, which spares a wake-up each. It does not claim offload of the checksums it receives: gVisor would then not
// verify those of IPv4 headers either, and send packets on with a right one in place of a wrong one. A router must verify
// them (RFC 1812 section 5.2.2).
func GVisor(ctx context.Context, devices [2]*TUN, addresses [2]netip.Prefix, mtu int, tuned bool) (err error) {
	s := stack.New(stack.Options{NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol}})
	defer s.Destroy()
	for i, device := range devices {
		options := &fdbased.Options{FDs: []int{device.fd}, MTU: uint32(mtu)}
		if tuned {
			options.TXChecksumOffload, options.ProcessorsPerChannel = true, 1
		}
		endpoint, err := fdbased.New(options)
		if err != nil {
			return fmt.Errorf("baseline: gVisor, device %s: %w", device.name, err)
		}
		nic := tcpip.NICID(i + 1)
		if err := s.CreateNIC(nic, endpoint); err != nil {
			return refused("CreateNIC", err)
		}
		defer func() { // waits for the goroutine that reads
			if gone := s.RemoveNIC(nic); gone != nil {
				err = errors.Join(err, refused("RemoveNIC", gone))
			}
		}()
		address := tcpip.AddrFrom4(addresses[i].Addr().As4()).WithPrefix()
		address.PrefixLen = addresses[i].Bits()
		own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address}
		if err := s.AddProtocolAddress(nic, own, stack.AddressProperties{}); err != nil {
			return refused("AddProtocolAddress", err)
		}
		s.AddRoute(tcpip.Route{Destination: address.Subnet(), NIC: nic})
	}
	if err := s.SetForwardingDefaultAndAllNICs(ipv4.ProtocolNumber, true); err != nil {
		return refused("SetForwardingDefaultAndAllNICs", err)
	}
	<-ctx.Done()
	return nil
}

// refused makes an error of gVisor's.
func refused(what string, err tcpip.Error) error {
	return fmt.Errorf("baseline: gVisor, %s: %s", what, err)
}
