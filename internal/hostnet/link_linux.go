// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// withNetlink runs f with a netlink socket of the namespace. A socket belongs to the
// namespace it was opened in, whatever thread uses it, so only the opening is done
// inside. (netlink.NewHandleAt would move the caller's thread, and not notice if it
// cannot come back.)
func (n *Namespace) withNetlink(device, op string, f func(*netlink.Handle) error) error {
	var handle *netlink.Handle
	err := n.Do(func() (err error) {
		handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		var already *OpError // of Do
		if errors.As(err, &already) {
			return err
		}
		return n.failed(device, op, err)
	}
	defer handle.Close()
	return n.failed(device, op, f(handle))
}

// withLink is withNetlink for a link that exists.
func (n *Namespace) withLink(device, op string, f func(*netlink.Handle, netlink.Link) error) error {
	return n.withNetlink(device, op, func(handle *netlink.Handle) error {
		link, err := handle.LinkByName(device)
		if err != nil {
			return notFound(err)
		}
		return f(handle, link)
	})
}

// notFound makes errors.Is(err, unix.ENODEV) work for a link that does not exist.
func notFound(err error) error {
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return fmt.Errorf("there is no such device: %w", unix.ENODEV)
	}
	return err
}

// Configure sets up a link that exists: MTU, queue length, addresses, up, routes, in
// this order. Doing it twice is the same as doing it once. On an error, what came
// before has been done. If the link has a carrier, its addresses are in use when
// Configure returns. The link of a veth pair has none until its peer is up: see
// WaitReady.
func (n *Namespace) Configure(cfg LinkConfig) error {
	if cfg.NoAutoconf {
		if err := n.quietIPv6(cfg.Name); err != nil {
			return n.failed(cfg.Name, "switch IPv6 autoconfiguration off", err)
		}
	}
	return n.withLink(cfg.Name, "configure", func(handle *netlink.Handle, link netlink.Link) error {
		if cfg.MTU != 0 {
			if err := handle.LinkSetMTU(link, cfg.MTU); err != nil {
				return fmt.Errorf("set MTU %d: %w", cfg.MTU, err)
			}
		}
		if cfg.TxQueueLen != 0 {
			if err := handle.LinkSetTxQLen(link, cfg.TxQueueLen); err != nil {
				return fmt.Errorf("set the queue length to %d: %w", cfg.TxQueueLen, err)
			}
		}
		for _, prefix := range cfg.Addresses {
			if err := handle.AddrReplace(link, address(prefix)); err != nil {
				return fmt.Errorf("add address %v: %w%s", prefix, err, adviceIPv6(prefix.Addr(), err))
			}
		}
		if err := handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		if err := waitReady(ctx, handle, cfg.Name, false); err != nil {
			return err
		}
		for _, r := range cfg.Routes {
			if err := addRoute(handle, link, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// readyTimeout is how long Configure waits for what takes the kernel milliseconds.
const readyTimeout = 10 * time.Second

// WaitReady waits until the link has a carrier and the host takes packets for each of
// its addresses, link-local ones excepted. The kernel sees to both in the background: the carrier of a veth comes
// after its peer is up, and an IPv6 address is in use some time after it was added,
// also without duplicate address detection. The error says what it was waiting for.
func (n *Namespace) WaitReady(ctx context.Context, device string) error {
	return n.withNetlink(device, "wait until it is ready", func(handle *netlink.Handle) error {
		return waitReady(ctx, handle, device, true)
	})
}

// waitReady polls: no event tells that an address is in use. A link without a carrier is
// ready, unless needCarrier.
func waitReady(ctx context.Context, handle *netlink.Handle, device string, needCarrier bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		missing, err := notReady(handle, device, needCarrier)
		if err != nil || missing == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", missing, ctx.Err())
		}
	}
}

// notReady says what a link still lacks, or nothing.
func notReady(handle *netlink.Handle, device string, needCarrier bool) (string, error) {
	link, err := handle.LinkByName(device)
	if err != nil {
		return "", notFound(err)
	}
	if link.Attrs().RawFlags&unix.IFF_LOWER_UP == 0 {
		if needCarrier {
			return "the carrier", nil
		}
		return "", nil
	}
	addrs, err := handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return "", err
	}
	for _, addr := range addrs {
		if addr.IP.IsLinkLocalUnicast() {
			continue // the kernel's own, which may take a second: nobody asked for it
		}
		// No route yet is an error of RouteGet.
		routes, err := handle.RouteGet(addr.IP)
		if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL {
			return "address " + addr.IP.String() + " to come into use", nil
		}
	}
	return "", nil
}

func address(prefix netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

func addRoute(handle *netlink.Handle, link netlink.Link, r Route) error {
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.Destination.Masked())}
	words := r.Destination.String()
	if r.Gateway.IsValid() {
		route.Gw = r.Gateway.AsSlice()
		words += " via " + r.Gateway.String()
	} else if r.Destination.Addr().Is4() {
		route.Scope = unix.RT_SCOPE_LINK
	}
	if err := handle.RouteReplace(route); err != nil {
		advice := adviceIPv6(r.Destination.Addr(), err)
		if err == unix.ENETUNREACH || err == unix.EHOSTUNREACH {
			advice = "; the gateway must be in a subnet of one of the link's addresses"
		}
		return fmt.Errorf("add route %s: %w%s", words, err, advice)
	}
	return nil
}

// adviceIPv6 explains the errors of a kernel without IPv6.
func adviceIPv6(addr netip.Addr, err error) string {
	if addr.Is6() && (err == unix.EACCES || err == unix.EPERM || err == unix.EOPNOTSUPP || err == unix.EAFNOSUPPORT) {
		return "; is IPv6 switched off (net.ipv6.conf.all.disable_ipv6)?"
	}
	return ""
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}

// quietIPv6 must run before the link is up.
func (n *Namespace) quietIPv6(device string) error {
	const noLinkLocal = "1" // IN6_ADDR_GEN_MODE_NONE
	for _, s := range []struct{ name, value string }{
		{"addr_gen_mode", noLinkLocal},
		{"accept_ra", "0"},
		{"router_solicitations", "0"},
	} {
		err := n.Sysctl("net/ipv6/conf/"+device+"/"+s.name, s.value)
		if errors.Is(err, fs.ErrNotExist) {
			// No IPv6 at all, which is as quiet as can be; or no such link, which
			// Configure is about to find out.
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// SetUp sets a link administratively up or down. A link that goes down loses its routes
// and its IPv6 addresses.
func (n *Namespace) SetUp(device string, up bool) error {
	op := "set down"
	if up {
		op = "set up"
	}
	return n.withLink(device, op, func(handle *netlink.Handle, link netlink.Link) error {
		if up {
			return handle.LinkSetUp(link)
		}
		return handle.LinkSetDown(link)
	})
}

// AddVeth makes a pair of virtual Ethernet devices, device in n and peerDevice in peer.
// Both are down and without addresses; deleting one deletes both.
func (n *Namespace) AddVeth(device string, peer *Namespace, peerDevice string) error {
	op := fmt.Sprintf("add a veth pair to %s in namespace %s", peerDevice, peer)
	return n.withNetlink(device, op, func(handle *netlink.Handle) error {
		return peer.withFD(func(fd int) error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = device
			return handle.LinkAdd(&netlink.Veth{
				LinkAttrs:     attrs,
				PeerName:      peerDevice,
				PeerNamespace: netlink.NsFd(fd),
			})
		})
	})
}

// MoveLink moves a link to another namespace, where it arrives down and without
// addresses. An open TUN device goes on working.
func (n *Namespace) MoveLink(device string, to *Namespace) error {
	return n.withLink(device, "move to namespace "+to.name, func(handle *netlink.Handle, link netlink.Link) error {
		return to.withFD(func(fd int) error { return handle.LinkSetNsFd(link, fd) })
	})
}

// RenameLink gives a link another name. Kernels before 6.2 refuse while it is up (EBUSY).
func (n *Namespace) RenameLink(device, name string) error {
	return n.withLink(device, "rename to "+name, func(handle *netlink.Handle, link netlink.Link) error {
		return handle.LinkSetName(link, name)
	})
}

// DeleteLink deletes a link. An open TUN device is gone for the process that has it.
func (n *Namespace) DeleteLink(device string) error {
	return n.withLink(device, "delete", func(handle *netlink.Handle, link netlink.Link) error {
		return handle.LinkDel(link)
	})
}

// Links lists the links of the namespace in the order of their indexes.
func (n *Namespace) Links() ([]Link, error) {
	var links []Link
	err := n.withNetlink("", "list links", func(handle *netlink.Handle) error {
		found, err := handle.LinkList()
		if err != nil {
			return err
		}
		addrs, err := handle.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, l := range found {
			a := l.Attrs()
			link := Link{
				Index:      a.Index,
				Name:       a.Name,
				Type:       l.Type(),
				MTU:        a.MTU,
				TxQueueLen: a.TxQLen,
				Up:         a.Flags&net.FlagUp != 0,
			}
			for _, addr := range addrs {
				if addr.LinkIndex == a.Index {
					link.Addresses = append(link.Addresses, prefix(addr.IPNet))
				}
			}
			links = append(links, link)
		}
		return nil
	})
	return links, err
}

// Link returns what the kernel says of one link. errors.Is(err, syscall.ENODEV) tells
// that it does not exist.
func (n *Namespace) Link(device string) (Link, error) {
	links, err := n.Links()
	if err != nil {
		return Link{}, err
	}
	for _, l := range links {
		if l.Name == device {
			return l, nil
		}
	}
	return Link{}, n.failed(device, "look up", fmt.Errorf("there is no such device: %w", unix.ENODEV))
}

func prefix(ip *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(ip.IP)
	ones, _ := ip.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones)
}

// Sysctl sets a kernel parameter of the namespace. The name is a path below /proc/sys
// and must begin with "net/": "net/ipv4/ip_forward".
func (n *Namespace) Sysctl(name, value string) error {
	// A path with ".." in it would leave the namespace's part, and set a parameter of the
	// whole machine.
	if !strings.HasPrefix(name, "net/") || path.Clean(name) != name {
		return n.failed("", "set "+name, fmt.Errorf("not a parameter of a network namespace: %w", fs.ErrInvalid))
	}
	err := n.Do(func() error {
		// Not os.WriteFile: a parameter that does not exist must not be created.
		file, err := os.OpenFile(path.Join("/proc/sys", name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(value)
		return errors.Join(err, file.Close())
	})
	return n.failed("", "set "+name+" to "+value, err)
}
