package agloop

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/agloop/agloop/codec/control"
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
// that had no response may be sent again, with the same bytes, in the same session, to the same one: with
// BootHeader, another one refuses it with 412 and begins nothing, and so does one to whom the client is new.
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
	code := "refused"
	if refusal.Status == http.StatusInternalServerError {
		code = run.CodeInternal
	}
	(&httpProblem{status: refusal.Status, Code: code, Message: refusal.Reason}).respond(w)
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
