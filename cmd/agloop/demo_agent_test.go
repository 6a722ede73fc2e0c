package main

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/run"
)

// demoAgent is the agent of agloop demo. Its pauses take no time in a bubble.
var demoAgent = run.AgentFunc(scriptedAgent)

// ask is an input whose run has a fixed name, since a reference depends on that.
func ask(words string) *agui.RunAgentInput {
	in := aguitest.Input(words)
	in.RunID = "run-of-the-test"
	return in
}

func TestDemoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := aguitest.Run(t, demoAgent, ask("Why?"))
		got.WantSuccess()
		got.WantGolden("demo-answer")
		got.WantToolCall("measure_text", `{"text":"Why?"}`)
		if words := got.Texts()[0]; !strings.HasPrefix(words, "You wrote “Why?”") {
			t.Errorf("the answer is %q", words)
		}
	})
}

// TestDemoBooks: it asks first, and does what it is told then.
func TestDemoBooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := aguitest.Run(t, demoAgent, ask("Book a table for four on Monday"))
		asked.WantGolden("demo-ask")
		pending := asked.WantInterrupts("approval_required")
		answer := func(status agui.ResumeStatus, payload string) *aguitest.Result {
			entry := agui.ResumeEntry{InterruptID: pending[0].ID, Status: status}
			if payload != "" {
				entry.Payload = json.RawMessage(payload)
			}
			in := asked.Next([]agui.ResumeEntry{entry})
			in.RunID = "next-run-of-the-test"
			got := aguitest.Run(t, demoAgent, in)
			got.WantSuccess()
			return got
		}
		yes := answer(agui.ResumeResolved, `{"approved":true}`)
		yes.WantGolden("demo-book")
		yes.WantToolCall("book_table", `{"party":4,"day":"Monday","time":"19:30"}`)
		for _, no := range []*aguitest.Result{answer(agui.ResumeResolved, `{"approved":false}`), answer(agui.ResumeCancelled, "")} {
			if len(no.ToolCalls()) != 0 || !strings.HasPrefix(no.Texts()[0], "Understood: nothing is booked") {
				t.Errorf("it said %q and called %v", no.Texts(), no.ToolCalls())
			}
		}
	})
}

// TestDemoIsCancelled in the middle of its answer.
func TestDemoIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := aguitest.Start(t, demoAgent, ask("burst"))
		for range 100 {
			aguitest.Await[*agui.TextMessageContent](s)
		}
		took := time.Since(began)
		s.Cancel(nil)
		got := s.Wait()
		got.WantCancelled()
		got.WantInOrder("TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED")
		if time.Since(began) != took {
			t.Errorf("it went on for %v", time.Since(began)-took)
		}
	})
}

func TestDemoHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		aguitest.Run(t, demoAgent, aguitest.Input(" ")).WantText(
			"You said nothing yet. Write anything at all, and watch the answer arrive word by word.",
		)
	})
}
