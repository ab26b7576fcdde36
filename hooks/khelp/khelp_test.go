// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp_test

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A flow is what the helpers in these tests are about.
type flow struct {
	khelp.Object
	port int
}

// A count is their data.
type count struct{ runs int }

// A bench is an instance with the point tcp/0.
type bench struct {
	*testing.T
	points  *hhook.Points
	point   *hhook.Point
	helpers *khelp.Helpers
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t, points: hhook.New(hhook.Config{Instance: 3})}
	var err error
	b.point, err = b.points.Register(hhook.TCP, 0, hhook.WaitOK)
	wantNone(t, err)
	b.helpers = khelp.New(b.points, nil)
	return b
}

func (b *bench) load(cfg khelp.Config) *khelp.Helper {
	b.Helper()
	h, err := b.helpers.Load(cfg)
	wantNone(b, err)
	return h
}

func (b *bench) create(f *flow) *flow {
	b.Helper()
	wantNone(b, b.helpers.Create(&f.Object, khelp.TCP))
	return f
}

// counting returns a helper that counts the runs of tcp/0 of each flow, and
// writes what happens to it in log.
func counting(name string, log *[]string) khelp.Config {
	note := func(what string) { *log = append(*log, what+" "+name) }
	return khelp.Config{
		Name:    name,
		Classes: khelp.TCP,
		Data: khelp.DataOf[count]{
			New:  func(*count) error { note("new"); return nil },
			Free: func(*count) { note("free") },
		},
		Init:    func() error { note("init"); return nil },
		Destroy: func() { note("destroy") },
		Hooks:   []hhook.Hook{{Type: hhook.TCP, Func: khelp.With(func(_ *hhook.Call, data *count) { data.runs++ })}},
	}
}

func wantLog(tb testing.TB, log *[]string, want string) {
	tb.Helper()
	wantEqual(tb, "log", strings.Join(*log, ", "), want)
	*log = nil
}

