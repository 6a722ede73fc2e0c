package agloop

import (
	"net/http"
	"sync"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// loopStream is a viewer over HTTP/1.1 whose response has left net/http: it is a connection on a loop, and
// costs no goroutine. It is that connection's User.
type loopStream struct {
	// Immutable once it has its viewer.
	srv    *Server
	proto  bool // protobuf, else SSE
	scope  *scope
	viewer *run.Viewer

	// Any goroutine, under mu, which comes after the log's.
	mu    sync.Mutex
	conn  *Conn // nil before its loop has it
	ended bool  // nothing follows
	why   error // of that
}

func (v *visit) newLoopStream() *loopStream { return &loopStream{srv: v.srv, proto: v.acceptsProto()} }

// answer implements streamOutlet.
func (s *loopStream) answer(v *visit, viewer *run.Viewer) {
	s.viewer, s.scope = viewer, v.scope
	v.began = true
	if v.guest.Respond(v.w, v.r, s) {
		v.guest, v.scope = nil, nil // they are the connection's
		return
	}
	viewer.Leave()
	v.fail(&httpProblem{status: http.StatusInternalServerError, Code: run.CodeInternal, Message: "the server failed"})
}

// opened begins the stream. On the loop.
func (s *loopStream) opened(c *Conn) {
	c.SetBusy(true)
	s.srv.streams.add(c)
	if !s.setConn(c) {
		s.end(c)
		return
	}
	s.drained()
}

// setConn notes the connection. It reports whether anything is still to be sent.
func (s *loopStream) setConn(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	return !s.ended
}

// drained sends on. On the loop.
func (s *loopStream) drained() {
	for s.viewer.Pull() {
	}
}

// closed ends the stream with its connection. On the loop.
func (s *loopStream) closed(c *Conn) {
	s.srv.streams.remove(c)
	s.Lost()
}

// Lost implements loop.Responder.
func (s *loopStream) Lost() {
	s.viewer.Leave()
	if s.scope != nil {
		s.srv.scopes.leave(s.scope, true, s.srv.liveScopes)
	}
}

// Ping implements loop.Responder.
func (s *loopStream) Ping() []byte {
	if s.proto {
		return nil
	}
	return ssePing
}

// chunkHead is room for the size of a chunk.
const chunkHead = 8 + 2

// Offer implements run.Outlet.
func (s *loopStream) Offer(f *run.Frame) run.Offered {
	b := bufpool.Get(len(f.Event) + frameRoom + loop.ChunkRoom)
	defer func() { b.Release() }()
	b.B = b.B[:chunkHead]
	b = appendFrame(b, f, s.proto)
	var room [chunkHead]byte
	head := loop.AppendChunkHead(room[:0], len(b.B)-chunkHead)
	from := chunkHead - len(head)
	copy(b.B[from:], head)
	b = b.Grow(loop.ChunkRoom)
	b.B = loop.AppendChunkEnd(b.B, f.Terminal)
	return offered(s.conn.OfferBody(b.B[from:], f.Terminal))
}

// Ended implements run.Outlet.
func (s *loopStream) Ended(why error) {
	s.mu.Lock()
	s.ended, s.why = true, why
	c := s.conn
	s.mu.Unlock()
	if c != nil {
		s.end(c)
	}
}

// end closes the connection: behind the end of the body, or without one where the run goes on without
// this client, so that it does not pass for one that has ended.
func (s *loopStream) end(c *Conn) {
	code, reason := CloseNormal, ""
	if s.why != nil {
		code, reason = CloseGoingAway, s.why.Error()
	}
	c.Close(code, reason)
}
