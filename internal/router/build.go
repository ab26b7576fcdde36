// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/hooknet/hooknet/instances"
	"github.com/hooknet/hooknet/internal/config"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/tun"
)

// A builder is at work during Open.
type builder struct {
	Config
	file   *config.Config
	router *Router
	places []*place // in the order in which the file names them first
	links  []*link  // in the order of the file
}

// A link is an interface on its way from the file to an instance.
type link struct {
	*config.Interface
	instance string
	place    *place
}

// String names the interface for messages.
func (l *link) String() string { return "interface " + l.Name + " of instance " + l.instance }

func newBuilder(file *config.Config, cfg Config) *builder {
	b := &builder{
		Config: cfg,
		file:   file,
		router: &Router{manager: instances.New(instances.Config{Logger: cfg.Logger})},
	}
	for i := range file.Instances {
		instance := &file.Instances[i]
		for j := range instance.Interfaces {
			iface := &instance.Interfaces[j]
			l := &link{Interface: iface, instance: instance.Name, place: b.place(iface.Host.Namespace)}
			l.place.links = append(l.place.links, l)
			b.links = append(b.links, l)
		}
	}
	return b
}

func (b *builder) addInstances(context.Context) error {
	for _, instance := range b.file.Instances {
		made, err := b.router.manager.Create(netstack.Config{Name: instance.Name})
		if err != nil {
			return &Error{At: instance.At, Object: "instance " + instance.Name, Err: err}
		}
		b.router.instances = append(b.router.instances, made)
	}
	return nil
}

// eachLink does something for each interface, until ctx is done.
func (b *builder) eachLink(ctx context.Context, do func(*link) error) error {
	for _, l := range b.links {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(l); err != nil {
			return err
		}
	}
	return nil
}

// drivers translates the words of a file.
var drivers = [...]tun.Driver{
	config.DriverAuto:  tun.DriverAuto,
	config.DriverLinux: tun.DriverLinux,
	config.DriverWater: tun.DriverWater,
}

var sourceValidations = [...]netstack.SourceValidation{
	config.SourceStrict: netstack.SourceValidationStrict,
	config.SourceLoose:  netstack.SourceValidationLoose,
	config.SourceOff:    netstack.SourceValidationOff,
}

func (b *builder) addInterfaces(ctx context.Context) error { return b.eachLink(ctx, b.addInterface) }

// addInterface makes a device where the host is to see it, and binds it to its instance, which then owns it.
func (b *builder) addInterface(l *link) error {
	var device tun.Device
	err := l.place.Do(func() (err error) {
		device, err = b.OpenDevice(tun.Config{
			Name:       l.Device,
			Driver:     drivers[l.Driver],
			Queues:     l.Queues,
			NoOffload:  !l.Offload,
			NoCoalesce: !l.Coalesce,
			Logger:     b.Logger,
		})
		return err
	})
	if err != nil {
		return &Error{At: l.At, Object: l.String(), Err: err}
	}
	_, err = b.instance(l.instance).AddInterface(device, netstack.InterfaceConfig{
		Name:             l.Name,
		MTU:              l.MTU,
		Addresses:        l.Addresses,
		SourceValidation: sourceValidations[l.SourceValidation],
		PassSourceRoutes: l.PassSourceRoutes,
		ClampMSS:         l.ClampMSS,
	})
	if err != nil {
		return errors.Join(&Error{At: l.At, Object: l.String(), Err: err}, device.Close())
	}
	b.Logger.Debug("interface made", "instance", l.instance, "interface", l.Name, "device", fmt.Sprint(device))
	if l.Offload && device.Features() == 0 {
		b.Logger.Warn("no offload: every packet passes in full, which costs most of the throughput of TCP",
			"instance", l.instance, "interface", l.Name, "device", fmt.Sprint(device))
	}
	return nil
}

// instance finds an instance that was made. The file names no other: package config has seen to that.
func (b *builder) instance(name string) *netstack.Instance {
	instance, _ := b.router.manager.Find(name)
	return instance
}

func (b *builder) addCables(context.Context) error {
	for _, cable := range b.file.Cables {
		var ends [2]instances.CableEnd
		for i, end := range cable.Ends {
			ends[i] = instances.CableEnd{Instance: b.instance(end.Instance), InterfaceConfig: netstack.InterfaceConfig{
				Name:             end.Interface,
				MTU:              cable.MTU,
				Addresses:        end.Addresses,
				SourceValidation: sourceValidations[end.SourceValidation],
				PassSourceRoutes: end.PassSourceRoutes,
				ClampMSS:         end.ClampMSS,
			}}
		}
		if _, _, err := b.router.manager.Cable(ends[0], ends[1]); err != nil {
			object := fmt.Sprintf("cable from instance %s to instance %s", cable.Ends[0].Instance, cable.Ends[1].Instance)
			return &Error{At: cable.At, Object: object, Err: err}
		}
	}
	return nil
}

func (b *builder) addRoutes(context.Context) error {
	for _, described := range b.file.Instances {
		instance := b.instance(described.Name)
		routes := make([]netstack.Route, len(described.Routes))
		for i, r := range described.Routes {
			routes[i] = netstack.Route{
				Destination: r.Destination,
				Type:        routeTypes[r.Type],
				Interface:   r.Interface,
				Gateway:     r.Gateway,
				MTU:         r.MTU,
				Metric:      r.Metric,
			}
		}
		if instance.AddRoutes(routes...) == nil {
			continue
		}
		// All were refused because of one. Which?
		for i, route := range routes {
			if err := instance.AddRoute(route); err != nil {
				object := fmt.Sprintf("route to %s of instance %s", route.Destination, described.Name)
				return &Error{At: described.Routes[i].At, Object: object, Err: err}
			}
		}
	}
	return nil
}

// routeTypes translates the words of a file.
var routeTypes = [...]netstack.RouteType{
	config.RouteUnicast:     netstack.Unicast,
	config.RouteBlackhole:   netstack.Blackhole,
	config.RouteUnreachable: netstack.Unreachable,
	config.RouteProhibit:    netstack.Prohibit,
}

func (b *builder) configureHosts(ctx context.Context) error { return b.eachLink(ctx, b.configureHost) }

// configureHost sets up the host's side of an interface. Like a WireGuard device it has no IPv6 addresses but those
// given, and the host asks nobody there for routers.
func (b *builder) configureHost(l *link) error {
	quiet, err := l.place.ConfigureQuietly(hostnet.LinkConfig{
		Name:       l.Device,
		MTU:        l.MTU,
		TxQueueLen: hostnet.TUNQueueLen,
		Addresses:  l.Host.Addresses,
	})
	if err != nil {
		return &Error{At: l.Host.At, Object: l.String(), Err: err}
	}
	if !quiet {
		b.Logger.Debug("IPv6 autoconfiguration stays on: /proc/sys is read-only", "device", l.Device)
	}
	for _, r := range l.Host.Routes {
		// One by one: an error is to name the line.
		route := hostnet.Route{Destination: r.Destination, Gateway: r.Gateway}
		if err := l.place.Configure(hostnet.LinkConfig{Name: l.Device, Routes: []hostnet.Route{route}}); err != nil {
			return &Error{At: r.At, Object: l.String(), Err: err}
		}
	}
	return nil
}
