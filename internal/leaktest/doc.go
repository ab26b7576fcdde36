// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package leaktest is the TestMain of packages whose tests run instances: it looks for what outlives the tests. It is for
// _test.go files only.
package leaktest
