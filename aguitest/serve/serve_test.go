package serve_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/aguitest/serve"
	"github.com/agloop/agloop/internal/testkit"
)

var greeter = aguitest.Script{aguitest.Say("Hello yourself.")}

func TestAgent(t *testing.T) {
	s := serve.Agent(t, greeter)
	first := s.Client()
	for range 2 {
		got := s.Run(aguitest.Input("hello"))
		got.WantSuccess()
		got.WantText("Hello yourself.")
		got.WantGolden("greeter")
	}
	if s.Client() != first {
		t.Error("a second client was dialled")
	}
}

// TestServedAndNot: a run over the wire is the run in memory.
func TestServedAndNot(t *testing.T) {
	script := aguitest.Script{
		aguitest.Call("look", `{"at":"it"}`, "seen"),
		aguitest.Emit(&agui.StateSnapshot{Snapshot: []byte(`{"n":1}`)}),
		aguitest.Fail(&agui.PublicError{Code: "c", Message: "m"}),
	}
	in := aguitest.Input("hello")
	served, direct := serve.Agent(t, script).Run(in), aguitest.Run(t, script, in)
	if a, b := string(served.Golden()), string(direct.Golden()); a != b {
		t.Errorf("served\n%s\ndirect\n%s", a, b)
	}
	served.WantState(`{"n":1}`)
	served.WantError("c")
	if n := len(served.Next(nil, "more").Messages); n != 4 { // hello, the call, its result, more
		t.Errorf("%d messages in the next input", n)
	}
}

// TestConfig: what a config says holds, and its clients can be what it asks for.
func TestConfig(t *testing.T) {
	s := serve.Config(t, agloop.ServerConfig{
		Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
			return aguitest.Say("Hello "+r.Principal.Key)(nil, r)
		}),
		Path: "/agents",
		TLS:  testkit.ServerTLS(t),
		Authorize: func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
			key := req.Header.Get("X-User")
			if key == "" {
				return agloop.Grant{}, &agloop.RefusedError{Status: http.StatusUnauthorized}
			}
			return agloop.Grant{Principal: agloop.Principal{Key: key}}, nil
		},
	})
	if !strings.HasPrefix(s.URL(), "wss://") || !strings.HasSuffix(s.URL(), "/agents") {
		t.Errorf("the URL is %s", s.URL())
	}
	c := s.Dial(agloop.ClientConfig{TLS: testkit.ClientTLS(), Header: http.Header{"X-User": {"ann"}}})
	in := aguitest.Input("hello")
	aguitest.Collect(t, in, c.Run(t.Context(), in)).WantText("Hello ann")

	_, err := agloop.Dial(t.Context(), s.URL(), agloop.ClientConfig{TLS: testkit.ClientTLS()})
	if refused, ok := errors.AsType[*agloop.DialError](err); !ok || refused.Status != http.StatusUnauthorized {
		t.Errorf("without a name: %v", err)
	}
}

// TestEndsWithTheTest: the connection is closed, the run cancelled, and the agent has returned.
func TestEndsWithTheTest(t *testing.T) {
	var cause error
	t.Run("served", func(t *testing.T) {
		began := make(chan struct{})
		s := serve.Agent(t, agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
			close(began)
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		}))
		go func() {
			for range s.Client().Run(t.Context(), aguitest.Input()) {
			}
		}()
		testkit.Receive(t, "the agent is called", began)
	})
	if cause == nil {
		t.Error("the agent goes on")
	}
}

func TestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg agloop.ServerConfig
		say string
	}{
		"bad config": {agloop.ServerConfig{}, "has not ended in order: "},
		"refused": {agloop.ServerConfig{Agent: greeter, Authorize: func(context.Context, *agloop.Request) (agloop.Grant, error) {
			return agloop.Grant{}, &agloop.RefusedError{Status: http.StatusTeapot}
		}}, "418"},
	} {
		t.Run(name, func(t *testing.T) {
			r := testkit.Record(t, func(t testing.TB) {
				if s := serve.Config(t, tc.cfg); tc.cfg.Agent != nil {
					s.Client()
				}
			})
			r.WantFailure(t, tc.say)
		})
	}
}
