package aguitest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/internal/testkit"
)

// odd is an agent whose ids and timestamps differ from run to run, in every place that has them.
func odd(salt string) aguitest.Script {
	m, c, sub, i := "m"+salt, "c"+salt, "s"+salt, "i"+salt
	base := agui.Base{Timestamp: new(int64(len(salt))), Metadata: json.RawMessage(`{"messageId":"kept"}`)}
	return aguitest.Script{
		aguitest.Emit(
			&agui.TextMessageStart{Base: base, MessageID: m, Role: agui.RoleAssistant},
			&agui.TextMessageContent{MessageID: m, Delta: "Hello"},
			&agui.TextMessageEnd{MessageID: m},
			&agui.ToolCallStart{ToolCallID: c, ToolCallName: "f", ParentMessageID: &m},
			&agui.ToolCallEnd{ToolCallID: c},
			&agui.ReasoningEncryptedValue{Subtype: agui.EncryptedToolCall, EntityID: c, EncryptedValue: "x"},
			&agui.SubagentStarted{SubagentRunID: sub, Name: "n", ParentToolCallID: &c, ParentMessageID: &m},
			&agui.StepStarted{Base: agui.Base{SubagentRunID: &sub}, StepName: "s"},
			&agui.StepFinished{Base: agui.Base{SubagentRunID: &sub}, StepName: "s"},
			&agui.SubagentFinished{SubagentRunID: sub, Outcome: &agui.SubagentOutcome{Type: agui.OutcomeSuspended, InterruptIDs: []string{i}}},
			&agui.MessagesSnapshot{Messages: []agui.Message{{
				ID: m, Role: agui.RoleAssistant, Content: agui.TextContent("Hello"),
				ToolCalls: []agui.ToolCall{{ID: c, Type: agui.ToolCallFunction, Function: agui.FunctionCall{Name: "f"}}},
			}, {
				ID: "new" + salt, Role: agui.RoleUser, Content: &agui.Content{Parts: []agui.ContentPart{{Type: agui.PartText, Text: new("t"), ID: new("kept")}}},
			}}},
			&agui.StateSnapshot{Snapshot: json.RawMessage(`{"threadId":"kept","id":"kept"}`)},
			&agui.RunFinished{Outcome: &agui.Outcome{Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: i, Reason: "r", ToolCallID: &c, SubagentRunID: &sub}}}},
		),
	}
}

// TestGolden: two runs with other ids are the same file, and the events stay as they are.
func TestGolden(t *testing.T) {
	for _, salt := range []string{"a", "bb"} {
		got := aguitest.Run(t, odd(salt), aguitest.Input("hello"))
		got.WantGolden("odd")
		if m := got.Events[1].(*agui.TextMessageStart); m.MessageID != "m"+salt || *m.Timestamp != int64(len(salt)) {
			t.Errorf("the event was changed: %+v", m)
		}
	}
	// The name is the test's.
	aguitest.Run(t, aguitest.Script{aguitest.Say("Hi there.")}, aguitest.Input()).WantGolden("")
}

// TestGoldenOfHiddenError: the id under which the log has the error is no part of the file.
func TestGoldenOfHiddenError(t *testing.T) {
	fails := aguitest.Script{aguitest.Fail(os.ErrInvalid)}
	a, b := aguitest.Run(quiet{t}, fails, aguitest.Input()).Golden(), aguitest.Run(quiet{t}, fails, aguitest.Input()).Golden()
	if string(a) != string(b) || !strings.Contains(string(a), "the agent failed (id)") {
		t.Errorf("%s\n%s", a, b)
	}
}

func TestGoldenFails(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("AGUITEST_UPDATE", "")
	say := func(text string) *testkit.Recorder {
		return testkit.Record(t, func(t testing.TB) {
			aguitest.Run(t, aguitest.Script{aguitest.Say(text)}, aguitest.Input()).WantGolden("sub/a b?")
		})
	}
	path := filepath.Join("testdata", "sub", "a_b_.ndjson")
	say("Hello").WantFailure(t, "there is no golden file "+path, "AGUITEST_UPDATE=1", "RUN_STARTED")
	t.Setenv("AGUITEST_UPDATE", "1")
	say("Hello").WantNone(t)
	t.Setenv("AGUITEST_UPDATE", "")
	say("Hello").WantNone(t)
	say("Hullo").WantFailure(t, "not that of "+path, "line 3 of 5", `got  {"type":"TEXT_MESSAGE_CONTENT"`, `"delta":"Hullo"}`, "\nwant {", `"delta":"Hello"}`)
	say("").WantFailure(t, "line 3 of 4, 5 wanted")

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), "\n", "\r\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	say("Hello").WantNone(t) // as a checkout on Windows may have it
	if err := os.WriteFile(path, append(b, b...), 0o644); err != nil {
		t.Fatal(err)
	}
	say("Hello").WantFailure(t, "line 6 of 5, 10 wanted", "got  nothing: the run has fewer events")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	say("Hello").WantFailure(t, "line 1 of 5, 0 wanted", "want nothing: the run has more events")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	say("Hello").WantFailure(t, "golden file: ", path)
	t.Setenv("AGUITEST_UPDATE", "1")
	say("Hello").WantFailure(t, "golden file: ", path)
}
