package agloop

import (
	"context"
	"fmt"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/run"
)

// RunsConfig says how the runs of a server begin, how long they go on, and who may what. Runs have a
// log, and outlive their connection, where their client speaks agloop.v1 or has a principal; without
// either a run dies with its connection. Every zero is the default given beside it.
type RunsConfig struct {
	// OnDisconnect is what becomes of a run when its last viewer is gone. The zero value goes by the
	// wire that started it: without a subprotocol and over HTTP it is cancelled, since a stock client
	// stops a run by closing; with agloop.v1, and over HTTP with DisconnectHeader, it goes on for Grace.
	OnDisconnect Disconnect
	// Grace is how long a run goes on without a viewer. 0 is 120 s; negative: to its end.
	Grace time.Duration
	// OnBusyThread is what becomes of a run whose thread has one already. The zero value is
	// BusyEnqueue: it waits, and at most eight do.
	OnBusyThread Busy
	// Retention is how long the log of a run lives after its end. 0 is two minutes. While it has
	// viewers it lives up to ten.
	Retention time.Duration
	// WindowEvents and WindowBytes are how many of the newest events of a run stay as they are; an
	// agent waits when it is so far ahead of its most advanced viewer. 0 is 1,024 events, 256 KiB.
	WindowEvents, WindowBytes int
	// FoldedBytes is how much of what is older is kept of a run, neighbouring pieces of text put
	// together. 0 is 4 MiB. What is older still is gone.
	FoldedBytes int
	// LogBytes bounds the logs of the process, ended ones included. 0 is a quarter of its memory
	// limit, if it has one; negative is no bound. Beyond it ended logs go first, then what is older
	// of the runs that are longest without a viewer. The logs of one scope may take a quarter of it
	// and be 1,024; beyond that its oldest ended ones go.
	LogBytes int64
	// AuthorizeRun is asked before a principal starts, joins, follows, cancels or steers a run,
	// whether there is one of that name or not; Run is "" for follow. It returns the key to use,
	// whose Scope may be another: so several principals share a thread. Of any error the client
	// reads that the run is gone. It may be called by any goroutine and may block: for five seconds,
	// which is when ctx ends. nil lets everybody do everything in their own scope, and nothing in
	// others.
	AuthorizeRun func(ctx context.Context, p auth.Principal, action Action, key RunKey) (RunKey, error)
	// FilterInput is asked before a run starts, in a goroutine of its own. It may change the input.
	// An *auth.RefusedError refuses it, code input_refused, with its Reason: by RUN_ERROR, or with
	// agloop.v1 by rejected. Of any other error the client reads that there was one, and the log has
	// it. ctx ends when nobody waits for the answer. nil takes all inputs; StrictInput is a filter to
	// begin with.
	FilterInput func(ctx context.Context, p auth.Principal, input *agui.RunAgentInput) error
}

// Action is what somebody wants of a run, see RunsConfig.AuthorizeRun.
type Action string

// The actions.
const (
	ActionStart  Action = "start"
	ActionJoin   Action = "join"
	ActionFollow Action = "follow"
	ActionCancel Action = "cancel"
	ActionSteer  Action = "steer"
)

// Disconnect says what becomes of a run when its last viewer is gone.
type Disconnect = run.Disconnect

const (
	DisconnectDefault  = run.DisconnectDefault
	DisconnectCancel   = run.DisconnectCancel
	DisconnectContinue = run.DisconnectContinue
)

// Busy says what becomes of a run whose thread has one already.
type Busy = run.Busy

const (
	BusyEnqueue        = run.BusyEnqueue
	BusyReject         = run.BusyReject
	BusyCancelPrevious = run.BusyCancelPrevious
)

// check returns what is wrong with c.
func (c *RunsConfig) check() error {
	switch {
	case c.OnDisconnect > DisconnectContinue:
		return &ConfigError{Field: "Runs.OnDisconnect", Reason: "is none of the constants"}
	case c.OnBusyThread > BusyCancelPrevious:
		return &ConfigError{Field: "Runs.OnBusyThread", Reason: "is none of the constants"}
	case c.Retention < 0:
		return &ConfigError{Field: "Runs.Retention", Reason: fmt.Sprintf("%v must not be negative; 0 is two minutes", c.Retention)}
	case c.WindowEvents < 0 || c.WindowBytes < 0 || c.FoldedBytes < 0:
		return &ConfigError{Field: "Runs.WindowEvents", Reason: "and WindowBytes and FoldedBytes must not be negative"}
	}
	return nil
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
