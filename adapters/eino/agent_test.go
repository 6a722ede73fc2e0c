package eino_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/adapters/eino"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/schema"
)

func TestAnswer(t *testing.T) {
	m := newFake(t, stream(reasoning("let me "), reasoning("think"), text("Hel"), text("lo"), end("stop")))
	got := aguitest.Run(t, &eino.Agent{Agent: chat(t, m)}, aguitest.Input("hi", "there"))
	got.WantSuccess()
	got.WantText("Hello")
	if r := got.Reasoning(); !slices.Equal(r, []string{"let me think"}) {
		t.Errorf("reasoning %q", r)
	}
	wantUsage(t, got, 1)
	if in := m.requests()[0]; len(in) != 2 || in[0].Content != "hi" || in[1].Role != schema.User {
		t.Errorf("the model was asked %v", in)
	}
}

// wantUsage wants the usage of so many answers.
func wantUsage(t *testing.T, got *aguitest.Result, answers int64) {
	t.Helper()
	u := got.Thread.Run().Usage
	if len(u) != 1 || *u[0].InputTokens != 10*answers || *u[0].OutputTokens != 5*answers || *u[0].TotalTokens != 15*answers ||
		*u[0].CachedInputTokens != 4*answers || u[0].ReasoningTokens != nil {
		t.Errorf("usage %+v", u)
	}
}

// TestTools: parallel calls in pieces, their results, and the answer.
func TestTools(t *testing.T) {
	m := newFake(t,
		stream(text("Let me see."), call(0, "c1", "weather", `{"in"`), call(0, "", "", `:"Bonn"}`), call(1, "c2", "weather", `{}`), end("tool_calls")),
		stream(&schema.Message{ToolCalls: []schema.ToolCall{ // whole, without an index, and with an id that was there
			{ID: "c1", Function: schema.FunctionCall{Name: "weather", Arguments: `{"in":"Rome"}`}},
		}}, end("tool_calls")),
		stream(text("Rain."), end("stop")))
	got := aguitest.Run(t, &eino.Agent{Agent: chat(t, m, weather())}, aguitest.Input("weather?"))
	got.WantSuccess()
	got.WantText("Let me see.", "Rain.")
	wantUsage(t, got, 3)
	calls := got.ToolCalls()
	if len(calls) != 3 || calls[2].ID == "c1" {
		t.Fatalf("calls %+v", calls)
	}
	for i, args := range []string{`{"in":"Bonn"}`, `{}`, `{"in":"Rome"}`} {
		if calls[i].Arguments != args || calls[i].Result == nil || calls[i].Result.Text != "rain for "+args {
			t.Errorf("call %d is %+v", i, calls[i])
		}
	}
	// What the client sends next is what the model had.
	back, err := eino.Messages(got.Thread.Messages())
	if err != nil || len(back) != 7 || len(back[1].ToolCalls) != 2 || back[2].ToolName != "weather" || back[2].ToolCallID != "c1" {
		t.Errorf("messages %v, %v", back, err)
	}
}

// resume answers what a run has asked.
func resume(got *aguitest.Result, status agui.ResumeStatus, payload string, texts ...string) *agui.RunAgentInput {
	var answers []agui.ResumeEntry
	for _, i := range got.Thread.PendingInterrupts() {
		answer := agui.ResumeEntry{InterruptID: i.ID, Status: status}
		if payload != "" {
			answer.Payload = json.RawMessage(payload)
		}
		answers = append(answers, answer)
	}
	return got.Next(answers, texts...)
}

// TestInterrupt: a tool asks, and goes on with the answer.
func TestInterrupt(t *testing.T) {
	for name, tc := range map[string]struct {
		status  agui.ResumeStatus
		payload string
		result  string
	}{
		"approved":    {agui.ResumeResolved, `{"approved":true}`, "yes"},
		"another":     {agui.ResumeResolved, `7`, "perhaps"},
		"no payload":  {agui.ResumeResolved, "", "no"},
		"not at all":  {agui.ResumeCancelled, "", "no"},
		"though said": {agui.ResumeCancelled, `{"approved":true}`, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newFake(t,
				stream(call(0, "c1", "weather", `{}`), call(1, "c2", "approve", `{}`), end("tool_calls")),
				stream(text("Done."), end("stop")))
			agent := &eino.Agent{Agent: chat(t, m, weather(), approve()), Store: new(checkpoints)}
			asked := aguitest.Run(t, agent, aguitest.Input("do it"))
			asked.WantToolCall("weather", `{}`)
			pending := asked.WantInterrupts(eino.ReasonTool)
			if len(pending) != 1 || *pending[0].ToolCallID != "c2" || *pending[0].Message != "May I?" || !strings.Contains(string(pending[0].Metadata), "tool:approve:c2") {
				t.Fatalf("interrupts %+v", pending)
			}
			got := aguitest.Run(t, agent, resume(asked, tc.status, tc.payload))
			got.WantSuccess()
			got.WantText("Done.")
			results := aguitest.EventsOf[*agui.ToolCallResult](got)
			if len(results) != 1 || results[0].ToolCallID != "c2" || results[0].Content.Text != tc.result {
				t.Errorf("results %+v", results)
			}
			if n := len(m.requests()[1]); n != 4 {
				t.Errorf("the model has %d messages", n)
			}
		})
	}
}

