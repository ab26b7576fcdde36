// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
)

// A progress tells a waiting person what is being done: on one line that is written over on a terminal, else on a line
// for each step.
type progress struct {
	w        io.Writer
	terminal bool
}

func newProgress(env environment) *progress {
	return &progress{env.stderr, isTerminal(env.stderr) && env.getenv("TERM") != "dumb"}
}

func (p *progress) step(what string) {
	if p.terminal {
		p.live(what)
		return
	}
	_, _ = fmt.Fprintf(p.w, "hooknet: %s\n", what)
}

// live says how the step is going, on a terminal.
func (p *progress) live(what string) {
	if p.terminal {
		_, _ = fmt.Fprintf(p.w, "\r%s%s ...", clearLine, what)
	}
}

// done makes room for the result.
func (p *progress) done() {
	if p.terminal {
		_, _ = fmt.Fprint(p.w, "\r"+clearLine)
	}
}

// clearLine erases from the cursor to the end of the line (ECMA-48 section 8.3.41).
const clearLine = "\x1b[K"

// inColour reports whether w shows colours and the user wants them (no-color.org).
func inColour(env environment, w io.Writer) bool {
	return isTerminal(w) && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb"
}
