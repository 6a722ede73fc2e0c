package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/run"
)

// freshID is an id that a helper has made.
var freshID = regexp.MustCompile(`(msg|call|reasoning|activity|sub|int)-[A-Z2-7]{26}`)

// between are the events between RUN_STARTED and the plain end, ids numbered in the order in which
// they come. All were in order, and a reader has nothing to say of them.
func (s *sink) between(t *testing.T) []string {
	t.Helper()
	var order agui.Order
	var list []string
	ids := map[string]string{}
	for _, e := range s.events {
		ev, notes, err := new(event.Decoder).DecodeEvent([]byte(e))
		if err != nil || notes != nil {
			t.Fatalf("%s: %v, %v", e, notes, err)
		}
		if err := order.Check(ev); err != nil {
			t.Fatal(err)
		}
		list = append(list, freshID.ReplaceAllStringFunc(e, func(id string) string {
			if ids[id] == "" {
				ids[id] = fmt.Sprintf("%s%d", id[:1], len(ids)+1)
			}
			return ids[id]
		}))
	}
	if !order.Done() {
		t.Fatal("the run has no end")
	}
	list = list[1:]
	if last := len(list) - 1; list[last] == `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}` {
		list = list[:last]
	}
	return list
}

// TestHelpers: what each sends.
func TestHelpers(t *testing.T) {
	type call = func(r *run.Run) error
	for _, tc := range []struct {
		name  string
		agent call
		want  []string
	}{
		{
			"message", func(r *run.Run) error {
				m, err := r.StartTextMessage(agui.TextMessageStart{Role: agui.RoleDeveloper, Name: new("Zoë"), Base: agui.Base{Timestamp: new(int64(1))}})
				return errors.Join(err, m.Write("a\xe2\x82"), m.Write("\xac"), m.Close(), m.Close())
			},
			[]string{
				`{"type":"TEXT_MESSAGE_START","timestamp":1,"messageId":"m1","role":"developer","name":"Zoë"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"a"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m1","delta":"€"}`,
				`{"type":"TEXT_MESSAGE_END","messageId":"m1"}`,
			},
		},
		{
			"message of its own id, and what belongs to it", func(r *run.Run) error {
				m, err := r.StartTextMessage(agui.TextMessageStart{MessageID: "mine"})
				c, err2 := m.ToolCall("look")
				return errors.Join(err, err2, c.Close(), m.Close(), m.Encrypt("x"))
			},
			[]string{
				`{"type":"TEXT_MESSAGE_START","messageId":"mine","role":"assistant"}`,
				`{"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"look","parentMessageId":"mine"}`,
				`{"type":"TOOL_CALL_END","toolCallId":"c1"}`,
				`{"type":"TEXT_MESSAGE_END","messageId":"mine"}`,
				`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"mine","encryptedValue":"x"}`,
			},
		},
		{
			"tool call with a result", func(r *run.Run) error {
				c, err := r.ToolCall("look")
				return errors.Join(err, c.Write(`{"q":"é`[:7]), c.Write(`é"}`[1:]), c.Result("found"), c.Close())
			},
			[]string{
				`{"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"look"}`,
				`{"type":"TOOL_CALL_ARGS","toolCallId":"c1","delta":"{\"q\":\""}`,
				`{"type":"TOOL_CALL_ARGS","toolCallId":"c1","delta":"é\"}"}`,
				`{"type":"TOOL_CALL_END","toolCallId":"c1"}`,
				`{"type":"TOOL_CALL_RESULT","messageId":"m2","toolCallId":"c1","content":"found","role":"tool"}`,
			},
		},
		{
			"tool call of its own id with parts", func(r *run.Run) error {
				c, err := r.StartToolCall(agui.ToolCallStart{ToolCallID: "call_abc", ToolCallName: "f"})
				return errors.Join(err, c.Close(), c.Encrypt(""), c.ResultParts(agui.ContentPart{Type: agui.PartText, Text: new("a")}), c.ResultParts())
			},
			[]string{
				`{"type":"TOOL_CALL_START","toolCallId":"call_abc","toolCallName":"f"}`,
				`{"type":"TOOL_CALL_END","toolCallId":"call_abc"}`,
				`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"tool-call","entityId":"call_abc","encryptedValue":""}`,
				`{"type":"TOOL_CALL_RESULT","messageId":"m1","toolCallId":"call_abc","content":[{"type":"text","text":"a"}],"role":"tool"}`,
				`{"type":"TOOL_CALL_RESULT","messageId":"m2","toolCallId":"call_abc","content":[],"role":"tool"}`,
			},
		},
		{
			"reasoning", func(r *run.Run) error {
				s, err := r.Reasoning()
				return errors.Join(err, s.EndMessage(), s.Write("a\xf0\x9f"), s.Write("\x99\x82"), s.EndMessage(), s.Write("b\xf0"), s.Encrypt("x"), s.Close(), s.Close())
			},
			[]string{
				`{"type":"REASONING_START","messageId":"r1"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"r1","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"r1","delta":"a"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"r1","delta":"🙂"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"r1"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"r2","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"r2","delta":"b"}`,
				`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"r2","encryptedValue":"x"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"r2","delta":"�"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"r2"}`,
				`{"type":"REASONING_END","messageId":"r1"}`,
			},
		},
		{
			"reasoning that is not shown", func(r *run.Run) error {
				s, err := r.Reasoning()
				return errors.Join(err, s.Encrypt("x"), s.Close())
			},
			[]string{
				`{"type":"REASONING_START","messageId":"r1"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"r1","role":"reasoning"}`,
				`{"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"r1","encryptedValue":"x"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"r1"}`,
				`{"type":"REASONING_END","messageId":"r1"}`,
			},
		},
		{
			"steps", func(r *run.Run) error {
				a, err := r.Step("a")
				b, err2 := r.Step("b")
				return errors.Join(err, err2, a.Close(), b.Close(), a.Close())
			},
			[]string{
				`{"type":"STEP_STARTED","stepName":"a"}`, `{"type":"STEP_STARTED","stepName":"b"}`,
				`{"type":"STEP_FINISHED","stepName":"a"}`, `{"type":"STEP_FINISHED","stepName":"b"}`,
			},
		},
		{
			"activity", func(r *run.Run) error {
				a, err := r.Activity("PLAN", map[string]int{"n": 1})
				return errors.Join(err, a.Patch(agui.PatchOp{Op: agui.PatchReplace, Path: "/n", Value: json.RawMessage("2")}), a.Set(struct{}{}))
			},
			[]string{
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{"n":1}}`,
				`{"type":"ACTIVITY_DELTA","messageId":"a1","activityType":"PLAN","patch":[{"op":"replace","path":"/n","value":2}]}`,
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{}}`,
			},
		},
		{
			"activity that changes", func(r *run.Run) error {
				type plan struct {
					Goal string `json:"goal"`
					Done int    `json:"done"`
				}
				const goal = "a goal that takes more bytes than a patch does beside it"
				a, err := r.Activity("PLAN", plan{goal, 1})
				return errors.Join(err, a.Set(plan{goal, 2}), a.Set(plan{goal, 2}), a.Set(plan{}), a.Set(plan{goal, 3}),
					failing(a.Set([]int{1})), a.Set(plan{goal, 4}), a.Patch(), a.Set(plan{goal, 4}))
			},
			[]string{
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{"goal":"a goal that takes more bytes than a patch does beside it","done":1}}`,
				`{"type":"ACTIVITY_DELTA","messageId":"a1","activityType":"PLAN","patch":[{"op":"replace","path":"/done","value":2}]}`,
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{"goal":"","done":0}}`,
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{"goal":"a goal that takes more bytes than a patch does beside it","done":3}}`,
				`{"type":"ACTIVITY_DELTA","messageId":"a1","activityType":"PLAN","patch":[{"op":"replace","path":"/done","value":4}]}`,
				`{"type":"ACTIVITY_DELTA","messageId":"a1","activityType":"PLAN","patch":[]}`,
				`{"type":"ACTIVITY_SNAPSHOT","messageId":"a1","activityType":"PLAN","content":{"goal":"a goal that takes more bytes than a patch does beside it","done":4}}`,
			},
		},
		{
			"subagent", func(r *run.Run) error {
				s, err := r.Subagent("helper")
				m, err2 := s.TextMessage()
				c, err3 := m.ToolCall("look")
				own, err4 := s.ToolCall("own")
				th, err5 := s.Reasoning()
				st, err6 := s.Step("a")
				_, err7 := s.Activity("PLAN", map[string]any{})
				inner, err8 := s.Subagent("inner")
				return errors.Join(err, err2, err3, err4, err5, err6, err7, err8, m.Write("x"), th.Write("y"), c.Write("{}"), c.Result("r"), own.Close(), m.Close(), th.Close(), st.Close(),
					s.Emit(&agui.Custom{Name: "n", Value: json.RawMessage("1")}), inner.Fail(&agui.PublicError{Code: "E", Message: "broke"}), s.Finish(map[string]int{"n": 1}))
			},
			[]string{
				`{"type":"SUBAGENT_STARTED","subagentRunId":"s1","name":"helper"}`,
				`{"type":"TEXT_MESSAGE_START","subagentRunId":"s1","messageId":"m2","role":"assistant"}`,
				`{"type":"TOOL_CALL_START","subagentRunId":"s1","toolCallId":"c3","toolCallName":"look","parentMessageId":"m2"}`,
				`{"type":"TOOL_CALL_START","subagentRunId":"s1","toolCallId":"c4","toolCallName":"own"}`,
				`{"type":"REASONING_START","subagentRunId":"s1","messageId":"r5"}`,
				`{"type":"STEP_STARTED","subagentRunId":"s1","stepName":"a"}`,
				`{"type":"ACTIVITY_SNAPSHOT","subagentRunId":"s1","messageId":"a6","activityType":"PLAN","content":{}}`,
				`{"type":"SUBAGENT_STARTED","subagentRunId":"s7","name":"inner","parentSubagentRunId":"s1"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","subagentRunId":"s1","messageId":"m2","delta":"x"}`,
				`{"type":"REASONING_MESSAGE_START","subagentRunId":"s1","messageId":"r5","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","subagentRunId":"s1","messageId":"r5","delta":"y"}`,
				`{"type":"TOOL_CALL_ARGS","subagentRunId":"s1","toolCallId":"c3","delta":"{}"}`,
				`{"type":"TOOL_CALL_END","subagentRunId":"s1","toolCallId":"c3"}`,
				`{"type":"TOOL_CALL_RESULT","subagentRunId":"s1","messageId":"m8","toolCallId":"c3","content":"r","role":"tool"}`,
				`{"type":"TOOL_CALL_END","subagentRunId":"s1","toolCallId":"c4"}`,
				`{"type":"TEXT_MESSAGE_END","subagentRunId":"s1","messageId":"m2"}`,
				`{"type":"REASONING_MESSAGE_END","subagentRunId":"s1","messageId":"r5"}`,
				`{"type":"REASONING_END","subagentRunId":"s1","messageId":"r5"}`,
				`{"type":"STEP_FINISHED","subagentRunId":"s1","stepName":"a"}`,
				`{"type":"CUSTOM","subagentRunId":"s1","name":"n","value":1}`,
				`{"type":"SUBAGENT_ERROR","subagentRunId":"s7","message":"broke","code":"E"}`,
				`{"type":"SUBAGENT_FINISHED","subagentRunId":"s1","result":{"n":1}}`,
			},
		},
		{
			"suspended subagent and interrupts", func(r *run.Run) error {
				s, err := r.StartSubagent(agui.SubagentStarted{SubagentRunID: "mine", Name: "n", Description: new("d")})
				return errors.Join(err, s.Suspend("q1"), r.Interrupt(
					agui.Interrupt{ID: "q1", Reason: "approval", SubagentRunID: new(s.ID())}, agui.Interrupt{Reason: "other"},
				))
			},
			[]string{
				`{"type":"SUBAGENT_STARTED","subagentRunId":"mine","name":"n","description":"d"}`,
				`{"type":"SUBAGENT_FINISHED","subagentRunId":"mine","outcome":{"type":"suspended","interruptIds":["q1"]}}`,
				`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"q1","reason":"approval","subagentRunId":"mine"},{"id":"i1","reason":"other"}]}}`,
			},
		},
		{
			"pending calls", func(r *run.Run) error {
				c, err := r.ToolCall("ask")
				return errors.Join(err, c.Close(), r.PendingToolCalls(c.ID()))
			},
			[]string{
				`{"type":"TOOL_CALL_START","toolCallId":"c1","toolCallName":"ask"}`, `{"type":"TOOL_CALL_END","toolCallId":"c1"}`,
				`{"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"success","pendingToolCallIds":["c1"]}}`,
			},
		},
		{
			"result", func(r *run.Run) error { return errors.Join(r.Result("a"), r.Result(map[string]int{"n": 1})) },
			[]string{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":{"n":1}}`},
		},
		{
			"result taken back", func(r *run.Run) error { return errors.Join(r.Result("a"), r.Result(nil)) },
			nil,
		},
		{
			"result of the agent's own end", func(r *run.Run) error {
				return errors.Join(r.Result("a"), r.Emit(&agui.RunFinished{Result: json.RawMessage(`"b"`)}))
			},
			[]string{`{"type":"RUN_FINISHED","threadId":"t","runId":"r","result":"b"}`},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := do(func(_ context.Context, r *run.Run) error { return tc.agent(r) })
			if err != nil {
				t.Fatal(err)
			}
			got := s.between(t)
			for i := range max(len(got), len(tc.want)) {
				var g, w string
				if i < len(got) {
					g = got[i]
				}
				if i < len(tc.want) {
					w = tc.want[i]
				}
				if g != w {
					t.Errorf("event %d:\n got %s\nwant %s", i+1, g, w)
				}
			}
		})
	}
}

