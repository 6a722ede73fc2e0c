package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
	"golang.org/x/sync/semaphore"
)

// refusal is why no run is made of an input; nil: one is.
type refusal struct {
	code, message string
	field         string // the member of the input that is wrong; "" for none
	reason        string // why a run is gone, see run.GoneReason
}

// parseInput decodes an input, releases raw, and checks the limits of inputs. It returns an input,
// with notes, or why it is refused; neither when it closes the connection.
func (s *session) parseInput(ctx context.Context, raw *bufpool.Buffer) (*agui.RunAgentInput, []Note, *refusal) {
	defer s.releaseInput(raw)
	input, notes, refused := s.srv.parseInput(ctx, raw.B, s.startRate)
	if refused == notJSON {
		s.conn.Close(frame.CloseUnsupported, "input is not JSON")
		return nil, nil, nil
	}
	return input, notes, refused
}

// notJSON says that an input is none.
var notJSON = &refusal{code: run.CodeBadInput, message: "input is not JSON"}

// parseInput decodes an input and checks the limits of inputs. It returns an input, with notes of what
// it does not have any more, or why it is refused.
func (srv *Server) parseInput(ctx context.Context, raw []byte, rate *loop.Bucket) (*agui.RunAgentInput, []Note, *refusal) {
	input, notes, isJSON, err := srv.decodeInput(ctx, raw)
	limits := &srv.cfg.Limits
	switch {
	case ctx.Err() != nil: // the server shuts down, or nobody is there to be told
		return nil, nil, &refusal{code: run.CodeShutdown, message: shuttingDown}
	case !isJSON:
		return nil, nil, notJSON
	case err != nil:
		refused := &refusal{code: run.CodeBadInput, message: err.Error()}
		if wrong, ok := errors.AsType[*FieldError](err); ok {
			refused.field = wrong.Field
		}
		return nil, nil, refused
	case len(input.Messages) > limits.MaxInputMessages:
		return nil, nil, &refusal{code: run.CodeTooLarge, message: fmt.Sprintf("input has %d messages, at most %d are taken",
			len(input.Messages), limits.MaxInputMessages), field: "messages"}
	case len(input.Tools) > limits.MaxInputTools:
		return nil, nil, &refusal{code: run.CodeTooLarge, message: fmt.Sprintf("input has %d tools, at most %d are taken",
			len(input.Tools), limits.MaxInputTools), field: "tools"}
	case !rate.Allow():
		srv.door.RunRefused()
		return nil, nil, &refusal{code: run.CodeRate, message: "too many runs in a short time"}
	}
	return input, notes, nil
}

// tellNotes logs what was noted of an input that came over c, and tells the hook. Inlined, it would
// take room on the stacks of all runs.
//
//go:noinline
func (srv *Server) tellNotes(c *Conn, input *agui.RunAgentInput, notes []Note) {
	if len(notes) == 0 {
		return
	}
	info := ConnInfo{ID: c.ID()}
	if known := loop.InfoOf(c); known != nil {
		info = *known
	}
	srv.tellNotesOf(c, info, input, notes)
}

// tellNotesOf is tellNotes for what came over something else, behind whose other hooks this one is told.
func (srv *Server) tellNotesOf(c any, info ConnInfo, input *agui.RunAgentInput, notes []Note) {
	if len(notes) == 0 {
		return
	}
	key := RunKey{Scope: info.Principal.Key, Thread: input.ThreadID, Run: input.RunID}
	srv.logNotes(info, key, notes)
	if hook := srv.cfg.Hooks.InputNoted; hook != nil {
		srv.hooks.do(c, func() { hook(info, key, notes) })
	}
}

// logNotes logs what was noted of an input.
func (srv *Server) logNotes(info ConnInfo, key RunKey, notes []Note) {
	texts := make([]string, len(notes))
	for i, n := range notes {
		texts[i] = n.String()
	}
	srv.log.LogAttrs(context.Background(), slog.LevelWarn, "agloop: an input is not all of this version of AG-UI",
		slog.String("thread", key.Thread), slog.String("run", key.Run), slog.String("principal", key.Scope),
		slog.Any("remote", info.Remote), slog.Any("notes", texts))
}

// tooLarge refuses an input of too many bytes.
func (srv *Server) tooLarge() *refusal {
	return &refusal{code: run.CodeTooLarge, message: fmt.Sprintf("input has more than %d bytes", srv.cfg.Limits.MaxMessage)}
}

// decodeInput decodes raw. It waits until there is memory for that, or ctx ends.
func (srv *Server) decodeInput(ctx context.Context, raw []byte) (input *agui.RunAgentInput, notes []Note, isJSON bool, err error) {
	done, err := srv.decoding.acquire(ctx, len(raw))
	if err != nil {
		return nil, nil, false, err
	}
	defer done()
	input, notes, err = srv.decode(raw)
	return input, notes, err == nil || json.Valid(raw), err
}

// eventLimits are what l, which has its defaults, says of an event or an input by itself.
func eventLimits(l *Limits) event.Limits {
	return event.Limits{PatchOps: l.MaxPatchOps, Depth: l.MaxDepth, ID: l.MaxID}
}

func (srv *Server) decodeBytes(raw []byte) (*agui.RunAgentInput, []Note, error) {
	limits := eventLimits(&srv.cfg.Limits)
	input, notes, err := limits.DecodeRunAgentInput(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := limits.CheckInputIDs(input); err != nil {
		return nil, nil, err
	}
	if _, err := agui.CheckProtocolVersion(input.ProtocolVersion); err != nil {
		return nil, nil, &FieldError{Event: "RunAgentInput", Field: "protocolVersion", Reason: err.Error()}
	}
	return input, notes, nil
}

// decodeCost is what decoding an input may take while it goes on, as a multiple of its size.
const decodeCost = 12

// admission bounds what decoding takes at one moment, over a whole server.
type admission struct {
	// Immutable.
	budget func() int64 // in bytes; 0 or less: no bound

	// Any goroutine.
	semaphore atomic.Pointer[sizedSemaphore]
}

// sizedSemaphore is a semaphore that knows its size.
type sizedSemaphore struct {
	*semaphore.Weighted
	size int64
}

// acquire waits until an input of n bytes may be decoded, first come first served. done is to be
// called when it is. An input that costs more than the whole budget is decoded alone. The error is
// ctx's.
func (a *admission) acquire(ctx context.Context, n int) (done func(), err error) {
	sem := a.current()
	if sem == nil {
		return func() {}, ctx.Err()
	}
	cost := min(decodeCost*int64(n), sem.size)
	if err := sem.Acquire(ctx, cost); err != nil {
		return nil, err
	}
	return func() { sem.Release(cost) }, nil
}

// current is the semaphore of the present budget. What was acquired of another one is released to
// that, so both may be in use for a moment after a change.
func (a *admission) current() *sizedSemaphore {
	size := a.budget()
	if size <= 0 {
		return nil
	}
	for {
		old := a.semaphore.Load()
		if old != nil && old.size == size {
			return old
		}
		fresh := &sizedSemaphore{semaphore.NewWeighted(size), size}
		if a.semaphore.CompareAndSwap(old, fresh) {
			return fresh
		}
	}
}

// decodeBudget is a quarter of the memory there is for the server, in bytes.
func (srv *Server) decodeBudget() int64 {
	most := srv.performance.Config().MaxMemoryUsage
	if most == 0 {
		most = memmon.Limit()
	}
	return most / 4
}
