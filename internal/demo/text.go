// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hooknet/hooknet/internal/terminal"
	"github.com/hooknet/hooknet/packet"
)

// WriteText writes the report for a person. No line is longer than 80 columns.
func (r *Report) WriteText(w io.Writer, colour bool) error {
	t := &text{terminal.Text{Colour: colour}}
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
type text struct{ terminal.Text }

func (t *text) heading(s, note string) {
	t.Line("\n%s  %s", t.Paint(terminal.Bold, s), t.Paint(terminal.Dim, note))
}

// topology draws the network.
func (t *text) topology(r *Report) {
	const host, router, gap = 15, 24, 8 // columns inside the boxes and between them
	edge := func(open, shut string) {
		box := func(columns int) string { return open + strings.Repeat("─", columns) + shut }
		space := strings.Repeat(" ", gap)
		t.Line("  %s", t.Paint(terminal.Dim, box(host)+space+box(router)+space+box(host)))
	}
	row := func(colours [3]string, words [3]string, between string, joints [2]string) {
		cell := func(k, columns int) string { return t.Paint(colours[k], terminal.Left(" "+words[k], columns)) }
		link := t.Paint(terminal.Dim, joints[1]+terminal.Left(between, gap)+joints[0])
		t.Line("  %s%s%s%s%s%s%s", t.Paint(terminal.Dim, "│"), cell(0, host), link, cell(1, router), link, cell(2, host), t.Paint(terminal.Dim, "│"))
	}
	plain, wall, wire := [3]string{}, [2]string{"│", "│"}, [2]string{"┤", "├"}

	t.Line("")
	edge("┌", "┐")
	row([3]string{terminal.Red + ";" + terminal.Bold, terminal.Bold, terminal.Blue + ";" + terminal.Bold}, [3]string{"red", "router", "blue"}, "  "+deviceName, wall)
	row(plain, [3]string{"kernel TCP/IP", "hooknet", "kernel TCP/IP"}, "", wall)
	for _, f := range families {
		between, joints := "", wall
		if f == packet.Inet {
			between, joints = strings.Repeat("─", gap), wire
		}
		words := [3]string{redHost.of(f).String(), terminal.Left(redSide.of(f).String(), 13) + blueSide.of(f).String(), blueHost.of(f).String()}
		row(plain, words, between, joints)
	}
	edge("└", "┘")
	if len(r.Topology.Interfaces) > 0 { // both are alike
		f := r.Topology.Interfaces[0]
		t.Line("  %s: MTU %d, %s", deviceName, f.MTU, strings.TrimPrefix(f.Device, deviceName+": "))
	}
	t.wrapped("  ", 2, fmt.Sprintf("Nobody has %v or %v; hooks make them a service that blue runs.",
		service.inet.Addr(), service.inet6.Addr()))
}

// checks lists what was tried.
func (t *text) checks(r *Report) {
	t.heading("Traffic", "real TCP/IP between the namespaces")
	name := ""
	for _, c := range r.Checks {
		mark := t.Paint(terminal.Green, "✓")
		if !c.OK {
			mark = t.Paint(terminal.Red, "✗")
		}
		shown := c.Name
		if shown == name {
			shown = ""
		}
		name = c.Name
		const indent = 24
		lead := fmt.Sprintf("  %s %s  %s  ", mark, terminal.Left(shown, 12), terminal.Left(common[c.Family], 4))
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
	for _, line := range terminal.Wrap(s, terminal.Width-indent) {
		t.Line("%s%s", lead, line)
		lead = strings.Repeat(" ", indent)
	}
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
		return "  " + terminal.Left(event, 12) + "  " + terminal.Right(position, 3) + "  " + terminal.Left(hook, 13) + " " +
			terminal.Right(inet, 9) + "  " + terminal.Right(inet6, 9) + "  " + does
	}
	t.Line("%s", t.Paint(terminal.Dim, columns("event", "pos", "hook", "inet", "inet6", "what it does")))
	event := ""
	for _, k := range order {
		shown := k.event
		if shown == event {
			shown = ""
		}
		event = k.event
		t.Line("%s", columns(shown, fmt.Sprint(k.position), k.hook,
			count(hits[k][packet.Inet.String()]), count(hits[k][packet.Inet6.String()]), k.does))
	}
}

// flows shows the round-trip times, of each connection those of the end that has sent more.
func (t *text) flows(r *Report) {
	t.heading("Round-trip times", "of TCP, from the router to the receiver and back")
	columns := func(from, to, bytes, rtt, least, most string) string {
		return "  " + terminal.Left(from, 20) + terminal.Left(to, 20) + terminal.Right(bytes, 8) + terminal.Right(rtt, 10) + terminal.Right(least, 10) + terminal.Right(most, 10)
	}
	t.Line("%s", t.Paint(terminal.Dim, columns("sender", "receiver", "bytes", "last", "min", "max")))
	shown := 0
	for _, f := range r.Flows {
		if slices.ContainsFunc(r.Flows, func(o Flow) bool { return o.From == f.To && o.To == f.From && o.Bytes > f.Bytes }) {
			continue
		}
		t.Line("%s", columns(f.From.String(), f.To.String(), size(f.Bytes), shortSeconds(f.RTT), shortSeconds(f.MinRTT), shortSeconds(f.MaxRTT)))
		shown++
	}
	if shown == 0 {
		t.Line("  none")
	}
}

// nicEvents shows what happened to each interface, a line for each family.
func (t *text) nicEvents(r *Report) {
	t.heading("NIC events", "on the router, as an instance came and went during the transfer")
	if len(r.NICEvents) == 0 {
		t.Line("  none")
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
		t.wrapped("  "+terminal.Left(common[k.family], 4)+"  "+terminal.Left(k.name, 5)+"  ", 15, strings.Join(words, " → "))
	}
}

// drops says what was dropped and why.
func (t *text) drops(r *Report) {
	t.heading("Dropped", "every packet that did not go on, by reason")
	if len(r.Drops) == 0 {
		t.Line("  nothing")
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Drops)) {
		t.wrapped("  "+terminal.Left(reason, 19)+terminal.Right(count(r.Drops[reason]), 6)+"  ", 29, because[reason])
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
		{"through hooknet", terminal.Green, r.ThroughputBPS},
		{"veth, no router", terminal.Cyan, r.DirectBPS},
	} {
		t.Line("  %s  %s  %s", terminal.Left(way.name, 15), t.Paint(way.colour, terminal.Left(terminal.Bar(way.bps, most, 43), 43)), terminal.Right(bitRate(way.bps), 14))
	}
	t.wrapped("  ", 2, fmt.Sprintf("%s forwarded in packets of up to %s bytes, on %s",
		size(r.Packets.Bytes), count(r.Packets.Largest), terminal.Count(r.Processors, "processor")))
}

func (t *text) verdict(r *Report) {
	colour, words := terminal.Green, fmt.Sprintf("All %d checks passed.", len(r.Checks))
	if !r.OK {
		colour, words = terminal.Red, fmt.Sprintf("%d of %d checks failed.", r.Failed(), len(r.Checks))
	}
	t.Line("\n%s It took %.1f s, and nothing is left behind.", t.Paint(colour+";"+terminal.Bold, words), r.Seconds)
}

// count writes a number with its thousands apart.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for k := len(s) - 3; k > 0; k -= 3 {
		s = s[:k] + "," + s[k:]
	}
	return s
}

// size writes a number of bytes.
func size(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	in, unit := float64(n)/(1<<10), 0
	for in >= 999.5 && unit < 3 { // or %.3g would write it with an exponent
		in /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.3g %ciB", in, "KMGT"[unit])
}

// short writes a duration in the unit that suits it.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func shortSeconds(s float64) string { return short(time.Duration(s * float64(time.Second))) }

// bitRate writes bits per second.
func bitRate(bps float64) string {
	if bps < 1e9 {
		return fmt.Sprintf("%.0f Mbit/s", bps/1e6)
	}
	return fmt.Sprintf("%.2f Gbit/s", bps/1e9)
}
