// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package leaktest looks for what outlives tests: it is the TestMain of packages whose tests run instances, and lists open
// files. It is for _test.go files only.
package leaktest
