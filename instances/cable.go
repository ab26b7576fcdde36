// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"errors"

	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A CableEnd is one end of a cable: an interface of an instance. The default names are "left" and "right".
type CableEnd struct {
	Instance *netstack.Instance
	netstack.InterfaceConfig
}

// Cable joins two instances, or an instance with itself, by a link in memory that takes superpackets. Closing either
// interface cuts it: what the other end sends is then dropped.
func (m *Manager) Cable(a, b CableEnd) (*netstack.Interface, *netstack.Interface, error) {
	near, far := tun.Pair(tun.PairConfig{
		Names:    [2]string{a.Name, b.Name},
		Features: packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO,
	})
	f, err := a.Instance.AddInterface(near, a.InterfaceConfig)
	if err != nil {
		return nil, nil, errors.Join(err, near.Close(), far.Close())
	}
	g, err := b.Instance.AddInterface(far, b.InterfaceConfig)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close(), far.Close())
	}
	return f, g, nil
}
