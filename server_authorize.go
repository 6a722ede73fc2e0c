package agloop

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/debug"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/run"
)

// errNotAllowed says that the host does not let somebody do something with a run.
var errNotAllowed = errors.New("agloop: not allowed")

// errNoReturn says that a function of the host's ended its goroutine, as FailNow of a test does.
var errNoReturn = errors.New("agloop: it did not return")

// authorizeRun asks the host whether somebody may do something with a run, see
// RunsConfig.AuthorizeRun. It returns the key to use, or errNotAllowed, or ctx's error.
func (s *Server) authorizeRun(ctx context.Context, p auth.Principal, action Action, key RunKey) (RunKey, error) {
	ask := s.cfg.Runs.AuthorizeRun
	if ask == nil {
		return key, nil
	}
	type answer struct {
		key RunKey
		err error
	}
	a, err := askHost(ctx, s, func() (a answer) {
		a.key, a.err = ask(ctx, p, action, key)
		return a
	}, nil)
	switch {
	case err == nil && a.err == nil:
		return RunKey{Scope: a.key.Scope, Thread: key.Thread, Run: key.Run}, nil
	case err == nil:
		err = a.err
	case err == ctx.Err():
		return key, err
	}
	if _, public := err.(*auth.RefusedError); !public {
		s.log.LogAttrs(ctx, slog.LevelWarn, "agloop: AuthorizeRun refused", slog.String("action", string(action)),
			slog.String("thread", key.Thread), slog.String("run", key.Run), slog.Any("err", err))
	}
	return key, errNotAllowed
}

// admitWithin is admitRun that waits for the host's filter no longer than ctx.
func (s *Server) admitWithin(ctx context.Context, key RunKey, p auth.Principal, network netip.Prefix, input *agui.RunAgentInput) (
	released func(), refused *refusal,
) {
	if s.cfg.Runs.FilterInput == nil {
		return s.admitRun(ctx, key, p, network, input)
	}
	type admission struct {
		released func()
		refused  *refusal
	}
	a, err := askHost(ctx, s, func() (a admission) {
		a.released, a.refused = s.admitRun(ctx, key, p, network, input)
		return a
	}, func(late admission) {
		if late.refused == nil {
			late.released()
		}
	})
	switch {
	case err == nil:
		return a.released, a.refused
	case err == ctx.Err():
		return nil, &refusal{code: control.CodeTimeout}
	}
	text, id := run.Hidden(inputRefused)
	s.log.LogAttrs(ctx, slog.LevelError, "agloop: FilterInput failed", slog.String("id", id),
		slog.String("thread", key.Thread), slog.String("run", key.Run), slog.Any("err", err))
	return nil, &refusal{code: run.CodeInternal, message: text}
}

// askHost calls a function of the host's in a goroutine of its own, since it may block for ever, and
// returns what it returns; late is given that where ctx has ended before. The error is ctx's, a
// *PanicError or errNoReturn.
func askHost[T any](ctx context.Context, s *Server, f func() T, late func(T)) (v T, err error) {
	type answer struct {
		v   T
		err error
	}
	answers := make(chan answer) // without room: an answer is taken, or it is late
	go func() {
		a := answer{err: errNoReturn}
		defer func() {
			if v := recover(); v != nil {
				s.door.Counters.Panics.Add(1)
				a.err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			select {
			case answers <- a:
			case <-ctx.Done():
				if late != nil && a.err == nil {
					late(a.v)
				}
			}
		}()
		a.v, a.err = f(), nil
	}()
	select {
	case a := <-answers:
		return a.v, a.err
	case <-ctx.Done():
		return v, ctx.Err()
	}
}
