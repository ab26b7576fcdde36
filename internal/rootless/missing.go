// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless

import (
	"errors"
	"strings"
)

// ErrUnprivileged: this process may not make network namespaces, but nothing is known that would keep Rerun from getting
// it there.
var ErrUnprivileged = errors.New("rootless: no right to make network namespaces")

// A MissingError lists everything that is known to be in the way.
type MissingError struct {
	Missing []Missing `json:"missing"` // at least one
}

// Missing is one thing that is not there or not allowed.
type Missing struct {
	What string   `json:"what"` // "access to /dev/net/tun"
	Seen string   `json:"seen"` // what was tried or read, and what came of it
	Mend []string `json:"mend"` // shell commands; any one of them will do
}

// Error describes all that is missing and how to mend it, on several lines.
func (e *MissingError) Error() string {
	var text strings.Builder
	for k, m := range e.Missing {
		if k > 0 {
			text.WriteString("\n")
		}
		text.WriteString("missing: " + m.What + "\n   seen: " + m.Seen)
		label := "   mend: "
		for _, command := range m.Mend {
			text.WriteString("\n" + label + command)
			label = "     or: "
		}
	}
	return text.String()
}