// TestSubagentFailsInSecret: what is no PublicError is logged under the id that the client reads.
func TestSubagentFailsInSecret(t *testing.T) {
	s, log := logged(t, setup(nil, nil), func(_ func(), r *run.Run) error {
		sub, err := r.Subagent("n")
		return errors.Join(err, sub.Fail(errors.New("pq: secret")))
	})
	var ev struct{ Type, Message, Code string }
	if err := json.Unmarshal([]byte(s.events[2]), &ev); err != nil || ev.Type != "SUBAGENT_ERROR" {
		t.Fatal(s.events, err)
	}
	if len(log) != 1 || log[0].ID == "" || !strings.Contains(ev.Message, log[0].ID) || !strings.Contains(log[0].Err, "secret") ||
		strings.Contains(ev.Message, "secret") || ev.Code != run.CodeAgent {
		t.Errorf("sent %+v, logged %+v", ev, log)
	}
}

// TestHelpersRefuse: errors are those of Emit, and leave the run as it was.
func TestHelpersRefuse(t *testing.T) {
	s, err := do(func(_ context.Context, r *run.Run) error {
		step, err := r.Step("a")
		if err != nil {
			return err
		}
		for what, err := range map[string]error{
			"a step twice":         second(r.Step("a")),
			"no role":              second(r.StartTextMessage(agui.TextMessageStart{Role: "poet"})),
			"an open step":         r.Interrupt(agui.Interrupt{Reason: "x"}),
			"a list for content":   second(r.Activity("A", []int{1})),
			"a channel":            second(r.Activity("A", make(chan int))),
			"null as a result":     r.Result((*int)(nil)),
			"a function as result": r.Result(func() {}),
			"a huge result":        r.Result(strings.Repeat("x", maxEvent)),
			"negative usage":       r.Usage(agui.TokenUsage{InputTokens: new(int64(-1))}),
			"too much usage":       r.Usage(agui.TokenUsage{InputTokens: new(int64(1 << 53))}),
			"a broken name":        r.Usage(agui.TokenUsage{Model: new("\xff")}),
		} {
			if err == nil {
				t.Errorf("%s was taken", what)
			}
		}
		if err := step.Close(); err != nil {
			return err
		}
		if _, ok := errors.AsType[*event.FieldError](r.Interrupt()); !ok {
			t.Error("no interrupts were taken")
		}
		twice := r.Interrupt(agui.Interrupt{ID: "i", Reason: "x"}, agui.Interrupt{ID: "i", Reason: "y"})
		if order, ok := errors.AsType[*agui.OrderError](twice); !ok || order.Rule != agui.RuleInterruptTwice {
			t.Errorf("two interrupts of one id: %v", twice)
		}
		return nil
	})
	if got := s.types(t); got != "RUN_STARTED STEP_STARTED STEP_FINISHED RUN_FINISHED" || err != nil {
		t.Errorf("sent %s, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// failing wants an error.
func failing(err error) error {
	if err == nil {
		return errors.New("there was no error")
	}
	return nil
}

// TestUsageStandsOnTheEnd: whoever sends that, one sum for each model.
func TestUsageStandsOnTheEnd(t *testing.T) {
	count := func(r *run.Run) error {
		return errors.Join(
			r.Usage(agui.TokenUsage{Provider: new("p"), Model: new("m"), InputTokens: new(int64(1)), OutputTokens: new(int64(0))}),
			r.Usage(agui.TokenUsage{Model: new("m"), InputTokens: new(int64(7))}),
			r.Usage(agui.TokenUsage{Provider: new("p"), Model: new("m"), InputTokens: new(int64(2)), ReasoningTokens: new(int64(3))}),
		)
	}
	const sums = `"usage":[{"provider":"p","model":"m","inputTokens":3,"outputTokens":0,"reasoningTokens":3},{"model":"m","inputTokens":7}]`
	for _, tc := range []struct {
		name, want string
		agent      func(cancel func(), r *run.Run) error
	}{
		{"returned", `"runId":"r",` + sums, func(func(), *run.Run) error { return nil }},
		{"failed", `"code":"agent_error",` + sums, func(func(), *run.Run) error { return errors.New("x") }},
		{"panicked", `"code":"agent_panic",` + sums, func(func(), *run.Run) error { panic("x") }},
		{"cancelled", `"outcome":{"type":"cancelled"},` + sums, func(cancel func(), _ *run.Run) error { cancel(); return nil }},
		{"incomplete", `"code":"incomplete_run",` + sums, func(_ func(), r *run.Run) error { return second(r.TextMessage()) }},
		{"own end", `"result":1,` + sums, func(_ func(), r *run.Run) error { return r.Emit(&agui.RunFinished{Result: json.RawMessage("1")}) }},
		{
			"own usage", strings.Replace(sums, `"inputTokens":7`, `"inputTokens":9007199254740991`, 1),
			func(_ func(), r *run.Run) error {
				ev := &agui.RunFinished{ThreadID: "t", RunID: "other", Usage: []agui.TokenUsage{
					{Provider: new("p"), Model: new("m")}, {Model: new("m"), InputTokens: new(int64(1<<53 - 1))},
				}}
				if r.Emit(ev) == nil {
					t.Error("another run's end was taken")
				}
				ev.RunID = "r" // and nothing was added by the first try
				return r.Emit(ev)
			},
		},
	} {
		s, _ := logged(t, setup(nil, nil), func(cancel func(), r *run.Run) error {
			if err := count(r); err != nil {
				t.Error(err)
			}
			return tc.agent(cancel, r)
		})
		if !strings.HasSuffix(s.last(), tc.want+"}") {
			t.Errorf("%s: %s", tc.name, s.last())
		}
	}
}

// TestResultOfOtherEnds: a run that is cancelled or fails has none.
func TestResultOfOtherEnds(t *testing.T) {
	for name, agent := range map[string]func(cancel func(), r *run.Run) error{
		"failed":    func(func(), *run.Run) error { return errors.New("x") },
		"cancelled": func(cancel func(), _ *run.Run) error { cancel(); return nil },
	} {
		s, _ := logged(t, setup(nil, nil), func(cancel func(), r *run.Run) error {
			if err := r.Result("partial"); err != nil {
				t.Error(err)
			}
			return agent(cancel, r)
		})
		if strings.Contains(s.last(), "partial") {
			t.Errorf("%s: %s", name, s.last())
		}
	}
}

// TestHelpersOfARunThatEnds: their errors are those of Emit, and what was open the run has closed.
func TestHelpersOfARunThatEnds(t *testing.T) {
	all := func(r *run.Run) (closers []func() error) {
		m, err := r.TextMessage()
		c, err2 := r.ToolCall("f")
		th, err3 := r.Reasoning()
		st, err4 := r.Step("s")
		sub, err5 := r.Subagent("n")
		a, err6 := r.Activity("A", struct{}{})
		if err := errors.Join(err, err2, err3, err4, err5, err6, th.Write("x")); err != nil {
			t.Fatal(err)
		}
		return []func() error{
			func() error { return m.Write("x") }, m.Close, c.Close, func() error { return c.Result("") }, th.Close, st.Close,
			func() error { return sub.Finish(nil) }, func() error { return sub.Fail(nil) }, func() error { return sub.Suspend() },
			func() error { return a.Set(map[string]int{"n": 1}) }, func() error { return a.Patch() },
		}
	}
	for name, end := range map[string]struct {
		with func(cancel func(), r *run.Run)
		want error
	}{
		"cancelled": {func(cancel func(), _ *run.Run) { cancel() }, context.Canceled},
		"ended":     {func(_ func(), r *run.Run) { _ = r.Emit(&agui.RunError{Message: "x"}) }, run.ErrRunEnded},
	} {
		s, _ := logged(t, setup(nil, nil), func(cancel func(), r *run.Run) error {
			closers := all(r)
			end.with(cancel, r)
			for i, f := range closers {
				if err := f(); !errors.Is(err, end.want) {
					t.Errorf("%s: helper %d says %v", name, i, err)
				}
			}
			return nil
		})
		s.between(t) // in order to its end
	}
}
