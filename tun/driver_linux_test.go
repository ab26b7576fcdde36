// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

func init() {
	for name, cfg := range map[string]tun.Config{
		"linux":             {Driver: tun.DriverLinux},
		"linux, no offload": {Driver: tun.DriverLinux, NoOffload: true},
		"water":             {Driver: tun.DriverWater},
	} {
		drivers[name] = func(t *testing.T) rig { return tunRig(t, cfg) }
	}
}

const deviceName = "hntest"

// openIn opens a device in a namespace.
func openIn(t *testing.T, ns *hostnet.Namespace, cfg tun.Config) tun.Device {
	t.Helper()
	var dev tun.Device
	err := ns.Do(func() (err error) {
		dev, err = tun.Open(cfg)
		return err
	})
	hostnettest.Require(t, "a TUN device", err)
	t.Cleanup(func() { closeDevice(t, dev) })
	return dev
}

// newDevice opens a device in a namespace of its own, and sets it up.
func newDevice(t *testing.T, cfg tun.Config, addresses ...string) (tun.Device, *hostnet.Namespace) {
	t.Helper()
	ns := hostnettest.Namespace(t)
	if cfg.Name == "" {
		cfg.Name = deviceName
	}
	dev := openIn(t, ns, cfg)
	configure(t, ns, addresses...)
	return dev, ns
}

func configure(t *testing.T, ns *hostnet.Namespace, addresses ...string) {
	t.Helper()
	link := hostnet.LinkConfig{Name: deviceName, MTU: 1500, NoAutoconf: true}
	for _, a := range addresses {
		link.Addresses = append(link.Addresses, netip.MustParsePrefix(a))
	}
	if err := ns.Configure(link); err != nil {
		t.Fatal(err)
	}
}

// tunRig looks at the far side of a TUN device with a packet socket, which sends and
// sees packets as they are, without a TCP/IP stack in between.
func tunRig(t *testing.T, cfg tun.Config) rig {
	dev, ns := newDevice(t, cfg)
	socket, address := packetSocket(t, ns, unix.SOCK_DGRAM)
	buf := make([]byte, packet.MaxLen)
	return rig{
		dev: dev,
		send: func(p []byte) {
			t.Helper()
			if err := unix.Sendto(socket, p, 0, address); err != nil {
				t.Fatal(err)
			}
		},
		take: func() []byte {
			t.Helper()
			for {
				n, from, err := unix.Recvfrom(socket, buf, 0)
				if err != nil {
					t.Fatalf("nothing arrived: %v", err)
				}
				if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
					return bytes.Clone(buf[:n])
				}
			}
		},
	}
}

// packetSocket opens a packet socket on the device of a namespace.
func packetSocket(t *testing.T, ns *hostnet.Namespace, kind int) (int, *unix.SockaddrLinklayer) {
	t.Helper()
	link, err := ns.Link(deviceName)
	if err != nil {
		t.Fatal(err)
	}
	everything := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	address := &unix.SockaddrLinklayer{Protocol: everything, Ifindex: link.Index}
	var socket int
	err = ns.Do(func() (err error) {
		socket, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, int(everything))
		return err
	})
	hostnettest.Require(t, "a packet socket (CAP_NET_RAW)", err)
	t.Cleanup(func() { _ = unix.Close(socket) })
	if err := unix.Bind(socket, address); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	return socket, address
}

// echoRequest returns a ping of 10.1.0.1 from 10.1.0.2.
func echoRequest(payload int) []byte {
	b := make([]byte, 28+payload)
	copy(b, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1, 0, 0, 10, 1, 0, 2, 10, 1, 0, 1, 8})
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[10:], internetChecksum(b[:20]))
	binary.BigEndian.PutUint16(b[22:], internetChecksum(b[20:]))
	return b
}

// internetChecksum is the checksum of RFC 1071 over an even number of bytes.
func internetChecksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// The host answers a ping within the write: a round trip without a wait.
func TestLinuxNoAllocs(t *testing.T) {
	for name, cfg := range map[string]tun.Config{"offload": {}, "no offload": {NoOffload: true}} {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDevice(t, cfg, "10.1.0.1/24")
			ping := filled(echoRequest(56))
			out := []*packet.Packet{ping, ping, ping}
			in := make([]*packet.Packet, 8)
			checkNoAllocs(t, func() {
				if n, err := dev.Write(0, out); n != 3 || err != nil {
					t.Fatal(n, err)
				}
				for got := 0; got < 3; {
					n, err := dev.Read(0, in)
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			})
		})
	}
}

func TestLinuxFeatures(t *testing.T) {
	dev, _ := newDevice(t, tun.Config{})
	if want := packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6; dev.Features()&want != want {
		t.Errorf("features %b, want at least %b", dev.Features(), want)
	}
	if s := fmt.Sprint(dev); !strings.Contains(s, "linux driver") || !strings.Contains(s, "tso4") {
		t.Errorf("String: %q", s)
	}
	dev, _ = newDevice(t, tun.Config{NoOffload: true})
	if dev.Features() != 0 {
		t.Errorf("features %b without offload, want none", dev.Features())
	}
}

