package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// tokenQuestion is a token that Authorize is asked about; the test answers.
type tokenQuestion struct {
	ctx    context.Context
	req    *agloop.Request
	token  string
	answer chan func() (agloop.Grant, error)
}

// grants answers with the principal of a key, whose Value is the token.
func (q *tokenQuestion) grants(key string) {
	q.answer <- func() (agloop.Grant, error) {
		return agloop.Grant{Principal: agloop.Principal{Key: key, Value: q.token}, Values: []any{"token", q.token}}, nil
	}
}

func (q *tokenQuestion) fails(err error) {
	q.answer <- func() (agloop.Grant, error) { return agloop.Grant{}, err }
}

// latecomers are the clients of a server whose Authorize wants their tokens later.
type latecomers struct {
	t         *testing.T
	srv       *agloop.Server
	addr      string
	questions chan *tokenQuestion
	log       logged

	mu   sync.Mutex
	told []string // to hooks
}

// later changes a config so that who sends no token in a field is to send it later.
func later(t *testing.T, cfg agloop.ServerConfig) (*latecomers, agloop.ServerConfig) {
	l := &latecomers{t: t, questions: make(chan *tokenQuestion, 1000)}
	if cfg.Agent == nil {
		cfg.Agent = hello
	}
	cfg.Logger = slog.New(slog.NewTextHandler(&l.log, nil))
	cfg.Authorize = func(ctx context.Context, req *agloop.Request) (agloop.Grant, error) {
		token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return agloop.Grant{}, fmt.Errorf("no token: %w", agloop.ErrAuthLater)
		}
		q := &tokenQuestion{ctx, req, token, make(chan func() (agloop.Grant, error), 1)}
		l.questions <- q
		return (<-q.answer)()
	}
	tell := func(format string, args ...any) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.told = append(l.told, fmt.Sprintf(format, args...))
	}
	cfg.Hooks.Connected = func(info agloop.ConnInfo) {
		tell("+%s %v %s", info.Principal.Key, info.Principal.Value, info.Protocol)
	}
	cfg.Hooks.Disconnected = func(info agloop.ConnInfo, why *agloop.CloseError) {
		tell("-%s %v %v", info.Principal.Key, info.Principal.Value, why.Code)
	}
	return l, cfg
}

func serveLater(t *testing.T, cfg agloop.ServerConfig) *latecomers {
	t.Helper()
	l, cfg := later(t, cfg)
	l.srv, l.addr = serve(t, cfg)
	return l
}

// hooks is what hooks were told.
func (l *latecomers) hooks() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.told, ", ")
}

// asked is the next token that Authorize is asked about.
func (l *latecomers) asked() *tokenQuestion {
	l.t.Helper()
	return testkit.Receive(l.t, "Authorize is asked about a token", l.questions)
}

// comes connects without a token. Nobody knows the connection then.
func (l *latecomers) comes() *viewer {
	l.t.Helper()
	v := newViewer(l.t, l.addr, "")
	if v.hello.Secret != "" {
		l.t.Error("hello has a secret for nobody yet")
	}
	return v
}

// joins connects as the principal of a key.
func (l *latecomers) joins(key, token string) *viewer {
	l.t.Helper()
	v := l.comes()
	v.auth("a", token)
	l.asked().grants(key)
	testkit.Await(l.t, "the token is accepted", func() bool {
		for _, info := range l.srv.Peer(key).Conns() {
			if info.Principal.Value == token {
				return true
			}
		}
		return false
	})
	return v
}

// empties waits until nothing is left of any connection.
func (l *latecomers) empties() {
	l.t.Helper()
	testkit.Await(l.t, "nothing is left", func() bool {
		return l.srv.Stats().Connections == 0 && l.srv.Peers() == 0 && l.srv.Held() == 0
	})
}

func (v *viewer) auth(ref, token string) {
	v.t.Helper()
	v.ask(control.NameAuth, &control.Auth{Ref: ref, Token: token})
}

