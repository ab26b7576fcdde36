// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hooknet/hooknet/hooks"
)

// The numbered cases of the specification about notifications. Callbacks of
// the original get (command, argument, three names); here the argument is the
// callback's closure and the names are fields.

func newStack() *hooks.Stack { return hooks.NewStack(hooks.StackConfig{Instance: 3}) }

func TestCase030_StackNotify(t *testing.T) {
	s := newStack()
	var r recorder
	notify(t, s, "r", r.callback)
	f := addFamily(t, s, "inet")
	wantEqual(t, "told", r.told, []hooks.Notification{{Command: hooks.CommandRegister, Instance: 3, Family: "inet"}})
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "told", r.told[1:], []hooks.Notification{{Command: hooks.CommandUnregister, Instance: 3, Family: "inet"}})
}

func TestCase031_FamilyNotify(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	var r recorder
	notify(t, f, "r", r.callback)
	e := addEvent(t, f, "PHYSICAL_IN")
	wantEqual(t, "told", r.told, []hooks.Notification{{Command: hooks.CommandRegister, Instance: 3, Family: "inet", Event: "PHYSICAL_IN"}})
	wantCounts(t, e, 0, 0, 0)
}

func TestCase032_EventNotify(t *testing.T) {
	e := newEvent(t)
	var r recorder
	notify(t, e, "r", r.callback)
	h := register(t, e, marking("h"))
	wantEqual(t, "told", r.told, []hooks.Notification{{Command: hooks.CommandRegister, Instance: 3, Family: "inet", Event: "PHYSICAL_IN", Hook: "h"}})
	unregister(t, h)
	wantEqual(t, "told", r.told[1:], []hooks.Notification{{Command: hooks.CommandUnregister, Instance: 3, Family: "inet", Event: "PHYSICAL_IN", Hook: "h"}})
	wantCounts(t, e, 1, 1, 0)
}

// levels gives a stack, a family and an event that can be notified, each with
// a function that adds a child, and takes it away again.
func levels(t *testing.T) map[string]struct {
	on  notifiable
	add func(name string) (remove func())
} {
	s := newStack()
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	return map[string]struct {
		on  notifiable
		add func(name string) (remove func())
	}{
		"stack": {s, func(name string) func() {
			f := addFamily(t, s, name)
			return func() { must(f.Remove()) }
		}},
		"family": {f, func(name string) func() {
			e := addEvent(t, f, name)
			return func() { must(e.Remove()) }
		}},
		"event": {e, func(name string) func() {
			h := register(t, e, marking(name))
			return func() { must(h.Unregister()) }
		}},
	}
}

func TestCase033_NotifierTwice(t *testing.T) {
	for name, level := range levels(t) {
		t.Run(name, func(t *testing.T) {
			var first, second recorder
			n := notify(t, level.on, "watch", first.callback)
			first.take()
			_, err := level.on.Notify("watch", second.callback)
			wantError(t, err, hooks.ErrExists, syscall.EEXIST)
			level.add("x")
			wantEqual(t, "told of the additions", len(first.told), 1)
			wantEqual(t, "told the refused one", len(second.told), 0)
			unregister(t, n)
			wantError(t, n.Unregister(), hooks.ErrGone, syscall.ESRCH)
		})
	}
}

func TestCase034_RegistrationOrder(t *testing.T) {
	for name, level := range levels(t) {
		t.Run(name, func(t *testing.T) {
			var called []string
			for _, name := range []string{"c", "a", "b"} {
				notify(t, level.on, name, func(n hooks.Notification) { called = append(called, name+short(n)[:1]) })
			}
			called = nil
			level.add("x")()
			wantEqual(t, "order", strings.Join(called, " "), "c+ a+ b+ c- a- b-")
		})
	}
}

