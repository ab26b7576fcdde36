// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

// Package integration tests hooknet against the kernel and real programs: every test builds a network of namespaces, TUN
// devices and instances of its own (package testbed), and lets ping, traceroute, iperf3, curl, dig and tshark use it.
//
// Tests that lack root or a program are skipped and name it; with HOOKNET_REQUIRE=1 in the environment they fail. The Debian
// packages are iputils-ping, traceroute, iperf3, curl, bind9-dnsutils, dnsmasq-base and tshark.
//
// Some tests are the programs themselves, with packets that no kernel sends: TestMalformed and its like, TestSuperpacketThroughTUNs,
// and TestConformance, which sends them through hooknet and through the kernel's own router, for every line of what a router
// must do. Where the two differ is in docs/linux-differences.md. TestSoakRouter does all kinds of things at once ("make soak").
//
// BenchmarkThroughput and BenchmarkERTT give end-to-end figures; in full, on a machine that does nothing else:
//
//	go test -run '^$' -bench Throughput -benchtime 1x ./integration -throughput.rounds 10 -throughput.duration 3s
//
// There is nothing to import here.
package integration
