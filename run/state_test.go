package run_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// TestStateOfARun: a change waits for the reader, gives up with the run, and is then not made; nobody
// behind it waits for ever.
func TestStateOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &rationed{tokens: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 3)
		var state *agui.State[int]
		go run.Do(ctx, input, setup(func(_ context.Context, r *run.Run) (err error) {
			if state, err = agui.NewState(r, 0); err != nil {
				return err
			}
			for range 3 {
				go func() { errs <- state.Update(func(n *int) { *n++ }) }()
			}
			for range 3 {
				if err := <-errs; !errors.Is(err, context.Canceled) {
					t.Errorf("Update of a cancelled run: %v", err)
				}
			}
			return nil
		}, s))
		s.tokens <- struct{}{}
		synctest.Wait() // one waits for room, two for it
		if got := state.Get(); got != 0 || s.taken.Load() != 2 {
			t.Errorf("%d is told before it is sent; %d events", got, s.taken.Load())
		}
		cancel()
		synctest.Wait()
		if got := state.Get(); got != 0 {
			t.Errorf("%d was not sent", got)
		}
	})
}

// TestStateOfASubagent: its events have the tag.
func TestStateOfASubagent(t *testing.T) {
	s, err := do(func(_ context.Context, r *run.Run) error {
		sub, err := r.StartSubagent(agui.SubagentStarted{SubagentRunID: "sub", Name: "n"})
		if err != nil {
			return err
		}
		_, err = agui.NewState(sub, 1)
		return errors.Join(err, sub.Finish(nil))
	})
	if err != nil || s.between(t)[1] != `{"type":"STATE_SNAPSHOT","subagentRunId":"sub","snapshot":1}` {
		t.Errorf("%s, %v", s.events, err)
	}
}