func TestCase035_LateRegistrant(t *testing.T) {
	s := newStack()
	inet, inet6 := addFamily(t, s, "inet"), addFamily(t, s, "inet6")
	in, _ := addEvent(t, inet, "PHYSICAL_IN"), addEvent(t, inet, "PHYSICAL_OUT")
	for _, h := range []string{"a", "b", "c:F"} {
		register(t, in, parseHook(h))
	}
	var early, late recorder
	for _, on := range []notifiable{s, inet, inet6, in} {
		notify(t, on, "early", early.callback)
	}
	early.take()

	// Families and events newest first, hooks in running order.
	for _, level := range []struct {
		on   notifiable
		want string
	}{
		{s, "+inet6 +inet"},
		{inet, "+inet/PHYSICAL_OUT +inet/PHYSICAL_IN"},
		{inet6, ""},
		{in, "+inet/PHYSICAL_IN/c +inet/PHYSICAL_IN/a +inet/PHYSICAL_IN/b"},
	} {
		notify(t, level.on, "late", late.callback)
		wantEqual(t, "told the late one", late.take(), level.want)
		wantEqual(t, "told the early one", early.take(), "")
	}
	wantCounts(t, in, 3, 0, 0)
}

func TestCase036_NotifierLeaves(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")
	register(t, e, marking("a"))
	register(t, e, marking("b"))
	var stays, leaves recorder
	for _, level := range []struct {
		on   notifiable
		want string
	}{
		{s, "-inet"},
		{f, "-inet/PHYSICAL_IN"},
		{e, "-inet/PHYSICAL_IN/a -inet/PHYSICAL_IN/b"},
	} {
		notify(t, level.on, "stays", stays.callback)
		n := notify(t, level.on, "leaves", leaves.callback)
		stays.take()
		leaves.take()
		unregister(t, n)
		wantEqual(t, "told the one that leaves", leaves.take(), level.want)
		wantEqual(t, "told the one that stays", stays.take(), "")
	}
	// It is not told of anything any more.
	register(t, e, marking("c"))
	addEvent(t, f, "PHYSICAL_OUT")
	addFamily(t, s, "arp")
	wantEqual(t, "told the one that has left", leaves.take(), "")
	wantEqual(t, "told the one that stays", stays.take(), "+inet/PHYSICAL_IN/c +inet/PHYSICAL_OUT +arp")
}

func TestCase037_ShutdownThenRemove(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")
	var r recorder
	notify(t, f, "r", r.callback)
	families := notify(t, s, "r", r.callback)
	r.take()
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{e.Shutdown, "-inet/PHYSICAL_IN"},
		{e.Shutdown, ""},
		{e.Remove, ""},
		{f.Shutdown, "-inet"},
		{f.Remove, ""},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "told", r.take(), step.want)
	}
	unregister(t, families)
	wantEqual(t, "told", r.take(), "")
	wantError(t, e.Shutdown(), hooks.ErrGone, syscall.ESRCH)
	wantError(t, e.Remove(), hooks.ErrGone, syscall.ESRCH)

	// Removed at once, the one notification comes then.
	g := addFamily(t, s, "inet6")
	other := addEvent(t, g, "PHYSICAL_IN")
	notify(t, g, "r", r.callback)
	r.take()
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "told", r.take(), "-inet6/PHYSICAL_IN")
}

func TestCase038_EventAlreadyShutDown(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	addEvent(t, f, "PHYSICAL_OUT")
	e := addEvent(t, f, "PHYSICAL_IN")
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	var r recorder
	n := notify(t, f, "r", r.callback)
	wantEqual(t, "told at the start", r.take(), "+inet/PHYSICAL_OUT")
	unregister(t, n)
	wantEqual(t, "told at the end", r.take(), "-inet/PHYSICAL_OUT")
}

func TestCase039_FamilyShutDownOnce(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	var r recorder
	n := notify(t, s, "r", r.callback)
	if err := f.Shutdown(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "told", r.take(), "+inet -inet")
	unregister(t, n)
	wantEqual(t, "told at the end", r.take(), "")
}

func TestCase040_NotifyInStackCallback(t *testing.T) {
	s := newStack()
	var r recorder
	notify(t, s, "s", func(n hooks.Notification) {
		if n.Command != hooks.CommandRegister {
			return
		}
		f, err := s.Family(n.Family)
		if err != nil {
			t.Error(err)
			return
		}
		notify(t, f, "r", r.callback)
	})
	f := addFamily(t, s, "inet")
	addEvent(t, f, "PHYSICAL_IN")
	addEvent(t, f, "PHYSICAL_OUT")
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN +inet/PHYSICAL_OUT")
}

