package agui_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/agloop/agloop/agui"
)

// A sender checks every event before writing it, and closes what is open when the run is cancelled.
func ExampleOrder() {
	var order agui.Order
	send := func(ev agui.Event) {
		if err := order.Check(ev); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.Type())
	}
	send(&agui.RunStarted{ThreadID: "t", RunID: "r"})
	send(&agui.TextMessageContent{MessageID: "m", Delta: "too early"})
	send(&agui.TextMessageStart{MessageID: "m"})

	for _, ev := range order.Open() {
		send(ev)
	}
	send(&agui.RunFinished{ThreadID: "t", RunID: "r", Outcome: &agui.Outcome{Type: agui.OutcomeCancelled}})
	fmt.Println("done:", order.Done())
	// Output:
	// RUN_STARTED
	// agloop: TEXT_MESSAGE_CONTENT "m": it is not open
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_END
	// RUN_FINISHED
	// done: true
}

// A reader expands the chunk shorthand before looking at events.
func ExampleExpander() {
	var (
		expander agui.Expander
		events   []agui.Event
	)
	for _, ev := range []agui.Event{
		&agui.TextMessageChunk{MessageID: new("m"), Delta: new("Hel")},
		&agui.TextMessageChunk{Delta: new("lo")},
		&agui.RunFinished{ThreadID: "t", RunID: "r"},
	} {
		var err error
		if events, err = expander.Expand(ev, events[:0]); err != nil {
			fmt.Println(err)
		}
		for _, ev := range events {
			fmt.Println(ev.Type())
		}
	}
	// Output:
	// TEXT_MESSAGE_START
	// TEXT_MESSAGE_CONTENT
	// TEXT_MESSAGE_CONTENT
	// TEXT_MESSAGE_END
	// RUN_FINISHED
}

// A client keeps the conversation, asks on, and answers what the run before asked for.
func ExampleThread() {
	thread := agui.NewThread(&agui.RunAgentInput{ThreadID: "t", Messages: []agui.Message{
		{ID: "u1", Role: agui.RoleUser, Content: agui.TextContent("Delete the file.")},
	}})
	for _, ev := range []agui.Event{
		&agui.RunStarted{ThreadID: "t", RunID: "r1"},
		&agui.TextMessageChunk{MessageID: new("a1"), Delta: new("May ")},
		&agui.TextMessageChunk{Delta: new("I?")},
		&agui.StateDelta{Delta: []agui.PatchOp{{Op: agui.PatchAdd, Path: "/asked", Value: json.RawMessage(`true`)}}},
		&agui.RunFinished{ThreadID: "t", RunID: "r1", Outcome: &agui.Outcome{
			Type: agui.OutcomeInterrupt, Interrupts: []agui.Interrupt{{ID: "i1", Reason: "approval"}},
		}},
	} {
		if err := thread.Apply(ev); err != nil {
			fmt.Println(err)
		}
	}
	for _, m := range thread.Messages() {
		fmt.Println(m.Role, m.Content.Text)
	}

	_, err := thread.Input("r2", time.Now())
	fmt.Println(err)
	in, err := thread.Input("r2", time.Now(), agui.ResumeEntry{InterruptID: "i1", Status: agui.ResumeResolved})
	fmt.Println(len(in.Messages), string(in.State), err)
	// Output:
	// user Delete the file.
	// assistant May I?
	// agloop: resume does not fit the pending interrupts: no answer to ["i1"]
	// 2 {"asked":true} <nil>
}

// An event that a host keeps or prints has its type.
func ExampleTextMessageContent_MarshalJSON() {
	out, err := json.Marshal(agui.TextMessageContent{MessageID: "m", Delta: "Hello"})
	fmt.Println(string(out), err)
	// Output:
	// {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hello"} <nil>
}

func ExampleDiff() {
	ops, err := agui.Diff(
		json.RawMessage(`{"id":9007199254740992,"tags":["a tag that is longer than an operation on the others, so that it is not sent again"]}`),
		json.RawMessage(`{"id":9007199254740993,"tags":["a tag that is longer than an operation on the others, so that it is not sent again","b"]}`),
	)
	if err != nil {
		fmt.Println(err)
	}
	for _, op := range ops {
		fmt.Println(op.Op, op.Path, string(op.Value))
	}
	// Output:
	// replace /id 9007199254740993
	// add /tags/1 "b"
}

func ExampleAgentCapabilities() {
	out, err := json.Marshal(agui.AgentCapabilities{
		Transport: &agui.TransportCapabilities{Websocket: new(true), Resumable: new(true)},
		State:     &agui.StateCapabilities{Deltas: new(true), Memory: new(false)}, // false is not the same as not declared
	})
	fmt.Println(string(out), err)
	// Output:
	// {"transport":{"websocket":true,"resumable":true},"state":{"deltas":true,"memory":false}} <nil>
}
