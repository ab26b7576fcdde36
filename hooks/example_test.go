// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/hooknet/hooknet/hooks"
)

// A Message is what the events of these examples hand to their hooks.
type Message struct{ Text string }

// exampleEvent returns the event inet/PHYSICAL_IN of a new stack.
func exampleEvent() *hooks.Event[*Message] {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	inet, err := stack.AddFamily("inet")
	if err != nil {
		panic(err)
	}
	event, err := hooks.AddEvent[*Message](inet, hooks.EventConfig{Name: "PHYSICAL_IN"})
	if err != nil {
		panic(err)
	}
	return event
}

// pass returns a hook that lets everything pass.
func pass(name string) hooks.Hook[*Message] {
	return hooks.Hook[*Message]{Name: name, Func: func(*Message) hooks.Verdict { return hooks.Accept }}
}

// must panics if err is not nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// check panics if err is not nil.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// order prints the names of the hooks in running order.
func order(e *hooks.Event[*Message]) {
	for i, h := range e.Stats().Hooks {
		if i > 0 {
			fmt.Print(" ")
		}
		fmt.Print(h.Hook)
	}
	fmt.Println()
}

// told prints notifications as "register inet/PHYSICAL_IN/fw".
func told(n hooks.Notification) {
	fmt.Print(n.Command, " ", n.Family)
	for _, part := range []string{n.Event, n.Hook} {
		if part != "" {
			fmt.Print("/", part)
		}
	}
	fmt.Println()
}

// The whole of it: a provider adds an event and runs it, a consumer hooks it.
func Example() {
	// The provider.
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	inet, err := stack.AddFamily("inet")
	if err != nil {
		panic(err)
	}
	event, err := hooks.AddEvent[*Message](inet, hooks.EventConfig{Name: "PHYSICAL_IN"})
	if err != nil {
		panic(err)
	}

	// The consumer.
	handle, err := event.Register(hooks.Hook[*Message]{Name: "fw", Func: func(m *Message) hooks.Verdict {
		if m.Text == "bad" {
			return hooks.Drop
		}
		return hooks.Accept
	}})
	if err != nil {
		panic(err)
	}

	// Packets.
	fmt.Println("good:", event.Run(0, &Message{"good"}))
	fmt.Println("bad:", event.Run(0, &Message{"bad"}))

	// The consumer leaves, the provider closes.
	if err := handle.Unregister(); err != nil {
		panic(err)
	}
	fmt.Println("bad:", event.Run(0, &Message{"bad"}))
	fmt.Println("close:", stack.Close())
	// Output:
	// good: accept
	// bad: drop
	// bad: accept
	// close: <nil>
}

// Four workers run an event, each with its own slot, while hooks come and go.
func Example_concurrent() {
	event := exampleEvent()
	var seen sync.Map
	must(event.Register(hooks.Hook[*Message]{Name: "count", Hint: hooks.HintFirst, Func: func(m *Message) hooks.Verdict {
		seen.Store(m, true)
		return hooks.Accept
	}}))

	var workers sync.WaitGroup
	for slot := range uint32(4) {
		workers.Go(func() {
			for range 1000 {
				event.Run(slot, &Message{"hello"})
			}
		})
	}
	for range 100 {
		handle := must(event.Register(pass("passing")))
		if err := handle.Unregister(); err != nil { // no worker is inside it any more
			panic(err)
		}
	}
	workers.Wait()

	messages := 0
	seen.Range(func(any, any) bool {
		messages++
		return true
	})
	stats := event.Stats()
	fmt.Println(messages, "messages,", stats.Events, "runs,", stats.Hooks[0].Hits, "hits")
	// Output: 4000 messages, 4000 runs, 4000 hits
}

