// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/hooknet/hooknet/hooks"
	"github.com/hooknet/hooknet/integration/testbed"
	"github.com/hooknet/hooknet/packet"
	"github.com/hooknet/hooknet/tun"
)

// A queueWatch is a device that notes by which of its queues the packets of a TCP connection come and go.
type queueWatch struct {
	tun.Device

	mu   sync.Mutex
	seen map[uint16]map[queueUse]int // guarded by mu; packets, by the client's port
}

// A queueUse is a direction and a queue.
type queueUse struct {
	written bool
	queue   int
}

func (d *queueWatch) Read(queue int, pkts []*packet.Packet) (int, error) {
	n, err := d.Device.Read(queue, pkts)
	for _, p := range pkts[:n] {
		if p.Parse() == hooks.ReasonNone { // the instance does so again
			d.note(p, queueUse{written: false, queue: queue})
		}
	}
	return n, err
}

func (d *queueWatch) Write(queue int, pkts []*packet.Packet) (int, error) {
	for _, p := range pkts {
		d.note(p, queueUse{written: true, queue: queue})
	}
	return d.Device.Write(queue, pkts)
}

// serverPort is the one port that is not the client's.
const serverPort = 7007

func (d *queueWatch) note(p *packet.Packet, use queueUse) {
	client, ok := p.SourcePort()
	if client == serverPort {
		client, ok = p.DestinationPort()
	}
	if !ok || p.TransportProtocol() != 6 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = make(map[uint16]map[queueUse]int)
	}
	if d.seen[client] == nil {
		d.seen[client] = make(map[queueUse]int)
	}
	d.seen[client][use]++
}

// take returns what was noted since the last call.
func (d *queueWatch) take() map[uint16]map[queueUse]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.seen
	d.seen = nil
	return seen
}

// Both directions of a flow stay on one queue of each device, so that its packets do not overtake each other: the kernel's first
// choice is a hash that is the same for both, worker k writes to queue k of the way out, and the kernel puts the answers where
// the packets came from (tun_flow_update in drivers/net/tun.c). With unequal numbers of queues m and n the same holds from the
// first answer on, for the first queues of the shares that both devices can tell apart: gcd(m, n) of them.
func TestFlowAffinity(t *testing.T) {
	testbed.Require(t, testbed.Root, testbed.TUN)
	const flows = 48 // so that some are on each queue
	for _, queues := range [][2]int{{1, 1}, {2, 2}, {4, 4}, {1, 3}, {2, 3}, {2, 4}, {4, 2}, {6, 4}} {
		t.Run(fmt.Sprintf("%d and %d queues", queues[0], queues[1]), func(t *testing.T) {
			shares := gcd(queues[0], queues[1])
			var watch [2]queueWatch
			link := func(i int) testbed.LinkConfig {
				return testbed.LinkConfig{Queues: queues[i], Wrap: func(dev tun.Device) tun.Device {
					watch[i].Device = dev
					return &watch[i]
				}}
			}
			r := testbed.NewRouter(t, testbed.RouterConfig{Left: link(0), Right: link(1)})
			address := net.JoinHostPort(testbed.Blue4, fmt.Sprint(serverPort))
			echoStreams(t, r.Blue.Listen(t, "tcp", address))
			var conns []net.Conn
			for range flows {
				conn, err := r.Red.Dial(t.Context(), "tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			exchange(t, conns, 1)
			for i := range watch {
				watch[i].take()
			}
			exchange(t, conns, 1<<17)
			var seen [2]map[uint16]map[queueUse]int
			for i := range watch {
				seen[i] = watch[i].take()
			}
			used := make(map[int]int)
			for _, conn := range conns {
				port := uint16(conn.LocalAddr().(*net.TCPAddr).Port)
				_ = conn.Close()
				home := -1 // the share of the connection
				for i := range watch {
					if len(seen[i][port]) != 2 {
						t.Errorf("connection from port %d, device %d: packets of %v; want one queue for each direction", port, i, seen[i][port])
					}
					for use := range seen[i][port] {
						each := queues[i] / shares
						if home < 0 {
							home = use.queue / each
							used[home]++
						}
						if use.queue != home*each {
							t.Errorf("connection from port %d, device %d: %+v, want queue %d", port, i, use, home*each)
						}
					}
				}
			}
			t.Logf("connections by share: %v", used)
			if len(used) != shares {
				t.Errorf("the connections are on %d shares of the queues, want %d: %v", len(used), shares, used)
			}
		})
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// exchange sends n bytes by each connection and reads the echo.
func exchange(t *testing.T, conns []net.Conn, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() {
			wg.Go(func() {
				if _, err := conn.Write(make([]byte, n)); err != nil {
					t.Error(err)
				}
			})
			if _, err := io.ReadFull(conn, make([]byte, n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// echoStreams answers what comes with the same, until the end of the test.
func echoStreams(t *testing.T, l net.Listener) {
	t.Helper()
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { // ends with the client
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		clients.Wait()
	})
}
