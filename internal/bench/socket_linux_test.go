// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hooknet/hooknet/internal/hostnet/hostnettest"
)

// What TCP is measured with does not depend on the machine. It once was the machine's own congestion control, and where that
// was bbr, the timers were measured by which it paces.
func TestCongestion(t *testing.T) {
	s, err := openSocket(hostnettest.Namespace(t), unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, name := range []string{"reno", "cubic"} {
		if err := s.setCongestion(name); err != nil {
			t.Fatal(err)
		}
		got, err := unix.GetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil || got != name {
			t.Errorf("congestion control %q, %v; want %s", got, err, name)
		}
	}
	err = s.setCongestion("slowest")
	for _, words := range []string{`"slowest"`, "expected one of", "reno"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %q in it", err, words)
		}
	}
}
