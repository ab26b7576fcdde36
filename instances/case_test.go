// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// The cases of spec 11 that are about instances.

// A journal notes what callbacks do.
type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

// take returns what was noted since the last take.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	taken := j.entries
	j.entries = nil
	return taken
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, j.take()); diff != "" {
		t.Error(diff)
	}
}

// descriptor returns one that notes its callbacks, as "create m red".
func (j *journal) descriptor(name string) instances.Descriptor {
	return instances.Descriptor{
		Name: name,
		Create: func(i *netstack.Instance) (any, error) {
			j.add("create %s %s", name, i.Name())
			return name, nil
		},
		Shutdown: func(i *netstack.Instance, _ any) { j.add("shutdown %s %s", name, i.Name()) },
		Destroy:  func(i *netstack.Instance, _ any) { j.add("destroy %s %s", name, i.Name()) },
	}
}

func newManager(t *testing.T, names ...string) *instances.Manager {
	t.Helper()
	m := instances.New(instances.Config{})
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range names {
		create(t, m, name)
	}
	return m
}

func find(t *testing.T, m *instances.Manager, name string) *netstack.Instance {
	t.Helper()
	i, ok := m.Find(name)
	if !ok {
		t.Fatalf("no instance %s", name)
	}
	return i
}

func register(t *testing.T, m *instances.Manager, d instances.Descriptor) *instances.Registration {
	t.Helper()
	r, err := m.Register(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func unregister(t *testing.T, r *instances.Registration) {
	t.Helper()
	if err := r.Unregister(); err != nil {
		t.Error(err)
	}
}

func destroy(t *testing.T, m *instances.Manager, i *netstack.Instance) {
	t.Helper()
	if err := m.Destroy(i.ID()); err != nil {
		t.Error(err)
	}
}

// announced returns a channel that is closed when the end of an instance has been announced: its Shutdown is called.
func announced(t *testing.T, i *netstack.Instance) <-chan struct{} {
	t.Helper()
	told := make(chan struct{})
	var once sync.Once
	notifier, err := i.Hooks().Notify("announced", func(n hooks.Notification) {
		if n.Command == hooks.CommandUnregister {
			once.Do(func() { close(told) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notifier.Unregister() })
	return told
}

func TestCase001_CreateRunsForLiveInstancesBeforeRegisterReturns(t *testing.T) {
	var j journal
	m := newManager(t, "red", "blue")
	register(t, m, j.descriptor("m"))
	j.want(t, "create m red", "create m blue")
}

func TestCase002_CreateAndDestroyAreRequired(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	for name, spoil := range map[string]func(*instances.Descriptor){
		"no create":  func(d *instances.Descriptor) { d.Create = nil },
		"no destroy": func(d *instances.Descriptor) { d.Destroy = nil },
		"no name":    func(d *instances.Descriptor) { d.Name = "" },
	} {
		d := j.descriptor("m")
		spoil(&d)
		if _, err := m.Register(d); !errors.Is(err, netstack.ErrInvalid) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	j.want(t)
	register(t, m, j.descriptor("m")) // the failures left no trace
}

func TestCase003_ShutdownIsOptional(t *testing.T) {
	var j journal
	m := newManager(t, "red", "blue")
	d := j.descriptor("m")
	d.Shutdown = nil
	r := register(t, m, d)
	j.take()
	unregister(t, r)
	j.want(t, "destroy m red", "destroy m blue")
}

func TestCase004_NamesAreUnique(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	r := register(t, m, j.descriptor("m"))
	j.take()
	if _, err := m.Register(j.descriptor("m")); !errors.Is(err, netstack.ErrExists) || !errors.Is(err, syscall.EEXIST) {
		t.Error(err)
	}
	j.want(t)
	unregister(t, r)
	j.want(t, "shutdown m red", "destroy m red")
	register(t, m, j.descriptor("m")) // the name is free again
}

// There is no version argument; the version that is left is that of the kstats.
func TestCase005_VersionIsOne(t *testing.T) {
	m := newManager(t, "red")
	red := find(t, m, "red")
	handle, err := red.Register(packet.Inet, packet.PhysicalIn, packet.Hook{
		Name: "h", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Unregister()
	for k := range red.Kstats() {
		if k.Class == "hook" {
			if diff := cmp.Diff(netstack.KstatValue{Name: "version", Value: int64(1)}, k.Values[0]); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
	t.Error("no kstat of the hook")
}

func TestCase006_CreateRunsBeforeTheInstanceCanBeFound(t *testing.T) {
	var j journal
	m := newManager(t)
	d := j.descriptor("m")
	d.Create = func(i *netstack.Instance) (any, error) {
		j.add("create m %s", i.Name())
		if _, found := m.Get(i.ID()); found {
			t.Error("found by id")
		}
		if _, found := m.Find(i.Name()); found {
			t.Error("found by name")
		}
		for range m.All() {
			t.Error("found among all")
		}
		if _, err := m.Create(netstack.Config{Name: "red"}); !errors.Is(err, netstack.ErrExists) {
			t.Errorf("its name is taken already: %v", err)
		}
		return "context", nil
	}
	register(t, m, d)
	register(t, m, j.descriptor("n"))
	j.want(t)
	create(t, m, "red")
	j.want(t, "create m red", "create n red")
}

func TestCase007_ShutdownWaitsForCreate(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	red := find(t, m, "red")
	told := announced(t, red)
	d := j.descriptor("m")
	entered, blocked := make(chan struct{}), make(chan struct{})
	d.Create = func(*netstack.Instance) (any, error) {
		close(entered)
		<-blocked
		j.add("create has returned")
		return "context", nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { register(t, m, d) })
	<-entered
	wg.Go(func() { destroy(t, m, red) })
	<-told
	if _, found := m.Find("red"); found {
		t.Error("an instance that ends is found")
	}
	close(blocked)
	wg.Wait()
	j.want(t, "create has returned", "shutdown m red", "destroy m red")
}

func TestCase008_DestroyWaitsForShutdown(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	red := find(t, m, "red")
	told := announced(t, red)
	d := j.descriptor("m")
	entered, blocked := make(chan struct{}), make(chan struct{})
	d.Shutdown = func(*netstack.Instance, any) {
		close(entered)
		<-blocked
		j.add("shutdown has returned")
	}
	r := register(t, m, d)
	j.take()
	var wg sync.WaitGroup
	wg.Go(func() { unregister(t, r) })
	<-entered
	wg.Go(func() { destroy(t, m, red) })
	<-told
	close(blocked)
	wg.Wait()
	j.want(t, "shutdown has returned", "destroy m red")
}

func TestCase009_AllShutdownsPrecedeTheFirstDestroy(t *testing.T) {
	var j journal
	m := newManager(t, "red", "blue")
	r := register(t, m, j.descriptor("m"))
	j.take()
	unregister(t, r)
	j.want(t, "shutdown m red", "shutdown m blue", "destroy m red", "destroy m blue")
}

func TestCase010_ContextIsHandedOn(t *testing.T) {
	m := newManager(t, "red", "blue")
	contexts := map[*netstack.Instance]*int{}
	check := func(what string) func(*netstack.Instance, any) {
		return func(i *netstack.Instance, context any) {
			if context != contexts[i] {
				t.Errorf("%s %s: %v, want %v", what, i.Name(), context, contexts[i])
			}
		}
	}
	r := register(t, m, instances.Descriptor{
		Name: "m",
		Create: func(i *netstack.Instance) (any, error) {
			contexts[i] = new(int)
			return contexts[i], nil
		},
		Shutdown: check("shutdown"),
		Destroy:  check("destroy"),
	})
	destroy(t, m, find(t, m, "red"))
	unregister(t, r)
	if len(contexts) != 2 {
		t.Errorf("%d contexts", len(contexts))
	}
}

func TestCase011_InstancesInShutdownAreSkipped(t *testing.T) {
	var j journal
	m := newManager(t, "red", "blue")
	entered, blocked := make(chan struct{}), make(chan struct{})
	slow := j.descriptor("slow")
	slow.Shutdown = func(*netstack.Instance, any) {
		close(entered)
		<-blocked
	}
	register(t, m, slow)
	j.take()
	red := find(t, m, "red")
	var wg sync.WaitGroup
	wg.Go(func() { destroy(t, m, red) })
	<-entered
	late := register(t, m, j.descriptor("late"))
	j.want(t, "create late blue")
	if failed := late.Failed(); len(failed) != 0 {
		t.Errorf("failed: %v", failed)
	}
	close(blocked)
	wg.Wait()
	j.want(t, "destroy slow red")
}

func TestCase012_NothingIsTornDownTwice(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	r := register(t, m, j.descriptor("m"))
	destroy(t, m, find(t, m, "red"))
	j.want(t, "create m red", "shutdown m red", "destroy m red")
	unregister(t, r)
	j.want(t)
}

func TestCase013_UnregisterOfWhatIsNotRegistered(t *testing.T) {
	var j journal
	m := newManager(t, "red")
	r := register(t, m, j.descriptor("m"))
	unregister(t, r)
	j.take()
	for name, unknown := range map[string]*instances.Registration{"second use": r, "no registration": {}} {
		if err := unknown.Unregister(); !errors.Is(err, netstack.ErrNotFound) || !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s: %v", name, err)
		}
	}
	j.want(t)
}

// In each callback, and whoever called for it.
func TestCase014_UnregisterInOwnCallback(t *testing.T) {
	var j journal
	m := newManager(t)
	var r *instances.Registration
	try := func(where string, i *netstack.Instance) {
		j.add("%s %s", where, i.Name())
		if err := r.Unregister(); !errors.Is(err, instances.ErrInCallback) || !errors.Is(err, syscall.EDEADLK) {
			t.Errorf("unregister in %s: %v", where, err)
		}
		if err := m.Destroy(i.ID()); !errors.Is(err, instances.ErrInCallback) {
			t.Errorf("destroy in %s: %v", where, err)
		}
		if err := m.Close(); !errors.Is(err, instances.ErrInCallback) {
			t.Errorf("close in %s: %v", where, err)
		}
	}
	r = register(t, m, instances.Descriptor{
		Name: "m",
		Create: func(i *netstack.Instance) (any, error) {
			try("create", i)
			return "context", nil
		},
		Shutdown: func(i *netstack.Instance, _ any) { try("shutdown", i) },
		Destroy:  func(i *netstack.Instance, _ any) { try("destroy", i) },
	})
	red := create(t, m, "red")
	create(t, m, "blue")
	j.want(t, "create red", "create blue")
	destroy(t, m, red)
	j.want(t, "shutdown red", "destroy red")
	unregister(t, r)
	j.want(t, "shutdown blue", "destroy blue")
	create(t, m, "green") // the refusals changed nothing: the manager is not closed
}

// In Shutdown, because the instance ends: nothing is found or registered any more, and everything can be given back.
func TestCase015_ShutdownCallbackOfAnEndingInstance(t *testing.T) {
	m := newManager(t)
	type context struct {
		inet     *netstack.Protocol
		event    *hooks.Event[*packet.Context]
		hook     *hooks.Handle
		notifier [3]*hooks.Notifier
		kstat    *netstack.Kstat
	}
	h := packet.Hook{Name: "h", Func: func(*packet.Context) hooks.Verdict { return hooks.Accept }}
	ignore := func(hooks.Notification) {}
	var counter atomic.Uint64
	kstat := netstack.KstatConfig{Module: "m", Name: "k", Counters: []netstack.KstatCounter{{Name: "n", Value: &counter}}}
	ended := false
	register(t, m, instances.Descriptor{
		Name: "m",
		Create: func(i *netstack.Instance) (any, error) {
			var c context
			var errs [8]error
			c.inet, errs[0] = i.Protocol("NHF_INET")
			family, err := i.Hooks().Family("inet")
			if err != nil {
				return nil, err
			}
			c.event, errs[1] = hooks.FindEvent[*packet.Context](family, "PHYSICAL_IN")
			c.hook, errs[2] = i.Register(packet.Inet, packet.PhysicalIn, h)
			c.notifier[0], errs[3] = i.Hooks().Notify("n", ignore)
			c.notifier[1], errs[4] = family.Notify("n", ignore)
			c.notifier[2], errs[5] = c.event.Notify("n", ignore)
			c.kstat, errs[6] = i.CreateKstat(kstat)
			_, errs[7] = c.inet.NICName(1)
			return &c, errors.Join(errs[:]...)
		},
		Shutdown: func(i *netstack.Instance, state any) {
			c := state.(*context)
			_, lookup := i.Protocol("inet")
			_, family := i.Hooks().Family("inet")
			_, accessor := c.inet.NICName(1)
			_, hook := c.event.Register(packet.Hook{Name: "late", Func: h.Func})
			_, throughInstance := i.Register(packet.Inet, packet.PhysicalIn, packet.Hook{Name: "late", Func: h.Func})
			_, notifier := c.event.Notify("late", ignore)
			_, create := i.CreateKstat(kstat)
			for what, err := range map[string]error{
				"lookup": lookup, "family": family, "accessor": accessor, "hook": hook, "hook by the instance": throughInstance,
				"notifier": notifier, "kstat": create,
			} {
				if !errors.Is(err, netstack.ErrClosed) || !errors.Is(err, syscall.ESHUTDOWN) {
					t.Errorf("%s: %v, want %v", what, err, netstack.ErrClosed)
				}
			}
			errs := []error{c.hook.Unregister(), c.kstat.Delete()}
			for _, n := range c.notifier {
				errs = append(errs, n.Unregister())
			}
			errs = append(errs, c.inet.Release())
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			ended = true
		},
		Destroy: func(i *netstack.Instance, _ any) {
			if left := i.Hooks().Leftovers(); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		},
	})
	var log bytes.Buffer
	i, err := m.Create(netstack.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	destroy(t, m, i)
	if !ended {
		t.Error("Shutdown was not called")
	}
	if log.Len() != 0 {
		t.Errorf("log: %s", &log)
	}
}

// If it is the registration that ends, the instance is as alive as before.
func TestCase015_ShutdownCallbackOfAnEndingRegistration(t *testing.T) {
	m := newManager(t, "red")
	r := register(t, m, instances.Descriptor{
		Name:   "m",
		Create: func(*netstack.Instance) (any, error) { return "context", nil },
		Shutdown: func(i *netstack.Instance, _ any) {
			inet, err := i.Protocol("inet")
			if err != nil {
				t.Error(err)
				return
			}
			inet.Release()
		},
		Destroy: func(i *netstack.Instance, _ any) {
			if _, found := m.Get(i.ID()); !found {
				t.Error("the instance is gone")
			}
		},
	})
	unregister(t, r)
}

// A failed Create concerns that instance only: the other callbacks are not called for it, the error is told, and both the
// instance and the registration live on.
func TestCase016_CreateFails(t *testing.T) {
	refusal := errors.New("not with me")
	for name, c := range map[string]struct {
		create func() (any, error)
		want   error
		log    string
	}{
		"no context":            {func() (any, error) { return nil, nil }, netstack.ErrInvalid, "neither a context nor an error"},
		"an error":              {func() (any, error) { return nil, refusal }, refusal, "not with me"},
		"a context, but error":  {func() (any, error) { return "context", refusal }, refusal, "not with me"},
		"a panic":               {func() (any, error) { panic("oops") }, nil, "panic: oops"},
		"a panic with an error": {func() (any, error) { panic(refusal) }, nil, "panic: not with me"},
	} {
		t.Run(name, func(t *testing.T) {
			var j journal
			var log bytes.Buffer
			m := instances.New(instances.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			defer m.Close()
			red, blue := create(t, m, "red"), create(t, m, "blue")
			d := j.descriptor("m")
			d.Create = func(i *netstack.Instance) (any, error) {
				if i != blue {
					return c.create()
				}
				return "context", nil
			}
			r := register(t, m, d)
			green := create(t, m, "green") // a new instance is no different
			failed := r.Failed()
			for _, i := range []*netstack.Instance{red, green} {
				if err := failed[i.ID()]; err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.log) {
					t.Errorf("failed for %s: %v", i.Name(), err)
				}
				if !strings.Contains(log.String(), `descriptor=m instance=`+i.Name()+` error=`) || !strings.Contains(log.String(), c.log) {
					t.Errorf("log: %s", &log)
				}
			}
			if len(failed) != 2 {
				t.Errorf("failed: %v", failed)
			}
			destroy(t, m, green)
			j.want(t)
			if _, still := r.Failed()[green.ID()]; still {
				t.Error("failed for an instance that is gone")
			}
			unregister(t, r)
			j.want(t, "shutdown m blue", "destroy m blue")
			if failed := r.Failed(); len(failed) != 0 {
				t.Errorf("failed after Unregister: %v", failed)
			}
		})
	}
}

// An id that is not known is not found; who kept the instance itself can look nothing up and create nothing on it.
func TestCase019_UnknownInstance(t *testing.T) {
	m := newManager(t, "red")
	red := find(t, m, "red")
	destroy(t, m, red)
	for _, id := range []hooks.InstanceID{0, red.ID(), red.ID() + 1} {
		if i, found := m.Get(id); found || i != nil {
			t.Errorf("%d is found: %v", id, i)
		}
		if err := m.Destroy(id); !errors.Is(err, netstack.ErrNotFound) || !errors.Is(err, syscall.ESRCH) {
			t.Errorf("destroy %d: %v", id, err)
		}
	}
	var n atomic.Uint64
	kstat, err := red.CreateKstat(netstack.KstatConfig{Module: "m", Name: "k", Counters: []netstack.KstatCounter{{Name: "n", Value: &n}}})
	if kstat != nil || !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("create kstat: %v, %v", kstat, err)
	}
	if inet, err := red.Protocol("inet"); inet != nil || !errors.Is(err, netstack.ErrClosed) {
		t.Errorf("protocol: %v, %v", inet, err)
	}
}
