package run_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// TestEmitContextGivesUp: whether it waits for room or for its turn, and the run goes on as before.
func TestEmitContextGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		err := run.Do(t.Context(), input, setup(func(_ context.Context, r *run.Run) error {
			ctx, cancel := context.WithCancel(t.Context())
			var others sync.WaitGroup
			for range 3 {
				others.Go(func() {
					if err := r.EmitContext(ctx, custom); !errors.Is(err, context.Canceled) {
						t.Errorf("EmitContext returned %v", err)
					}
				})
			}
			synctest.Wait() // one waits for room, two for their turn
			var own sync.WaitGroup
			for range 5 {
				own.Go(func() {
					if err := r.Emit(custom); err != nil {
						t.Errorf("Emit behind those that gave up: %v", err)
					}
				})
			}
			synctest.Wait()
			cancel()
			others.Wait()
			for range 5 {
				s.tokens <- struct{}{}
			}
			own.Wait()
			own.Go(func() { s.tokens <- struct{}{} })
			if err := r.EmitContext(t.Context(), custom); err != nil { // when nobody is in line
				t.Error(err)
			}
			own.Wait()
			own.Go(func() { s.tokens <- struct{}{} }) // for the terminal event
			return nil
		}, s))
		if got := s.taken.Load(); got != 8 || err != nil { // RUN_STARTED, five, one, RUN_FINISHED
			t.Errorf("%d events, error %v", got, err)
		}
	})
}

// TestEmitContextOfARunThatEnds: it is told, in one way, however the run ends.
func TestEmitContextOfARunThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(cancel func(), r *run.Run) error{
			"cancelled": func(cancel func(), _ *run.Run) error { cancel(); return nil },
			"returned":  func(func(), *run.Run) error { return nil },
			"panicked":  func(func(), *run.Run) error { panic("boom") },
		} {
			s := &rationed{tokens: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			late := make(chan error, 1)
			var kept *run.Run
			_ = run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) error {
				kept = r
				go func() { late <- r.EmitContext(t.Context(), custom) }()
				synctest.Wait()                                         // it waits for room
				time.AfterFunc(time.Second, func() { close(s.tokens) }) // when Do waits for it, too
				return end(cancel, r)
			}, s))
			if err := <-late; err != nil && !errors.Is(err, run.ErrRunEnded) {
				t.Errorf("%s: EmitContext beside the end: %v", name, err)
			}
			if err := kept.EmitContext(t.Context(), custom); !errors.Is(err, run.ErrRunEnded) {
				t.Errorf("%s: EmitContext after the end: %v", name, err)
			}
			cancel()
		}
	})
}

// TestEmitContextAsTheAgentDoes: a run's rules hold for others, too.
func TestEmitContextAsTheAgentDoes(t *testing.T) {
	s, err := do(func(ctx context.Context, r *run.Run) error {
		if err := r.EmitContext(t.Context(), &agui.StepFinished{StepName: "none"}); err == nil {
			t.Error("an event out of order was taken")
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.EmitContext(over, custom); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is over: %v", err)
		}
		return r.EmitContext(ctx, custom)
	})
	if got := s.types(t); got != "RUN_STARTED CUSTOM RUN_FINISHED" || err != nil {
		t.Errorf("sent %s, %v", got, err)
	}
}
