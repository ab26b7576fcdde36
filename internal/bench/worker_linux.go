// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/baseline"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// firstNamespace is the descriptor of the client's namespace in a worker; the server's is the next.
const firstNamespace = 3

// mostQueues is how many queues hooknet-mq has at most: as many as there are streams.
const mostQueues = 4

// Worker is what a process is that Run starts, by Config.Worker: the router of the path with that name, between the
// namespaces it has inherited. It writes a line when it forwards, and returns when the input ends or ctx is done.
func Worker(ctx context.Context, name string, input io.Reader, output io.Writer) error {
	chosen, err := choose("path", paths, func(p Path) string { return p.Name }, []string{name})
	if err != nil {
		return err
	}
	var ends [2]*hostnet.Namespace
	for i, side := range []string{"client", "server"} {
		ends[i] = hostnet.FromFile(side, os.NewFile(firstNamespace+uintptr(i), side))
		defer func() { _ = ends[i].Close() }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the input: at the latest when the process does that has the other end
		_, _ = io.Copy(io.Discard, input)
		cancel()
	}()
	ready := func() error {
		_, err := io.WriteString(output, readyLine)
		return err
	}
	switch r := &chosen[0].router; r.kind {
	case spliceRouter, gvisorRouter:
		return runBaseline(ctx, r, ends, ready)
	case hooknetRouter:
		return runHooknet(ctx, r, ends, ready)
	default:
		return fmt.Errorf("path %s needs no process", name)
	}
}

// runBaseline runs one of the paths that hooknet is measured against.
func runBaseline(ctx context.Context, r *router, ends [2]*hostnet.Namespace, ready func() error) (err error) {
	var tuns [2]*baseline.TUN
	for i, end := range ends {
		err := end.Do(func() (err error) {
			if r.offload {
				tuns[i], err = baseline.OpenTUN(device, true)
			} else {
				tuns[i], err = baseline.OpenPlainTUN(device)
			}
			return err
		})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tuns[i].Close()) }()
	}
	if err := ready(); err != nil {
		return err
	}
	if r.kind == gvisorRouter {
		return baseline.GVisor(ctx, tuns, [2]netip.Prefix{clientRouter, serverRouter}, mtu, r.tuned)
	}
	return baseline.Splice(ctx, tuns[0], tuns[1])
}

// runHooknet runs an instance with two interfaces, as "hooknet run" does.
func runHooknet(ctx context.Context, r *router, ends [2]*hostnet.Namespace, ready func() error) (err error) {
	instance, err := netstack.New(netstack.Config{Name: "router"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, instance.Close()) }()
	cfg := tun.Config{Name: device, Driver: tun.DriverLinux, NoOffload: !r.offload}
	if r.several {
		cfg.Queues = max(2, min(runtime.NumCPU(), mostQueues))
	}
	for i, address := range []netip.Prefix{clientRouter, serverRouter} {
		var dev tun.Device
		err := ends[i].Do(func() (err error) {
			dev, err = tun.Open(cfg)
			return err
		})
		if err != nil {
			return err
		}
		_, err = instance.AddInterface(dev, netstack.InterfaceConfig{
			Name: fmt.Sprintf("port%d", i), MTU: mtu, Addresses: []netip.Prefix{address},
		})
		if err != nil {
			return errors.Join(err, dev.Close())
		}
	}
	for _, event := range []packet.Event{packet.PhysicalIn, packet.Forwarding, packet.PhysicalOut} {
		for i := range r.hooks {
			hook := packet.Hook{Name: fmt.Sprintf("noop%d", i+1), Func: accept}
			if _, err := instance.Register(packet.Inet, event, hook); err != nil {
				return err
			}
		}
	}
	if r.ertt {
		if _, err := instance.Helpers().Load(ertt.Helper(ertt.Config{})); err != nil {
			return err
		}
	}
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// accept is the hook that does nothing.
func accept(*packet.Context) hooks.Verdict { return hooks.Accept }
