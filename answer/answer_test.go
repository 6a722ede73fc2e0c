package answer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/answer"
	"github.com/agloop/agloop/run"
)

// say runs an agent whose model says what f writes, and checks what a provider's next request would
// have.
func say(t *testing.T, in *agui.RunAgentInput, f func(*answer.Answer) error) (*aguitest.Result, *answer.Answer) {
	t.Helper()
	var a *answer.Answer
	got := aguitest.Run(t, run.AgentFunc(func(_ context.Context, r *run.Run) error {
		a = answer.Begin(r)
		return errors.Join(f(a), a.Close())
	}), in)
	return got, a
}

// write writes deltas: of text, "r:" of reasoning, "no:" of a refusal, "index:id:name:arguments" of a
// call.
func write(a *answer.Answer, deltas ...string) error {
	for _, d := range deltas {
		var err error
		part := strings.SplitN(d, ":", 4)
		switch {
		case len(part) == 4:
			var index int
			if _, err = fmt.Sscan(part[0], &index); err == nil {
				err = a.WriteCall(answer.CallDelta{Index: index, ID: part[1], Name: part[2], Arguments: part[3]})
			}
		case part[0] == "r":
			err = a.WriteReasoning(part[1])
		case part[0] == "no":
			err = a.WriteRefusal(part[1])
		default:
			err = a.WriteText(d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAnswer(t *testing.T) {
	got, a := say(t, aguitest.Input("hello"), func(a *answer.Answer) error {
		return write(a, "", "r:", "no:", "r:first ", "r:look", "I ", "look.", "0:c1:look:{}", " And", "1:c2:look:", "r:hm", "1:::{}", " wait", "no:No", "no:!")
	})
	got.WantSuccess()
	got.WantText("I look. And wait", "No!")
	if r := got.Reasoning(); !slices.Equal(r, []string{"first look", "hm"}) {
		t.Errorf("reasoning %q", r)
	}
	if a.Text != "I look. And wait" || a.Refusal != "No!" || len(a.Calls) != 2 || a.Calls[1].Arguments != "{}" {
		t.Errorf("the answer is %+v", a)
	}
	// reasoning aside, what was said is one message with its calls, and the refusal.
	var said []agui.Message
	for _, m := range got.Thread.Messages() {
		if m.Role == agui.RoleAssistant {
			said = append(said, m)
		}
	}
	if len(said) != 2 || said[0].ID != a.MessageID || len(said[0].ToolCalls) != 2 || string(said[1].Metadata) != string(answer.RefusalMetadata) {
		t.Errorf("messages %+v", said)
	}
	empty, _ := say(t, aguitest.Input(), func(a *answer.Answer) error { return write(a, "", "r:", "no:") })
	empty.WantTypes("RUN_STARTED", "RUN_FINISHED")
}

// TestCalls: calls that come one after the other, mixed, without ids, or all with one index.
func TestCalls(t *testing.T) {
	in := aguitest.Input()
	in.Messages = append(in.Messages, agui.Message{ID: "m", Role: agui.RoleAssistant, ToolCalls: []agui.ToolCall{{ID: "old", Type: "function"}}})
	for name, tc := range map[string]struct {
		deltas []string
		ids    []string // "" is a fresh one
	}{
		"one after the other": {[]string{`0:c1:f:`, `0:::{"a":`, `0:::1}`, `1:c2:f:`, `1:::{"a":2}`}, []string{"c1", "c2"}},
		"mixed":               {[]string{`0:c1:f:{`, `1:c2:f:{`, `0:::"a":1}`, `1:::"a":2}`}, []string{"c1", "c2"}},
		"one index":           {[]string{`0:c1:f:{"a":1}`, `0:c2:f:{"a":2}`}, []string{"c1", "c2"}},
		"id in every piece":   {[]string{`0:c1:f:{"a"`, `0:c1:f::1}`, `1:c2:f:{"a":2}`}, []string{"c1", "c2"}},
		"no ids":              {[]string{`0::f:{"a":1}`, `1::f:{"a":2}`}, []string{"", ""}},
		"one id":              {[]string{`0:c:f:{"a":1}`, `1:c:f:{"a":2}`}, []string{"c", ""}},
		"an id of the input":  {[]string{`0:old:f:{"a":1}`, `1:c:f:{"a":2}`}, []string{"", "c"}},
		"name later":          {[]string{`0:::{"a"`, `0:c1::`, `0::f::1}`, `1:c2:f:{"a":2}`}, []string{"c1", "c2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, a := say(t, in, func(a *answer.Answer) error { return write(a, tc.deltas...) })
			got.WantSuccess()
			calls := got.ToolCalls()
			if len(calls) != 2 || calls[0].Arguments != `{"a":1}` || calls[1].Arguments != `{"a":2}` || calls[0].ID == calls[1].ID {
				t.Fatalf("calls %+v", calls)
			}
			for i, id := range tc.ids {
				if id != "" && calls[i].ID != id || id == "" && !strings.HasPrefix(calls[i].ID, "call-") || a.Calls[i].ID != calls[i].ID {
					t.Errorf("call %d is %s, in the answer %s, want %q", i, calls[i].ID, a.Calls[i].ID, id)
				}
			}
			if provider := a.Calls[1].ProviderID; a.Call(provider).ID != a.Calls[1].ID || a.Call("nobody's") != nil {
				t.Errorf("%q is %+v", provider, a.Call(provider))
			}
		})
	}
}

// TestAnswersOfOneRun: the ids of calls are not used again, and a result finds its call.
func TestAnswersOfOneRun(t *testing.T) {
	got := aguitest.Run(t, run.AgentFunc(func(_ context.Context, r *run.Run) error {
		var answers []*answer.Answer
		for range 3 {
			a := answer.Begin(r, answers...)
			answers = append(answers, a)
			if err := errors.Join(write(a, `0:call_0:f:{}`), a.Calls[0].Result("ok"), a.Close()); err != nil {
				return err
			}
		}
		return nil
	}), aguitest.Input())
	got.WantSuccess()
	calls := got.ToolCalls()
	if len(calls) != 3 || calls[0].ID != "call_0" || calls[1].ID == calls[0].ID || calls[2].ID == calls[1].ID || calls[2].Result == nil {
		t.Errorf("calls %+v", calls)
	}
	if h := answer.History(got.Thread.Messages()); len(h) != 6 {
		t.Errorf("history %+v", h)
	}
}

func TestNameless(t *testing.T) {
	got, _ := say(t, aguitest.Input(), func(a *answer.Answer) error { return write(a, "so far", `0:c1::{}`, `0:c2:f:{}`) })
	if got.WantError(run.CodeAgent); !errors.Is(got.Err, answer.ErrCallName) {
		t.Errorf("the error is %v", got.Err)
	}
	got.WantText("so far")
}

// TestErrorsOfEmit: an answer is closed, and says what was wrong.
func TestErrorsOfEmit(t *testing.T) {
	got := aguitest.Run(t, run.AgentFunc(func(_ context.Context, r *run.Run) error {
		if err := r.Emit(&agui.RunFinished{}); err != nil {
			return err
		}
		for _, d := range []string{"text", "r:reasoning", "no:no", "0:c:f:{}"} {
			a := answer.Begin(r)
			if err := errors.Join(write(a, d), a.Close()); !errors.Is(err, run.ErrRunEnded) {
				t.Errorf("%s behind the end: %v", d, err)
			}
		}
		return nil
	}), aguitest.Input())
	got.WantTypes("RUN_STARTED", "RUN_FINISHED")
}

func TestHistory(t *testing.T) {
	text := agui.TextContent
	calls := func(ids ...string) (list []agui.ToolCall) {
		for _, id := range ids {
			list = append(list, agui.ToolCall{ID: id})
		}
		return list
	}
	result := func(of, said string) agui.Message {
		return agui.Message{Role: agui.RoleTool, ToolCallID: &of, Content: text(said)}
	}
	for name, tc := range map[string]struct {
		in   []agui.Message
		want string
	}{
		"nothing": {nil, ""},
		"roles": {[]agui.Message{
			{Role: agui.RoleSystem, Content: text("s")},
			{Role: agui.RoleDeveloper, Content: text("d")},
			{Role: agui.RoleUser, Content: text("u")},
			{Role: agui.RoleReasoning, Content: text("r")},
			{Role: agui.RoleActivity, Content: &agui.Content{Object: []byte("{}")}},
			{Role: agui.RoleAssistant},
			{Role: agui.RoleAssistant, Content: text("a")},
		}, "system s; developer d; user u; assistant a; "},
		"results go behind their calls": {[]agui.Message{
			{Role: agui.RoleAssistant, ToolCalls: calls("1", "2")}, {Role: agui.RoleUser, Content: text("u")}, result("2", "y"), result("1", "x"),
		}, "assistant  [1 2]; tool x; tool y; user u; "},
		"what has no other half": {[]agui.Message{
			{Role: agui.RoleAssistant, Content: text("a"), ToolCalls: calls("0", "1")},
			result("1", "x"), result("9", "?"),
			{Role: agui.RoleAssistant, ToolCalls: calls("2")},
			{Role: agui.RoleTool, Content: text("no call")},
		}, "assistant a [1]; tool x; "},
		"a call twice": {[]agui.Message{
			{Role: agui.RoleAssistant, ToolCalls: calls("1")}, result("1", "x"), {Role: agui.RoleAssistant, ToolCalls: calls("1")},
		}, "assistant  [1]; tool x; "},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			for _, m := range answer.History(tc.in) {
				got += string(m.Role) + " " + answer.Text(&m)
				var ids []string
				for _, c := range m.ToolCalls {
					ids = append(ids, c.ID)
				}
				if ids != nil {
					got += " " + fmt.Sprint(ids)
				}
				got += "; "
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
	parts := &agui.Message{Content: &agui.Content{Text: "not this", Parts: []agui.ContentPart{
		{Type: agui.PartText, Text: new("x")}, {Type: agui.PartImage}, {Type: agui.PartText, Text: new("y")},
	}}}
	if s := answer.Text(parts); s != "x\ny" {
		t.Errorf("text %q", s)
	}
}
