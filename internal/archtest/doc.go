// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package archtest keeps the architecture true: its test fails when the source breaks one of the rules below. The rules
// that matter most are Go tests, so that they also run where no linter does.
//
//   - A package belongs to a room, and imports only what the room's row in [Rooms] allows, on every system we build for.
//     Arrows point down the table only.
//   - What embedders link stays light: see [Embedded].
//   - Exported signatures outside netstack hold no types of gVisor.
//   - Every package has a doc.go with the package comment.
//   - Every Go file begins with the licence.
//   - Every conformance case, 1 to [LastCase], has a test that is called for its number.
//   - No package is called util, common or the like: a package is named for what it does.
//
// The package holds the rules as data (rooms.go) and the checks as functions of what they look at (check.go, source.go);
// the test applies them to this module. Nothing imports it. It does not judge style; gofmt, vet and staticcheck do.
package archtest
