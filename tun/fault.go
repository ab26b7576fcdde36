// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hooknet/hooknet/packet"
)

// DefaultFaultQueueLen is how many packets are under way at most, per queue and direction, if Faults.QueueLen is 0.
const DefaultFaultQueueLen = 4096

// defaultHold is Faults.Hold if that is 0.
const defaultHold = time.Millisecond

// Faults are what happens to packets on their way in one direction, in this order. The zero value is a perfect line.
// Probabilities are of each packet on its own, from 0 to 1. A superpacket is one packet.
type Faults struct {
	// Loss is the probability that a packet is lost.
	Loss float64
	// Corrupt is the probability that one bit of a packet, anywhere, is flipped. A superpacket is lost instead: its segments
	// have no checksums yet that would tell.
	Corrupt float64
	// Duplicate is the probability that a packet comes twice.
	Duplicate float64
	// Rate is how many bytes pass in a second. 0: as many as come.
	Rate int64
	// Delay is how long a packet is under way, and Jitter how much longer at most, at random and evenly spread. They leave
	// packets in order.
	Delay, Jitter time.Duration
	// Reorder is the probability that a packet is held back for Hold longer, so that those behind overtake it. Hold 0
	// means 1 ms.
	Reorder float64
	Hold    time.Duration
	// QueueLen is how many packets are under way at most, for each queue of the device: the next is lost, to Write with
	// ErrFull. 0 means DefaultFaultQueueLen.
	QueueLen int
}

func (f Faults) none() bool {
	f.QueueLen, f.Hold = 0, 0
	return f == Faults{}
}

func (f Faults) validate(direction string) error {
	var errs []error
	for _, p := range []struct {
		name  string
		value float64
	}{{"Loss", f.Loss}, {"Corrupt", f.Corrupt}, {"Duplicate", f.Duplicate}, {"Reorder", f.Reorder}} {
		if !(p.value >= 0 && p.value <= 1) { // NaN
			errs = append(errs, fmt.Errorf("%s.%s is %v; expected a probability of 0 to 1", direction, p.name, p.value))
		}
	}
	for _, n := range []struct {
		name  string
		value int64
	}{{"Rate", f.Rate}, {"Delay", int64(f.Delay)}, {"Jitter", int64(f.Jitter)}, {"Hold", int64(f.Hold)}, {"QueueLen", int64(f.QueueLen)}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s.%s is %d; expected 0 or more", direction, n.name, n.value))
		}
	}
	return errors.Join(errs...)
}

// FaultConfig says what a fault device does. The zero value does nothing.
type FaultConfig struct {
	// Read is for what is read from the device, Write for what is written to it.
	Read, Write Faults
	// Seed begins the random numbers: with the same seed and the same packets in the same order, for each queue and
	// direction, the same ones are hit.
	Seed uint64
}

// FaultStats counts, in packets.
type FaultStats struct {
	Lost, Corrupted, Duplicated, HeldBack uint64
	Full                                  uint64 // found the queue full
	Refused                               uint64 // came through to Write of the device underneath, which did not take them
}

// A FaultDevice does to packets what bad lines do: it delays, loses, corrupts, duplicates and reorders them, and passes
// them at a limited rate. It is for tests, and stands in for the device it was made of. A direction without faults costs
// nothing: its calls go straight to that device.
//
// Packets under way are copies of those written. What the device underneath refuses only after Write has returned is counted.
type FaultDevice struct {
	dev         Device
	read, write []*faultLane // one per queue; nil for a direction without faults
	closing     sync.Once
	goroutines  sync.WaitGroup

	lost, corrupted, duplicated, heldBack, full, refused atomic.Uint64
}

var (
	_ Device      = (*FaultDevice)(nil)
	_ LinkWatcher = (*FaultDevice)(nil)
)

// Fault returns a device with faults in front of dev, which belongs to it from then on: Close closes both. It starts a
// goroutine per queue and direction that has faults, which Close ends. The clock is that of package time, so that in a bubble
// of testing/synctest no time is spent. Errors name all fields that are out of their range; dev is then untouched.
func Fault(dev Device, cfg FaultConfig) (*FaultDevice, error) {
	if err := errors.Join(cfg.Read.validate("Read"), cfg.Write.validate("Write")); err != nil {
		return nil, newOpError("fault device", dev.Name(), err)
	}
	d := &FaultDevice{dev: dev}
	lanes := func(f Faults, stream uint64, carry func(*faultLane, int)) (list []*faultLane) {
		if f.none() {
			return nil
		}
		for queue := range dev.Queues() {
			l := newFaultLane(d, f, rand.NewPCG(cfg.Seed, stream+2*uint64(queue)))
			list = append(list, l)
			d.goroutines.Go(func() { carry(l, queue) })
		}
		return list
	}
	d.read = lanes(cfg.Read, 0, d.carryIn)
	d.write = lanes(cfg.Write, 1, d.carryOut)
	return d, nil
}

