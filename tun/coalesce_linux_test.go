// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/hostnet"
	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
)

// openUp opens a device in a namespace and sets it up.
func openUp(t testing.TB, ns *hostnet.Namespace, cfg Config, addresses ...string) Device {
	t.Helper()
	var dev Device
	err := ns.Do(func() (err error) {
		dev, err = Open(cfg)
		return err
	})
	hostnettest.Require(t, "a TUN device", err)
	t.Cleanup(func() { _ = dev.Close() })
	link := hostnet.LinkConfig{Name: cfg.Name, MTU: 1500, NoAutoconf: true}
	for _, a := range addresses {
		link.Addresses = append(link.Addresses, netip.MustParsePrefix(a))
	}
	if err := ns.Configure(link); err != nil {
		t.Fatal(err)
	}
	return dev
}

// A kernelRouter is a namespace in which the kernel forwards from one device, where packets are coalesced, to another,
// which takes no superpackets: the kernel has to make segments of them again.
type kernelRouter struct {
	in, out Device
}

func newKernelRouter(t testing.TB, cfg Config) *kernelRouter {
	ns := hostnettest.Namespace(t)
	cfg.Name = "hnin"
	r := &kernelRouter{
		in:  openUp(t, ns, cfg, "10.0.1.254/24", "fd00::fe/64"),
		out: openUp(t, ns, Config{Name: "hnout", NoOffload: true}, "10.0.2.254/24", "fd02::fe/64"),
	}
	for _, knob := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := ns.Sysctl(knob, "1"); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// expect reads from the router as many packets as are in want, and compares: it forwarded them.
func (r *kernelRouter) expect(t *testing.T, want []*packet.Packet) {
	t.Helper()
	deadline := time.AfterFunc(5*time.Second, func() { _ = r.out.Close() })
	defer deadline.Stop()
	pkts := make([]*packet.Packet, 32)
	for len(want) > 0 {
		n, err := r.out.Read(0, pkts)
		if err != nil {
			t.Fatalf("%d packets did not arrive: %v", len(want), err)
		}
		for _, got := range pkts[:n] {
			if got.Parse() != hooks.ReasonNone || got.TransportProtocol() != protocolTCP && got.TransportProtocol() != protocolUDP {
				continue // the kernel's own, such as a router solicitation
			}
			if len(want) == 0 {
				t.Fatalf("one more packet: %x", got.Bytes())
			}
			p := want[0].Clone()
			p.DecrementTTL()
			p.FillChecksum()
			if !bytes.Equal(got.Bytes(), p.Bytes()) {
				t.Fatalf("%d from the last:\n got %x\nwant %x", len(want), got.Bytes(), p.Bytes())
			}
			p.Release()
			want = want[1:]
		}
	}
}

// samples makes packets.
func samples(t require, lists ...[]sample) []*packet.Packet {
	var pkts []*packet.Packet
	for _, s := range slices.Concat(lists...) {
		pkts = append(pkts, s.packet(t))
	}
	return pkts
}

// What was written as a superpacket comes out of the kernel as the segments it was made of, byte for byte.
func TestCoalesceKernelSegments(t *testing.T) {
	r := newKernelRouter(t, Config{})
	for _, payload := range []int{1, 777, 1440} {
		for _, version := range []int{4, 6} {
			for _, udp := range []bool{false, true} {
				for name, state := range map[string]packet.ChecksumState{"full": packet.ChecksumFull, "partial": packet.ChecksumPartial} {
					t.Run(fmt.Sprintf("IPv%d/udp=%v/%d bytes/%s", version, udp, payload, name), func(t *testing.T) {
						s := sample{version: version, udp: udp, payload: payload, flow: 2, seq: 0xffffff00, id: 0xfff0, state: state}
						list := stream(s, 40)
						list[17].flags = tcpFlagACK | tcpFlagPSH
						list[39].payload = 1
						pkts := samples(t, list)
						if n, err := r.in.Write(0, pkts); n != len(pkts) || err != nil {
							t.Fatal(n, err)
						}
						r.expect(t, pkts)
					})
				}
			}
		}
	}
	if s := fmt.Sprint(r.in); strings.Contains(s, "coalescing") {
		t.Errorf("the device is %q: it does not coalesce any more", s)
	}
}

// A packet with a wrong checksum passes as it is: whom it is for must see that it is wrong.
func TestCoalesceCorrupt(t *testing.T) {
	r := newKernelRouter(t, Config{})
	for _, s := range []sample{{payload: 1000, flow: 1}, {payload: 1000, flow: 1, version: 6, udp: true}} {
		pkts := samples(t, with(stream(s, 6), 3, func(s *sample) { s.corrupt = true }))
		if n, err := r.in.Write(0, pkts); n != len(pkts) || err != nil {
			t.Fatal(n, err)
		}
		r.expect(t, pkts)
	}
}

// The host sees a superpacket where packets can be put together, and none where that is switched off.
func TestCoalesceSwitch(t *testing.T) {
	for name, test := range map[string]struct {
		cfg    Config
		frames int
	}{
		"on":         {Config{}, 1},
		"off":        {Config{NoCoalesce: true}, 10},
		"no offload": {Config{NoOffload: true}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			ns := hostnettest.Namespace(t)
			test.cfg.Name = "hntest"
			dev := openUp(t, ns, test.cfg)
			frames := frameCounter(t, ns, test.cfg.Name)
			for _, s := range []sample{{payload: 1000}, {payload: 1000, version: 6}, {payload: 1000, udp: true}, {payload: 1000, version: 6, udp: true}} {
				pkts := samples(t, stream(s, 10))
				if n, err := dev.Write(0, pkts); n != len(pkts) || err != nil {
					t.Fatal(n, err)
				}
				if got := frames(); got != test.frames {
					t.Errorf("%+v: the host received %d packets, want %d", s, got, test.frames)
				}
			}
		})
	}
}

