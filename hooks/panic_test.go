// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// A logBook keeps log lines.
type logBook struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes.Write(p)
}

// take returns the messages since the last take.
func (l *logBook) take(t *testing.T) (messages []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.bytes.String()) {
		var entry struct {
			Msg   string
			Name  string
			Panic struct{ Value, Stack string }
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if len(entry.Panic.Value) > 256 || len(entry.Panic.Stack) > 4096 || entry.Panic.Stack == "" {
			t.Errorf("value of %d bytes, stack of %d bytes", len(entry.Panic.Value), len(entry.Panic.Stack))
		}
		messages = append(messages, entry.Msg+": "+entry.Name)
	}
	l.bytes.Reset()
	return messages
}

func newLoggedEvent(t *testing.T, cfg hooks.EventConfig) (*hooks.Event[*packet], *logBook) {
	book := &logBook{}
	s := hooks.NewStack(hooks.StackConfig{Instance: 3, Logger: slog.New(slog.NewJSONHandler(book, nil))})
	cfg.Name = "PHYSICAL_IN"
	e, err := hooks.AddEvent[*packet](addFamily(t, s, "inet"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, book
}

func panicking(name string, flags hooks.Flags) hooks.Hook[*packet] {
	return hooks.Hook[*packet]{Name: name, Flags: flags, Func: func(p *packet) hooks.Verdict {
		p.met = append(p.met, name)
		panic(strings.Repeat("no ", 1000))
	}}
}

// A hook that panics is counted, logged once, and after the limit disabled in
// its place; everything else goes on.
func TestPanic(t *testing.T) {
	const (
		panicked = "drop(panic)"
		disabled = "drop(disabled)"
	)
	for name, c := range map[string]struct {
		cfg      hooks.EventConfig
		flags    hooks.Flags
		verdicts []string // of one run after the other
		met      []string
		disabled bool
		panics   uint64
		hits     []uint64
	}{
		"fail closed": {
			verdicts: []string{panicked, disabled, disabled}, met: []string{"a bad", "a", "a"},
			disabled: true, panics: 1, hits: []uint64{3, 3, 0},
		},
		"fail open": {
			flags:    hooks.FlagFailOpen,
			verdicts: []string{panicked, "accept", "accept"}, met: []string{"a bad", "a b", "a b"},
			disabled: true, panics: 1, hits: []uint64{3, 3, 2},
		},
		"third time": {
			cfg:      hooks.EventConfig{PanicLimit: 3},
			verdicts: []string{panicked, panicked, panicked, disabled}, met: []string{"a bad", "a bad", "a bad", "a"},
			disabled: true, panics: 3, hits: []uint64{4, 4, 0},
		},
		"never": {
			cfg:      hooks.EventConfig{PanicLimit: -1},
			verdicts: []string{panicked, panicked, panicked}, met: []string{"a bad", "a bad", "a bad"},
			panics: 3, hits: []uint64{3, 3, 0},
		},
		"read only": {
			cfg:      hooks.EventConfig{ReadOnly: true},
			verdicts: []string{"accept", "accept"}, met: []string{"a bad", "a b"},
			disabled: true, panics: 1, hits: []uint64{2, 2, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, book := newLoggedEvent(t, c.cfg)
			register(t, e, marking("a"))
			bad := register(t, e, panicking("bad", c.flags))
			register(t, e, marking("b"))
			for i, want := range c.verdicts {
				verdict, met := run(e)
				wantEqual(t, "verdict", verdict.String(), want)
				wantEqual(t, "met", met, c.met[i])
			}
			wantEqual(t, "log", book.take(t), []string{"hook panicked: bad"})
			wantCounts(t, e, 3, 0, uint64(len(c.verdicts)))
			s := e.Stats()
			wantEqual(t, "panics of the event", s.Panics, c.panics)
			wantEqual(t, "panics of the hook", s.Hooks[1].Panics, c.panics)
			wantEqual(t, "disabled", s.Hooks[1].Disabled, c.disabled)
			wantEqual(t, "hook_hits", hits(e), c.hits)
			wantEqual(t, "order", names(e), "a bad b")

			// It can be replaced.
			unregister(t, bad)
			register(t, e, hinted("bad", hooks.HintAfter, "a"))
			verdict, met := run(e)
			wantEqual(t, "verdict", verdict, hooks.Accept)
			wantEqual(t, "met", met, "a bad b")
		})
	}
}

// A hook that has been retired may still panic in the run it is in.
func TestPanicAfterRetire(t *testing.T) {
	e, book := newLoggedEvent(t, hooks.EventConfig{})
	var self *hooks.Handle
	var gone <-chan struct{}
	self = register(t, e, hooks.Hook[*packet]{Name: "self", Func: func(*packet) hooks.Verdict {
		gone, _ = self.Retire()
		panic("no")
	}})
	verdict, _ := run(e)
	wantEqual(t, "verdict", verdict, hooks.DropWith(hooks.ReasonPanic))
	<-gone
	wantEqual(t, "active", e.Active(), false)
	wantEqual(t, "log", book.take(t), []string{"hook panicked: self"})
	wantEqual(t, "panics", e.Stats().Panics, uint64(1))
	wantCounts(t, e, 1, 1, 1)
}

// A hook that ends its goroutine leaves the counters right, and no Unregister
// waits for it.
func TestGoexit(t *testing.T) {
	e, book := newLoggedEvent(t, hooks.EventConfig{})
	register(t, e, marking("a"))
	h := register(t, e, hooks.Hook[*packet]{Name: "exit", Func: func(*packet) hooks.Verdict {
		runtime.Goexit()
		return hooks.Accept
	}})
	register(t, e, marking("b"))
	for range 3 {
		var ended sync.WaitGroup
		ended.Go(func() {
			run(e)
			t.Error("the goroutine goes on")
		})
		ended.Wait()
	}
	wantEqual(t, "hook_hits", hits(e), []uint64{3, 3, 0})
	wantCounts(t, e, 3, 0, 3)
	wantEqual(t, "panics", e.Stats().Panics, uint64(0))
	unregister(t, h)
	_, met := run(e)
	wantEqual(t, "met", met, "a b")
	wantEqual(t, "log", len(book.take(t)), 0)
}

func TestCallbackPanics(t *testing.T) {
	e, book := newLoggedEvent(t, hooks.EventConfig{})
	notify(t, e, "bad", func(hooks.Notification) { panic("no") })
	unregister(t, register(t, e, marking("a")))
	wantEqual(t, "log", book.take(t), []string{"notification callback panicked: bad", "notification callback panicked: bad"})
}

// A callback that ends its goroutine, in the middle of a delivery, loses
// nothing but itself.
func TestCallbackGoexit(t *testing.T) {
	e := newEvent(t)
	var r recorder
	notify(t, e, "exit", func(n hooks.Notification) {
		if n.Hook == "a" {
			register(t, e, marking("b")) // nobody waits for its notifications
			runtime.Goexit()
		}
	})
	notify(t, e, "r", r.callback)
	var ended sync.WaitGroup
	ended.Go(func() {
		register(t, e, marking("a"))
		t.Error("the goroutine goes on")
	})
	ended.Wait()
	// The next change, even a refused one, delivers what was left.
	_, err := e.Register(marking("a"))
	wantError(t, err, hooks.ErrExists)
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/a +inet/PHYSICAL_IN/b")
}

// What a hook or an observer answers on a read-only event stays there.
func TestReadOnly(t *testing.T) {
	e, _ := newLoggedEvent(t, hooks.EventConfig{ReadOnly: true})
	wantEqual(t, "read only", e.ReadOnly(), true)
	for _, v := range []hooks.Verdict{hooks.Drop, hooks.DropWith(7), hooks.Steal, 12345678} {
		h := register(t, e, answering("h", v))
		last := register(t, e, marking("last"))
		verdict, met := run(e)
		wantEqual(t, "verdict", verdict, hooks.Accept)
		wantEqual(t, "met", met, "h") // but it ends the run
		unregister(t, h)
		unregister(t, last)
	}
}
