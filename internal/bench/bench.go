// Copyright 2026 The hooknet Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/hooknet/hooknet/internal/terminal"
)

// Config says what is measured, and how. The zero value works, but for Worker.
type Config struct {
	// Rounds is how often each path is measured with each test. Default: 10.
	Rounds int
	// Duration is that of one measurement. Default: 1 s. At least 10 ms.
	Duration time.Duration
	// Paths and Tests are the names of those that take part. Default: all.
	Paths, Tests []string
	// PacketRate is how many UDP packets are offered a second. Default: 20,000.
	PacketRate int
	// Congestion is the congestion control of TCP, by its name in Linux. Default: cubic, whatever the machine's own is.
	Congestion string
	// Seed decides the order in which the paths are measured. Default: another one every time.
	Seed uint64

	// Worker is how this program is called, without its name, to be what Worker is: the process of a path's router. The
	// path's name is added to it.
	Worker []string
	// Progress is told what is about to be done, in a few words. Default: nobody is told.
	Progress func(step string)
}

// overhead is what a measurement takes besides its duration: connections, the start that is not measured, the end.
const overhead = rampUp + 100*time.Millisecond

// rampUp is how long TCP may grow before it is measured.
const rampUp = 200 * time.Millisecond

// A plan is a Config with its defaults, and what it chose.
type plan struct {
	Config
	paths []Path
	tests []Test
}

func newPlan(cfg Config) (*plan, error) {
	p := &plan{Config: cfg}
	for _, n := range []struct {
		what string
		n    *int
		def  int
	}{{"rounds", &p.Rounds, 10}, {"packets a second", &p.PacketRate, 20_000}} {
		if *n.n == 0 {
			*n.n = n.def
		}
		if *n.n < 1 {
			return nil, fmt.Errorf("%d %s: expected at least 1", *n.n, n.what)
		}
	}
	if p.Duration == 0 {
		p.Duration = time.Second
	}
	if p.Duration < 10*time.Millisecond {
		return nil, fmt.Errorf("measurements of %v: expected at least 10ms", p.Duration)
	}
	if p.Congestion == "" {
		p.Congestion = "cubic"
	}
	if p.Seed == 0 {
		p.Seed = 1 + rand.Uint64N(1e9) // short enough to be typed
	}
	if p.Progress == nil {
		p.Progress = func(string) {}
	}
	var err error
	if p.paths, err = choose("path", paths, func(p Path) string { return p.Name }, cfg.Paths); err != nil {
		return nil, err
	}
	if p.tests, err = choose("test", tests, func(t Test) string { return t.Name }, cfg.Tests); err != nil {
		return nil, err
	}
	if p.measurements() == 0 {
		return nil, errors.New("nothing to measure: hooknet-mq takes part in tcp4 only")
	}
	return p, nil
}

// measurements is how many there are in a round.
func (p *plan) measurements() (n int) {
	for i := range p.tests {
		for j := range p.paths {
			if p.tests[i].runs(&p.paths[j]) {
				n++
			}
		}
	}
	return n
}

// expected is how long the plan takes, about.
func (p *plan) expected() time.Duration {
	n := p.Rounds*p.measurements() + len(p.paths) // one each to warm up
	return time.Duration(n) * (p.Duration + overhead)
}

// Expected returns how long a run takes, about, or what is wrong with the Config.
func (c Config) Expected() (time.Duration, error) {
	p, err := newPlan(c)
	if err != nil {
		return 0, err
	}
	return p.expected(), nil
}

// Run builds all paths, measures them in turns, takes them down and returns what came of it. The error is for what is no
// result: a mistake in the Config, a path that could not be built or that carried nothing, ctx being done. Nothing of the
// network is left in any case. A run that is void is a result: see Report.Void.
//
// While it runs, the process has more threads than processors running Go code (GOMAXPROCS): its goroutines block in the
// kernel.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	p, err := newPlan(cfg)
	if err != nil {
		return nil, err
	}
	start, machine := time.Now(), thisMachine()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(16, runtime.NumCPU())))
	networks := make(map[string]*network)
	results, err := p.run(ctx, networks)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // whatever else that led to
	}
	p.Progress("taking it all down")
	for _, n := range networks {
		err = errors.Join(err, n.close())
	}
	if err != nil {
		return nil, err
	}
	report := p.report(results)
	report.Machine, report.Seconds = machine, time.Since(start).Seconds()
	return report, nil
}

// results are the samples of each test, path and figure, in the order of the rounds.
type results map[resultKey][]float64

type resultKey struct{ test, path, figure string }

func (p *plan) run(ctx context.Context, networks map[string]*network) (results, error) {
	for i := range p.paths {
		path := &p.paths[i]
		p.Progress("building " + path.Name)
		n, err := buildNetwork(ctx, path, p.Worker, p.Congestion)
		if err != nil {
			return nil, fmt.Errorf("path %s: %w", path.Name, err)
		}
		networks[path.Name] = n
	}
	for i := range p.paths { // not in the result
		p.Progress("warming up " + p.paths[i].Name)
		if _, err := p.measure(ctx, networks[p.paths[i].Name], &tests[0]); err != nil {
			return nil, fmt.Errorf("path %s: %w", p.paths[i].Name, err)
		}
	}
	all := make(results)
	random := rand.New(rand.NewPCG(p.Seed, 0))
	begin, total, done := time.Now(), p.Rounds*p.measurements(), 0
	for round := range p.Rounds {
		for i := range p.tests {
			test := &p.tests[i]
			for _, k := range random.Perm(len(p.paths)) { // the paths of a pair as close to each other as can be
				path := &p.paths[k]
				if !test.runs(path) {
					continue
				}
				left := p.expected()
				if done > 0 {
					left = time.Since(begin) / time.Duration(done) * time.Duration(total-done)
				}
				p.Progress(fmt.Sprintf("round %d of %d, %s, %s (%s left)", round+1, p.Rounds, test.What, path.Name, terminal.Roughly(left)))
				figures, err := p.measure(ctx, networks[path.Name], test)
				if err != nil {
					return nil, fmt.Errorf("path %s, %s: %w", path.Name, test.What, err)
				}
				done++
				for name, x := range figures {
					key := resultKey{test.Name, path.Name, name}
					all[key] = append(all[key], x)
				}
			}
		}
	}
	return all, nil
}

// measure carries out one test on one path.
func (p *plan) measure(ctx context.Context, n *network, t *Test) (map[string]float64, error) {
	switch t.kind {
	case tcpTest:
		return n.measureTCP(ctx, t.streams, p.Duration)
	case udpTest:
		return n.measureUDP(ctx, t.payload, p.PacketRate, p.Duration)
	case pingTest:
		return n.measurePing(ctx, p.Duration)
	default:
		return n.measureLoadedPing(ctx, p.Duration)
	}
}

// sleep waits for d, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
