package agloop

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/run"
)

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
	held  int    // bytes read of its body
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

// isNew reports whether the client has had neither a principal nor a session.
func (v *visit) isNew() bool {
	secret := v.r.Header.Get(SecretHeader)
	return v.info.Principal.Key == "" && (secret == "" || secret == freshSecret)
}

// enterScope finds the scope of the client's runs: its principal's, or that of its secret. fresh makes
// one where the client has neither.
func (v *visit) enterScope(fresh bool) (name string, ok bool) {
	if key := v.info.Principal.Key; key != "" {
		return key, true
	}
	secret := v.r.Header.Get(SecretHeader)
	switch {
	case fresh && v.isNew():
		v.scope, secret = v.srv.scopes.create()
		v.w.Header().Set(SecretHeader, secret)
	case secret != "":
		if v.scope = v.srv.scopes.bind(secret); v.scope == nil {
			v.goneFor(run.ErrGone, reasonSession)
			return "", false
		}
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
		v.refuse(undecided)
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
func (v *visit) refuse(r *refusal) {
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
		v.srv.gone.note(r.reason)
	}
	v.fail(&httpProblem{status: status, Code: r.code, Field: r.field, Message: r.message, Reason: r.reason})
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
