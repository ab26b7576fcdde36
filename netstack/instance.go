// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/packet"
)

// Config describes an instance. It is copied by New.
type Config struct {
	// ID tells this instance from the others of the process in hooks and notifications; never 0. The package instances
	// gives them out; default: 1.
	ID hooks.InstanceID
	// Name is for people: logs and reports. Default: the id in decimal.
	Name string
	// Logger receives what an operator should know, never a line per packet. Default: nothing is logged.
	Logger *slog.Logger
	// DisableForwarding makes the instance a host: packets for other destinations are dropped in silence and counted
	// (RFC 1812 section 5.2, ip_forward = 0).
	DisableForwarding bool
	// PanicLimit is how many panics of one hook are borne before it is disabled. Default: 1.
	PanicLimit int
	// Budget limits what the instance may use. Default: no limits.
	Budget Budget
	// Now is a monotonic clock with any beginning, that of TCPContext.Now and of the idle times of flows. Default: the
	// system's. Tests that bring their own make it safe for concurrent use.
	Now func() time.Duration
}

// An Instance is one independent TCP/IP stack: interfaces, a forwarding table, hook points and a host stack of its own.
// Its methods may be called by any goroutine, those that only read also from inside hooks.
type Instance struct {
	id         hooks.InstanceID
	name       string
	log        *slog.Logger
	forwarding bool

	hooks     *hooks.Stack
	points    hookPoints
	protocols protocols

	hhook   *hhook.Points
	helpers *khelp.Helpers
	tcp     tcpPoints
	sockets sockets
	now     func() time.Duration

	budget Budget
	kstats kstats

	fib  *fib
	host *hostStack

	injectIn, injectOut *queue

	nicEvents nicEvents

	icmp     icmpLimiter
	errorID  atomic.Uint32 // identification of the last ICMPv4 error
	pathMTUs pathMTUs
	stats    counters
	slots    atomic.Uint32 // next worker number

	mu         sync.Mutex
	interfaces atomic.Pointer[[]*Interface]  // sorted by index; replaced as a whole under mu
	nextIndex  uint32                        // guarded by mu; indexes are never reused
	own        atomic.Pointer[addressFilter] // what nobody outside may claim to be; replaced as a whole under mu
	closed     bool                          // guarded by mu

	shutdown sync.Once
	closing  chan struct{} // closed by the first Close
	done     chan struct{} // closed when Close has finished
}

// New makes an instance with a loopback interface (lo, index 1, 127.0.0.1/8 and ::1/128) and no other. Close it to get
// its goroutines back.
func New(cfg Config) (*Instance, error) {
	if cfg.ID == 0 {
		cfg.ID = 1
	}
	if cfg.Name == "" {
		cfg.Name = fmt.Sprint(cfg.ID)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = monotonic
	}
	if err := cfg.Budget.validate(); err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	i := &Instance{
		id:         cfg.ID,
		name:       cfg.Name,
		log:        cfg.Logger.With("instance", cfg.Name),
		forwarding: !cfg.DisableForwarding,
		budget:     cfg.Budget,
		now:        cfg.Now,
		fib:        newFIB(cfg.Budget.Routes),
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
	}
	i.injectIn = newQueue(i, packet.ReasonInjectQueueFull, carryIn)
	i.injectOut = newQueue(i, packet.ReasonInjectQueueFull, carryOut)
	i.injectIn.setBudget(cfg.Budget.QueuedInjections)
	i.injectOut.setBudget(cfg.Budget.QueuedInjections)
	i.nicEvents.open(i)
	i.interfaces.Store(new([]*Interface))
	i.own.Store(new(addressFilter))
	i.icmp.init()
	i.errorID.Store(rand.Uint32())
	i.pathMTUs.init()
	i.hooks = hooks.NewStack(hooks.StackConfig{Instance: i.id, Logger: i.log, MaxHooks: i.budget.Hooks})
	if err := i.protocols.open(i); err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	if err := i.points.open(i.hooks, cfg.PanicLimit); err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	i.hhook = hhook.New(hhook.Config{Instance: i.id, Logger: i.log, PanicLimit: cfg.PanicLimit})
	i.helpers = khelp.New(i.hhook, i.log)
	if err := i.tcp.open(i); err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	if err := i.sockets.register(i.hhook, i.helpers); err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	host, err := newHostStack(i)
	if err != nil {
		return nil, opError("new instance", cfg.Name, err)
	}
	i.host = host
	i.nextIndex = 1
	if _, err := i.addInterface(nil, InterfaceConfig{
		Name:      "lo",
		MTU:       loopbackMTU,
		Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")},
	}); err != nil {
		return nil, opError("new instance", cfg.Name, errors.Join(err, i.Close()))
	}
	return i, nil
}

