#!/usr/bin/env bash
# Copyright 2026 The hooknet Authors
# SPDX-License-Identifier: Apache-2.0
#
# Runs every fuzz target, one after the other, for T each (default 30s), with the checks of internal/invariant. FUZZ, a regular
# expression, chooses some.
# What makes a target fail is left in its package's testdata/fuzz, to be committed with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

# go test -list prints the names in a package, then the line of the package.
targets=$(go test -list '^Fuzz' ./... | awk -v choice="${FUZZ:-}" '
	/^Fuzz/ { names[++n] = $1; next }
	/^ok/ { for (i = 1; i <= n; i++) if (names[i] ~ choice) print names[i], $2 }
	{ n = 0 }')
if [[ -z $targets ]]; then
	echo "no fuzz target matches '${FUZZ:-}'" >&2
	exit 1
fi

failed=0
while read -r name package; do
	echo "== $package $name (${T:-30s})"
	go test -tags=invariant -run='^$' -fuzz="^$name\$" -fuzztime="${T:-30s}" -fuzzminimizetime=2s "$package" </dev/null || failed=1
done <<<"$targets"
exit $failed
