// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/hooks/hhook"
	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/internal/invariant"
	"github.com/hooknet/hooknet/packet"
)

// A tableBench shows segments to the TCP points of an instance without traffic, on a clock of its own.
type tableBench struct {
	inst *Instance
	w    *worker
	now  time.Duration
	news int // data that the helper has made and not freed
}

func newTableBench(tb testing.TB, limit int, fail func() error) *tableBench {
	tb.Helper()
	b := &tableBench{now: time.Hour}
	var err error
	if b.inst, err = New(Config{Budget: Budget{Flows: limit}, Now: func() time.Duration { return b.now }}); err != nil {
		tb.Fatal(err)
	}
	b.w = b.inst.newWorker(0)
	if _, err := b.inst.Helpers().Load(khelp.Config{
		Name: "count", Classes: khelp.TCP,
		Data: khelp.DataOf[tcpCount]{
			New: func(*tcpCount) error {
				if fail != nil {
					if err := fail(); err != nil {
						return err
					}
				}
				b.news++
				return nil
			},
			Free: func(*tcpCount) { b.news-- },
		},
		Hooks: countingHelper().Hooks,
	}); err != nil {
		tb.Fatal(err)
	}
	return b
}

func (b *tableBench) close(tb interface{ Errorf(string, ...any) }) {
	if err := b.inst.Close(); err != nil {
		tb.Errorf("close: %v", err)
	}
	if b.news != 0 {
		tb.Errorf("%d data left after Close", b.news)
	}
}

// flowID names a flow in these tests: the client's address and port, to one server.
type flowID struct {
	source byte
	port   uint16
}

func (id flowID) ends() (client, server netip.AddrPort) {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, id.source}), id.port), netip.MustParseAddrPort("198.51.100.1:80")
}

// show lets a segment pass as if it were about to be written to a device.
func (b *tableBench) show(from, to netip.AddrPort, flags TCPFlags, sequence, acknowledgment uint32) {
	p := packet.Get(64)
	defer p.Release()
	s := buildUDP(to.Addr(), 40)
	s[9] = 6
	copy(s[12:], from.Addr().AsSlice())
	binary.BigEndian.PutUint16(s[20:], from.Port())
	binary.BigEndian.PutUint16(s[22:], to.Port())
	binary.BigEndian.PutUint32(s[24:], sequence)
	binary.BigEndian.PutUint32(s[28:], acknowledgment)
	s[32], s[33] = 5<<4, byte(flags)
	headerChecksum(s)
	if err := p.Fill(s); err != nil {
		panic(err)
	}
	if reason := p.Parse(); reason != hooks.ReasonNone {
		panic(packet.ReasonName(reason))
	}
	b.w.show(toDevice, p)
	b.w.segments.leave()
}

// A modelFlow is what the model knows of a flow.
type modelFlow struct {
	id        flowID
	source    byte          // of the first segment
	moved     time.Duration // or since when it lingers
	bySource  time.Duration // when it was moved in its source's list
	clientFin bool
	serverFin bool
	lingers   bool
}

// A flowModel is the table as a slice of flows by recency, the oldest first, those that linger in a slice of their own.
type flowModel struct {
	limit, share  int
	batches       int
	open, lingers []*modelFlow
	n             map[string]uint64
}

func (m *flowModel) find(id flowID) *modelFlow {
	for _, f := range slices.Concat(m.lingers, m.open) {
		if f.id == id {
			return f
		}
	}
	return nil
}

func (m *flowModel) remove(f *modelFlow, why string) {
	is := func(o *modelFlow) bool { return o == f }
	m.open, m.lingers = slices.DeleteFunc(m.open, is), slices.DeleteFunc(m.lingers, is)
	m.n[why]++
}

func (m *flowModel) of(source byte) (list []*modelFlow) {
	for _, f := range slices.Concat(m.lingers, m.open) {
		if f.source == source {
			list = append(list, f)
		}
	}
	return list
}

func (m *flowModel) expire(now time.Duration) {
	for range expiredAtOnce {
		switch {
		case len(m.lingers) > 0 && now-m.lingers[0].moved >= flowLinger:
			m.remove(m.lingers[0], "finished")
		case len(m.open) > 0 && now-m.open[0].moved >= flowIdle:
			m.remove(m.open[0], "idle")
		}
	}
}

