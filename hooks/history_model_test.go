// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hooknet/hooknet/hooks"
)

// The slow model of a stack: what is there, and what everybody must be told.
// It knows nothing of queues: at each change it writes down at once who must
// be told what. The real stack must tell exactly that, in this order.

type modelNotifier struct{ path, name string } // path of the parent: "" is the stack

type modelObject struct {
	path                string // "inet", "inet/IN"
	shutdown, condemned bool
}

type historyModel struct {
	shutdown  bool // of the stack
	objects   []*modelObject
	hooks     []string // paths, in running order per event
	notifiers []modelNotifier
	told      []string // "name@path: +child"
}

func (m *historyModel) find(path string) *modelObject {
	for _, o := range m.objects {
		if o.path == path {
			return o
		}
	}
	return nil
}

func parent(path string) string { return path[:max(0, strings.LastIndex(path, "/"))] }

func (m *historyModel) tell(sign, child string) {
	for _, n := range m.notifiers {
		if n.path == parent(child) {
			m.told = append(m.told, n.name+"@"+n.path+": "+sign+child)
		}
	}
}

// children returns what a notifier on path knows of.
func (m *historyModel) children(path string) (list []string) {
	for _, o := range slices.Backward(m.objects) {
		if parent(o.path) == path && o.path != path && !o.shutdown {
			list = append(list, o.path)
		}
	}
	for _, h := range m.hooks {
		if parent(h) == path {
			list = append(list, h)
		}
	}
	return list
}

// closed reports whether path, or anything above it, is shut down.
func (m *historyModel) closed(path string) bool {
	for ; path != ""; path = parent(path) {
		if m.find(path).shutdown {
			return true
		}
	}
	return m.shutdown
}

// reap takes away what is condemned and not used.
func (m *historyModel) reap() {
	for again := true; again; {
		before := len(m.objects)
		m.objects = slices.DeleteFunc(m.objects, func(o *modelObject) bool {
			used := slices.ContainsFunc(m.notifiers, func(n modelNotifier) bool { return n.path == o.path }) ||
				slices.ContainsFunc(m.hooks, func(h string) bool { return parent(h) == o.path }) ||
				slices.ContainsFunc(m.objects, func(c *modelObject) bool { return parent(c.path) == o.path })
			return o.condemned && !used
		})
		again = len(m.objects) != before
	}
}

func (m *historyModel) add(path string) error {
	switch {
	case m.closed(parent(path)):
		return hooks.ErrShutdown
	case m.find(path) != nil:
		return hooks.ErrExists
	}
	m.objects = append(m.objects, &modelObject{path: path})
	m.tell("+", path)
	return nil
}

func (m *historyModel) shutDown(path string, remove bool) {
	o := m.find(path)
	if !o.shutdown {
		o.shutdown = true
		m.tell("-", path)
	}
	o.condemned = o.condemned || remove
	m.reap()
}

func (m *historyModel) register(path string) error {
	event := m.find(parent(path))
	switch {
	case m.shutdown || event.shutdown || m.find(parent(event.path)).condemned:
		return hooks.ErrShutdown
	case slices.Contains(m.hooks, path):
		return hooks.ErrExists
	}
	m.hooks = append(m.hooks, path)
	m.tell("+", path)
	return nil
}

func (m *historyModel) unregister(path string) {
	m.hooks = slices.DeleteFunc(m.hooks, func(h string) bool { return h == path })
	m.tell("-", path)
	m.reap()
}

func (m *historyModel) notify(n modelNotifier) error {
	switch {
	case m.closed(n.path):
		return hooks.ErrShutdown
	case slices.Contains(m.notifiers, n):
		return hooks.ErrExists
	}
	m.notifiers = append(m.notifiers, n)
	for _, child := range m.children(n.path) {
		m.told = append(m.told, n.name+"@"+n.path+": +"+child)
	}
	return nil
}

func (m *historyModel) leave(n modelNotifier) {
	for _, child := range m.children(n.path) {
		m.told = append(m.told, n.name+"@"+n.path+": -"+child)
	}
	m.notifiers = slices.DeleteFunc(m.notifiers, func(o modelNotifier) bool { return o == n })
	m.reap()
}

// A history drives the model and a real stack through the same random changes,
// some of them from inside callbacks.
type history struct {
	t         *rapid.T
	model     historyModel
	stack     *hooks.Stack
	families  map[string]*hooks.Family
	events    map[string]*hooks.Event[*packet]
	handles   map[string]*hooks.Handle
	notifiers map[modelNotifier]*hooks.Notifier
	told      []string
	budget    int // how many changes callbacks may still make
	depth     int
}

func TestHistoryModel(t *testing.T) { rapid.Check(t, compareHistory) }

func FuzzHistory(f *testing.F) { f.Fuzz(rapid.MakeFuzz(compareHistory)) }

// compareHistory makes random changes and compares what is told, and what is
// there, with the model.
func compareHistory(t *rapid.T) {
	h := &history{
		t: t, stack: newStack(), families: map[string]*hooks.Family{}, events: map[string]*hooks.Event[*packet]{},
		handles: map[string]*hooks.Handle{}, notifiers: map[modelNotifier]*hooks.Notifier{}, budget: 10,
	}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		h.step()
		if !slices.Equal(h.told, h.model.told) {
			t.Fatalf("told\n%s\nwant\n%s", strings.Join(h.told, "\n"), strings.Join(h.model.told, "\n"))
		}
		h.checkPresent()
	}
}

