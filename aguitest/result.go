package aguitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/agloop/agloop/agui"
)

// Result is what came of a run. Its Want methods report what is not as wanted by Errorf, so that a
// test shows all of it. A Result belongs to the goroutine of its test.
type Result struct {
	// Events are what was received, in order; chunks are not expanded.
	Events []agui.Event
	// Thread is the conversation: the input with what the events made of it.
	Thread *agui.Thread
	// Err is the agent's error, as run.Do returns it: nil when the run ended well, a *run.PanicError,
	// the cause when it was cancelled. Of a Result of Collect it is the error of the sequence.
	Err error
	// Refused says which events the run refused. Their Emit returned this error to the agent.
	Refused []error
	// Skipped says what clients leave out with a warning: events that change nothing, such as a patch
	// that does not apply (a *agui.SkipError), and what a relay passed on that AG-UI does not know.
	Skipped []error

	t        testing.TB
	input    *agui.RunAgentInput
	explicit []agui.Event // Events with the chunks expanded
	fault    error        // what CheckOrder says
}

// Collect receives a run to its end and returns what came of it: the sequence is that of
// Client.Run, Attach or Follow. in is its input, for the messages of the conversation; nil is
// unknown. An order of events that AG-UI does not allow is an error of the test.
func Collect(t testing.TB, in *agui.RunAgentInput, seq iter.Seq2[agui.Event, error]) *Result {
	t.Helper()
	var events []agui.Event
	for ev, err := range seq {
		if err != nil {
			return newResult(t, in, events, err)
		}
		events = append(events, ev)
	}
	return newResult(t, in, events, nil)
}

func newResult(t testing.TB, in *agui.RunAgentInput, events []agui.Event, err error) *Result {
	t.Helper()
	r := &Result{Events: events, Thread: agui.NewThread(in), Err: err, t: t, input: in}
	for _, ev := range events {
		if skipped := r.Thread.Apply(ev); skipped != nil {
			if _, ok := errors.AsType[*agui.SkipError](skipped); ok {
				r.Skipped = append(r.Skipped, skipped)
			}
		}
	}
	r.explicit, r.fault = expand(events)
	if _, ok := errors.AsType[*agui.OrderError](r.fault); ok {
		t.Errorf("aguitest: order: %v\n%s", r.fault, r)
	}
	return r
}

// ErrTruncated is a stream that ends without RUN_FINISHED or RUN_ERROR.
var ErrTruncated = errors.New("aguitest: the stream ends within a run")

// CheckOrder returns what is wrong with the order of a stream, whose chunks need not be expanded: an
// *agui.OrderError with the place of the event, or ErrTruncated. It needs no test.
func CheckOrder(events []agui.Event) error {
	_, err := expand(events)
	return err
}

// expand returns the events with the chunks expanded, up to the first that is out of order.
func expand(events []agui.Event) (explicit []agui.Event, err error) {
	var (
		expander agui.Expander
		order    agui.Order
	)
	for i, ev := range events {
		from := len(explicit)
		if explicit, err = expander.Expand(ev, explicit); err != nil {
			return explicit, fmt.Errorf("event %d of %d: %w", i, len(events), err)
		}
		for at, ev := range explicit[from:] {
			if err := order.Check(ev); err != nil {
				return explicit[:from+at], fmt.Errorf("event %d of %d: %w", i, len(events), err)
			}
		}
	}
	if !order.Done() {
		return explicit, ErrTruncated
	}
	return explicit, nil
}

// Types are the types of the events, in order.
func (r *Result) Types() []agui.EventType {
	types := make([]agui.EventType, len(r.Events))
	for i, ev := range r.Events {
		types[i] = ev.Type()
	}
	return types
}

// Texts are the text messages of the assistant that the run has streamed, in the order of their
// starts.
func (r *Result) Texts() []string {
	var texts pieces
	for _, ev := range r.explicit {
		switch e := ev.(type) {
		case *agui.TextMessageStart:
			if e.Role == "" || e.Role == agui.RoleAssistant {
				texts.start(e.MessageID)
			}
		case *agui.TextMessageContent:
			texts.add(e.MessageID, e.Delta)
		}
	}
	return texts.all
}

// Reasoning are the reasoning messages that the run has streamed, in the order of their starts.
func (r *Result) Reasoning() []string {
	var texts pieces
	for _, ev := range r.explicit {
		switch e := ev.(type) {
		case *agui.ReasoningMessageStart:
			texts.start(e.MessageID)
		case *agui.ReasoningMessageContent:
			texts.add(e.MessageID, e.Delta)
		}
	}
	return texts.all
}

// pieces joins the pieces of texts, by id.
type pieces struct {
	all []string
	at  map[string]int
}

func (p *pieces) start(id string) {
	if p.at == nil {
		p.at = make(map[string]int)
	}
	if _, known := p.at[id]; !known { // else it is reopened
		p.at[id] = len(p.all)
		p.all = append(p.all, "")
	}
}

func (p *pieces) add(id, piece string) {
	if at, known := p.at[id]; known {
		p.all[at] += piece
	}
}

// ToolCall is a call of a tool that a run has streamed.
type ToolCall struct {
	ID, Name  string
	Arguments string        // as the model wrote them; they need not be JSON
	Result    *agui.Content // nil: it came to none within the run
}

// ToolCalls are the calls that the run has streamed, in the order of their starts.
func (r *Result) ToolCalls() []ToolCall {
	var (
		args    pieces
		calls   []ToolCall
		results = make(map[string]*agui.Content)
	)
	for _, ev := range r.explicit {
		switch e := ev.(type) {
		case *agui.ToolCallStart:
			args.start(e.ToolCallID)
			if len(args.all) > len(calls) {
				calls = append(calls, ToolCall{ID: e.ToolCallID, Name: e.ToolCallName})
			}
		case *agui.ToolCallArgs:
			args.add(e.ToolCallID, e.Delta)
		case *agui.ToolCallResult:
			results[e.ToolCallID] = &e.Content
		}
	}
	for i := range calls {
		calls[i].Arguments, calls[i].Result = args.all[i], results[calls[i].ID]
	}
	return calls
}

// State decodes the state at the end of the run into v, by encoding/json.
func (r *Result) State(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.Thread.State(), v); err != nil {
		r.t.Errorf("aguitest: the state is no %T: %v\nstate: %s\n%s", v, err, r.Thread.State(), r)
	}
}

// EventsOf are the events of type E, in order.
func EventsOf[E agui.Event](r *Result) []E {
	var found []E
	for _, ev := range r.Events {
		if e, ok := ev.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// end is the event that ended the run; nil is none.
func (r *Result) end() agui.Event {
	if r.fault != nil {
		return nil
	}
	return r.Events[len(r.Events)-1]
}
