// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package baseline holds the paths that hooknet is measured against. The product does
// not use it; "hooknet bench" and the tests of the end-to-end figures do.
//
// [Splice] is the practical limit: it copies packets between two TUN devices and does
// nothing else, not even look at them. It shares no code with package tun, which is
// what is being measured.
//
// [GVisor] is what one gets who uses gVisor's own forwarding for the same job, as it
// comes or tuned.
package baseline
