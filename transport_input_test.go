package agloop_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// blocking reads one message and then nothing until it is released.
type blocking struct {
	agloop.NopHandler
	release chan struct{}
}

func (b blocking) OnMessage(*agloop.Conn, agloop.Opcode, []byte) { <-b.release }

// TestSendEventWaitsBehindALargeInput: events wait while the input of a run on their connection is
// written, however large it is; the connection is not cut for them.
func TestSendEventWaitsBehindALargeInput(t *testing.T) {
	server := blocking{release: make(chan struct{})}
	_, addr := serve(t, agloop.ServerConfig{Handler: server, Limits: agloop.Limits{MaxMessage: 64 << 20}})
	tr := newTransport(t, agloop.TransportConfig{URLs: []string{wsURL(addr)}})
	defer close(server.release)
	if err := tr.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		for {
			if err := tr.SendEvent(ctx, &agui.StepStarted{StepName: "s"}); err != nil {
				sent <- err
				return
			}
		}
	}()
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		text := strings.Repeat("x", 24<<20)
		in := &agui.RunAgentInput{ThreadID: "t", RunID: "r", Messages: []agui.Message{
			{ID: "m", Role: "user", Content: agui.TextContent(text)},
		}}
		for range tr.Run(ctx, in) {
		}
	}()
	testkit.Await(t, "the input is sent", func() bool { return tr.Stats().Runs == 1 })
	brief, done := context.WithTimeout(ctx, 50*time.Millisecond)
	defer done()
	if err := tr.SendEvent(brief, &agui.StepStarted{StepName: "last"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("SendEvent does not wait: %v", err)
	}
	if st := tr.Stats(); st.Lost != 0 {
		t.Errorf("the connection was cut: %v", st.LastError)
	}
	cancel()
	if err := testkit.Receive(t, "the end of SendEvent", sent); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	testkit.Receive(t, "the end of the run", ran)
}
