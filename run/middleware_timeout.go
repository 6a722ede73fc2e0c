package run

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/agloop/agloop/agui"
)

// Timeout ends the run of an agent that has not returned after so long, by RUN_ERROR with code
// timeout, which closes whatever is open. Not positive is no limit. The agent's context has the
// deadline, and its Emit returns then, also where it waits for a slow reader. What an agent returns
// because of the deadline becomes that error too, unless it is an *agui.PublicError.
//
// The agent is called in a goroutine of its own. One that has not returned a second after its deadline
// goes on there without its run, which ends then and leaves its place in Quotas.Runs: its events are
// refused with ErrRunEnded. The log says so after ten seconds more, and when it panics.
func Timeout(after time.Duration) Middleware {
	return func(next Agent) Agent {
		if after <= 0 {
			return next
		}
		return AgentFunc(func(ctx context.Context, r *Run) error {
			within, cancel := context.WithTimeout(ctx, after)
			defer cancel()
			t := &timed{run: r, after: after, result: make(chan error, 1)}
			go t.call(within, next)
			over := time.NewTimer(after + parting) // within may end for another reason
			defer over.Stop()
			select {
			case err := <-t.result:
				return t.judge(ctx, within, err)
			case <-over.C:
				return t.giveUp()
			}
		})
	}
}

// parting is how long an agent has after its deadline to return by itself.
const parting = time.Second

// timed is an agent that has so much time.
type timed struct {
	run    *Run
	after  time.Duration
	result chan error // what it returns; it holds one
}

// call calls the agent and hands on how it ends.
func (t *timed) call(within context.Context, next Agent) {
	err := errGoexit // unless it returns
	defer func() { t.result <- err }()
	err = callRecovered(within, next, t.run.With(within, nil))
}

// judge returns what the run ends with where the agent has returned err.
func (t *timed) judge(ctx, within context.Context, err error) error {
	if err == nil || within.Err() != context.DeadlineExceeded || ctx.Err() != nil {
		return err
	}
	if _, panicked := errors.AsType[*PanicError](err); panicked {
		return err
	}
	if _, public := errors.AsType[*agui.PublicError](err); public {
		return err
	}
	return t.error()
}

func (t *timed) error() error {
	return &agui.PublicError{Code: CodeTimeout, Message: "the agent has not finished within " + t.after.String()}
}

// giveUp waits no longer for the agent, except to log what becomes of it.
func (t *timed) giveUp() error {
	attrs := []any{slog.String("thread", t.run.Input.ThreadID), slog.String("run", t.run.Input.RunID)}
	warning := time.AfterFunc(patience, func() {
		t.run.log.Warn("agloop: an agent ignores that its time is over; its run has ended without it", attrs...)
	})
	go func() {
		err := <-t.result
		warning.Stop()
		if p, ok := errors.AsType[*PanicError](err); ok {
			t.run.log.Error(logPanic, append(attrs, slog.Any("panic", p.Value), slog.String("stack", string(p.Stack)))...)
		}
	}()
	return t.error()
}
