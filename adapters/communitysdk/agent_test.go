package communitysdk_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/events"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/core/types"
	"github.com/ag-ui-protocol/ag-ui/sdks/community/go/pkg/encoding/sse"
	"github.com/agloop/agloop/adapters/communitysdk"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/run"
)

// foreign is an agent of the SDK with some of everything, in ids of its own.
func foreign(ctx context.Context, in types.RunAgentInput, emit func(events.Event) error) error {
	hidden := "thinking"
	for _, ev := range []events.Event{
		events.NewRunStartedEvent("their thread", "their run"),
		events.NewStepStartedEvent("s"),
		events.NewThinkingStartEvent().WithTitle("lost"),
		events.NewThinkingTextMessageStartEvent(), events.NewThinkingTextMessageContentEvent("hm"), events.NewThinkingTextMessageEndEvent(),
		events.NewThinkingEndEvent(),
		events.NewReasoningMessageStartEvent("r", "assistant"), events.NewReasoningMessageContentEvent("r", "so"), events.NewReasoningMessageEndEvent("r"),
		events.NewTextMessageStartEvent("m"),
		events.NewTextMessageContentEvent("m", "You said "),
		events.NewTextMessageContentEvent("m", in.Messages[0].Content.(string)),
		events.NewTextMessageEndEvent("m"),
		events.NewToolCallStartEvent("c", "look", events.WithParentMessageID("m")),
		events.NewToolCallArgsEvent("c", `{"at":"it"}`),
		events.NewToolCallEndEvent("c"),
		events.NewToolCallResultEvent("result", "c", "seen"),
		events.NewStateSnapshotEvent(map[string]any{"n": 1}),
		events.NewStateDeltaEvent([]events.JSONPatchOperation{{Op: "add", Path: "/done", Value: false}}),
		events.NewCustomEvent("ping"),
		events.NewReasoningMessageChunkEvent(new("k"), &hidden),
		events.NewStepFinishedEvent("s"),
		events.NewRunFinishedEventWithOptions("their thread", "their run", events.WithResult(map[string]any{"ok": true})),
	} {
		if err := emit(ev); err != nil {
			return err
		}
	}
	return nil
}

func TestAgent(t *testing.T) {
	var notes []string
	agent := communitysdk.Agent(foreign, func(n communitysdk.Note) { notes = append(notes, n.Event+" "+n.Path) })
	in := aguitest.Input("hello")
	got := aguitest.Run(t, agent, in)
	wantForeign(t, got, in)
	if want := []string{"REASONING_MESSAGE_START role", "CUSTOM value"}; !slices.Equal(notes, want) {
		t.Errorf("notes %q, want %q", notes, want)
	}
}

func wantForeign(t *testing.T, got *aguitest.Result, in *agui.RunAgentInput) {
	t.Helper()
	got.WantSuccess()
	got.WantText("You said hello")
	got.WantState(`{"n":1,"done":false}`)
	if call := got.WantToolCall("look", `{"at":"it"}`); call.Result == nil || call.Result.Text != "seen" {
		t.Errorf("the call's result is %v", call.Result)
	}
	if r := got.Reasoning(); !slices.Equal(r, []string{"hm", "so", "thinking"}) {
		t.Errorf("reasoning %q", r)
	}
	started, finished := aguitest.EventsOf[*agui.RunStarted](got), aguitest.EventsOf[*agui.RunFinished](got)
	if len(started) != 1 || len(finished) != 1 || started[0].RunID != in.RunID || finished[0].RunID != in.RunID || string(finished[0].Result) != `{"ok":true}` {
		t.Errorf("the run is framed by %+v and %+v", started, finished)
	}
}

// TestSSE: the same agent, written for an SSEWriter, in pieces of any size.
func TestSSE(t *testing.T) {
	for _, size := range []int{1, 7, 1 << 20} {
		agent := run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			var in types.RunAgentInput
			if err := communitysdk.ToInput(r.Input, &in); err != nil {
				return err
			}
			out, w := sse.NewSSEWriter(), inPieces{communitysdk.SSE(r, nil), size}
			return foreign(ctx, in, func(ev events.Event) error { return out.WriteEvent(ctx, w, ev) })
		})
		in := aguitest.Input("hello")
		wantForeign(t, aguitest.Run(t, agent, in), in)
	}
}

// inPieces writes a few bytes at a time.
type inPieces struct {
	to   io.Writer
	size int
}

func (w inPieces) Write(p []byte) (n int, err error) {
	for rest := p; len(rest) > 0 && err == nil; {
		k := min(w.size, len(rest))
		_, err = w.to.Write(rest[:k])
		n, rest = n+k, rest[k:]
	}
	return n, err
}

