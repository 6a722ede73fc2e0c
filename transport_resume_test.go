package agloop_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestTransportRunSurvives: the run keeps its place while its connection is dialled again, and
// others wait; left early it costs nothing.
func TestTransportRunSurvives(t *testing.T) {
	p := newPeer(t)
	tr := startTransport(t, agloop.TransportConfig{URLs: []string{p.url}, ReconnectMin: time.Millisecond, ReconnectMax: 4 * time.Millisecond})
	conn := p.accept()
	results := make(chan string, 2)
	go func() {
		got, err := transportRun(t.Context(), tr, "r")
		results <- fmt.Sprint(got, " ", err)
	}()
	ref := conn.want("start")
	conn.say(selects(1, ref, "r", 1), startedOf("r"))
	testkit.Await(t, "RUN_STARTED is handled", func() bool { return tr.Stats().EventsIn == 1 })
	go func() {
		got, err := transportRun(t.Context(), tr, "next")
		results <- fmt.Sprint(got, " ", err)
	}()
	testkit.Await(t, "a run waits", func() bool { return tr.Stats().Waiting == 1 })
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	ref = conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	if st := tr.Stats(); st.Busy != 1 || st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	conn.say(selects(1, ref, "r", 2), says("2"), finishedOf("r"))
	if got := testkit.Receive(t, "the run", results); got != "RUN_STARTED CUSTOM RUN_FINISHED <nil>" {
		t.Errorf("got %s", got)
	}
	conn.say(selects(2, conn.want("start"), "next", 1), startedOf("next"), finishedOf("next"))
	if got := testkit.Receive(t, "the next run", results); got != "RUN_STARTED RUN_FINISHED <nil>" {
		t.Errorf("got %s", got)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range tr.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "left"}) {
			break
		}
	}()
	conn.say(selects(3, conn.want("start"), "left", 1), startedOf("left"))
	conn.want("leave", "run", 3.0)
	testkit.Receive(t, "the end of the loop", ended)
	if st := tr.Stats(); st.Up != 1 || st.Lost != 1 || st.Runs != 3 || st.RunsFailed != 0 || st.Busy != 0 {
		t.Errorf("%+v", st)
	}
	if err := tr.SendEvent(t.Context(), &agui.StepStarted{StepName: "s"}); !errors.Is(err, agloop.ErrEventsOneWay) {
		t.Errorf("SendEvent: %v", err)
	}
	waits := make(chan error, 1)
	go func() { _, err := transportRun(t.Context(), tr, "stopped"); waits <- err }()
	conn.say(selects(4, conn.want("start"), "stopped", 1), startedOf("stopped"))
	if err := tr.Stop(); err != nil {
		t.Error(err)
	}
	if err := testkit.Receive(t, "the run", waits); !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("a run of a transport that stops: %v", err)
	}
}
