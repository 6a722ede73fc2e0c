package tune

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

// drive is an optimizer under a clock of its own, observed once a second.
type drive struct {
	*AdaptiveOptimizer
	t   *testing.T
	now time.Time
}

func newDrive(t *testing.T, cfg OptimizerConfig) *drive {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &drive{NewOptimizer(cfg), t, time.Unix(1e9, 0)}
	d.Enable()
	return d
}

// second lets one pass.
func (d *drive) second(o Observation) *Decision {
	d.now = d.now.Add(time.Second)
	_, moved := d.Observe(d.now, o)
	return moved
}

// until lets seconds pass until the next move, and returns it and their number.
func (d *drive) until(o Observation, most int) (*Decision, int) {
	d.t.Helper()
	for n := 1; n <= most; n++ {
		if moved := d.second(o); moved != nil {
			return moved, n
		}
	}
	d.t.Fatalf("no move within %d s", most)
	return nil, 0
}

// still lets seconds pass in which nothing may move.
func (d *drive) still(o Observation, seconds int) {
	d.t.Helper()
	for range seconds {
		if moved := d.second(o); moved != nil {
			d.t.Fatalf("moved toward %s: %s", moved.Toward, moved.Reason)
		}
	}
}

var (
	idle   = Observation{MemoryFraction: 0.2}
	slow   = Observation{P99Latency: 80 * time.Millisecond, Measured: true, MemoryFraction: 0.2, MessagesPerSecond: 700, WritesPerMessage: 0.2}
	full   = Observation{MemoryFraction: 0.9}
	costly = Observation{
		P99Latency: 2 * time.Millisecond, Measured: true, MemoryFraction: 0.2,
		MessagesPerSecond: 5000, WritesPerMessage: 0.9, Connections: 100,
	}
)

