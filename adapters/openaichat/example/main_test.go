package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/aguitest/serve"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/openai/openai-go/v3/option"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestAgentKnowsTheTime(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(standIn))
	t.Cleanup(model.Close)
	agent := newAgent("m", option.WithBaseURL(model.URL), option.WithAPIKey("none"))
	in := aguitest.Input("What time is it?")
	for _, got := range []*aguitest.Result{aguitest.Run(t, agent, in), serve.Agent(t, agent).Run(in)} {
		got.WantSuccess()
		said := got.Texts()
		if call := got.WantToolCall("clock", "{}"); len(said) != 1 || call.Result == nil || said[0] != "It is "+call.Result.Text+"." {
			t.Fatalf("it said %q", said)
		}
		if !regexp.MustCompile(`^It is \d\d:\d\d:\d\d\.$`).MatchString(said[0]) {
			t.Errorf("it said %q", said[0])
		}
	}
}