func (m *flowModel) segment(id flowID, client bool, flags TCPFlags, now time.Duration) {
	if m.batches++; m.batches%sweepEvery == 0 {
		m.expire(now) // the sweep
	}
	m.expire(now) // the visit
	f := m.find(id)
	source := id.source
	if !client {
		source = 255 // the server
	}
	switch {
	case f == nil && flags&TCPRst != 0:
		return
	case f == nil:
		if list := m.of(source); len(list) >= m.share {
			oldest := slices.MinFunc(list, func(a, b *modelFlow) int { return int(a.bySource - b.bySource) })
			m.remove(oldest, "evicted_source")
		} else if len(m.open)+len(m.lingers) >= m.limit {
			m.remove(slices.Concat(m.lingers, m.open)[0], "evicted")
		}
		f = &modelFlow{id: id, source: source, moved: now, bySource: now}
		m.open = append(m.open, f)
		m.n["made"]++
	case !f.lingers && now-f.moved >= flowRecent:
		f.moved, f.bySource = now, now
		m.open = append(slices.DeleteFunc(m.open, func(o *modelFlow) bool { return o == f }), f)
	}
	if flags&TCPRst != 0 {
		m.remove(f, "reset")
		return
	}
	if flags&TCPFin != 0 {
		if client {
			f.clientFin = true
		} else {
			f.serverFin = true
		}
	}
	if f.clientFin && f.serverFin && !f.lingers {
		m.open = slices.DeleteFunc(m.open, func(o *modelFlow) bool { return o == f })
		f.lingers, f.moved = true, now
		m.lingers = append(m.lingers, f)
	}
}

// The table against the model: random segments of a few flows on a clock that goes on, so that flows come, linger, expire, and
// push each other out. Both agree after each step, and data is there exactly for the flows that are.
func TestFlowTableAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 40).Draw(t, "limit")
		b := newTableBench(new(testing.T), limit, nil)
		defer b.close(t)
		m := &flowModel{limit: limit, share: max(1, limit/sourceShare), n: map[string]uint64{}}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			// No two steps at the same time: which of two flows was moved first is then a matter of time alone.
			b.now += rapid.SampledFrom([]time.Duration{1, time.Second / 2, 3 * time.Second, time.Minute}).Draw(t, "time")
			id := flowID{rapid.Byte().Draw(t, "source") % 8, 1000 + rapid.Uint16Range(0, 3).Draw(t, "port")}
			flags := rapid.SampledFrom([]TCPFlags{TCPAck, TCPAck, TCPAck | TCPFin, TCPRst}).Draw(t, "flags")
			client, server := id.ends()
			fromClient := rapid.Bool().Draw(t, "client")
			if !fromClient {
				client, server = server, client
			}
			b.show(client, server, flags, 1, 1)
			m.segment(id, fromClient, flags, b.now)
			b.compare(t, m)
		}
	})
}

func (b *tableBench) compare(t *rapid.T, m *flowModel) {
	var got, want []flowID
	shard := &b.inst.tcp.table.Load().shards[0]
	for _, l := range []*flowList{&shard.closing, &shard.open} {
		for f := l.oldest; f != nil; f = f.links[byRecency].newer {
			from := f.ends[f.client].Local
			got = append(got, flowID{from.Addr().As4()[3], from.Port()})
			if shard.find(&f.key, f.hash) != f {
				t.Errorf("%v is not found", from)
			}
		}
	}
	sources := map[byte]bool{}
	for _, f := range slices.Concat(m.lingers, m.open) {
		want = append(want, f.id)
		sources[f.source] = true
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(flowID{})); diff != "" {
		t.Fatalf("flows (-model +table):\n%s", diff)
	}
	if b.news != 2*len(want) || shard.flows != len(want) {
		t.Errorf("%d flows, counted %d, data of %d ends", len(want), shard.flows, b.news)
	}
	if len(shard.sources) != len(sources) {
		t.Errorf("%d sources, want %d", len(shard.sources), len(sources))
	}
	for _, v := range b.inst.tcp.n.kstat().Values {
		switch want, named := m.n[v.Name]; {
		case named && v.Value != want:
			t.Errorf("kstat %s: %v, want %d", v.Name, v.Value, want)
		case v.Name == "flows" && v.Value != uint64(len(got)):
			t.Errorf("kstat flows: %v, want %d", v.Value, len(got))
		}
	}
}