// Name is that of the device underneath.
func (d *FaultDevice) Name() string { return d.dev.Name() }

// Features are those of the device underneath.
func (d *FaultDevice) Features() packet.Features { return d.dev.Features() }

// Queues are those of the device underneath.
func (d *FaultDevice) Queues() int { return d.dev.Queues() }

func (d *FaultDevice) String() string { return fmt.Sprintf("%v, with faults", d.dev) }

// NextLinkState passes the call on. The error is ErrUnsupported if the device underneath is no LinkWatcher.
func (d *FaultDevice) NextLinkState(last LinkState) (LinkState, error) {
	if watcher, ok := d.dev.(LinkWatcher); ok {
		return watcher.NextLinkState(last)
	}
	return LinkState{}, ErrUnsupported
}

// Stats returns what has happened so far, in both directions and all queues.
func (d *FaultDevice) Stats() FaultStats {
	return FaultStats{
		Lost: d.lost.Load(), Corrupted: d.corrupted.Load(), Duplicated: d.duplicated.Load(), HeldBack: d.heldBack.Load(),
		Full: d.full.Load(), Refused: d.refused.Load(),
	}
}

// Read implements Device.
func (d *FaultDevice) Read(queue int, pkts []*packet.Packet) (int, error) {
	if d.read == nil {
		return d.dev.Read(queue, pkts)
	}
	if len(pkts) == 0 {
		return 0, errNoEntries
	}
	return d.read[queue].take(pkts)
}

// Write implements Device.
func (d *FaultDevice) Write(queue int, pkts []*packet.Packet) (int, error) {
	if d.write == nil {
		return d.dev.Write(queue, pkts)
	}
	l := d.write[queue]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range pkts {
		switch {
		case l.err != nil:
			return i, l.err
		case !acceptable(p, d.dev.Features()):
			return i, ErrRefused
		case !l.addLocked(p.Clone()):
			return i, ErrFull
		}
	}
	return len(pkts), nil
}

// Close implements Device. What is under way is lost.
func (d *FaultDevice) Close() (err error) {
	d.closing.Do(func() {
		lanes := slices.Concat(d.read, d.write)
		for _, l := range lanes {
			l.end(net.ErrClosed)
		}
		err = d.dev.Close()
		d.goroutines.Wait()
		for _, l := range lanes {
			l.drop()
		}
	})
	return err
}

// carryIn takes packets from the device underneath to the lane that Read empties.
func (d *FaultDevice) carryIn(l *faultLane, queue int) {
	batch := make([]*packet.Packet, faultBatch)
	defer releaseAll(batch)
	for {
		n, err := d.dev.Read(queue, batch)
		if err != nil {
			l.end(err)
			return
		}
		l.mu.Lock()
		for _, p := range batch[:n] {
			l.addLocked(p.Clone()) // what was read into is for the longest packet
		}
		l.mu.Unlock()
	}
}

// carryOut takes packets from the lane that Write fills to the device underneath.
func (d *FaultDevice) carryOut(l *faultLane, queue int) {
	batch := make([]*packet.Packet, faultBatch)
	defer releaseAll(batch)
	for {
		n, err := l.take(batch)
		if err != nil {
			return
		}
		for rest := batch[:n]; len(rest) > 0; {
			done, err := d.dev.Write(queue, rest)
			switch {
			case err == nil:
				rest = nil
			case errors.Is(err, ErrGone) || errors.Is(err, net.ErrClosed):
				l.end(err)
				return
			default:
				d.refused.Add(1)
				rest = rest[done+1:]
			}
		}
	}
}

// faultBatch is how many packets the goroutines carry at once.
const faultBatch = 64

func releaseAll(list []*packet.Packet) {
	for _, p := range list {
		if p != nil {
			p.Release()
		}
	}
}

// A faultLane holds the packets that are under way in one direction of one queue.
type faultLane struct {
	device *FaultDevice
	faults Faults
	limit  int
	wake   chan struct{} // holds one token: something has changed for take
	timer  *time.Timer   // of take

	mu     sync.Mutex
	random *rand.Rand
	queue  []late    // sorted by due; of equal ones the first to come
	free   time.Time // when the line has passed all bytes so far
	last   time.Time // when the last one is due that was not held back
	err    error     // final; what is under way comes first, unless it is net.ErrClosed
}

// late is a packet under way.
type late struct {
	due time.Time
	p   *packet.Packet
}

func newFaultLane(d *FaultDevice, f Faults, source rand.Source) *faultLane {
	l := &faultLane{device: d, faults: f, limit: f.QueueLen, wake: make(chan struct{}, 1), timer: time.NewTimer(0), random: rand.New(source)}
	if l.limit == 0 {
		l.limit = DefaultFaultQueueLen
	}
	if l.faults.Hold == 0 {
		l.faults.Hold = defaultHold
	}
	return l
}

