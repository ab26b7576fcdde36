// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package netstack_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/hooknet/hooknet/netstack"
)

// RFC 1122 section 4.1.3.3: a port unreachable reaches the socket that asked for it, also one that is waiting in Read.
func TestUDPRefused(t *testing.T) {
	r := newRouter(t, netstack.Config{})
	for _, host := range []string{a4.String(), b6.String(), "127.0.0.1", "::1"} {
		c, err := r.Dial(t.Context(), "udp", net.JoinHostPort(host, "9"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Error(err)
		}
		read := make(chan error)
		go func() { // ends with the error
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			t.Error(err)
		}
		if err := <-read; !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want ECONNREFUSED", host, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
