package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestBindingRefusals: what is no request for a run is refused before the stream, with the member that is
// wrong.
func TestBindingRefusals(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxMessage: 4096, MaxInputMessages: 1}})
	c := newSSE(t, addr)
	for _, r := range []struct {
		method, path, body string
		status             int
		code, field        string
	}{
		{"POST", "", `{"threadId":"t","runId":"r","messages":[{"id":"m","role":"user","content":5}]}`, 400, "invalid_input", "messages[0].content"},
		{"POST", "", `{"threadId":"t","messages":[]}`, 400, "invalid_input", "runId"},
		{"POST", "", `{"threadId":"t","runId":"` + strings.Repeat("r", 129) + `","messages":[]}`, 400, "invalid_input", "runId"},
		{"POST", "", `{"threadId":"t","runId":"r","messages":[],"protocolVersion":"2.0"}`, 400, "invalid_input", "protocolVersion"},
		{"POST", "", `{"threadId":"t","runId":"r","messages":[{"id":"a","role":"user","content":""},{"id":"b","role":"user","content":""}]}`, 413, "input_too_large", "messages"},
		{"POST", "", `[]`, 400, "invalid_input", ""},
		{"POST", "", `{`, 400, "invalid_input", ""},
		{"POST", "", inputOf("r", 5000), 413, "input_too_large", ""},
		{"POST", "?after=1", inputOf("r", 0), 400, "malformed", "after"},
		{"PUT", "", "", 405, "method_not_allowed", ""},
		{"GET", "", "", 405, "method_not_allowed", ""},
		{"POST", "/t/r", inputOf("r", 0), 405, "method_not_allowed", ""},
		{"GET", "/t/r", "", 404, "gone", ""},
		{"DELETE", "/t/r", "", 404, "gone", ""},
		{"GET", "/t/" + strings.Repeat("r", 129), "", 400, "malformed", "runId"},
		{"GET", "/t/r?after=zz-1", "", 400, "malformed", "after"},
	} {
		res := c.wants(r.method, r.path, r.body, r.status, r.code, r.field)
		if r.status == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", r.method, r.path)
		}
	}
	c.as("Content-Type", "text/plain").wants("POST", "", inputOf("r", 0), 415, "malformed", "Content-Type")
	c.as("Content-Encoding", "gzip").wants("POST", "", inputOf("r", 0), 415, "malformed", "Content-Encoding")
	c.as("Last-Event-ID", "x").wants("POST", "", inputOf("r", 0), 400, "malformed", "Last-Event-ID")
	c.as("Agloop-Secret", "nobody's").wants("POST", "", inputOf("r", 0), 404, "gone", "")
	if text, _ := io.ReadAll(c.as("Agloop-Secret", "nobody's").do("GET", "/t/r", "").Body); !strings.Contains(string(text), `"reason":"session"`) {
		t.Errorf("%s", text) // who has no session may begin another one
	}
	c.as("Agloop-Boot", "another").wants("POST", "", inputOf("r", 0), 412, "other_server", "Agloop-Boot")
	chunked, err := http.NewRequestWithContext(t.Context(), "POST", c.base, io.MultiReader(strings.NewReader(inputOf("r", 5000))))
	if err != nil {
		t.Fatal(err)
	}
	chunked.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(chunked)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("%s", res.Status)
	}
	if got := kindsOf(c.as("Content-Type", "Application/JSON; charset=utf-8").open("POST", "", inputOf("r", 0)).rest()); got != helloTypes {
		t.Errorf("got %s", got)
	}
}

