// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"testing"

	"github.com/hooknet/hooknet/netstack"
)

// The addresses of a [Router].
const (
	Red4, Red6   = "10.0.1.2", "fd00:1::2"
	Left4, Left6 = "10.0.1.1", "fd00:1::1"

	Right4, Right6 = "10.0.2.1", "fd00:2::1"
	Blue4, Blue6   = "10.0.2.2", "fd00:2::2"
)

// RouterConfig describes a [Router].
type RouterConfig struct {
	// Instance is the router's. Its Name defaults to "router".
	Instance netstack.Config

	// Left and Right are the two links. Addresses, routes and names (default: left and right) are given.
	Left, Right LinkConfig
}

// A Router is the network most tests need: two hosts, and one instance between them.
//
//	red ------------------- left [instance] right ------------------- blue
//	10.0.1.2       10.0.1.1                       10.0.2.1       10.0.2.2
//	fd00:1::2     fd00:1::1                       fd00:2::1     fd00:2::2
type Router struct {
	*Bed
	Instance    *netstack.Instance
	Red, Blue   *Namespace
	Left, Right *Link
}

// NewRouter builds a Router. The test is skipped if it cannot.
func NewRouter(t testing.TB, cfg RouterConfig) *Router {
	t.Helper()
	if cfg.Instance.Name == "" {
		cfg.Instance.Name = "router"
	}
	if cfg.Left.Name == "" {
		cfg.Left.Name = "left"
	}
	if cfg.Right.Name == "" {
		cfg.Right.Name = "right"
	}
	cfg.Left.Host = Prefixes(Red4+"/24", Red6+"/64")
	cfg.Left.Router = Prefixes(Left4+"/24", Left6+"/64")
	cfg.Right.Host = Prefixes(Blue4+"/24", Blue6+"/64")
	cfg.Right.Router = Prefixes(Right4+"/24", Right6+"/64")
	cfg.Left.Routes, cfg.Right.Routes = Everything, Everything

	b := New(t)
	r := &Router{Bed: b, Red: b.Namespace("red"), Blue: b.Namespace("blue"), Instance: b.Instance(cfg.Instance)}
	r.Left = b.Link(r.Red, r.Instance, cfg.Left)
	r.Right = b.Link(r.Blue, r.Instance, cfg.Right)
	return r
}
