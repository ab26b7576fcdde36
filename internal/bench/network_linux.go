// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hooknet/hooknet/internal/hostnet"
)

// The two subnets, alike for every path: each has its own namespaces.
var (
	client, clientRouter = netip.MustParsePrefix("10.99.1.2/24"), netip.MustParsePrefix("10.99.1.1/24")
	server, serverRouter = netip.MustParsePrefix("10.99.2.2/24"), netip.MustParsePrefix("10.99.2.1/24")
)

const device = "bench0" // in both namespaces

// A network is a path with a namespace on either end of it. What it is made of ends with the last descriptor and the
// last process, whatever becomes of this one.
type network struct {
	client, server *hostnet.Namespace
	router         *hostnet.Namespace // of the kernel path only
	process        *process           // nil on the kernel path
	congestion     string             // congestion control of TCP from the client
}

// buildNetwork makes a path, and returns when it carries packets. On an error nothing of it is left.
func buildNetwork(ctx context.Context, path *Path, worker []string, congestion string) (_ *network, err error) {
	n := &network{congestion: congestion}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	for _, namespace := range []**hostnet.Namespace{&n.client, &n.server} {
		if *namespace, err = newNamespace(); err != nil {
			return nil, err
		}
	}
	if path.router.kind == kernelRouter {
		err = n.addKernelRouter(ctx)
	} else {
		err = n.addProcess(ctx, path, worker)
	}
	if err != nil {
		return nil, err
	}
	return n, n.await(ctx)
}

func newNamespace() (*hostnet.Namespace, error) {
	namespace, err := hostnet.New()
	if err != nil {
		return nil, err
	}
	if err := namespace.Configure(hostnet.LinkConfig{Name: "lo"}); err != nil {
		return nil, errors.Join(err, namespace.Close())
	}
	return namespace, nil
}

// addKernelRouter joins the namespaces by a third one that forwards.
func (n *network) addKernelRouter(ctx context.Context) (err error) {
	if n.router, err = newNamespace(); err != nil {
		return err
	}
	for i, end := range []struct {
		namespace     *hostnet.Namespace
		near, far     netip.Prefix
		gateway, dest netip.Addr
	}{
		{n.client, client, clientRouter, clientRouter.Addr(), server.Addr()},
		{n.server, server, serverRouter, serverRouter.Addr(), client.Addr()},
	} {
		port := fmt.Sprintf("port%d", i)
		if err := end.namespace.AddVeth(device, n.router, port); err != nil {
			return err
		}
		if _, err := n.router.ConfigureQuietly(hostnet.LinkConfig{Name: port, MTU: mtu, Addresses: []netip.Prefix{end.far}}); err != nil {
			return err
		}
		_, err := end.namespace.ConfigureQuietly(hostnet.LinkConfig{
			Name: device, MTU: mtu, Addresses: []netip.Prefix{end.near},
			Routes: []hostnet.Route{{Destination: netip.PrefixFrom(end.dest, 32), Gateway: end.gateway}},
		})
		if err != nil {
			return err
		}
		if err := n.router.WaitReady(ctx, port); err != nil {
			return err
		}
	}
	if err := n.router.Sysctl("net/ipv4/ip_forward", "1"); err != nil {
		return fmt.Errorf("%w (other paths, by --paths, do without)", err)
	}
	return nil
}

// addProcess starts the router, which makes the TUN devices, and gives the kernel its end of them.
func (n *network) addProcess(ctx context.Context, path *Path, worker []string) (err error) {
	if n.process, err = startProcess(ctx, append(worker[:len(worker):len(worker)], path.Name), n.client, n.server); err != nil {
		return err
	}
	for _, end := range []struct {
		namespace *hostnet.Namespace
		near      netip.Prefix
		far       netip.Prefix
	}{{n.client, client, server}, {n.server, server, client}} {
		_, err := end.namespace.ConfigureQuietly(hostnet.LinkConfig{
			Name: device, MTU: mtu, TxQueueLen: hostnet.TUNQueueLen, Addresses: []netip.Prefix{end.near},
			Routes: []hostnet.Route{{Destination: end.far.Masked()}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// await returns when the server has answered: a router may say that it is ready a little early.
func (n *network) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("it carries no packets: no echo after 5 s"))
	defer cancel()
	p, err := n.newPinger(50 * time.Millisecond)
	if err != nil {
		return err
	}
	defer p.close()
	for {
		if _, err := p.ask(); !errors.Is(err, errUnanswered) {
			return err
		}
		if err := n.check(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// check returns an error if the router's process has ended.
func (n *network) check() error {
	if n.process == nil {
		return nil
	}
	return n.process.check()
}

// cpu returns the processor time that the router's process has had; none is known of the kernel.
func (n *network) cpu() (used time.Duration, known bool, err error) {
	if n.process == nil {
		return 0, false, nil
	}
	used, err = n.process.cpu()
	return used, true, err
}

func (n *network) close() error {
	var errs []error
	if n.process != nil {
		errs = append(errs, n.process.close())
	}
	for _, namespace := range []*hostnet.Namespace{n.client, n.server, n.router} {
		if namespace != nil {
			errs = append(errs, namespace.Close())
		}
	}
	return errors.Join(errs...)
}
