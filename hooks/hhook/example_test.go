// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hhook_test

import (
	"fmt"

	"github.com/hooknet/hooknet/hooks/hhook"
)

// A point is registered, hooked and run.
func Example() {
	type segment struct{ length int }
	points := hhook.New(hhook.Config{Instance: 1})
	point, err := points.Register(hhook.TCP, 0, hhook.WaitOK|hhook.InInstance)
	if err != nil {
		panic(err)
	}
	hook, err := point.Add(hhook.Hook{Name: "lengths", Func: func(c *hhook.Call) {
		fmt.Println(c.Type, c.ID, c.Context.(*segment).length)
	}})
	if err != nil {
		panic(err)
	}
	point.RunIf(0, &segment{1460}, nil)
	fmt.Println(hook.Remove(), point.Deregister(), points.Close())
	// Output:
	// tcp 0 1460
	// <nil> <nil> <nil>
}

// A hook that is added by look-up waits for its point.
func ExamplePoints_AddLookup() {
	points := hhook.New(hhook.Config{Instance: 1})
	list, err := points.AddLookup(hhook.Hook{Type: hhook.Socket, ID: 1, Name: "early", Func: func(*hhook.Call) { fmt.Println("called") }})
	if err != nil {
		panic(err)
	}
	fmt.Println(list[0].Attached())
	if _, err := points.Register(hhook.Socket, 1, hhook.WaitOK); err != nil {
		panic(err)
	}
	fmt.Println(list[0].Attached())
	points.RunLookupIf(0, hhook.Socket, 1, nil, nil)
	// Output:
	// false
	// true
	// called
}
