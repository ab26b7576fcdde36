// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hooknet/hooknet/internal/goldentest"
	"github.com/hooknet/hooknet/internal/terminal"
)

// near compares figures that were calculated.
var near = cmpopts.EquateApprox(0, 1e-9)

func TestFigure(t *testing.T) {
	for name, test := range map[string]struct {
		samples           []float64
		low, median, high float64
	}{
		"one":      {[]float64{3}, 3, 3, 3},
		"two":      {[]float64{4, 2}, 2.5, 3, 3.5},
		"odd":      {[]float64{5, 1, 3}, 2, 3, 4},
		"unsorted": {[]float64{4, 1, 3, 2, 5}, 2, 3, 4},
		"outlier":  {[]float64{1, 1, 1, 1, 1000}, 1, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			want := Figure{Median: test.median, Low: test.low, High: test.high, Samples: test.samples}
			if diff := cmp.Diff(want, newFigure(test.samples), near); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A ratio is of figures of the same round: here every round has 2, and the ratio of the medians is something else.
func TestPairedRatio(t *testing.T) {
	a, b := []float64{2, 20, 8}, []float64{1, 10, 4}
	if got := pairedRatio(a, b); got != 2 {
		t.Errorf("ratio %v, want 2", got)
	}
	if got := pairedRatio([]float64{1, 9, 4}, []float64{1, 1, 2}); got != 2 {
		t.Errorf("ratio %v, want 2, the median of 1, 9 and 2", got)
	}
}

func TestVoid(t *testing.T) {
	for name, test := range map[string]struct {
		splice, gvisor float64 // to the kernel; 0 is not measured
		void           []string
		unjudged       []string
	}{
		"good":          {splice: 0.4, gvisor: 0.012},
		"just so":       {splice: 0.3, gvisor: 0.008},
		"slow splice":   {splice: 0.299, gvisor: 0.012, void: []string{"splice/kernel is 0.299, expected at least 0.3"}},
		"slow gvisor":   {splice: 0.4, gvisor: 0.007, void: []string{"gvisor/kernel is 0.007, expected at least 0.008"}},
		"both":          {splice: 0.1, gvisor: 0.001, void: []string{"splice/kernel is 0.100", "; gvisor/kernel is 0.001"}},
		"no gvisor":     {splice: 0.55, unjudged: []string{"gvisor/kernel"}},
		"no kernel":     {unjudged: []string{"splice/kernel", "gvisor/kernel"}},
		"slow, no more": {splice: 0.1, void: []string{"splice/kernel"}, unjudged: []string{"gvisor/kernel"}},
	} {
		t.Run(name, func(t *testing.T) {
			ratios := map[string]float64{}
			for key, x := range map[string]float64{"splice/kernel": test.splice, "gvisor/kernel": test.gvisor} {
				if x > 0 {
					ratios[key] = x
				}
			}
			void, unjudged := judge(ratios)
			if (void == "") != (len(test.void) == 0) {
				t.Errorf("void: %q", void)
			}
			for _, words := range test.void {
				if !strings.Contains(void, words) {
					t.Errorf("void: %q, want %q in it", void, words)
				}
			}
			if diff := cmp.Diff(test.unjudged, unjudged, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("unjudged: -want +got:\n%s", diff)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		cfg          Config
		measurements int    // in a round
		wrong        string // in the error
	}{
		"all":              {cfg: Config{}, measurements: 6*9 + 1},
		"choice":           {cfg: Config{Paths: []string{"hooknet", "splice"}, Tests: []string{"ping", "tcp1"}}, measurements: 4},
		"several queues":   {cfg: Config{Paths: []string{"hooknet-mq", "splice"}, Tests: []string{"tcp1", "tcp4"}}, measurements: 3},
		"nothing":          {cfg: Config{Paths: []string{"hooknet-mq"}, Tests: []string{"tcp1"}}, wrong: "nothing to measure"},
		"no such path":     {cfg: Config{Paths: []string{"hooknet", "linux"}}, wrong: `no path "linux": there are kernel, splice, gvisor, gvisor-tuned, hooknet-0,`},
		"no such test":     {cfg: Config{Tests: []string{"udp"}}, wrong: `no test "udp": there are tcp1, tcp4, udp64, udp1400, ping, ping-load`},
		"negative rounds":  {cfg: Config{Rounds: -1}, wrong: "-1 rounds"},
		"negative rate":    {cfg: Config{PacketRate: -1}, wrong: "-1 packets a second"},
		"not worth it":     {cfg: Config{Duration: time.Millisecond}, wrong: "measurements of 1ms: expected at least 10ms"},
		"negative is less": {cfg: Config{Duration: -time.Second}, wrong: "expected at least 10ms"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPlan(test.cfg)
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) {
					t.Errorf("error %v, want %q in it", err, test.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.measurements(); got != test.measurements {
				t.Errorf("%d measurements in a round, want %d", got, test.measurements)
			}
		})
	}
}

// Twelve rounds of everything are to be had in less than 20 minutes.
func TestExpected(t *testing.T) {
	expected, err := Config{Rounds: 12}.Expected()
	if err != nil || expected < 8*time.Minute || expected > 15*time.Minute {
		t.Errorf("12 rounds take %v, %v; want 8 to 15 minutes", expected, err)
	}
}

// made returns a report of figures that are made up: 3 rounds, the second one slow.
func made(t *testing.T, cfg Config) *Report {
	t.Helper()
	cfg.Rounds, cfg.Seed = 3, 7
	p, err := newPlan(cfg)
	if err != nil {
		t.Fatal(err)
	}
	all := make(results)
	for i := range p.tests {
		for j := range p.paths {
			test, path := &p.tests[i], &p.paths[j]
			if !test.runs(path) {
				continue
			}
			add := func(figure string, x float64) {
				all[resultKey{test.Name, path.Name, figure}] = []float64{x, x / 2, x * 1.1}
			}
			speed := map[string]float64{"kernel": 17.6, "splice": 9.9, "gvisor": 0.5, "gvisor-tuned": 0.7, "hooknet-nogso": 1.4}[path.Name]
			if speed == 0 {
				speed = 10.5
			}
			switch test.kind {
			case tcpTest:
				add(Throughput, speed)
			case udpTest:
				add(Offered, 20000)
				add(Loss, 0.0001*float64(j))
			default:
				add(RTT, 300/speed)
				add(RTT99, 900/speed)
				add(Unanswered, 0)
			}
			if path.Name == "kernel" {
				continue
			}
			switch test.kind {
			case tcpTest:
				add(CPU, 0.8)
			case udpTest:
				add(PacketCPU, 50/speed)
			}
		}
	}
	r := p.report(all)
	r.Seconds = 123.4
	r.Machine = Machine{
		System: "Linux 6.18, amd64", Processor: "A <quick> processor", Processors: 2, Go: "go1.26", Hooknet: "v0.1", GVisor: "v0.0", Load: 0.25,
	}
	return r
}

func TestText(t *testing.T) {
	void := Config{Paths: []string{"kernel", "splice", "hooknet"}, Tests: []string{"tcp1"}}
	for name, r := range map[string]*Report{"report.txt": made(t, Config{}), "void.txt": made(t, void)} {
		t.Run(name, func(t *testing.T) {
			if name == "void.txt" {
				r.Void, r.Unjudged = judge(map[string]float64{"splice/kernel": 0.2})
			}
			var plain, coloured strings.Builder
			if err := errors.Join(r.WriteText(&plain, false), r.WriteText(&coloured, true)); err != nil {
				t.Fatal(err)
			}
			goldentest.Check(t, filepath.Join("testdata", name), plain.String())
			for line := range strings.Lines(plain.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > terminal.Width {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if !strings.Contains(coloured.String(), "\x1b[") || strings.Contains(plain.String(), "\x1b") {
				t.Error("colours where none are wanted, or none where they are")
			}
		})
	}
}

// The widest figures leave two columns between each other. A loss of everything once touched the ratio to its left.
func TestColumnsApart(t *testing.T) {
	cells := []string{short(12345), short(12345) + " - " + short(12345), "1234.56", percent(1), "1000000"}
	line := columns("  "+nogsoPath, cells...)
	for _, cell := range cells {
		if !strings.Contains(line, "  "+cell) {
			t.Errorf("%q is too close to what is left of it: %s", cell, line)
		}
	}
	if n := utf8.RuneCountInString(line); n > terminal.Width {
		t.Errorf("%d columns: %s", n, line)
	}
}

// The keys that programs rely on.
func TestJSON(t *testing.T) {
	text, err := json.Marshal(made(t, Config{}))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Void       *string
		MedianGbps map[string]float64 `json:"median_gbps"`
		Ratio      map[string]float64
		Rounds     int
		Tests      []struct {
			Name    string
			Ratio   map[string]float64
			Results []struct {
				Path    string
				Figures map[string]Figure
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Void == nil || *got.Void != "" || got.Rounds != 3 || len(got.Tests) != len(tests) {
		t.Errorf("void %v, %d rounds, %d tests; want none, 3, %d", got.Void, got.Rounds, len(got.Tests), len(tests))
	}
	wantGbps := map[string]float64{
		"kernel": 17.6, "splice": 9.9, "gvisor": 0.5, "gvisor-tuned": 0.7, "hooknet-0": 10.5, "hooknet": 10.5, "hooknet-8": 10.5, "hooknet-ertt": 10.5,
		"hooknet-nogso": 1.4,
	}
	if diff := cmp.Diff(wantGbps, got.MedianGbps); diff != "" {
		t.Errorf("median_gbps: -want +got:\n%s", diff)
	}
	for key, want := range map[string]float64{
		"hooknet/splice": 10.5 / 9.9, "hooknet/gvisor": 21, "hooknet/gvisor-tuned": 15, "hooknet/kernel": 10.5 / 17.6, "hooknet-ertt/hooknet": 1,
		"hooknet-nogso/gvisor": 2.8, "hooknet-nogso/gvisor-tuned": 2, "gvisor/kernel": 0.5 / 17.6, "splice/kernel": 9.9 / 17.6,
	} {
		if diff := cmp.Diff(want, got.Ratio[key], near); diff != "" {
			t.Errorf("ratio %s: -want +got:\n%s", key, diff)
		}
	}
	several := got.Tests[1]
	if diff := cmp.Diff(10.5/9.9, several.Ratio["hooknet-mq/splice"], near); several.Name != "tcp4" || diff != "" {
		t.Errorf("%s, hooknet-mq/splice: -want +got:\n%s", several.Name, diff)
	}
	if got := got.Tests[2].Ratio; got["hooknet/splice"] == 0 || got["hooknet/kernel"] != 0 {
		t.Errorf("processor time: ratios %v; want none to the kernel, of which nothing is known", got)
	}
	figure := got.Tests[4].Results[1].Figures[RTT]
	if diff := cmp.Diff([]float64{300 / 9.9, 150 / 9.9, 330 / 9.9}, figure.Samples, near); diff != "" {
		t.Errorf("samples: -want +got:\n%s", diff)
	}
}

func TestSVG(t *testing.T) {
	var b strings.Builder
	if err := made(t, Config{}).WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	goldentest.Check(t, filepath.Join("testdata", "report.svg"), b.String())
	decoder := xml.NewDecoder(strings.NewReader(b.String()))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(b.String(), "%!") {
		t.Error("a format that does not fit what it formats")
	}
	if err := made(t, Config{Tests: []string{"ping"}}).WriteSVG(io.Discard); err == nil {
		t.Error("a picture of nothing")
	}
}

func TestAxis(t *testing.T) {
	for most, want := range map[float64][]float64{
		0:    {0, 0.2, 0.4, 0.6, 0.8, 1},
		0.9:  {0, 0.2, 0.4, 0.6, 0.8, 1},
		7.5:  {0, 1, 2, 3, 4, 5, 6, 7, 8},
		11.3: {0, 2, 4, 6, 8, 10, 12},
		17.6: {0, 5, 10, 15, 20},
		140:  {0, 20, 40, 60, 80, 100, 120, 140},
	} {
		if diff := cmp.Diff(want, newAxis(most).ticks()); diff != "" {
			t.Errorf("up to %v: -want +got:\n%s", most, diff)
		}
	}
}