// TestChangedSubject: who cancels and says something else begins anew, without the call.
func TestChangedSubject(t *testing.T) {
	m := newFake(t, stream(call(0, "c1", "approve", `{}`), end("tool_calls")), stream(text("Fine."), end("stop")))
	agent := &eino.Agent{Agent: chat(t, m, approve()), Store: new(checkpoints)}
	asked := aguitest.Run(t, agent, aguitest.Input("do it"))
	aguitest.Run(t, agent, resume(asked, agui.ResumeCancelled, "", "never mind")).WantText("Fine.")
	if in := m.requests()[1]; len(in) != 2 || in[1].Content != "never mind" {
		t.Errorf("the model was asked %v", in)
	}
}

func TestResumeFails(t *testing.T) {
	boom := errors.New("boom")
	m := newFake(t, stream(call(0, "c1", "approve", `{}`)), stream(call(0, "c1", "approve", `{}`)))
	agent := &eino.Agent{Agent: chat(t, m, approve())} // no store
	asked := aguitest.Run(t, agent, aguitest.Input("do it"))
	in := resume(asked, agui.ResumeResolved, "1")
	if end := aguitest.Run(t, agent, in).WantError(eino.CodeResume); end.Message != "what was asked is not open any more" {
		t.Errorf("message %q", end.Message)
	}
	// The checkpoint is the principal's who was asked.
	agent.Store = new(checkpoints)
	ann, bob := aguitest.Config{}, aguitest.Config{}
	ann.Principal.Key, bob.Principal.Key = "ann", "bob"
	asked = ann.Run(t, agent, aguitest.Input("do it"))
	bob.Run(t, agent, resume(asked, agui.ResumeResolved, "1")).WantError(eino.CodeResume)

	agent.ResumeData = func(agui.ResumeEntry) (any, error) { return nil, boom }
	if got := ann.Run(t, agent, in); !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}
}

// TestHooks: what is asked of the user, which checkpoint it is, and what the tool reads.
func TestHooks(t *testing.T) {
	store := new(checkpoints)
	m := newFake(t, stream(call(0, "c1", "approve", `{}`)), stream(text("Done.")))
	options := 0
	agent := &eino.Agent{
		New:          func(context.Context, *run.Run) (adk.Agent, error) { return chat(t, m, approve()), nil },
		Store:        store,
		CheckPointID: func(*run.Run) string { return "mine" },
		Options:      func(context.Context, *run.Run) []adk.AgentRunOption { options++; return nil },
		ResumeData:   func(agui.ResumeEntry) (any, error) { return map[string]any{"approved": true}, nil },
		Interrupt: func(of *adk.InterruptCtx, ask *agui.Interrupt) {
			ask.Reason, ask.ResponseSchema = "approval", json.RawMessage(`{"type":"boolean"}`)
		},
	}
	asked := aguitest.Run(t, agent, aguitest.Input("do it"))
	if pending := asked.WantInterrupts("approval"); len(pending[0].ResponseSchema) == 0 || len(store.all["mine"]) == 0 {
		t.Errorf("interrupts %+v", pending)
	}
	got := aguitest.Run(t, agent, resume(asked, agui.ResumeResolved, ""))
	got.WantSuccess()
	if r := aguitest.EventsOf[*agui.ToolCallResult](got); r[0].Content.Text != "yes" || options != 2 {
		t.Errorf("result %+v, options %d times", r, options)
	}
	boom := errors.New("boom")
	agent.New = func(context.Context, *run.Run) (adk.Agent, error) { return nil, boom }
	if got := aguitest.Run(t, agent, aguitest.Input()); !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}
}

