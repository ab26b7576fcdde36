// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Figure is what one thing came to in each round.
type Figure struct {
	Median  float64   `json:"median"`
	Low     float64   `json:"low"`  // the first quartile
	High    float64   `json:"high"` // the third quartile
	Samples []float64 `json:"samples"`
}

func newFigure(samples []float64) Figure {
	return Figure{Median: quantile(samples, 0.5), Low: quantile(samples, 0.25), High: quantile(samples, 0.75), Samples: samples}
}

// quantile returns the value that a part q of the samples does not exceed, interpolated between two samples (type 7 of
// Hyndman and Fan, as R and NumPy have it). There is at least one sample.
func quantile(samples []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(samples))
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// pairedRatio returns the median of the ratios a/b of each round: what slows a round down slows down both.
func pairedRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return quantile(ratios, 0.5)
}

// A void rule says how fast a baseline has to be for a comparison with it to mean anything: about three quarters of what it
// is when all is well and TCP is not paced (docs/adr/0008-bench-chooses-congestion-control.md).
type voidRule struct {
	ratio string
	least float64
}

var voidRules = []voidRule{
	{splicePath + "/" + kernelPath, 0.30},
	{gvisorPath + "/" + kernelPath, 0.008},
}

// judge says by which rule a run is void, if by any, and which rules could not be applied.
func judge(ratios map[string]float64) (void string, unjudged []string) {
	var broken []string
	unjudged = []string{}
	for _, rule := range voidRules {
		switch ratio, measured := ratios[rule.ratio]; {
		case !measured:
			unjudged = append(unjudged, rule.ratio)
		case ratio < rule.least:
			broken = append(broken, fmt.Sprintf("%s is %.3f, expected at least %v", rule.ratio, ratio, rule.least))
		}
	}
	if len(broken) > 0 {
		void = strings.Join(broken, "; ") + ": the baseline is too slow on this machine, or just now"
	}
	return void, unjudged
}
