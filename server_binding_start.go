package agloop

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// within is a context for one thing that a visit asks for.
func (v *visit) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.r.Context(), v.srv.controlTime)
}

// codeOtherServer refuses what is for another process alone.
const codeOtherServer = "other_server"

// start begins a run, or attaches to the one that there is of that name and input. Rules R15 to R19, R33.
func (v *visit) start(RunKey) {
	at, ok := v.cursor()
	if !ok {
		return
	}
	if boot := v.r.Header.Get(BootHeader); boot != "" && (boot != v.w.Header().Get(BootHeader) || v.isNew()) {
		v.fail(&httpProblem{status: http.StatusPreconditionFailed, Code: codeOtherServer, Field: BootHeader, Message: "this is another server, or another session"})
		return
	}
	raw, ok := v.body()
	defer v.release()
	if !ok {
		return
	}
	input, notes, refused := v.srv.parseInput(v.r.Context(), raw, v.srv.door.RunsOf(v.info.Remote.Addr()))
	v.srv.tellNotesOf(v, v.info, input, notes)
	if input == nil {
		v.refuse(refused)
		return
	}
	key, ok := v.key(ActionStart, RunKey{Thread: input.ThreadID, Run: input.RunID}, true)
	if !ok {
		return
	}
	out, ok := v.newOutlet()
	if !ok {
		return
	}
	viewer, refused := v.srv.startLogged(v.r.Context(), v.asker(), key, at, input, hashInput(raw), out)
	if refused != nil {
		v.refuse(refused)
		return
	}
	v.used = true
	v.setStreamFields(viewer)
	v.release() // the response may be long
	out.answer(v, viewer)
}

// startLogged starts the run of an input, or joins the one that there is of that name and input, behind a
// cursor. Otherwise it returns why it is refused. It waits for the host's filter as long as ctx lasts.
func (srv *Server) startLogged(ctx context.Context, a asker, key RunKey, at Cursor, input *agui.RunAgentInput, hash [32]byte,
	out run.Outlet,
) (*run.Viewer, *refusal) {
	released, refused := srv.admitRun(ctx, key, a.principal, a.network, input)
	if refused != nil {
		return nil, refused
	}
	within, cancel := context.WithTimeout(ctx, srv.controlTime)
	defer cancel()
	onDisconnect := DisconnectCancel
	if a.returns {
		onDisconnect = DisconnectContinue
	}
	start := srv.newStart(key, a.principal, a.values, input, hash, onDisconnect)
	start.Released, start.At = released, at
	_, viewer, err := srv.hub.Start(within, start, out)
	if err != nil {
		return nil, srv.refusalOf(within, input, err)
	}
	return viewer, nil
}

// body reads the input. The client has been told when ok is false.
func (v *visit) body() (raw []byte, ok bool) {
	if t, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || t != typeJSON {
		v.w.Header().Set("Accept-Post", typeJSON)
		v.fail(&httpProblem{status: http.StatusUnsupportedMediaType, Code: control.CodeMalformed, Field: "Content-Type", Message: "an input is " + typeJSON})
		return nil, false
	}
	if coding := v.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		v.w.Header().Set("Accept-Encoding", "identity")
		v.fail(&httpProblem{status: http.StatusUnsupportedMediaType, Code: control.CodeMalformed, Field: "Content-Encoding", Message: "an input is not compressed"})
		return nil, false
	}
	most := int64(v.srv.cfg.Limits.MaxMessage)
	if v.r.ContentLength > most {
		v.refuse(v.srv.tooLarge())
		return nil, false
	}
	limit := v.srv.cfg.Limits.MessageTimeout
	mounted := loop.HTTPConnOf(v.r.Context()) == nil // others have a deadline already
	if mounted && limit > 0 {
		_ = http.NewResponseController(v.w).SetReadDeadline(time.Now().Add(limit))
	}
	raw, err := io.ReadAll(&heldReader{http.MaxBytesReader(v.w, v.r.Body, most), v})
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		v.refuse(v.srv.tooLarge())
		return nil, false
	}
	if err != nil { // it did not come in time, or the client is gone
		v.fail(&httpProblem{status: http.StatusBadRequest, Code: control.CodeMalformed, Message: "the body did not come whole"})
		return nil, false
	}
	if mounted { // a deadline would end the context of the request
		_ = http.NewResponseController(v.w).SetReadDeadline(time.Time{})
	}
	return raw, true
}

// heldReader counts what it reads as kept for its visit, until release.
type heldReader struct {
	io.Reader
	visit *visit
}

// Read implements io.Reader.
func (h *heldReader) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.visit.held += n
	h.visit.guest.Hold(n)
	return n, err
}

// release takes off what a visit has read.
func (v *visit) release() {
	if v.held > 0 {
		v.guest.Hold(-v.held)
		v.held = 0
	}
}

// cursor is behind what the client wants to begin; the zero Cursor is the start. The client has been
// told when ok is false.
func (v *visit) cursor() (at Cursor, ok bool) {
	field, text := "Last-Event-ID", v.r.Header.Get("Last-Event-ID") // which is newer, where a browser comes back
	if text == "" {
		field, text = "after", v.r.URL.Query().Get("after")
	}
	if text == "" {
		return at, true
	}
	at, err := run.ParseCursor(text)
	if err != nil {
		v.fail(&httpProblem{status: http.StatusBadRequest, Code: control.CodeMalformed, Field: field, Message: "a cursor is <16 hex digits>-<offset>"})
		return at, false
	}
	return at, true
}

// join attaches to a run.
func (v *visit) join(name RunKey) {
	at, ok := v.cursor()
	if !ok {
		return
	}
	key, ok := v.key(ActionJoin, name, false)
	if !ok {
		return
	}
	out, ok := v.newOutlet()
	if !ok {
		return
	}
	ctx, cancel := v.within()
	defer cancel()
	_, viewer, err := v.srv.hub.Attach(ctx, key, at, out)
	switch {
	case err == nil:
		v.setStreamFields(viewer)
		out.answer(v, viewer)
	case !errors.Is(err, run.ErrGone):
		v.refuse(v.srv.refusalOf(ctx, &agui.RunAgentInput{ThreadID: key.Thread, RunID: key.Run}, err))
	case at != Cursor{}: // who names an epoch was there
		v.tellGone(err)
	default:
		v.gone(err)
	}
}

// cancel cancels a run; there need not be one. Rule R18.
func (v *visit) cancel(name RunKey) {
	key, ok := v.key(ActionCancel, name, false)
	if !ok {
		return
	}
	v.used = true
	ctx, cancel := v.within()
	defer cancel()
	if !v.srv.hub.Known(ctx, key) && v.srv.door.Guessed(v.info.Remote.Addr()) { // each name is kept for a day
		v.tellGone(run.ErrGone)
		return
	}
	if err := v.srv.hub.Cancel(ctx, key, run.ErrCancelled); err != nil {
		v.refuse(v.srv.refusalOf(ctx, &agui.RunAgentInput{ThreadID: key.Thread, RunID: key.Run}, err))
		return
	}
	v.began = true
	v.w.WriteHeader(http.StatusNoContent)
}
