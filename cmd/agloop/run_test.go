package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
)

// printer is what a run is printed to. It calls printed before each line.
type printer struct {
	bytes.Buffer
	printed func() error
}

func (p *printer) Write(b []byte) (int, error) {
	if err := p.printed(); err != nil {
		return 0, err
	}
	return p.Buffer.Write(b)
}

// TestRunIsStopped: whoever gives a run up stops it on the server, whatever the reason.
func TestRunIsStopped(t *testing.T) {
	called, causes := make(chan struct{}, 1), make(chan error, 1)
	srv := server.New(server.Config{Agent: server.AgentFunc(func(ctx context.Context, _ *server.Run) error {
		called <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	}()
	full := errors.New("full")
	for name, write := range map[string]func(context.CancelFunc) error{
		"interrupted":   func(stop context.CancelFunc) error { stop(); return nil },
		"not printable": func(context.CancelFunc) error { return full },
	} {
		ctx, stop := context.WithCancel(t.Context())
		out := &printer{}
		out.printed = func() error {
			if out.Len() == 0 { // RUN_STARTED is there before the agent is called, which a cancel may come before
				testkit.Receive(t, "the call of the agent", called)
			}
			return write(stop)
		}
		err := printRun(ctx, "ws://"+ln.Addr().String()+"/ws", newInput("", "hello", ""), out)
		if !errors.Is(err, context.Canceled) && !errors.Is(err, full) || strings.Contains(out.String(), "RUN_FINISHED") {
			t.Errorf("%s: %v, after %s", name, err, &out.Buffer)
		}
		if cause := testkit.Receive(t, "the end of the agent", causes); cause != agloop.ErrCancelled {
			t.Errorf("%s: the agent was ended with %v", name, cause)
		}
		stop()
	}
}
