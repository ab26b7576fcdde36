// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package leaktest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OpenFiles returns what this process has open, sorted, but for what the Go runtime keeps for itself: paths, and what the
// kernel has in the place of a path, such as "net:[4026531840]" (proc_pid_fd(5)). Systems other than Linux tell nothing.
func OpenFiles() []string {
	const directory = "/proc/self/fd"
	entries, _ := os.ReadDir(directory)
	var files []string
	for _, entry := range entries {
		// One is gone meanwhile: the directory itself.
		if target, err := os.Readlink(filepath.Join(directory, entry.Name())); err == nil && !strings.HasPrefix(target, "anon_inode:") {
			files = append(files, target)
		}
	}
	slices.Sort(files)
	return files
}
