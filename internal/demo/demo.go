// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/hooknet/hooknet/packet"
)

// Config says how the demonstration is run. The zero value works.
type Config struct {
	// Transfer is how long each of the two TCP transfers takes. Default: 2 s.
	Transfer time.Duration
	// Progress is told what is about to be done, in a few words. Default: nobody is told.
	Progress func(step string)
	// Live is told how a step is going, some ten times a second, where there is something to tell. Default: nobody is told.
	Live func(what string)
}

// Run builds the network, sends traffic, takes the network down and returns what happened. The error is for what is no
// result: the network could not be built or taken down, or ctx was done; then there is nothing left of it either.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Transfer == 0 {
		cfg.Transfer = 2 * time.Second
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	if cfg.Live == nil {
		cfg.Live = func(string) {}
	}
	start := time.Now()
	cfg.Progress("building two namespaces and a router")
	n, err := build()
	if err != nil {
		return nil, err
	}
	report, err := n.demonstrate(ctx, cfg)
	cfg.Progress("taking it all down")
	if err = errors.Join(err, n.close()); err != nil {
		return nil, err
	}
	report.Seconds = seconds(time.Since(start))
	return report, nil
}

// demonstrate runs all checks on a network and gathers the results.
func (n *network) demonstrate(ctx context.Context, cfg Config) (report *Report, err error) {
	h, err := registerHooks(n.router)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.unregister()) }()
	watch, err := startStopwatch(n.router)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, watch.stop()) }()
	s, err := n.startServers()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	report = newReport()
	report.System = fmt.Sprintf("%s/%s, %s", runtime.GOOS, runtime.GOARCH, runtime.Version())
	report.Processors = runtime.GOMAXPROCS(0)
	report.Topology = n.topology()
	report.TransferSeconds = cfg.Transfer.Seconds()
	run := &runner{
		network: n, hooks: h, stopwatch: watch, report: report,
		progress: cfg.Progress, live: cfg.Live, transfer: cfg.Transfer, patience: patience,
	}
	for _, c := range run.checks() {
		if err := run.check(ctx, c); err != nil {
			return nil, err
		}
		if err := watch.read(); err != nil {
			return nil, err
		}
	}
	report.OK = report.Failed() == 0
	return report, nil
}

// A runner carries out checks and writes down what came of them.
type runner struct {
	*network
	hooks     *hookSet
	stopwatch *stopwatch
	report    *Report
	progress  func(string)
	live      func(string)
	transfer  time.Duration
	patience  time.Duration
	guest     guest // during the transfer through the router
}

// A trial is something to be tried out, for one family, or with family 0 for none in particular.
type trial struct {
	name     string
	doing    string // for progress
	family   packet.Family
	expected string
	try      tryFunc
}

// A tryFunc returns what it saw, or why that is not what was expected. It gives up when the context is done.
type tryFunc func(context.Context, packet.Family) (seen string, err error)

// patience is how long something is waited for. All ways are inside one machine: what has not arrived by then, even on a
// busy one, will not.
const patience = 10 * time.Second

// check tries one thing. The error is that of ctx: everything else is a result.
func (r *runner) check(ctx context.Context, t trial) error {
	c := Check{Name: t.name, Expected: t.expected}
	step := t.doing
	if t.family != 0 {
		c.Family = t.family.String()
		step += ", " + common[c.Family]
	}
	r.progress(step)
	limited, cancel := context.WithTimeout(ctx, r.patience+r.transfer)
	defer cancel()
	start := time.Now()
	seen, err := t.try(limited, t.family)
	c.Seconds = seconds(time.Since(start))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		c.OK, c.Seen = true, seen
	case limited.Err() != nil:
		c.Seen = fmt.Sprintf("nothing more after %g s (%v)", c.Seconds, err)
		r.patience /= 2 // where one thing is stuck others will be
	default:
		c.Seen = err.Error()
	}
	r.report.Checks = append(r.report.Checks, c)
	return nil
}

