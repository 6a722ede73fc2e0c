package agloop

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
)

// httpServer runs net/http on the connections of the server's own listeners that ask for no
// WebSocket. One of them may ask for it later, and goes back to a loop then. Heads must be whole by
// Limits.HandshakeTimeout, bodies by Limits.MessageTimeout; a response may last, but its reader must
// go on (see loop.HTTPConn).
type httpServer struct {
	// Immutable.
	owner *Server
	srv   *http.Server
	conns chan net.Conn // from take to Accept
	done  chan struct{} // closed by Close
	most  int           // connections at one moment that need no slot

	// Any goroutine.
	closing sync.Once

	// Any goroutine, under mu.
	mu        sync.Mutex
	open      map[*loop.HTTPConn]time.Time // when it came to rest; zero for one with a request
	lent      map[*loop.HTTPConn]int       // of them, those that carry streams, and how many
	borrowed  []loop.ID                    // slots of those beyond most
	responses map[*http2Response]struct{}  // whose handlers run
	hurrying  bool
}

// httpIdle is how long a connection may rest between requests: longer than proxies keep theirs,
// which is a minute with nginx, so that they are the ones to close.
const httpIdle = 75 * time.Second

func newHTTPServer(s *Server) *httpServer {
	h := &httpServer{
		owner: s,
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
		most:  loop.HTTPConns(),
		open:  make(map[*loop.HTTPConn]time.Time),
		lent:  make(map[*loop.HTTPConn]int),

		responses: make(map[*http2Response]struct{}),
	}
	h.srv = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: max(0, s.cfg.Limits.HandshakeTimeout),
		IdleTimeout:       httpIdle,
		MaxHeaderBytes:    s.cfg.Limits.MaxHeader, // CheckHead is exact
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ConnState:         h.noteState,
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return loop.ServedBy(nc).Context(ctx)
		},
		BaseContext: func(net.Listener) context.Context { return s.cfg.BaseContext },
	}
	return h
}

// start begins to serve what take is given.
func (h *httpServer) start() { go h.srv.Serve(h) } // returns when Accept fails, after close

