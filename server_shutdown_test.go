package agloop_test

import (
	"context"
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
