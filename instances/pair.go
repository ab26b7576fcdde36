// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package instances

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/hooknet/hooknet/netstack"
)

// A pair is what one descriptor and one instance have to do with each other. Its callbacks are called once each, in this
// order, one at a time:
//
//	        Create            Shutdown            Destroy
//	absent --------> active ----------> shutdown ---------> gone
//	   |                                                     ^
//	   '-----------------------------------------------------'
//	        Create returns an error or no context, or panics
//
// Who wants the pair further along calls operation.advance: the first to come runs the callback, without the manager's
// lock, and who comes meanwhile waits for it. So it does not matter whether the descriptor or the instance goes first, or
// both at once.
//
// A pair is made when its Create begins: of a living instance by Register, of one in the making by Manager.Create. Neither
// makes one for an instance that is ending or a descriptor that is unregistered, and there is no way back to absent, so
// that a pair which is wanted gone can only get there. It is forgotten by whoever wanted it gone.
type pair struct {
	registration *Registration
	member       *member

	state   state         // guarded by the manager's mu
	running *operation    // guarded by the manager's mu; runs the callback that leads to the next state; nil: nobody
	done    chan struct{} // guarded by the manager's mu; closed when that callback has returned
	err     error         // guarded by the manager's mu; why Create failed

	context any // what Create returned; belongs to who runs a callback
}

// state is how far a pair has come: what the last callback that returned has led to.
type state uint8

const (
	absent state = iota
	active
	shutdown
	gone
)

// advance calls what is missing of the callbacks of pairs, one pair after the other, until all have reached a state, and
// waits for those that others are calling. mu is held, but not while a callback runs or is waited for.
func (o *operation) advance(pairs []*pair, to state) {
	for _, p := range pairs {
		for p.state < to {
			if p.running != nil {
				done := p.done
				o.manager.unlocked(func() { <-done })
				continue
			}
			o.step(p)
		}
	}
}

// errUnfinished is the error of a callback that ended its goroutine, as testing.T.Fatal does.
var errUnfinished = errors.New("the callback did not return")

// step calls the next callback of a pair. mu is held, but not while the callback runs.
func (o *operation) step(p *pair) {
	p.running, p.done = o, make(chan struct{})
	next, err := p.state+1, errUnfinished
	defer func() {
		if next == active && err != nil {
			next, p.err = gone, err
		}
		p.state, p.running = next, nil
		close(p.done)
	}()
	o.manager.unlocked(func() { err = p.call(next) })
}

// call calls the callback that leads to a state. A panic is logged and returned as an error.
func (p *pair) call(next state) (err error) {
	descriptor, instance := &p.registration.descriptor, p.member.instance
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			p.member.manager.logger.Error("instance callback panicked", "descriptor", descriptor.Name, "instance", instance.Name(),
				"callback", callbackNames[next], "panic", slog.GroupValue(
					slog.String("value", fmt.Sprint(cause)), slog.String("stack", string(debug.Stack()))))
		}
	}()
	switch next {
	case active:
		p.context, err = descriptor.Create(instance)
		if err == nil && p.context == nil {
			err = fmt.Errorf("%w: Create returned neither a context nor an error", netstack.ErrInvalid)
		}
	case shutdown:
		if descriptor.Shutdown != nil {
			descriptor.Shutdown(instance, p.context)
		}
	case gone:
		descriptor.Destroy(instance, p.context)
	}
	return err
}

var callbackNames = [...]string{active: "create", shutdown: "shutdown", gone: "destroy"}
