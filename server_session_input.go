package agloop

import (
	"context"
	"fmt"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/run"
)

// maxWaiting is how many inputs may wait behind the active run. Together they may have as
// many bytes as one may have, see Limits.MaxMessage.
const maxWaiting = 8

// place is one in the line of inputs. Refusals take no place of their own: a client may
// send any number of inputs, but RUN_ERROR carries no run id, so each comes when all
// before it have their terminal event.
type waitingInput struct {
	input   *bufpool.Buffer
	refused int // how many inputs right behind it are refused
}

// input takes one message from the client. On the loop.
func (s *session) input(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
	case !s.active:
		s.becomeActive(payload)
	case !s.srv.stopping() && s.mayWait(len(payload)):
		s.waiting = append(s.waiting, waitingInput{input: s.holdInput(payload)})
	case len(s.waiting) > 0:
		s.waiting[len(s.waiting)-1].refused++
	default:
		s.refused++
	}
}

// start sets the session to work. The first input does not wait, so it does not count as
// waiting. Under mu.
func (s *session) becomeActive(payload []byte) {
	s.active = true
	s.conn.SetBusy(true)
	if s.srv.active.add(s) {
		go s.doTasks(task{ctx: s.newTaskContext(), input: s.holdInput(payload)})
		return
	}
	run.Refuse(s, run.CodeShutdown, shuttingDown)
	s.becomeIdle()
}

const shuttingDown = "the server shuts down"

// clear drops what waits and returns how many inputs that were, refused ones included. Under mu.
func (s *session) dropWaiting() (n int) {
	for _, p := range s.waiting {
		s.releaseInput(p.input)
		n += 1 + p.refused
	}
	s.waiting = nil
	return n
}

// fits tells whether an input of n bytes may wait. One always may. Under mu.
func (s *session) mayWait(n int) bool {
	if len(s.waiting) == 0 {
		return true
	}
	for _, p := range s.waiting {
		n += p.input.Cap()
	}
	return len(s.waiting) < maxWaiting && n <= s.srv.cfg.Limits.MaxMessage
}

// keep copies an input, until drop. Meanwhile it counts as held by the connection.
func (s *session) holdInput(payload []byte) *bufpool.Buffer {
	input := bufpool.Get(len(payload)).Append(payload)
	s.conn.Hold(input.Cap())
	return input
}

// drop gives an input back.
func (s *session) releaseInput(input *bufpool.Buffer) {
	s.conn.Hold(-input.Cap())
	input.Release()
}

// refuse answers n inputs in a row that no run is made of.
func (s *session) refuseInputs(ctx context.Context, n int) {
	defer s.cancelRun(nil)
	event := run.Refusal(run.CodeShutdown, shuttingDown)
	if !s.srv.stopping() {
		event = run.Refusal(run.CodeBusy, fmt.Sprintf("too many inputs wait: at most %d do, with %d bytes", maxWaiting, s.srv.cfg.Limits.MaxMessage))
	}
	for ; n > 0; n-- {
		// When runs are cancelled a slow reader is waited for no more.
		if s.AwaitDrain(ctx) != nil && s.conn.Full() || !s.Send(event, n == 1) {
			return
		}
	}
}