func TestCase041_HookInFamilyCallback(t *testing.T) {
	f := addFamily(t, newStack(), "inet")
	notify(t, f, "f", func(n hooks.Notification) {
		e, err := hooks.FindEvent[*packet](f, n.Event)
		if err != nil {
			t.Error(err)
			return
		}
		register(t, e, marking("h"))
	})
	e := addEvent(t, f, "PHYSICAL_IN")
	_, met := run(e)
	wantEqual(t, "met", met, "h")
	wantCounts(t, e, 1, 0, 1)
	wantEqual(t, "hook_hits", hits(e), []uint64{1})
}

// Callbacks have no result here. The nearest thing to one that fails is one
// that panics or ends its goroutine.
func TestCase042_FailingCallback(t *testing.T) {
	e := newEvent(t)
	var r recorder
	notify(t, e, "panics", func(hooks.Notification) { panic("no") })
	notify(t, e, "later", r.callback)
	register(t, e, marking("h"))
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/h")
	wantEqual(t, "list", names(e), "h")
	wantCounts(t, e, 1, 0, 0)
}

func TestCase043_StackShutDown(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	e := addEvent(t, f, "PHYSICAL_IN")
	var r recorder
	var notifiers []*hooks.Notifier
	for _, on := range []notifiable{s, f, e} {
		notifiers = append(notifiers, notify(t, on, "r", r.callback))
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, on := range []notifiable{s, f, e} {
		_, err := on.Notify("late", r.callback)
		wantError(t, err, hooks.ErrShutdown, syscall.ESHUTDOWN)
	}
	r.take()
	for _, n := range notifiers {
		unregister(t, n)
	}
	wantEqual(t, "told", r.take(), "-inet -inet/PHYSICAL_IN")
}

func TestCase044_UnknownNotifier(t *testing.T) {
	s := newStack()
	var r recorder
	n := notify(t, s, "r", r.callback)
	unregister(t, n)
	wantError(t, n.Unregister(), hooks.ErrGone, syscall.ESRCH)
	addFamily(t, s, "inet") // would block
	notify(t, s, "r", r.callback)
	wantEqual(t, "told", r.take(), "+inet")
}

func TestCase045_AddRacesNotify(t *testing.T) {
	for range 200 {
		e := newEvent(t)
		var r recorder
		var both sync.WaitGroup
		both.Go(func() { register(t, e, marking("h")) })
		both.Go(func() { notify(t, e, "r", r.callback) })
		both.Wait()
		if told := r.take(); told != "+inet/PHYSICAL_IN/h" {
			t.Fatalf("told %q", told)
		}
	}
}

// Further contracts of notifications.

func TestNotifyRefused(t *testing.T) {
	for name, level := range levels(t) {
		t.Run(name, func(t *testing.T) {
			_, err := level.on.Notify("", func(hooks.Notification) {})
			wantError(t, err, hooks.ErrInvalid, syscall.EINVAL)
			_, err = level.on.Notify("n", nil)
			wantError(t, err, hooks.ErrInvalid, syscall.EINVAL)
		})
	}
}

// A callback changes the object that is notifying: the change is in force at
// once, its notification follows the current round.
func TestChangeInCallback(t *testing.T) {
	for name, level := range levels(t) {
		t.Run(name, func(t *testing.T) {
			var called []string
			notify(t, level.on, "first", func(n hooks.Notification) {
				called = append(called, "first"+short(n)[:1]+fmt.Sprint(strings.HasSuffix(short(n), "two")))
				if n.Command == hooks.CommandRegister && strings.HasSuffix(short(n), "one") {
					remove := level.add("two")
					if name != "event" { // there it is ErrInHook
						remove()
					}
				}
			})
			notify(t, level.on, "second", func(n hooks.Notification) {
				called = append(called, "second"+short(n)[:1]+fmt.Sprint(strings.HasSuffix(short(n), "two")))
			})
			called = nil
			level.add("one")
			want := []string{"first+false", "second+false", "first+true", "second+true", "first-true", "second-true"}
			if name == "event" {
				want = want[:4]
			}
			wantEqual(t, "called", called, want)
		})
	}
}

// A callback registers, retires and notifies on the event that is notifying,
// and leaves it itself.
func TestEverythingInCallback(t *testing.T) {
	e := newEvent(t)
	var r recorder
	var self *hooks.Notifier
	self = notify(t, e, "self", func(n hooks.Notification) {
		if short(n) != "+inet/PHYSICAL_IN/a" {
			return
		}
		b := register(t, e, marking("b"))
		wantEqual(t, "list in the callback", names(e), "a b")
		wantError(t, b.Unregister(), hooks.ErrInHook, syscall.EDEADLK)
		wantEqual(t, "list in the callback", names(e), "a b")
		if _, err := b.Retire(); err != nil {
			t.Error(err)
		}
		wantEqual(t, "list in the callback", names(e), "a")
		notify(t, e, "r", r.callback)
		unregister(t, self)
	})
	a := register(t, e, marking("a"))
	wantEqual(t, "told", r.take(), "+inet/PHYSICAL_IN/a")
	unregister(t, a)
	wantEqual(t, "told", r.take(), "-inet/PHYSICAL_IN/a")
	wantError(t, self.Unregister(), hooks.ErrGone)
	wantCounts(t, e, 2, 2, 0)
}

// Two callbacks of two stacks, each of which changes the other's stack, do not
// wait for each other.
func TestCallbacksCrosswise(t *testing.T) {
	var both sync.WaitGroup
	inside := make(chan struct{}, 2)
	meet := make(chan struct{})
	events := []*hooks.Event[*packet]{newEvent(t), newEvent(t)}
	recorders := make([]recorder, 2)
	for i, e := range events {
		notify(t, e, "n", func(n hooks.Notification) {
			if n.Hook == "start" {
				inside <- struct{}{}
				<-meet // both are delivering now
				register(t, events[1-i], marking("cross"))
			}
		})
		notify(t, e, "r", recorders[i].callback)
		both.Go(func() { register(t, e, marking("start")) })
	}
	<-inside
	<-inside
	close(meet)
	both.Wait()
	for i, e := range events {
		wantEqual(t, "list", names(e), "start cross")
		wantEqual(t, "told", recorders[i].take(), "+inet/PHYSICAL_IN/start +inet/PHYSICAL_IN/cross")
	}
}

// A call returns after its notifications have been delivered, also if another
// goroutine delivers them.
func TestWaitsForDelivery(t *testing.T) {
	s := newStack()
	f := addFamily(t, s, "inet")
	in, out := addEvent(t, f, "PHYSICAL_IN"), addEvent(t, f, "PHYSICAL_OUT")
	entered, release := make(chan struct{}), make(chan struct{})
	notify(t, in, "slow", func(hooks.Notification) {
		close(entered)
		<-release
	})
	var r recorder
	notify(t, out, "r", r.callback)

	var all sync.WaitGroup
	all.Go(func() { register(t, in, marking("slow")) })
	<-entered
	// Nothing to tell: does not wait.
	quiet := addEvent(t, f, "FORWARDING")
	unregister(t, register(t, quiet, marking("q")))
	// In force at once, but told later.
	done := make(chan string)
	all.Go(func() {
		register(t, out, marking("h"))
		done <- r.take()
	})
	for names(out) != "h" {
		select {
		case told := <-done:
			t.Fatalf("returned early, told %q", told)
		default:
		}
	}
	close(release)
	wantEqual(t, "told", <-done, "+inet/PHYSICAL_OUT/h")
	all.Wait()
}

// A notifier that leaves has been told everything when Unregister returns, also
// what another goroutine was about to deliver.
func TestLeaveWaitsForDelivery(t *testing.T) {
	e := newEvent(t)
	h := register(t, e, marking("h"))
	entered, release := make(chan struct{}), make(chan struct{})
	notify(t, e, "slow", func(n hooks.Notification) {
		if n.Command == hooks.CommandUnregister {
			close(entered)
			<-release
		}
	})
	var r recorder
	n := notify(t, e, "r", r.callback)
	r.take()

	var all sync.WaitGroup
	all.Go(func() { unregister(t, h) })
	<-entered
	left := make(chan string)
	all.Go(func() {
		unregister(t, n) // there is no hook to tell it of
		left <- r.take()
	})
	for { // until it has left
		again, err := e.Notify("r", func(hooks.Notification) {})
		if err == nil {
			wantEqual(t, "told", r.take(), "")
			close(release)
			unregister(t, again)
			break
		}
		runtime.Gosched()
	}
	wantEqual(t, "told", <-left, "-inet/PHYSICAL_IN/h")
	all.Wait()
	wantEqual(t, "told", r.take(), "")
}
