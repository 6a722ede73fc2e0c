package agloop

import (
	"context"
	"errors"
	"log/slog"
	"runtime/pprof"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

// startRun makes a run of an input, or returns why it is refused. The run has a place until its
// goroutine is through with it.
func (s *session) startRun(ctx context.Context, input *agui.RunAgentInput) refusal {
	places := s.srv.places
	if full := places.take(s.principal.Key, s.network); full != "" {
		s.srv.door.RunOverQuota()
		return refusal{run.CodeManyRuns, full}
	}
	defer places.give(s.principal.Key, s.network)
	if refused := s.filterInput(ctx, input); refused.code != "" {
		return refused
	}
	s.answers = true
	s.runAgent(ctx, input)
	return refusal{}
}

// filterInput asks the host's filter whether it takes an input, which that may change.
func (s *session) filterInput(ctx context.Context, input *agui.RunAgentInput) refusal {
	filter := s.srv.cfg.Runs.FilterInput
	if filter == nil {
		return refusal{}
	}
	thread, id := slog.String("thread", input.ThreadID), slog.String("run", input.RunID)
	err := filter(ctx, s.principal, input)
	refused, ok := errors.AsType[*auth.RefusedError](err)
	switch {
	case ok && refused != nil:
		if err != error(refused) {
			s.srv.log.LogAttrs(ctx, slog.LevelWarn, "agloop: an input was refused", thread, id, slog.Any("err", err))
		}
		if refused.Reason == "" {
			return refusal{run.CodeRefused, inputRefused}
		}
		return refusal{run.CodeRefused, refused.Reason}
	case ctx.Err() != nil: // as in parseInput
		return refusal{run.CodeShutdown, shuttingDown}
	case err != nil:
		text, failure := run.Hidden(inputRefused)
		s.srv.log.LogAttrs(ctx, slog.LevelError, "agloop: FilterInput failed",
			slog.String("id", failure), thread, id, slog.Any("err", err))
		return refusal{run.CodeRefused, text}
	}
	return refusal{}
}

const inputRefused = "the input was refused"

// runAgent runs the agent on an input. The input has its terminal event when this returns.
func (s *session) runAgent(ctx context.Context, input *agui.RunAgentInput) {
	perf := s.srv.performance
	enc := perf.serializers.Get()
	setup := s.setup(enc)
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

// runLabels are what a profile says of a run. Inlined, it would take room on the stacks of all
// runs.
//
//go:noinline
func runLabels(input *agui.RunAgentInput) pprof.LabelSet {
	return pprof.Labels("thread", input.ThreadID, "run", input.RunID)
}

// foundByKey returns an agent whose runs Peer finds while it is called. A principal that is
// anonymous costs nothing.
func (s *session) foundByKey(agent Agent) Agent {
	key := s.principal.Key
	if key == "" {
		return agent
	}
	return AgentFunc(func(ctx context.Context, r *Run) error {
		s.srv.live.add(key, r)
		defer s.srv.live.remove(key, r)
		return agent.Run(ctx, r)
	})
}

// setup is what a run of this session needs.
func (s *session) setup(enc run.Encoder) *run.Setup {
	cfg := &s.srv.cfg
	setup := &run.Setup{
		Agent: s.foundByKey(cfg.Agent), Principal: s.principal, Values: s.values,
		Encoder: enc, Sink: s, MaxEvent: cfg.Limits.MaxEvent, Log: s.srv.log,
	}
	if hook := cfg.Hooks.RunStarted; hook != nil {
		setup.Started = func(info RunInfo) { s.srv.hooks.guard(func() { hook(info) }) }
	}
	if hook := cfg.Hooks.RunEnded; hook != nil {
		setup.Ended = func(end RunEnd) {
			returned := false
			defer func() {
				if !returned { // runtime.Goexit: runAgent does not learn how the run ended
					s.closeIfPanicked(end.Err)
				}
			}()
			s.srv.hooks.guard(func() { hook(end) })
			returned = true
		}
	}
	return setup
}