// Where hooks go: first, last, and around one that is not there yet.
func Example_order() {
	event := exampleEvent()
	for _, h := range []struct {
		name  string
		hint  hooks.Hint
		value string
	}{
		{"log", hooks.HintLast, ""},
		{"fw", hooks.HintAfter, "nat"},
		{"count", hooks.HintBefore, "nat"},
		{"other", hooks.HintNone, ""},
		{"nat", hooks.HintNone, ""},
		{"guard", hooks.HintFirst, ""},
	} {
		hook := pass(h.name)
		hook.Hint, hook.HintValue = h.hint, h.value
		must(event.Register(hook))
	}
	order(event)

	// Before the first there is nothing.
	hook := pass("impossible")
	hook.Hint, hook.HintValue = hooks.HintBefore, "guard"
	_, err := event.Register(hook)
	fmt.Println(err)
	fmt.Println(errors.Is(err, hooks.ErrBusy), errors.Is(err, syscall.EBUSY))
	// Output:
	// guard count nat fw other log
	// hooks: register inet/PHYSICAL_IN/impossible (instance 1): busy: guard
	// true true
}

// A hook that panics is caught and disabled; its place is kept and drops.
func Example_panic() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "stack" {
				return slog.Attr{}
			}
			return a
		},
	}))
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1, Logger: logger})
	event := must(hooks.AddEvent[*Message](must(stack.AddFamily("inet")), hooks.EventConfig{Name: "PHYSICAL_IN"}))
	must(event.Register(hooks.Hook[*Message]{Name: "faulty", Func: func(*Message) hooks.Verdict { panic("oops") }}))
	fmt.Println(event.Run(0, &Message{}))
	fmt.Println(event.Run(0, &Message{}))
	// Output:
	// level=ERROR msg="hook panicked" instance=1 family=inet event=PHYSICAL_IN name=faulty panic.value=oops
	// drop(panic)
	// drop(disabled)
}

func ExampleNewStack() {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 7, Logger: slog.Default(), Stripes: 2})
	fmt.Println(stack.Instance())
	// Output: 7
}

func ExampleStack_AddFamily() {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	family, err := stack.AddFamily("inet")
	fmt.Println(family.Name(), family.Stack() == stack, err)
	_, err = stack.AddFamily("NHF_INET") // the original's other name for it
	fmt.Println(err)
	// Output:
	// inet true <nil>
	// hooks: add family inet (instance 1): name is taken
}

func ExampleStack_Family() {
	stack := exampleEvent().Family().Stack()
	family, err := stack.Family("NHF_INET")
	fmt.Println(family.Name(), err)
	_, err = stack.Family("inet6")
	fmt.Println(err, errors.Is(err, syscall.ENXIO))
	// Output:
	// inet <nil>
	// hooks: find family inet6 (instance 1): not found true
}

func ExampleStack_Families() {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	for _, name := range []string{"inet", "inet6", "arp"} {
		must(stack.AddFamily(name))
	}
	for family := range stack.Families() {
		fmt.Print(family.Name(), " ")
	}
	// Output: inet inet6 arp
}

func ExampleStack_Notify() {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	inet := must(stack.AddFamily("inet"))
	notifier := must(stack.Notify("example", told)) // hears of what is there
	must(stack.AddFamily("inet6"))
	check(inet.Remove())
	notifier.Unregister() // hears that the rest is gone
	// Output:
	// register inet
	// register inet6
	// unregister inet
	// unregister inet6
}

// From the families to the events to the hooks: how a consumer finds an event
// that may not be there yet.
func ExampleFamily_Notify() {
	stack := hooks.NewStack(hooks.StackConfig{Instance: 1})
	inet := must(stack.AddFamily("inet"))
	must(inet.Notify("example", func(n hooks.Notification) {
		told(n)
		if n.Command != hooks.CommandRegister || n.Event != "PHYSICAL_IN" {
			return
		}
		event := must(hooks.FindEvent[*Message](inet, n.Event))
		must(event.Register(pass("fw")))
	}))
	event := must(hooks.AddEvent[*Message](inet, hooks.EventConfig{Name: "PHYSICAL_IN"}))
	order(event)
	// Output:
	// register inet/PHYSICAL_IN
	// fw
}

