// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hostnet

import (
	"context"
	"fmt"
	"os"
	"runtime"
)

var errOther = fmt.Errorf("hostnet: network namespaces and netlink on %s: %w", runtime.GOOS, ErrUnsupported)

// Namespace is a network namespace. There are none on this system.
type Namespace struct{}

// Current returns an error that is ErrUnsupported.
func Current() (*Namespace, error) { return nil, errOther }

// Open returns an error that is ErrUnsupported.
func Open(string) (*Namespace, error) { return nil, errOther }

// FromFile returns a Namespace of no use.
func FromFile(string, *os.File) *Namespace { return &Namespace{} }

// File returns nil.
func (n *Namespace) File() *os.File { return nil }

// New returns an error that is ErrUnsupported.
func New() (*Namespace, error) { return nil, errOther }

// Create returns an error that is ErrUnsupported.
func Create(string) (*Namespace, error) { return nil, errOther }

// Delete returns an error that is ErrUnsupported.
func Delete(string) error { return errOther }

// String returns "unsupported".
func (n *Namespace) String() string { return "unsupported" }

// Close does nothing.
func (n *Namespace) Close() error { return nil }

// Do returns an error that is ErrUnsupported; it does not call the function.
func (n *Namespace) Do(func() error) error { return errOther }

// Configure returns an error that is ErrUnsupported.
func (n *Namespace) Configure(LinkConfig) error { return errOther }

// WaitReady returns an error that is ErrUnsupported.
func (n *Namespace) WaitReady(context.Context, string) error { return errOther }

// SetUp returns an error that is ErrUnsupported.
func (n *Namespace) SetUp(string, bool) error { return errOther }

// AddVeth returns an error that is ErrUnsupported.
func (n *Namespace) AddVeth(string, *Namespace, string) error { return errOther }

// MoveLink returns an error that is ErrUnsupported.
func (n *Namespace) MoveLink(string, *Namespace) error { return errOther }

// RenameLink returns an error that is ErrUnsupported.
func (n *Namespace) RenameLink(string, string) error { return errOther }

// DeleteLink returns an error that is ErrUnsupported.
func (n *Namespace) DeleteLink(string) error { return errOther }

// Links returns an error that is ErrUnsupported.
func (n *Namespace) Links() ([]Link, error) { return nil, errOther }

// Link returns an error that is ErrUnsupported.
func (n *Namespace) Link(string) (Link, error) { return Link{}, errOther }

// Sysctl returns an error that is ErrUnsupported.
func (n *Namespace) Sysctl(string, string) error { return errOther }
