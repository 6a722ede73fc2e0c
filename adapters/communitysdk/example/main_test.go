package main

import (
	"testing"

	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/aguitest/serve"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/run"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestAgents: both say the same, in memory and over the wire.
func TestAgents(t *testing.T) {
	for name, agent := range map[string]run.Agent{"emitting": emitting, "writing": writing} {
		t.Run(name, func(t *testing.T) {
			in := aguitest.Input("hello")
			for _, got := range []*aguitest.Result{aguitest.Run(t, agent, in), serve.Agent(t, agent).Run(in)} {
				got.WantSuccess()
				got.WantText("You said: hello")
				got.WantState(`{"messages":1}`)
			}
			aguitest.Run(t, agent, aguitest.Input()).WantText("You said: nothing")
		})
	}
}
