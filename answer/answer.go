// Package answer emits the answer of a language model that comes in deltas: text, reasoning, refusal
// and calls of tools, in whatever order a provider sends them. The adapters are made of it; hosts may
// rely on its API.
//
//	a := answer.Begin(run)
//	for delta := range model.Stream(ctx, answer.History(run.Input.Messages)) {
//		err = a.WriteText(delta.Text) // and WriteReasoning, WriteCall
//	}
//	err = a.Close()
package answer

import (
	"crypto/rand"
	"encoding/json"
	"errors"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
)

// Answer is one answer of a model. Its text and its calls are one message of the assistant, as the
// next request has them; its reasoning is a span for each time that the model reasons. Use it from one
// goroutine at a time.
type Answer struct {
	// MessageID is the id of the message that the text and the calls belong to.
	MessageID string
	Text      string // so far
	Refusal   string // so far; its message has RefusalMetadata
	Calls     []Call // whose names have come, in the order of that

	run       *run.Run
	text      *run.TextMessage // the one that is open
	refusal   *run.TextMessage
	reasoning *run.Reasoning
	calls     map[int]*call   // by index, the last that had it
	nameless  int             // calls whose name has not come
	open      *call           // whose arguments are being streamed
	used      map[string]bool // ids of calls
}

// Call is a call of a tool.
type Call struct {
	// ID is that of the provider, unless the run has another call of that id, or the provider gave none.
	ID         string
	ProviderID string
	Name       string
	Arguments  string // as the model wrote them so far; they need not be JSON

	call *run.ToolCall
}

// Result emits what the tool returned: TOOL_CALL_RESULT, and TOOL_CALL_END before it where that has
// not been. Errors as Run.Emit.
func (c *Call) Result(text string) error { return c.call.Result(text) }

// CallDelta is a piece of a call.
type CallDelta struct {
	// Index says which call of the answer it is of. A delta with another id than those before begins
	// another call: some providers give all of them one index.
	Index int
	// ID and Name come once, or with each piece. Arguments that come before the name are kept until it
	// does.
	ID, Name  string
	Arguments string
}

// call is a call as far as it has come.
type call struct {
	at    int    // in Calls; -1 until its name is known
	id    string // the provider's
	early string // arguments that came before the name
}

// RefusalMetadata is the metadata of a message that is a refusal.
var RefusalMetadata = json.RawMessage(`{"refusal":true}`)

// ErrCallName is a call of a tool whose name never came. It is not emitted.
var ErrCallName = errors.New("agloop: the model's answer has a tool call without a name")

// Begin returns an answer of r that has said nothing yet. earlier are the answers that the run has
// had: the ids of their calls are not used again, nor are those of the input, since some providers
// count from zero in each answer.
func Begin(r *run.Run, earlier ...*Answer) *Answer {
	a := &Answer{MessageID: "msg-" + rand.Text(), run: r, calls: make(map[int]*call), used: make(map[string]bool)}
	for i := range r.Input.Messages {
		for j := range r.Input.Messages[i].ToolCalls {
			a.used[r.Input.Messages[i].ToolCalls[j].ID] = true
		}
	}
	for _, before := range earlier {
		for i := range before.Calls {
			a.used[before.Calls[i].ID] = true
		}
	}
	return a
}

// WriteText adds to the text: TEXT_MESSAGE_CONTENT, and TEXT_MESSAGE_START where no text is open. Text
// behind a call is appended to the same message. A delta may end inside a character; an empty one does
// nothing. Errors as Run.Emit, here and below.
func (a *Answer) WriteText(delta string) error {
	a.Text += delta
	return a.write(&a.text, agui.TextMessageStart{MessageID: a.MessageID}, delta)
}

// WriteRefusal is WriteText for what the model says instead of an answer: a message of its own.
func (a *Answer) WriteRefusal(delta string) error {
	a.Refusal += delta
	return a.write(&a.refusal, agui.TextMessageStart{Base: agui.Base{Metadata: RefusalMetadata}}, delta)
}

