// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package tun

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/packet"
)

// offloadSteps are the offloads to ask for, best first. USO came with Linux 6.2 and is
// refused with EINVAL before.
var offloadSteps = [...]struct {
	bits     int
	features packet.Features
}{
	{
		unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN | unix.TUN_F_USO4 | unix.TUN_F_USO6,
		packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6 | packet.FeatureUSO,
	},
	{
		unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN,
		packet.FeatureChecksum | packet.FeatureTSO4 | packet.FeatureTSO6,
	},
	{unix.TUN_F_CSUM, packet.FeatureChecksum},
	{0, 0},
}

// linuxDevice is a TUN device with a virtio-net header before every packet.
type linuxDevice struct {
	name     string
	features packet.Features
	queues   []*linuxQueue
	link     *linkWatcher

	coalesce atomic.Uint32 // packet.Features that Write may make superpackets for
	log      *slog.Logger

	closed    atomic.Bool
	closeOnce sync.Once
}

// linuxQueue is one descriptor of a device. It is nonblocking and known to the runtime's
// poller: a reader without packets is a parked goroutine, which a deadline or Close
// wakes. (A read that blocks in the kernel cannot be woken but by deleting the device.)
type linuxQueue struct {
	file *os.File
	conn syscall.RawConn

	// The reader's own. fill is the method value, made once: to make it for every Read
	// would be an allocation. The others are its arguments and results.
	fill  func(fd uintptr) (done bool)
	pkts  []*packet.Packet
	n     int // how many of pkts are filled
	bytes int // their length
	errno syscall.Errno

	_ [64]byte // readers and writers are different cores

	// mu is held shared by writers while they use fd, and taken by Close.
	mu sync.RWMutex
	fd uintptr // noDescriptor once closed
}

const noDescriptor = ^uintptr(0)

var (
	_ Device      = (*linuxDevice)(nil)
	_ LinkWatcher = (*linuxDevice)(nil)
)

func (d *linuxDevice) Name() string              { return d.name }
func (d *linuxDevice) Features() packet.Features { return d.features }
func (d *linuxDevice) Queues() int               { return len(d.queues) }

func (d *linuxDevice) NextLinkState(last LinkState) (LinkState, error) {
	return d.link.next(last)
}

func (d *linuxDevice) String() string {
	return fmt.Sprintf("%s: linux driver, queues: %d, offload: %s%s", d.name, len(d.queues), describeFeatures(d.features),
		describeCoalescing(packet.Features(d.coalesce.Load()), d.features))
}

func (d *linuxDevice) Read(queue int, pkts []*packet.Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, errNoEntries
	}
	q := d.queues[queue]
	q.pkts, q.n, q.bytes, q.errno = pkts, 0, 0, 0
	err := q.conn.Read(q.fill)
	q.pkts = nil
	switch {
	case q.n > 0:
		return q.n, nil // an error will come again
	case d.closed.Load():
		return 0, net.ErrClosed
	case q.errno == unix.EBADFD, isGone(q.conn):
		return 0, ErrGone
	case err == nil:
		err = q.errno
	}
	return 0, fmt.Errorf("tun: read %s: %w", d.name, err)
}

// fillPackets reads a batch into q.pkts. It returns false when there is no packet yet:
// RawConn.Read then waits for one and calls again. All of a batch is read in one call,
// which holds the descriptor. RawSyscall, because the descriptor never blocks: the
// scheduler need not be told.
func (q *linuxQueue) fillPackets(fd uintptr) (done bool) {
	for q.n < len(q.pkts) && q.bytes < batchBytes {
		p := roomy(&q.pkts[q.n])
		b := p.Space(virtioHeaderLen)
		n, errno := rawRead(fd, b)
		switch errno {
		case 0, unix.EINVAL:
			// EINVAL: the kernel threw away a packet that no virtio-net header can
			// describe. It appears as an empty one, which the caller refuses and counts.
			if errno == 0 && n > virtioHeaderLen {
				p.SetLen(n - virtioHeaderLen)
				p.Offload = decodeVirtio(b, b[virtioHeaderLen:n])
				q.bytes += n
			}
			q.n++
		case unix.EAGAIN:
			// To sleep, if there is nothing at all. Looking again a few times before, with
			// Gosched in between, was measured twice: no more throughput than by reading in
			// batches, for a tenth more processor time.
			return q.n > 0
		case unix.EINTR:
		default:
			q.errno = errno
			return true
		}
	}
	return true
}

func (d *linuxDevice) Write(queue int, pkts []*packet.Packet) (int, error) {
	q := d.queues[queue]
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.fd == noDescriptor {
		return 0, net.ErrClosed
	}
	allowed := packet.Features(d.coalesce.Load())
	for done := 0; done < len(pkts); {
		batch := pkts[done:min(done+coalesceBatch, len(pkts))]
		var n int
		var err error
		if allowed != 0 && worthwhile(batch) {
			n, err = d.writeCoalesced(q.fd, batch, allowed)
		} else {
			n, err = d.writeEach(q.fd, batch)
		}
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(pkts), nil
}

// writeEach writes packets as they are.
func (d *linuxDevice) writeEach(fd uintptr, pkts []*packet.Packet) (int, error) {
	for i, p := range pkts {
		if err := d.writeOne(fd, p); err != nil {
			return i, err
		}
	}
	return len(pkts), nil
}

// writeOne writes a packet as it is.
func (d *linuxDevice) writeOne(fd uintptr, p *packet.Packet) error {
	if !acceptable(p, d.features) {
		return ErrRefused
	}
	b := p.Prefixed(virtioHeaderLen)
	encodeVirtio(b, p.Offload)
	if errno := rawWrite(fd, b); errno != 0 {
		return writeError(errno)
	}
	return nil
}

// writeError says what errno means for a packet written to a TUN descriptor.
func writeError(errno syscall.Errno) error {
	switch errno {
	case unix.EIO:
		return ErrDown
	case unix.EINVAL:
		return ErrRefused
	case unix.EBADFD:
		return ErrGone
	case unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		return ErrFull
	}
	return errno
}

func (d *linuxDevice) Close() error {
	var err error
	d.closeOnce.Do(func() {
		d.closed.Store(true)
		if d.link != nil {
			d.link.close()
		}
		// Closing the last descriptor destroys the device, which takes the kernel some
		// 20 ms: wake all readers before.
		for _, q := range d.queues {
			_ = q.file.SetReadDeadline(time.Unix(1, 0))
		}
		for _, q := range d.queues {
			q.mu.Lock()
			q.fd = noDescriptor
			q.mu.Unlock()
			err = errors.Join(err, q.file.Close())
		}
	})
	return err
}

// rawRead is read(2) without telling the scheduler.
func rawRead(fd uintptr, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

// rawWrite is write(2) without telling the scheduler. A TUN takes a packet whole.
func rawWrite(fd uintptr, b []byte) syscall.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// describeFeatures lists features in words.
func describeFeatures(f packet.Features) string {
	var words []string
	for _, w := range [...]struct {
		bit  packet.Features
		name string
	}{
		{packet.FeatureChecksum, "checksum"},
		{packet.FeatureTSO4, "tso4"},
		{packet.FeatureTSO6, "tso6"},
		{packet.FeatureUSO, "uso"},
	} {
		if f&w.bit != 0 {
			words = append(words, w.name)
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}
