// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package rootless

import "io"

// Program is what Rerun runs: this executable, with these arguments and streams. Streams that are an *os.File are passed
// on as they are, so that the program can see a terminal; a nil stream is the null device.
type Program struct {
	Args           []string // without the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}
