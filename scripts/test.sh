#!/usr/bin/env bash
# Copyright 2026 The hooknet Authors
# SPDX-License-Identifier: Apache-2.0
#
# usage: test.sh [PACKAGE ...]      the packages to test, all by default
#
# Runs the tests under the race detector. HOOKNET_REQUIRE=1 makes a test fail that lacks root or a program; it is set
# here if nothing is lacking, so that no test is passed over unseen. With V=1 or CI=true every line of go test is
# printed, else what failed, what was skipped and a line per package.
set -euo pipefail
cd "$(dirname "$0")/.."

# Longer ones are soak tests (make soak), and make the run fail.
seconds_a_test=30

if scripts/test-tools.sh; then
	export HOOKNET_REQUIRE="${HOOKNET_REQUIRE:-1}"
fi

race=-race
if [[ $(go env CGO_ENABLED) != 1 ]]; then # without a C compiler
	echo "the race detector needs cgo and a C compiler (Debian: apt-get install gcc libc6-dev); testing without it" >&2
	race=
fi

verbose=0
if [[ ${CI:-} == true || ${V:-0} == 1 ]]; then
	verbose=1
fi

run() {
	# shellcheck disable=SC2086 # $race may be empty
	go test $race -v -shuffle=on -timeout 10m "$@" 2>&1 </dev/null
}

# judge runs all tests of packages, and again without the race detector those about allocations and memory, which cannot be
# judged with it in the way.
judge() {
	local failed=0
	run "$@" || failed=1
	race= run -run 'Alloc|Memory' "$@" || failed=1
	return $failed
}

# Integration tests come after the others and one package at a time: they measure, and two cores are few.
all() {
	local failed=0 others
	if (($#)); then
		judge -p 1 "$@"
		return
	fi
	others=$(go list ./... | grep -v '/integration\(/\|$\)')
	# shellcheck disable=SC2086 # a list
	judge $others || failed=1
	if [[ -d integration ]]; then
		run -p 1 ./integration/... || failed=1
	fi
	return $failed
}

# Integration tests run these, without the race detector. To build them from nothing takes longer than a test may.
if [[ -d integration ]]; then
	go build ./cmd/hooknet ./integration/splice
fi

all "$@" | awk -v verbose="$verbose" -v limit="$seconds_a_test" -f scripts/test-report.awk
