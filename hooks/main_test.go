// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hooknet/hooknet/hooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A packet is the context of the events in these tests, as a packet.Context
// would be.
type packet struct {
	data string   // what a hook may replace
	met  []string // the hooks it met
}

// newEvent returns the event inet/PHYSICAL_IN of a new stack with the id 3.
func newEvent(tb testing.TB) *hooks.Event[*packet] {
	tb.Helper()
	return addEvent(tb, addFamily(tb, hooks.NewStack(hooks.StackConfig{Instance: 3}), "inet"), "PHYSICAL_IN")
}

func addFamily(tb testing.TB, s *hooks.Stack, name string) *hooks.Family {
	tb.Helper()
	f, err := s.AddFamily(name)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func addEvent(tb testing.TB, f *hooks.Family, name string) *hooks.Event[*packet] {
	tb.Helper()
	e, err := hooks.AddEvent[*packet](f, hooks.EventConfig{Name: name})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// marking returns a hook that writes its name on the packet and accepts.
func marking(name string) hooks.Hook[*packet] {
	return answering(name, hooks.Accept)
}

func answering(name string, v hooks.Verdict) hooks.Hook[*packet] {
	return hooks.Hook[*packet]{Name: name, Func: func(p *packet) hooks.Verdict {
		p.met = append(p.met, name)
		return v
	}}
}

func hinted(name string, hint hooks.Hint, value string) hooks.Hook[*packet] {
	h := marking(name)
	h.Hint, h.HintValue = hint, value
	return h
}

func register(tb testing.TB, e *hooks.Event[*packet], h hooks.Hook[*packet]) *hooks.Handle {
	tb.Helper()
	handle, err := e.Register(h)
	if err != nil {
		tb.Fatal(err)
	}
	return handle
}

func unregister(tb testing.TB, h interface{ Unregister() error }) {
	tb.Helper()
	if err := h.Unregister(); err != nil {
		tb.Fatal(err)
	}
}

// run runs the event once and returns the verdict and the hooks that were met.
func run(e *hooks.Event[*packet]) (hooks.Verdict, string) {
	p := &packet{}
	v := e.Run(0, p)
	return v, strings.Join(p.met, " ")
}

// names returns the hooks of the event in running order.
func names(e interface{ Stats() hooks.EventStats }) string {
	var list []string
	for _, h := range e.Stats().Hooks {
		list = append(list, h.Hook)
	}
	return strings.Join(list, " ")
}

// hits returns hook_hits of every hook in running order.
func hits(e *hooks.Event[*packet]) (list []uint64) {
	for _, h := range e.Stats().Hooks {
		list = append(list, h.Hits)
	}
	return list
}

func wantEqual(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// wantError checks that err is all of wanted.
func wantError(tb testing.TB, err error, wanted ...error) {
	tb.Helper()
	for _, want := range wanted {
		if !errors.Is(err, want) {
			tb.Errorf("got error %v, want %v", err, want)
		}
	}
}

// wantCounts checks the counters of the event.
func wantCounts(tb testing.TB, e *hooks.Event[*packet], added, removed, events uint64) {
	tb.Helper()
	s := e.Stats()
	wantEqual(tb, "hooksAdded hooksRemoved events", [3]uint64{s.HooksAdded, s.HooksRemoved, s.Events}, [3]uint64{added, removed, events})
}

// A recorder is a callback that keeps what it is told.
type recorder struct {
	mu   sync.Mutex
	told []hooks.Notification
}

func (r *recorder) callback(n hooks.Notification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, n)
}

// take returns what was told since the last take, as "+inet/PHYSICAL_IN/fw".
func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, n := range r.told {
		list = append(list, short(n))
	}
	r.told = nil
	return strings.Join(list, " ")
}

// short returns n as "+inet", "-inet/PHYSICAL_IN" or "+inet/PHYSICAL_IN/fw".
func short(n hooks.Notification) string {
	sign := map[hooks.Command]string{hooks.CommandRegister: "+", hooks.CommandUnregister: "-"}[n.Command]
	return sign + strings.TrimRight(n.Family+"/"+n.Event+"/"+n.Hook, "/")
}

type notifiable interface {
	Notify(string, func(hooks.Notification)) (*hooks.Notifier, error)
}

func notify(tb testing.TB, on notifiable, name string, callback func(hooks.Notification)) *hooks.Notifier {
	tb.Helper()
	n, err := on.Notify(name, callback)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}
