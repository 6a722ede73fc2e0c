package agloop

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime/pprof"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

// startRun makes a run of an input, unless that is refused. The run has a place until its goroutine is
// through with it.
func (s *session) startRun(ctx context.Context, input *agui.RunAgentInput) {
	if !s.admit(ctx, input) {
		return
	}
	defer s.srv.places.give(s.principal.Key, s.network)
	s.answers = true
	s.runAgent(ctx, input)
}

// admit takes a place for a run that has no log, and asks the host's filter. The client has been told when
// it reports false. Inlined, it would take room on the stacks of all runs.
//
//go:noinline
func (s *session) admit(ctx context.Context, input *agui.RunAgentInput) bool {
	places := s.srv.places
	if full := places.take(s.principal.Key, s.network); full != "" {
		s.srv.door.RunOverQuota()
		s.refuse(&refusal{code: run.CodeManyRuns, message: full})
		return false
	}
	admitted := false
	defer func() { // also when the filter panics
		if !admitted {
			places.give(s.principal.Key, s.network)
		}
	}()
	refused := s.srv.filterInput(ctx, s.principal, input)
	s.refuse(refused)
	admitted = refused == nil
	return admitted
}

// admitRun takes a place for a run that has a log, and asks the host's filter, or returns why it is
// refused. released gives the place back. A run that there is already, or was, needs neither.
func (srv *Server) admitRun(ctx context.Context, key RunKey, p auth.Principal, network netip.Prefix, input *agui.RunAgentInput) (
	released func(), refused *refusal,
) {
	if srv.hub.Known(ctx, key) {
		return func() {}, nil
	}
	if full := srv.places.take(p.Key, network); full != "" {
		srv.door.RunOverQuota()
		return nil, &refusal{code: run.CodeManyRuns, message: full}
	}
	released = func() { srv.places.give(p.Key, network) }
	admitted := false
	defer func() { // also when the filter panics
		if !admitted {
			released()
		}
	}()
	refused = srv.filterInput(ctx, p, input)
	admitted = refused == nil
	return released, refused
}

// filterInput asks the host's filter whether it takes an input, which that may change.
func (srv *Server) filterInput(ctx context.Context, p auth.Principal, input *agui.RunAgentInput) *refusal {
	filter := srv.cfg.Runs.FilterInput
	if filter == nil {
		return nil
	}
	thread, id := slog.String("thread", input.ThreadID), slog.String("run", input.RunID)
	err := filter(ctx, p, input)
	refused, ok := errors.AsType[*auth.RefusedError](err)
	switch {
	case ok && refused != nil:
		if err != error(refused) {
			srv.log.LogAttrs(ctx, slog.LevelWarn, "agloop: an input was refused", thread, id, slog.Any("err", err))
		}
		if refused.Reason == "" {
			return &refusal{code: run.CodeRefused, message: inputRefused}
		}
		return &refusal{code: run.CodeRefused, message: refused.Reason}
	case ctx.Err() != nil: // as in parseInput
		return &refusal{code: run.CodeShutdown, message: shuttingDown}
	case err != nil:
		text, failure := run.Hidden(inputRefused)
		srv.log.LogAttrs(ctx, slog.LevelError, "agloop: FilterInput failed",
			slog.String("id", failure), thread, id, slog.Any("err", err))
		return &refusal{code: run.CodeRefused, message: text}
	}
	return nil
}

const inputRefused = "the input was refused"

// runAgent runs the agent on an input. The input has its terminal event when this returns.
func (s *session) runAgent(ctx context.Context, input *agui.RunAgentInput) {
	perf := s.srv.performance
	enc := perf.serializers.Get()
	setup := s.srv.setup(s.principal.Key, s.principal, s.values, enc)
	setup.Sink = s
	if ended := setup.Ended; ended != nil {
		setup.Ended = func(end RunEnd) {
			returned := false
			defer func() {
				if !returned { // runtime.Goexit: runAgent does not learn how the run ended
					s.closeIfPanicked(end.Err)
				}
			}()
			ended(end)
			returned = true
		}
	}
	var err error
	perf.collector.Do(ctx, runLabels(input), func(ctx context.Context) { err = run.Do(ctx, input, setup) })
	if s.closeIfPanicked(err) {
		return // without giving the serializer back: it may be what panicked
	}
	perf.serializers.Put(enc)
}

// closeIfPanicked ends the connection if the run that ended with err panicked, and reports that.
func (s *session) closeIfPanicked(err error) bool {
	pe, ok := errors.AsType[*PanicError](err)
	if ok {
		s.closeAfterPanic(pe)
	}
	return ok
}

// countIfPanicked counts the panic of a run that has no connection to close, and reports whether
// there was one.
func (srv *Server) countIfPanicked(err error) bool {
	_, ok := errors.AsType[*PanicError](err)
	if ok {
		srv.door.Counters.Panics.Add(1)
	}
	return ok
}

// runLabels are what a profile says of a run. Inlined, it would take room on the stacks of all
// runs.
//
//go:noinline
func runLabels(input *agui.RunAgentInput) pprof.LabelSet {
	return pprof.Labels("thread", input.ThreadID, "run", input.RunID)
}

// foundByKey returns an agent whose runs Peer finds while it is called. A principal that is
// anonymous costs nothing.
func (srv *Server) foundByKey(key string) Agent {
	agent := srv.cfg.Agent
	if key == "" {
		return agent
	}
	return AgentFunc(func(ctx context.Context, r *Run) error {
		srv.live.add(key, r)
		defer srv.live.remove(key, r)
		return agent.Run(ctx, r)
	})
}

// setup is what a run needs, but for its sink.
func (srv *Server) setup(scope string, p auth.Principal, values []any, enc run.Encoder) *run.Setup {
	cfg := &srv.cfg
	setup := &run.Setup{
		Agent: srv.foundByKey(p.Key), Scope: scope, Principal: p, Values: values,
		Encoder: enc, MaxEvent: cfg.Limits.MaxEvent, Log: srv.log,
	}
	if hook := cfg.Hooks.RunStarted; hook != nil {
		setup.Started = func(info RunInfo) { srv.hooks.guard(func() { hook(info) }) }
	}
	if hook := cfg.Hooks.RunEnded; hook != nil {
		setup.Ended = func(end RunEnd) { srv.hooks.guard(func() { hook(end) }) }
	}
	return setup
}