func (a *Answer) write(m **run.TextMessage, start agui.TextMessageStart, delta string) (err error) {
	if delta == "" {
		return nil
	}
	if err := errors.Join(a.closeReasoning(), a.closeCall()); err != nil {
		return err
	}
	if *m == nil {
		if *m, err = a.run.StartTextMessage(start); err != nil {
			return err
		}
	}
	return (*m).Write(delta)
}

// WriteReasoning adds to the reasoning: REASONING_MESSAGE_CONTENT, and what begins a span where none
// is open. Anything else that the model says ends the span.
func (a *Answer) WriteReasoning(delta string) (err error) {
	if delta == "" {
		return nil
	}
	if err := errors.Join(a.closeTexts(), a.closeCall()); err != nil {
		return err
	}
	if a.reasoning == nil {
		if a.reasoning, err = a.run.Reasoning(); err != nil {
			return err
		}
	}
	return a.reasoning.Write(delta)
}

// WriteCall adds to a call: TOOL_CALL_ARGS, and TOOL_CALL_START once its name has come. Calls may be
// mixed.
func (a *Answer) WriteCall(d CallDelta) error {
	c := a.calls[d.Index]
	if c == nil || d.ID != "" && c.id != "" && d.ID != c.id {
		c = &call{at: -1, id: d.ID}
		a.calls[d.Index] = c
		a.nameless++
	}
	if c.at < 0 {
		c.early += d.Arguments
		if c.id == "" {
			c.id = d.ID
		}
		if d.Name == "" {
			return nil
		}
		return a.startCall(c, d.Name)
	}
	if d.Arguments == "" {
		return nil
	}
	return a.writeArguments(c, d.Arguments)
}

func (a *Answer) startCall(c *call, name string) error {
	a.nameless--
	c.at = len(a.Calls)
	made := Call{ID: c.id, ProviderID: c.id, Name: name}
	if a.used[made.ID] {
		made.ID = "" // StartToolCall makes one
	}
	a.Calls = append(a.Calls, made)
	return a.writeArguments(c, c.early)
}

func (a *Answer) writeArguments(c *call, piece string) error {
	if err := a.openCall(c); err != nil {
		return err
	}
	made := &a.Calls[c.at]
	made.Arguments += piece
	return made.call.Write(piece)
}

// openCall makes c the call that is open, which it may have been before.
func (a *Answer) openCall(c *call) (err error) {
	if a.open == c {
		return nil
	}
	if err := errors.Join(a.closeReasoning(), a.closeTexts(), a.closeCall()); err != nil {
		return err
	}
	made := &a.Calls[c.at]
	made.call, err = a.run.StartToolCall(agui.ToolCallStart{
		ToolCallID: made.ID, ToolCallName: made.Name, ParentMessageID: &a.MessageID,
	})
	if err != nil {
		return err
	}
	made.ID, a.open = made.call.ID(), c
	a.used[made.ID] = true
	return nil
}

// Call returns the call that the provider knows by id, the last of them; nil is none.
func (a *Answer) Call(id string) *Call {
	for i := len(a.Calls) - 1; i >= 0; i-- {
		if a.Calls[i].ProviderID == id {
			return &a.Calls[i]
		}
	}
	return nil
}

// Close closes what is open, also after an error. The error is ErrCallName, or as Run.Emit.
func (a *Answer) Close() error {
	err := errors.Join(a.closeReasoning(), a.closeTexts(), a.closeCall())
	if err == nil && a.nameless > 0 {
		return ErrCallName
	}
	return err
}

func (a *Answer) closeTexts() (err error) {
	for _, m := range []**run.TextMessage{&a.text, &a.refusal} {
		if *m != nil {
			err = errors.Join(err, (*m).Close())
			*m = nil
		}
	}
	return err
}

func (a *Answer) closeReasoning() error {
	s := a.reasoning
	if s == nil {
		return nil
	}
	a.reasoning = nil
	return s.Close()
}

func (a *Answer) closeCall() error {
	c := a.open
	if c == nil {
		return nil
	}
	a.open = nil
	return a.Calls[c.at].call.Close()
}