// One source cannot push the flows of others out.
func TestFlowsOfOneSource(t *testing.T) {
	b := newTableBench(t, 800, nil)
	defer b.close(t)
	for k := range 300 { // some of each of 3 sources
		client, server := flowID{byte(k % 3), uint16(1000 + k)}.ends()
		b.show(client, server, TCPSyn, 1, 0)
	}
	for k := range 5000 {
		client, server := flowID{200, uint16(1000 + k)}.ends()
		b.show(client, server, TCPSyn, 1, 0)
	}
	n := &b.inst.tcp.n
	if n.flows.Load() != 400 || n.evictedSource.Load() != 4900 || n.evicted.Load() != 0 {
		t.Errorf("%d flows, %d evicted from the source, %d others", n.flows.Load(), n.evictedSource.Load(), n.evicted.Load())
	}
}

// A source that sends what a server would send (SYN|ACK, or from a low port to a high one) to everybody uses up its own share,
// not that of those it sends to.
func TestFlowsOfOneSourceThatPlaysServer(t *testing.T) {
	for name, flags := range map[string]TCPFlags{"SYN|ACK": TCPSyn | TCPAck, "mid-stream": TCPAck} {
		t.Run(name, func(t *testing.T) {
			b := newTableBench(t, 800, nil)
			defer b.close(t)
			for port := range uint16(20) { // one of those it sends to has flows of its own
				client, server := flowID{7, 1000 + port}.ends()
				b.show(client, server, TCPSyn, 1, 0)
			}
			attacker := netip.MustParseAddrPort("203.0.113.9:1")
			for k := range 5000 {
				b.show(attacker, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(k % 40)}), uint16(2000+k)), flags, 1, 1)
			}
			n := &b.inst.tcp.n
			if n.flows.Load() != 120 || n.evictedSource.Load() != 4900 || n.evicted.Load() != 0 {
				t.Errorf("%d flows, %d evicted from the source, %d others", n.flows.Load(), n.evictedSource.Load(), n.evicted.Load())
			}
		})
	}
}

// A flow that a helper refuses runs no points and is not asked about again; nothing of it is left.
func TestRefusedFlow(t *testing.T) {
	asked := 0
	b := newTableBench(t, 0, func() error {
		if asked++; asked%2 == 0 {
			return errors.New("no")
		}
		return nil
	})
	defer b.close(t)
	ran := 0
	if _, err := b.inst.tcp.out.Add(hhook.Hook{Name: "ran", Func: func(*hhook.Call) { ran++ }}); err != nil {
		t.Fatal(err)
	}
	client, server := flowID{1, 1000}.ends()
	for range 3 {
		b.show(client, server, TCPAck, 1, 1)
	}
	n := &b.inst.tcp.n
	if asked != 2 || b.news != 0 || ran != 0 || n.refused.Load() != 1 || n.flows.Load() != 1 {
		t.Errorf("asked %d times, %d data, %d runs, %d refused", asked, b.news, ran, n.refused.Load())
	}
	asked = 1 // now it says yes, to a new connection
	b.show(client, server, TCPSyn, 5, 0)
	if ran != 0 {
		t.Error("a flow that was refused ran a point")
	}
}

// Whatever locks a shard is found by those that it calls, and nothing else is.
func TestHoldsFlows(t *testing.T) {
	b := newTableBench(t, 8, nil) // one shard
	defer b.close(t)
	var held []bool
	note := func() { held = append(held, holdsFlows()) }
	if _, err := b.inst.Helpers().Load(khelp.Config{Name: "note", Classes: khelp.TCP, Data: khelp.DataOf[int]{
		New:  func(*int) error { note(); return nil },
		Free: func(*int) { note() },
	}}); err != nil {
		t.Fatal(err)
	}
	client, server := flowID{1, 1000}.ends()
	begin := func() { b.show(client, server, TCPAck, 1, 1) }
	shard := &b.inst.tcp.flows(b.inst).shards[0]
	for _, step := range []struct {
		what  string
		do    func()
		calls int
	}{
		{"visit, a new flow", begin, 2},
		{"each", func() { shard.each(func(*flow) { note() }) }, 1},
		{"visit, a flow that expires and a new one", func() { b.now += flowIdle; begin() }, 4},
		{"sweep", func() { b.now += flowIdle; shard.sweep(b.now) }, 2},
		{"another new flow", begin, 2},
		{"flush", shard.flush, 2},
	} {
		held = nil
		step.do()
		if want := slices.Repeat([]bool{true}, step.calls); !slices.Equal(held, want) {
			t.Errorf("%s: got %v, want %v", step.what, held, want)
		}
		if holdsFlows() {
			t.Errorf("after %s: true", step.what)
		}
	}
}

