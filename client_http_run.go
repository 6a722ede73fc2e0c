package agloop

import (
	"bufio"
	"context"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/run"
)

// httpRun is one run over HTTP. Its caller's goroutine reads the response, so nothing waits here: a
// caller that is slow slows the server. A response that breaks off is asked for again where the server
// has said where in the log of the run it was.
type httpRun struct {
	// Immutable.
	http       *httpClient
	thread, id string
	input      []byte // nil: the run is joined

	// The caller's goroutine.
	at       run.Cursor // behind the last event that was received
	sentTo   string     // boot of the server that a start was sent to and did not answer
	whole    bool       // it is joined from its start, so a prelude may come
	prelude  bool       // and has
	failures int        // in a row
	outage   time.Time  // since when
	response *httpResponse
}

// httpResponse is the response that a run is read from.
type httpResponse struct {
	frames
	skip bool // the first event was received before
}

// run makes a run of an input.
func (h *httpClient) run(ctx context.Context, in *agui.RunAgentInput, raw []byte, yield func(agui.Event, error) bool) {
	at, err := h.client.mux.load(in.ThreadID, in.RunID)
	if err != nil {
		yield(nil, err)
		return
	}
	r := &httpRun{http: h, thread: in.ThreadID, id: in.RunID, at: at}
	if at.Offset == 0 {
		r.input = raw
	}
	r.deliver(ctx, yield)
}

// attach joins a run.
func (h *httpClient) attach(ctx context.Context, thread, id string, from run.Cursor, yield func(agui.Event, error) bool) {
	r := &httpRun{http: h, thread: thread, id: id, at: from, whole: from.Offset == 0}
	r.deliver(ctx, yield)
}

// deliver yields the events of the run.
func (r *httpRun) deliver(ctx context.Context, yield func(agui.Event, error) bool) {
	c := r.http.client
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	defer func() {
		if r.response != nil {
			r.response.close()
		}
		if c.life.Err() != nil { // Close could not close what was in use
			r.http.http.CloseIdleConnections()
		}
	}()
	s := c.newStream(r.thread, r.id)
	s.joined = r.at.Offset > 0
	err := s.read(ctx, r, yield)
	if s.done() {
		c.mux.ended(r.thread, r.id)
	}
	switch {
	case err == nil || errors.Is(err, errCallerLeft):
	case c.life.Err() != nil:
		yield(nil, ErrClientClosed)
	default:
		yield(nil, err)
	}
}

// ended forgets the cursor of a run that has ended.
func (m *mux) ended(thread, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(thread, id)
}

// next implements source.
func (r *httpRun) next(ctx context.Context) (item, error) {
	for {
		if r.response == nil {
			if err := r.open(ctx); err != nil {
				return item{}, err
			}
		}
		it, ok, err := r.read()
		switch {
		case ok:
			return it, nil
		case err == nil:
			continue
		case ctx.Err() != nil:
			return item{}, ctx.Err()
		}
		r.response.close()
		r.response = nil
		if _, wrong := errors.AsType[*frame.ProtocolError](err); wrong || r.at.Offset == 0 || r.http.client.cfg.Resume.Off {
			return item{}, joinErrors(ErrTruncated, err)
		}
		if err := r.pause(ctx, err, 0); err != nil {
			return item{}, err
		}
	}
}

// lateWithin is how long a response may go on behind RUN_FINISHED.
const lateWithin = time.Second

// late implements source: a log ends with its terminal event, and the response of another server when
// that has nothing more to say.
func (r *httpRun) late(context.Context) (it item, ok bool) {
	if r.response == nil || r.at.Offset > 0 {
		return it, false
	}
	timer := time.AfterFunc(lateWithin, func() { _ = r.response.body().Close() })
	defer timer.Stop()
	for {
		if it, ok, err := r.read(); ok || err != nil {
			return it, ok
		}
	}
}

// applied implements source.
func (r *httpRun) applied(it item) error {
	if it.at.Offset == 0 {
		return nil
	}
	return r.http.client.mux.save(r.thread, r.id, it.at)
}

// pause waits before the run is asked for again, or returns why it is not.
func (r *httpRun) pause(ctx context.Context, why error, after time.Duration) error {
	c := r.http.client
	if r.failures == 0 {
		r.outage = time.Now()
	}
	wait := c.backoff.delay(r.failures, after)
	r.failures++
	if most := c.cfg.Resume.MaxElapsed; most >= 0 && time.Since(r.outage)+wait > most {
		return joinErrors(r.unfinished(), why)
	}
	c.states.set(ConnState{Phase: ConnReconnecting, Attempt: r.failures, At: time.Now().Add(wait), Err: why})
	if !c.pause(ctx, wait) {
		return ctx.Err()
	}
	return nil
}

