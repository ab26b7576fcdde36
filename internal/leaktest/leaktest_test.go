// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package leaktest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/hooknet/hooknet/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestLeak leaks what LEAKTEST says, in a process of its own.
func TestLeak(t *testing.T) {
	switch os.Getenv("LEAKTEST") {
	case "goroutine":
		go func() { select {} }()
	case "packet":
		stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte("x"))})
	}
}

func TestOpenFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux tells what is open")
	}
	before := leaktest.OpenFiles()
	file, err := os.Create(filepath.Join(t.TempDir(), "open"))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(append(slices.Clone(before), file.Name())))
	if diff := cmp.Diff(want, leaktest.OpenFiles()); diff != "" {
		t.Errorf("with a file open (-want +got):\n%s", diff)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, leaktest.OpenFiles()); diff != "" {
		t.Errorf("after that (-want +got):\n%s", diff)
	}
}

// Each kind of leak is found, and nothing is found where there is none.
func TestLeaksAreFound(t *testing.T) {
	for leak, want := range map[string]string{"": "", "goroutine": "found unexpected goroutines", "packet": "leaked objects"} {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLeak$")
		c.Env = append(os.Environ(), "LEAKTEST="+leak)
		out, err := c.CombinedOutput()
		if (err == nil) != (leak == "") || !strings.Contains(string(out), want) {
			t.Errorf("leak %q: %v, want %q in\n%s", leak, err, want, out)
		}
	}
}
