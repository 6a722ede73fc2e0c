package openaichat_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/adapters/openaichat"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/run"
	"github.com/openai/openai-go/v3"
)

// weather is a tool that runs in the agent.
func weather(result string, err error) openaichat.Tool {
	return openaichat.Tool{
		Definition: openai.FunctionDefinitionParam{Name: "weather", Parameters: openai.FunctionParameters{"type": "object"}},
		Call: func(_ context.Context, _ *run.Run, arguments string) (string, error) {
			return result + " for " + arguments, err
		},
	}
}

// TestOwnTools: the model's call is answered here, and it is asked again.
func TestOwnTools(t *testing.T) {
	u := newUpstream(t,
		deltas("tool_calls", `{"content":"Let me see."}`, call(0, "c1", "weather", `{"in":"Bonn"}`), call(1, "c2", "nonsense", `{}`)),
		deltas("tool_calls", call(0, "c1", "weather", `{"in":"Rome"}`)), // an id that was there
		said("Rain, and sun."))
	in := aguitest.Input("weather?")
	in.Tools = []agui.Tool{{Name: "weather", Description: "the frontend's"}, {Name: "paint", Parameters: []byte(`{"type":"object"}`)}}
	got := aguitest.Run(t, u.agent(weather("rain", nil)), in)
	got.WantSuccess()
	got.WantText("Let me see.", "Rain, and sun.")
	wantUsage(t, got, 3)
	calls := got.ToolCalls()
	if len(calls) != 3 || calls[0].Result.Text != `rain for {"in":"Bonn"}` || !strings.Contains(calls[1].Result.Text, "no tool") ||
		calls[2].Result.Text != `rain for {"in":"Rome"}` || calls[2].ID == "c1" {
		t.Errorf("calls %+v", calls)
	}
	reqs := u.asked()
	var names []string
	for _, tool := range reqs[0].Tools {
		names = append(names, tool.Function.Name)
	}
	if !slices.Equal(names, []string{"paint", "weather"}) {
		t.Errorf("tools %q", names)
	}
	// user, assistant with two calls, two results; then assistant with a call, a result
	if len(reqs[1].Messages) != 4 || len(reqs[2].Messages) != 6 {
		t.Fatalf("%d and %d messages", len(reqs[1].Messages), len(reqs[2].Messages))
	}
	for i, part := range []string{`"role":"user"`, `"content":"Let me see."`, `"tool_call_id":"c1"`, `"tool_call_id":"c2"`, `"tool_calls":[{"id":"` + calls[2].ID, `"tool_call_id":"` + calls[2].ID} {
		if !strings.Contains(string(reqs[2].Messages[i]), part) {
			t.Errorf("message %d is %s, want %s in it", i, reqs[2].Messages[i], part)
		}
	}
	// The conversation that the client has is the one that the model had.
	msgs, err := openaichat.Messages(got.Thread.Messages())
	if err != nil || len(msgs) != 7 {
		t.Errorf("%d messages, %v", len(msgs), err)
	}
}

// TestFrontendTools: the run ends, and goes on with the results in the next input.
func TestFrontendTools(t *testing.T) {
	u := newUpstream(t, deltas("tool_calls", call(0, "c1", "paint", `{"it":"red"}`), call(1, "c2", "weather", `{}`)), said("Done."))
	in := aguitest.Input("paint it")
	in.Tools = []agui.Tool{{Name: "paint"}}
	a := u.agent(weather("rain", nil))
	got := aguitest.Run(t, a, in)
	got.WantSuccess()
	if pending := got.Thread.Run().PendingToolCallIDs; !slices.Equal(pending, []string{"c1"}) {
		t.Errorf("pending %q", pending)
	}
	next := got.Next(nil)
	next.Messages = append(next.Messages, agui.Message{ID: "m", Role: agui.RoleTool, ToolCallID: new("c1"), Content: agui.TextContent("painted")})
	aguitest.Run(t, a, next).WantText("Done.")
	req := u.asked()[1]
	for i, part := range []string{`"role":"user"`, `"tool_calls":[`, `"content":"painted"`, `"content":"rain for {}"`} {
		if len(req.Messages) != 4 || !strings.Contains(string(req.Messages[i]), part) {
			t.Fatalf("messages %s, want %s at %d", req.Messages, part, i)
		}
	}
}

func TestAgentErrors(t *testing.T) {
	boom := errors.New("boom")
	again := deltas("tool_calls", call(0, "c", "weather", `{}`))
	got := aguitest.Run(t, newUpstream(t, again).agent(weather("", boom)), aguitest.Input())
	if got.WantError(run.CodeAgent); !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}

	a := newUpstream(t, again, again).agent(weather("rain", nil))
	a.MaxRounds = 2
	got = aguitest.Run(t, a, aguitest.Input())
	got.WantError(openaichat.CodeRounds)
	if n := len(got.ToolCalls()); n != 2 {
		t.Errorf("%d calls", n)
	}

	in := aguitest.Input()
	in.Messages = []agui.Message{{ID: "m", Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{
		{Type: agui.PartVideo, Source: &agui.Source{Type: agui.SourceURL, Value: "https://example.com/v"}},
	}}}}
	got = aguitest.Run(t, newUpstream(t).agent(), in)
	if end := got.WantError(openaichat.CodeContent); !strings.Contains(end.Message, `message "m", content[0]`) {
		t.Errorf("message %q", end.Message)
	}
}

func TestPrepare(t *testing.T) {
	u := newUpstream(t, said("Yes."))
	a := u.agent()
	a.Prepare = func(_ context.Context, r *run.Run, p *openai.ChatCompletionNewParams) error {
		p.Messages = append([]openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief, " + r.Principal.Key)}, p.Messages...)
		p.Temperature = openai.Float(0)
		return nil
	}
	cfg := aguitest.Config{}
	cfg.Principal.Key = "ann"
	cfg.Run(t, a, aguitest.Input("?")).WantText("Yes.")
	if req := u.asked()[0]; req.Temperature == nil || !strings.Contains(string(req.Messages[0]), "Be brief, ann") {
		t.Errorf("asked %+v", req)
	}
	boom := errors.New("boom")
	a.Prepare = func(context.Context, *run.Run, *openai.ChatCompletionNewParams) error { return boom }
	if got := aguitest.Run(t, a, aguitest.Input()); !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}
}
