package eino

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/answer"
	"github.com/agloop/agloop/run"
	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/schema"
)

// Emit emits what an execution says until its end, for hosts that have a Runner of their own, made
// with a CheckPointStore; of a, only Interrupt counts. An interrupt ends the run, and so do calls of
// frontend tools. Errors: that of an event, those of Run.Emit, a *agui.PublicError for an answer that
// was cut off, and the cause of ctx where that has ended; what was begun is closed in each case. Call
// it in the agent's goroutine.
func (a *Agent) Emit(ctx context.Context, r *run.Run, events *adk.AsyncIterator[*adk.AgentEvent]) error {
	e := &emitter{run: r}
	err := e.read(events)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if e.step != nil {
		if closed := e.step.Close(); err == nil {
			err = closed
		}
	}
	switch {
	case err != nil:
		return err
	case e.interrupted != nil:
		return a.interrupt(e)
	case e.reason == "length" || e.reason == "content_filter":
		return &agui.PublicError{Code: e.reason, Message: "the answer was cut off: " + e.reason}
	}
	return nil
}

// emitter emits one execution.
type emitter struct {
	run         *run.Run
	answers     []*answer.Answer
	step        *run.Step // of an agent that is not the root
	interrupted *adk.InterruptInfo
	reason      string // why the last answer is over
}

func (e *emitter) read(events *adk.AsyncIterator[*adk.AgentEvent]) error {
	for {
		ev, ok := events.Next()
		if !ok {
			return nil
		}
		if err := e.event(ev); err != nil {
			return err
		}
	}
}

func (e *emitter) event(ev *adk.AgentEvent) error {
	if ev.Err != nil {
		return unlessRepeated(ev.Err)
	}
	if err := e.enter(ev); err != nil {
		return err
	}
	if out := ev.Output; out != nil {
		if m := out.MessageOutput; m != nil {
			if err := e.message(m); err != nil {
				return err
			}
		}
		if err := e.custom("customized_output", out.CustomizedOutput); err != nil {
			return err
		}
	}
	if act := ev.Action; act != nil {
		if act.Interrupted != nil {
			e.interrupted = act.Interrupted
		}
		return e.custom("customized_action", act.CustomizedAction)
	}
	return nil
}

// unlessRepeated is err, unless Eino tries again.
func unlessRepeated(err error) error {
	if _, again := errors.AsType[*adk.WillRetryError](err); again {
		return nil
	}
	return err
}

// enter begins the step of the event's agent, unless that is the root, and ends the one before.
func (e *emitter) enter(ev *adk.AgentEvent) (err error) {
	name := ev.AgentName
	if len(ev.RunPath) < 2 {
		name = ""
	}
	if e.step != nil && e.step.Name() != name {
		if err := e.step.Close(); err != nil {
			return err
		}
		e.step = nil
	}
	if e.step == nil && name != "" {
		e.step, err = e.run.Step(name)
	}
	return err
}

func (e *emitter) message(m *adk.MessageVariant) error {
	if m.Role == schema.Tool {
		return e.result(m)
	}
	a := answer.Begin(e.run, e.answers...)
	e.answers = append(e.answers, a)
	w := writer{answer: a}
	err := w.read(m)
	if closed := a.Close(); err == nil {
		err = closed
	}
	e.reason = w.reason
	if w.usage != nil {
		if counted := e.run.Usage(*w.usage); err == nil {
			err = counted
		}
	}
	return unlessRepeated(err)
}

// result emits what a tool returned, which may come in pieces too.
func (e *emitter) result(m *adk.MessageVariant) error {
	msg, err := m.GetMessage()
	if err != nil {
		return err
	}
	if call := e.call(msg.ToolCallID); call != nil {
		return call.Result(msg.Content)
	}
	// The call is of the run that was interrupted.
	return e.run.Emit(&agui.ToolCallResult{
		MessageID: "msg-" + rand.Text(), ToolCallID: msg.ToolCallID, Content: agui.Content{Text: msg.Content}, Role: agui.RoleTool,
	})
}

// call is the call that Eino knows by id; nil is none.
func (e *emitter) call(id string) *answer.Call {
	for i := len(e.answers) - 1; i >= 0; i-- {
		if call := e.answers[i].Call(id); call != nil {
			return call
		}
	}
	return nil
}

// custom emits what an agent has made of its own, where it is JSON.
func (e *emitter) custom(name string, v any) error {
	if v == nil {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil // it is for others in this process
	}
	return e.run.Emit(&agui.Custom{Name: name, Value: raw})
}

// writer writes the answer of one call of a model.
type writer struct {
	answer *answer.Answer
	usage  *agui.TokenUsage
	reason string
	single int // calls without an index so far: each is whole
}

func (w *writer) read(m *adk.MessageVariant) error {
	if !m.IsStreaming {
		return w.write(m.Message)
	}
	defer m.MessageStream.Close()
	for {
		chunk, err := m.MessageStream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = w.write(chunk)
		}
		if err != nil {
			return err
		}
	}
}

func (w *writer) write(m *schema.Message) error {
	if err := w.answer.WriteReasoning(m.ReasoningContent); err != nil {
		return err
	}
	if err := w.answer.WriteText(m.Content); err != nil {
		return err
	}
	for i := range m.ToolCalls {
		call := &m.ToolCalls[i]
		d := answer.CallDelta{ID: call.ID, Name: call.Function.Name, Arguments: call.Function.Arguments}
		if call.Index != nil {
			d.Index = *call.Index
		} else {
			w.single++
			d.Index = -w.single
		}
		if err := w.answer.WriteCall(d); err != nil {
			return err
		}
	}
	if meta := m.ResponseMeta; meta != nil {
		if meta.FinishReason != "" {
			w.reason = meta.FinishReason
		}
		if meta.Usage != nil { // some models count in each chunk: the last one counts
			w.usage = usageOf(meta.Usage)
		}
	}
	return nil
}

// usageOf is what a model has counted. Eino does not tell 0 from unknown, but for the totals.
func usageOf(u *schema.TokenUsage) *agui.TokenUsage {
	known := func(n int) *int64 {
		if n <= 0 {
			return nil
		}
		return new(int64(n))
	}
	return &agui.TokenUsage{
		InputTokens: known(u.PromptTokens), OutputTokens: known(u.CompletionTokens), TotalTokens: known(u.TotalTokens),
		ReasoningTokens: known(u.CompletionTokensDetails.ReasoningTokens), CachedInputTokens: known(u.PromptTokenDetails.CachedTokens),
	}
}
