package agloop

import (
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

// The HTTP binding of AG-UI: a POST starts a run, or attaches to the one of its name, and is answered
// by the run's events; GET and DELETE of its name join and cancel it. Rule R33 of docs/protocol.md.

// NoPath as ServerConfig.HTTPPath serves no runs over HTTP.
const NoPath = "-"

// SecretHeader names the session of a client of the HTTP binding that has no principal: the server
// tells it with the response to a POST that had none, and the client sends it to reach the runs of
// that session. "new" asks for one with the capabilities, so that a POST whose response is lost can be sent
// again.
const SecretHeader = "Agloop-Secret"

// LastHeader is in the response to a client that joins a run: the offset of the log's last event then. What
// comes up to there is history. A run that has just been started has 1.
const LastHeader = "Agloop-Last"

// BootHeader names, in each response, the process, or the durable store, as a hello of agloop.v1 does. A POST
// that had no response may be sent again, with the same bytes, to the same one: with BootHeader, another one
// refuses it with 412 and begins nothing.
const BootHeader = "Agloop-Boot"

// DisconnectHeader with the value "continue" in a POST says that the client comes back when its response
// breaks off: the run goes on as one of agloop.v1 does, see RunsConfig.OnDisconnect. Without it a closed
// response cancels the run, which is how stock clients stop one.
const DisconnectHeader = "Agloop-Disconnect"

const disconnectContinue = "continue"

const (
	typeSSE   = "text/event-stream"
	typeProto = "application/vnd.ag-ui.event+proto"
	typeJSON  = "application/json"
)

// resource is what a path of the binding names.
type resource struct {
	methods string // that it has, for Allow
	do      map[string]func(*visit, RunKey)
}

var (
	runsResource = &resource{"POST, OPTIONS", map[string]func(*visit, RunKey){
		http.MethodPost: (*visit).start,
	}}
	runResource = &resource{"GET, DELETE, OPTIONS", map[string]func(*visit, RunKey){
		http.MethodGet: (*visit).join, http.MethodDelete: (*visit).cancel,
	}}
	capabilitiesResource = &resource{"GET, HEAD, OPTIONS", map[string]func(*visit, RunKey){
		http.MethodGet: (*visit).tellCapabilities, http.MethodHead: (*visit).tellCapabilities,
	}}
)

// routeBinding finds what a path below HTTPPath names, and the name of a run; nil where that is nothing.
func routeBinding(below string) (res *resource, name RunKey, err error) {
	thread, id, named := strings.Cut(strings.TrimPrefix(below, "/"), "/")
	switch {
	case below == "" || below == "/":
		return runsResource, name, nil
	case below == "/capabilities":
		return capabilitiesResource, name, nil
	case !named || strings.Contains(id, "/"):
		return nil, name, nil
	}
	if name.Thread, err = url.PathUnescape(thread); err == nil {
		name.Run, err = url.PathUnescape(id)
	}
	return runResource, name, err
}

// routeMounted is routeBinding for a request whose path the host's mux has chosen, which may name the run.
func routeMounted(r *http.Request) (*resource, RunKey) {
	switch {
	case r.PathValue("run") != "":
		return runResource, RunKey{Thread: r.PathValue("thread"), Run: r.PathValue("run")}
	case r.Method == http.MethodPost || r.Method == http.MethodOptions:
		return runsResource, RunKey{}
	}
	return nil, RunKey{}
}

// cutPath is what follows a prefix in a path, both with their escapes.
func cutPath(path, prefix string) (below string, ok bool) {
	below, ok = strings.CutPrefix(path, strings.TrimSuffix(prefix, "/"))
	return below, ok && (below == "" || below[0] == '/')
}

// servesBinding reports whether there is an HTTP binding.
func (s *Server) servesBinding() bool { return s.cfg.Agent != nil && s.cfg.HTTPPath != NoPath }

// serveBinding answers a request of the HTTP binding, and reports whether it was one.
func (s *Server) serveBinding(w http.ResponseWriter, r *http.Request, mounted bool) bool {
	if !s.servesBinding() {
		return false
	}
	var res *resource
	var name RunKey
	var err error
	if below, under := cutPath(r.URL.EscapedPath(), s.cfg.HTTPPath); under {
		res, name, err = routeBinding(below)
	} else if mounted {
		res, name = routeMounted(r)
	}
	switch {
	case res == nil:
		return false
	case err != nil:
		(&httpProblem{status: http.StatusBadRequest, Code: control.CodeMalformed, Message: "bad escape in the path"}).respond(w)
	default:
		s.serveResource(w, r, res, name)
	}
	return true
}

// serveResource answers a request for a resource of the binding.
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request, res *resource, name RunKey) {
	s.allowOrigin(w.Header(), r)
	do := res.do[r.Method]
	switch {
	case r.Method == http.MethodOptions:
		s.answerPreflight(w, r, res.methods)
		return
	case do == nil:
		w.Header().Set("Allow", res.methods)
		(&httpProblem{status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "use " + res.methods}).respond(w)
		return
	}
	guest, err := s.door.LetIn(r)
	if err != nil {
		s.refuseRequest(w, err)
		return
	}
	v := &visit{srv: s, w: w, r: r, guest: guest, info: guest.Info()}
	defer v.end()
	for name, values := range guest.Header() {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set(BootHeader, s.hub.StoreInfo().Boot)
	do(v, name)
}

// refuseRequest answers a request that was not let in.
func (s *Server) refuseRequest(w http.ResponseWriter, err error) {
	refusal := s.door.RefusalOf(err)
	for name, values := range refusal.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if after := refusal.RetryAfter; after > 0 && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	(&httpProblem{status: refusal.Status, Code: "refused", Message: refusal.Reason}).respond(w)
}

// visit is one request of the binding that was let in.
type visit struct {
	srv   *Server
	w     http.ResponseWriter
	r     *http.Request
	guest *loop.Guest
	info  ConnInfo

	scope *scope // of a client without a principal
	used  bool   // something may have been begun in it
	began bool   // the response has
}

// end gives back what the visit took, and answers where a panic kept it from that.
func (v *visit) end() {
	cause := recover()
	if v.scope != nil {
		v.srv.scopes.leave(v.scope, v.used, v.srv.liveScopes)
	}
	if v.guest != nil {
		v.guest.Leave()
	}
	switch {
	case cause == nil:
		return
	case cause == http.ErrAbortHandler || v.began:
		panic(cause)
	}
	v.srv.door.Counters.Panics.Add(1)
	v.srv.log.LogAttrs(v.r.Context(), slog.LevelError, "agloop: panic in a request",
		slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
	v.fail(&httpProblem{status: http.StatusInternalServerError, Code: run.CodeInternal, Message: "the server failed"})
}

// freshSecret as SecretHeader asks for a session, and so for a secret.
const freshSecret = "new"

// enterScope finds the scope of the client's runs: its principal's, or that of its secret. fresh makes
// one where the client has neither.
func (v *visit) enterScope(fresh bool) (name string, ok bool) {
	if key := v.info.Principal.Key; key != "" {
		return key, true
	}
	secret := v.r.Header.Get(SecretHeader)
	switch {
	case secret != "" && !(fresh && secret == freshSecret):
		if v.scope = v.srv.scopes.bind(secret); v.scope == nil {
			v.goneFor(run.ErrGone, reasonSession)
			return "", false
		}
	case fresh:
		v.scope, secret = v.srv.scopes.create()
		v.w.Header().Set(SecretHeader, secret)
	default:
		v.gone(run.ErrGone)
		return "", false
	}
	return v.scope.name, true
}

// key is the name of a run that the client asks for, in its own scope, where the host lets it do so.
func (v *visit) key(action Action, name RunKey, fresh bool) (_ RunKey, ok bool) {
	if wrong, bad := errors.AsType[*FieldError](eventLimits(&v.srv.cfg.Limits).CheckIDs(name.Thread, name.Run)); bad {
		v.fail(&httpProblem{status: http.StatusBadRequest, Code: control.CodeMalformed, Field: wrong.Field, Message: wrong.Reason})
		return name, false
	}
	if name.Scope, ok = v.enterScope(fresh); !ok {
		return name, false
	}
	ctx, cancel := v.within()
	defer cancel()
	key, err := v.srv.authorizeRun(ctx, v.info.Principal, action, name)
	switch err {
	case nil:
		return key, true
	case errNotAllowed:
		if action == ActionStart { // which names nothing that is there
			v.tellGone(run.ErrGone)
		} else {
			v.gone(run.ErrGone)
		}
	default:
		v.fail(&httpProblem{status: http.StatusServiceUnavailable, Code: control.CodeTimeout, Message: "the server did not decide in time"})
	}
	return name, false
}

// gone says that a run is not there, or not for this client, and counts a guess where that may be one.
func (v *visit) gone(why error) { v.goneFor(why, run.GoneReason(why)) }

// reasonSession is told to who names a session that is not there: a run is not looked for, and the client
// may begin another session.
const reasonSession = "session"

// goneFor is gone with the reason that the client is told.
func (v *visit) goneFor(why error, reason string) {
	if run.GoneReason(why) == "" && v.srv.door.Guessed(v.info.Remote.Addr()) {
		v.srv.log.Warn("agloop: a network asks too often for runs or sessions that are not there, and is kept out for a while; "+
			"if it is a proxy, name it in TrustedProxies, see also Rates.Guesses", "remote", v.info.Remote)
	}
	v.tellGoneFor(why, reason)
}

// tellGone is gone for what was no guess.
func (v *visit) tellGone(why error) { v.tellGoneFor(why, run.GoneReason(why)) }

func (v *visit) tellGoneFor(why error, reason string) {
	v.srv.gone.note(run.GoneReason(why))
	message := "the run is gone, or not for you"
	if reason != "" {
		message = "the run, or what is behind the cursor, is gone: " + reason
	}
	v.fail(&httpProblem{status: http.StatusNotFound, Code: run.CodeGone, Message: message, Reason: reason})
}

// refuse says why no run is made of an input.
func (v *visit) refuse(r refusal) {
	status := http.StatusInternalServerError
	switch r.code {
	case run.CodeBadInput, control.CodeMalformed:
		status = http.StatusBadRequest
	case run.CodeTooLarge:
		status = http.StatusRequestEntityTooLarge
	case run.CodeRefused:
		status = http.StatusForbidden
	case run.CodeRate, run.CodeManyRuns, run.CodeThreadBusy:
		status = http.StatusTooManyRequests
		v.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	case run.CodeShutdown, control.CodeTimeout:
		status = http.StatusServiceUnavailable
		v.w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	case run.CodeConflict:
		status = http.StatusConflict
	case run.CodeGone:
		status = http.StatusNotFound
	}
	v.fail(&httpProblem{status: status, Code: r.code, Field: r.field, Message: r.message})
}

// fail answers that the request failed.
func (v *visit) fail(p *httpProblem) {
	v.began = true
	p.respond(v.w)
}

// network is the client's, for quotas and rates.
func (v *visit) network() netip.Prefix { return loop.NetworkOf(v.info.Remote.Addr()) }

// asker is who asks for a run.
func (v *visit) asker() asker {
	return asker{
		principal: v.info.Principal, values: v.guest.Values(), network: v.network(),
		returns: v.r.Header.Get(DisconnectHeader) == disconnectContinue,
	}
}

// httpProblem is the body of a response that is no success.
type httpProblem struct {
	status  int
	Code    string `json:"code"`
	Field   string `json:"field,omitempty"` // which member of the input, or which field of the request, is wrong
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"` // of gone: one of control.Reason…
}

func (p *httpProblem) respond(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", typeJSON)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.status)
	body, _ := json.Marshal(p) // strings have no error
	_, _ = w.Write(append(body, '\n'))
}

// asker is who asks for a run.
type asker struct {
	principal auth.Principal
	values    []any // of the Grant
	network   netip.Prefix
	returns   bool // it comes back to the run when its connection ends
}

// tellCapabilities tells what the agent can do.
func (v *visit) tellCapabilities(RunKey) {
	if v.r.Header.Get(SecretHeader) == freshSecret {
		v.enterScope(true)
	}
	var c agui.AgentCapabilities
	if own := v.srv.cfg.Capabilities; own != nil {
		c = *own
	}
	if c.Transport == nil {
		yes := new(true)
		c.Transport = &agui.TransportCapabilities{Streaming: yes, Websocket: yes, HTTPBinary: yes, Resumable: yes}
	}
	body, err := json.Marshal(&c)
	if err != nil { // of JSON that the host has put there
		v.srv.log.Error("agloop: ServerConfig.Capabilities cannot be encoded", "err", err)
		v.fail(&httpProblem{status: http.StatusInternalServerError, Code: run.CodeInternal, Message: "the server failed"})
		return
	}
	v.began = true
	v.w.Header().Set("Content-Type", typeJSON)
	_, _ = v.w.Write(append(body, '\n'))
}
