package agloop_test

import (
	"errors"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestSmallEventsCountForWhatTheyTake: a flood of them takes no more memory than MaxPending.
func TestSmallEventsCountForWhatTheyTake(t *testing.T) {
	const pending, least = 64 << 10, 256 // the smallest buffer
	frames := []string{`{"type":"RUN_STARTED","threadId":"t","runId":"r"}`}
	for range 2000 {
		frames = append(frames, `{"type":"CUSTOM","name":"n","value":1}`)
	}
	srv, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: frames}})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{MaxPending: pending})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, last := 0, error(nil)
	for _, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		if n == 0 {
			testkit.Await(t, "the connection is gone", func() bool { return srv.Stats().Connections == 0 })
			if held := c.Pending(); held > pending || held < pending-1000 {
				t.Errorf("%d bytes wait, want up to %d", held, pending)
			}
		}
		n, last = n+1, err
	}
	if !errors.Is(last, agloop.ErrSlowConsumer) {
		t.Errorf("the run ends with %v", last)
	}
	if n < 100 || n > 2+pending/least {
		t.Errorf("%d events and errors, want what fits into MaxPending", n)
	}
	if held := c.Pending(); held != 0 {
		t.Errorf("%d bytes wait after the run", held)
	}
}

// TestOneEventMayWait: however small MaxPending is.
func TestOneEventMayWait(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: &script{frames: []string{`{"type":"RUN_ERROR","message":"x"}`}}})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{MaxPending: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for ev, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"}) {
		if _, ok := ev.(*agui.RunError); !ok || err != nil {
			t.Errorf("%v, %v", ev, err)
		}
	}
}
