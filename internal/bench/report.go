// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import "slices"

// Report is all that came of a run. Its JSON form is an interface: fields are added, never renamed.
type Report struct {
	// Void says why the figures are not to be believed: a baseline was too slow. Empty if they are.
	Void string `json:"void"`
	// Unjudged are the ratios that Void would have to know of and that were not measured.
	Unjudged []string `json:"unjudged"`

	// MedianGbps and Ratio are of TCP with one stream, by path and as "hooknet/splice"; see TestResult.
	MedianGbps map[string]float64 `json:"median_gbps"`
	Ratio      map[string]float64 `json:"ratio"`

	Rounds   int     `json:"rounds"`
	Duration float64 `json:"duration_seconds"` // of one measurement
	Seconds  float64 `json:"seconds"`          // all of it
	Seed     uint64  `json:"seed"`             // of the order of the paths
	MTU      int     `json:"mtu"`
	// Congestion is the congestion control of TCP.
	Congestion string  `json:"congestion"`
	Machine    Machine `json:"machine"`

	Paths []Path       `json:"paths"`
	Tests []TestResult `json:"tests"`
}

// TestResult is what came of one test on all paths.
type TestResult struct {
	Test
	Results []PathResult `json:"results"`
	// Ratio has the medians of what the two paths of a pair came to in the same round, divided: of throughput for TCP, of
	// processor time for UDP, of the median round trip for ping. The keys are "PATH/splice" for every path, and those of
	// pairs.
	Ratio map[string]float64 `json:"ratio"`
}

// PathResult is what came of one test on one path.
type PathResult struct {
	Path    string            `json:"path"`
	Figures map[string]Figure `json:"figures"` // by Throughput and so on
}

// Machine is where it ran.
type Machine struct {
	System     string `json:"system"`    // operating system, release, architecture
	Processor  string `json:"processor"` // its model
	Processors int    `json:"processors"`
	Go         string `json:"go"`
	Hooknet    string `json:"hooknet"` // versions, as the build tells
	GVisor     string `json:"gvisor"`
	// Load is how many threads were running or about to before it began, on average of a minute: others are noise.
	Load float64 `json:"load"`
}

// headlines are the ratios that the text sums up. hooknet-nogso is like gvisor-tuned in all but who forwards.
var headlines = [][2]string{
	{hooknetPath, splicePath},
	{severalPath, splicePath},
	{erttPath, hooknetPath},
	{hooknetPath, gvisorPath},
	{hooknetPath, tunedPath},
	{nogsoPath, tunedPath},
	{hooknetPath, kernelPath},
}

// pairs are the ratios of interest besides those to the copy loop.
var pairs = slices.Concat(headlines, [][2]string{
	{nogsoPath, gvisorPath},
	{severalPath, hooknetPath},
	{gvisorPath, kernelPath},
	{splicePath, kernelPath},
})

// report makes a report of the samples.
func (p *plan) report(all results) *Report {
	r := &Report{
		MedianGbps: map[string]float64{},
		Ratio:      map[string]float64{},
		Rounds:     p.Rounds,
		Duration:   p.Duration.Seconds(),
		Seed:       p.Seed,
		MTU:        mtu,
		Congestion: p.Congestion,
		Paths:      p.paths,
	}
	for i := range p.tests {
		r.Tests = append(r.Tests, p.testResult(&p.tests[i], all))
	}
	if one := r.test(tests[0].Name); one != nil {
		for _, result := range one.Results {
			r.MedianGbps[result.Path] = result.Figures[Throughput].Median
		}
		r.Ratio = one.Ratio
	}
	r.Void, r.Unjudged = judge(r.Ratio)
	return r
}

func (p *plan) testResult(t *Test, all results) TestResult {
	result := TestResult{Test: *t, Ratio: map[string]float64{}}
	for _, path := range p.paths {
		if !t.runs(&path) {
			continue
		}
		of := PathResult{Path: path.Name, Figures: map[string]Figure{}}
		for key, samples := range all {
			if key.test == t.Name && key.path == path.Name {
				of.Figures[key.figure] = newFigure(samples)
			}
		}
		result.Results = append(result.Results, of)
	}
	ratio := func(a, b string) {
		as, bs := all[resultKey{t.Name, a, t.main}], all[resultKey{t.Name, b, t.main}]
		if a != b && len(as) > 0 && len(bs) > 0 {
			result.Ratio[a+"/"+b] = pairedRatio(as, bs)
		}
	}
	for _, path := range p.paths {
		ratio(path.Name, splicePath)
	}
	for _, pair := range pairs {
		ratio(pair[0], pair[1])
	}
	return result
}

// test returns the result of a test, or nil.
func (r *Report) test(name string) *TestResult {
	for i := range r.Tests {
		if r.Tests[i].Name == name {
			return &r.Tests[i]
		}
	}
	return nil
}