func (h *history) callback(n modelNotifier) func(hooks.Notification) {
	return func(got hooks.Notification) {
		h.told = append(h.told, n.name+"@"+n.path+": "+short(got))
		if h.budget > 0 && h.depth < 3 && rapid.IntRange(0, 3).Draw(h.t, "nested") == 0 {
			h.budget--
			h.depth++
			h.step()
			h.depth--
		}
	}
}

// want compares the error of a change with the model's and reports whether
// both succeeded.
func (h *history) want(what string, err, want error) bool {
	if want == nil && err != nil || want != nil && !errors.Is(err, want) {
		h.t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
	return err == nil
}

func pick[V any](h *history, what string, from map[string]V) (key string) {
	keys := make([]string, 0, len(from))
	for k := range from {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return rapid.SampledFrom(keys).Draw(h.t, what)
}

// step makes one random change. Everything is written to the model before the
// real call, as that one may call callbacks that make further changes. (What a call
// returns is not known to the callbacks that it calls.)
func (h *history) step() {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(h.t, "name")
	switch change := rapid.IntRange(0, 11).Draw(h.t, "change"); {
	case change == 0:
		want := h.model.add(name)
		if want == nil {
			delete(h.families, name) // an old one
		}
		f, err := h.stack.AddFamily(name)
		if h.want("add family "+name, err, want) {
			h.families[name] = f
		}
	case change == 1 && len(h.families) > 0:
		path := pick(h, "family", h.families) + "/" + name
		if h.model.find(parent(path)) == nil {
			return
		}
		want := h.model.add(path)
		if want == nil {
			delete(h.events, path) // an old one
		}
		e, err := hooks.AddEvent[*packet](h.families[parent(path)], hooks.EventConfig{Name: name})
		if h.want("add event "+path, err, want) {
			h.events[path] = e
		}
	case (change == 2 || change == 3) && len(h.families) > 0:
		path := pick(h, "family", h.families)
		f := h.families[path]
		if h.model.find(path) == nil {
			h.want("remove "+path, f.Remove(), hooks.ErrNotFound)
			return
		}
		h.model.shutDown(path, change == 3)
		if change == 2 {
			h.want("shutdown "+path, f.Shutdown(), nil)
		} else {
			h.want("remove "+path, f.Remove(), nil)
		}
	case (change == 4 || change == 5) && len(h.events) > 0:
		path := pick(h, "event", h.events)
		e := h.events[path]
		if h.model.find(path) == nil {
			h.want("remove "+path, e.Remove(), hooks.ErrGone)
			return
		}
		h.model.shutDown(path, change == 5)
		if change == 4 {
			h.want("shutdown "+path, e.Shutdown(), nil)
		} else {
			h.want("remove "+path, e.Remove(), nil)
		}
	case (change == 6 || change == 7) && len(h.events) > 0:
		path := pick(h, "event", h.events) + "/" + name
		if h.model.find(parent(path)) == nil {
			return
		}
		want := h.model.register(path)
		handle, err := h.events[parent(path)].Register(marking(name))
		if h.want("register "+path, err, want) {
			h.handles[path] = handle
		}
	case change == 8 && len(h.handles) > 0:
		path := pick(h, "hook", h.handles)
		handle := h.handles[path]
		delete(h.handles, path)
		h.model.unregister(path)
		_, err := handle.Retire()
		h.want("retire "+path, err, nil)
	case change == 9 || change == 10:
		n, on := modelNotifier{"", name}, notifiable(h.stack)
		if len(h.families) > 0 && rapid.Bool().Draw(h.t, "below the stack") {
			n.path = pick(h, "family", h.families)
			on = h.families[n.path]
			if len(h.events) > 0 && rapid.Bool().Draw(h.t, "below the family") {
				n.path = pick(h, "event", h.events)
				on = h.events[n.path]
			}
			if h.model.find(n.path) == nil {
				return
			}
		}
		want := h.model.notify(n)
		notifier, err := on.Notify(name, h.callback(n))
		if h.want(fmt.Sprint("notify ", n), err, want) {
			h.notifiers[n] = notifier
		}
	case change == 11 && len(h.model.notifiers) > 0:
		n := rapid.SampledFrom(h.model.notifiers).Draw(h.t, "notifier")
		notifier := h.notifiers[n]
		if notifier == nil {
			return // we are inside its own Notify
		}
		delete(h.notifiers, n)
		h.model.leave(n)
		h.want(fmt.Sprint("unregister ", n), notifier.Unregister(), nil)
	case change == 11 && h.depth == 0 && rapid.IntRange(0, 9).Draw(h.t, "shutdown") == 0:
		h.model.shutdown = true
		h.want("shutdown stack", h.stack.Shutdown(), nil)
	}
}

// checkPresent compares what is there.
func (h *history) checkPresent() {
	var got []string
	for _, f := range h.stack.Stats().Families {
		for _, e := range f.Events {
			for _, hook := range e.Hooks {
				got = append(got, f.Name+"/"+e.Event+"/"+hook.Hook)
			}
			got = append(got, f.Name+"/"+e.Event)
		}
		got = append(got, f.Name)
	}
	want := slices.Clone(h.model.hooks)
	for _, o := range h.model.objects {
		want = append(want, o.path)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		h.t.Fatalf("there are %v, want %v", got, want)
	}
}
