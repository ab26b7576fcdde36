// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

func TestFamilyNames(t *testing.T) {
	s := newStack()
	for _, names := range [][2]string{{"inet", "NHF_INET"}, {"inet6", "NHF_INET6"}, {"arp", "NHF_ARP"}, {"mine", "mine"}} {
		f := addFamily(t, s, names[1])
		wantEqual(t, "name", f.Name(), names[0])
		for _, name := range names {
			if found, err := s.Family(name); found != f || err != nil {
				t.Errorf("%s: got %v, %v", name, found, err)
			}
			_, err := s.AddFamily(name)
			wantError(t, err, hooks.ErrExists, syscall.EEXIST)
		}
	}
	_, err := s.Family("NHF_NONE")
	wantError(t, err, hooks.ErrNotFound, syscall.ENXIO)
	_, err = s.AddFamily("")
	wantError(t, err, hooks.ErrInvalid, syscall.EINVAL)

	var names []string
	for f := range s.Families() {
		names = append(names, f.Name())
	}
	wantEqual(t, "walk", names, []string{"inet", "inet6", "arp", "mine"})
	for range s.Families() {
		break
	}
}

func TestRegisterRefused(t *testing.T) {
	e := newEvent(t)
	valid := marking("h")
	for name, change := range map[string]func(h *hooks.Hook[*packet]){
		"no name":               func(h *hooks.Hook[*packet]) { h.Name = "" },
		"no function":           func(h *hooks.Hook[*packet]) { h.Func = nil },
		"unknown flag":          func(h *hooks.Hook[*packet]) { h.Flags = 1 << 31 },
		"unknown hint":          func(h *hooks.Hook[*packet]) { h.Hint = 5 },
		"before without a name": func(h *hooks.Hook[*packet]) { h.Hint = hooks.HintBefore },
		"after without a name":  func(h *hooks.Hook[*packet]) { h.Hint = hooks.HintAfter },
		"before itself":         func(h *hooks.Hook[*packet]) { h.Hint, h.HintValue = hooks.HintBefore, "h" },
		"after itself":          func(h *hooks.Hook[*packet]) { h.Hint, h.HintValue = hooks.HintAfter, "h" },
	} {
		h := valid
		change(&h)
		handle, err := e.Register(h)
		if handle != nil || !errors.Is(err, hooks.ErrInvalid) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: got %v, %v", name, handle, err)
		}
	}
	wantCounts(t, e, 0, 0, 0)
	wantEqual(t, "name of the handle", register(t, e, valid).Name(), "h")
}

func TestEventRefused(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	_, err := hooks.AddEvent[int](f, hooks.EventConfig{})
	wantError(t, err, hooks.ErrInvalid)
	addEvent(t, f, "PHYSICAL_IN")
	_, err = hooks.FindEvent[int](f, "PHYSICAL_IN") // a packet event
	wantError(t, err, hooks.ErrInvalid)
	if err := f.Shutdown(); err != nil {
		t.Fatal(err)
	}
	_, err = hooks.AddEvent[int](f, hooks.EventConfig{Name: "NIC_EVENTS"})
	wantError(t, err, hooks.ErrShutdown)
}

