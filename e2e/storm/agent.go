package main

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/server"
)

// teller is the agent of a storm: each run says its script, some events at a time, and what was said
// to it. The teller knows what each has emitted.
type teller struct {
	// Immutable.
	length int           // events of a script
	pace   time.Duration // that a run takes, about
	seed   uint64
	ahead  int                       // events that a run may be ahead of who has started it, see heard; 0: any number
	note   func(run string, t truth) // told when a run begins, goes on and ends; nil: nobody is

	// Any goroutine, under mu.
	mu   sync.Mutex
	runs map[string]*telling
}

// telling is one run of a teller.
type telling struct {
	// Immutable.
	began chan struct{} // closed when the agent is called
	more  chan struct{} // holds a token when heard has changed

	// Any goroutine.
	heard atomic.Int64 // place that its owner has come to

	// Any goroutine, under the teller's mu.
	truth truth
}

// of is the telling of a run.
func (a *teller) of(run string) *telling {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.runs == nil {
		a.runs = make(map[string]*telling)
	}
	t := a.runs[run]
	if t == nil {
		t = &telling{began: make(chan struct{}), more: make(chan struct{}, 1)}
		a.runs[run] = t
	}
	return t
}

// heard lets a run go on that is ahead of its owner.
func (a *teller) heard(run string, at int) {
	t := a.of(run)
	t.heard.Store(int64(at))
	select {
	case t.more <- struct{}{}:
	default:
	}
}

// truth is what a run has emitted so far.
func (a *teller) truth(run string) truth {
	t := a.of(run)
	a.mu.Lock()
	defer a.mu.Unlock()
	known := t.truth
	known.Steers = slices.Clone(known.Steers)
	return known
}

// events is what all runs have emitted: RUN_STARTED and the end of each count as well.
func (a *teller) events() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.runs {
		if n += t.truth.Events + 3*len(t.truth.Steers) + 1; t.truth.Over {
			n++
		}
	}
	return n
}

// calls is for how many runs the agent was called.
func (a *teller) calls() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.runs {
		n += min(t.truth.Calls, 1)
	}
	return n
}

// update changes what is known of a run.
func (a *teller) update(run string, change func(*truth)) {
	t := a.of(run)
	a.mu.Lock()
	change(&t.truth)
	now := t.truth
	a.mu.Unlock()
	if a.note != nil {
		a.note(run, now)
	}
}

// Run implements server.Agent.
func (a *teller) Run(ctx context.Context, r *server.Run) error {
	name := r.Input.RunID
	telling := a.of(name)
	steering := r.Steering()
	a.update(name, func(t *truth) {
		if t.Calls++; t.Calls == 1 {
			close(telling.began)
		}
	})
	defer a.update(name, func(t *truth) { t.Over = true })
	const burst = 4 // events at a time, on the average
	rnd := random(a.seed, "agent "+name)
	most := 2 * int64(a.pace) * burst / int64(a.length)
	var until wait
	if err := json.Unmarshal(r.Input.ForwardedProps, &until); err != nil {
		return err
	}
	for at := 0; at < a.length || until.Cancel || until.Steers > 0; {
		more, next := telling.more, (<-chan time.Time)(nil)
		if at < a.length && (a.ahead == 0 || at < int(telling.heard.Load())+a.ahead) {
			more, next = nil, time.After(time.Duration(rnd.Int64N(most)))
		}
		select {
		case <-more:
		case <-next:
			n := min(1+rnd.IntN(2*burst-1), a.length-at)
			for end := at + n; at < end; at++ {
				if err := r.Emit(script{name}.event(at)); err != nil {
					return err
				}
				a.emitted(name)
			}
			if a.note != nil {
				a.note(name, a.truth(name))
			}
		case <-steering:
			text, ok, err := r.TakeSteer()
			if err != nil {
				return err
			}
			if ok {
				until.Steers--
				a.update(name, func(t *truth) { t.Steers = append(t.Steers, steer{At: at, Text: text}) })
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// emitted counts an event of a script.
func (a *teller) emitted(run string) {
	t := a.of(run)
	a.mu.Lock()
	defer a.mu.Unlock()
	t.truth.Events++
}