func TestSSEOfOthers(t *testing.T) {
	for _, tc := range []struct{ stream, text string }{
		{": comment\r\nid: 7\r\ndata: {\"type\":\"CUSTOM\",\r\ndata:\"name\":\"n\",\"value\":1}\r\n\r\n", ""},
		{"\n\n\nevent: x\n\ndata: {\"type\":\"CUSTOM\",\"name\":\"n\",\"value\":1}\n\n", ""},
		{"data: {\"type\":\"CUSTOM\",\"name\":\"n\",\"value\":1}\n\ndata: nonsense\n\n", "JSON"},
		{"data: {\"type\":\"CUSTOM\",\"name\":\"n\",\"value\":1}\n\ndata: {\"type\":\"TEXT_MESSAGE_END\",\"messageId\":\"m\"}\n\n", agui.RuleNotOpen},
	} {
		var refused error
		got := aguitest.Run(t, run.AgentFunc(func(_ context.Context, r *run.Run) error {
			w := communitysdk.SSE(r, nil)
			_, refused = io.WriteString(w, tc.stream)
			_, err := io.WriteString(w, "data: {\"type\":\"CUSTOM\",\"name\":\"after\",\"value\":1}\n\ndata: cut")
			return err
		}), aguitest.Input())
		got.WantTypes("RUN_STARTED", "CUSTOM", "RUN_FINISHED")
		if n := len(aguitest.EventsOf[*agui.Custom](got)); n != 2 {
			t.Errorf("%d events of %q", n, tc.stream)
		}
		if tc.text == "" && refused != nil || tc.text != "" && (refused == nil || !strings.Contains(refused.Error(), tc.text)) {
			t.Errorf("%q: %v", tc.stream, refused)
		}
	}
	aguitest.Run(t, run.AgentFunc(func(_ context.Context, r *run.Run) error {
		w := communitysdk.SSE(r, nil)
		var err error
		for n := 0; err == nil && n < 20; n++ {
			_, err = io.WriteString(w, "data: "+strings.Repeat("x", 1<<20))
		}
		if err == nil || !strings.Contains(err.Error(), "longer than") {
			t.Errorf("an event without an end: %v", err)
		}
		return nil
	}), aguitest.Input()).WantSuccess()
}

// TestErrors: what cannot be written, what is out of order, what the agent returns.
func TestErrors(t *testing.T) {
	boom := errors.New("boom")
	got := aguitest.Run(t, communitysdk.Agent(func(_ context.Context, _ types.RunAgentInput, emit func(communitysdk.Event) error) error {
		if err := emit(broken{boom}); !errors.Is(err, boom) || !strings.Contains(err.Error(), "broken") {
			t.Errorf("an event that cannot be written: %v", err)
		}
		if _, ok := errors.AsType[*agui.OrderError](emit(events.NewTextMessageEndEvent("m"))); !ok {
			t.Error("an event out of order was taken")
		}
		if err := emit(events.NewActivitySnapshotEvent("m", "PLAN", nil)); err == nil {
			t.Error("a malformed event was taken")
		}
		return &agui.PublicError{Code: "c"}
	}, nil), aguitest.Input())
	got.WantError("c")
	got.WantTypes("RUN_STARTED", "RUN_ERROR")

	got = aguitest.Run(t, communitysdk.Agent(func(context.Context, int, func(communitysdk.Event) error) error { return nil }, nil), aguitest.Input())
	if got.WantError(run.CodeAgent); got.Err == nil || !strings.Contains(got.Err.Error(), "does not fit into *int") {
		t.Errorf("the error is %v", got.Err)
	}

	got = aguitest.Run(t, communitysdk.Agent(func(_ context.Context, in types.RunAgentInput, emit func(events.Event) error) error {
		return emit(events.NewRunErrorEvent("theirs", events.WithErrorCode("c"), events.WithRunID(in.RunID)))
	}, nil), aguitest.Input())
	if end := got.WantError("c"); end.Message != "theirs" {
		t.Errorf("message %q", end.Message)
	}
}

type broken struct{ err error }

func (b broken) ToJSON() ([]byte, error) { return nil, b.err }

// TestCancel: the agent's context ends, and what it has left open is closed.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := aguitest.Start(t, communitysdk.Agent(func(ctx context.Context, _ types.RunAgentInput, emit func(events.Event) error) error {
			if err := emit(events.NewTextMessageStartEvent("m")); err != nil {
				return err
			}
			for {
				if err := emit(events.NewTextMessageContentEvent("m", ".")); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(time.Second):
				}
			}
		}, nil), aguitest.Input())
		time.Sleep(2500 * time.Millisecond)
		s.Cancel(nil)
		got := s.Wait()
		got.WantCancelled()
		got.WantText("...")
	})
}
