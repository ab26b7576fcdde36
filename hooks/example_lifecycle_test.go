// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"fmt"

	"github.com/hooknet/hooknet/hooks"
)

// Examples of taking things away again.

// A shut-down event takes nothing new. One that is removed while it is used
// goes with its last user.
func ExampleEvent_Remove() {
	event := exampleEvent()
	inet := event.Family()
	handle := must(event.Register(pass("fw")))
	fmt.Println(event.Shutdown(), event.Remove())
	_, err := event.Register(pass("late"))
	fmt.Println(err)
	check(handle.Unregister())
	_, err = hooks.FindEvent[*Message](inet, "PHYSICAL_IN")
	fmt.Println(err)
	// Output:
	// <nil> <nil>
	// hooks: register inet/PHYSICAL_IN/late (instance 1): shut down
	// hooks: find event inet/PHYSICAL_IN (instance 1): not found
}

func ExampleFamily_Remove() {
	inet := exampleEvent().Family()
	fmt.Println(inet.Shutdown(), inet.Remove()) // it has an event: condemned
	_, err := inet.Stack().Family("inet")
	fmt.Println(err)
	fmt.Println(inet.Stack().Leftovers())
	// Output:
	// <nil> <nil>
	// hooks: find family inet (instance 1): shut down
	// [event inet/PHYSICAL_IN]
}

func ExampleStack_Close() {
	event := exampleEvent()
	stack := event.Family().Stack()
	handle := must(event.Register(pass("forgotten")))
	fmt.Println(stack.Close())
	check(handle.Unregister())
	fmt.Println(stack.Close())
	<-stack.Gone()
	// Output:
	// hooks: close stack (instance 1): busy: hook inet/PHYSICAL_IN/forgotten
	// <nil>
}

// A shut-down event keeps its hooks, which are called as long as it is run.
func ExampleEvent_Shutdown() {
	event := exampleEvent()
	must(event.Register(hooks.Hook[*Message]{Name: "fw", Func: func(*Message) hooks.Verdict { return hooks.Drop }}))
	check(event.Shutdown())
	_, err := event.Register(pass("late"))
	fmt.Println(errors.Is(err, hooks.ErrShutdown), event.Run(0, &Message{}))
	// Output: true drop
}

func ExampleFamily_Shutdown() {
	inet := exampleEvent().Family()
	must(inet.Stack().Notify("example", told))
	check(inet.Shutdown())
	_, err := hooks.AddEvent[*Message](inet, hooks.EventConfig{Name: "FORWARDING"})
	fmt.Println(err)
	// Output:
	// register inet
	// unregister inet
	// hooks: add event inet/FORWARDING (instance 1): shut down
}

func ExampleStack_Shutdown() {
	event := exampleEvent()
	handle := must(event.Register(pass("fw")))
	check(event.Family().Stack().Shutdown())
	_, err := event.Register(pass("late"))
	fmt.Println(err)
	fmt.Println(handle.Unregister()) // what is there can always be taken away
	// Output:
	// hooks: register inet/PHYSICAL_IN/late (instance 1): shut down
	// <nil>
}

// A stack goes when everything in it has been removed and left.
func ExampleStack_Remove() {
	event := exampleEvent()
	stack := event.Family().Stack()
	check(stack.Remove())
	fmt.Println(stack.Leftovers())
	check(event.Remove())
	check(event.Family().Remove())
	<-stack.Gone()
	fmt.Println(stack.Remove())
	// Output:
	// [family inet event inet/PHYSICAL_IN]
	// hooks: remove stack (instance 1): no longer registered
}