// frameCounter returns a function that tells how many packets a device's host received since the last call.
func frameCounter(t *testing.T, ns *hostnet.Namespace, device string) func() int {
	t.Helper()
	link, err := ns.Link(device)
	if err != nil {
		t.Fatal(err)
	}
	everything := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	var socket int
	err = ns.Do(func() (err error) {
		socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(everything))
		return err
	})
	hostnettest.Require(t, "a packet socket (CAP_NET_RAW)", err)
	t.Cleanup(func() { _ = unix.Close(socket) })
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: link.Index}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, packet.MaxLen)
	return func() (count int) {
		for { // Write returns when the host has seen the packets
			_, from, err := unix.Recvfrom(socket, buf, 0)
			if err != nil {
				return count
			}
			if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
				count++
			}
		}
	}
}

// refusing runs f on a thread to which the kernel answers every writev(2), and so every superpacket that was put together,
// with an error.
func refusing(t *testing.T, errno syscall.Errno, f func()) {
	t.Helper()
	result := make(chan error)
	go func() {
		defer close(result)
		if err := refuse(errno,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the system call
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_WRITEV},
		); err != nil {
			result <- err
			return
		}
		f()
	}()
	hostnettest.Require(t, "seccomp filters", <-result)
}

// refuse makes the kernel answer system calls of the calling goroutine, for good, with an error (seccomp(2)): those for which
// the program, which ends with a jump over one instruction for others, goes on.
func refuse(errno syscall.Errno, program ...unix.SockFilter) error {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

// A kernel before 6.2 does not know USO: there is all the other offload then, and datagrams are not put together.
func TestOffloadWithoutUSO(t *testing.T) {
	ns := hostnettest.Namespace(t)
	err := ns.Do(func() error {
		const command, argument = 24, 32 // offsets in struct seccomp_data
		load := func(at uint32) unix.SockFilter {
			return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
		}
		err := refuse(unix.EINVAL,
			load(0), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 5, K: unix.SYS_IOCTL},
			load(command), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.TUNSETOFFLOAD},
			load(argument), unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: unix.TUN_F_USO4 | unix.TUN_F_USO6},
		)
		if err != nil {
			return fmt.Errorf("seccomp filter: %w", err)
		}
		dev, err := Open(Config{Name: "hntest"})
		if err != nil {
			return err
		}
		const want = packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6
		if got := dev.Features(); got != want {
			t.Errorf("features %s, want %s", describeFeatures(got), describeFeatures(want))
		}
		if err := ns.Configure(hostnet.LinkConfig{Name: "hntest", NoAutoconf: true}); err != nil {
			t.Error(err)
		}
		frames := frameCounter(t, ns, "hntest")
		if n, err := dev.Write(0, samples(t, stream(sample{payload: 100}, 5), stream(sample{payload: 100, udp: true}, 5))); n != 10 || err != nil {
			t.Error(n, err)
		}
		if got := frames(); got != 6 {
			t.Errorf("the host received %d packets, want one of TCP and 5 of UDP", got)
		}
		return dev.Close()
	})
	hostnettest.Require(t, "a TUN device", err)
}

// A packet that the kernel refuses for what it is costs only itself, and does not switch coalescing off.
func TestCoalesceBadPacketBetween(t *testing.T) {
	r := newKernelRouter(t, Config{})
	pkts := samples(t, stream(sample{payload: 500, flow: 1}, 7))
	want := slices.Delete(slices.Clone(pkts), 3, 4)
	pkts[3].Offload = packet.Offload{Checksum: packet.ChecksumPartial, ChecksumStart: 20, ChecksumOffset: 5000}
	n, err := r.in.Write(0, pkts)
	if n != 3 || err != ErrRefused {
		t.Errorf("Write: %d, %v; want 3, ErrRefused", n, err)
	}
	if n, err := r.in.Write(0, pkts[n+1:]); n != 3 || err != nil {
		t.Errorf("Write of the rest: %d, %v", n, err)
	}
	r.expect(t, want)
	if s := fmt.Sprint(r.in); strings.Contains(s, "coalescing") {
		t.Errorf("the device is %q: it does not coalesce any more", s)
	}
}

