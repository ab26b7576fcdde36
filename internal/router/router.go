// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// Config is what Open needs besides the file. The zero value works.
type Config struct {
	// Logger is told what an operator should know, here and by the instances. Default: nobody is told.
	Logger *slog.Logger
	// OpenDevice opens a device, on a thread in the namespace that it is to be in. Default: tun.Open.
	OpenDevice func(tun.Config) (tun.Device, error)
}

// A Router is a set of running instances.
type Router struct {
	manager   *instances.Manager
	instances []*netstack.Instance // in the order of the file; immutable after Open
}

// Open builds what the file describes. When it returns, packets flow.
//
// On an error all that was made has been undone. The error is an [*Error], or several of them joined, or that of ctx,
// which is looked at between one interface and the next.
func Open(ctx context.Context, file *config.Config, cfg Config) (*Router, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.OpenDevice == nil {
		cfg.OpenDevice = tun.Open
	}
	b := newBuilder(file, cfg)
	defer b.leave()
	for _, step := range []func(context.Context) error{
		b.survey, b.addInstances, b.addInterfaces, b.addCables, b.addRoutes, b.configureHosts,
	} {
		err := ctx.Err()
		if err == nil {
			err = step(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, b.router.Close())
		}
	}
	return b.router, nil
}

// Instances iterates over the instances in the order of the file, also after Close.
func (r *Router) Instances() iter.Seq[*netstack.Instance] { return slices.Values(r.instances) }

// Close takes everything down and returns when it is gone: instances, their goroutines, the devices, and with these what
// the host knew about them. It may be called more than once.
func (r *Router) Close() error { return r.manager.Close() }
