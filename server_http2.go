package agloop

import (
	"net/http"
	"sync"
	"time"

	"github.com/agloop/agloop/loop"
)

// http2Response is the response to a request of HTTP/2. Many share a connection, so that one which is
// not read is known by its own writes alone, and a body that does not come by its own deadline.
type http2Response struct {
	http.ResponseWriter

	// Any goroutine, under mu.
	mu      sync.Mutex
	stall   time.Duration // how long a write may not progress; 0 or less: for ever
	timer   *time.Timer   // ends the write under way; nil before the first
	writing bool
	over    bool // the handler has returned: net/http has taken the response back
}

// http2Piece is how much of a write must leave in the time of one, in bytes.
const http2Piece = 32 << 10

// begin2 notes a response for as long as its handler runs.
func (h *httpServer) begin2(w http.ResponseWriter, req *http.Request) *http2Response {
	r := &http2Response{ResponseWriter: w, stall: h.owner.cfg.Limits.WriteTimeout}
	h.mu.Lock()
	h.responses[r] = struct{}{}
	hurrying := h.hurrying
	h.mu.Unlock()
	switch t := h.owner.cfg.Limits.MessageTimeout; {
	case hurrying:
		r.hurry()
	case t > 0 && req.Body != http.NoBody:
		_ = r.control().SetReadDeadline(time.Now().Add(t))
	}
	return r
}

// end2 takes it back. What net/http still writes has the time of one write.
func (h *httpServer) end2(r *http2Response) {
	h.mu.Lock()
	delete(h.responses, r)
	h.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.stall > 0 {
		_ = r.control().SetWriteDeadline(time.Now().Add(r.stall))
	}
}

func (r *http2Response) control() *http.ResponseController {
	return http.NewResponseController(r.ResponseWriter)
}

// Unwrap is for http.ResponseController.
func (r *http2Response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Write implements http.ResponseWriter.
func (r *http2Response) Write(p []byte) (n int, err error) {
	for {
		var m int
		r.beginWrite()
		m, err = r.ResponseWriter.Write(p[n:min(len(p), n+http2Piece)])
		r.endWrite()
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// Flush implements http.Flusher.
func (r *http2Response) Flush() { _ = r.FlushError() }

// FlushError is for http.ResponseController.
func (r *http2Response) FlushError() error {
	r.beginWrite()
	defer r.endWrite()
	return r.control().Flush()
}

func (r *http2Response) beginWrite() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = true
	r.setTimer()
}

// setTimer gives the write under way its time. Under mu.
func (r *http2Response) setTimer() {
	switch {
	case r.stall <= 0:
	case r.timer == nil:
		r.timer = time.AfterFunc(r.stall, r.stalled)
	default:
		r.timer.Reset(r.stall)
	}
}

func (r *http2Response) endWrite() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing = false
	if r.timer != nil {
		r.timer.Stop()
	}
}

// stalled ends a response whose reader does not go on.
func (r *http2Response) stalled() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writing && !r.over {
		_ = r.control().SetWriteDeadline(time.Unix(1, 0))
	}
}

// hurry is HTTPConn.Hurry for one response. It waits for the connection, so no lock is held that this
// may need.
func (r *http2Response) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return
	}
	if r.stall <= 0 || r.stall > loop.HurryTime {
		r.stall = loop.HurryTime
	}
	if r.writing {
		r.setTimer()
	}
	_ = r.control().SetReadDeadline(time.Now().Add(loop.HurryTime))
}
