// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hooknet/hooknet/packet"
)

// width is that of the terminals that the report is made for, in columns.
const width = 80

// WriteText writes the report for a person. No line is longer than 80 columns.
func (r *Report) WriteText(w io.Writer, colour bool) error {
	t := &text{colour: colour}
	t.topology(r)
	t.checks(r)
	t.hooks(r)
	t.drops(r)
	t.throughput(r)
	t.verdict(r)
	_, err := io.WriteString(w, t.String())
	return err
}

// A text is a report being written.
type text struct {
	strings.Builder
	colour bool
}

// Select Graphic Rendition, ECMA-48 section 8.3.117.
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// paint returns s in a colour, if there are colours.
func (t *text) paint(sgr, s string) string {
	if !t.colour || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

func (t *text) line(format string, args ...any) {
	t.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (t *text) heading(s, note string) {
	t.line("\n%s  %s", t.paint(bold, s), t.paint(dim, note))
}

// left and right pad s to a number of columns.
func left(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(s)))
}

func right(s string, columns int) string {
	return strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(s))) + s
}

// topology draws the network.
func (t *text) topology(r *Report) {
	const host, router = 15, 26
	wire := strings.Repeat("─", 6)
	box := func(columns int, open, shut string) string {
		return t.paint(dim, open+strings.Repeat("─", columns)+shut)
	}
	edges := func(open, shut string) {
		t.line("  %s%8s%s%8s%s", box(host, open, shut), "", box(router, open, shut), "", box(host, open, shut))
	}
	bar := t.paint(dim, "│")
	row := func(a, between, b, c string) {
		t.line("  %s%s%s%s%s%s%s%s%s%s%s", bar, a, bar, t.paint(dim, between), bar, b, bar, t.paint(dim, between), bar, c, bar)
	}
	pad := func(s string, columns int) string { return left(" "+s, columns) }

	t.line("")
	edges("┌", "┐")
	row(t.paint(red+";"+bold, pad("red", host)), "  tun0  ",
		t.paint(bold, pad("router", router)), t.paint("34;"+bold, pad("blue", host)))
	row(pad("kernel TCP/IP", host), left("", 8), pad("hooknet", router), pad("kernel TCP/IP", host))
	for _, f := range families {
		between := strings.Repeat(" ", 8)
		if f == packet.Inet {
			between = " " + wire + " "
		}
		row(pad(redHost.of(f).String(), host), between,
			pad(left(redSide.of(f).String(), 13)+blueSide.of(f).String(), router), pad(blueHost.of(f).String(), host))
	}
	edges("└", "┘")
	for _, f := range r.Topology.Interfaces[:min(1, len(r.Topology.Interfaces))] {
		t.line("  %s", t.paint(dim, fmt.Sprintf("MTU %d; %s", f.MTU, f.Device)))
	}
	t.line("  %s", t.paint(dim, fmt.Sprintf("nowhere: %s. A hook makes a service of it, on blue's port %d.", both(r.Topology.Service), serverPort)))
}

func both(list []netip.Addr) string {
	var words []string
	for _, a := range list {
		words = append(words, a.String())
	}
	return strings.Join(words, " and ")
}

// checks lists what was tried.
func (t *text) checks(r *Report) {
	t.heading("Traffic", "real TCP/IP between the namespaces")
	name := ""
	for _, c := range r.Checks {
		mark := t.paint(green, "✓")
		if !c.OK {
			mark = t.paint(red, "✗")
		}
		shown := c.Name
		if shown == name {
			shown = ""
		}
		name = c.Name
		lead := fmt.Sprintf("  %s %s %s ", mark, left(shown, 9), left(familyWord(c.Family), 5))
		if c.OK {
			t.wrapped(lead, 20, c.Seen)
			continue
		}
		t.wrapped(lead, 20, "expected: "+c.Expected)
		t.wrapped(strings.Repeat(" ", 20), 20, "seen:     "+c.Seen)
	}
}

// wrapped writes a lead that is indent columns wide, and s in what is left of the lines.
func (t *text) wrapped(lead string, indent int, s string) {
	for _, line := range wrap(s, width-indent) {
		t.line("%s%s", lead, line)
		lead = strings.Repeat(" ", indent)
	}
}

