// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package soaktest tells the tests called TestSoak... how long to go on: for long under "make soak", which sets HOOKNET_SOAK,
// for seconds or not at all otherwise. It is for _test.go files only.
package soaktest
