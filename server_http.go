package agloop

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// httpServer runs net/http on the connections that ask for no WebSocket.
type httpServer struct {
	// Immutable.
	srv   *http.Server
	conns chan net.Conn // from serve to Accept
	done  chan struct{} // closed by Close

	// Any goroutine.
	closing sync.Once
}

func newHTTPSide(handler http.Handler, log *slog.Logger) *httpServer {
	if handler == nil {
		handler = http.HandlerFunc(DefaultHTTP)
	}
	h := &httpServer{
		srv: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       time.Minute,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		},
		conns: make(chan net.Conn),
		done:  make(chan struct{}),
	}
	go h.srv.Serve(h) // returns when Accept fails, after close
	return h
}

// DefaultHTTP is what a server without ServerConfig.HTTP answers: GET /ping says that it is
// healthy, everything else is told to upgrade.
func DefaultHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ping" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"Healthy"}`)
		return
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	http.Error(w, "this is a WebSocket endpoint", http.StatusUpgradeRequired)
}

// serve gives a connection to net/http.
func (h *httpServer) serve(nc net.Conn) {
	select {
	case h.conns <- nc:
	case <-h.done:
		nc.Close()
	}
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

func (h *httpServer) shutdown(ctx context.Context) { _ = h.srv.Shutdown(ctx) }

func (h *httpServer) close() {
	_ = h.srv.Close()
	_ = h.Close()
}
