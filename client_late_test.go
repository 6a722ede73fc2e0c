package agloop_test

import (
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// lateScript ends a run at its first input, and says more when the test asks for that, behind which it
// closes the connection.
type lateScript struct {
	agloop.NopHandler
	more chan []string
}

func (s *lateScript) OnMessage(c *agloop.Conn, _ agloop.Opcode, _ []byte) {
	c.Send(agloop.Text, []byte(startedOf("r")))
	c.Send(agloop.Text, []byte(finishedOf("r")))
	go func() {
		for _, frame := range <-s.more {
			c.Send(agloop.Text, []byte(frame))
		}
		c.Close(agloop.CloseNormal, "")
	}()
}

// TestClientLateRunError: a RUN_ERROR behind RUN_FINISHED says that the run has failed. Whatever else
// follows belongs to nobody.
func TestClientLateRunError(t *testing.T) {
	const failed = `{"type":"RUN_ERROR","message":"late"}`
	for name, tc := range map[string]struct {
		more    []string
		leave   bool // the caller leaves at RUN_FINISHED
		want    string
		outcome agui.OutcomeType
		failed  bool
	}{
		"a late error":                     {[]string{failed}, false, "RUN_STARTED RUN_FINISHED RUN_ERROR", "", true},
		"two of them":                      {[]string{failed, failed}, false, "RUN_STARTED RUN_FINISHED RUN_ERROR", "", true},
		"nothing":                          {nil, false, "RUN_STARTED RUN_FINISHED", agui.OutcomeSuccess, false},
		"something else":                   {[]string{`{"type":"RAW","event":1}`, failed}, false, "RUN_STARTED RUN_FINISHED", agui.OutcomeSuccess, false},
		"what is no event":                 {[]string{`{`}, false, "RUN_STARTED RUN_FINISHED", agui.OutcomeSuccess, false},
		"an error that nobody waits for":   {[]string{failed}, true, "RUN_STARTED RUN_FINISHED", agui.OutcomeSuccess, false},
		"the start of what is another run": {[]string{startedOf("r2")}, false, "RUN_STARTED RUN_FINISHED", agui.OutcomeSuccess, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &lateScript{more: make(chan []string, 1)}
			_, addr := serve(t, agloop.ServerConfig{Handler: s})
			gone := make(chan struct{}, 100)
			c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Logger: quiet, OnState: func(s agloop.ConnState) {
				if s.Phase != agloop.ConnConnecting && s.Phase != agloop.ConnOpen {
					gone <- struct{}{}
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in := inputFor("r")
			thread := agui.NewThread(in)
			var types []string
			for ev, err := range c.Run(t.Context(), in) {
				if err != nil {
					t.Fatal(err)
				}
				types = append(types, string(ev.Type()))
				if err := thread.Apply(ev); err != nil {
					t.Error(err)
				}
				if ev.Type() != agui.EventTypeRunFinished {
					continue
				}
				s.more <- tc.more
				testkit.Receive(t, "the end of the connection", gone) // all that was sent has arrived
				if tc.leave {
					break
				}
			}
			if got := strings.Join(types, " "); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if run := thread.Run(); run.Outcome != tc.outcome || (run.Error != nil) != tc.failed {
				t.Errorf("the run ended with %q, %v", run.Outcome, run.Error)
			}
		})
	}
}
