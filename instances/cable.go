// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"errors"
	"net/netip"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A CableEnd is one end of a cable: an interface of an instance.
type CableEnd struct {
	Instance  *netstack.Instance
	Interface string // name of the interface
	MTU       int    // bytes; default 1500
	Addresses []netip.Prefix

	// As in netstack.InterfaceConfig.
	SourceValidation netstack.SourceValidation
	PassSourceRoutes bool
	ClampMSS         bool
}

// Cable joins two instances, or an instance with itself, by a link in memory that takes superpackets. Closing either
// interface cuts it: what the other end sends is then dropped.
func (m *Manager) Cable(a, b CableEnd) (*netstack.Interface, *netstack.Interface, error) {
	near, far := tun.Pair(tun.PairConfig{
		Names:    [2]string{a.Interface, b.Interface},
		Features: packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO,
	})
	attach := func(dev tun.Device, e CableEnd) (*netstack.Interface, error) {
		return e.Instance.AddInterface(dev, netstack.InterfaceConfig{
			Name: e.Interface, MTU: e.MTU, Addresses: e.Addresses,
			SourceValidation: e.SourceValidation, PassSourceRoutes: e.PassSourceRoutes, ClampMSS: e.ClampMSS,
		})
	}
	f, err := attach(near, a)
	if err != nil {
		return nil, nil, errors.Join(err, near.Close(), far.Close())
	}
	g, err := attach(far, b)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close(), far.Close())
	}
	return f, g, nil
}
