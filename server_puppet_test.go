package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// puppets is an agent whose runs do what a test tells each, one thing after another.
type puppets struct {
	t    testing.TB
	mu   sync.Mutex
	runs map[string]chan func(*agloop.Run) error
}

func newPuppets(t testing.TB) *puppets {
	return &puppets{t: t, runs: make(map[string]chan func(*agloop.Run) error)}
}

func (p *puppets) of(id string) chan func(*agloop.Run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs[id] == nil {
		p.runs[id] = make(chan func(*agloop.Run) error)
	}
	return p.runs[id]
}

// Run implements agloop.Agent.
func (p *puppets) Run(ctx context.Context, r *agloop.Run) error {
	r.Steering()
	for {
		select {
		case do, more := <-p.of(r.Input.RunID):
			if !more {
				return nil
			}
			if err := do(r); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// do has a run do something, and waits until it has.
func (p *puppets) do(id string, f func(*agloop.Run) error) {
	p.t.Helper()
	done := make(chan error, 1)
	p.of(id) <- func(r *agloop.Run) error {
		err := f(r)
		done <- err
		return err
	}
	if err := testkit.Receive(p.t, "run "+id+" has done it", done); err != nil {
		p.t.Errorf("run %s: %v", id, err)
	}
}

// emit has a run emit events.
func (p *puppets) emit(id string, events ...agui.Event) {
	p.t.Helper()
	p.do(id, func(r *agloop.Run) error {
		for _, ev := range events {
			if err := r.Emit(ev); err != nil {
				return err
			}
		}
		return nil
	})
}

// say has a run say pieces of the message "m", which it begins with the first.
func (p *puppets) say(id string, pieces ...string) {
	p.t.Helper()
	p.emit(id, &agui.TextMessageStart{MessageID: "m", Role: agui.RoleAssistant})
	p.add(id, pieces...)
}

// add has a run add pieces to the message.
func (p *puppets) add(id string, pieces ...string) {
	p.t.Helper()
	for _, s := range pieces {
		p.emit(id, &agui.TextMessageContent{MessageID: "m", Delta: s})
	}
}

// count has a run emit events that are named after their own offsets, from one to another.
func (p *puppets) count(id string, from, to uint64, size int) {
	p.t.Helper()
	value := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	p.do(id, func(r *agloop.Run) error {
		for ; from <= to; from++ {
			if err := r.Emit(&agui.Custom{Name: fmt.Sprint(from), Value: value}); err != nil {
				return err
			}
		}
		return nil
	})
}

// closes has a run end the message.
func (p *puppets) closes(id string) { p.emit(id, &agui.TextMessageEnd{MessageID: "m"}) }

// end has a run end.
func (p *puppets) end(id string) { close(p.of(id)) }

// startInput starts a run as the host, in the scope "ann".
func startInput(t *testing.T, srv *agloop.Server, input *agui.RunAgentInput) *agloop.RunHandle {
	t.Helper()
	l, err := srv.StartRun(t.Context(), agloop.RunKey{Scope: "ann"}, input)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startThere is startInput of a run without messages.
func startThere(t *testing.T, srv *agloop.Server, thread, id string) *agloop.RunHandle {
	t.Helper()
	return startInput(t, srv, &agui.RunAgentInput{ThreadID: thread, RunID: id})
}

// endsThere waits until the hub has nothing of a run any more.
func endsThere(t *testing.T, srv *agloop.Server, thread, id string) {
	t.Helper()
	testkit.Await(t, "run "+id+" has ended", func() bool {
		return srv.Run(agloop.RunKey{Scope: "ann", Thread: thread, Run: id}) == nil
	})
}

// fail has a run end with an error.
func (p *puppets) fail(id string) {
	p.of(id) <- func(*agloop.Run) error { return errors.New("a failure") }
}
