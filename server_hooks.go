package agloop

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/loop"
)

// Hooks are told what happens to connections and runs. They are called off the loops, one after
// another for one connection or run, so they may block: that holds up nothing but what comes after
// for the same connection or run. nil is skipped. A panic in one is logged and counted, and changes
// nothing else.
type Hooks struct {
	// Connected is told of a connection that was let in; of one that Authorize has let in by
	// ErrAuthLater when its token is accepted. A token that comes later changes the principal's
	// Value and ExpiresAt, which Disconnected is told.
	Connected func(ConnInfo)
	// Disconnected is told of the end of each connection of which Connected was told, or would have
	// been. The *CloseError is never nil. Shutdown waits for it.
	Disconnected func(ConnInfo, *CloseError)
	// InputNoted is told of an input with parts that were left out, translated or unusual: those
	// that the client's version of AG-UI has and this one has not, above all. It is told before the
	// run starts, or is refused; the key names that, its Scope is the principal's Key. At most 16
	// notes have a place, and what they say is logged as well. The client is answered when it
	// returns. The notes are the hook's.
	InputNoted func(ConnInfo, RunKey, []Note)
	// RunStarted is told of a run, in its goroutine, before the agent is called.
	RunStarted func(RunInfo)
	// RunEnded is told there of the end of each run of which RunStarted was told, or would have
	// been: after the agent has returned and the terminal event is queued. Shutdown waits for it.
	// With this hook events are reduced to RunEnd.Thread as they are emitted: that costs about 0.1 µs
	// for a piece of text, and for a STATE_DELTA as much as its state is large, 56 µs for 1 KiB.
	RunEnded func(RunEnd)
}

// ofConns reports whether a hook is told of connections.
func (h *Hooks) ofConns() bool { return h.Connected != nil || h.Disconnected != nil }

// watchedHandler is the Handler of a server that tells hooks of connections, or finds them by their
// principal.
type watchedHandler struct {
	Handler
	srv *Server
}

func (h watchedHandler) OnOpen(c *Conn) {
	if !loop.AwaitsToken(c) {
		h.srv.connected(c)
	}
	h.Handler.OnOpen(c)
}

func (h watchedHandler) OnClose(c *Conn, why *CloseError) {
	defer func() { // also when the handler panics
		if loop.AwaitsToken(c) { // nobody was told of it
			return
		}
		info := loop.InfoOf(c)
		h.srv.peers.remove(info.Principal.Key, c)
		if hook := h.srv.cfg.Hooks.Disconnected; hook != nil {
			h.srv.hooks.call(c, func() { hook(*info, why) })
		}
	}()
	h.Handler.OnClose(c, why)
}

// connected notes and tells that it is known whose a connection is. On its loop.
func (s *Server) connected(c *Conn) {
	info := loop.InfoOf(c)
	s.peers.add(info.Principal.Key, c)
	if hook := s.cfg.Hooks.Connected; hook != nil {
		s.hooks.call(c, func() { hook(*info) })
	}
}

// hookCalls calls hooks, those of one connection one after another. There is a goroutine for a
// connection only while it has calls.
type hookCalls struct {
	// Immutable.
	log    *slog.Logger
	panics *atomic.Uint64

	// Any goroutine, under mu.
	mu      sync.Mutex
	waiting map[any][]func() // the calls that come after the one that goes on
	idle    chan struct{}    // closed when there are none; nil while nobody waits for it
}

// call has f called after the others of c.
func (h *hookCalls) call(c any, f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if calls, busy := h.waiting[c]; busy {
		h.waiting[c] = append(calls, f)
		return
	}
	if h.waiting == nil {
		h.waiting = make(map[any][]func())
	}
	h.waiting[c] = nil
	go h.run(c, f)
}

// do is call that returns after f.
func (h *hookCalls) do(c any, f func()) {
	done := make(chan struct{})
	h.call(c, func() {
		defer close(done)
		f()
	})
	<-done
}

// run makes one call of c after another, from f on.
func (h *hookCalls) run(c any, f func()) {
	returned := false
	defer func() {
		if !returned { // runtime.Goexit ends this goroutine, so another one goes on
			if f := h.next(c); f != nil {
				go h.run(c, f)
			}
		}
	}()
	for f != nil {
		h.guard(f)
		f = h.next(c)
	}
	returned = true
}

// next is the next call of c, nil when there is none.
func (h *hookCalls) next(c any) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.waiting[c]
	if len(calls) > 0 {
		h.waiting[c] = calls[1:]
		return calls[0]
	}
	delete(h.waiting, c)
	if len(h.waiting) == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
	return nil
}

// guard calls a hook, whatever that does.
func (h *hookCalls) guard(f func()) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			h.panics.Add(1)
			h.log.LogAttrs(context.Background(), slog.LevelError, "agloop: panic in a hook",
				slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		} else if !returned {
			h.log.Error("agloop: a hook ended its goroutine, as FailNow of a test does")
		}
	}()
	f()
	returned = true
}

// wait waits until every call has been made, or returns ctx's error when that ends first.
func (h *hookCalls) wait(ctx context.Context) error {
	h.mu.Lock()
	if len(h.waiting) == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