// DefaultHTTP is what a server without ServerConfig.HTTP answers: GET /ping says that it is
// healthy, everything else is told to upgrade.
func DefaultHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"Healthy"}`)
		return
	}
	loop.AskForUpgrade(w, r)
}

// ServeHTTP implements http.Handler for the requests on these connections.
func (h *httpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cfg := &h.owner.cfg
	switch {
	case r.ProtoMajor >= 2: // it lets nobody wait for a body
		response := h.begin2(w, r)
		defer h.end2(response)
		w = response
	case r.Body != http.NoBody: // first, for net/http waits for the body of what is refused, too
		conn := loop.HTTPConnOf(r.Context())
		conn.BeginBody(cfg.Limits.MessageTimeout)
		if r.Trailer == nil {
			r.Trailer = make(http.Header) // one map for both, for trailers that nothing announced
		}
		read := r
		r = r.WithContext(r.Context()) // net/http must find its own Body, or 100-continue breaks
		r.Body = &timedBody{r.Body, conn}
		defer func() { read.MultipartForm = r.MultipartForm }() // whose files it removes
	}
	if err := handshake.CheckHead(r, handshake.HeadLimits{MaxBytes: cfg.Limits.MaxHeader}); err != nil {
		err.Respond(w)
		return
	}
	if handshake.AsksForWebSocket(r.Header) {
		if cfg.Path == AnyPath || r.URL.EscapedPath() == cfg.Path {
			h.owner.door.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close") // a proxy may take the upgrade for granted
	} else if h.owner.serveAgentCore(w, r) || h.owner.serveBinding(w, r, false) {
		return
	}
	if cfg.HTTP == nil {
		DefaultHTTP(w, r)
		return
	}
	cfg.HTTP.ServeHTTP(w, r)
}

// timedBody tells its connection when the body has been read.
type timedBody struct {
	io.ReadCloser
	conn *loop.HTTPConn
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.conn.EndBody()
	}
	return n, err
}

// take gives a connection to net/http. When there are as many as have places of their own, the one that
// has rested longest makes room; if none rests, this one takes a slot, of which up to half serve for
// that: many clients that start a run at once each need one soon. Else the request is answered 503.
func (h *httpServer) take(nc *loop.HTTPConn) {
	if !h.add(nc) {
		nc.Refuse()
		return
	}
	select {
	case h.conns <- nc.Served():
	case <-h.done:
		h.remove(nc)
		nc.Close()
	}
}

func (h *httpServer) add(nc *loop.HTTPConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.beyond() >= len(h.borrowed) && !h.evict() && !h.borrow() {
		return false
	}
	h.open[nc] = time.Time{}
	nc.OnLend(func(n int) { h.lend(nc, n) })
	if h.hurrying {
		nc.Hurry()
	}
	return true
}

// lend notes that a connection carries so many streams more: meanwhile it has their slots instead of a
// place here.
func (h *httpServer) lend(nc *loop.HTTPConn, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, open := h.open[nc]; !open {
		return
	}
	if h.lent[nc] += n; h.lent[nc] <= 0 {
		delete(h.lent, nc)
	}
	h.giveBack()
}

// forget forgets a connection, whose slot goes to another or is given back. Under mu.
func (h *httpServer) forget(nc *loop.HTTPConn) {
	delete(h.open, nc)
	delete(h.lent, nc)
}

// beyond is how many connections more there are than have places of their own. Under mu.
func (h *httpServer) beyond() int { return len(h.open) - len(h.lent) - h.most }

// borrow takes a slot for one more connection, and reports whether there was one. Under mu.
func (h *httpServer) borrow() bool {
	slots := h.owner.door.Slots()
	if len(h.borrowed) >= slots.Cap()/2 {
		return false
	}
	id, ok := slots.Acquire()
	if ok {
		h.borrowed = append(h.borrowed, id)
	}
	return ok
}

// giveBack releases the slots that are not needed any more. Under mu.
func (h *httpServer) giveBack() {
	for last := len(h.borrowed) - 1; last >= max(0, h.beyond()); last-- {
		h.owner.door.Slots().Release(h.borrowed[last])
		h.borrowed = h.borrowed[:last]
	}
}

// evict closes the connection that has rested longest, and reports whether there was one. Under mu.
func (h *httpServer) evict() bool {
	var longest *loop.HTTPConn
	for nc, since := range h.open {
		if !since.IsZero() && (longest == nil || since.Before(h.open[longest])) {
			longest = nc
		}
	}
	if longest == nil {
		return false
	}
	h.forget(longest)
	longest.Close()
	return true
}

func (h *httpServer) remove(nc *loop.HTTPConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(nc)
	h.giveBack()
}

// noteState keeps open up to date.
func (h *httpServer) noteState(c net.Conn, state http.ConnState) {
	nc := loop.ServedBy(c)
	if nc == nil {
		return // it is a WebSocket, whose link to its socket is the loop's
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch state {
	case http.StateIdle:
		nc.EndBody()
		if _, ok := h.open[nc]; ok {
			h.open[nc] = time.Now()
		}
		if len(h.borrowed) > 0 && h.evict() { // slots are not for those that rest
			h.giveBack()
		}
	case http.StateActive:
		if _, ok := h.open[nc]; ok {
			h.open[nc] = time.Time{}
		}
	case http.StateHijacked, http.StateClosed:
		h.forget(nc)
		h.giveBack()
	}
}

// count is the number of connections now, and how many slots they have.
func (h *httpServer) count() (conns, borrowed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.open), len(h.borrowed)
}

// Accept, Close and Addr make an httpServer the listener of its own server.
func (h *httpServer) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *httpServer) Close() error {
	h.closing.Do(func() { close(h.done) })
	return nil
}

func (h *httpServer) Addr() net.Addr { return &net.TCPAddr{} }

// shutdown waits for the requests that are being answered, until ctx ends. Bodies that do not come
// and responses that are not read have a second more.
func (h *httpServer) shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.hurrying = true
	for nc := range h.open {
		nc.Hurry()
	}
	responses := slices.Collect(maps.Keys(h.responses))
	h.mu.Unlock()
	for _, r := range responses {
		r.hurry()
	}
	return h.srv.Shutdown(ctx)
}

func (h *httpServer) close() {
	_ = h.srv.Close()
	_ = h.Close()
}
