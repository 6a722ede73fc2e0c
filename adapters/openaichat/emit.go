package openaichat

import (
	"context"
	"errors"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/answer"
	"github.com/agloop/agloop/run"
	"github.com/openai/openai-go/v3"
	"github.com/tidwall/gjson"
)

// Stream is a stream of chunks, as Chat.Completions.NewStreaming returns it.
type Stream interface {
	Next() bool
	Current() openai.ChatCompletionChunk
	Err() error
	// Close may be called by any goroutine, and more than once.
	Close() error
}

// Errors of Emit.
var (
	ErrTruncated    = errors.New("adapters/openaichat: the stream ended within the answer")
	ErrFunctionCall = errors.New("adapters/openaichat: the server answers by function_call, which is retired: it must be asked for tools")
)

// Reply is what a stream has said. What it has begun is closed.
type Reply struct {
	*answer.Answer
	// FinishReason is why the model stopped: "stop", "tool_calls", "length", "content_filter", or what
	// else the server says.
	FinishReason string
}

// Message is the reply as a message of the next request.
func (r *Reply) Message() openai.ChatCompletionMessageParamUnion {
	m := &openai.ChatCompletionAssistantMessageParam{}
	if r.Text != "" {
		m.Content.OfString = openai.String(r.Text)
	}
	if r.Refusal != "" {
		m.Refusal = openai.String(r.Refusal)
	}
	for i := range r.Calls {
		m.ToolCalls = append(m.ToolCalls, toolCallParam(r.Calls[i].ID, r.Calls[i].Name, r.Calls[i].Arguments))
	}
	return openai.ChatCompletionMessageParamUnion{OfAssistant: m}
}

// Emit emits what s says until its end, and closes it. The reply is what has been said, also with an
// error. earlier are the replies that the run has had, see answer.Begin. Errors: that of the stream,
// such as *openai.Error or *ssestream.StreamError, ErrTruncated, ErrFunctionCall, answer.ErrCallName,
// those of Run.Emit, and the cause of ctx where that has ended; what was begun is closed in each case.
// Call it in the agent's goroutine, with the agent's context.
func Emit(ctx context.Context, r *run.Run, s Stream, earlier ...*Reply) (*Reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	defer s.Close()
	before := make([]*answer.Answer, len(earlier))
	for i := range earlier {
		before[i] = earlier[i].Answer
	}
	e := &emitter{reply: &Reply{Answer: answer.Begin(r, before...)}, arguments: make(map[int64]*half)}
	err := e.read(s)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if closed := errors.Join(e.flush(), e.reply.Close()); err == nil {
		err = closed
	}
	if e.usage != nil {
		if counted := r.Usage(*e.usage); err == nil {
			err = counted
		}
	}
	return e.reply, err
}

// emitter emits one answer.
type emitter struct {
	reply *Reply
	usage *agui.TokenUsage

	text, refusal, reasoning half
	arguments                map[int64]*half // by the index of the call
}

func (e *emitter) read(s Stream) error {
	for s.Next() {
		chunk := s.Current()
		if chunk.JSON.Usage.Valid() { // some servers count in each chunk: the last one counts
			e.usage = usageOf(&chunk)
		}
		for i := range chunk.Choices {
			if chunk.Choices[i].Index != 0 {
				continue
			}
			if err := e.choice(&chunk.Choices[i]); err != nil {
				return err
			}
		}
	}
	switch {
	case s.Err() != nil:
		return s.Err()
	case e.reply.FinishReason == "":
		return ErrTruncated
	}
	return nil
}

func (e *emitter) choice(c *openai.ChatCompletionChunkChoice) error {
	d := &c.Delta
	if d.JSON.FunctionCall.Valid() {
		return ErrFunctionCall
	}
	if err := e.reply.WriteReasoning(e.reasoning.join(reasoningOf(d))); err != nil {
		return err
	}
	if err := e.reply.WriteText(e.text.join(d.Content, d.JSON.Content.Raw())); err != nil {
		return err
	}
	if err := e.reply.WriteRefusal(e.refusal.join(d.Refusal, d.JSON.Refusal.Raw())); err != nil {
		return err
	}
	for i := range d.ToolCalls {
		if err := e.call(&d.ToolCalls[i]); err != nil {
			return err
		}
	}
	if c.FinishReason != "" {
		e.reply.FinishReason = c.FinishReason
	}
	return nil
}

// reasoningOf is the reasoning of a delta, and its JSON: it is not of OpenAI's API, and servers call it
// by either name.
func reasoningOf(d *openai.ChatCompletionChunkChoiceDelta) (text, raw string) {
	for _, name := range [...]string{"reasoning_content", "reasoning"} {
		raw = d.JSON.ExtraFields[name].Raw()
		if v := gjson.Parse(raw); v.Type == gjson.String && v.Str != "" { // bytes stay as they are
			return v.Str, raw
		}
	}
	return "", ""
}

func (e *emitter) call(d *openai.ChatCompletionChunkChoiceDeltaToolCall) error {
	h := e.arguments[d.Index]
	if h == nil {
		h = new(half)
		e.arguments[d.Index] = h
	}
	return e.reply.WriteCall(answer.CallDelta{
		Index: int(d.Index), ID: d.ID, Name: d.Function.Name,
		Arguments: h.join(d.Function.Arguments, d.Function.JSON.Arguments.Raw()),
	})
}

// flush writes the halves of characters whose other half has not come.
func (e *emitter) flush() error {
	err := errors.Join(
		e.reply.WriteReasoning(e.reasoning.flush()), e.reply.WriteText(e.text.flush()), e.reply.WriteRefusal(e.refusal.flush()),
	)
	for index, h := range e.arguments {
		err = errors.Join(err, e.reply.WriteCall(answer.CallDelta{Index: int(index), Arguments: h.flush()}))
	}
	return err
}

// usageOf is what a chunk counts. What it does not name is not known.
func usageOf(chunk *openai.ChatCompletionChunk) *agui.TokenUsage {
	u := &chunk.Usage
	usage := &agui.TokenUsage{}
	if chunk.Model != "" {
		usage.Model = new(chunk.Model)
	}
	set := func(to **int64, known bool, n int64) {
		if known && n >= 0 {
			*to = &n
		}
	}
	set(&usage.InputTokens, u.JSON.PromptTokens.Valid(), u.PromptTokens)
	set(&usage.OutputTokens, u.JSON.CompletionTokens.Valid(), u.CompletionTokens)
	set(&usage.TotalTokens, u.JSON.TotalTokens.Valid(), u.TotalTokens)
	set(&usage.ReasoningTokens, u.CompletionTokensDetails.JSON.ReasoningTokens.Valid(), u.CompletionTokensDetails.ReasoningTokens)
	set(&usage.CachedInputTokens, u.PromptTokensDetails.JSON.CachedTokens.Valid(), u.PromptTokensDetails.CachedTokens)
	set(&usage.CacheWriteInputTokens, u.PromptTokensDetails.JSON.CacheWriteTokens.Valid(), u.PromptTokensDetails.CacheWriteTokens)
	return usage
}
