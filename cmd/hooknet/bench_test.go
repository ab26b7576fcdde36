// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestBenchUsage(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no rounds":         {[]string{"--rounds=0"}, "--rounds 0: expected more than 0"},
		"negative duration": {[]string{"--duration=-1s"}, "--duration -1s: expected more than 0"},
		"short duration":    {[]string{"--duration=1ms"}, "measurements of 1ms: expected at least 10ms"},
		"no packets":        {[]string{"--udp-rate=0"}, "--udp-rate 0: expected more than 0"},
		"no such path":      {[]string{"--paths=hooknet,linux"}, `no path "linux": there are kernel, splice`},
		"no such test":      {[]string{"--tests=http"}, `no test "http": there are tcp1, tcp4`},
		"nothing":           {[]string{"--paths=hooknet-mq", "--tests=ping"}, "nothing to measure"},
		"picture of ping":   {[]string{"--svg=x.svg", "--tests=ping,udp64"}, "--svg x.svg shows TCP, and --tests ping,udp64 are without"},
		"arguments":         {[]string{"tcp1"}, `unknown command "tcp1"`},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := runHere(t, append([]string{"bench", "router"}, test.args...)...)
			if exitStatus(err) != statusUsage || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("exit status %d, stdout %q, stderr %q; want 2, nothing, and %q", exitStatus(err), stdout, stderr, test.want)
			}
		})
	}
}

func TestBenchElsewhere(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("for systems without network namespaces")
	}
	_, stderr, err := runHere(t, "bench", "router")
	if exitStatus(err) != statusFailure || !strings.Contains(stderr, "the benchmark needs Linux") {
		t.Errorf("exit status %d, %q; want 1, and that it needs Linux", exitStatus(err), stderr)
	}
}
