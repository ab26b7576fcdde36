// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hooknet/hooknet/internal/terminal"
)

// WriteText writes the report for a person. No line is longer than 80 columns.
func (r *Report) WriteText(w io.Writer, colour bool) error {
	t := &text{terminal.Text{Colour: colour}}
	t.heading(r)
	for i := range r.Tests {
		t.test(&r.Tests[i])
	}
	t.verdict(r)
	_, err := io.WriteString(w, t.String())
	return err
}

// A text is a report being written.
type text struct{ terminal.Text }

// wrapped writes words in lines of one colour.
func (t *text) wrapped(sgr, s string) {
	for _, line := range terminal.Wrap(s, terminal.Width) {
		t.Line("%s", t.Paint(sgr, line))
	}
}

// heading says what was measured, and where.
func (t *text) heading(r *Report) {
	m := &r.Machine
	t.Line("%s  %s of %v, IPv4, MTU %d, TCP %s", t.Paint(terminal.Bold, "hooknet bench router"),
		terminal.Count(r.Rounds, "round"), toDuration(r.Duration), r.MTU, r.Congestion)
	t.wrapped(terminal.Dim, fmt.Sprintf("%s, %s; %s; %s; load %.1f before the start",
		m.Processor, terminal.Count(m.Processors, "processor"), m.System, m.Go, m.Load))
}

// columns lines up a name and what is right of it.
func columns(name string, cells ...string) string {
	line := terminal.Left(name, 15)
	for i, cell := range cells {
		line += terminal.Right(cell, [...]int{10, 15, 11, 10, 12}[i])
	}
	return line
}

// barColumns is what columns with four cells leaves of a line for a bar, and two columns in front of it.
const barColumns = terminal.Width - 61 - 2

// test writes the table of a test, a line for each path.
func (t *text) test(result *TestResult) {
	t.Line("")
	t.Line("%s", t.Paint(terminal.Bold, result.What))
	cells := []string{"median", "quartiles", "to splice"}
	switch result.kind {
	case tcpTest:
		cells[0] = "Gbit/s"
		cells = append(cells, "CPUs")
	case udpTest:
		cells[0] = "µs/packet"
		cells = append(cells, "lost", "packets/s")
	default:
		cells[0] = "µs"
		cells = append(cells, "p99", "unanswered")
	}
	t.Line("%s", t.Paint(terminal.Dim, columns("", cells...)))
	most := 0.0
	for _, p := range result.Results {
		most = max(most, p.Figures[result.main].Median)
	}
	for _, p := range result.Results {
		cells := []string{"n/a", "", ""}
		if f, known := p.Figures[result.main]; known {
			cells[0], cells[1] = short(f.Median), short(f.Low)+" - "+short(f.High)
		}
		if ratio, known := result.Ratio[p.Path+"/"+splicePath]; known {
			cells[2] = strconv.FormatFloat(ratio, 'f', 2, 64)
		}
		bar := ""
		switch result.kind {
		case tcpTest:
			busy := "n/a"
			if f, known := p.Figures[CPU]; known {
				busy = strconv.FormatFloat(f.Median, 'f', 2, 64)
			}
			cells = append(cells, busy)
			bar = "  " + t.Paint(colourOf(p.Path), terminal.Bar(p.Figures[Throughput].Median, most, barColumns))
		case udpTest:
			cells = append(cells, percent(p.Figures[Loss].Median), strconv.FormatFloat(p.Figures[Offered].Median, 'f', 0, 64))
		default:
			cells = append(cells, short(p.Figures[RTT99].Median), percent(p.Figures[Unanswered].Median))
		}
		t.Line("%s%s", columns("  "+p.Path, cells...), bar)
	}
}

// verdict sums up what the figures come to, and how far they can be believed.
func (t *text) verdict(r *Report) {
	t.Line("")
	for i := range r.Tests {
		result := &r.Tests[i]
		var words []string
		for _, pair := range headlines {
			if ratio, known := result.Ratio[pair[0]+"/"+pair[1]]; known && result.kind == tcpTest {
				words = append(words, fmt.Sprintf("%s %s of %s", pair[0], short(ratio), pair[1]))
			}
		}
		if len(words) > 0 {
			t.wrapped(terminal.Bold, result.What+": "+strings.Join(words, ", "))
		}
	}
	t.wrapped(terminal.Dim, fmt.Sprintf(`Ratios are medians of the ratios within each round; quartiles are of the rounds' figures. CPUs and µs/packet are
		processor time of the router's process, what the kernel does in its name included; nobody knows it of the kernel's own
		forwarding. Order of the paths: seed %d. It took %v.`, r.Seed, toDuration(r.Seconds).Round(time.Second)))
	if m := &r.Machine; m.Load > float64(m.Processors)/2 {
		t.wrapped(terminal.Dim, fmt.Sprintf("The machine was busy before the start (load %.1f): expect noise.", m.Load))
	}
	if len(r.Unjudged) > 0 {
		t.wrapped(terminal.Dim, "Whether the baselines are fast enough was not looked at: "+strings.Join(r.Unjudged, " and ")+" not measured with 1 stream of TCP.")
	}
	if r.Void != "" {
		t.Line("")
		t.wrapped(terminal.Red+";"+terminal.Bold, "VOID: "+r.Void)
	}
}

// colourOf returns the colour of a path's bar.
func colourOf(path string) string {
	if strings.HasPrefix(path, hooknetPath) {
		return terminal.Green
	}
	return terminal.Cyan
}

// short writes a number with three digits that count.
func short(x float64) string {
	switch {
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// percent writes a part of one.
func percent(x float64) string {
	if x > 0 && x < 0.0001 {
		return "<0.01 %"
	}
	return strconv.FormatFloat(x*100, 'f', 2, 64) + " %"
}

func toDuration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}