// TestBindingAuthorizes: over HTTP as over WebSocket; the token comes with the request, so that nobody is
// let in who says it later.
func TestBindingAuthorizes(t *testing.T) {
	var asked []string
	srv, addr := serve(t, agloop.ServerConfig{
		Agent:  hello,
		Quotas: agloop.Quotas{ConnsPerPrincipal: 1},
		Authorize: func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
			asked = append(asked, req.Method+" "+req.Path+"?"+req.RawQuery+" "+req.Scheme)
			switch who := req.Header.Get("Authorization"); who {
			case "later":
				return agloop.Grant{}, agloop.ErrAuthLater
			case "":
				return agloop.Grant{}, &agloop.RefusedError{Status: 401, Reason: "say who", Header: http.Header{"Www-Authenticate": {"Basic"}}}
			case "panics":
				panic("at the disco")
			case "fails":
				return agloop.Grant{}, errors.New("secret")
			default:
				return agloop.Grant{Principal: agloop.Principal{Key: who}, Header: http.Header{"Set-Cookie": {"a=b"}}}, nil
			}
		},
	})
	c := newSSE(t, addr)
	if res := c.wants("POST", "?q=1", inputOf("r", 0), 401, "refused", ""); res.Header.Get("Www-Authenticate") != "Basic" {
		t.Errorf("%v", res.Header)
	}
	if asked[0] != "POST /agui?q=1 http" {
		t.Errorf("asked %q", asked)
	}
	c.as("Authorization", "later").wants("POST", "", inputOf("r", 0), 401, "refused", "")
	c.as("Authorization", "panics").wants("POST", "", inputOf("r", 0), 500, "internal_error", "")
	res := c.as("Authorization", "fails").do("POST", "", inputOf("r", 0))
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 403 || strings.Contains(string(body), "secret") {
		t.Errorf("%s %s", res.Status, body)
	}
	s := c.as("Authorization", "ann").open("POST", "", inputOf("r", 0))
	if s.res.Header.Get("Set-Cookie") != "a=b" || s.res.Header.Get("Agloop-Secret") != "" {
		t.Errorf("%v", s.res.Header)
	}
	s.rest()
	if st := srv.Stats(); st.Refusals.Authorize != 4 {
		t.Errorf("%+v", st.Refusals)
	}
}

// TestBindingQuotas: a stream counts as a connection, and its run as a run.
func TestBindingQuotas(t *testing.T) {
	values := make(chan string)
	cfg := agloop.ServerConfig{Agent: steps(values), Quotas: agloop.Quotas{ConnsPerPrincipal: 2, RunsPerPrincipal: 1}}
	srv, addr := serveEach(t, cfg)
	ann := newSSE(t, addr).as("Authorization", "ann")
	first := ann.open("POST", "", inputOf("r", 0))
	res := ann.wants("POST", "", inputOf("other", 0), 429, "too_many_runs", "")
	if res.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", res.Header)
	}
	second := ann.open("GET", "/t/r", "")
	ann.wants("GET", "/t/r", "", 429, "refused", "")
	testkit.Await(t, "other slots are free", func() bool { return srv.Stats().Connections == 2 })
	if st := srv.Stats(); st.Logged.Streams != 2 || st.Refusals.ConnQuota != 1 || st.Refusals.RunQuota != 1 {
		t.Errorf("%+v", st)
	}
	close(values)
	if got := kindsOf(first.rest()); got != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("got %s", got)
	}
	second.rest()
}

// TestBindingPages: pages of Origins may use the binding, others may not; a preflight is answered without
// asking who it is.
func TestBindingPages(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{
		Agent: hello, Origins: []string{"https://app.example"},
		Authorize: func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
			if req.Header.Get("Authorization") == "" {
				return agloop.Grant{}, &agloop.RefusedError{Status: 401}
			}
			return agloop.Grant{}, nil
		},
	})
	own := newSSE(t, addr).as("Authorization", "a").as("Origin", "http://"+addr)
	own.open("POST", "", inputOf("r", 0)).rest()
	app := newSSE(t, addr).as("Origin", "https://app.example")
	s := app.as("Authorization", "a").open("POST", "", inputOf("r", 0))
	s.rest()
	h := s.res.Header
	if h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(h.Get("Access-Control-Expose-Headers"), "Agloop-Secret") || !strings.Contains(strings.Join(h["Vary"], ","), "Origin") {
		t.Errorf("%v", h)
	}
	if res := app.wants("POST", "", inputOf("r", 0), 401, "refused", ""); res.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("a page cannot read why: %v", res.Header)
	}
	ask := app.as("Access-Control-Request-Method", "POST").as("Access-Control-Request-Headers", "authorization,content-type")
	res := ask.do("OPTIONS", "", "")
	if h := res.Header; res.StatusCode != 204 || h.Get("Access-Control-Allow-Methods") != "POST, OPTIONS" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,content-type" || h.Get("Access-Control-Max-Age") == "" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	if h := ask.do("OPTIONS", "/t/r", "").Header; h.Get("Access-Control-Allow-Methods") != "GET, DELETE, OPTIONS" {
		t.Errorf("%v", h)
	}
	evil := newSSE(t, addr).as("Origin", "https://evil.example")
	if res := evil.wants("POST", "", inputOf("r", 0), 403, "refused", ""); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", res.Header)
	}
	if h := evil.as("Access-Control-Request-Method", "POST").do("OPTIONS", "", "").Header; h.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("%v", h)
	}
	// What resolves to this machine is not of this machine.
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/agui", strings.NewReader(inputOf("r", 0)))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.Header.Set("Content-Type", "application/json")
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != 403 {
		t.Errorf("%v, %v", res.Status, err)
	}
}

