package agloop

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// hubConfig is the config of the hub. Logs have a ledger of their own: what connections hold is judged
// against a share of the memory that logs have no part of.
func (s *Server) hubConfig() run.HubConfig {
	runs, ledger := &s.cfg.Runs, memmon.NewLedger()
	store := s.cfg.Store
	if store == nil {
		s.ownStore = run.NewMemoryStore(ledger)
		store = s.ownStore
	}
	return run.HubConfig{
		Store: store,
		Limits: run.LogLimits{
			WindowEvents: runs.WindowEvents, WindowBytes: runs.WindowBytes, FoldedBytes: runs.FoldedBytes,
		},
		LogBytes: s.boundLogs, Grace: runs.Grace, Retention: runs.Retention, OnBusy: runs.OnBusyThread,
		Events: eventLimits(&s.cfg.Limits), Ledger: ledger, Log: s.log,
	}
}

// scopeShare says which part of the bytes of all logs those of one scope may take.
const scopeShare = 4

// boundLogs is the bound of all logs, which may change, and has the store heed what that is for a scope.
func (s *Server) boundLogs() int64 {
	most := s.logBytes()
	if s.ownStore != nil {
		s.ownStore.LimitScope(most / scopeShare)
	}
	return most
}

// logBytes is the bound of all logs; 0 is none.
func (s *Server) logBytes() int64 {
	if n := s.cfg.Runs.LogBytes; n != 0 {
		return max(n, 0)
	}
	return s.decodeBudget()
}

// newStart is what a run is started with that has a log. onDisconnect is what becomes of it when its
// last viewer is gone, unless RunsConfig says so.
func (s *Server) newStart(key RunKey, p Principal, values []any, input *agui.RunAgentInput, hash [32]byte,
	onDisconnect Disconnect,
) *run.Start {
	if set := s.cfg.Runs.OnDisconnect; set != DisconnectDefault {
		onDisconnect = set
	}
	start := &run.Start{
		Key: key, Principal: p, Input: input, Hash: hash, Encoder: eventLimits(&s.cfg.Limits), MaxEvent: s.cfg.Limits.MaxEvent,
		OnDisconnect: onDisconnect, BaseContext: s.cfg.BaseContext,
	}
	start.Do = func(ctx context.Context, l *run.Live) error { return s.runLogged(ctx, l, start, values) }
	return start
}

// runLogged runs the agent of a run that has a log.
func (s *Server) runLogged(ctx context.Context, l *run.Live, start *run.Start, values []any) (err error) {
	perf := s.performance
	enc := perf.serializers.Get()
	setup := s.setup(start.Key.Scope, start.Principal, values, enc)
	setup.Live = l
	perf.collector.Do(ctx, runLabels(start.Input), func(ctx context.Context) { err = run.Do(ctx, start.Input, setup) })
	if s.countIfPanicked(err) {
		return err // without giving the serializer back: it may be what panicked
	}
	perf.serializers.Put(enc)
	return err
}

// RunHandle is a run as a host sees it.
type RunHandle = run.Live

// StartRun starts a run that no client asked for: in the background, or on a schedule. Who follows
// its thread sees it. It goes on to its end whoever watches, within Quotas.Runs. The key names it;
// its Scope is the Key of the principal whose thread it is in, and Thread and Run, where they are
// "", are those of the input. ctx bounds the start, not the run. Errors: ErrServerClosed, a
// *ConfigError for a server without an Agent, a *FieldError, ErrConflict, ErrThreadBusy, ErrGone,
// ErrTooManyRuns, ctx's. A run of that name that was started with the same input is returned.
func (s *Server) StartRun(ctx context.Context, key RunKey, input *agui.RunAgentInput) (*RunHandle, error) {
	if s.hub == nil {
		return nil, &ConfigError{Field: "Agent", Reason: "must be set: a Handler has no runs"}
	}
	if err := s.ensureServing(); err != nil {
		return nil, err
	}
	own, raw, err := s.ownInput(key, input)
	if err != nil {
		return nil, err
	}
	key.Thread, key.Run = own.ThreadID, own.RunID
	start := s.newStart(key, Principal{Key: key.Scope}, nil, own, hashInput(raw), DisconnectContinue)
	start.Keep = true
	if !s.hub.Known(ctx, key) { // one that there is already, or was, needs no place
		if !s.places.takeOne() {
			s.door.RunOverQuota()
			return nil, ErrTooManyRuns
		}
		start.Released = func() { s.places.taken.Add(-1) }
	}
	l, _, err := s.hub.Start(ctx, start, nil)
	return l, startError(err)
}

// ownInput is a copy of an input under the names of a key, and its bytes.
func (s *Server) ownInput(key RunKey, input *agui.RunAgentInput) (*agui.RunAgentInput, []byte, error) {
	if input == nil {
		input = &agui.RunAgentInput{}
	}
	named := *input
	if key.Thread != "" {
		named.ThreadID = key.Thread
	}
	if key.Run != "" {
		named.RunID = key.Run
	}
	raw, err := eventLimits(&s.cfg.Limits).AppendRunAgentInput(nil, &named)
	if err != nil {
		return nil, nil, err
	}
	own, _, err := s.decodeBytes(raw) // the host knows what it has made
	return own, raw, err
}

// hashInput names the bytes of an input.
func hashInput(raw []byte) [sha256.Size]byte { return sha256.Sum256(raw) }

// startError is the error of a host's start.
func startError(err error) error {
	if errors.Is(err, run.ErrShutdown) {
		return ErrServerClosed
	}
	return err
}

// goneCounts are how often a client was told that a run is gone, by reason.
type goneCounts struct{ trimmed, epoch, future, ended, other atomic.Uint64 }

func (c *goneCounts) note(reason string) {
	switch reason {
	case control.ReasonTrimmed:
		c.trimmed.Add(1)
	case control.ReasonEpoch:
		c.epoch.Add(1)
	case control.ReasonFuture:
		c.future.Add(1)
	case control.ReasonEnded:
		c.ended.Add(1)
	default:
		c.other.Add(1)
	}
}

// Run returns a run that has not ended, nil where there is none of that name.
func (s *Server) Run(key RunKey) *RunHandle {
	if s.hub == nil {
		return nil
	}
	return s.hub.Find(key)
}

// Runs yields the runs of a scope that have a log: live ones, those that wait for their thread, and
// those that have ended and are kept, in the order of their start.
func (s *Server) Runs(scope string) iter.Seq[RunInfo] {
	return func(yield func(RunInfo) bool) {
		if s.hub == nil {
			return
		}
		for r, err := range s.hub.List(context.Background(), scope, "") {
			if err != nil || r.State <= run.RecordEnded && !yield(r.Info) {
				return
			}
		}
	}
}
