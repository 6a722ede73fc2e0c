package run_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// printRun runs an agent and prints what it sends behind RUN_STARTED. A host gives the agent to a server.
func printRun(agent run.AgentFunc) {
	s, in := &sink{}, *input
	if err := run.Do(context.Background(), &in, setup(agent, s)); err != nil {
		fmt.Println("the run failed:", err)
	}
	for _, e := range s.events[1:] {
		fmt.Println(freshID.ReplaceAllString(e, "$1"))
	}
}

func ExampleRun_EmitJSON() {
	upstream := []string{ // what another agent's stream holds
		`{"type":"RUN_STARTED","threadId":"theirs","runId":"7"}`,
		`{"type":"TEXT_MESSAGE_START","messageId":"m"}`,
		`{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hello"}`,
		`{"type":"TEXT_MESSAGE_END","messageId":"m"}`,
		`{"type":"RUN_FINISHED","threadId":"theirs","runId":"7"}`,
	}
	printRun(func(_ context.Context, r *run.Run) error {
		for _, raw := range upstream {
			if err := r.EmitJSON([]byte(raw)); err != nil {
				return err
			}
		}
		return nil
	})
	// Output:
	// {"type":"TEXT_MESSAGE_START","messageId":"m"}
	// {"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"Hello"}
	// {"type":"TEXT_MESSAGE_END","messageId":"m"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_StartTextMessage() {
	printRun(func(_ context.Context, r *run.Run) error {
		note, err := r.StartTextMessage(agui.TextMessageStart{Role: agui.RoleSystem, Name: new("clock")})
		if err != nil {
			return err
		}
		if err := note.Write("It is noon."); err != nil {
			return err
		}
		return note.Close()
	})
	// Output:
	// {"type":"TEXT_MESSAGE_START","messageId":"msg","role":"system","name":"clock"}
	// {"type":"TEXT_MESSAGE_CONTENT","messageId":"msg","delta":"It is noon."}
	// {"type":"TEXT_MESSAGE_END","messageId":"msg"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_ToolCall() {
	printRun(func(_ context.Context, r *run.Run) error {
		call, err := r.ToolCall("weather")
		if err != nil {
			return err
		}
		if err := call.Write(`{"city":"Oslo"}`); err != nil { // in pieces, as a model writes them
			return err
		}
		if err := call.Close(); err != nil {
			return err
		}
		return call.Result("4 °C, rain") // what the tool returned
	})
	// Output:
	// {"type":"TOOL_CALL_START","toolCallId":"call","toolCallName":"weather"}
	// {"type":"TOOL_CALL_ARGS","toolCallId":"call","delta":"{\"city\":\"Oslo\"}"}
	// {"type":"TOOL_CALL_END","toolCallId":"call"}
	// {"type":"TOOL_CALL_RESULT","messageId":"msg","toolCallId":"call","content":"4 °C, rain","role":"tool"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_Reasoning() {
	printRun(func(_ context.Context, r *run.Run) error {
		thought, err := r.Reasoning()
		if err != nil {
			return err
		}
		if err := thought.Write("They ask for the weather."); err != nil {
			return err
		}
		if err := thought.Encrypt("gAAAAAB…"); err != nil { // what the provider wants back
			return err
		}
		return thought.Close()
	})
	// Output:
	// {"type":"REASONING_START","messageId":"reasoning"}
	// {"type":"REASONING_MESSAGE_START","messageId":"reasoning","role":"reasoning"}
	// {"type":"REASONING_MESSAGE_CONTENT","messageId":"reasoning","delta":"They ask for the weather."}
	// {"type":"REASONING_ENCRYPTED_VALUE","subtype":"message","entityId":"reasoning","encryptedValue":"gAAAAAB…"}
	// {"type":"REASONING_MESSAGE_END","messageId":"reasoning"}
	// {"type":"REASONING_END","messageId":"reasoning"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_Step() {
	printRun(func(_ context.Context, r *run.Run) error {
		step, err := r.Step("search")
		if err != nil {
			return err
		}
		return step.Close()
	})
	// Output:
	// {"type":"STEP_STARTED","stepName":"search"}
	// {"type":"STEP_FINISHED","stepName":"search"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_Activity() {
	type plan struct {
		Done int `json:"done"`
		All  int `json:"all"`
	}
	printRun(func(_ context.Context, r *run.Run) error {
		shown, err := r.Activity("PLAN", plan{All: 3})
		if err != nil {
			return err
		}
		return shown.Patch(agui.PatchOp{Op: agui.PatchReplace, Path: "/done", Value: json.RawMessage("1")})
	})
	// Output:
	// {"type":"ACTIVITY_SNAPSHOT","messageId":"activity","activityType":"PLAN","content":{"done":0,"all":3}}
	// {"type":"ACTIVITY_DELTA","messageId":"activity","activityType":"PLAN","patch":[{"op":"replace","path":"/done","value":1}]}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_Subagent() {
	printRun(func(_ context.Context, r *run.Run) error {
		helper, err := r.Subagent("researcher")
		if err != nil {
			return err
		}
		msg, err := helper.TextMessage()
		if err != nil {
			return err
		}
		if err := msg.Close(); err != nil {
			return err
		}
		return helper.Finish(map[string]int{"sources": 2})
	})
	// Output:
	// {"type":"SUBAGENT_STARTED","subagentRunId":"sub","name":"researcher"}
	// {"type":"TEXT_MESSAGE_START","subagentRunId":"sub","messageId":"msg","role":"assistant"}
	// {"type":"TEXT_MESSAGE_END","subagentRunId":"sub","messageId":"msg"}
	// {"type":"SUBAGENT_FINISHED","subagentRunId":"sub","result":{"sources":2}}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleRun_Interrupt() {
	printRun(func(_ context.Context, r *run.Run) error {
		for _, answer := range r.Input.Resume { // of the next run
			if answer.InterruptID == "pay" && answer.Status == agui.ResumeResolved {
				return nil
			}
		}
		return r.Interrupt(agui.Interrupt{ID: "pay", Reason: "approval", Message: new("Pay 3 €?")})
	})
	// Output:
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[{"id":"pay","reason":"approval","message":"Pay 3 €?"}]}}
}