func wantNone(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantError(tb testing.TB, err error, wanted ...error) {
	tb.Helper()
	for _, want := range wanted {
		if !errors.Is(err, want) {
			tb.Errorf("got error %v, want %v", err, want)
		}
	}
}

func wantEqual(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestCase112_OlderObjectsAreSkipped(t *testing.T) {
	b := newBench(t)
	var log []string
	old := b.create(&flow{})
	h := b.load(counting("h", &log))
	young := b.create(&flow{})
	for range 3 {
		b.point.RunIf(0, nil, old)
		b.point.RunIf(0, nil, &young.Object)
		b.point.RunIf(0, nil, nil)
	}
	wantEqual(t, "data of the old", khelp.Get[count](old, h.ID()), none[count]())
	wantEqual(t, "runs of the young", khelp.Get[count](young, h.ID()).runs, 3)
	wantEqual(t, "panics", b.points.Stats().Families[0].Events[0].Panics, uint64(0))
	old.Destroy()
	young.Destroy()
	b.point.RunIf(0, nil, young)
	wantLog(t, &log, "init h, new h, free h")
}

func none[T any]() *T { return nil }

func TestCase113_UnloadIsRefusedWhileObjectsCarryData(t *testing.T) {
	b := newBench(t)
	var log []string
	h := b.load(counting("h", &log))
	f := b.create(&flow{})
	wantError(t, b.helpers.Create(&f.Object, khelp.TCP), khelp.ErrUsed)
	err := h.Unload()
	wantError(t, err, khelp.ErrBusy, syscall.EBUSY)
	wantEqual(t, "error", err.Error(), "khelp: unload h: busy")
	err = b.helpers.Close()
	wantError(t, err, khelp.ErrBusy)
	wantEqual(t, "error", err.Error(), "khelp: close: busy: helper h (objects: 1)")
	b.point.RunIf(0, nil, f)
	wantEqual(t, "runs", khelp.Get[count](f, h.ID()).runs, 1) // still loaded
	f.Destroy()
	f.Destroy()
	wantNone(t, h.Unload())
	wantLog(t, &log, "init h, new h, free h, destroy h")
	wantError(t, h.Unload(), khelp.ErrNotFound, syscall.ENOENT)
	wantEqual(t, "active", b.point.Active(), false)
	wantNone(t, b.helpers.Close())
}

func TestCase114_FailedConstructorUndoesTheOthers(t *testing.T) {
	for _, how := range []string{"error", "panic"} {
		b := newBench(t)
		var log []string
		cause := errors.New("too many")
		var helpers []*khelp.Helper
		for _, name := range []string{"a", "b", "c", "d"} {
			cfg := counting(name, &log)
			if name == "c" {
				cfg.Data = khelp.DataOf[count]{New: func(*count) error {
					if how == "panic" {
						panic(cause)
					}
					return cause
				}}
				cfg.Init = nil
			}
			helpers = append(helpers, b.load(cfg))
		}
		log = nil
		f := &flow{}
		err := b.helpers.Create(&f.Object, khelp.TCP)
		wantError(t, err, khelp.ErrData, syscall.ENOMEM)
		if how == "error" {
			wantError(t, err, cause)
		} else {
			wantError(t, err, khelp.ErrPanic)
			wantEqual(t, "panics", b.helpers.Panics(), uint64(1))
		}
		wantLog(t, &log, "new a, new b, free a, free b")
		for _, h := range helpers {
			wantEqual(t, "objects of "+h.Name(), h.Objects(), 0)
			wantEqual(t, "data of "+h.Name(), khelp.Get[count](f, h.ID()), none[count]())
		}
		wantNone(t, b.helpers.Close())
		wantLog(t, &log, "destroy d, destroy c, destroy b, destroy a")
	}
}

func TestCase115_FailedLoadLeavesNoTrace(t *testing.T) {
	b := newBench(t)
	second, err := b.points.Register(hhook.TCP, 1, 0)
	wantNone(t, err)
	_, err = second.Add(hhook.Hook{Name: "h", Func: func(*hhook.Call) {}})
	wantNone(t, err)
	var log []string
	cfg := counting("h", &log)
	cfg.Hooks = append(cfg.Hooks, hhook.Hook{Type: hhook.TCP, ID: 1, Func: func(*hhook.Call) {}})
	_, err = b.helpers.Load(cfg)
	wantError(t, err, hooks.ErrExists, syscall.EEXIST)
	wantEqual(t, "hooks ever on the first point", b.points.Stats().Families[0].Events[0].HooksAdded, uint64(0))
	wantLog(t, &log, "init h, destroy h")
	b.create(&flow{})
	wantLog(t, &log, "")
	_, loaded := b.helpers.ID("h")
	wantEqual(t, "loaded", loaded, false)
	wantNone(t, second.Remove("h"))
	wantEqual(t, "id", b.load(cfg).ID(), 1)

	cause := errors.New("no")
	_, err = b.helpers.Load(khelp.Config{Name: "i", Init: func() error { return cause }})
	wantError(t, err, cause)
	_, err = b.helpers.Load(khelp.Config{Name: "i", Init: func() error { panic(cause) }})
	wantError(t, err, khelp.ErrPanic)
	_, err = b.helpers.Load(khelp.Config{Name: "h"})
	wantError(t, err, hooks.ErrExists)
	_, err = b.helpers.Load(khelp.Config{Name: "i", Data: khelp.DataOf[count]{}})
	wantError(t, err, hooks.ErrInvalid)
	_, err = b.helpers.Load(khelp.Config{})
	wantError(t, err, hooks.ErrInvalid)
}

func TestCase116_HelperWaitsForItsPoint(t *testing.T) {
	b := newBench(t)
	wantNone(t, b.point.Deregister())
	var log []string
	h := b.load(counting("h", &log))
	f := b.create(&flow{})
	for want := 1; want <= 2; want++ {
		point, err := b.points.Register(hhook.TCP, 0, 0)
		wantNone(t, err)
		point.RunIf(0, nil, f)
		wantEqual(t, "runs", khelp.Get[count](f, h.ID()).runs, want)
		wantNone(t, point.Deregister())
	}
}

func TestCase117_NoAllocations(t *testing.T) {
	b := newBench(t)
	f := &flow{}
	if n := testing.AllocsPerRun(1000, func() { _ = b.helpers.Create(&f.Object, khelp.TCP); f.Destroy() }); n != 0 {
		t.Errorf("%v allocations to create with no helper", n)
	}
	var log []string
	h := b.load(counting("h", &log))
	b.create(f)
	if n := testing.AllocsPerRun(1000, func() { b.point.RunIf(0, f, f) }); n != 0 {
		t.Errorf("%v allocations to run with a helper", n)
	}
	wantEqual(t, "runs", khelp.Get[count](f, h.ID()).runs, 1001)
}

func TestCase118_UnknownHelpers(t *testing.T) {
	b := newBench(t)
	id, loaded := b.helpers.ID("h")
	wantEqual(t, "id", id, 0)
	wantEqual(t, "loaded", loaded, false)
	var log []string
	h := b.load(counting("h", &log))
	id, loaded = b.helpers.ID("h")
	wantEqual(t, "id", id, h.ID())
	wantEqual(t, "loaded", loaded, true)
	f := b.create(&flow{})
	for _, id := range []int{-1, 0, 2, 100} {
		wantEqual(t, "data", khelp.Get[count](f, id), none[count]())
	}
	wantEqual(t, "data of another type", khelp.Get[flow](f, h.ID()), none[flow]())
	wantEqual(t, "data on no object", khelp.Get[count](nil, h.ID()), none[count]())
}

// Only objects of its classes get a helper's data; a helper without data runs on all.
func TestClasses(t *testing.T) {
	b := newBench(t)
	var log []string
	h := b.load(counting("tcp", &log))
	runs := 0
	b.load(khelp.Config{Name: "plain", Hooks: []hhook.Hook{{Type: hhook.TCP, Func: func(*hhook.Call) { runs++ }}}})
	f := &flow{}
	wantNone(t, b.helpers.Create(&f.Object, khelp.Socket))
	b.point.RunIf(0, nil, f)
	wantEqual(t, "runs", runs, 1)
	wantEqual(t, "objects", h.Objects(), 0)
}

// One helper reads what another has.
func TestReadAnothersData(t *testing.T) {
	b := newBench(t)
	var log []string
	b.load(counting("first", &log))
	var seen []int
	b.load(khelp.Config{Name: "second", Hooks: []hhook.Hook{{Type: hhook.TCP, Func: func(c *hhook.Call) {
		if id, loaded := b.helpers.ID("first"); loaded {
			seen = append(seen, khelp.Get[count](c.Object, id).runs)
		}
	}}}})
	f := b.create(&flow{})
	b.point.RunIf(0, nil, f)
	b.point.RunIf(0, nil, f)
	wantEqual(t, "seen", seen, []int{1, 2})
}

func TestHooksAtRunTime(t *testing.T) {
	b := newBench(t)
	var log []string
	h := b.load(counting("h", &log))
	f := b.create(&flow{})
	more := hhook.Hook{Type: hhook.TCP, Name: "more", Func: khelp.With(func(_ *hhook.Call, c *count) { c.runs += 10 })}
	wantNone(t, h.AddHook(more))
	wantError(t, h.AddHook(more), hooks.ErrExists)
	runs := func() int {
		b.point.RunIf(0, nil, f)
		return khelp.Get[count](f, h.ID()).runs
	}
	wantEqual(t, "runs", runs(), 11)
	wantNone(t, h.RemoveHook(hhook.TCP, 0, ""))
	wantNone(t, h.RemoveHook(hhook.TCP, 0, ""))
	wantEqual(t, "runs", runs(), 21)
	f.Destroy()
	wantNone(t, h.Unload()) // takes it away, too
	wantEqual(t, "active", b.point.Active(), false)
	wantError(t, h.AddHook(more), khelp.ErrNotFound)
}

// Nobody waits for running hooks inside one, nor in what makes and frees data, which a hook may have called for.
func TestUnloadInAHookIsRefused(t *testing.T) {
	b := newBench(t)
	var h *khelp.Helper
	calls := 0
	try := func() {
		calls++
		wantError(t, h.Unload(), hooks.ErrInHook)
		wantError(t, h.RemoveHook(hhook.TCP, 0, ""), hooks.ErrInHook)
	}
	h = b.load(khelp.Config{Name: "h", Hooks: []hhook.Hook{{Type: hhook.TCP, Func: func(*hhook.Call) { try() }}}})
	data := b.load(khelp.Config{Name: "data", Classes: khelp.TCP, Data: khelp.DataOf[count]{
		New:  func(*count) error { try(); return nil },
		Free: func(*count) { try() },
	}})
	b.point.RunIf(0, nil, nil)
	b.point.RunIf(0, nil, nil)
	wantEqual(t, "calls", calls, 2)
	b.create(&flow{}).Destroy()
	wantEqual(t, "calls", calls, 4)
	wantNone(t, data.Unload())
	wantNone(t, h.Unload())
}

func TestPanicInFreeIsCounted(t *testing.T) {
	b := newBench(t)
	h := b.load(khelp.Config{
		Name: "h", Classes: khelp.TCP, Data: khelp.DataOf[count]{Free: func(*count) { panic("x") }}, Destroy: func() { panic("y") },
	})
	b.create(&flow{}).Destroy()
	wantEqual(t, "objects", h.Objects(), 0)
	wantNone(t, h.Unload())
	wantEqual(t, "panics", b.helpers.Panics(), uint64(2))
}

// Storage balances while a helper comes and goes under runs.
func TestLoadAndUnloadUnderRuns(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	made, freed := 0, 0
	cfg := khelp.Config{
		Name: "h", Classes: khelp.TCP,
		Data: khelp.DataOf[count]{
			New:  func(*count) error { mu.Lock(); made++; mu.Unlock(); return nil },
			Free: func(*count) { mu.Lock(); freed++; mu.Unlock() },
		},
		Hooks: []hhook.Hook{{Type: hhook.TCP, Func: khelp.With(func(_ *hhook.Call, c *count) { c.runs++ })}},
	}
	var group sync.WaitGroup
	for worker := range 3 {
		group.Go(func() {
			for range 500 {
				f := &flow{port: worker}
				if err := b.helpers.Create(&f.Object, khelp.TCP); err != nil {
					t.Error(err)
				}
				b.point.RunIf(uint32(worker), nil, f)
				f.Destroy()
			}
		})
	}
	group.Go(func() {
		for range 200 {
			h, err := b.helpers.Load(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			for err = h.Unload(); errors.Is(err, khelp.ErrBusy); err = h.Unload() {
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	wantEqual(t, "made less freed", made-freed, 0)
	wantEqual(t, "panics", b.points.Stats().Families[0].Events[0].Panics, uint64(0))
}

// The way to unload a helper while objects come and go.
func TestDrainDropUnload(t *testing.T) {
	b := newBench(t)
	var log, otherLog []string
	other := b.load(counting("other", &otherLog))
	h := b.load(counting("h", &log))
	old := b.create(&flow{})
	h.Drain()
	young := b.create(&flow{})
	wantEqual(t, "objects", h.Objects(), 1)
	b.point.RunIf(0, nil, old)
	b.point.RunIf(0, nil, young)
	wantEqual(t, "runs on the old object", khelp.Get[count](old, h.ID()).runs, 1)
	wantError(t, h.Unload(), khelp.ErrBusy)
	for range 2 { // the second time there is nothing to drop
		old.Drop(h)
		young.Drop(h)
	}
	wantEqual(t, "data that was dropped", khelp.Get[count](old, h.ID()), none[count]())
	b.point.RunIf(0, nil, old)
	wantEqual(t, "runs of the other helper", khelp.Get[count](old, other.ID()).runs, 2)
	wantNone(t, h.Unload())
	wantLog(t, &log, "init h, new h, free h, destroy h")
	old.Destroy()
	young.Destroy()
	wantNone(t, other.Unload())
	wantLog(t, &otherLog, "init other, new other, new other, free other, free other, destroy other")
}

// A constructor that ends its goroutine, as t.Fatal does, is one that has failed: what others made goes, and nobody counts the
// object for ever.
func TestConstructorEndsItsGoroutine(t *testing.T) {
	b := newBench(t)
	var log []string
	first := b.load(counting("first", &log))
	second := b.load(khelp.Config{Name: "second", Classes: khelp.TCP, Data: khelp.DataOf[count]{
		New: func(*count) error { runtime.Goexit(); return nil },
	}})
	var f flow
	var creator sync.WaitGroup
	creator.Go(func() { _ = b.helpers.Create(&f.Object, khelp.TCP) })
	creator.Wait()
	wantEqual(t, "objects", [2]int{first.Objects(), second.Objects()}, [2]int{})
	wantEqual(t, "data of the first", f.Data(first.ID()), nil)
	wantNone(t, second.Unload())
	wantNone(t, first.Unload())
}

// Close has unloaded all helpers; nobody would unload one that came later, or whose Init was still running.
func TestLoadAfterClose(t *testing.T) {
	b := newBench(t)
	inits, ends := 0, 0
	cfg := khelp.Config{Name: "late", Init: func() error { inits++; return nil }, Destroy: func() { ends++ }}
	early := cfg
	early.Name, early.Init = "early", func() error { inits++; return b.helpers.Close() }
	_, err := b.helpers.Load(early)
	wantError(t, err, hooks.ErrShutdown)
	_, err = b.helpers.Load(cfg)
	wantError(t, err, hooks.ErrShutdown)
	wantEqual(t, "Init and Destroy", [2]int{inits, ends}, [2]int{1, 1})
	wantNone(t, b.helpers.Close())
}