// TestBindingForAnyPage: where all origins are allowed a page may use the binding, but without cookies.
func TestBindingForAnyPage(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, Origins: []string{"*"}})
	s := newSSE(t, addr).as("Origin", "https://any.example").open("POST", "", inputOf("r", 0))
	s.rest()
	if h := s.res.Header; h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%v", h)
	}
}

// TestBindingFilters: FilterInput and AuthorizeRun hold over HTTP.
func TestBindingFilters(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: hello, Runs: agloop.RunsConfig{
		FilterInput: func(_ context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			switch in.RunID {
			case "refused":
				return &agloop.RefusedError{Reason: "not this"}
			case "panics":
				panic("at the disco")
			}
			return nil
		},
		AuthorizeRun: func(_ context.Context, p agloop.Principal, action agloop.Action, key agloop.RunKey) (agloop.RunKey, error) {
			if key.Thread == "ours" {
				key.Scope = "everybody"
			} else if p.Key == "eve" {
				return key, errors.New("no")
			}
			return key, nil
		},
	}})
	ann, eve := newSSE(t, addr).as("Authorization", "ann"), newSSE(t, addr).as("Authorization", "eve")
	ann.wants("POST", "", inputOf("refused", 0), 403, "input_refused", "")
	ann.wants("POST", "", inputOf("panics", 0), 500, "internal_error", "")
	eve.wants("POST", "", inputOf("r", 0), 404, "gone", "")
	ours := `{"threadId":"ours","runId":"r","messages":[]}`
	ann.open("POST", "", ours).rest()
	if got := kindsOf(eve.open("GET", "/ours/r", "").rest()); got != helloTypes {
		t.Errorf("got %s", got)
	}
}

// TestHTTPPath: it is a path of the host's, or none.
func TestHTTPPath(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, HTTPPath: "/api/v1"})
	res, err := http.Post("http://"+addr+"/api/v1", "application/json", strings.NewReader(inputOf("r", 0)))
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %v", res, err)
	}
	res.Body.Close()
	_, addr = serve(t, agloop.ServerConfig{Agent: hello, HTTPPath: agloop.NoPath})
	res, err = http.Post("http://"+addr+"/agui", "application/json", strings.NewReader(inputOf("r", 0)))
	if err != nil || res.StatusCode != 426 {
		t.Errorf("%v, %v", res, err)
	}
	res.Body.Close()
	for _, cfg := range []agloop.ServerConfig{
		{Agent: hello, HTTPPath: "agui"},
		{Handler: echo{}, HTTPPath: "/agui"},
		{Handler: echo{}, AgentCore: true},
		{Agent: hello, AgentCore: true, Path: "/socket"},
		{Agent: hello, AgentCore: true, HTTPPath: agloop.NoPath},
	} {
		err := agloop.NewServer(cfg).Serve("127.0.0.1:0")
		if _, ok := errors.AsType[*agloop.ConfigError](err); !ok {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// TestBodyIsCounted: what has come of an input is held for its client, until the run is started.
func TestBodyIsCounted(t *testing.T) {
	values := make(chan string)
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values)})
	input := inputOf("r", 0)
	input = strings.Replace(input, "{", "{"+strings.Repeat(" ", 100<<10), 1)
	p := testkit.Connect(t, addr, 0)
	p.Put(fmt.Appendf(nil, "POST /agui HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(input), input[:100<<10]))
	testkit.Await(t, "it is counted", func() bool { return srv.Held() >= 100<<10 })
	p.Put([]byte(input[100<<10:]))
	testkit.Await(t, "the run is on, and its input is not counted", func() bool {
		return srv.Stats().Logged.Streams == 1 && srv.Held() < 50<<10
	})
	close(values)
}
