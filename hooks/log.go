// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// What a log line takes of a panic's value and stack, in bytes.
const (
	maxLoggedCause = 256
	maxLoggedStack = 4096
)

// panicked returns what a log line says of a panic, from inside the recovering
// function. It formats cause itself: a logger may do it later, when it has
// changed.
func panicked(cause any) slog.Attr {
	text, stack := fmt.Sprint(cause), string(debug.Stack())
	return slog.Group("panic",
		slog.String("value", text[:min(len(text), maxLoggedCause)]),
		slog.String("stack", stack[:min(len(stack), maxLoggedStack)]))
}

// logPanic logs a panic in something called name that belongs to e.
func (e *event) logPanic(message, name string, cause any) {
	e.family.stack.logger.Error(message,
		slog.Uint64("instance", uint64(e.family.stack.instance)),
		slog.String("family", e.family.name),
		slog.String("event", e.name),
		slog.String("name", name),
		panicked(cause))
}
