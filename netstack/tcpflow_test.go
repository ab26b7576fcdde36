// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/packet"
)

// A clock stands still until it is set.
type clock struct{ now atomic.Int64 }

func (c *clock) Now() time.Duration      { return time.Duration(c.now.Load()) }
func (c *clock) advance(d time.Duration) { c.now.Add(int64(d)) }

// The two sides of the connections in these tests.
var (
	client4, server4 = netip.AddrPortFrom(left4, 40000), netip.AddrPortFrom(right4, 80)
	client6, server6 = netip.AddrPortFrom(left6, 40000), netip.AddrPortFrom(right6, 80)
)

// segment builds a TCP segment; flags are letters: S, A, F, R, P.
func segment(t testing.TB, src, dst netip.AddrPort, flags string, seq, ack uint32, size int, options ...layers.TCPOption) []byte {
	t.Helper()
	l3 := ip(src.Addr(), dst.Addr(), 64, layers.IPProtocolTCP)
	has := func(flag string) bool { return strings.Contains(flags, flag) }
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: seq, Ack: ack, Window: 1000, Options: options,
		SYN: has("S"), ACK: has("A"), FIN: has("F"), RST: has("R"), PSH: has("P"),
	}
	tcp.SetNetworkLayerForChecksum(l3.(gopacket.NetworkLayer))
	return serialize(t, l3, tcp, gopacket.Payload(make([]byte, size)))
}

// A recorder is a helper that writes down what it is called with, and counts its data. Only what it does under its own lock
// is safe from different flows.
type recorder struct {
	*khelp.Helper
	mu    sync.Mutex
	lines []string
	news  atomic.Int64
	frees atomic.Int64
}

// A tally is its data: one for each end.
type tally struct{ in, out, acked, retransmissions int }