// alive shows that controls are handled and that no answer came before this one.
func (v *viewer) alive() {
	v.t.Helper()
	v.ask(control.NameAttach, &control.Attach{Ref: "alive", ThreadID: "none", RunID: "none", Epoch: "0000000000000001"}) // no guess
	if f := v.next(); f.name != control.NameGone || !strings.Contains(string(f.body), `"alive"`) {
		v.t.Fatalf("got %s %s", f.name, f.body)
	}
}

// TestR32Auth: a token in the first control makes the connection its principal's, whatever the server
// prefers, and what was sent behind it counts.
func TestR32Auth(t *testing.T) {
	principals := make(chan string, 1)
	l := serveLater(t, agloop.ServerConfig{
		Protocols: []string{"other", wireProtocol()},
		Quotas:    agloop.Quotas{ConnsPerPrincipal: 1},
		Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
			principals <- fmt.Sprint(r.Principal.Key, " ", r.Principal.Value, " ", r.Value("token"))
			return hello(ctx, r)
		}),
	})
	p := testkit.Connect(t, l.addr, 0)
	p.Put(at("/ws?x=1", "Sec-WebSocket-Protocol: other, "+wireProtocol(), "X-Kept: yes"))
	if got := p.WantSwitch()["Sec-WebSocket-Protocol"]; got != wireProtocol() {
		t.Errorf("subprotocol %q", got)
	}
	v := viewerOf(t, p)
	v.await(control.NameHello)
	v.auth("a", "secret")
	v.start("1", namedInput("t", "r"))
	q := l.asked()
	if r := q.req; q.token != "secret" || r.RawQuery != "x=1" || r.Path != "/ws" || r.Header.Get("X-Kept") != "yes" || len(r.Protocols) != 2 {
		t.Errorf("asked %+v", r)
	}
	if _, ok := q.ctx.Deadline(); !ok {
		t.Error("Authorize may take for ever")
	}
	if n := l.srv.Peers(); n != 0 || l.hooks() != "" {
		t.Errorf("%d principals, hooks %s", n, l.hooks())
	}
	q.grants("ann")
	if f := v.await("RUN_FINISHED"); f.of.Ref != "1" {
		t.Errorf("got %+v", f.of)
	}
	if got := testkit.Receive(t, "the agent", principals); got != "ann secret secret" {
		t.Errorf("the run is %s", got)
	}
	if list := l.srv.Peer("ann").Conns(); len(list) != 1 || list[0].Principal.Value != "secret" {
		t.Errorf("ann has %+v", list)
	}
	// It is the principal's one place, until it ends.
	second := l.comes()
	second.auth("a", "too many")
	l.asked().grants("ann")
	second.want(control.NameRejected, &control.Rejected{Ref: "a", Code: control.CodeAuth})
	if reason := second.WantGoodbye(frame.ClosePolicy); reason != "too many connections of yours" {
		t.Errorf("reason %q", reason)
	}
	v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: "x"})
	v.want(control.NameRejected, &control.Rejected{Ref: "b", Code: control.CodeOrder})
	v.HangUp()
	l.empties()
	l.joins("ann", "again").HangUp()
	l.empties()
	want := strings.ReplaceAll("+ann secret agloop.v1.json, -ann secret 1000, +ann again agloop.v1.json, -ann again 1000", control.Protocol, wireProtocol())
	testkit.Await(t, "hooks are told", func() bool { return l.hooks() == want })
	if r := l.srv.Stats().Refusals; r.Authorize != 0 || r.ConnQuota != 1 {
		t.Errorf("%+v", r)
	}
}

// TestR32AuthNeedsTheSubprotocol: who cannot send a token later is answered 401.
func TestR32AuthNeedsTheSubprotocol(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{Protocols: []string{"other"}})
	_, cfg := later(t, agloop.ServerConfig{Protocols: []string{control.Protocol}})
	cfg.Agent, cfg.Handler = nil, echo{}
	_, bytes := serve(t, cfg)
	for _, tt := range []struct{ addr, field string }{
		{l.addr, "X: y"},
		{l.addr, "Sec-WebSocket-Protocol: other"},
		{bytes, "Sec-WebSocket-Protocol: " + control.Protocol},
	} {
		p := testkit.Connect(t, tt.addr, 0)
		p.Put(testkit.Request(tt.field))
		if fields := p.WantRefusal(http.StatusUnauthorized); fields["Www-Authenticate"] != "Bearer" {
			t.Errorf("%s: %v", tt.field, fields)
		}
	}
	l.empties()
	if r := l.srv.Stats().Refusals; r.Authorize != 2 || l.hooks() != "" {
		t.Errorf("%+v, hooks %s", r, l.hooks())
	}
}