func ExampleEvent_Notify() {
	event := exampleEvent()
	fw := must(event.Register(pass("fw")))
	must(event.Notify("example", told))
	must(event.Register(pass("nat")))
	check(fw.Unregister())
	// Output:
	// register inet/PHYSICAL_IN/fw
	// register inet/PHYSICAL_IN/nat
	// unregister inet/PHYSICAL_IN/fw
}

func ExampleAddEvent() {
	inet := must(hooks.NewStack(hooks.StackConfig{Instance: 1}).AddFamily("inet"))
	// An event of one's own, with a context that hooks cannot write through.
	type LinkChange struct {
		Index uint32
		Up    bool
	}
	event := must(hooks.AddEvent[LinkChange](inet, hooks.EventConfig{Name: "LINK", ReadOnly: true}))
	must(event.Register(hooks.Hook[LinkChange]{Name: "print", Func: func(c LinkChange) hooks.Verdict {
		fmt.Println(c.Index, c.Up)
		return hooks.Drop // says nothing on a read-only event
	}}))
	fmt.Println(event.Run(0, LinkChange{3, true}))
	// Output:
	// 3 true
	// accept
}

func ExampleFindEvent() {
	inet := exampleEvent().Family()
	event, err := hooks.FindEvent[*Message](inet, "PHYSICAL_IN")
	fmt.Println(event.Name(), err)
	_, err = hooks.FindEvent[*Message](inet, "FORWARDING")
	fmt.Println(err)
	_, err = hooks.FindEvent[int](inet, "PHYSICAL_IN") // of another context type
	fmt.Println(err)
	// Output:
	// PHYSICAL_IN <nil>
	// hooks: find event inet/FORWARDING (instance 1): not found
	// hooks: find event inet/PHYSICAL_IN (instance 1): invalid argument
}

func ExampleEvent_Register() {
	event := exampleEvent()
	hook := hooks.Hook[*Message]{
		Name: "shout",
		Func: func(m *Message) hooks.Verdict {
			m.Text += "!" // the hooks behind see it
			return hooks.Accept
		},
	}
	must(event.Register(hook))
	message := &Message{"hello"}
	event.Run(0, message)
	fmt.Println(message.Text)

	_, err := event.Register(hook)
	fmt.Println(err)
	// Output:
	// hello!
	// hooks: register inet/PHYSICAL_IN/shout (instance 1): name is taken
}

func ExampleEvent_Run() {
	event := exampleEvent()
	fmt.Println(event.Run(0, &Message{})) // nothing hooked
	must(event.Register(hooks.Hook[*Message]{Name: "mine", Func: func(m *Message) hooks.Verdict {
		return hooks.Steal
	}}))
	switch event.Run(0, &Message{}).Action() {
	case hooks.Accept:
		fmt.Println("goes on")
	case hooks.Drop:
		fmt.Println("released by the provider")
	case hooks.Steal:
		fmt.Println("now the hook's")
	}
	// Output:
	// accept
	// now the hook's
}

func ExampleEvent_Active() {
	event := exampleEvent()
	fmt.Println(event.Active())
	handle := must(event.Register(pass("fw")))
	fmt.Println(event.Active())
	check(handle.Unregister())
	fmt.Println(event.Active())
	// Output:
	// false
	// true
	// false
}

func ExampleEvent_Flags() {
	event := exampleEvent()
	hook := pass("small")
	hook.Flags = hooks.FlagSegments
	must(event.Register(hook))
	if event.Flags()&hooks.FlagSegments != 0 {
		fmt.Println("split superpackets before the run")
	}
	// Output: split superpackets before the run
}