// addLocked sends p, which is the lane's from now on, on its way. It reports false if there was no room.
func (l *faultLane) addLocked(p *packet.Packet) bool {
	d := l.device
	// Every packet draws the same numbers, so that a fault more or less does not change which packets the others hit.
	lost, corrupt, twice, held := l.hit(l.faults.Loss), l.hit(l.faults.Corrupt), l.hit(l.faults.Duplicate), l.hit(l.faults.Reorder)
	bit, jitter := l.random.Uint64(), l.random.Float64()
	if lost {
		d.lost.Add(1)
		p.Release()
		return true
	}
	if corrupt {
		if !flip(p, bit) {
			d.lost.Add(1)
			p.Release()
			return true
		}
		d.corrupted.Add(1)
	}
	if len(l.queue) >= l.limit {
		d.full.Add(1)
		p.Release()
		return false
	}
	now := time.Now()
	due := now
	if l.faults.Rate > 0 {
		if l.free.Before(now) {
			l.free = now
		}
		l.free = l.free.Add(passing(p.Len(), l.faults.Rate))
		due = l.free
	}
	due = due.Add(l.faults.Delay + time.Duration(jitter*float64(l.faults.Jitter)))
	if due.Before(l.last) {
		due = l.last
	}
	if held {
		d.heldBack.Add(1)
		due = due.Add(l.faults.Hold)
	} else {
		l.last = due
	}
	if twice && len(l.queue)+1 < l.limit {
		d.duplicated.Add(1)
		l.insertLocked(late{due, p.Clone()})
	}
	l.insertLocked(late{due, p})
	return true
}

func (l *faultLane) hit(probability float64) bool { return l.random.Float64() < probability }

// passing is how long a line of this rate takes for so many bytes.
func passing(bytes int, rate int64) time.Duration {
	return time.Duration(math.Ceil(float64(bytes) * float64(time.Second) / float64(rate)))
}

// flip flips a bit of p. It reports false for a packet that has no checksums to tell.
func flip(p *packet.Packet, bit uint64) bool {
	if p.Len() == 0 || p.Offload.GSO != packet.GSONone {
		return false
	}
	if p.Offload.Checksum == packet.ChecksumPartial {
		p.Parse() // if it is damaged nothing is filled in
		p.FillChecksum()
	}
	bit %= uint64(8 * p.Len())
	p.Mutable()[bit/8] ^= 1 << (bit % 8)
	p.SetLen(p.Len()) // what was parsed holds no longer
	return true
}

func (l *faultLane) insertLocked(one late) {
	at := len(l.queue)
	for at > 0 && one.due.Before(l.queue[at-1].due) { // few: only those held back are later
		at--
	}
	l.queue = append(l.queue, late{})
	copy(l.queue[at+1:], l.queue[at:])
	l.queue[at] = one
	if at == 0 {
		l.notify()
	}
}

// notify makes take look again.
func (l *faultLane) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take waits for packets that are due, exchanges entries of pkts for them, and returns how many. One goroutine at a time.
func (l *faultLane) take(pkts []*packet.Packet) (int, error) {
	for {
		n, next, err := l.takeDue(pkts)
		if n > 0 || err != nil {
			return n, err
		}
		var alarm <-chan time.Time // for ever, if nothing is under way
		if next > 0 {
			l.timer.Reset(next)
			alarm = l.timer.C
		}
		select {
		case <-l.wake:
		case <-alarm:
		}
	}
}

// takeDue is take without waiting: next is how long that would be, 0 if there is nothing to wait for.
func (l *faultLane) takeDue(pkts []*packet.Packet) (n int, next time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == net.ErrClosed {
		return 0, 0, l.err
	}
	now := time.Now()
	for bytes := 0; n < len(pkts) && n < len(l.queue) && bytes < batchBytes && !l.queue[n].due.After(now); n++ {
		if pkts[n] != nil {
			pkts[n].Release()
		}
		pkts[n] = l.queue[n].p
		bytes += pkts[n].Len()
	}
	if n > 0 {
		left := copy(l.queue, l.queue[n:])
		clear(l.queue[left:])
		l.queue = l.queue[:left]
		return n, 0, nil
	}
	if len(l.queue) > 0 {
		return 0, l.queue[0].due.Sub(now), nil
	}
	return 0, 0, l.err
}

// end says that nothing more comes, for this reason. The first net.ErrClosed outdoes all others.
func (l *faultLane) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil || err == net.ErrClosed {
		l.err = err
	}
	l.notify()
}

// drop releases what is under way.
func (l *faultLane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.queue {
		one.p.Release()
	}
	l.queue = nil
}
