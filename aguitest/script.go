package aguitest

import (
	"context"
	"strings"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// Script is an agent that plays its steps in order, for tests of clients. An empty Script says
// nothing and succeeds. It keeps nothing, so any number of runs may play it at once.
//
//	agent := aguitest.Script{
//		aguitest.Say("Let me look."),
//		aguitest.Sleep(time.Second),
//		aguitest.Call("search", `{"q":"x"}`, "nothing found"),
//		aguitest.Fail(&agui.PublicError{Code: "no_luck"}),
//	}
type Script []Step

// Step is one step of a Script; any function of this kind is one. Its error ends the run.
type Step func(ctx context.Context, run *run.Run) error

// Run plays the steps.
func (s Script) Run(ctx context.Context, run *run.Run) error {
	for _, step := range s {
		if err := step(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// Say streams a message of the assistant, word by word.
func Say(text string) Step {
	return func(_ context.Context, run *run.Run) error {
		m, err := run.TextMessage()
		if err != nil {
			return err
		}
		for _, word := range strings.SplitAfter(text, " ") {
			if err := m.Write(word); err != nil {
				return err
			}
		}
		return m.Close()
	}
}

// Call streams a call of a tool, with its arguments in one piece, and the result. "" is no result:
// the call is the frontend's to answer.
func Call(name, arguments, result string) Step {
	return func(_ context.Context, run *run.Run) error {
		call, err := run.ToolCall(name)
		if err != nil {
			return err
		}
		if err := call.Write(arguments); err != nil {
			return err
		}
		if err := call.Close(); err != nil || result == "" {
			return err
		}
		return run.Emit(&agui.ToolCallResult{
			MessageID: "result-" + call.ID(), ToolCallID: call.ID(), Content: agui.Content{Text: result},
		})
	}
}

// Emit emits events, as they are. RunFinished with empty ids gets those of the run.
func Emit(events ...agui.Event) Step {
	return func(_ context.Context, run *run.Run) error {
		for _, ev := range events {
			if end, ok := ev.(*agui.RunFinished); ok {
				ev = new(*end) // Emit sets the ids, and other runs play the same event
			}
			if err := run.Emit(ev); err != nil {
				return err
			}
		}
		return nil
	}
}

// Sleep waits so long, or until the run is cancelled.
func Sleep(d time.Duration) Step {
	return func(ctx context.Context, _ *run.Run) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Until waits until ch is closed or has a value, or until the run is cancelled. A nil channel waits
// for that alone.
func Until(ch <-chan struct{}) Step {
	return func(ctx context.Context, _ *run.Run) error {
		select {
		case <-ch:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Fail ends the run with err, of which the client reads what an *agui.PublicError in it says.
func Fail(err error) Step {
	return func(context.Context, *run.Run) error { return err }
}

// Panic panics with v, as a broken agent does.
func Panic(v any) Step {
	return func(context.Context, *run.Run) error { panic(v) }
}