func ExampleEvent_Observe() {
	event := exampleEvent()
	must(event.Register(pass("nat")))
	must(event.Register(hooks.Hook[*Message]{Name: "fw", Func: func(*Message) hooks.Verdict { return hooks.Drop }}))
	event.Observe(func(p hooks.Probe[*Message]) {
		switch p.Point {
		case hooks.ProbeRunStart:
			fmt.Println(p.Point)
		case hooks.ProbeHookStart:
			fmt.Println(p.Point, p.Hook)
		case hooks.ProbeHookEnd:
			fmt.Println(p.Point, p.Hook, p.Verdict)
		case hooks.ProbeRunEnd:
			fmt.Println(p.Point, p.Verdict)
		}
	})
	event.Run(0, &Message{})
	event.Observe(nil)
	event.Run(0, &Message{})
	// Output:
	// run start
	// hook start nat
	// hook end nat accept
	// hook start fw
	// hook end fw drop
	// run end drop
}

func ExampleEvent_Stats() {
	event := exampleEvent()
	must(event.Register(pass("nat")))
	must(event.Register(hooks.Hook[*Message]{Name: "fw", Func: func(m *Message) hooks.Verdict {
		return hooks.Drop
	}}))
	must(event.Register(pass("log")))
	for range 5 {
		event.Run(0, &Message{})
	}
	stats := event.Stats()
	fmt.Println(stats.Name, stats.HooksAdded, stats.HooksRemoved, stats.Events)
	for _, h := range stats.Hooks {
		fmt.Println(h.Name, h.Position, h.Hits)
	}
	// Output:
	// inet:0:PHYSICAL_IN 3 0 5
	// inet/PHYSICAL_IN:0:nat 1 5
	// inet/PHYSICAL_IN:0:fw 2 5
	// inet/PHYSICAL_IN:0:log 3 0
}

func ExampleStack_Stats() {
	event := exampleEvent()
	must(event.Register(pass("fw")))
	for _, family := range event.Family().Stack().Stats().Families {
		for _, event := range family.Events {
			fmt.Println(event.Name, len(event.Hooks))
		}
	}
	// Output: inet:0:PHYSICAL_IN 1
}

func ExampleHandle_Unregister() {
	event := exampleEvent()
	handle := must(event.Register(pass("fw")))
	fmt.Println(handle.Unregister()) // no call of the hook is running any more
	fmt.Println(handle.Unregister())
	// Output:
	// <nil>
	// hooks: unregister inet/PHYSICAL_IN/fw (instance 1): no longer registered
}

// A hook that takes itself away after its first packet.
func ExampleHandle_Retire() {
	event := exampleEvent()
	var once *hooks.Handle
	var gone <-chan struct{}
	once = must(event.Register(hooks.Hook[*Message]{Name: "once", Func: func(m *Message) hooks.Verdict {
		fmt.Println("saw", m.Text)
		fmt.Println(once.Unregister()) // would wait for itself
		gone = must(once.Retire())
		return hooks.Accept
	}}))
	event.Run(0, &Message{"one"})
	event.Run(0, &Message{"two"})
	<-gone // the last call has returned
	// Output:
	// saw one
	// hooks: unregister inet/PHYSICAL_IN/once (instance 1): not from inside a hook or callback
}

func ExampleDropWith() {
	const reasonTooLoud = hooks.FirstFreeReason // of the package that has the event
	verdict := hooks.DropWith(reasonTooLoud)
	fmt.Println(verdict.Action() == hooks.Drop, verdict.Reason() == reasonTooLoud)
	// Output: true true
}

// A hook that puts packets back on their way does not want them again.
func ExampleEvent_RunExcept() {
	event := exampleEvent()
	queue := make(chan *Message, 1)
	handle := must(event.Register(hooks.Hook[*Message]{Name: "delay", Func: func(m *Message) hooks.Verdict {
		queue <- m
		return hooks.Steal
	}}))
	fmt.Println(event.Run(0, &Message{"hello"}))
	fmt.Println(event.RunExcept(0, <-queue, handle))
	// Output:
	// steal
	// accept
}

func ExampleNotifier_Unregister() {
	event := exampleEvent()
	notifier := must(event.Notify("example", told))
	must(event.Register(pass("fw")))
	check(notifier.Unregister()) // every register gets its unregister
	must(event.Register(pass("nat")))
	// Output:
	// register inet/PHYSICAL_IN/fw
	// unregister inet/PHYSICAL_IN/fw
}
