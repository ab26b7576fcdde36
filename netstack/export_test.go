// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// SmoothedRTT is what gVisor estimates for a connection of one of our sockets (SRTT of RFC 6298); 0 if it knows no such.
func (i *Instance) SmoothedRTT(c net.Conn) time.Duration {
	local, remote := addrPortOf(c.LocalAddr()), addrPortOf(c.RemoteAddr())
	for _, at := range i.host.stack.RegisteredEndpoints() {
		ep := at.(tcpip.Endpoint)
		from, err := ep.GetLocalAddress()
		if err != nil || from.Port != local.Port() {
			continue
		}
		to, err := ep.GetRemoteAddress()
		if err != nil || to.Port != remote.Port() {
			continue
		}
		var info tcpip.TCPInfoOption
		if err := ep.GetSockOpt(&info); err == nil {
			return info.RTT
		}
	}
	return 0
}