// wrap breaks s into lines, between words if it can.
func wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for utf8.RuneCountInString(word) > columns {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:columns])), string(runes[columns:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= columns:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

func familyWord(family string) string {
	if f, ok := packet.FamilyByName(family); ok {
		return common[f]
	}
	return ""
}

// hooks shows the hook statistics, the families side by side.
func (t *text) hooks(r *Report) {
	type key struct {
		event, hook, does string
		position          int
	}
	var order []key
	hits := make(map[key]map[string]uint64)
	for _, h := range r.Hooks {
		k := key{h.Event, h.Hook, h.Does, h.Position}
		if hits[k] == nil {
			order = append(order, k)
			hits[k] = make(map[string]uint64)
		}
		hits[k][h.Family] += h.Hits
	}
	t.heading("Hooks", "hits by family: inet is IPv4, inet6 is IPv6")
	columns := func(event, position, hook, inet, inet6, does string) string {
		return "  " + left(event, 12) + "  " + right(position, 3) + "  " + left(hook, 13) + " " +
			right(inet, 9) + " " + right(inet6, 7) + "  " + left(does, 0)
	}
	t.line("%s", t.paint(dim, columns("event", "pos", "hook", "inet", "inet6", "what it does")))
	event := ""
	for _, k := range order {
		shown := k.event
		if shown == event {
			shown = ""
		}
		event = k.event
		t.line("%s", columns(shown, fmt.Sprint(k.position), k.hook,
			count(hits[k][packet.Inet.String()]), count(hits[k][packet.Inet6.String()]), k.does))
	}
}

// drops says what was dropped and why.
func (t *text) drops(r *Report) {
	t.heading("Dropped", "every packet that did not go on, by reason")
	if len(r.Drops) == 0 {
		t.line("  nothing")
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Drops)) {
		t.wrapped("  "+left(reason, 19)+right(count(r.Drops[reason]), 6)+"  ", 29, because[reason])
	}
}

// because says why the demonstration has packets dropped.
var because = map[string]string{
	packet.ReasonName(packet.ReasonHook):       fmt.Sprintf("\"firewall\": nobody gets to port %d", blockedPort),
	packet.ReasonName(packet.ReasonTTLExpired): "sent with TTL 1; the router told the sender",
}

// throughput compares the ways with and without a router.
func (t *text) throughput(r *Report) {
	t.heading("Throughput", fmt.Sprintf("TCP, one stream, MTU %d, %g s each, %s", mtu, r.TransferSeconds, r.System))
	most := max(r.ThroughputBPS, r.DirectBPS)
	for _, way := range []struct {
		name, colour string
		bps          float64
	}{
		{"through hooknet", green, r.ThroughputBPS},
		{"veth, no router", cyan, r.DirectBPS},
	} {
		t.line("  %s  %s  %s", left(way.name, 15), t.paint(way.colour, left(barOf(way.bps, most, 43), 43)), right(bitRate(way.bps), 14))
	}
	if r.Packets.Largest > 0 {
		t.line("  %s", t.paint(dim, fmt.Sprintf("%s forwarded; the largest packet had %s bytes and was never cut",
			size(int(r.Packets.Bytes)), count(r.Packets.Largest))))
	}
}

// barOf draws a part of a whole with a resolution of an eighth of a column.
func barOf(part, whole float64, columns int) string {
	if whole <= 0 {
		return ""
	}
	eighths := int(part/whole*float64(columns*8) + 0.5)
	bar := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		bar += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return bar
}

func (t *text) verdict(r *Report) {
	if r.OK {
		t.line("\n%s", t.paint(green+";"+bold, fmt.Sprintf("All %d checks passed in %.1f s. Nothing is left behind.", len(r.Checks), r.Seconds)))
		return
	}
	t.line("\n%s", t.paint(red+";"+bold, fmt.Sprintf("%d of %d checks failed in %.1f s. Nothing is left behind.", r.Failed(), len(r.Checks), r.Seconds)))
}