func TestKernelChoosesName(t *testing.T) {
	for pattern, prefix := range map[string]string{"": "tun", "hn%d": "hn"} {
		for _, driver := range []tun.Driver{tun.DriverLinux, tun.DriverWater} {
			ns := hostnettest.Namespace(t)
			dev := openIn(t, ns, tun.Config{Name: pattern, Driver: driver})
			if got := dev.Name(); got != prefix+"0" {
				t.Errorf("%s driver, name %q: got %q, want %s0", driver, pattern, got, prefix)
			}
			if _, err := ns.Link(dev.Name()); err != nil {
				t.Error(err)
			}
		}
	}
}

// While the device is down, packets are refused one by one; then all is well again.
func TestWriteDown(t *testing.T) {
	for _, driver := range []tun.Driver{tun.DriverLinux, tun.DriverWater} {
		t.Run(driver.String(), func(t *testing.T) {
			dev, ns := newDevice(t, tun.Config{Driver: driver})
			pkts := []*packet.Packet{filled(numbered(1, 20)), filled(numbered(2, 20))}
			if err := ns.SetUp(deviceName, false); err != nil {
				t.Fatal(err)
			}
			n, err := dev.Write(0, pkts)
			if n != 0 || err != tun.ErrDown || !errors.Is(err, syscall.EIO) {
				t.Errorf("Write: %d, %v; want 0, ErrDown", n, err)
			}
			if err := ns.SetUp(deviceName, true); err != nil {
				t.Fatal(err)
			}
			if n, err := dev.Write(0, pkts); n != 2 || err != nil {
				t.Errorf("Write when up again: %d, %v", n, err)
			}
		})
	}
}

func TestDeviceDeleted(t *testing.T) {
	for _, driver := range []tun.Driver{tun.DriverLinux, tun.DriverWater} {
		t.Run(driver.String(), func(t *testing.T) {
			dev, ns := newDevice(t, tun.Config{Driver: driver})
			pkts := make([]*packet.Packet, 2)
			result := make(chan error)
			go func() { _, err := dev.Read(0, pkts); result <- err }()
			waitUntilBlocked(t, 1)
			if err := ns.DeleteLink(deviceName); err != nil {
				t.Fatal(err)
			}
			if err := <-result; err != tun.ErrGone {
				t.Errorf("blocked Read: %v, want ErrGone", err)
			}
			if n, err := dev.Read(0, pkts); n != 0 || err != tun.ErrGone || !errors.Is(err, syscall.EBADFD) {
				t.Errorf("Read again: %d, %v; want ErrGone", n, err)
			}
			if n, err := dev.Write(0, []*packet.Packet{filled(numbered(1, 20))}); n != 0 || err != tun.ErrGone {
				t.Errorf("Write: %d, %v; want ErrGone", n, err)
			}
			closeDevice(t, dev)
			if _, err := dev.Read(0, pkts); err != net.ErrClosed {
				t.Errorf("Read after Close: %v, want net.ErrClosed", err)
			}
		})
	}
}

// An open device works on when it is moved to another namespace.
func TestDeviceMoved(t *testing.T) {
	dev, ns := newDevice(t, tun.Config{})
	other := hostnettest.Namespace(t)
	if err := ns.MoveLink(deviceName, other); err != nil {
		t.Fatal(err)
	}
	configure(t, other, "10.1.0.1/24")
	if _, err := dev.Write(0, []*packet.Packet{filled(echoRequest(8))}); err != nil {
		t.Fatal(err)
	}
	pkts := make([]*packet.Packet, 1)
	if n, err := dev.Read(0, pkts); n != 1 || err != nil || pkts[0].Parse() != hooks.ReasonNone {
		t.Errorf("Read: %d, %v", n, err)
	}
}

