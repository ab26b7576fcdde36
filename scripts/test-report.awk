# Copyright 2026 The hooknet Authors
# SPDX-License-Identifier: Apache-2.0
#
# Reads the output of go test -v. Prints all of it (verbose=1), or a line per package with the output of those that
# failed. Then names the tests that were skipped and why, and those that took more than limit seconds, which make it
# fail, and closes with the counts. What only the race detector keeps from being judged has to pass without it, in
# another run: then it was not skipped, else it makes the report fail.

verbose { print; fflush() }

# Lines that a test logs follow one of these with its name. The last of them is the reason it was skipped.
/^=== (RUN|NAME|CONT) / { current = $3 }
/^ +[^ ]+\.go:[0-9]+: / {
	reason[current] = $0
	sub(/^ +[^ ]+\.go:[0-9]+: /, "", reason[current])
}

# The results of tests. Those of subtests are indented; only their skips are looked at.
/^ *--- SKIP: / { skips[++shown] = $3; why[shown] = reason[$3] }
/^ *--- PASS: / { passes[$3] = 1 }
/^--- (PASS|FAIL|SKIP): / {
	if ($2 == "PASS:") passed++
	if ($2 == "FAIL:") failed++
	if ($2 == "SKIP:") skipped++
	seconds = substr($4, 2) + 0
	if (seconds > limit) slow[++slows] = $3 " took " seconds " s"
}

# The last line of a package.
/^ok  \t/ {
	if (!verbose) print
	held = ""
	fflush()
	next
}
/^\?   \t/ || /^\t.*coverage: / {
	held = ""
	next
}
/^FAIL\t/ {
	if (!verbose) print held $0
	held = ""
	broken = 1
	fflush()
	next
}

# What is left is held until it is known whether the package failed.
/^=== / || /^ *--- PASS: / || /^PASS$/ || /^FAIL$/ { next }
{ held = held $0 "\n" }

END {
	if (!verbose) printf "%s", held
	for (i = 1; i <= shown; i++) {
		test = skips[i]
		line = "  " test ": " why[i] "\n"
		if (why[i] !~ /race/) left = left line
		else if (!(test in passes)) unjudged = unjudged line
		else if (test !~ /\//) skipped--
	}
	if (left) printf "\nskipped:\n%s", left
	if (unjudged) printf "\nnever run without the race detector (scripts/test.sh chooses by name):\n%s", unjudged
	if (slows) print "\nlonger than " limit " s (make it a soak test, or shorter):"
	for (i = 1; i <= slows; i++) print "  " slow[i]
	printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped
	if (broken && !failed) print "a package failed outside its tests: see above"
	exit (slows || broken || unjudged) ? 1 : 0
}