// frontend is an agent that has the tools of the frontend, and its own.
func frontend(t *testing.T, m fake) *eino.Agent {
	return &eino.Agent{
		New: func(_ context.Context, r *run.Run) (adk.Agent, error) {
			tools, err := eino.FrontendTools(r.Input.Tools)
			if err != nil {
				return nil, err
			}
			return chat(t, m, append(tools, weather(), approve())...), nil
		},
		Store: new(checkpoints),
	}
}

func TestFrontendTools(t *testing.T) {
	in := aguitest.Input("paint it")
	in.Tools = []agui.Tool{{Name: "paint", Description: "paints", Parameters: []byte(`{"type":"object","properties":{"it":{"type":"string"}}}`)}}
	m := newFake(t,
		stream(call(0, "c1", "paint", `{"it":"red"}`), call(1, "c2", "weather", `{}`), end("tool_calls")),
		stream(text("Done."), end("stop")))
	agent := frontend(t, m)
	got := aguitest.Run(t, agent, in)
	got.WantSuccess()
	if pending := got.Thread.Run().PendingToolCallIDs; !slices.Equal(pending, []string{"c1"}) {
		t.Errorf("pending %q", pending)
	}
	next := got.Next(nil)
	next.Messages = append(next.Messages, agui.Message{ID: "m", Role: agui.RoleTool, ToolCallID: new("c1"), Content: agui.TextContent("painted")})
	aguitest.Run(t, agent, next).WantText("Done.")
	if in := m.requests()[1]; len(in) != 4 || in[2].Content != "painted" || in[3].Content != "rain for {}" {
		t.Errorf("the model was asked %v", in)
	}
}

// TestFrontendToolBesideAQuestion: then both are questions.
func TestFrontendToolBesideAQuestion(t *testing.T) {
	in := aguitest.Input("paint it")
	in.Tools = []agui.Tool{{Name: "paint"}}
	m := newFake(t,
		stream(call(0, "c1", "paint", `{}`), call(1, "c2", "approve", `{}`), end("tool_calls")),
		stream(text("Done."), end("stop")))
	agent := frontend(t, m)
	asked := aguitest.Run(t, agent, in)
	asked.WantInterrupts(eino.ReasonTool, eino.ReasonTool)
	got := aguitest.Run(t, agent, resume(asked, agui.ResumeResolved, `{"approved":true}`))
	got.WantText("Done.")
	var results []string
	for _, r := range aguitest.EventsOf[*agui.ToolCallResult](got) {
		results = append(results, r.ToolCallID+" "+r.Content.Text)
	}
	slices.Sort(results)
	if !slices.Equal(results, []string{`c1 {"approved":true}`, "c2 yes"}) {
		t.Errorf("results %q", results)
	}
	if _, err := eino.FrontendTools([]agui.Tool{{Name: "bad", Parameters: []byte(`7`)}}); err == nil || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("parameters that are a number: %v", err)
	}
}

// TestSubagents: what another agent says is a step of its name.
func TestSubagents(t *testing.T) {
	root := newFake(t, stream(call(0, "c1", adk.TransferToAgentToolName, `{"agent_name":"expert"}`), end("tool_calls")))
	expert := newFake(t, stream(text("I know."), end("stop")))
	a, err := adk.SetSubAgents(t.Context(), named(t, "root", root, nil), []adk.Agent{named(t, "expert", expert, nil)})
	if err != nil {
		t.Fatal(err)
	}
	got := aguitest.Run(t, &eino.Agent{Agent: a}, aguitest.Input("who knows?"))
	got.WantSuccess()
	got.WantText("I know.")
	got.WantInOrder("TOOL_CALL_END", "TOOL_CALL_RESULT", "STEP_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_FINISHED")
	if steps := aguitest.EventsOf[*agui.StepStarted](got); len(steps) != 1 || steps[0].StepName != "expert" {
		t.Errorf("steps %+v", steps)
	}
}

