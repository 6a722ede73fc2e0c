package agloop

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"sync"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// Peer is a principal: all its connections to this server, and all its runs. Its methods may be
// called from any goroutine.
type Peer struct {
	srv *Server
	key string
}

// peerConn is a connection of a principal: a WebSocket, or the stream of a response.
type peerConn interface {
	Info() ConnInfo
	Close(code CloseCode, reason string)
}

// infoOf is what a connection is. Any goroutine, where that of a WebSocket's Info is its loop.
func infoOf(c peerConn) ConnInfo {
	if c, ok := c.(*Conn); ok {
		return *loop.InfoOf(c)
	}
	return c.Info()
}

// Peer returns the principal of that key, whether it is connected or not. Nobody has the key "".
func (s *Server) Peer(key string) *Peer { return &Peer{s, key} }

// Count is the number of its connections.
func (p *Peer) Count() int { return len(p.srv.peers.of(p.key)) }

// Conns says what each of its connections is, in no order.
func (p *Peer) Conns() (list []ConnInfo) {
	for _, c := range p.srv.peers.of(p.key) {
		list = append(list, infoOf(c))
	}
	return list
}

// Kick closes its connections with code and reason, and returns how many those were. They are
// viewers no more of any run; what becomes of those says RunsConfig.OnDisconnect. Kick does not wait,
// and keeps nobody from connecting again: that is up to Authorize.
func (p *Peer) Kick(code CloseCode, reason string) int {
	conns := p.srv.peers.of(p.key)
	for _, c := range conns {
		c.Close(code, reason)
	}
	return len(conns)
}

// Publish sends a CUSTOM event into each run of the principal's that is live, between the events of
// its agent. value becomes JSON by encoding/json. A run whose reader is slow is waited for until
// ctx ends, while the others have the event already. Publish returns into how many runs the event
// went.
//
// Errors: that of encoding value, a *FieldError, ErrEventTooBig; the event goes into no run then.
// Of runs into which it could not go, other than because they ended meanwhile: ctx's, joined.
func (p *Peer) Publish(ctx context.Context, name string, value any) (runs int, err error) {
	ev, err := customEvent(name, value, &p.srv.cfg.Limits)
	if err != nil {
		return 0, err
	}
	live := p.srv.live.of(p.key)
	errs := make([]error, len(live))
	var wg sync.WaitGroup
	for i, r := range live {
		wg.Go(func() { errs[i] = p.srv.guarded(func() error { return r.EmitContext(ctx, ev) }) })
	}
	wg.Wait()
	for i, err := range errs {
		switch {
		case err == nil:
			runs++
		case errors.Is(err, ErrRunEnded):
			errs[i] = nil
		}
	}
	return runs, joinErrors(errs...)
}

// guarded emits something, and makes an error of a panic, which is an encoder's.
func (s *Server) guarded(emit func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.door.Counters.Panics.Add(1)
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return emit()
}

// customEvent makes an event that every run takes.
func customEvent(name string, value any, limits *Limits) (*agui.Custom, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	ev := &agui.Custom{Name: name, Value: raw}
	encoded, err := eventLimits(limits).AppendEvent(nil, ev)
	if err != nil {
		return nil, err
	}
	return ev, run.CheckSize(ev, len(encoded), limits.MaxEvent)
}
