package run

import "github.com/agloop/agloop/agui"

// ToolCall is a call of a tool whose arguments are being streamed. Use it from one goroutine at a
// time.
type ToolCall struct {
	owner  owner
	event  agui.ToolCallArgs
	text   splitter
	closed bool
}

// ToolCall starts a call of the named tool: TOOL_CALL_START with a fresh id. Errors as Emit.
func (r *Run) ToolCall(name string) (*ToolCall, error) {
	return r.StartToolCall(agui.ToolCallStart{ToolCallName: name})
}

// StartToolCall is ToolCall for a call with an id of the agent's or its model's, or with a parent
// message: it sends start. An empty ToolCallID is a fresh one. Errors as Emit.
func (r *Run) StartToolCall(start agui.ToolCallStart) (*ToolCall, error) {
	return owner{run: r}.toolCall(start)
}

func (o owner) toolCall(start agui.ToolCallStart) (*ToolCall, error) {
	if start.ToolCallID == "" {
		start.ToolCallID = newID("call-")
	}
	if err := o.emit(&start); err != nil {
		return nil, err
	}
	c := &ToolCall{owner: owner{o.run, start.SubagentRunID}}
	c.event.ToolCallID, c.event.SubagentRunID = start.ToolCallID, start.SubagentRunID
	return c, nil
}

// ID is the call's id.
func (c *ToolCall) ID() string { return c.event.ToolCallID }

// Write sends the next piece of the arguments' JSON: TOOL_CALL_ARGS. Pieces are treated as those of
// a TextMessage. Errors as Emit.
func (c *ToolCall) Write(args string) error {
	if c.event.Delta = c.text.complete(args); c.event.Delta == "" {
		return nil
	}
	return c.owner.run.Emit(&c.event)
}

// Encrypt attaches a value to the call that only the provider can read: REASONING_ENCRYPTED_VALUE.
// Errors as Emit.
func (c *ToolCall) Encrypt(value string) error {
	return c.owner.encrypt(agui.EncryptedToolCall, c.ID(), value)
}

// Close ends the call: TOOL_CALL_END. Once it has, it does nothing. Errors as Emit.
//
// The result of a tool that the agent runs follows by Result. A tool of the frontend, one of
// Input.Tools, gives its result in the next input: then the run ends by Run.PendingToolCalls.
func (c *ToolCall) Close() error {
	if c.closed {
		return nil
	}
	if c.event.Delta = c.text.flush(); c.event.Delta != "" {
		if err := c.owner.run.Emit(&c.event); err != nil {
			return err
		}
	}
	err := c.owner.emit(&agui.ToolCallEnd{ToolCallID: c.ID()})
	c.closed = err == nil
	return err
}

// Result sends what the tool returned, as text: TOOL_CALL_RESULT, a message of its own with a fresh
// id. It closes the call first. Errors as Emit.
func (c *ToolCall) Result(text string) error { return c.result(agui.Content{Text: text}) }

// ResultParts is Result for text, images and other media. No parts are an empty list.
func (c *ToolCall) ResultParts(parts ...agui.ContentPart) error {
	if parts == nil {
		parts = []agui.ContentPart{}
	}
	return c.result(agui.Content{Parts: parts})
}

func (c *ToolCall) result(content agui.Content) error {
	if err := c.Close(); err != nil {
		return err
	}
	return c.owner.emit(&agui.ToolCallResult{
		MessageID: newID("msg-"), ToolCallID: c.ID(), Content: content, Role: agui.RoleTool,
	})
}
