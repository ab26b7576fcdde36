// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package terminal lays out text for people: in colour where there are colours, in columns, in lines that a terminal of
// 80 columns holds, with numbers in words. It writes nothing itself and asks nobody what kind of terminal there is.
package terminal
