package agloop

import (
	"context"
	"fmt"

	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/run"
)

// maxWaiting is how many inputs may wait for the active run to end. Together they may have as many
// bytes as one may have, see Limits.MaxMessage.
const maxWaiting = 8

// waitingInput is an input that waits, and the number of those refused right after it. Answers come
// in the order of the inputs, since RUN_ERROR carries no run id. A refused input is only counted,
// because a client may send any number.
type waitingInput struct {
	input   *bufpool.Buffer
	refused int
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

// becomeActive starts the session's goroutine. The first input does not wait, so it does not count
// as waiting. Under mu.
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

// dropWaiting drops what waits and returns how many inputs that were, refused ones included. Under
// mu.
func (s *session) dropWaiting() (n int) {
	for _, w := range s.waiting {
		s.releaseInput(w.input)
		n += 1 + w.refused
	}
	s.waiting = nil
	return n
}

// mayWait reports whether an input of n bytes may wait. One always may. Under mu.
func (s *session) mayWait(n int) bool {
	if len(s.waiting) == 0 {
		return true
	}
	for _, w := range s.waiting {
		n += w.input.Cap()
	}
	return len(s.waiting) < maxWaiting && n <= s.srv.cfg.Limits.MaxMessage
}

// holdInput copies an input. It counts as held by the connection until releaseInput.
func (s *session) holdInput(payload []byte) *bufpool.Buffer {
	input := bufpool.Get(len(payload)).Append(payload)
	s.conn.Hold(input.Cap())
	return input
}

// releaseInput ends what holdInput began.
func (s *session) releaseInput(input *bufpool.Buffer) {
	s.conn.Hold(-input.Cap())
	input.Release()
}

// refuseInputs answers n inputs in a row, of which no run is made.
func (s *session) refuseInputs(ctx context.Context, n int) {
	defer s.cancelTask(nil)
	event := run.Refusal(run.CodeShutdown, shuttingDown)
	if !s.srv.stopping() {
		event = run.Refusal(run.CodeBusy, fmt.Sprintf("too many inputs wait: at most %d do, with %d bytes",
			maxWaiting, s.srv.cfg.Limits.MaxMessage))
	}
	for kind := run.KindPlain; n > 0; n-- {
		if n == 1 {
			kind = run.KindTerminal
		}
		// Once runs are cancelled a slow reader is not waited for.
		if s.AwaitDrain(ctx) != nil && s.conn.Full() || !s.Send(event, kind) {
			return
		}
	}
}