func newRecorder(t testing.TB, i *netstack.Instance) *recorder {
	t.Helper()
	r := &recorder{}
	point := func(id hhook.ID, f func(c *netstack.TCPContext, data *tally)) hhook.Hook {
		return hhook.Hook{Type: hhook.TCP, ID: id, Func: khelp.With(func(c *hhook.Call, data *tally) {
			context := c.Context.(*netstack.TCPContext)
			if c.Object != context.Flow || c.Type != hhook.TCP || c.ID != id {
				t.Errorf("called with %+v", c)
			}
			f(context, data)
			r.mu.Lock()
			defer r.mu.Unlock()
			what := "in"
			if id == netstack.TCPEstablishedOut {
				what = "out"
			}
			line := fmt.Sprintf("%s %d %v seq %d ack %d len %d", what, context.Flow.Local.Port(), context.Flags,
				context.Sequence, context.Acknowledgment, context.Length)
			if context.Acked != 0 {
				line += fmt.Sprintf(" acked %d", context.Acked)
			}
			if context.Retransmission {
				line += " again"
			}
			if context.TSO {
				line += fmt.Sprintf(" tso %d", context.SegmentSize)
			}
			r.lines = append(r.lines, line+fmt.Sprintf(" una %d nxt %d", context.Flow.SendUnacknowledged, context.Flow.SendNext))
		})}
	}
	var err error
	r.Helper, err = i.Helpers().Load(khelp.Config{
		Name: "recorder", Classes: khelp.TCP,
		Data: khelp.DataOf[tally]{
			New:  func(*tally) error { r.news.Add(1); return nil },
			Free: func(*tally) { r.frees.Add(1) },
		},
		Hooks: []hhook.Hook{
			point(netstack.TCPEstablishedIn, func(c *netstack.TCPContext, data *tally) {
				data.in++
				data.acked += int(c.Acked)
			}),
			point(netstack.TCPEstablishedOut, func(c *netstack.TCPContext, data *tally) {
				data.out++
				if c.Retransmission {
					data.retransmissions++
				}
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// want checks what was written down since the last time.
func (r *recorder) want(t testing.TB, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.lines); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	r.lines = nil
}

func flows(i *netstack.Instance) []netstack.Flow { return slices.Collect(i.Flows()) }

// across sends a segment from one side to the other and returns it as it arrived.
func (r *router) across(from, to *wire, b []byte) *packet.Packet {
	r.t.Helper()
	from.send(b)
	return to.receive()
}

func flowKstat(t testing.TB, i *netstack.Instance, field string) uint64 {
	t.Helper()
	for k := range i.Kstats() {
		if k.Module != "tcp" || k.Name != "flows" {
			continue
		}
		for _, v := range k.Values {
			if v.Name == field {
				return v.Value.(uint64)
			}
		}
	}
	t.Fatalf("no kstat tcp:0:flows with a field %q", field)
	return 0
}

// A forwarded connection from handshake to end: each segment is its sender's OUT and its receiver's IN, and the record
// changes after that.
func TestForwardedFlow(t *testing.T) {
	for _, side := range []struct{ client, server netip.AddrPort }{{client4, server4}, {client6, server6}} {
		time := &clock{}
		r := newRouter(t, netstack.Config{Now: time.Now})
		rec := newRecorder(t, r.Instance)
		c, s := side.client, side.server
		mss := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0x78}}
		toServer := func(flags string, seq, ack uint32, size int, options ...layers.TCPOption) {
			t.Helper()
			r.across(r.left, r.right, segment(t, c, s, flags, seq, ack, size, options...))
		}
		toClient := func(flags string, seq, ack uint32, size int, options ...layers.TCPOption) {
			t.Helper()
			r.across(r.right, r.left, segment(t, s, c, flags, seq, ack, size, options...))
		}
		first := uint32(0xffffff00) // so that the numbers wrap around
		toServer("S", first, 0, 0, mss)
		rec.want(t, "out 40000 SYN seq 4294967040 ack 0 len 0 una 0 nxt 0")
		toClient("SA", 7000, first+1, 0)
		rec.want(t, "out 80 SYN|ACK seq 7000 ack 4294967041 len 0 una 0 nxt 0")
		toServer("A", first+1, 7001, 0)
		rec.want(t, "out 40000 ACK seq 4294967041 ack 7001 len 0 una 4294967041 nxt 4294967041",
			"in 80 ACK seq 4294967041 ack 7001 len 0 acked 1 una 7000 nxt 7001")
		list := flows(r.Instance)
		if len(list) != 1 || list[0].State != netstack.FlowOpen || list[0].Client.Local != c || list[0].Client.Remote != s ||
			list[0].Server.Local != s || list[0].Client.MidStream || list[0].Client.Terminated || list[0].Server.Terminated ||
			list[0].Server.SegmentSize != 1400 || list[0].Client.SegmentSize == 0 || list[0].Client.SegmentSize == 1400 {
			t.Errorf("flows: %+v", list)
		}

		toServer("A", first+1, 7001, 1000)  // to sequence number 745, past zero
		toServer("A", first+1, 7001, 1000)  // again
		toClient("A", 7001, first+1001, 0)  // all of it
		toClient("A", 7001, first+501, 0)   // old
		toClient("A", 7001, first+90000, 0) // what was never sent
		rec.want(t,
			"out 40000 ACK seq 4294967041 ack 7001 len 1000 una 4294967041 nxt 4294967041",
			"out 40000 ACK seq 4294967041 ack 7001 len 1000 again una 4294967041 nxt 745",
			"out 80 ACK seq 7001 ack 745 len 0 una 7001 nxt 7001",
			"in 40000 ACK seq 7001 ack 745 len 0 acked 1000 una 4294967041 nxt 745",
			"out 80 ACK seq 7001 ack 245 len 0 una 7001 nxt 7001",
			"in 40000 ACK seq 7001 ack 245 len 0 una 745 nxt 745",
			"out 80 ACK seq 7001 ack 89744 len 0 una 7001 nxt 7001",
			"in 40000 ACK seq 7001 ack 89744 len 0 una 745 nxt 745")
		list = flows(r.Instance)
		if e := list[0].Client; e.Segments != 4 || e.Bytes != 2000 || e.InFlight() != 0 || list[0].Server.Bytes != 0 {
			t.Errorf("client %+v", e)
		}

		toServer("FA", 745, 7001, 10)
		toClient("FA", 7001, 756, 0)
		rec.want(t,
			"out 40000 FIN|ACK seq 745 ack 7001 len 10 una 745 nxt 745",
			"out 80 FIN|ACK seq 7001 ack 756 len 0 una 7001 nxt 7001",
			"in 40000 FIN|ACK seq 7001 ack 756 len 0 acked 11 una 745 nxt 756")
		if got := flows(r.Instance)[0].State; got != netstack.FlowClosing {
			t.Errorf("state %v", got)
		}
		toServer("A", 756, 7002, 0)
		rec.want(t, "out 40000 ACK seq 756 ack 7002 len 0 una 756 nxt 756",
			"in 80 ACK seq 756 ack 7002 len 0 acked 1 una 7001 nxt 7002")
		time.advance(10e9)
		if len(flows(r.Instance)) != 0 {
			t.Errorf("flows: %+v", flows(r.Instance))
		}
		other := netip.AddrPortFrom(c.Addr(), 40001)
		r.across(r.left, r.right, segment(t, other, s, "S", 1, 0, 0))
		if rec.news.Load() != 4 || rec.frees.Load() != 2 || flowKstat(t, r.Instance, "finished") != 1 || len(flows(r.Instance)) != 1 {
			t.Errorf("%d made, %d freed, flows %+v", rec.news.Load(), rec.frees.Load(), flows(r.Instance))
		}
		r.across(r.right, r.left, segment(t, s, other, "RA", 0, 2, 0))
		if rec.frees.Load() != 4 || flowKstat(t, r.Instance, "reset") != 1 || flowKstat(t, r.Instance, "flows") != 0 {
			t.Errorf("after RST: %d freed, flows %+v", rec.frees.Load(), flows(r.Instance))
		}
	}
}

// Traffic of a connection whose beginning nobody saw makes a flow that says so.
func TestMidStreamFlow(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	r.across(r.left, r.right, segment(t, client4, server4, "A", 1, 2, 3)) // before anything is hooked
	if len(flows(r.Instance)) != 0 {
		t.Errorf("flows: %+v", flows(r.Instance))
	}
	rec := newRecorder(t, r.Instance)
	r.across(r.right, r.left, segment(t, server4, client4, "R", 900, 500, 0)) // makes none
	r.across(r.right, r.left, segment(t, server4, client4, "A", 900, 500, 100))
	r.across(r.left, r.right, segment(t, client4, server4, "A", 500, 1000, 0))
	rec.want(t,
		"out 80 ACK seq 900 ack 500 len 100 una 0 nxt 0",
		"out 40000 ACK seq 500 ack 1000 len 0 una 500 nxt 500",
		"in 80 ACK seq 500 ack 1000 len 0 acked 100 una 900 nxt 1000")
	list := flows(r.Instance)
	if len(list) != 1 || !list[0].Client.MidStream || !list[0].Server.MidStream || list[0].Client.Local != client4 ||
		list[0].State != netstack.FlowOpen || list[0].Server.SegmentSize != 100 || flowKstat(t, r.Instance, "mid_stream") != 1 {
		t.Errorf("flows: %+v", list)
	}
	// A new connection of the same ends begins a new flow; its repeated SYN does not.
	for range 2 {
		r.across(r.left, r.right, segment(t, client4, server4, "S", 77, 0, 0))
	}
	list = flows(r.Instance)
	if len(list) != 1 || list[0].Client.MidStream || list[0].State != netstack.FlowOpening || list[0].Client.Segments != 2 ||
		flowKstat(t, r.Instance, "replaced") != 1 || rec.news.Load() != 4 || rec.frees.Load() != 2 {
		t.Errorf("flows: %+v; %d made, %d freed", list, rec.news.Load(), rec.frees.Load())
	}
}

// What is dropped on its way, fragments, and what is no TCP run no point; a superpacket runs one.
func TestWhatRunsTCPPoints(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	rec := newRecorder(t, r.Instance)
	for _, event := range []packet.Event{packet.Forwarding, packet.PhysicalOut} {
		h, err := r.Register(packet.Inet, event, packet.Hook{Name: "drop", Func: func(*packet.Context) hooks.Verdict { return hooks.Drop }})
		if err != nil {
			t.Fatal(err)
		}
		before := r.Stats().Received
		r.left.send(segment(t, client4, server4, "A", 1, 2, 3))
		r.settled(before + 1)
		if err := h.Unregister(); err != nil {
			t.Fatal(err)
		}
	}
	r.across(r.left, r.right, udp(t, left4, right4, 64, make([]byte, 10)))
	b := segment(t, client4, server4, "A", 1, 2, 100)
	whole := filled(t, b)
	defer whole.Release()
	whole.Parse()
	var fragmenter packet.Fragmenter
	if reason := fragmenter.Init(whole, 100); reason != hooks.ReasonNone {
		t.Fatal(packet.ReasonName(reason))
	}
	part := packet.Get(100)
	defer part.Release()
	for fragmenter.Next(part) {
		r.across(r.left, r.right, part.Bytes())
	}
	rec.want(t)
	b, o := superpacket(t, left4, right4, 5000, 1000)
	r.left.sendOffload(b, o)
	r.right.receive()
	rec.want(t, "out 1234 PSH|ACK seq 1000 ack 0 len 5000 tso 1000 una 0 nxt 0")
	// A device that does not take it gets segments. They are shown as what they came as.
	plain := plainLeg(t, r, netip.MustParseAddr("10.0.3.2"))
	b, o = superpacket(t, left4, netip.MustParseAddr("10.0.3.2"), 2500, 1000)
	r.left.sendOffload(b, o)
	for range 3 {
		plain.receive()
	}
	rec.want(t, "out 1234 PSH|ACK seq 1000 ack 0 len 2500 tso 1000 una 0 nxt 0")
}

// transfer sends size bytes from one instance's socket to another's, which sends a byte back when it has them all.
func transfer(t *testing.T, from, to *netstack.Instance, address string, size int) {
	t.Helper()
	l, err := to.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var server sync.WaitGroup
	defer server.Wait()
	server.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if n, err := io.Copy(io.Discard, io.LimitReader(c, int64(size))); err != nil || n != int64(size) {
			t.Errorf("%d bytes received: %v", n, err)
		}
		c.Write([]byte{1})
	})
	ctx, cancel := dialer(t)
	defer cancel()
	c, err := from.Dial(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// Of a connection that ends here our own end runs the points; between two sockets of one instance both do.
func TestTerminatedFlow(t *testing.T) {
	const size = 300000
	a, b := pairOfInstances(t, offloads)
	for name, test := range map[string]struct {
		from, to *netstack.Instance
		address  string
	}{
		"cable": {a, b, "10.9.0.2:80"},
		"self":  {a, a, "10.9.0.1:80"},
		"lo":    {b, b, "127.0.0.1:80"},
		"lo6":   {a, a, "[::1]:80"},
	} {
		t.Run(name, func(t *testing.T) {
			recorders := map[*netstack.Instance]*recorder{}
			for _, i := range []*netstack.Instance{test.from, test.to} {
				if recorders[i] == nil {
					recorders[i] = newRecorder(t, i)
				}
			}
			transfer(t, test.from, test.to, test.address, size)
			for i, rec := range recorders {
				seen := false
				for f := range i.Flows() {
					if f.Server.Local.String() != test.address || f.Client.MidStream {
						continue // the end of an earlier one
					}
					seen = true
					if f.Client.Bytes < size || f.Server.Bytes < 1 ||
						f.Client.Terminated != (i == test.from) || f.Server.Terminated != (i == test.to) {
						t.Errorf("flow %+v", f)
					}
				}
				if !seen {
					t.Error("no flow")
				}
				if err := i.EachFlow(func(client, server *netstack.FlowEnd) {
					if server.Local.String() != test.address || client.MidStream {
						return // the end of an earlier one
					}
					for _, e := range []*netstack.FlowEnd{client, server} {
						data := khelp.Get[tally](e, rec.ID())
						if ran := data.in > 0 && data.out > 0; ran != e.Terminated {
							t.Errorf("%v: %+v", e.Local, data)
						}
						if e == client && e.Terminated && data.acked < size {
							t.Errorf("%d bytes acknowledged", data.acked)
						}
					}
				}); err != nil {
					t.Error(err)
				}
				if err := i.UnloadHelper(rec.Helper); err != nil {
					t.Error(err)
				}
				if rec.news.Load() == 0 || rec.news.Load() != rec.frees.Load() {
					t.Errorf("%d made, %d freed", rec.news.Load(), rec.frees.Load())
				}
			}
		})
	}
}

// Calls for one flow do not overlap, whatever the number of workers: a helper's data needs no lock. Both directions of some
// flows come in by two devices at the same time, while flows are flushed and looked at.
func TestFlowCallsDoNotOverlap(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	type data struct{ calls, inside int }
	var total atomic.Int64
	call := khelp.With(func(c *hhook.Call, d *data) {
		d.inside++
		if d.inside != 1 {
			t.Error("two calls for one flow")
		}
		d.calls++
		d.inside--
	})
	h, err := r.Helpers().Load(khelp.Config{
		Name: "alone", Classes: khelp.TCP, Data: khelp.DataOf[data]{Free: func(d *data) { total.Add(int64(d.calls)) }},
		Hooks: []hhook.Hook{
			{Type: hhook.TCP, ID: netstack.TCPEstablishedIn, Func: call},
			{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: call},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	const rounds, ports = 300, 5
	var senders, others sync.WaitGroup
	stop := make(chan struct{})
	send := func(w, arrives *wire, from, to netip.AddrPort, byPort func(from, to netip.AddrPort, k int) (netip.AddrPort, netip.AddrPort)) {
		var segments [][]byte
		for k := range ports {
			src, dst := byPort(from, to, k)
			segments = append(segments, segment(t, src, dst, "A", 1, 1, 0))
		}
		senders.Go(func() {
			for range rounds {
				for _, s := range segments {
					w.send(s)
				}
				for range segments {
					arrives.receive().Release()
				}
			}
		})
	}
	send(r.left, r.right, client4, server4, func(c, s netip.AddrPort, k int) (netip.AddrPort, netip.AddrPort) {
		return netip.AddrPortFrom(c.Addr(), uint16(5000+k)), s
	})
	send(r.right, r.left, server4, client4, func(s, c netip.AddrPort, k int) (netip.AddrPort, netip.AddrPort) {
		return s, netip.AddrPortFrom(c.Addr(), uint16(5000+k))
	})
	others.Go(func() {
		for k := 0; ; k++ {
			select {
			case <-stop:
				return
			default:
			}
			for f := range r.Flows() {
				if f.Server.Local != server4 {
					t.Errorf("flow %+v", f)
				}
			}
			if k%10 == 0 {
				if err := r.FlushFlows(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	senders.Wait()
	close(stop)
	others.Wait()
	if err := r.UnloadHelper(h); err != nil {
		t.Fatal(err)
	}
	if want := int64(2 * 2 * rounds * ports); total.Load() != want { // OUT of one end and IN of the other
		t.Errorf("%d calls, want %d", total.Load(), want)
	}
}

// What needs the table is refused to those who are called with it in hand, and leaves everything as it was.
func TestFlowsInsideAHook(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	other, err := r.Helpers().Load(khelp.Config{Name: "other", Hooks: []hhook.Hook{{
		Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: func(*hhook.Call) {},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var h *khelp.Helper
	inside := func() {
		if n := len(flows(r.Instance)); n != 0 {
			t.Errorf("%d flows seen inside", n)
		}
		for what, err := range map[string]error{
			"EachFlow":     r.EachFlow(func(_, _ *netstack.FlowEnd) { t.Error("called") }),
			"FlushFlows":   r.FlushFlows(),
			"UnloadHelper": r.UnloadHelper(h),
			"Unload":       other.Unload(), // the worker that calls is one of those it would wait for
		} {
			if !errors.Is(err, hooks.ErrInHook) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	var calls atomic.Int64
	counted := func() {
		inside()
		calls.Add(1)
	}
	loaded := make(chan struct{})
	h, err = r.Helpers().Load(khelp.Config{
		Name: "inside", Classes: khelp.TCP,
		Data: khelp.DataOf[int]{
			New:  func(*int) error { <-loaded; counted(); return nil },
			Free: func(*int) { counted() },
		},
		Hooks: []hhook.Hook{{Type: hhook.TCP, ID: netstack.TCPEstablishedOut, Func: func(*hhook.Call) { counted() }}},
	})
	close(loaded)
	if err != nil {
		t.Fatal(err)
	}
	r.across(r.left, r.right, segment(t, client4, server4, "A", 1, 1, 0))
	if calls.Load() != 3 { // New twice, and the hook
		t.Errorf("%d calls", calls.Load())
	}
	// UnloadHelper is refused inside any hook; all others may be called in those of packet events.
	drop := register(t, r.Instance, packet.Inet, packet.Forwarding, packet.Hook{Name: "drop", Func: func(*packet.Context) hooks.Verdict {
		if err := r.UnloadHelper(h); !errors.Is(err, hooks.ErrInHook) || h.Objects() != 2 || len(flows(r.Instance)) != 1 {
			t.Errorf("UnloadHelper in a hook of FORWARDING: %v; %d objects", err, h.Objects())
		}
		return hooks.Drop
	}})
	before := r.Stats().Received
	r.left.send(segment(t, client4, server4, "A", 1, 1, 0))
	r.settled(before + 1)
	if err := drop.Unregister(); err != nil {
		t.Fatal(err)
	}
	if err := h.Unload(); !errors.Is(err, khelp.ErrBusy) {
		t.Errorf("Unload with data: %v", err)
	}
	if err := r.UnloadHelper(h); err != nil {
		t.Error(err)
	}
	if calls.Load() != 5 || len(flows(r.Instance)) != 1 {
		t.Errorf("%d calls, %d flows", calls.Load(), len(flows(r.Instance)))
	}
	if err := other.Unload(); err != nil {
		t.Error(err)
	}
	// Nothing is hooked any more: with the next segment the flows go.
	r.across(r.left, r.right, segment(t, client4, server4, "A", 1, 1, 0))
	if len(flows(r.Instance)) != 0 || flowKstat(t, r.Instance, "flushed") != 1 {
		t.Errorf("flows %+v", flows(r.Instance))
	}
}
