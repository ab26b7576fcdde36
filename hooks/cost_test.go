// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/hooknet/hooknet/hooks"
)

// Running allocates nothing, however it ends.
func TestRunAllocatesNothing(t *testing.T) {
	p := &packet{}
	accept := func(*packet) hooks.Verdict { return hooks.Accept }
	for name, list := range map[string][]func(*packet) hooks.Verdict{
		"none":  nil,
		"one":   {accept},
		"eight": {accept, accept, accept, accept, accept, accept, accept, accept},
		"drop":  {accept, func(*packet) hooks.Verdict { return hooks.DropWith(16) }, accept},
		"steal": {func(*packet) hooks.Verdict { return hooks.Steal }},
		"wrong": {func(*packet) hooks.Verdict { return 12345678 }},
	} {
		e := newEvent(t)
		var origin *hooks.Handle
		for i, f := range list {
			origin = register(t, e, hooks.Hook[*packet]{Name: fmt.Sprint(i), Func: f})
		}
		if allocated := testing.AllocsPerRun(1000, func() { e.Run(7, p) }); allocated != 0 {
			t.Errorf("%s: %v allocations per run", name, allocated)
		}
		if allocated := testing.AllocsPerRun(1000, func() { e.RunExcept(7, p, origin) }); allocated != 0 {
			t.Errorf("%s: %v allocations per run with an origin", name, allocated)
		}
		if allocated := testing.AllocsPerRun(1000, func() { e.Active(); e.Flags() }); allocated != 0 {
			t.Errorf("%s: %v allocations to ask", name, allocated)
		}
	}
}

// A context need not be a pointer.
func TestValueContextAllocatesNothing(t *testing.T) {
	type nicEvent struct {
		index uint32
		name  string
	}
	e, err := hooks.AddEvent[nicEvent](addFamily(t, newStack(), "inet"), hooks.EventConfig{Name: "NIC_EVENTS", ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	sum := uint32(0)
	if _, err := e.Register(hooks.Hook[nicEvent]{Name: "h", Func: func(n nicEvent) hooks.Verdict {
		sum += n.index
		return hooks.Accept
	}}); err != nil {
		t.Fatal(err)
	}
	if allocated := testing.AllocsPerRun(1000, func() { e.Run(0, nicEvent{1, "eth0"}) }); allocated != 0 {
		t.Errorf("%v allocations per run", allocated)
	}
	wantEqual(t, "sum", sum, uint32(1001))
}

// There may be 10,000 instances with 17 events each, most of them without a
// hook.
func TestIdleMemory(t *testing.T) {
	if size := unsafe.Sizeof(hooks.Event[*packet]{}); size > 208 {
		t.Errorf("an event without hooks takes %d bytes", size)
	}

	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	build := func() *hooks.Stack {
		s := newStack()
		for _, family := range []struct {
			name   string
			events []string
		}{
			{"inet", []string{"PHYSICAL_IN", "PHYSICAL_OUT", "FORWARDING", "LOOPBACK_IN", "LOOPBACK_OUT", "NIC_EVENTS", "OBSERVING"}},
			{"inet6", []string{"PHYSICAL_IN", "PHYSICAL_OUT", "FORWARDING", "LOOPBACK_IN", "LOOPBACK_OUT", "NIC_EVENTS", "OBSERVING"}},
			{"arp", []string{"PHYSICAL_IN", "PHYSICAL_OUT", "NIC_EVENTS"}},
		} {
			f := addFamily(t, s, family.name)
			for _, event := range family.events {
				addEvent(t, f, event)
			}
		}
		return s
	}
	const n = 1000
	stacks := make([]*hooks.Stack, n)
	before := heap()
	for i := range stacks {
		stacks[i] = build()
	}
	each := (heap() - before) / n
	runtime.KeepAlive(stacks)
	t.Logf("a stack with 3 families and 17 events takes %d bytes", each)
	if each > 5<<10 {
		t.Errorf("a stack with 3 families and 17 events takes %d bytes", each)
	}
}

// An unhooked event costs a load and a branch only if the compiler inlines Run.
func TestRunInlines(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the tests once more")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		if os.Getenv("HOOKNET_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("no go command")
	}
	output, err := exec.Command(goTool, "test", "-c", "-gcflags=-m", "-o", t.TempDir()+"/none", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, method := range []string{
		"Event.Run", "Event.Active", "Event.Flags", "Visitor.Run", "Visitor.Active", "Visitor.Flags", "Visitor.Leave",
	} {
		typ, name, _ := strings.Cut(method, ".")
		inlined := false
		for line := range strings.Lines(string(output)) {
			inlined = inlined || strings.Contains(line, "inlining call to hooks.(*"+typ+"[") && strings.HasSuffix(strings.TrimSpace(line), "])."+name)
		}
		if !inlined {
			t.Errorf("the compiler does not inline %s", method)
		}
	}
}
