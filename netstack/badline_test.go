// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hooknet/hooknet/hooks/khelp"
	"github.com/hooknet/hooknet/netstack"
	"github.com/hooknet/hooknet/netstack/ertt"
	"github.com/hooknet/hooknet/tun"
)

// TCP over a line with every fault: what is sent arrives, and the helpers see retransmissions and plausible round-trip times.
func TestTCPOnABadLine(t *testing.T) {
	bad := tun.Faults{
		Loss: 0.01, Corrupt: 0.01, Duplicate: 0.01, Reorder: 0.02, Hold: 3 * time.Millisecond,
		Delay: time.Millisecond, Jitter: 500 * time.Microsecond, Rate: 20e6,
	}
	near, far := pairOfHosts(t, 0, tun.FaultConfig{Read: bad, Write: bad, Seed: 1})
	echoTCP(t, far, ":7")
	times, err := near.Helpers().Load(ertt.Helper(ertt.Config{}))
	if err != nil {
		t.Fatal(err)
	}
	again, err := near.Helpers().Load(countResent)
	if err != nil {
		t.Fatal(err)
	}
	c, err := near.Dial(t.Context(), "tcp", "10.0.1.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(25 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(sent)
	wrote := make(chan error)
	go func() { // ends with the connection
		_, err := c.Write(sent)
		wrote <- err
	}()
	got := make([]byte, len(sent))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Errorf("after %d bytes: %v", n, err)
		_ = c.Close()
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got, sent) {
		t.Error("other bytes came back")
	}
	flows := 0
	if err := near.EachFlow(func(client, _ *netstack.FlowEnd) {
		flows++
		data, resent := khelp.Get[ertt.Data](client, times.ID()), khelp.Get[resent](client, again.ID())
		t.Logf("RTT %v, %v to %v; %d segments, %d again", data.RTT, data.MinRTT, data.MaxRTT, client.Segments, resent.segments)
		if data.MinRTT < 2*bad.Delay || data.MinRTT > data.RTT || data.RTT > data.MaxRTT || data.TimestampErrors > 0 {
			t.Errorf("%+v", *data)
		}
		if resent.segments == 0 {
			t.Error("nothing was sent again")
		}
	}); err != nil || flows != 1 {
		t.Errorf("%d flows, %v", flows, err)
	}
}