// TestEachRuleMovesByOneStep: the right ladder, one rung, down to its end and no further.
func TestEachRuleMovesByOneStep(t *testing.T) {
	for _, tc := range []struct {
		name   string
		o      Observation
		toward Profile
		says   []string
	}{
		{"p99 above MaxLatency", slow, ProfileLatency, []string{"p99 80ms", "MaxLatency 50ms", "for 10s"}},
		{"memory above 80 %", full, ProfileMemory, []string{"memory at 90 %", "budget of 1000 bytes", "80 %"}},
		{"writes per message", costly, ProfileThroughput, []string{"0.90 writes", "p99 2ms"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDrive(t, OptimizerConfig{MaxMemory: 1000})
			base := Default()
			for i := 1; i <= rungs; i++ {
				moved, after := d.until(tc.o, 30)
				if after != 11 {
					t.Errorf("move %d after %d s, want 11: the dwell from the first observation on", i, after)
				}
				if moved.Toward != tc.toward || moved.From != base.toward(tc.toward, i-1) || moved.To != base.toward(tc.toward, i) {
					t.Errorf("move %d toward %s\nfrom %+v\nto %+v", i, moved.Toward, moved.From, moved.To)
				}
				if moved.At != d.now || moved.Observation != tc.o {
					t.Errorf("move %d at %v after %+v", i, moved.At, moved.Observation)
				}
				for _, part := range tc.says {
					if !strings.Contains(moved.Reason, part) {
						t.Errorf("reason %q lacks %q", moved.Reason, part)
					}
				}
			}
			d.still(tc.o, 600)
			if d.Tuning() != tc.toward.apply(base) || d.Moves() != rungs {
				t.Errorf("after %d moves %+v", d.Moves(), d.Tuning())
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	all := costly
	all.MemoryFraction = 0.95
	d := newDrive(t, OptimizerConfig{})
	for i := range 2 * rungs {
		want := ProfileMemory
		if i >= rungs {
			want = ProfileThroughput // memory has no step left to go
		}
		if moved, _ := d.until(all, 60); moved.Toward != want {
			t.Errorf("move %d toward %s, want %s", i, moved.Toward, want)
		}
	}
	all.P99Latency = 90 * time.Millisecond // no slack left
	if moved, _ := d.until(all, 60); moved.Toward != ProfileLatency {
		t.Errorf("toward %s, want latency", moved.Toward)
	}
}

// TestNothingMovesWithoutNeed names a case on the good side of each limit.
func TestNothingMovesWithoutNeed(t *testing.T) {
	edge := func(edit func(*Observation)) Observation {
		o := costly
		edit(&o)
		return o
	}
	for name, o := range map[string]Observation{
		"idle":               idle,
		"nothing measured":   {},
		"p99 at the limit":   {P99Latency: 50 * time.Millisecond, Measured: true, MessagesPerSecond: 700},
		"memory at 80 %":     {MemoryFraction: 0.8},
		"few messages":       edge(func(o *Observation) { o.MessagesPerSecond = 900 }),
		"few calls":          edge(func(o *Observation) { o.WritesPerMessage = 0.5 }),
		"no latency slack":   edge(func(o *Observation) { o.P99Latency = 13 * time.Millisecond }),
		"nothing by nothing": {WritesPerMessage: math.NaN(), MessagesPerSecond: math.NaN(), MemoryFraction: math.NaN()},
	} {
		t.Run(name, func(t *testing.T) { newDrive(t, OptimizerConfig{}).still(o, 300) })
	}
}

// TestOneWildSecondIsNoLoad: nor are nine.
func TestOneWildSecondIsNoLoad(t *testing.T) {
	d := newDrive(t, OptimizerConfig{})
	wild := Observation{P99Latency: time.Minute, Measured: true, MemoryFraction: 1, MessagesPerSecond: 1e6, WritesPerMessage: 1}
	for _, seconds := range []int{1, 1, 1, 5} {
		d.still(idle, 60)
		d.still(wild, seconds)
	}
	d.still(idle, 60)
}

// TestReturnsWhenCalm: as many steps back as were taken, each after four dwells.
func TestReturnsWhenCalm(t *testing.T) {
	for _, o := range []Observation{slow, full, costly} {
		d := newDrive(t, OptimizerConfig{})
		for range rungs {
			d.until(o, 30)
		}
		for range rungs {
			moved, after := d.until(idle, 100)
			if after != 41 || moved.Toward != ProfileBalanced || !strings.HasPrefix(moved.Reason, "back: ") {
				t.Errorf("toward %s after %d s: %s", moved.Toward, after, moved.Reason)
			}
		}
		if d.Tuning() != Default() {
			t.Errorf("came back to %+v", d.Tuning())
		}
		d.still(idle, 600)
	}
}

// TestReversalNeedsTwoDwells and no less.
func TestReversalNeedsTwoDwells(t *testing.T) {
	d := newDrive(t, OptimizerConfig{})
	d.until(costly, 30)
	if moved, after := d.until(slow, 60); moved.Toward != ProfileLatency || after != 21 {
		t.Errorf("toward %s after %d s, want latency after 21", moved.Toward, after)
	}
	if _, after := d.until(slow, 60); after != 11 {
		t.Errorf("on the same way after %d s, want 11", after)
	}
}

// TestAGapIsNoEvidence: what two observations an hour apart saw did not hold for an hour.
func TestAGapIsNoEvidence(t *testing.T) {
	d := newDrive(t, OptimizerConfig{})
	d.still(slow, 5)
	d.now = d.now.Add(time.Hour)
	d.still(slow, 10)
	d.until(slow, 5)
}

func TestSetProfile(t *testing.T) {
	var applied []Tuning
	d := newDrive(t, OptimizerConfig{Apply: func(t Tuning) { applied = append(applied, t) }})
	d.until(slow, 30)
	for _, p := range append(profiles, "") {
		if err := d.SetProfile(p); err != nil {
			t.Fatal(err)
		}
		if want := p.apply(Default()); d.Tuning() != want || applied[len(applied)-1] != want {
			t.Errorf("%s: %+v, applied %+v", p, d.Tuning(), applied[len(applied)-1])
		}
		if p != "" && d.Profile() != p || p == "" && d.Profile() != ProfileBalanced {
			t.Errorf("profile %q after %q", d.Profile(), p)
		}
	}
	if d.Moves() != 1 || len(applied) != 1+len(profiles)+1 {
		t.Errorf("%d moves, applied %d times", d.Moves(), len(applied))
	}
	if err := d.SetProfile("speed"); err == nil || d.Profile() != ProfileBalanced {
		t.Errorf("a profile that is none: %v, now %s", err, d.Profile())
	}

	// Who chose latency is not moved away from it, but gives up memory when there is none.
	if err := d.SetProfile(ProfileLatency); err != nil {
		t.Fatal(err)
	}
	d.still(costly, 300)
	d.until(full, 30)
	if moved, _ := d.until(idle, 100); moved.Toward != ProfileLatency || d.Tuning() != ProfileLatency.apply(Default()) {
		t.Errorf("back toward %s, %+v", moved.Toward, d.Tuning())
	}

	// From throughput the way to latency leads over all the columns, and back.
	if err := d.SetProfile(ProfileThroughput); err != nil {
		t.Fatal(err)
	}
	for range 2 * rungs {
		d.until(slow, 30)
	}
	if d.still(slow, 100); d.Tuning() != ProfileLatency.apply(Default()) {
		t.Errorf("at the end of the way %+v", d.Tuning())
	}
	for range 2 * rungs {
		d.until(idle, 100)
	}
	if d.still(idle, 600); d.Tuning() != ProfileThroughput.apply(Default()) {
		t.Errorf("back at %+v", d.Tuning())
	}
}

func TestRebase(t *testing.T) {
	d := newDrive(t, OptimizerConfig{Profile: ProfileThroughput})
	base := Default()
	base.MessageBatchSize, base.MessageBatchTimeout = 20, 20*time.Millisecond
	d.Rebase(base, time.Millisecond, 0)
	if got := d.Tuning(); got != ProfileThroughput.apply(base) || got.MessageBatchTimeout != 20*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if moved, _ := d.until(Observation{P99Latency: 2 * time.Millisecond, Measured: true, MessagesPerSecond: 10}, 30); !strings.Contains(moved.Reason, "MaxLatency 1ms") {
		t.Error(moved.Reason)
	}
}

func TestNotEnabled(t *testing.T) {
	d := newDrive(t, OptimizerConfig{})
	d.until(slow, 30)
	d.still(slow, 8)
	held := d.Tuning()
	d.Disable()
	if d.Enabled() {
		t.Error("enabled after Disable")
	}
	d.still(slow, 100)
	if d.Tuning() != held {
		t.Error("Disable turned a knob")
	}
	d.Enable()
	d.Enable()
	d.still(slow, 10) // what it saw before counts no more
	d.until(slow, 1)
	if NewOptimizer(OptimizerConfig{}).Enabled() {
		t.Error("enabled from the start")
	}
}

func TestDecisionsAreKeptAndLogged(t *testing.T) {
	var out bytes.Buffer
	d := newDrive(t, OptimizerConfig{Keep: 4, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if _, ok := d.Last(); ok || len(d.Decisions()) != 0 {
		t.Error("a decision before the first")
	}
	var all []Decision
	for len(all) < 10 {
		o := slow
		if len(all)/rungs%2 == 1 {
			o = idle
		}
		moved, _ := d.until(o, 1000)
		all = append(all, *moved)
	}
	kept := d.Decisions()
	if len(kept) != 4 || d.Moves() != 10 {
		t.Fatalf("%d kept of %d", len(kept), d.Moves())
	}
	for i, m := range kept {
		if m != all[6+i] {
			t.Errorf("kept %+v, want %+v", m, all[6+i])
		}
	}
	if last, ok := d.Last(); !ok || last != all[9] {
		t.Errorf("last %+v", last)
	}
	kept[0].Reason = "mine"
	if d.Decisions()[0].Reason == "mine" {
		t.Error("Decisions lends its own slice")
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10 {
		t.Fatalf("%d lines for 10 decisions", len(lines))
	}
	for _, part := range []string{"toward=latency", "MaxLatency 50ms", `MessageBatchSize="10 to 5"`, `MessageBatchTimeout="5ms to 1.58ms"`} {
		if !strings.Contains(lines[0], part) {
			t.Errorf("%q lacks %q", lines[0], part)
		}
	}
	if strings.Contains(lines[0], "SoftLimit") {
		t.Errorf("%q names a knob that stayed", lines[0])
	}
}

// loudReader reads the optimizer from within its own log line.
type loudReader struct {
	slog.Handler
	read func()
}

func (h loudReader) Handle(context.Context, slog.Record) error { h.read(); return nil }

// TestReadersAndWriters: everything at once, and what was applied last is what holds.
func TestReadersAndWriters(t *testing.T) {
	var d *drive
	var applied Tuning // by the optimizer's word never by two at once
	d = newDrive(t, OptimizerConfig{
		Apply: func(t Tuning) { applied = t },
		Logger: slog.New(loudReader{slog.NewTextHandler(new(bytes.Buffer), nil), func() {
			if err := d.SetProfile(ProfileMemory); err != nil || len(d.Decisions()) == 0 {
				t.Error(err, "or no decision at its own log line")
			}
		}}),
	})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, f := range []func(){
		func() { d.Decisions() },
		func() { d.Last(); d.Moves(); d.Profile(); d.Tuning() },
		func() { d.Enable(); d.Enabled() },
		func() { _ = d.SetProfile(ProfileThroughput) },
	} {
		wg.Go(func() {
			for n := 0; n < 200 || ctx.Err() == nil && n < 5000; n++ {
				f()
			}
		})
	}
	for range 2000 {
		d.second(slow)
	}
	stop()
	wg.Wait()
	for d.Moves() == 0 { // the profile may have been set within every dwell
		d.second(slow)
	}
	if applied != d.Tuning() {
		t.Errorf("applied %+v, holds %+v", applied, d.Tuning())
	}
}

func BenchmarkObserve(b *testing.B) {
	a := NewOptimizer(OptimizerConfig{Logger: slog.New(slog.DiscardHandler)})
	a.Enable()
	now := time.Unix(1e9, 0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		a.Observe(now, costly)
	}
}
