package openaichat

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
	"github.com/openai/openai-go/v3"
)

// Agent is an agent whose model answers by chat completions. Client and Model must be set. It may be
// used by any number of runs at once, and is not changed by them.
type Agent struct {
	// Client asks the API. It has the key and the address.
	Client openai.Client
	// Model is the model's name.
	Model string
	// Tools are run here when the model calls them. Calls of the input's tools are left to the frontend,
	// which gives the results in the next input. One of these hides a tool of the frontend that has its
	// name. A model that calls what is neither reads that there is no such tool.
	Tools []Tool
	// Prepare may change each request before it is sent: instructions, temperature, which tools there
	// are. An error ends the run. nil is skipped.
	Prepare func(ctx context.Context, r *run.Run, p *openai.ChatCompletionNewParams) error
	// MaxRounds is how many completions a run may ask for. 0 is 10.
	MaxRounds int
}

// Tool is a tool that runs here.
type Tool struct {
	// Definition is what the model reads of it.
	Definition openai.FunctionDefinitionParam
	// Call runs it in the agent's goroutine. arguments are what the model wrote, which need not be JSON.
	// The result is for the model; an error ends the run, so what the model may mend is a result.
	Call func(ctx context.Context, r *run.Run, arguments string) (result string, err error)
}

// Codes of the errors that clients read.
const (
	CodeContent = "unsupported_content" // the input has what a chat completion has no place for
	CodeRounds  = "too_many_rounds"     // the model goes on calling tools
)

// Run answers the input of r. A run whose answer was cut off by the length or the filter of the model
// fails with that finish reason as its code; what was said stays. Other errors of the API are the
// host's to read.
func (a *Agent) Run(ctx context.Context, r *run.Run) error {
	p, err := a.params(r.Input)
	if err != nil {
		return err
	}
	var replies []*Reply
	for range a.rounds() {
		request := p
		request.Messages = slices.Clone(p.Messages)
		request.Tools = slices.Clone(p.Tools)
		if a.Prepare != nil {
			if err := a.Prepare(ctx, r, &request); err != nil {
				return err
			}
		}
		reply, err := Emit(ctx, r, a.Client.Chat.Completions.NewStreaming(ctx, request), replies...)
		if err != nil {
			return err
		}
		if reason := reply.FinishReason; reason == "length" || reason == "content_filter" {
			return &agui.PublicError{Code: reason, Message: "the answer was cut off: " + reason}
		}
		if len(reply.Calls) == 0 {
			return nil
		}
		replies = append(replies, reply)
		p.Messages = append(p.Messages, reply.Message())
		pending, err := a.callTools(ctx, r, reply, &p)
		if err != nil {
			return err
		}
		if len(pending) > 0 {
			return r.PendingToolCalls(pending...)
		}
	}
	return &agui.PublicError{Code: CodeRounds, Message: fmt.Sprintf("no answer after %d rounds of tool calls", a.rounds())}
}

func (a *Agent) rounds() int {
	if a.MaxRounds > 0 {
		return a.MaxRounds
	}
	return 10
}

// params is the first request.
func (a *Agent) params(in *agui.RunAgentInput) (openai.ChatCompletionNewParams, error) {
	own := *in
	own.Tools = slices.DeleteFunc(slices.Clone(in.Tools), func(t agui.Tool) bool { return a.tool(t.Name) != nil })
	p, err := Params(a.Model, &own)
	if content, ok := errors.AsType[*ContentError](err); ok {
		return p, &agui.PublicError{Code: CodeContent, Message: content.Field + ": " + content.Reason}
	}
	for i := range a.Tools {
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(a.Tools[i].Definition))
	}
	return p, err
}

func (a *Agent) tool(name string) *Tool {
	for i := range a.Tools {
		if a.Tools[i].Definition.Name == name {
			return &a.Tools[i]
		}
	}
	return nil
}

// callTools runs the tools that run here, and returns the ids of the calls that are the frontend's.
func (a *Agent) callTools(ctx context.Context, r *run.Run, reply *Reply, p *openai.ChatCompletionNewParams) (pending []string, err error) {
	for i := range reply.Calls {
		call := &reply.Calls[i]
		result := "There is no tool of this name."
		switch tool := a.tool(call.Name); {
		case tool != nil:
			if result, err = tool.Call(ctx, r, call.Arguments); err != nil {
				return nil, err
			}
		case slices.ContainsFunc(r.Input.Tools, func(t agui.Tool) bool { return t.Name == call.Name }):
			pending = append(pending, call.ID)
			continue
		}
		if err := call.Result(result); err != nil {
			return nil, err
		}
		p.Messages = append(p.Messages, openai.ToolMessage(result, call.ID))
	}
	return pending, nil
}
