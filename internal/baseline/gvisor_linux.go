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
// It is what one writes who takes gVisor for a router: a stack, the link endpoint that gVisor ships for descriptors, two
// routes, forwarding on. It is made as fast as that can be without changing gVisor: the endpoints claim checksum offload
// both ways, which saves a look at the payload of every packet and loses nothing (packets come with complete checksums, and
// nothing but ICMP errors starts here); and each device has one processor, which spares a wake-up per packet. Superpackets
// are out of reach: gVisor's forwarder forgets what it needs to know of them.
func GVisor(ctx context.Context, devices [2]*TUN, addresses [2]netip.Prefix, mtu int) (err error) {
	s := stack.New(stack.Options{NetworkProtocols: []stack.NetworkProtocolFactory{ipv4.NewProtocol}})
	defer s.Destroy()
	for i, device := range devices {
		endpoint, err := fdbased.New(&fdbased.Options{
			FDs:                  []int{device.fd},
			MTU:                  uint32(mtu),
			TXChecksumOffload:    true,
			RXChecksumOffload:    true,
			ProcessorsPerChannel: 1,
		})
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
