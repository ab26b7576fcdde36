// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package tun is where packets enter and leave the process: TUN devices of the
// operating system, and pairs in memory that stand in for them.
//
//	          host                          process
//	---------------------------   ----------------------------------
//	sends to the device     ---->  Read:  many packets for one call
//	receives from it        <----  Write: many packets for one call
//
// The boundary is one small interface, [Device]. Behind it are
//
//   - the Linux driver: virtio-net header (checksums and segmentation are left to
//     whoever needs them, so a packet can be 64 KiB of one TCP stream), segments of
//     a stream put together on write, several queues, batches, no allocation per
//     packet;
//   - the water driver: github.com/songgao/water, wherever that runs; one packet
//     per system call, no offload;
//   - [Pair]: two devices joined in memory, for tests and for cables between
//     instances;
//   - [Fault]: a device with a bad line in front, for tests: delay, loss, and so on.
//
// [Open] chooses between the first two. Those also tell how the host's end of the link is
// doing, if the system lets them ([LinkWatcher]): up or down, its MTU, renamed, moved to another
// namespace, deleted.
//
// # Ownership
//
// A packet belongs to the caller, before and after every call. Write has read all
// it needs when it returns. Read owns the entries it finds in its slice until it
// returns, and may exchange them: afterwards the caller owns what is in the slice,
// and must not use a packet it put there otherwise than through the slice.
//
// # Concurrency
//
// One goroutine reads one queue. Any number may write, to the same queue or to
// different ones. Close may be called at any time, more than once, from anywhere
// but a Read or Write of the same device: it makes blocked readers return
// [net.ErrClosed] at once, waits for the calls in progress to leave the device,
// and only then gives the file descriptors back. The package keeps no goroutines, but for
// those of a [FaultDevice], which its Close waits for.
//
// # What it does not do
//
// It parses no packets: what an AF_PACKET socket on the host throws at a TUN device
// arrives here unchanged, and packet.Parse is the one to refuse it. Only packets that
// were parsed are put together on write. It configures no addresses, routes, MTU or
// link state (internal/hostnet does). It counts nothing, but for what a FaultDevice
// does: errors say what was refused, the caller counts.
package tun