// TestErrors: of the model, in the middle of its answer and before it, and of a tool.
func TestErrors(t *testing.T) {
	boom := errors.New("boom")
	broken := func(_ context.Context, _ []*schema.Message, out *schema.StreamWriter[*schema.Message]) {
		out.Send(&schema.Message{Role: schema.Assistant, Content: "so far"}, nil)
		out.Send(nil, boom)
	}
	got := aguitest.Run(t, &eino.Agent{Agent: chat(t, newFake(t, broken))}, aguitest.Input())
	got.WantError(run.CodeAgent)
	got.WantText("so far")
	if !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}
	got.WantInOrder("TEXT_MESSAGE_END", "RUN_ERROR")

	fails := own{"fails", func(context.Context, string) (string, error) { return "", boom }}
	got = aguitest.Run(t, &eino.Agent{Agent: chat(t, newFake(t, stream(call(0, "c", "fails", "{}"))), fails)}, aguitest.Input())
	if got.WantError(run.CodeAgent); !errors.Is(got.Err, boom) {
		t.Errorf("the error is %v", got.Err)
	}

	for _, reason := range []string{"length", "content_filter"} {
		got = aguitest.Run(t, &eino.Agent{Agent: chat(t, newFake(t, stream(text("so far"), end(reason))))}, aguitest.Input())
		got.WantError(reason)
		got.WantText("so far")
	}

	// Eino tries again: what was said stays, and the answer is another message.
	retry := &adk.ModelRetryConfig{MaxRetries: 1, BackoffFunc: func(context.Context, int) (d time.Duration) { return 0 }}
	m := newFake(t, broken, stream(text("Fine."), end("stop")))
	got = aguitest.Run(t, &eino.Agent{Agent: named(t, "root", m, retry)}, aguitest.Input())
	got.WantSuccess()
	got.WantText("so far", "Fine.")
}

// TestCancel: the context of the model ends, and what was open is closed.
func TestCancel(t *testing.T) {
	gone := make(chan struct{})
	m := newFake(t, func(ctx context.Context, _ []*schema.Message, out *schema.StreamWriter[*schema.Message]) {
		defer close(gone)
		out.Send(&schema.Message{Role: schema.Assistant, Content: "so far"}, nil)
		<-ctx.Done()
		out.Send(nil, ctx.Err())
	})
	s := aguitest.Start(t, &eino.Agent{Agent: chat(t, m)}, aguitest.Input())
	aguitest.Await[*agui.TextMessageContent](s)
	s.Cancel(nil)
	got := s.Wait()
	got.WantCancelled()
	got.WantText("so far")
	if !errors.Is(got.Err, run.ErrCancelled) {
		t.Errorf("the error is %v", got.Err)
	}
	testkit.Receive(t, "the model to stop", gone)
}

// TestEventsOfOthers: an agent may send what it likes.
func TestEventsOfOthers(t *testing.T) {
	whole := adk.EventFromMessage(&schema.Message{Role: schema.Assistant, Content: "Whole."}, nil, schema.Assistant, "")
	whole.Output.CustomizedOutput = map[string]any{"n": 1}
	orphan := adk.EventFromMessage(schema.ToolMessage("result", "unknown"), nil, schema.Tool, "f")
	pieces := adk.EventFromMessage(nil, schema.StreamReaderFromArray([]*schema.Message{
		schema.ToolMessage("in ", "c"), schema.ToolMessage("pieces", "c"),
	}), schema.Tool, "f")
	agent := odd{[]*adk.AgentEvent{
		whole, orphan, pieces,
		{Action: &adk.AgentAction{CustomizedAction: make(chan int)}},
		{Action: &adk.AgentAction{Exit: true, CustomizedAction: "act"}},
	}}
	got := aguitest.Run(t, &eino.Agent{Agent: agent}, aguitest.Input())
	got.WantSuccess()
	got.WantText("Whole.")
	var said []string
	for _, ev := range got.Events {
		switch e := ev.(type) {
		case *agui.Custom:
			said = append(said, e.Name+" "+string(e.Value))
		case *agui.ToolCallResult:
			said = append(said, e.ToolCallID+" "+e.Content.Text)
		}
	}
	if want := []string{`customized_output {"n":1}`, "unknown result", "c in pieces", `customized_action "act"`}; !slices.Equal(said, want) {
		t.Errorf("events %q, want %q", said, want)
	}
}

// TestEmitOutOfOrder: an error of Emit ends the run, and what was begun is closed.
func TestEmitOutOfOrder(t *testing.T) {
	got := aguitest.Config{MaxEvent: 4 << 10}.Run(t, &eino.Agent{Agent: chat(t, newFake(t,
		stream(text("so far"), text(strings.Repeat("x", 5000)), end("stop"))))}, aguitest.Input())
	got.WantError(run.CodeAgent)
	if !errors.Is(got.Err, run.ErrEventTooBig) {
		t.Errorf("the error is %v", got.Err)
	}
	got.WantText("so far")
}