// TestR32AuthRefused: whatever is no good grant ends a connection that is nobody's, and says no more
// than is public.
func TestR32AuthRefused(t *testing.T) {
	grant := func(g agloop.Grant) func() (agloop.Grant, error) {
		return func() (agloop.Grant, error) { return g, nil }
	}
	fail := func(err error) func() (agloop.Grant, error) {
		return func() (agloop.Grant, error) { return agloop.Grant{}, err }
	}
	l := serveLater(t, agloop.ServerConfig{})
	counted, logs := uint64(0), 0
	for _, tt := range []struct {
		name, token string
		answer      func() (agloop.Grant, error) // nil: Authorize is not asked
		reason      string
		counts      bool
		logs        bool
	}{
		{"reason", "x", fail(&agloop.RefusedError{Status: 402, Reason: "pay first"}), "pay first", true, false},
		{"reason and more", "x", fail(errors.Join(&agloop.RefusedError{Reason: "pay first"}, errors.New("hidden"))), "pay first", true, true},
		{"error", "x", fail(errors.New("hidden")), "refused", true, true},
		{"later again", "x", fail(agloop.ErrAuthLater), "refused", true, true},
		{"panic", "x", func() (agloop.Grant, error) { panic("hidden") }, "the server failed", true, false},
		{"nobody", "x", grant(agloop.Grant{}), "the server failed", false, true},
		{"odd values", "x", grant(agloop.Grant{Principal: agloop.Principal{Key: "k"}, Values: []any{1}}), "the server failed", false, true},
		{"expired", "x", grant(agloop.Grant{Principal: agloop.Principal{Key: "k", ExpiresAt: time.Unix(1, 0)}}), "authorization expired", false, false},
		{"no token", "", nil, "malformed token", true, false},
		{"line end", "a\r\nB: c", nil, "malformed token", true, false},
		{"NUL", "a\x00", nil, "malformed token", true, false},
		{"DEL", "a\x7f", nil, "malformed token", true, false},
	} {
		v := l.comes()
		v.auth("a", tt.token)
		if tt.answer != nil {
			l.asked().answer <- tt.answer
		}
		v.want(control.NameRejected, &control.Rejected{Ref: "a", Code: control.CodeAuth})
		if reason := v.WantGoodbye(frame.ClosePolicy); reason != tt.reason {
			t.Errorf("%s: reason %q", tt.name, reason)
		}
		l.empties()
		if tt.counts {
			counted++
		}
		if tt.logs {
			logs++
		}
		if n, m := l.srv.Stats().Refusals.Authorize, l.log.count("a request was refused"); n != counted || m != logs {
			t.Errorf("%s: %d are counted, want %d; %d are logged, want %d", tt.name, n, counted, m, logs)
		}
	}
	if l.hooks() != "" || len(l.questions) != 0 {
		t.Errorf("hooks %s, %d more questions", l.hooks(), len(l.questions))
	}
}

