package agloop

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"github.com/agloop/agloop/auth"
)

// errNotAllowed says that the host does not let somebody do something with a run.
var errNotAllowed = errors.New("agloop: not allowed")

// authorizeRun asks the host whether somebody may do something with a run, see
// RunsConfig.AuthorizeRun. It returns the key to use, or errNotAllowed, or ctx's error.
func (s *Server) authorizeRun(ctx context.Context, p auth.Principal, action Action, key RunKey) (RunKey, error) {
	if s.cfg.Runs.AuthorizeRun == nil {
		return key, nil
	}
	type answer struct {
		key RunKey
		err error
	}
	answered := make(chan answer, 1) // of a goroutine of its own, since it may block for ever
	go func() {
		a := answer{err: errors.New("it did not return")}
		defer func() {
			if v := recover(); v != nil {
				s.door.Counters.Panics.Add(1)
				a.err = &PanicError{Value: v, Stack: debug.Stack()}
			}
			answered <- a
		}()
		a.key, a.err = s.cfg.Runs.AuthorizeRun(ctx, p, action, key)
	}()
	select {
	case a := <-answered:
		if a.err == nil {
			return RunKey{Scope: a.key.Scope, Thread: key.Thread, Run: key.Run}, nil
		}
		if _, public := a.err.(*auth.RefusedError); !public {
			s.log.LogAttrs(ctx, slog.LevelWarn, "agloop: AuthorizeRun refused", slog.String("action", string(action)),
				slog.String("thread", key.Thread), slog.String("run", key.Run), slog.Any("err", a.err))
		}
		return key, errNotAllowed
	case <-ctx.Done():
		return key, ctx.Err()
	}
}