// 100,000 flows take the memory that the table's comment states, and a burst of as many more takes no more.
func TestFlowMemory(t *testing.T) {
	if invariant.Enabled {
		t.Skip("the race detector's own memory is in the way")
	}
	const flows, each = 100000, 512 + 16
	inst, err := New(Config{Budget: Budget{Flows: flows}})
	if err != nil {
		t.Fatal(err)
	}
	defer inst.Close()
	if _, err := inst.Points().AddLookup(hhook.Hook{Type: hhook.TCP, ID: TCPEstablishedIn, Name: "noop", Func: func(*hhook.Call) {}}); err != nil {
		t.Fatal(err)
	}
	b := &tableBench{inst: inst, w: inst.newWorker(0)}
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := used()
	server := netip.MustParseAddrPort("198.51.100.1:80")
	for k := range 2 * flows { // of 200 sources
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(k % 200)}), uint16(1024+k/200))
		b.show(client, server, TCPSyn, 1, 0)
	}
	n := inst.tcp.n.flows.Load()
	got := (used() - before) / int64(n)
	t.Logf("%d flows take %d bytes each", n, got)
	if n < flows*9/10 || n > flows {
		t.Errorf("%d flows, want about %d", n, flows)
	}
	if got > each {
		t.Errorf("a flow takes %d bytes; %d are stated", got, each)
	}
	if err := inst.FlushFlows(); err != nil {
		t.Fatal(err)
	}
	if left := used() - before; left > 1<<20 {
		t.Errorf("%d bytes after FlushFlows", left)
	}
}

func TestParseTCPOptions(t *testing.T) {
	stamp := []byte{8, 10, 0, 0, 0, 5, 0, 0, 0, 6}
	for name, test := range map[string]struct {
		b    []byte
		want TCPOptions
	}{
		"none":              {nil, TCPOptions{}},
		"timestamp, padded": {append([]byte{1, 1}, stamp...), TCPOptions{HasTimestamp: true, TimestampValue: 5, TimestampEcho: 6}},
		"timestamp":         {append(slices.Clone(stamp), 0, 9), TCPOptions{HasTimestamp: true, TimestampValue: 5, TimestampEcho: 6}},
		"syn":               {[]byte{2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 20}, TCPOptions{MSS: 1460, SACKPermitted: true, HasWindowScale: true, WindowScale: 14}},
		"sack": {[]byte{1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4},
			TCPOptions{SACK: [4]SACKBlock{{1, 2}, {3, 4}}, SACKBlocks: 2}},
		"unknown":        {[]byte{99, 4, 1, 1, 4, 2}, TCPOptions{SACKPermitted: true}},
		"wrong length":   {[]byte{2, 3, 5, 4, 2}, TCPOptions{SACKPermitted: true}},
		"length 0":       {[]byte{4, 2, 2, 0, 5, 5}, TCPOptions{SACKPermitted: true}},
		"past the end":   {[]byte{4, 2, 2, 40}, TCPOptions{SACKPermitted: true}},
		"half a header":  {[]byte{4, 2, 2}, TCPOptions{SACKPermitted: true}},
		"behind the end": {[]byte{0, 4, 2}, TCPOptions{}},
	} {
		got := TCPOptions{MSS: 9, SACKBlocks: 3} // of the segment before
		if got.parse(test.b); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	if got := fmt.Sprint(TCPSyn|TCPAck, TCPFlags(0), TCPCwr); got != "SYN|ACK  CWR" {
		t.Errorf("names of flags: %q", got)
	}
}
