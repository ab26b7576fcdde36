// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package goldentest compares what a test has made with a file that is committed. It is for _test.go files only; "go test
// -update" writes the files anew.
package goldentest
