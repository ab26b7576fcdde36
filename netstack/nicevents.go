// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack

import (
	"fmt"
	"slices"
	"sync"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/internal/inside"
	"github.com/hooknet/hooknet/packet"
)

// NIC events (hook_nic_event(9S)) tell the hooks of NIC_EVENTS what happens to interfaces and their addresses. For an index
// and a family they nest:
//
//	PLUMB  ( UP  ( LIF_UP ... LIF_DOWN )  DOWN )  UNPLUMB
//
// PLUMB and UNPLUMB come for both families whatever addresses the interface has, because it carries packets of both. UP
// and DOWN say that the interface begins and ceases to be in use by a family: it runs (InterfaceState.Running) and has an
// address of the family. The loopback interface has neither. LIF_UP and LIF_DOWN come for each address, at once: there is no duplicate
// address detection on a TUN device. ADDRESS_CHANGE, from ReplaceAddress, stands between LIF_DOWN and LIF_UP, without DOWN
// and UP; while the interface does not run it stands alone.
//
// IFINDEX_CHANGE never comes of itself, because indexes do not change here. PostNICEvent is for those who bring
// interfaces of their own.
//
// A NIC event is a copy of what was true when it was posted. It reaches hooks on a goroutine of its own, off the packet
// path, in the order in which things happened, one at a time for the whole instance; hooks may take their time and call
// anything. What was posted before a hook was registered does not reach it.

// nicEventQueue is how many events may wait.
const nicEventQueue = 1024

// nicEvents is the queue of an instance's NIC events. It takes no memory and no goroutine while it is empty.
type nicEvents struct {
	inst *Instance

	mu      sync.Mutex
	ended   sync.Cond         // running has become false
	waiting []packet.NICEvent // guarded by mu; oldest first
	running bool              // guarded by mu; the goroutine is there
	closed  bool              // guarded by mu
	lost    uint64            // guarded by mu
}

func (q *nicEvents) open(i *Instance) {
	q.inst = i
	q.ended.L = &q.mu
}

// post queues an event if anybody is hooked, and does not block. Errors: ErrQueueFull (the event is lost and counted) and
// ErrClosed.
func (q *nicEvents) post(e packet.NICEvent) error {
	if !q.inst.points.nic[e.Family].Active() {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case len(q.waiting) >= nicEventQueue:
		q.lost++
		return ErrQueueFull
	}
	q.waiting = append(q.waiting, e)
	if !q.running {
		q.running = true
		go q.run() // ends when the queue is empty
	}
	return nil
}

func init() { inside.Mark(inside.NICEvent, (*nicEvents).run) }

// run calls the hooks for one event after the other until there are no more.
func (q *nicEvents) run() {
	ended := false
	defer func() {
		if !ended {
			go q.run() // a hook has ended the goroutine (runtime.Goexit, as t.Fatal does)
		}
	}()
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.running, ended = nil, false, true
			q.mu.Unlock()
			q.ended.Broadcast()
			return
		}
		e := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		q.inst.points.nic[e.Family].Run(0, e)
	}
}

// close refuses further events and waits until the hooks have seen those that are there. Called from inside a hook of
// NIC_EVENTS, whose end it cannot wait for, it drops what waits.
func (q *nicEvents) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	if insideNICEvent() {
		q.lost += uint64(len(q.waiting))
		q.waiting = nil
		return
	}
	for q.running {
		q.ended.Wait()
	}
}

func (q *nicEvents) countLost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// InHook reports whether the caller was called, however far up, by what Instance.Close, Interface.Close and ReplaceDevice would
// wait for, of whatever instance: by a hook other than those of NIC_EVENTS, by a helper's New or Free, or by EachFlow.
func InHook() bool {
	places := inside.Places()
	return places&(inside.Helper|inside.Flows) != 0 || places&(inside.Hook|inside.NICEvent) == inside.Hook
}

