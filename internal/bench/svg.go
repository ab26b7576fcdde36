// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"

	"github.com/hooknet/hooknet/internal/terminal"
)

// The picture's measures, in pixels.
const (
	svgWidth   = 760
	svgLabels  = 140 // right edge of the paths' names, and where bars begin
	svgBars    = 520 // the longest bar's length, at most
	svgRow     = 28
	svgBar     = 18
	svgMargin  = 24
	svgHeading = 84 // above the first panel
	svgPanel   = 34 // a panel's heading
	svgAxis    = 44 // below a panel's bars
)

// svgColours are those of the bars, by path; other paths are hooknet's.
var svgColours = map[string]string{kernelPath: "#8b95a1", splicePath: "#5b7083", gvisorPath: "#c27c2c", tunedPath: "#d9a05b"}

// svgOwn is the colour of hooknet's bars.
const svgOwn = "#0f766e"

// WriteSVG writes a picture of the throughput of TCP: a bar for each path as long as its median, with a line from the first
// quartile to the third. It needs nothing but itself. The error is that of w, or that there was no TCP.
func (r *Report) WriteSVG(w io.Writer) error {
	var panels []*TestResult
	for i := range r.Tests {
		if r.Tests[i].kind == tcpTest {
			panels = append(panels, &r.Tests[i])
		}
	}
	if len(panels) == 0 {
		return fmt.Errorf("no picture: it shows the throughput of TCP, and no test was of that (%s)", strings.Join(TestNames(), ", "))
	}
	most, height := 0.0, svgHeading+svgMargin
	for _, panel := range panels {
		for _, p := range panel.Results {
			most = max(most, p.Figures[Throughput].Median, p.Figures[Throughput].High)
		}
		height += svgPanel + svgRow*len(panel.Results) + svgAxis
	}
	p := &picture{}
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="title" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif" font-size="13" fill="#1f2933">`, svgWidth, height)
	p.put(`<title id="title">TCP throughput through a router, by path</title>`)
	p.put(`<rect width="100%%" height="100%%" fill="#ffffff"/>`)
	p.put(`<text x="%d" y="36" font-size="20" font-weight="600">TCP through a router, by path</text>`, svgMargin)
	note := fmt.Sprintf("payload that arrives, IPv4, MTU %d, TCP %s, medians of %s of %v, lines from first to third quartile",
		r.MTU, r.Congestion, terminal.Count(r.Rounds, "round"), toDuration(r.Duration))
	p.put(`<text x="%d" y="56" font-size="12" fill="#52606d">%s</text>`, svgMargin, html.EscapeString(note))
	where := fmt.Sprintf("%s, %s; %s; %s", r.Machine.Processor, terminal.Count(r.Machine.Processors, "processor"), r.Machine.System, r.Machine.Go)
	if r.Void != "" {
		p.put(`<text x="%d" y="74" font-size="12" font-weight="600" fill="#b91c1c">VOID: %s</text>`, svgMargin, html.EscapeString(r.Void))
	} else {
		p.put(`<text x="%d" y="74" font-size="12" fill="#52606d">%s</text>`, svgMargin, html.EscapeString(where))
	}
	scale := newAxis(most)
	y := svgHeading
	for _, panel := range panels {
		y = p.panel(panel, y, scale)
	}
	p.put(`</svg>`)
	_, err := io.WriteString(w, p.String())
	return err
}

// A picture is an SVG being written.
type picture struct{ strings.Builder }

func (p *picture) put(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// panel draws a test from y downwards and returns where the next may begin.
func (p *picture) panel(result *TestResult, y int, scale axis) int {
	p.put(`<text x="%d" y="%d" font-size="15" font-weight="600">%s</text>`, svgMargin, y+20, html.EscapeString(result.What))
	top := y + svgPanel
	bottom := top + svgRow*len(result.Results)
	for _, tick := range scale.ticks() {
		x := svgLabels + scale.pixels(tick)
		p.put(`<path d="M%.1f %dV%d" stroke="#e4e7eb"/>`, x, top-4, bottom)
		p.put(`<text x="%.1f" y="%d" font-size="11" fill="#7b8794" text-anchor="middle">%g</text>`, x, bottom+16, tick)
	}
	p.put(`<text x="%d" y="%d" font-size="11" fill="#7b8794" text-anchor="end">Gbit/s</text>`, svgLabels-14, bottom+16)
	for i, path := range result.Results {
		f := path.Figures[Throughput]
		at := top + i*svgRow
		middle := float64(at) + svgBar/2
		colour, known := svgColours[path.Path]
		if !known {
			colour = svgOwn
		}
		weight := 400
		if path.Path == hooknetPath {
			weight = 600
		}
		p.put(`<text x="%d" y="%.1f" text-anchor="end" font-weight="%d">%s</text>`, svgLabels-10, middle+4.5, weight, html.EscapeString(path.Path))
		p.put(`<rect x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`, svgLabels, at, scale.pixels(f.Median), svgBar, colour)
		low, high := svgLabels+scale.pixels(f.Low), svgLabels+scale.pixels(f.High)
		p.put(`<path d="M%.1f %.1fv8m0 -4H%.1fm0 -4v8" stroke="#1f2933" stroke-width="1.2" fill="none"/>`, low, middle-4, high)
		p.put(`<text x="%.1f" y="%.1f" font-weight="%d">%s</text>`,
			max(high, svgLabels+scale.pixels(f.Median))+8, middle+4.5, weight, short(f.Median))
	}
	return bottom + svgAxis
}

// An axis maps figures to pixels.
type axis struct{ most, step float64 }

// newAxis makes an axis from 0 to what holds most, with ticks at a round distance: 1, 2 or 5 times a power of ten, at most
// eight of them.
func newAxis(most float64) axis {
	if most <= 0 {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most/8)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if most/(step*factor) <= 8 {
			step *= factor
			break
		}
	}
	return axis{most: math.Ceil(most/step) * step, step: step}
}

func (a axis) pixels(x float64) float64 { return x / a.most * svgBars }

func (a axis) ticks() (all []float64) {
	for i := 0; float64(i)*a.step <= a.most*1.0001; i++ {
		all = append(all, math.Round(float64(i)*a.step*1e6)/1e6)
	}
	return all
}
