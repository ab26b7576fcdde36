// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

var requirements6, requirementsHost, requirementsHooks []requirement