// checks lists the trials in the order in which they run: the last ones look back at the others.
func (r *runner) checks() []trial {
	var list []trial
	each := func(name, doing string, expected func(packet.Family) string, try tryFunc) {
		for _, family := range families {
			list = append(list, trial{name, doing, family, expected(family), try})
		}
	}
	each("ping", "ping through the router", func(f packet.Family) string {
		return fmt.Sprintf("%d of %d echoes from %v", pings, pings, blueHost.of(f))
	}, r.ping)
	each("TTL 1", "a packet with TTL 1", func(f packet.Family) string {
		return fmt.Sprintf("Time Exceeded from the router, %v", redSide.of(f))
	}, r.expire)
	each("HTTP", "HTTP by way of the service address", func(f packet.Family) string {
		return fmt.Sprintf("%s, served by %s", size(pageSize), at(blueHost.of(f), serverPort))
	}, r.visitService)
	each("UDP echo", "UDP echoes", func(f packet.Family) string {
		return fmt.Sprintf("%d datagrams echoed by %s", len(datagramSizes), at(blueHost.of(f), echoPort))
	}, r.echo)
	each("blocked port", "knocking at a blocked port", func(f packet.Family) string {
		return fmt.Sprintf("no way to %s", at(blueHost.of(f), blockedPort))
	}, r.knock)
	each("to router", "HTTP from the router itself", func(f packet.Family) string {
		return fmt.Sprintf("%s, served by %s", size(pageSize), at(redSide.of(f), servicePort))
	}, r.visitRouter)
	each("loopback", "HTTP inside the router", func(f packet.Family) string {
		return fmt.Sprintf("%s, served by %s", size(pageSize), at(blueSide.of(f), servicePort))
	}, r.visitItself)
	list = append(list,
		trial{"TCP", fmt.Sprintf("TCP through the router for %v", r.transfer), packet.Inet, "bytes that arrive", r.measureRouter},
		trial{"TCP, veth", fmt.Sprintf("TCP without a router for %v", r.transfer), packet.Inet, "bytes that arrive", r.measureDirect},
	)
	list = append(list, trial{"RTT", "looking back at round-trip times", packet.Inet, "round-trip times of the transfer", r.reviewRTTs})
	each("guest", "looking back at an instance that came and went", func(f packet.Family) string {
		return fmt.Sprintf("an echo for %s from %s", guestHost.of(f), at(blueHost.of(f), echoPort))
	}, r.reviewGuest)
	list = append(list, trial{"NIC events", "looking back at NIC events", 0,
		fmt.Sprintf("%d for each family, in order, while TCP goes on", len(aLife)), r.reviewNICEvents})
	each("events", "reading the counters", func(packet.Family) string {
		return fmt.Sprintf("packets at all %d events", len(events))
	}, r.reviewEvents)
	return append(list, trial{"books", "balancing the books", 0, "every packet accounted for", r.reviewBooks})
}

// reviewEvents reads the counters of the hooks.
func (r *runner) reviewEvents(_ context.Context, family packet.Family) (string, error) {
	r.report.Hooks = table(r.router)
	for _, event := range events {
		fired := slices.ContainsFunc(r.report.Hooks, func(h Hook) bool {
			return h.Family == family.String() && h.Event == event.String() && h.Hits > 0
		})
		if !fired {
			return "", fmt.Errorf("no packet at %v", event)
		}
	}
	return fmt.Sprintf("packets at all %d events", len(events)), nil
}

// reviewBooks waits until the router's books balance, which they do as soon as no packet is under way.
func (r *runner) reviewBooks(ctx context.Context, _ packet.Family) (string, error) {
	defer func() { r.report.Drops = r.router.Stats().Drops }()
	for {
		p := packetsOf(r.router.Stats())
		p.Bytes, p.Largest = r.hooks.bytes.Load(), r.hooks.largest.Load()
		r.report.Packets = p
		if p.balanced() {
			return fmt.Sprintf("in %s = out %s + kept %s + dropped %s",
				count(p.in()), count(p.Sent+p.Split+p.Stolen), count(p.Delivered), count(p.Dropped)), nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s packets in, %s accounted for", count(p.in()), count(p.out()))
		case <-time.After(10 * time.Millisecond): // the last packets of a connection
		}
	}
}
