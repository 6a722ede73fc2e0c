package aguitest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/agui"
)

// counter makes ids that no other input of the process has: a server takes two inputs of one name
// for one run.
var counter atomic.Uint64

// Input is the input of a run in which the user says texts, a message each. Its thread and its run
// are new; set what else the agent reads.
func Input(texts ...string) *agui.RunAgentInput {
	n := counter.Add(1)
	in := &agui.RunAgentInput{
		ThreadID: fmt.Sprintf("thread-%d", n), RunID: fmt.Sprintf("run-%d", n),
		ProtocolVersion: new(agui.ProtocolVersion),
	}
	for _, text := range texts {
		in.Messages = append(in.Messages, userMessage(text))
	}
	return in
}

func userMessage(text string) agui.Message {
	return agui.Message{ID: fmt.Sprintf("user-%d", counter.Add(1)), Role: agui.RoleUser, Content: agui.TextContent(text)}
}

// Next is the input of the run that follows on the same thread, as a client sends it: what the
// conversation has come to, the answers to its interrupts, and then texts that the user says. Tools
// and context are those of the input before. Answers that do not fit the pending interrupts end the
// test. The Result's Thread stays as it is.
func (r *Result) Next(resume []agui.ResumeEntry, texts ...string) *agui.RunAgentInput {
	r.t.Helper()
	in, err := r.Thread.Input(fmt.Sprintf("run-%d", counter.Add(1)), time.Now(), resume...)
	if err != nil {
		r.t.Fatalf("aguitest: the next input: %v\n%s", err, r)
	}
	if r.input != nil {
		in.Tools, in.Context, in.ForwardedProps = r.input.Tools, r.input.Context, r.input.ForwardedProps
	}
	for _, text := range texts {
		in.Messages = append(in.Messages, userMessage(text))
	}
	return in
}
