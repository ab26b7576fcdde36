// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

func thisMachine() Machine {
	m := Machine{
		System:     fmt.Sprintf("%s/%s", runtime.GOOS, runtime.GOARCH),
		Processor:  processorModel(),
		Processors: runtime.NumCPU(),
		Go:         runtime.Version(),
		Hooknet:    "devel",
		GVisor:     "unknown",
		Load:       loadAverage(),
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.System = fmt.Sprintf("Linux %s, %s", unix.ByteSliceToString(name.Release[:]), runtime.GOARCH)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Hooknet = info.Main.Version
		for _, dependency := range info.Deps {
			if dependency.Path == "gvisor.dev/gvisor" {
				m.GVisor = dependency.Version
			}
		}
	}
	return m
}

// processorModel returns what the first processor calls itself, where the kernel tells.
func processorModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, model, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}

// loadAverage returns the load average of the last minute, 0 if it cannot be read.
func loadAverage() (average float64) {
	text, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(text), &average)
	return average
}
