package run

import "github.com/agloop/agloop/agui"

// Step is a step that goes on. Its methods may be called from any goroutine, Close by one at a time.
type Step struct {
	owner  owner
	name   string
	closed bool
}

// Step starts a step: STEP_STARTED. Of one owner, the agent or a subagent, no two steps of the same
// name may be open; others may overlap. Errors as Emit.
func (r *Run) Step(name string) (*Step, error) { return owner{run: r}.step(name) }

func (o owner) step(name string) (*Step, error) {
	if err := o.emit(&agui.StepStarted{StepName: name}); err != nil {
		return nil, err
	}
	return &Step{owner: o, name: name}, nil
}

// Name is the step's name.
func (s *Step) Name() string { return s.name }

// Close ends the step: STEP_FINISHED. Once it has, it does nothing. Errors as Emit.
func (s *Step) Close() error {
	if s.closed {
		return nil
	}
	err := s.owner.emit(&agui.StepFinished{StepName: s.name})
	s.closed = err == nil
	return err
}
