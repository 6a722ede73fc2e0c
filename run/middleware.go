package run

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
)

// Middleware makes of an agent another one, which does something before it, after it or around it,
// and which may give it a view of the run, see Run.With.
type Middleware func(Agent) Agent

// Chain puts an agent within middleware. The first is the outermost: it is called first, and the
// events of the agent come to it last.
func Chain(agent Agent, around ...Middleware) Agent {
	for _, m := range slices.Backward(around) {
		agent = m(agent)
	}
	return agent
}

// Recover turns a panic of the agent into the error that f returns, by the rules of what an agent
// returns: nil ends the run well if nothing is open. f is called by the goroutine of the run, also for
// a *PanicError that the agent returns, as Timeout and Trace do for one that has panicked. Where f is
// nil the error is the *PanicError.
//
// A run survives panics without it: the client reads that the agent failed, with an id under which
// the log has the stack. What it adds is that the host decides what the client reads, by an
// *agui.PublicError, that it can report the panic, and that middleware around it sees an error.
func Recover(f func(ctx context.Context, p *PanicError) error) Middleware {
	return func(next Agent) Agent {
		return AgentFunc(func(ctx context.Context, r *Run) error {
			err := callRecovered(ctx, next, r)
			if p, ok := errors.AsType[*PanicError](err); ok && f != nil {
				return f(ctx, p)
			}
			return err
		})
	}
}

// callRecovered calls an agent and returns what it panics with as a *PanicError.
func callRecovered(ctx context.Context, agent Agent, r *Run) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return agent.Run(ctx, r)
}

// FilterInput has f change or refuse the input of a run before the agent sees it. in is a copy: f may
// set its members and those of its lists, and must leave the bytes as they are that they hold. An
// error of f ends the run as one of the agent's does.
//
// RunsConfig.FilterInput takes the same functions and refuses an input before its run starts.
func FilterInput(f func(ctx context.Context, p auth.Principal, in *agui.RunAgentInput) error) Middleware {
	return func(next Agent) Agent {
		return AgentFunc(func(ctx context.Context, r *Run) error {
			in := copyInput(r.Input)
			if err := f(ctx, r.Principal, in); err != nil {
				return err
			}
			view := r.With(ctx, nil)
			view.Input = in
			return next.Run(ctx, view)
		})
	}
}

// copyInput returns an input whose members and lists may be changed.
func copyInput(in *agui.RunAgentInput) *agui.RunAgentInput {
	c := *in
	c.Messages, c.Tools = slices.Clone(in.Messages), slices.Clone(in.Tools)
	c.Context, c.Resume = slices.Clone(in.Context), slices.Clone(in.Resume)
	return &c
}

// ToolError is a call of a tool that AllowTools does not allow.
type ToolError struct {
	// Name is the tool's name.
	Name string
}

// Error names the tool and what would allow it.
func (e *ToolError) Error() string {
	name := e.Name
	if len(name) > 128 {
		name = name[:128]
	}
	return "agloop: tool " + strconv.Quote(name) + " may not be called: AllowTools does not allow it"
}

// AllowTools lets an agent have only the tools whose names allow accepts: it does not see others
// among the tools of the input, and a TOOL_CALL_START or TOOL_CALL_CHUNK that names another, also one
// of the agent's own, is a *ToolError to it; nothing is sent then and the run goes on. allow is called
// by any goroutine.
func AllowTools(allow func(name string) bool) Middleware {
	check := func(name string) error {
		if allow(name) {
			return nil
		}
		return &ToolError{name}
	}
	filter := func(ev agui.Event, emit func(agui.Event) error) error {
		var err error
		switch e := ev.(type) {
		case *agui.ToolCallStart:
			err = check(e.ToolCallName)
		case *agui.ToolCallChunk:
			if e.ToolCallName != nil {
				err = check(*e.ToolCallName)
			}
		}
		if err != nil {
			return err
		}
		return emit(ev)
	}
	return func(next Agent) Agent {
		return AgentFunc(func(ctx context.Context, r *Run) error {
			view := r.With(ctx, filter)
			view.Input = copyInput(r.Input)
			view.Input.Tools = slices.DeleteFunc(view.Input.Tools, func(t agui.Tool) bool { return !allow(t.Name) })
			return next.Run(ctx, view)
		})
	}
}
