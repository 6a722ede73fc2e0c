package aguitest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agloop/agloop/agui"
)

// fail reports what came and what was wanted, with the events.
func (r *Result) fail(what string, got, want any) {
	r.t.Helper()
	r.t.Errorf("aguitest: %s\ngot  %v\nwant %v\n%s", what, got, want, r)
}

// WantSuccess wants a run that ended with RUN_FINISHED as a success, an agent that returned no
// error and none of whose events was refused, and none that clients skip.
func (r *Result) WantSuccess() {
	r.t.Helper()
	ended := r.wantOutcome(agui.OutcomeSuccess)
	switch {
	case !ended: // which shows the rest
	case r.Err != nil:
		r.fail("the agent's error", r.Err, "none")
	case len(r.Refused) > 0:
		r.fail("refused events", r.Refused, "none")
	case len(r.Skipped) > 0:
		r.fail("events that clients skip", r.Skipped, "none")
	}
}

// WantCancelled wants a run that was cancelled, and closed in order.
func (r *Result) WantCancelled() {
	r.t.Helper()
	r.wantOutcome(agui.OutcomeCancelled)
}

// WantInterrupts wants a run that ended with interrupts for these reasons, and returns them. No
// reasons are any.
func (r *Result) WantInterrupts(reasons ...string) []agui.Interrupt {
	r.t.Helper()
	r.wantOutcome(agui.OutcomeInterrupt)
	pending := r.Thread.PendingInterrupts()
	var got []string
	for i := range pending {
		got = append(got, pending[i].Reason)
	}
	if len(reasons) > 0 && !slices.Equal(got, reasons) {
		r.fail("reasons of interrupts", quoted(got), quoted(reasons))
	}
	return pending
}

// wantOutcome wants a run that ended with RUN_FINISHED, in this way. It reports whether it did.
func (r *Result) wantOutcome(want agui.OutcomeType) bool {
	r.t.Helper()
	switch end := r.end().(type) {
	case nil:
		r.fail("end of the run", fmt.Sprintf("none: %v", r.fault), want)
	case *agui.RunError:
		r.fail("end of the run", encode(end), want)
	case *agui.RunFinished:
		got := agui.OutcomeSuccess
		if end.Outcome != nil {
			got = end.Outcome.Type
		}
		if got == want {
			return true
		}
		r.fail("outcome", got, want)
	}
	return false
}

// WantError wants a run that ended with RUN_ERROR of this code, "" for any, and returns the event;
// where there is none, an empty one. What the agent returned is at Err.
func (r *Result) WantError(code string) *agui.RunError {
	r.t.Helper()
	end, ok := r.end().(*agui.RunError)
	if !ok {
		got := fmt.Sprintf("none: %v", r.fault)
		if ev := r.end(); ev != nil {
			got = encode(ev)
		}
		r.fail("end of the run", got, strings.TrimSpace("RUN_ERROR "+code))
		return &agui.RunError{}
	}
	got := "none"
	if end.Code != nil {
		got = *end.Code
	}
	if code != "" && got != code {
		r.fail("code of RUN_ERROR", got, code)
	}
	return end
}

// WantText wants exactly these text messages of the assistant, in the order of their starts.
func (r *Result) WantText(texts ...string) {
	r.t.Helper()
	if got := r.Texts(); !slices.Equal(got, texts) {
		r.fail("text", quoted(got), quoted(texts))
	}
}

// WantTypes wants exactly events of these types, in this order. Events of one type that follow each
// other count once, as the pieces of a text do.
func (r *Result) WantTypes(types ...agui.EventType) {
	r.t.Helper()
	got, want := slices.Compact(r.Types()), slices.Compact(slices.Clone(types))
	if !slices.Equal(got, want) {
		r.fail("types", lines(got), lines(want))
	}
}

// WantInOrder wants events of these types in this order, with any others between them.
func (r *Result) WantInOrder(types ...agui.EventType) {
	r.t.Helper()
	rest := r.Types()
	for i, want := range types {
		at := slices.Index(rest, want)
		if at < 0 {
			behind := "at all"
			if i > 0 {
				behind = "behind " + lines(types[:i])
			}
			r.fail("order", "no "+string(want)+" "+behind, lines(types))
			return
		}
		rest = rest[at+1:]
	}
}

// WantToolCall wants a call of the tool with these arguments and returns the first such call; where
// there is none, an empty one. Arguments are compared as JSON where they are that.
func (r *Result) WantToolCall(name, arguments string) ToolCall {
	r.t.Helper()
	calls := r.ToolCalls()
	for _, call := range calls {
		if call.Name == name && (call.Arguments == arguments || jsonDiff(call.Arguments, arguments) == "") {
			return call
		}
	}
	var got []string
	for _, call := range calls {
		got = append(got, call.Name+"("+call.Arguments+")")
	}
	r.fail("tool calls", quoted(got), name+"("+arguments+")")
	return ToolCall{}
}

// WantState wants this state at the end of the run, as JSON: the order of members does not matter,
// and numbers are equal when their values are.
func (r *Result) WantState(state string) {
	r.t.Helper()
	got := string(r.Thread.State())
	if diff := jsonDiff(got, state); diff != "" {
		r.t.Errorf("aguitest: state: %s\ngot  %s\nwant %s\n%s", diff, got, state, r)
	}
}
