package agloop

import (
	"context"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
)

// RunsConfig says how the runs of a server begin.
type RunsConfig struct {
	// FilterInput is asked before a run starts, in its goroutine. It may change the input. An
	// *auth.RefusedError refuses it: RUN_ERROR, code input_refused, with its Reason. Of any other
	// error the client reads that there was one, and the log has it. ctx is that of the run. nil
	// takes all inputs; StrictInput is a filter to begin with.
	FilterInput func(ctx context.Context, p auth.Principal, input *agui.RunAgentInput) error
}

// StrictInput returns a filter, for RunsConfig.FilterInput, that takes from clients no messages of
// role system or developer, and of tools only those that are named, each once. What else a client
// sends is text that it may make up: all other messages, also those of assistants and tools, the
// context, the state, the forwarded props, the answers to interrupts, and of a tool all but its name.
func StrictInput(tools ...string) func(context.Context, auth.Principal, *agui.RunAgentInput) error {
	named := make(map[string]bool, len(tools))
	for _, name := range tools {
		named[name] = true
	}
	return func(_ context.Context, _ auth.Principal, input *agui.RunAgentInput) error {
		for i := range input.Messages {
			if role := input.Messages[i].Role; !fromClient(role) {
				return refuseInput("messages[%d]: role %.32q is not taken from clients", i, role)
			}
		}
		seen := make(map[string]bool, len(input.Tools))
		for i := range input.Tools {
			name := input.Tools[i].Name
			switch {
			case !named[name]:
				return refuseInput("tools[%d]: tool %.64q is not taken from clients", i, name)
			case seen[name]:
				return refuseInput("tools[%d]: tool %.64q is there already", i, name)
			}
			seen[name] = true
		}
		return nil
	}
}

// fromClient reports whether StrictInput takes messages of that role. It names those it takes, so
// that roles that nobody knows are not among them.
func fromClient(role agui.Role) bool {
	switch role {
	case agui.RoleUser, agui.RoleAssistant, agui.RoleTool, agui.RoleActivity, agui.RoleReasoning:
		return true
	}
	return false
}

func refuseInput(format string, args ...any) error {
	return &auth.RefusedError{Reason: fmt.Sprintf(format, args...)}
}