// A kernel that refuses superpackets gets segments, in order, nothing lost, and no superpacket of that protocol ever again.
func TestCoalesceFallback(t *testing.T) {
	var log bytes.Buffer
	r := newKernelRouter(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	udp := samples(t, stream(sample{udp: true, payload: 500, flow: 1}, 10))
	tcp := samples(t, stream(sample{version: 6, payload: 500, flow: 2}, 5), stream(sample{version: 6, payload: 500, flow: 3}, 5))
	for _, step := range []struct {
		pkts []*packet.Packet
		want string
	}{{udp, "coalescing: tcp"}, {tcp, "coalescing: none"}, {udp, "coalescing: none"}} {
		refusing(t, unix.EINVAL, func() {
			if n, err := r.in.Write(0, step.pkts); n != len(step.pkts) || err != nil {
				t.Errorf("Write: %d, %v", n, err)
			}
		})
		r.expect(t, step.pkts)
		if s := fmt.Sprint(r.in); !strings.HasSuffix(s, step.want) {
			t.Errorf("the device is %q, want %q", s, step.want)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 2 || !strings.Contains(log.String(), "hnin") {
		t.Errorf("want a line for TCP and one for UDP, got:\n%s", log.String())
	}
}

// When a superpacket is refused for want of memory, its first packet is refused, and every other one can still be written:
// none is lost without a word, none is written twice.
func TestCoalesceRefused(t *testing.T) {
	r := newKernelRouter(t, Config{})
	// In turns: A B A B ..., with a packet here and there that goes alone.
	a, b := stream(sample{payload: 100, flow: 1}, 6), stream(sample{udp: true, payload: 100, flow: 2}, 6)
	var list []sample
	for i := range a {
		list = append(list, a[i], b[i])
	}
	list = append(list, sample{payload: 10, flow: 3}, sample{udp: true, payload: 10, flow: 4})
	pkts := samples(t, list)
	all := slices.Clone(pkts)
	var written, refused []*packet.Packet
	refusing(t, unix.ENOBUFS, func() {
		for rest := pkts; len(rest) > 0; {
			n, err := r.in.Write(0, rest)
			written = append(written, rest[:n]...)
			if err == nil {
				break
			}
			if err != ErrFull {
				t.Errorf("Write: %v, want ErrFull", err)
			}
			refused = append(refused, rest[n])
			rest = rest[n+1:]
		}
	})
	together := slices.Concat(written, refused)
	for _, p := range all {
		if i := slices.Index(together, p); i < 0 {
			t.Error("a packet is neither written nor refused")
		} else {
			together = slices.Delete(together, i, i+1)
		}
	}
	if len(together) != 0 || len(refused) != 10 || len(written) != 4 {
		t.Errorf("%d written, %d refused, %d too many; want all but the last of each run refused", len(written), len(refused), len(together))
	}
	r.expect(t, written)
	if s := fmt.Sprint(r.in); strings.Contains(s, "coalescing") {
		t.Errorf("the device is %q: want of memory does not mean that superpackets are not known", s)
	}
}

// The device is down: every packet is refused, once.
func TestCoalesceDown(t *testing.T) {
	ns := hostnettest.Namespace(t)
	dev := openUp(t, ns, Config{Name: "hntest"})
	if err := ns.SetUp("hntest", false); err != nil {
		t.Fatal(err)
	}
	rest := samples(t, stream(sample{payload: 100}, 10))
	for count := range 10 {
		n, err := dev.Write(0, rest)
		if n != 0 || !errors.Is(err, ErrDown) {
			t.Fatalf("packet %d: %d, %v; want 0, ErrDown", count, n, err)
		}
		rest = rest[1:]
	}
}

func TestCoalesceNoAllocs(t *testing.T) {
	if invariant.Enabled {
		t.Skip("-race builds allocate")
	}
	dev := openUp(t, hostnettest.Namespace(t), Config{Name: "hntest"})
	pkts := samples(t, stream(sample{payload: 1400}, 16), stream(sample{version: 6, udp: true, payload: 1000}, 16))
	if got := testing.AllocsPerRun(1000, func() {
		if _, err := dev.Write(0, pkts); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations for a batch, want 0", got)
	}
}

// BenchmarkWrite is the time to hand a batch of 32 packets of one stream to the host, which drops them: no route leads on.
func BenchmarkWrite(b *testing.B) {
	for _, payload := range []int{36, 1400} {
		for name, state := range map[string]packet.ChecksumState{"partial": packet.ChecksumPartial, "full": packet.ChecksumFull} {
			for _, udp := range []bool{false, true} {
				for _, off := range []bool{false, true} {
					b.Run(fmt.Sprintf("payload=%d/checksum=%s/udp=%v/coalesce=%v", payload, name, udp, !off), func(b *testing.B) {
						dev := openUp(b, hostnettest.Namespace(b), Config{Name: "hntest", NoCoalesce: off})
						pkts := samples(b, stream(sample{payload: payload, udp: udp, state: state}, 32))
						b.ReportAllocs()
						for b.Loop() {
							if _, err := dev.Write(0, pkts); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(pkts)), "ns/packet")
					})
				}
			}
		}
	}
}