func ExampleRun_PendingToolCalls() {
	printRun(func(_ context.Context, r *run.Run) error {
		call, err := r.ToolCall("pickColour") // a tool of the frontend
		if err != nil {
			return err
		}
		if err := call.Close(); err != nil {
			return err
		}
		return r.PendingToolCalls(call.ID())
	})
	// Output:
	// {"type":"TOOL_CALL_START","toolCallId":"call","toolCallName":"pickColour"}
	// {"type":"TOOL_CALL_END","toolCallId":"call"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"success","pendingToolCallIds":["call"]}}
}

func ExampleRun_Usage() {
	printRun(func(_ context.Context, r *run.Run) error {
		for range 2 { // two requests of the model
			if err := r.Usage(agui.TokenUsage{Model: new("large"), InputTokens: new(int64(100)), OutputTokens: new(int64(20))}); err != nil {
				return err
			}
		}
		return r.Result(map[string]bool{"found": true})
	})
	// Output:
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r","result":{"found":true},"usage":[{"model":"large","inputTokens":200,"outputTokens":40}]}
}

// A state that the agent shares with its client: it begins as the client has it, and each change is sent.
func Example_state() {
	type trip struct {
		Goal  string   `json:"goal"`
		Stops []string `json:"stops"`
	}
	printRun(func(_ context.Context, r *run.Run) error {
		r.Input.State = json.RawMessage(`{"goal":"from Oslo to Bergen by train, with as many stops as there are","stops":[]}`)
		state, err := agui.StateOf[trip](r, r.Input)
		if err != nil {
			return err
		}
		for _, stop := range []string{"Drammen", "Finse"} {
			if err := state.Update(func(t *trip) { t.Stops = append(t.Stops, stop) }); err != nil {
				return err
			}
		}
		return state.Set(trip{Goal: "none"})
	})
	// Output:
	// {"type":"STATE_DELTA","delta":[{"op":"add","path":"/stops/0","value":"Drammen"}]}
	// {"type":"STATE_DELTA","delta":[{"op":"add","path":"/stops/1","value":"Finse"}]}
	// {"type":"STATE_SNAPSHOT","snapshot":{"goal":"none","stops":null}}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}
