package agloop

import (
	"context"
	"crypto/rand"

	"github.com/agloop/agloop/codec/control"
)

// question is a request for one answer, or for none.
type question struct {
	// Immutable.
	name    string
	size    int                  // of its text, in bytes; of a steer alone
	body    func(ref string) any // of package control
	cancels *control.Cancel      // what it is, if it has no answer
	done    chan struct{}        // closed by reply

	// Any goroutine, under mux.mu until done is closed.
	over bool
	ok   bool
	err  error
}

// ask implements request. Under mux.mu.
func (q *question) ask(w *wire, ref string) (name string, body any) {
	if err := checkLimit("a text", q.size, w.hello.Limits.Steer); err != nil {
		w.mux.drop(q)
		q.end(err)
		return "", nil
	}
	return q.name, q.body(ref)
}

// lost implements request: the next wire is asked again, under the same id.
func (q *question) lost() {}

// end implements request. Under mux.mu.
func (q *question) end(err error) { q.reply(false, err) }

func (q *question) reply(ok bool, err error) {
	if !q.over {
		q.over, q.ok, q.err = true, ok, err
		close(q.done)
	}
}

// put asks a question and waits for the answer.
func (c *Client) put(ctx context.Context, q *question) (ok bool, err error) {
	if err := c.resumable(ctx); err != nil {
		return false, err
	}
	q.done = make(chan struct{})
	if err := c.mux.add(q); err != nil {
		return false, err
	}
	select {
	case <-q.done:
		return q.ok, q.err
	case <-ctx.Done():
		c.mux.remove(q)
		return false, ctx.Err()
	}
}

// Cancel stops a run, whoever has started it. nil means that the server is being told, over the next
// connection if there is none: there is no answer to it, and a run that is unknown, or has ended, is
// no error. The sequences of the run come to its terminal event, RUN_FINISHED with outcome
// cancelled; who closes the client before that may take the cancel back. A run that is cancelled
// before its start begins and ends at once.
//
// Errors: ErrNoResume on a bare wire, where leaving the loop of Run is what stops a run;
// ErrClientClosed, ctx's error.
func (c *Client) Cancel(ctx context.Context, thread, run string) error {
	if c.http != nil {
		return c.http.cancel(ctx, thread, run)
	}
	cancel := &control.Cancel{ThreadID: thread, RunID: run}
	_, err := c.put(ctx, &question{
		name: control.NameCancel, cancels: cancel, body: func(string) any { return cancel },
	})
	return err
}

// Steer says something to a run that goes on, as its user. accepted tells whether its agent has
// taken it; then the run emits it as a message of the user, so that every viewer sees it, and the
// caller adds none. It is asked once, also when the connection ends meanwhile.
//
// Errors: ErrGone for a run that is not there, *RejectedError, ErrInputTooBig; as Cancel.
func (c *Client) Steer(ctx context.Context, thread, run, text string) (accepted bool, err error) {
	id := "steer-" + rand.Text()
	return c.put(ctx, &question{name: control.NameSteer, size: len(text), body: func(ref string) any {
		return &control.Steer{Ref: ref, ThreadID: thread, RunID: run, ID: id, Text: text}
	}})
}
