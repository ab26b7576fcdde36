// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import "strconv"

// A ProbePoint is one of the four places at which a run can be observed. They
// are the DTrace probes of the original.
type ProbePoint uint8

const (
	// ProbeRunStart: a run starts (hook__run__start).
	ProbeRunStart ProbePoint = iota + 1
	// ProbeHookStart: a hook is about to be called (hook__func__start).
	ProbeHookStart
	// ProbeHookEnd: it has answered (hook__func__end).
	ProbeHookEnd
	// ProbeRunEnd: the run has its verdict (hook__run__end).
	ProbeRunEnd
)

// String returns "run start", "hook start", "hook end" or "run end".
func (p ProbePoint) String() string {
	switch p {
	case ProbeRunStart:
		return "run start"
	case ProbeHookStart:
		return "hook start"
	case ProbeHookEnd:
		return "hook end"
	case ProbeRunEnd:
		return "run end"
	}
	return "ProbePoint(" + strconv.Itoa(int(p)) + ")"
}

// A Probe is what an observer sees at one point of one run.
type Probe[C any] struct {
	Point   ProbePoint
	Hook    string  // at ProbeHookStart and ProbeHookEnd
	Verdict Verdict // at ProbeHookEnd as the hook answered, at ProbeRunEnd as Run returns
	Context C       // not to be changed; after a Steal not even to be read
}

// Observe makes the event call observer at the four probe points of every run
// that starts from now on, instead of the observer it had. nil turns observing off;
// then it costs nothing. The observer is called by the goroutine that runs the
// event, from many at the same time, and must not block. If it panics it is
// turned off and the panic logged. A run that a hook ends by ending its goroutine
// (runtime.Goexit) has no end.
func (e *Event[C]) Observe(observer func(Probe[C])) {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	e.observer = nil
	if observer != nil {
		e.observer = &observer
	}
	e.publish()
}

// probe calls the observer of the chain that a run is in, if it has one.
func (e *Event[C]) probe(ch *chain[C], p Probe[C]) {
	if ch.observer == nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil && e.turnOff(ch.observer) {
			e.logPanic("observer panicked", p.Point.String(), cause)
		}
	}()
	(*ch.observer)(p)
}

// turnOff ends observing by observer, which has panicked. It reports false if
// that was done already.
func (e *Event[C]) turnOff(observer *func(Probe[C])) bool {
	e.family.stack.mu.Lock()
	defer e.family.stack.mu.Unlock()
	if e.observer != observer {
		return false
	}
	e.observer = nil
	e.publish()
	return true
}
