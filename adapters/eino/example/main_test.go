package main

import (
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/aguitest/serve"
	"github.com/agloop/agloop/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestAgentAsksFirst(t *testing.T) {
	agent, err := newAgent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := serve.Agent(t, agent)
	for name, run := range map[string]func(*agui.RunAgentInput) *aguitest.Result{
		"in memory": func(in *agui.RunAgentInput) *aguitest.Result { return aguitest.Run(t, agent, in) },
		"served":    s.Run,
	} {
		t.Run(name, func(t *testing.T) {
			asked := run(aguitest.Input("two"))
			asked.WantToolCall("book", `{"for":"two"}`)
			pending := asked.WantInterrupts("tool_call")
			got := run(asked.Next([]agui.ResumeEntry{{
				InterruptID: pending[0].ID, Status: agui.ResumeResolved, Payload: []byte(`{"approved":true}`),
			}}))
			got.WantSuccess()
			got.WantText("Your table is booked.")
			asked = run(aguitest.Input("two"))
			run(asked.Next([]agui.ResumeEntry{{
				InterruptID: asked.WantInterrupts()[0].ID, Status: agui.ResumeCancelled,
			}})).WantText("Your table is not booked.")
		})
	}
}
