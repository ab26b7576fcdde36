// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hooknet/hooknet/integration/testbed"
)

// What a router owes its neighbours, line by line, each line with the packets that show it. The same packets go through
// hooknet, on each of its drivers, and through the kernel's own router; where the kernel does something else, linuxDiffers
// says what and why, and docs/linux-differences.md is written from it.

// A requirement is one line of what a router must do.
type requirement struct {
	text  string
	cases []conformance // run by TestConformance
	tests []string      // DIRECTORY.TestName: what takes more than a few packets is tested by a function of its own
	not   string        // why the line cannot be tested, or only in part
}

// requirements is the whole list.
var requirements = slices.Concat(requirements4, requirementsOptions, requirements6, requirementsHost, requirementsLimits, requirementsPathMTU, requirementsHooks)

// A conformance is one case: packets in, and what they have to lead to.
type conformance struct {
	name    string   // the RFC and its section, and what is special about the packet
	in      [][]byte // sent one after the other by the left host
	reverse bool     // by the right host instead

	// want is what both hosts receive, in the words of describe: first all that the left one does, then the right one.
	want []string
	// counted is what hooknet's counters rise by: "delivered", "forwarded", "split" and reasons of drops, in alphabetical
	// order, once for each packet.
	counted string

	whole  []byte // the datagram that in are fragments of
	router string // which of routerKinds; "" is the ordinary one

	// converse is for what takes more than to send some packets: it says itself what it has seen. Nothing is counted.
	converse func(t *testing.T, r *router) []string
	segments bool // it judges the size of TCP segments: not for routers that write superpackets
}

func TestConformance(t *testing.T) {
	for _, system := range systems {
		t.Run(system.name, func(t *testing.T) {
			testbed.Require(t, testbed.Root, testbed.TUN)
			routers := make(map[string]*router)
			for _, kind := range routerKinds {
				routers[kind.name] = system.build(t, kind)
			}
			for _, r := range requirements {
				for _, c := range r.cases {
					if c.segments && routers[c.router].gso {
						continue
					}
					t.Run(c.name, func(t *testing.T) { c.run(t, routers[c.router]) })
				}
			}
		})
	}
}

func (c *conformance) run(t *testing.T, r *router) {
	var seen []received
	var got []string
	var counted string
	if c.converse != nil {
		got = c.converse(t, r)
		for s := range r.ends {
			r.drain(t, side(s)) // what it has not read
		}
		r.counted = r.settle(t)
	} else {
		seen, counted = r.exchange(t, c)
	}
	for _, p := range seen {
		got = append(got, c.describe(p))
	}
	want := c.want
	if r.instance == nil {
		if other, differs := linuxDiffers[c.name]; differs {
			if slices.Equal(got, want) {
				t.Errorf("Linux no longer differs here: take the case out of linuxDiffers")
			}
			want = other.does
		}
	} else if counted != c.counted {
		t.Errorf("counted %q, want %q", counted, c.counted)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", r.system, diff)
		for _, p := range seen {
			t.Logf("%v: %x", p.side, p.bytes)
		}
	}
}

// Every requirement has a case, a test that exists, or a reason; and no case or difference is there twice or for nothing.
func TestRequirementsAreTested(t *testing.T) {
	names := make(map[string]bool)
	for _, r := range requirements {
		if len(r.cases)+len(r.tests) == 0 && r.not == "" {
			t.Errorf("no test: %s", r.text)
		}
		for _, c := range r.cases {
			if names[c.name] {
				t.Errorf("two cases are called %q", c.name)
			}
			names[c.name] = true
			if !slices.ContainsFunc(routerKinds, func(k routerKind) bool { return k.name == c.router }) {
				t.Errorf("%s: there is no router %q", c.name, c.router)
			}
		}
		for _, test := range r.tests {
			directory, name, _ := strings.Cut(test, ".")
			if !testExists(t, directory, name) {
				t.Errorf("%s: there is no %s in %s", r.text, name, directory)
			}
		}
	}
	for name, d := range linuxDiffers {
		if !names[name] {
			t.Errorf("linuxDiffers: there is no case %q", name)
		}
		if d.why == "" {
			t.Errorf("linuxDiffers: %s: no reason", name)
		}
	}
}

// testExists looks for a test function in the sources of a package, by its directory below the module.
func testExists(t *testing.T, directory, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", directory, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(t \*testing\.T\)`)
	return slices.ContainsFunc(files, func(file string) bool {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return function.Match(source)
	})
}
