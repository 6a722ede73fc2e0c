package eino

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/schema"
	"github.com/eino-contrib/jsonschema"
)

// Reasons of interrupts, unless Agent.Interrupt sets another.
const (
	ReasonTool  = "tool_call" // a tool asks before it goes on
	ReasonAgent = "agent"     // an agent does
)

// interrupt ends a run that was interrupted: with the calls that are the frontend's where that is all
// that it waits for, else with questions.
func (a *Agent) interrupt(e *emitter) error {
	var (
		asked   []agui.Interrupt
		pending []string
	)
	for _, at := range e.interrupted.InterruptContexts {
		if !at.IsRootCause {
			continue
		}
		ask := e.ask(at)
		if at.Info == frontendCall && ask.ToolCallID != nil {
			pending = append(pending, *ask.ToolCallID)
		}
		if a.Interrupt != nil {
			a.Interrupt(at, &ask)
		}
		asked = append(asked, ask)
	}
	if len(pending) == len(asked) && len(pending) > 0 {
		return e.run.PendingToolCalls(pending...)
	}
	return e.run.Interrupt(asked...)
}

// ask is what a client reads of an interrupt.
func (e *emitter) ask(at *adk.InterruptCtx) agui.Interrupt {
	ask := agui.Interrupt{ID: at.ID, Reason: ReasonAgent}
	if n := len(at.Address); n > 0 && at.Address[n-1].Type == adk.AddressSegmentTool {
		ask.Reason = ReasonTool
		if id := at.Address[n-1].SubID; id != "" {
			if call := e.call(id); call != nil {
				id = call.ID
			}
			ask.ToolCallID = &id
		}
	}
	metadata := map[string]any{"address": at.Address.String()}
	switch info := at.Info.(type) {
	case nil:
	case string:
		ask.Message = &info
	case fmt.Stringer:
		ask.Message = new(info.String())
	default:
		metadata["info"] = info
	}
	raw, err := json.Marshal(metadata)
	if err != nil { // the information is for others in this process
		raw, _ = json.Marshal(map[string]any{"address": at.Address.String()})
	}
	ask.Metadata = raw
	return ask
}

// frontendCall is the information of an interrupt that waits for a tool of the frontend.
const frontendCall = "agloop: a call of a tool of the frontend"

// FrontendTools are the tools of an input as tools of an agent, see Agent.New. When the model calls
// one, the run ends, and the frontend gives the result in the next input, which begins a new execution
// with the conversation so far. Where the agent asks the user something at the same time the call is an
// interrupt as well, whose answer is the result. The error names a tool whose parameters are no JSON Schema.
func FrontendTools(tools []agui.Tool) ([]tool.BaseTool, error) {
	list := make([]tool.BaseTool, 0, len(tools))
	for i := range tools {
		info := &schema.ToolInfo{Name: tools[i].Name, Desc: tools[i].Description}
		if raw := tools[i].Parameters; len(raw) > 0 {
			var s jsonschema.Schema
			if err := json.Unmarshal(raw, &s); err != nil {
				return nil, fmt.Errorf("adapters/eino: tool %q: parameters are no JSON Schema: %w", tools[i].Name, err)
			}
			info.ParamsOneOf = schema.NewParamsOneOfByJSONSchema(&s)
		}
		list = append(list, frontendTool{info})
	}
	return list, nil
}

// frontendTool is a tool that runs at the frontend.
type frontendTool struct{ info *schema.ToolInfo }

func (t frontendTool) Info(context.Context) (*schema.ToolInfo, error) { return t.info, nil }

// InvokableRun interrupts, and returns the answer when that has come.
func (t frontendTool) InvokableRun(ctx context.Context, _ string, _ ...tool.Option) (string, error) {
	target, _, data := tool.GetResumeContext[any](ctx)
	if !target {
		return "", tool.Interrupt(ctx, frontendCall)
	}
	if text, ok := data.(string); ok {
		return text, nil
	}
	raw, err := json.Marshal(data)
	return string(raw), err
}
