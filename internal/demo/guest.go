// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

const (
	guestName = "guest" // of the instance, and of the router's interface to it

	// greetingSize is that of the UDP payload that the guest has echoed; it fits into one packet.
	greetingSize = 1200
	// greetAgain is how long the guest waits for an echo before it sends once more.
	greetAgain = 250 * time.Millisecond
)

// aLife is what the hooks of NIC_EVENTS are told of an interface with one address, for each family.
var aLife = []packet.NICEventType{
	packet.NICPlumb, packet.NICUp, packet.NICLIFUp, packet.NICLIFDown, packet.NICDown, packet.NICUnplumb,
}

// A guest is an instance that comes and goes while the transfer runs, and what came of that.
type guest struct {
	greetings map[packet.Family]outcome
	stay      time.Duration // from before it was created until it was gone
	passed    uint64        // bytes of TCP that arrived in that time
	err       error         // why it did not all come about
}

// An outcome is what a tryFunc returns.
type outcome struct {
	seen string
	err  error
}

// receiveGuest has a guest under traffic and writes down what came of it. Traffic is what makes arrived, a number of
// bytes, grow: it has to before the guest comes, while it is there and when it has gone.
func (r *runner) receiveGuest(ctx context.Context, arrived *atomic.Uint64) {
	select {
	case <-time.After(r.transfer / 2): // in the midst of it, at full speed
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	r.guest = guest{greetings: make(map[packet.Family]outcome)}
	w, err := watchNICs(r.router)
	if err == nil {
		err = r.watchGuest(ctx, w, arrived)
	}
	r.guest.err = errors.Join(err, w.unregister())
	r.report.NICEvents = append(r.report.NICEvents, w.events...)
}

func (r *runner) watchGuest(ctx context.Context, w *nicWatcher, arrived *atomic.Uint64) error {
	if err := more(ctx, arrived); err != nil {
		return err
	}
	start, before := time.Now(), arrived.Load()
	if err := r.haveGuest(ctx, arrived); err != nil {
		return err
	}
	r.guest.stay, r.guest.passed = time.Since(start), arrived.Load()-before
	return errors.Join(w.wait(ctx), more(ctx, arrived))
}

// haveGuest creates the guest, joins it to the router by a cable and takes it all away again, whatever happens.
func (r *runner) haveGuest(ctx context.Context, arrived *atomic.Uint64) error {
	i, err := r.manager.Create(netstack.Config{Name: guestName})
	if err != nil {
		return err
	}
	near, _, err := r.manager.Cable(
		instances.CableEnd{Instance: r.router, InterfaceConfig: netstack.InterfaceConfig{Name: guestName, MTU: mtu, Addresses: guestSide.prefixes()}},
		instances.CableEnd{Instance: i, InterfaceConfig: netstack.InterfaceConfig{Name: routerName, MTU: mtu, Addresses: guestHost.prefixes()}},
	)
	if err != nil {
		return errors.Join(err, r.manager.Destroy(i.ID()))
	}
	err = r.entertain(ctx, i, arrived)
	// With the guest's end of the cable the router's interface loses its device, which is DOWN; then that goes, too.
	return errors.Join(err, r.manager.Destroy(i.ID()), near.Close())
}

// entertain has the guest exchange packets with blue by way of the router.
func (r *runner) entertain(ctx context.Context, i *netstack.Instance, arrived *atomic.Uint64) error {
	err := i.AddRoutes(
		netstack.Route{Destination: defaultRoutes.inet, Interface: routerName, Gateway: guestSide.inet.Addr()},
		netstack.Route{Destination: defaultRoutes.inet6, Interface: routerName, Gateway: guestSide.inet6.Addr()},
	)
	if err != nil {
		return err
	}
	for _, family := range families {
		seen, err := greet(ctx, i.Dial, at(blueHost.of(family), echoPort))
		r.guest.greetings[family] = outcome{seen, err}
	}
	return more(ctx, arrived)
}

// greet sends a datagram to a server that echoes, again and again until an echo comes back.
func greet(ctx context.Context, dial dialFunc, to string) (string, error) {
	conn, err := dial(ctx, "udp", to)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	sent, b := page()[:greetingSize], make([]byte, mtu)
	for {
		start := time.Now()
		if _, err := conn.Write(sent); err != nil {
			return "", err
		}
		if err := conn.SetReadDeadline(start.Add(greetAgain)); err != nil {
			return "", err
		}
		n, err := conn.Read(b)
		switch {
		case err == nil && !bytes.Equal(b[:n], sent):
			return "", fmt.Errorf("%d bytes sent, %d other bytes back", len(sent), n)
		case err == nil:
			return fmt.Sprintf("%s → %s, echoed in %s", hostOf(conn.LocalAddr()), to, short(time.Since(start))), nil
		case ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return "", err
		}
	}
}

// hostOf returns the address of a UDP address without the port.
func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// more waits until more bytes have arrived than there are now.
func more(ctx context.Context, arrived *atomic.Uint64) error {
	for before := arrived.Load(); arrived.Load() == before; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("TCP does not go on: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// A nicWatcher keeps what the hooks of NIC_EVENTS are told about the router's interface to the guest.
type nicWatcher struct {
	handles []*hooks.Handle
	events  []NICEvent    // written by the hooks, which run one at a time; to be read after unregister
	gone    chan struct{} // a hook sends when a family is unplumbed
}

// watchNICs registers a hook for each family. There is a watcher even if that fails.
func watchNICs(router *netstack.Instance) (*nicWatcher, error) {
	w := &nicWatcher{gone: make(chan struct{}, len(families))}
	var errs []error
	for _, family := range families {
		handle, err := router.RegisterNICEvents(family, hooks.Hook[packet.NICEvent]{
			Name: "watch",
			Func: func(e packet.NICEvent) hooks.Verdict {
				if e.Name != guestName {
					return hooks.Accept
				}
				w.events = append(w.events, NICEvent{
					Instance: router.Name(), Family: e.Family.String(), Type: e.Type.String(),
					Interface: e.Name, LIF: e.LIF, Address: e.Address,
				})
				if e.Type == packet.NICUnplumb {
					select {
					case w.gone <- struct{}{}:
					default: // more often than there are families
					}
				}
				return hooks.Accept
			},
		})
		if err == nil {
			w.handles = append(w.handles, handle)
		}
		errs = append(errs, err)
	}
	return w, errors.Join(errs...)
}

// wait waits until the interface has gone for all families.
func (w *nicWatcher) wait(ctx context.Context) error {
	for range families {
		select {
		case <-w.gone:
		case <-ctx.Done():
			return fmt.Errorf("no %v: %w", packet.NICUnplumb, ctx.Err())
		}
	}
	return nil
}

func (w *nicWatcher) unregister() error {
	var errs []error
	for _, h := range w.handles {
		errs = append(errs, h.Unregister())
	}
	return errors.Join(errs...)
}

// reviewGuest looks at what the guest got through the router.
func (r *runner) reviewGuest(_ context.Context, family packet.Family) (string, error) {
	if o, ok := r.guest.greetings[family]; ok {
		return o.seen, o.err
	}
	return "", errors.Join(errors.New("no guest"), r.guest.err)
}

// reviewNICEvents looks at what the router told of the guest.
func (r *runner) reviewNICEvents(context.Context, packet.Family) (string, error) {
	if r.guest.err != nil {
		return "", r.guest.err
	}
	for _, family := range families {
		if err := checkLife(r.report.NICEvents, family); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d in order, in %s; %s of TCP meanwhile",
		len(r.report.NICEvents), short(r.guest.stay), size(r.guest.passed)), nil
}

// checkLife checks that the events of a family are those of an interface's life with one address, in order.
func checkLife(events []NICEvent, family packet.Family) error {
	var got, want []string
	for _, typ := range aLife {
		want = append(want, typ.String())
	}
	for _, e := range events {
		if e.Family != family.String() {
			continue
		}
		got = append(got, e.Type)
		if e.LIF != 0 && e.Address != guestSide.prefix(family) {
			return fmt.Errorf("%s %v", e.Type, e.Address)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: %s", common[family.String()], strings.Join(got, ", "))
	}
	return nil
}