// unfinished is the error of a run that ends before its terminal event.
func (r *httpRun) unfinished() error {
	if r.at.Offset == 0 && r.input != nil {
		return ErrStartUnknown
	}
	return ErrTruncated
}

// open asks for the run: it is started, joined, or gone on with.
func (r *httpRun) open(ctx context.Context) error {
	for {
		res, err := r.request(ctx)
		if err == nil {
			if r.failures > 0 {
				r.http.client.states.set(ConnState{Phase: ConnOpen})
			}
			r.response = res
			return nil
		}
		var again *retryError
		if !errors.As(err, &again) {
			return err
		}
		if err := r.pause(ctx, again.err, again.after); err != nil {
			return err
		}
	}
}

// retryError is why a request failed that is worth another one.
type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }

// request makes one request for the run.
func (r *httpRun) request(ctx context.Context) (*httpResponse, error) {
	method, target, body := http.MethodPost, r.http.client.url.String(), r.input
	fields := http.Header{"Accept": {r.http.accept()}, "Cache-Control": {"no-cache"}}
	from := r.at
	seen := from.Offset > 0 // by this client: it is never started again
	if r.whole && from.Offset == 1 && !r.prelude {
		from = run.Cursor{} // it would miss the rest of the prelude
	}
	if seen || body == nil {
		method, target, body = http.MethodGet, r.http.runURL(r.thread, r.id), nil
	} else {
		fields.Set("Content-Type", typeJSON)
		if !r.http.client.cfg.Resume.Off {
			fields.Set(DisconnectHeader, disconnectContinue)
		}
	}
	if from.Offset > 0 {
		fields.Set("Last-Event-ID", from.String())
	}
	if method == http.MethodPost && r.sentTo != "" {
		fields.Set(BootHeader, r.sentTo)
	}
	res, sent, err := r.http.do(ctx, method, target, body, fields)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && (seen || r.sentTo != ""):
		return nil, &retryError{err: err}
	case err != nil && method == http.MethodPost && sent:
		if r.sentTo = r.http.client.mux.known(); r.sentTo == "" || r.http.client.cfg.Resume.Off {
			return nil, joinErrors(ErrStartUnknown, err)
		}
		return nil, &retryError{err: err} // of the same server, which begins it once
	case err != nil:
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		retry, after, err := problemOf(res, r.thread, r.id)
		switch {
		case retry && seen:
			return nil, &retryError{err, after}
		case res.StatusCode == http.StatusPreconditionFailed && r.sentTo != "":
			err = joinErrors(ErrStartUnknown, err)
		case retry && r.sentTo != "":
			return nil, &retryError{err, after}
		case seen:
			err = joinErrors(ErrTruncated, err)
		}
		return nil, err
	}
	most := r.http.client.cfg.Limits.MaxMessage
	switch t, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); t {
	case typeSSE:
		return &httpResponse{newSSEFrames(res.Body, most), seen && from.Offset == 0}, nil
	case typeProto:
		return &httpResponse{&protoFrames{res.Body, bufio.NewReader(res.Body), most}, false}, nil
	default:
		res.Body.Close()
		return nil, &RejectedError{Status: res.StatusCode, Message: "the response is " + clip(t) + ", and no stream of events"}
	}
}

// read takes the next event of the response. It returns neither an item nor an error for what is none.
func (r *httpRun) read() (it item, ok bool, err error) {
	frame, id, err := r.response.next()
	if err != nil || frame == nil {
		return it, false, err
	}
	r.failures = 0
	if it, ok, err = r.place(id); ok {
		_, it.binary = r.response.frames.(*protoFrames)
		it.frame = frame
	} else {
		frame.Release()
	}
	return it, ok, err
}

// place notes where in the log an event stands, by its id. ok is false for one that was received before.
func (r *httpRun) place(id string) (it item, ok bool, err error) {
	at, idErr := run.ParseCursor(id)
	switch {
	case idErr != nil: // the server is another's, or says none
		return it, true, nil
	case r.response.skip && at.Offset == 1: // only the rest of the prelude was to come again
		r.response.skip = false
		return it, false, nil
	case at == r.at: // it stands for no offset
		r.prelude = r.prelude || at.Offset == 1
	case at.Offset <= r.at.Offset || r.at.Offset > 0 && at.Epoch != r.at.Epoch:
		return it, false, fault("an event at %v behind %v", at, r.at)
	default:
		r.at = at
	}
	if it.at = at; r.whole && at.Offset == 1 && !r.prelude {
		it.at = run.Cursor{} // who goes on from here would miss the rest of the prelude
	}
	return it, true, nil
}