// All queues of a device get packets, and all can be written to.
func TestQueues(t *testing.T) {
	const queues = 3
	dev, ns := newDevice(t, tun.Config{Queues: queues}, "10.1.0.1/24")
	if dev.Queues() != queues {
		t.Fatalf("%d queues, want %d", dev.Queues(), queues)
	}
	var seen [queues]atomic.Int64
	var wg sync.WaitGroup
	for q := range queues {
		wg.Go(func() { // one reader for each queue, until Close
			pkts := make([]*packet.Packet, 8)
			for {
				n, err := dev.Read(q, pkts)
				if err != nil {
					if err != net.ErrClosed {
						t.Errorf("Read of queue %d: %v", q, err)
					}
					return
				}
				seen[q].Add(int64(n))
			}
		})
	}
	const flows = 100
	if err := ns.Do(func() error {
		for i := range flows {
			conn, err := net.Dial("udp", fmt.Sprintf("10.1.0.2:%d", 2000+i))
			if err != nil {
				return err
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				return err
			}
			_ = conn.Close()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// A ping for each queue: every reply comes to some queue.
	for q := range queues {
		if n, err := dev.Write(q, []*packet.Packet{filled(echoRequest(8))}); n != 1 || err != nil {
			t.Errorf("Write to queue %d: %d, %v", q, n, err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		total := seen[0].Load() + seen[1].Load() + seen[2].Load()
		if total == flows+queues {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d packets arrived, want %d", total, flows+queues)
		}
	}
	for q := range queues {
		if seen[q].Load() == 0 {
			t.Errorf("none of %d flows came to queue %d", flows, q)
		}
	}
	waitUntilBlocked(t, queues)
	closeDevice(t, dev)
	wg.Wait()
}

// A persistent device is attached to, whatever it was made for, and stays.
func TestPersistent(t *testing.T) {
	for name, test := range map[string]struct {
		options []string
		cfg     tun.Config
		refused string
	}{
		"one queue":                       {nil, tun.Config{}, ""},
		"several queues, opened with one": {[]string{"multi_queue"}, tun.Config{}, ""},
		"several queues":                  {[]string{"multi_queue", "vnet_hdr"}, tun.Config{Queues: 2}, ""},
		"one queue, opened with two":      {nil, tun.Config{Queues: 2}, "multi_queue"},
		"water":                           {nil, tun.Config{Driver: tun.DriverWater}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ns := hostnettest.Namespace(t)
			args := append([]string{"tuntap", "add", deviceName, "mode", "tun"}, test.options...)
			if out, err := ns.Command(t.Context(), hostnettest.Tool(t, "ip"), args...).CombinedOutput(); err != nil {
				t.Fatalf("ip %v: %v\n%s", args, err, out)
			}
			test.cfg.Name = deviceName
			if test.refused != "" {
				err := ns.Do(func() error { _, err := tun.Open(test.cfg); return err })
				if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("Open: %v, want EINVAL and a word of %s", err, test.refused)
				}
				return
			}
			dev := openIn(t, ns, test.cfg)
			configure(t, ns, "10.1.0.1/24")
			if _, err := dev.Write(0, []*packet.Packet{filled(echoRequest(8))}); err != nil {
				t.Error(err)
			}
			closeDevice(t, dev)
			if _, err := ns.Link(deviceName); err != nil {
				t.Errorf("the device is gone after Close: %v", err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	ns := hostnettest.Namespace(t)
	taken := openIn(t, ns, tun.Config{Name: deviceName})
	if err := ns.AddVeth("veth0", ns, "veth1"); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		cfg   tun.Config
		errno error
		words []string
	}{
		"no clone device":          {tun.Config{Path: "/dev/net/no-such"}, syscall.ENOENT, []string{"/dev/net/no-such", "modprobe tun"}},
		"no clone device at all":   {tun.Config{Path: "/dev/null"}, tun.ErrUnsupported, []string{"virtio-net header"}},
		"in use":                   {tun.Config{Name: taken.Name()}, syscall.EBUSY, []string{taken.Name(), "another process"}},
		"in use, water":            {tun.Config{Name: taken.Name(), Driver: tun.DriverWater}, syscall.EBUSY, []string{taken.Name(), "another process"}},
		"no TUN":                   {tun.Config{Name: "veth0"}, syscall.EINVAL, []string{"veth0", "no TUN device"}},
		"name too long":            {tun.Config{Name: "sixteen-bytes-lo"}, syscall.EINVAL, []string{"16 bytes", "15"}},
		"name with a slash":        {tun.Config{Name: "a/b"}, syscall.EINVAL, []string{"a/b", "name"}},
		"name with a slash, water": {tun.Config{Name: "a/b", Driver: tun.DriverWater}, syscall.EINVAL, []string{"a/b", "name"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := openFiles()
			err := ns.Do(func() error {
				dev, err := tun.Open(test.cfg)
				if err == nil {
					closeDevice(t, dev)
				}
				return err
			})
			if !errors.Is(err, test.errno) {
				t.Errorf("Open: %v, want %v", err, test.errno)
			}
			for _, word := range test.words {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("Open: %q does not say %q", err, word)
				}
			}
			if got := openFiles(); got > files && test.cfg.Driver != tun.DriverWater { // water leaks one
				t.Errorf("%d open files, %d before", got, files)
			}
		})
	}
}

// Without the right to make devices, or to open the clone device, the error says what
// to do about it.
func TestOpenNotPermitted(t *testing.T) {
	ns := hostnettest.Namespace(t)
	noFile := t.TempDir() + "/tun"
	if err := os.WriteFile(noFile, nil, 0); err != nil {
		t.Fatal(err)
	}
	for path, word := range map[string]string{"": "CAP_NET_ADMIN", noFile: "sudo chmod 0666 " + noFile} {
		err := ns.Do(func() error {
			// The thread cannot go back, and is thrown away: it may as well lose all.
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				return err
			}
			dev, err := tun.Open(tun.Config{Name: deviceName, Path: path})
			if err == nil {
				closeDevice(t, dev)
			}
			return err
		})
		if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), word) {
			t.Errorf("Open with path %q: %v; want fs.ErrPermission and %q", path, err, word)
		}
	}
}
