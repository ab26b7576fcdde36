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
	t.flows(r)
	t.nicEvents(r)
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
	blue  = "34"
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
	const host, router, gap = 15, 24, 8 // columns inside the boxes and between them
	edge := func(open, shut string) {
		box := func(columns int) string { return open + strings.Repeat("─", columns) + shut }
		space := strings.Repeat(" ", gap)
		t.line("  %s", t.paint(dim, box(host)+space+box(router)+space+box(host)))
	}
	row := func(colours [3]string, words [3]string, between string, joints [2]string) {
		cell := func(k, columns int) string { return t.paint(colours[k], left(" "+words[k], columns)) }
		link := t.paint(dim, joints[1]+left(between, gap)+joints[0])
		t.line("  %s%s%s%s%s%s%s", t.paint(dim, "│"), cell(0, host), link, cell(1, router), link, cell(2, host), t.paint(dim, "│"))
	}
	plain, wall, wire := [3]string{}, [2]string{"│", "│"}, [2]string{"┤", "├"}

	t.line("")
	edge("┌", "┐")
	row([3]string{red + ";" + bold, bold, blue + ";" + bold}, [3]string{"red", "router", "blue"}, "  "+deviceName, wall)
	row(plain, [3]string{"kernel TCP/IP", "hooknet", "kernel TCP/IP"}, "", wall)
	for _, f := range families {
		between, joints := "", wall
		if f == packet.Inet {
			between, joints = strings.Repeat("─", gap), wire
		}
		words := [3]string{redHost.of(f).String(), left(redSide.of(f).String(), 13) + blueSide.of(f).String(), blueHost.of(f).String()}
		row(plain, words, between, joints)
	}
	edge("└", "┘")
	if len(r.Topology.Interfaces) > 0 { // both are alike
		f := r.Topology.Interfaces[0]
		t.line("  %s: MTU %d, %s", deviceName, f.MTU, strings.TrimPrefix(f.Device, deviceName+": "))
	}
	t.wrapped("  ", 2, fmt.Sprintf("Nobody has %v or %v; hooks make them a service that blue runs.",
		service.inet.Addr(), service.inet6.Addr()))
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
		const indent = 24
		lead := fmt.Sprintf("  %s %s  %s  ", mark, left(shown, 12), left(common[c.Family], 4))
		if c.OK {
			t.wrapped(lead, indent, c.Seen)
			continue
		}
		t.wrapped(lead, indent, "expected: "+c.Expected)
		t.wrapped(strings.Repeat(" ", indent), indent, "seen: "+c.Seen)
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

// common is what people call the families.
var common = map[string]string{packet.Inet.String(): "IPv4", packet.Inet6.String(): "IPv6"}

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
			right(inet, 9) + "  " + right(inet6, 9) + "  " + does
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

// flows shows the round-trip times, of each connection those of the end that has sent more.
func (t *text) flows(r *Report) {
	t.heading("Round-trip times", "of TCP, from the router to the receiver and back")
	columns := func(from, to, bytes, rtt, least, most string) string {
		return "  " + left(from, 20) + left(to, 20) + right(bytes, 8) + right(rtt, 10) + right(least, 10) + right(most, 10)
	}
	t.line("%s", t.paint(dim, columns("sender", "receiver", "bytes", "last", "min", "max")))
	shown := 0
	for _, f := range r.Flows {
		if slices.ContainsFunc(r.Flows, func(o Flow) bool { return o.From == f.To && o.To == f.From && o.Bytes > f.Bytes }) {
			continue
		}
		t.line("%s", columns(f.From.String(), f.To.String(), size(f.Bytes), shortSeconds(f.RTT), shortSeconds(f.MinRTT), shortSeconds(f.MaxRTT)))
		shown++
	}
	if shown == 0 {
		t.line("  none")
	}
}

// nicEvents shows what happened to each interface, a line for each family.
func (t *text) nicEvents(r *Report) {
	t.heading("NIC events", "on the router, as an instance came and went during the transfer")
	if len(r.NICEvents) == 0 {
		t.line("  none")
	}
	type key struct{ family, name string }
	var order []key
	lives := make(map[key][]NICEvent)
	for _, e := range r.NICEvents {
		k := key{e.Family, e.Interface}
		if lives[k] == nil {
			order = append(order, k)
		}
		lives[k] = append(lives[k], e)
	}
	for _, k := range order {
		var words []string
		var said netip.Prefix
		for _, e := range lives[k] {
			word := e.Type
			if e.LIF != 0 && e.Address != said { // once is enough
				said = e.Address
				word += " " + said.String()
			}
			words = append(words, word)
		}
		t.wrapped("  "+left(common[k.family], 4)+"  "+left(k.name, 5)+"  ", 15, strings.Join(words, " → "))
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
	t.heading("Throughput", fmt.Sprintf("one TCP stream from red to blue, %g s each, MTU %d", r.TransferSeconds, mtu))
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
	t.wrapped("  ", 2, fmt.Sprintf("%s forwarded in packets of up to %s bytes, on %s",
		size(r.Packets.Bytes), count(r.Packets.Largest), plural(r.Processors, "processor")))
}

func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
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
	colour, words := green, fmt.Sprintf("All %d checks passed.", len(r.Checks))
	if !r.OK {
		colour, words = red, fmt.Sprintf("%d of %d checks failed.", r.Failed(), len(r.Checks))
	}
	t.line("\n%s It took %.1f s, and nothing is left behind.", t.paint(colour+";"+bold, words), r.Seconds)
}
