package agloop

import (
	"context"
	"errors"
	"runtime/pprof"

	"github.com/agloop/agloop/agui"
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
	s.answers = true
	s.runAgent(ctx, input)
	return refusal{}
}

// runAgent runs the agent on an input. The input has its terminal event when this returns.
func (s *session) runAgent(ctx context.Context, input *agui.RunAgentInput) {
	perf := s.srv.performance
	enc := perf.serializers.Get()
	setup := s.setup(enc)
	var err error
	perf.collector.Do(ctx, runLabels(input), func(ctx context.Context) { err = run.Do(ctx, input, setup) })
	if pe, ok := errors.AsType[*PanicError](err); ok {
		s.closeAfterPanic(pe)
		return // without giving the serializer back: it may be what panicked
	}
	perf.serializers.Put(enc)
}

// runLabels are what a profile says of a run. Inlined, it would take room on the stacks of all
// runs.
//
//go:noinline
func runLabels(input *agui.RunAgentInput) pprof.LabelSet {
	return pprof.Labels("thread", input.ThreadID, "run", input.RunID)
}

// setup is what a run of this session needs.
func (s *session) setup(enc run.Encoder) *run.Setup {
	cfg := &s.srv.cfg
	setup := &run.Setup{
		Agent: cfg.Agent, Principal: s.principal, Values: s.values,
		Encoder: enc, Sink: s, MaxEvent: cfg.Limits.MaxEvent, Log: s.srv.log,
	}
	return setup
}