// TestR32AuthComesFirst: anything else before it ends the connection, however it is framed.
func TestR32AuthComesFirst(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	malformed := &control.Rejected{Ref: "a", Code: control.CodeMalformed, Field: "token"}
	for name, tt := range map[string]struct {
		frames   []byte
		reason   string
		rejected *control.Rejected // what is told before
	}{
		"start":           {testkit.Text(`["start",{"ref":"1","input":` + namedInput("t", "r") + `}]`), "the first message must be auth", nil},
		"input":           {testkit.Text(namedInput("t", "r")), "the first message must be auth", nil},
		"bind":            {testkit.Text(`["bind",{"ref":"1","secret":"x"}]`), "the first message must be auth", nil},
		"unknown control": {testkit.Text(`["x",{}]`), "the first message must be auth", nil},
		"no control":      {testkit.Text(`[1]`), "the first message must be auth", nil},
		"empty":           {testkit.Text(``), "the first message must be auth", nil},
		"binary":          {testkit.Message(frame.Binary, []byte(`["auth",{"ref":"a","token":"x"}]`)), "the first message must be auth", nil},
		"fragments":       {append(testkit.Masked(0b0_000_0001, []byte(`["bi`)), testkit.Masked(0b1_000_0000, []byte(`nd",{"ref":"1"}]`))...), "the first message must be auth", nil},
		"no token":        {testkit.Text(`["auth",{"ref":"a","token":7}]`), "auth is malformed", malformed},
		"auth behind it":  {append(testkit.Text(`["x",{}]`), testkit.Text(`["auth",{"ref":"a","token":"x"}]`)...), "the first message must be auth", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := l.comes()
			v.Put(tt.frames)
			if tt.rejected != nil {
				v.want(control.NameRejected, tt.rejected)
			}
			if reason := v.WantGoodbye(agloop.CloseAuthTimeout); reason != tt.reason {
				t.Errorf("reason %q", reason)
			}
			l.empties()
		})
	}
	if l.hooks() != "" || len(l.questions) != 0 {
		t.Errorf("hooks %s, %d questions", l.hooks(), len(l.questions))
	}
	// One that comes in fragments is whole.
	v := l.comes()
	v.Put(testkit.Masked(0b0_000_0001, []byte(`["auth",{"ref":"a",`)), testkit.Masked(0b1_000_0000, []byte(`"token":"x"}]`)))
	l.asked().grants("ann")
	v.alive()
	v.HangUp()
	l.empties()
}

// TestR32AuthTooLarge: nothing large is kept for a connection that is nobody's.
func TestR32AuthTooLarge(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	garbage := strings.Repeat("x", 1<<20)
	const tooBig, tooMuch = "message is too big before authorization", "too much before authorization"
	for name, tt := range map[string]struct {
		frames []byte
		asked  bool // they come while Authorize is asked
		reason string
	}{
		"one frame":       {testkit.Text(garbage), false, tooBig},
		"one byte more":   {testkit.Text(garbage[:16<<10+1]), false, tooBig},
		"fragments":       {append(testkit.Masked(0b0_000_0001, []byte(garbage[:10<<10])), testkit.Masked(0b0_000_0000, []byte(garbage[:10<<10]))...), false, tooBig},
		"behind auth":     {testkit.Text(garbage), true, tooBig},
		"many small ones": {[]byte(strings.Repeat(string(testkit.Text(garbage[:1000])), 17)), true, tooMuch},
	} {
		t.Run(name, func(t *testing.T) {
			v := l.comes()
			base := l.srv.Held()
			var q *tokenQuestion
			if tt.asked {
				v.auth("a", "x")
				q = l.asked()
			}
			v.Put(tt.frames[:min(len(tt.frames), 64<<10)]) // more is not needed to judge it
			if reason := v.CloseFrame(agloop.CloseAuthTimeout); reason != tt.reason {
				t.Errorf("reason %q", reason)
			}
			if held := l.srv.Held() - base; held > 64<<10 {
				t.Errorf("%d bytes are held", held)
			}
			v.Close()
			if q != nil {
				q.over(t)
				q.grants("ann")
			}
			l.empties()
		})
	}
	// Afterwards the limit is the server's.
	v := l.joins("ann", strings.Repeat("t", 15<<10))
	v.start("1", strings.Replace(namedInput("t", "r"), `{`, `{"state":"`+garbage+`",`, 1))
	v.await("RUN_FINISHED")
	v.auth("b", strings.Repeat("t", 16<<10+1)) // Authorize is not asked
	v.want(control.NameRejected, &control.Rejected{Ref: "b", Code: control.CodeAuth})
	v.HangUp()
	l.empties()
}
