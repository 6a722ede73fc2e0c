package agui_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
)

// interrupted is a conversation that waits for the interrupts given by their ids, with when they
// expire.
func interrupted(expires ...[2]string) *agui.Thread {
	thread := new(agui.Thread)
	outcome := &agui.Outcome{Type: agui.OutcomeInterrupt}
	for _, e := range expires {
		n := agui.Interrupt{ID: e[0], Reason: "r"}
		if e[1] != "" {
			n.ExpiresAt = new(e[1])
		}
		outcome.Interrupts = append(outcome.Interrupts, n)
	}
	thread.Apply(start())
	thread.Apply(&agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: outcome})
	return thread
}

func TestThreadInputAnswersWhatIsPending(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	resolved := func(id string) agui.ResumeEntry {
		return agui.ResumeEntry{InterruptID: id, Status: agui.ResumeResolved, Payload: json.RawMessage(`1`)}
	}
	cancelled := func(id string) agui.ResumeEntry {
		return agui.ResumeEntry{InterruptID: id, Status: agui.ResumeCancelled}
	}
	for _, tc := range []struct {
		name    string
		pending [][2]string
		resume  []agui.ResumeEntry
		want    *agui.ResumeError
	}{
		{"nothing pending", nil, nil, nil},
		{"all answered", [][2]string{{"a", ""}, {"b", ""}}, []agui.ResumeEntry{cancelled("b"), resolved("a")}, nil},
		{"none answered", [][2]string{{"a", ""}, {"", ""}}, nil, &agui.ResumeError{Missing: []string{"a", ""}}},
		{"one left", [][2]string{{"a", ""}, {"b", ""}}, []agui.ResumeEntry{resolved("a")}, &agui.ResumeError{Missing: []string{"b"}}},
		{"unknown", nil, []agui.ResumeEntry{cancelled("x")}, &agui.ResumeError{Unknown: []string{"x"}}},
		{"unknown besides", [][2]string{{"a", ""}}, []agui.ResumeEntry{resolved("a"), resolved("x")}, &agui.ResumeError{Unknown: []string{"x"}}},
		{"answered twice", [][2]string{{"a", ""}}, []agui.ResumeEntry{resolved("a"), cancelled("a")}, &agui.ResumeError{Unknown: []string{"a"}}},
		{"not expired", [][2]string{{"a", "2026-03-01T12:00:01Z"}}, []agui.ResumeEntry{resolved("a")}, nil},
		{"expires now", [][2]string{{"a", "2026-03-01T12:00:00Z"}}, []agui.ResumeEntry{resolved("a")}, &agui.ResumeError{Expired: []string{"a"}}},
		{"expired elsewhere", [][2]string{{"a", "2026-03-01T13:00:00.5+02:00"}}, []agui.ResumeEntry{resolved("a")}, &agui.ResumeError{Expired: []string{"a"}}},
		{"expired and cancelled", [][2]string{{"a", "2020-01-01T00:00:00Z"}}, []agui.ResumeEntry{cancelled("a")}, nil},
		{"expired and not answered", [][2]string{{"a", "2020-01-01T00:00:00Z"}}, nil, &agui.ResumeError{Missing: []string{"a"}}},
		{"expires at no time", [][2]string{{"a", "soon"}}, []agui.ResumeEntry{resolved("a")}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, err := interrupted(tc.pending...).Input("next", now, tc.resume...)
			if tc.want == nil {
				if err != nil || !reflect.DeepEqual(in.Resume, tc.resume) {
					t.Errorf("error %v, resume %+v", err, in)
				}
				return
			}
			fault, ok := errors.AsType[*agui.ResumeError](err)
			if !ok || !reflect.DeepEqual(fault, tc.want) || in != nil {
				t.Errorf("error %+v, want %+v", err, tc.want)
			}
		})
	}
}

func TestResumeErrorNamesTheInterrupts(t *testing.T) {
	err := &agui.ResumeError{Missing: []string{"a", "b"}, Unknown: []string{"c"}, Expired: []string{""}}
	const want = `agloop: resume does not fit the pending interrupts: no answer to ["a" "b"]; ` +
		`an answer to what is not pending: ["c"]; too late for any answer but cancelled: [""]`
	if err.Error() != want {
		t.Errorf("%s\nwant %s", err, want)
	}
}

func TestThreadInput(t *testing.T) {
	thread := new(agui.Thread)
	in, err := thread.Input("first", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := &agui.RunAgentInput{
		RunID: "first", Messages: []agui.Message{}, ProtocolVersion: new(agui.ProtocolVersion), State: json.RawMessage(`{}`),
	}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("of nothing: %+v", in)
	}

	thread.AddMessages(agui.Message{ID: "u", Role: agui.RoleUser, Content: agui.TextContent("hi")})
	for _, ev := range []agui.Event{
		start(),
		&agui.ActivitySnapshot{MessageID: "a", ActivityType: "plan", Content: json.RawMessage(`{}`)},
		&agui.ReasoningMessageStart{MessageID: "z"},
		&agui.StateSnapshot{Snapshot: json.RawMessage(`null`)},
		finish(),
	} {
		if err := thread.Apply(ev); err != nil {
			t.Fatal(err)
		}
	}
	if in, err = thread.Input("next", time.Now()); err != nil {
		t.Fatal(err)
	}
	want = &agui.RunAgentInput{
		ThreadID: "t", RunID: "next", ProtocolVersion: new(agui.ProtocolVersion),
		Messages: []agui.Message{
			{ID: "u", Role: agui.RoleUser, Content: agui.TextContent("hi")},
			{ID: "z", Role: agui.RoleReasoning, Content: agui.TextContent("")},
		},
	}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("got %+v\nwant %+v", in, want)
	}
}
