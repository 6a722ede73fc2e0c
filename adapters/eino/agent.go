package eino

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/run"
	"github.com/cloudwego/eino/adk"
)

// Agent answers runs by an agent of the ADK. Agent or New must be set. It may be used by any number of
// runs at once, and is not changed by them.
type Agent struct {
	// Agent answers all runs.
	Agent adk.Agent
	// New makes the agent of one run, such as one that has the tools of the frontend. It is asked where
	// Agent is nil.
	New func(ctx context.Context, r *run.Run) (adk.Agent, error)
	// Store keeps the checkpoints of interrupted agents, which Eino does not remove. nil is none: then
	// an interrupt cannot be resumed.
	Store adk.CheckPointStore
	// CheckPointID names the checkpoint of a run and of the runs that resume it. nil is made of the
	// principal's Key and the thread: nobody resumes what somebody else has begun, among those who have
	// a Key.
	CheckPointID func(r *run.Run) string
	// Options are asked for each run. nil is none.
	Options func(ctx context.Context, r *run.Run) []adk.AgentRunOption
	// ResumeData is what the interrupted component reads of an answer. nil is its payload, as
	// encoding/json decodes it into any; a cancelled one is nil.
	ResumeData func(agui.ResumeEntry) (any, error)
	// Interrupt may change what is asked of the user: a schema of the answer, another message. nil is
	// skipped.
	Interrupt func(of *adk.InterruptCtx, ask *agui.Interrupt)
}

// CodeResume is the code of RUN_ERROR for an input whose answers find no checkpoint.
const CodeResume = "cannot_resume"

// Run answers the input of r: by a new execution, or where that has answers, by the one that was
// interrupted. When all of them are cancelled and the user has said something, it is a new one.
func (a *Agent) Run(ctx context.Context, r *run.Run) error {
	agent := a.Agent
	if agent == nil {
		var err error
		if agent, err = a.New(ctx, r); err != nil {
			return err
		}
	}
	store := a.Store
	if store == nil {
		store = noStore{} // the Runner tells the root causes of an interrupt where it has one
	}
	runner := adk.NewRunner(ctx, adk.RunnerConfig{Agent: agent, EnableStreaming: true, CheckPointStore: store})
	var options []adk.AgentRunOption
	if a.Options != nil {
		options = a.Options(ctx, r)
	}
	id := a.checkPointID(r)
	if len(r.Input.Resume) > 0 && !changedSubject(r.Input) {
		targets, err := a.targets(r.Input.Resume)
		if err != nil {
			return err
		}
		events, err := runner.ResumeWithParams(ctx, id, &adk.ResumeParams{Targets: targets}, options...)
		if err != nil {
			return fmt.Errorf("%w: %w", &agui.PublicError{Code: CodeResume, Message: "what was asked is not open any more"}, err)
		}
		return a.Emit(ctx, r, events)
	}
	messages, err := Messages(r.Input.Messages)
	if err != nil {
		return err
	}
	return a.Emit(ctx, r, runner.Run(ctx, messages, append(options, adk.WithCheckPointID(id))...))
}

func (a *Agent) checkPointID(r *run.Run) string {
	if a.CheckPointID != nil {
		return a.CheckPointID(r)
	}
	return fmt.Sprintf("%q/%q", r.Principal.Key, r.Input.ThreadID)
}

// changedSubject reports whether the user has cancelled what was asked and said something else.
func changedSubject(in *agui.RunAgentInput) bool {
	for i := range in.Resume {
		if in.Resume[i].Status != agui.ResumeCancelled {
			return false
		}
	}
	return len(in.Messages) > 0 && in.Messages[len(in.Messages)-1].Role == agui.RoleUser
}

// targets are the answers as Eino takes them.
func (a *Agent) targets(answers []agui.ResumeEntry) (map[string]any, error) {
	targets := make(map[string]any, len(answers))
	for i := range answers {
		data, err := a.resumeData(answers[i])
		if err != nil {
			return nil, err
		}
		targets[answers[i].InterruptID] = data
	}
	return targets, nil
}

func (a *Agent) resumeData(answer agui.ResumeEntry) (data any, err error) {
	switch {
	case a.ResumeData != nil:
		return a.ResumeData(answer)
	case answer.Status == agui.ResumeCancelled || len(answer.Payload) == 0:
		return nil, nil
	}
	err = json.Unmarshal(answer.Payload, &data)
	return data, err
}

// noStore forgets what it is given.
type noStore struct{}

func (noStore) Get(context.Context, string) ([]byte, bool, error) { return nil, false, nil }
func (noStore) Set(context.Context, string, []byte) error         { return nil }
