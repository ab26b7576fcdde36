// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"syscall"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// A place is a network namespace that is to see the other side of interfaces.
type place struct {
	*hostnet.Namespace                // nil until the survey
	name               string         // in the file; "" is where this process runs
	links              []*link        // to be made there
	devices            []hostnet.Link // already there
}

// place returns the place of a name, the same for each use of it.
func (b *builder) place(name string) *place {
	for _, p := range b.places {
		if p.name == name {
			return p
		}
	}
	p := &place{name: name}
	b.places = append(b.places, p)
	return p
}

// where names the place for messages.
func (p *place) where() string {
	if p.name == "" {
		return "the namespace hooknet runs in"
	}
	return "namespace " + p.name
}

// leave closes the namespaces.
func (b *builder) leave() {
	for _, p := range b.places {
		if p.Namespace != nil {
			_ = p.Close() // it was only read
		}
	}
}

// survey opens all namespaces and reports everything that is known to go wrong, before anything is made.
func (b *builder) survey(context.Context) error {
	var errs []error
	for _, p := range b.places {
		if err := p.open(); err != nil {
			errs = append(errs, err)
			continue
		}
		taken, err := p.takenRoutes()
		if err != nil {
			errs = append(errs, p.failed(err))
			continue
		}
		for _, l := range p.links {
			errs = append(errs, l.deviceTaken(), l.routeTaken(taken))
			b.warnOfOverlap(l)
		}
	}
	return errors.Join(errs...)
}

// open opens the namespace and looks which devices are there, which is also the proof that we may go there.
func (p *place) open() (err error) {
	if p.name == "" {
		p.Namespace, err = hostnet.Current()
	} else {
		p.Namespace, err = hostnet.Open(p.name)
	}
	if err == nil {
		p.devices, err = p.Links()
	}
	if err == nil {
		return nil
	}
	return p.failed(err)
}

// failed says which interface is the first to suffer from an error about the namespace.
func (p *place) failed(err error) *Error {
	first := p.links[0]
	e := &Error{At: first.Host.At, Object: first.String(), Err: err}
	switch {
	case p.name != "" && errors.Is(err, fs.ErrNotExist):
		e.Found = "there is no network namespace " + p.name
		e.Advice = "make it: ip netns add " + p.name
	case errors.Is(err, fs.ErrPermission):
		e.Advice = "CAP_SYS_ADMIN and CAP_NET_ADMIN are needed: run hooknet as root"
		if p.name == "" {
			e.Advice += ", or in a namespace of your own: unshare -Urn hooknet run ..."
		}
	}
	return e
}

// deviceTaken returns an error if there is a device of that name. One is not attached to, even where that is possible:
// what we would configure stayed with it at the end.
func (l *link) deviceTaken() error {
	for _, device := range l.place.devices {
		if device.Name != l.Device {
			continue
		}
		e := &Error{
			At: l.At, Object: l.String(), Err: syscall.EEXIST,
			Found:  fmt.Sprintf("there is a device %s in %s already (%s)", l.Device, l.place.where(), device.Type),
			Advice: "give the interface another one (device: NAME)",
		}
		if device.Type == "tuntap" {
			e.Advice += ", end the program that has it, or remove it if none has: ip "
			if l.place.name != "" {
				e.Advice += "-n " + l.place.name + " "
			}
			e.Advice += "link delete " + l.Device
		}
		return e
	}
	return nil
}

// routeTaken returns an error for each of the host's routes that would take the place of another.
func (l *link) routeTaken(taken map[netip.Prefix]string) error {
	var errs []error
	for _, r := range l.Host.Routes {
		if device, found := taken[r.Destination]; found {
			errs = append(errs, &Error{
				At: r.At, Object: l.String(), Err: syscall.EEXIST,
				Found:  fmt.Sprintf("there is a route to %s in %s already (by %s), which hooknet does not replace", r.Destination, l.place.where(), device),
				Advice: "place the device in another namespace (host: {namespace: NAME}), or give it narrower routes",
			})
		}
	}
	return errors.Join(errs...)
}

// warnOfOverlap looks for networks that the host has elsewhere already: it goes on to use those.
func (b *builder) warnOfOverlap(l *link) {
	for _, address := range l.Host.Addresses {
		if address.Addr().IsLinkLocalUnicast() {
			continue
		}
		for _, device := range l.place.devices {
			for _, other := range device.Addresses {
				if other.Overlaps(address) {
					b.Logger.Warn("the host has this network elsewhere, too, and may look for its hosts there",
						"interface", l.String(), "address", address, "device", device.Name, "its address", other)
				}
			}
		}
	}
}