// A family that is shut down takes no events and notifiers; hooks only if it
// is not removed.
func TestFamilyShutDown(t *testing.T) {
	e := newEvent(t)
	f := e.Family()
	if err := f.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, on := range []notifiable{f, e} {
		_, err := on.Notify("n", func(hooks.Notification) {})
		wantError(t, err, hooks.ErrShutdown)
	}
	register(t, e, marking("a"))
	if _, err := f.Stack().Family("inet"); err != nil {
		t.Error(err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	_, err := e.Register(marking("b"))
	wantError(t, err, hooks.ErrShutdown)
	_, err = f.Stack().Family("inet")
	wantError(t, err, hooks.ErrShutdown)
	_, err = f.Stack().AddFamily("inet") // its name is taken until it goes
	wantError(t, err, hooks.ErrExists)
	for range f.Stack().Families() {
		t.Error("it is no longer live")
	}
}

func TestClose(t *testing.T) {
	t.Run("empty", func(t *testing.T) {
		s := newStack()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		<-s.Gone()
	})

	t.Run("everybody leaves in time", func(t *testing.T) {
		s := newStack()
		inet, inet6 := addFamily(t, s, "inet"), addFamily(t, s, "inet6")
		in := addEvent(t, inet, "PHYSICAL_IN")
		addEvent(t, inet, "PHYSICAL_OUT")
		addEvent(t, inet6, "PHYSICAL_IN")
		h := register(t, in, marking("h"))
		var r recorder
		var notifiers []*hooks.Notifier
		for _, on := range []notifiable{s, inet, inet6} {
			notifiers = append(notifiers, notify(t, on, "n", func(n hooks.Notification) {
				r.callback(n)
				if short(n) == "-inet6" {
					for _, n := range notifiers {
						unregister(t, n)
					}
					if _, err := h.Retire(); err != nil {
						t.Error(err)
					}
				}
			}))
		}
		r.take()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wantEqual(t, "told", r.take(), "-inet/PHYSICAL_IN -inet/PHYSICAL_OUT -inet -inet6/PHYSICAL_IN -inet6")
		<-s.Gone()
	})

	t.Run("leftovers", func(t *testing.T) {
		e := newEvent(t)
		s := e.Family().Stack()
		addEvent(t, e.Family(), "PHYSICAL_OUT")
		users := []interface{ Unregister() error }{
			register(t, e, marking("fw")),
			notify(t, s, "a", func(hooks.Notification) {}),
			notify(t, e.Family(), "b", func(hooks.Notification) {}),
			notify(t, e, "c", func(hooks.Notification) {}),
		}
		err := s.Close()
		wantError(t, err, hooks.ErrBusy, syscall.EBUSY)
		wantEqual(t, "message", err.Error(), "hooks: close stack (instance 3): busy: notifier a, notifier inet/b, notifier inet/PHYSICAL_IN/c, hook inet/PHYSICAL_IN/fw")
		for _, user := range users {
			wantError(t, s.Close(), hooks.ErrBusy)
			unregister(t, user)
		}
		<-s.Gone()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err   error
		errno syscall.Errno
	}{
		{hooks.ErrInvalid, syscall.EINVAL},
		{hooks.ErrExists, syscall.EEXIST},
		{hooks.ErrBusy, syscall.EBUSY},
		{hooks.ErrShutdown, syscall.ESHUTDOWN},
		{hooks.ErrNotFound, syscall.ENXIO},
		{hooks.ErrGone, syscall.ESRCH},
		{hooks.ErrInHook, syscall.EDEADLK},
	} {
		wrapped := error(&hooks.OpError{Op: "test", Err: c.err})
		wantError(t, wrapped, c.err, c.errno)
		for _, other := range []error{hooks.ErrInvalid, hooks.ErrExists, hooks.ErrBusy, hooks.ErrShutdown, hooks.ErrNotFound, hooks.ErrGone, hooks.ErrInHook} {
			if other != c.err && errors.Is(wrapped, other) {
				t.Errorf("%v is also %v", c.err, other)
			}
		}
	}

	e := newEvent(t)
	register(t, e, hinted("nat", hooks.HintFirst, ""))
	_, err := e.Register(hinted("fw", hooks.HintFirst, ""))
	wantEqual(t, "message", err.Error(), "hooks: register inet/PHYSICAL_IN/fw (instance 3): busy: nat")
	var op *hooks.OpError
	if !errors.As(err, &op) || !slices.Equal(op.Names, []string{"nat"}) || op.Hook != "fw" || op.Instance != 3 {
		t.Errorf("got %#v", op)
	}
}