// insideNICEvent reports whether the caller was called, however far up, by a hook of NIC_EVENTS, of whatever instance.
func insideNICEvent() bool { return inside.Places()&inside.NICEvent != 0 }

// PostNICEvent queues a NIC event behind those that are on their way, for the hooks of its family. The instance posts its
// own; this is for who brings interfaces or events that the instance does not know of, and for tests of modules. Instance
// is filled in. Errors: ErrInvalid for an unknown type or a family without NIC_EVENTS, ErrQueueFull, ErrClosed.
func (i *Instance) PostNICEvent(e packet.NICEvent) error {
	e.Instance = i.id
	switch {
	case int(e.Family) >= packet.NumFamilies || i.points.nic[e.Family] == nil:
		return opError("post NIC event", e.Name, fmt.Errorf("%w: %v has no event %v", ErrInvalid, e.Family, packet.NICEvents))
	case e.Type < packet.NICPlumb || e.Type > packet.NICIfindexChange:
		return opError("post NIC event", e.Name, fmt.Errorf("%w: unknown type %d", ErrInvalid, e.Type))
	}
	return opError("post NIC event", e.Name, i.nicEvents.post(e))
}

// RegisterNICEvents adds a hook to NIC_EVENTS of a family: inet and inet6 are told separately, and nothing ever happens in
// arp. Its verdict has no effect, but a hook that does not answer Accept hides the event from those behind it.
func (i *Instance) RegisterNICEvents(family packet.Family, h hooks.Hook[packet.NICEvent]) (*hooks.Handle, error) {
	if int(family) >= packet.NumFamilies || i.points.nic[family] == nil {
		return nil, opError("register for NIC events", h.Name, fmt.Errorf("%w: %v has no event %v", ErrInvalid, family, packet.NICEvents))
	}
	return registerHook(i, i.points.nic[family], h)
}

// ipFamilies are the families that interfaces are plumbed for.
var ipFamilies = [...]packet.Family{packet.Inet, packet.Inet6}

// A nicState is what NIC events tell the changes of.
type nicState struct {
	running   bool
	addresses *addressTable
}

// nicState returns what the interface is like now. Instance.mu is held.
func (f *Interface) nicState() nicState {
	return nicState{f.State().Running(), f.addresses.Load()}
}

// up returns the addresses that can be used.
func (s *nicState) up(family packet.Family) []LIF {
	if !s.running {
		return nil
	}
	return s.addresses.lifs[family]
}

// announce posts what has happened to the interface since it was in the state before, up to now. Instance.mu is held, so
// that events are in the order of the changes.
func (f *Interface) announce(before, now nicState) {
	for _, family := range ipFamilies {
		was, is := before.up(family), now.up(family)
		for _, l := range was {
			if !slices.Contains(is, l) {
				f.postLIF(family, packet.NICLIFDown, l)
			}
		}
		if len(was) > 0 && len(is) == 0 && !f.loopback() {
			f.post(family, packet.NICDown)
		}
		for _, l := range now.addresses.lifs[family] {
			if old, there := before.addresses.lif(family, l.Number); there && old != l {
				f.postLIF(family, packet.NICAddressChange, l)
			}
		}
		if len(was) == 0 && len(is) > 0 && !f.loopback() {
			f.post(family, packet.NICUp)
		}
		for _, l := range is {
			if !slices.Contains(was, l) {
				f.postLIF(family, packet.NICLIFUp, l)
			}
		}
	}
}

// post posts an event that is about the interface as a whole.
func (f *Interface) post(family packet.Family, typ packet.NICEventType) {
	f.postLIF(family, typ, LIF{})
}

// postLIF posts an event that is about an address. What is lost is counted.
func (f *Interface) postLIF(family packet.Family, typ packet.NICEventType, l LIF) {
	_ = f.inst.nicEvents.post(packet.NICEvent{
		Instance: f.inst.id, Family: family, Type: typ, NIC: f.index, LIF: l.Number, Name: f.name, Address: l.Address,
	})
}
