// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/packet"
)

// A stopwatch knows the round-trip times of the router's TCP flows: what the ertt helper keeps on them, written down from time
// to time, as flows come and go.
type stopwatch struct {
	router *netstack.Instance
	helper *khelp.Helper

	mu    sync.Mutex
	flows []Flow // in the order in which they were first seen
}

func startStopwatch(router *netstack.Instance) (*stopwatch, error) {
	helper, err := router.Helpers().Load(ertt.Helper(ertt.Config{}))
	if err != nil {
		return nil, err
	}
	return &stopwatch{router: router, helper: helper}, nil
}

func (s *stopwatch) stop() error { return s.router.UnloadHelper(s.helper) }

// read writes down how all flows are doing now. Ends whose segments nobody has acknowledged yet are left out.
func (s *stopwatch) read() error {
	var now []Flow
	id := s.helper.ID()
	err := s.router.EachFlow(func(client, server *netstack.FlowEnd) {
		for _, end := range []*netstack.FlowEnd{client, server} {
			if data := khelp.Get[ertt.Data](end, id); data != nil && data.RTT != 0 {
				now = append(now, Flow{
					From: end.Local, To: end.Remote, Terminated: end.Terminated, Bytes: end.Bytes,
					RTT: data.RTT.Seconds(), MinRTT: data.MinRTT.Seconds(), MaxRTT: data.MaxRTT.Seconds(),
				})
			}
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range now {
		if at := s.find(f.From, f.To); at >= 0 {
			s.flows[at] = f
		} else {
			s.flows = append(s.flows, f)
		}
	}
	return err
}

// find returns where a flow is, -1 if nowhere. s.mu is held.
func (s *stopwatch) find(from, to netip.AddrPort) int {
	return slices.IndexFunc(s.flows, func(f Flow) bool { return f.From == from && f.To == to })
}

// all returns what was written down.
func (s *stopwatch) all() []Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Flow{}, s.flows...) // never null in JSON
}

// watch reads again and again until ctx is done, and tells of the flow to a port of blue's.
func (s *stopwatch) watch(ctx context.Context, port uint16, tell func(Flow)) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := s.read(); err != nil {
			return err
		}
		for _, f := range s.all() {
			if f.To.Port() == port {
				tell(f)
			}
		}
	}
}

// reviewRTTs looks at the round-trip times of the transfer through the router.
func (r *runner) reviewRTTs(context.Context, packet.Family) (string, error) {
	if err := r.stopwatch.read(); err != nil {
		return "", err
	}
	r.report.Flows = r.stopwatch.all()
	for _, f := range r.report.Flows {
		if f.To == netip.AddrPortFrom(blueHost.inet.Addr(), sinkPort) {
			return fmt.Sprintf("%s of TCP, %s", size(f.Bytes), f.times()), nil
		}
	}
	return "", errors.New("none of the transfer")
}

// times says what was measured.
func (f Flow) times() string {
	return fmt.Sprintf("RTT %s, min %s, max %s", shortSeconds(f.RTT), shortSeconds(f.MinRTT), shortSeconds(f.MaxRTT))
}
