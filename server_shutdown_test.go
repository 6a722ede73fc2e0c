package agloop_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

type stuck struct {
	agloop.NopHandler
	in, out chan struct{}
}

func (s stuck) OnMessage(*agloop.Conn, agloop.Opcode, []byte) { close(s.in); <-s.out }

// TestShutdownHeedsItsContext: though one handler never returns.
func TestShutdownHeedsItsContext(t *testing.T) {
	h := stuck{in: make(chan struct{}), out: make(chan struct{})}
	srv, addr := serve(t, agloop.ServerConfig{Handler: h, Loops: 1})
	nc := testkit.Dial(t, addr)
	nc.Write(testkit.Text("x"))
	<-h.in
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Shutdown(ctx) }()
	testkit.Receive(t, "Shutdown ends with its context", done)
	close(h.out)
}

// TestShutdownWaitsForRunsWithoutConnection: a run whose client has gone is told to RunEnded before
// Shutdown returns, for the process may end then.
func TestShutdownWaitsForRunsWithoutConnection(t *testing.T) {
	release, active, agent := stubborn()
	defer release()
	ended := make(chan agloop.RunEnd, 1)
	srv, addr := serve(t, agloop.ServerConfig{
		Agent: agent,
		Hooks: agloop.Hooks{RunEnded: func(end agloop.RunEnd) { ended <- end }},
	})
	w := newWire(t, srv, addr)
	w.send(inputOf("r", 0))
	w.await("RUN_STARTED")
	w.Reset()
	testkit.Await(t, "the client has gone", func() bool { return srv.Stats().Connections == 0 && active.Load() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while a run goes on: %v", err)
	}
	release()
	if err := srv.Shutdown(t.Context()); err != nil || len(ended) != 1 {
		t.Errorf("%v, %d ends told", err, len(ended))
	}
}
