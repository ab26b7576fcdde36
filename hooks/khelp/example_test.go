// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package khelp_test

import (
	"fmt"

	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
)

// A helper sums the bytes of each connection.
func Example() {
	type connection struct{ khelp.Object }
	type segment struct{ length int }
	type sum struct{ bytes int }

	points := hhook.New(hhook.Config{Instance: 1})
	out, err := points.Register(hhook.TCP, 1, hhook.WaitOK)
	if err != nil {
		panic(err)
	}
	helpers := khelp.New(points, nil)

	helper, err := helpers.Load(khelp.Config{
		Name:    "sum",
		Classes: khelp.TCP,
		Data:    khelp.DataOf[sum]{Free: func(s *sum) { fmt.Println("in the end", s.bytes) }},
		Hooks: []hhook.Hook{{Type: hhook.TCP, ID: 1, Func: khelp.With(func(c *hhook.Call, s *sum) {
			s.bytes += c.Context.(*segment).length
		})}},
	})
	if err != nil {
		panic(err)
	}

	c := &connection{}
	if err := helpers.Create(&c.Object, khelp.TCP); err != nil {
		panic(err)
	}
	out.RunIf(0, &segment{1000}, c)
	out.RunIf(0, &segment{460}, c)
	fmt.Println("so far", khelp.Get[sum](c, helper.ID()).bytes)
	fmt.Println(helper.Unload())
	c.Destroy()
	fmt.Println(helper.Unload())
	// Output:
	// so far 1460
	// khelp: unload sum: busy
	// in the end 1460
	// <nil>
}