// ID returns the instance's number; it stays the same and no other instance of its manager ever gets it.
func (i *Instance) ID() hooks.InstanceID { return i.id }

// Name returns the instance's name.
func (i *Instance) Name() string { return i.name }

// Hooks returns the instance's hook stack: its families and events, notification and statistics.
func (i *Instance) Hooks() *hooks.Stack { return i.hooks }

// Interfaces iterates over the interfaces by ascending index, on one snapshot. It may be used inside hooks.
func (i *Instance) Interfaces() iter.Seq[*Interface] {
	return func(yield func(*Interface) bool) {
		for _, f := range *i.interfaces.Load() {
			if !yield(f) {
				return
			}
		}
	}
}

// InterfaceByIndex finds an interface by its index, as hooks are told it. It may be used inside hooks.
func (i *Instance) InterfaceByIndex(index uint32) (*Interface, bool) {
	list := *i.interfaces.Load()
	at, found := searchInterfaces(list, index)
	if !found {
		return nil, false
	}
	return list[at], true
}

// searchInterfaces returns where in a list the interface of an index is, or would be.
func searchInterfaces(list []*Interface, index uint32) (at int, found bool) {
	return slices.BinarySearchFunc(list, index, func(f *Interface, index uint32) int { return cmp.Compare(f.Index(), index) })
}

// Interface finds an interface by its name. It may be used inside hooks.
func (i *Instance) Interface(name string) (*Interface, bool) {
	for f := range i.Interfaces() {
		if f.name == name {
			return f, true
		}
	}
	return nil, false
}

// Shutdown announces the instance's end: there are no protocols any more, its events and families are shut down, everybody
// who watches them is told, and nobody may register anything more (ErrClosed). Packets and hooks go on; what is registered
// or held can be given back. It is the first half of Close, for owners who have something to do in between. Further calls
// do nothing.
func (i *Instance) Shutdown() {
	i.shutdown.Do(func() {
		i.kstats.shutdown()
		i.protocols.shutdown()
		if err := i.points.shutdown(i.hooks); err != nil {
			i.log.Warn("shutdown of hook points", "error", err)
		}
	})
}

// Close ends all connections, closes all interfaces and their devices, and returns when every goroutine of the instance
// has ended. Hooks still registered simply stop being called, kstats are deleted; both are named in the log. Further calls
// wait for the first. From inside what it would wait for (InHook) it is refused with hooks.ErrInHook; not so from a hook of
// NIC_EVENTS: that it does not wait for, and the events behind are lost, which else are delivered before it returns.
func (i *Instance) Close() error {
	if InHook() {
		return opError("close instance", i.name, hooks.ErrInHook)
	}
	i.mu.Lock()
	first := !i.closed
	i.closed = true
	i.mu.Unlock()
	if !first {
		if !insideNICEvent() {
			<-i.done
		}
		return nil
	}
	defer close(i.done)
	i.Shutdown()
	close(i.closing)
	i.injectIn.close()
	i.injectOut.close()
	i.sockets.close()
	i.host.close() // connections are reset while their packets can still leave
	var errs []error
	for f := range i.Interfaces() {
		errs = append(errs, f.Close())
	}
	i.host.destroy()
	i.pathMTUs.close()
	i.nicEvents.close()
	i.tcp.close(i)
	if err := i.points.remove(i.hooks); err != nil {
		i.log.Warn("instance closed with hooks or notifiers still registered", "error", err)
	}
	if left := i.kstats.remove(); len(left) > 0 {
		i.log.Warn("instance closed with kstats that nobody deleted", "kstats", left)
	}
	if left := i.protocols.close(); len(left) > 0 {
		i.log.Warn("instance closed with protocols still in use", "left", left)
	}
	return errors.Join(errs...)
}
