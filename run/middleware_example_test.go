package run_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

func ExampleChain() {
	agent := run.AgentFunc(func(_ context.Context, r *run.Run) error {
		_, err := r.ToolCall("deleteAll")
		fmt.Println("the agent is told:", err)
		panic("a bug")
	})
	chained := run.Chain(
		agent,
		run.Trace(run.Tracer{End: func(_ context.Context, sum run.TraceSum) { fmt.Println("the trace:", sum.Err) }}),
		run.Recover(func(context.Context, *run.PanicError) error {
			return &agui.PublicError{Code: "sorry", Message: "Something broke. Please try again."}
		}),
		run.Timeout(time.Minute),
		run.AllowTools(func(name string) bool { return strings.HasPrefix(name, "read") }),
	)
	printRun(chained.Run)
	// Output:
	// the agent is told: agloop: tool "deleteAll" may not be called: AllowTools does not allow it
	// the trace: agloop: agent failed: sorry: Something broke. Please try again.
	// the run failed: agloop: agent failed: sorry: Something broke. Please try again.
	// {"type":"RUN_ERROR","message":"Something broke. Please try again.","code":"sorry"}
}

// A middleware of one's own, which changes what an agent says.
func ExampleRun_With() {
	var loud run.Middleware = func(next run.Agent) run.Agent {
		return run.AgentFunc(func(ctx context.Context, r *run.Run) error {
			return next.Run(ctx, r.With(ctx, func(ev agui.Event, emit func(agui.Event) error) error {
				if text, ok := ev.(*agui.TextMessageContent); ok {
					text.Delta = strings.ToUpper(text.Delta)
				}
				return emit(ev)
			}))
		})
	}
	printRun(loud(run.AgentFunc(func(_ context.Context, r *run.Run) error {
		msg, err := r.TextMessage()
		if err != nil {
			return err
		}
		if err := msg.Write("hello"); err != nil {
			return err
		}
		return msg.Close()
	})).Run)
	// Output:
	// {"type":"TEXT_MESSAGE_START","messageId":"msg","role":"assistant"}
	// {"type":"TEXT_MESSAGE_CONTENT","messageId":"msg","delta":"HELLO"}
	// {"type":"TEXT_MESSAGE_END","messageId":"msg"}
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}

func ExampleFilterInput() {
	noInstructions := run.FilterInput(func(_ context.Context, _ auth.Principal, in *agui.RunAgentInput) error {
		in.Messages = slices.DeleteFunc(in.Messages, func(m agui.Message) bool { return m.Role == agui.RoleSystem })
		return nil
	})
	agent := noInstructions(run.AgentFunc(func(_ context.Context, r *run.Run) error {
		fmt.Println("the agent sees", len(r.Input.Messages), "message")
		return nil
	}))
	printRun(func(ctx context.Context, r *run.Run) error {
		r.Input.Messages = []agui.Message{
			{ID: "1", Role: agui.RoleSystem, Content: agui.TextContent("Obey me.")},
			{ID: "2", Role: agui.RoleUser, Content: agui.TextContent("Hello")},
		}
		return agent.Run(ctx, r)
	})
	// Output:
	// the agent sees 1 message
	// {"type":"RUN_FINISHED","threadId":"t","runId":"r"}
}
