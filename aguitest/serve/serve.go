// Package serve starts a server for a test, with a client that is ready. Hosts may rely on its API.
//
//	func TestServed(t *testing.T) {
//		s := serve.Agent(t, agent)
//		got := s.Run(aguitest.Input("hello"))
//		got.WantText("Hello yourself.")
//	}
//
// It listens on a loopback port of its own and ends with the test: connections are closed, runs
// cancelled, and agents waited for. It needs sockets, so it does not work in a bubble of
// testing/synctest; package aguitest does.
package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
)

// patience bounds the start of a client, a run, and the end of the server. Who waits longer waits
// for something that does not happen.
const patience = 30 * time.Second

// Server is a server that goes on until the test ends. Its methods are for the goroutine of the
// test.
type Server struct {
	// Server is the server itself, for what a host asks it.
	Server *agloop.Server
	// Addr is its host and port.
	Addr string

	t      testing.TB
	cfg    agloop.ServerConfig
	client *agloop.Client
}

// Agent serves agent with a config that is zero otherwise.
func Agent(t testing.TB, agent agloop.Agent) *Server {
	t.Helper()
	return Config(t, agloop.ServerConfig{Agent: agent})
}

// Config serves as cfg says. A nil Logger is the output of the test.
func Config(t testing.TB, cfg agloop.ServerConfig) *Server {
	t.Helper()
	out := &output{to: t.Output()}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(out, nil))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("aguitest: %v", err)
	}
	s := &Server{Server: agloop.NewServer(cfg), Addr: ln.Addr().String(), t: t, cfg: cfg}
	served := make(chan error, 1)
	go func() { served <- s.Server.ServeListener(ln) }()
	t.Cleanup(func() {
		defer out.stop()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := s.Server.Shutdown(ctx)
		if why := <-served; !errors.Is(why, agloop.ErrServerClosed) {
			err = why // a bad config, say: then there was nothing to shut down
		}
		if err != nil {
			t.Errorf("aguitest: the server has not ended in order: %v", err)
		}
	})
	return s
}

// URL is where its WebSocket is.
func (s *Server) URL() string {
	scheme, path := "ws://", s.cfg.Path
	if s.cfg.TLS != nil {
		scheme = "wss://"
	}
	if path == "" || path == agloop.AnyPath {
		path = "/ws"
	}
	return scheme + s.Addr + path
}

// Client is a client of the server, with a config that is zero. It is dialled by the first call, and
// closed with the test.
func (s *Server) Client() *agloop.Client {
	s.t.Helper()
	if s.client == nil {
		s.client = s.Dial(agloop.ClientConfig{})
	}
	return s.client
}

// Dial is another client, which is closed with the test. Where it cannot connect it ends the test. A
// nil Logger is that of the server.
func (s *Server) Dial(cfg agloop.ClientConfig) *agloop.Client {
	s.t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = s.cfg.Logger
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	c, err := agloop.Dial(ctx, s.URL(), cfg)
	if err != nil {
		s.t.Fatalf("aguitest: %v", err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// Run runs in by Client to its end, or for 30 s, and returns what was received.
func (s *Server) Run(in *agui.RunAgentInput) *aguitest.Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	return aguitest.Collect(s.t, in, s.Client().Run(ctx, in))
}

// output is the output of a test until that is over: nobody may write there afterwards.
type output struct {
	mu sync.Mutex
	to io.Writer // nil when the test is over
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(p), nil
	}
	return o.to.Write(p)
}

func (o *output) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = nil
}
