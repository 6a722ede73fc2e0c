package main

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/aguitest"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/examples/internal/trial"
	"github.com/agloop/agloop/internal/leaktest"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
	"github.com/gorilla/websocket"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const token = "token-of-the-administrator"

func start(t *testing.T) *trial.Program {
	return trial.Start(t, func(ctx context.Context, ln net.Listener) error { return serve(ctx, ln, token) })
}

// ask makes a request of the administrator's.
func ask(t *testing.T, p *trial.Program, method, path string) (status int, body string) {
	t.Helper()
	return trial.Fetch(t, method, "http://"+p.Addr+path, http.Header{"Authorization": {"Bearer " + token}})
}

// awaitPresent waits until the program says who is there: hooks are called after the fact.
func awaitPresent(t *testing.T, p *trial.Program, want string) {
	t.Helper()
	testkit.Await(t, want+" to be there", func() bool {
		_, body := ask(t, p, "GET", "/present")
		return body == want
	})
}

// connect connects a user, who must be let in.
func connect(t *testing.T, p *trial.Program, user string) *websocket.Conn {
	t.Helper()
	conn, _, err := trial.Dial(t, "ws://"+p.Addr+"/ws?user="+user, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestPresence(t *testing.T) {
	p := start(t)
	awaitPresent(t, p, `{}`)
	first, second := connect(t, p, "ada"), connect(t, p, "ada")
	awaitPresent(t, p, `{"ada":2}`)
	ben := connect(t, p, "ben")
	awaitPresent(t, p, `{"ada":2,"ben":1}`)
	first.Close()
	ben.Close()
	awaitPresent(t, p, `{"ada":1}`)
	second.Close()
	awaitPresent(t, p, `{}`)
}

func TestKick(t *testing.T) {
	p := start(t)
	first, second, ben := connect(t, p, "ada"), connect(t, p, "ada"), connect(t, p, "ben")
	awaitPresent(t, p, `{"ada":2,"ben":1}`)
	if status, body := ask(t, p, "DELETE", "/present/ada"); status != 200 || body != `{"closed":2}` {
		t.Errorf("to send ada away is answered %d %q", status, body)
	}
	for _, conn := range []*websocket.Conn{first, second} {
		if code := trial.CloseCode(t, conn); code != websocket.ClosePolicyViolation {
			t.Errorf("ada was told %d", code)
		}
	}
	awaitPresent(t, p, `{"ben":1}`)
	if status, body := ask(t, p, "DELETE", "/present/ada"); status != 200 || body != `{"closed":0}` {
		t.Errorf("to send away who is not there is answered %d %q", status, body)
	}
	if err := ben.WriteJSON(trial.Input("hello")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ben.ReadMessage(); err != nil {
		t.Errorf("ben was sent away with ada: %v", err)
	}
}

func TestAdministratorAlone(t *testing.T) {
	p := start(t)
	for _, header := range []http.Header{nil, {"Authorization": {"Bearer "}}, {"Authorization": {"Bearer " + token + "x"}}} {
		for _, r := range []struct{ method, path string }{{"GET", "/present"}, {"DELETE", "/present/ada"}} {
			if status, _ := trial.Fetch(t, r.method, "http://"+p.Addr+r.path, header); status != http.StatusUnauthorized {
				t.Errorf("%s %s with %v is answered %d", r.method, r.path, header, status)
			}
		}
	}
}

func TestQuota(t *testing.T) {
	p := start(t)
	for range maxConnsEach {
		connect(t, p, "ada")
	}
	_, resp, err := trial.Dial(t, "ws://"+p.Addr+"/ws?user=ada", nil)
	if err != websocket.ErrBadHandshake || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a connection too many: %v, %v", resp, err)
	}
	connect(t, p, "ben")
	if _, resp, err := trial.Dial(t, "ws://"+p.Addr+"/ws", nil); err != websocket.ErrBadHandshake || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a connection of nobody: %v, %v", resp, err)
	}
}

// TestRate: runs faster than PublicRates allow are refused, and the connection stays.
func TestRate(t *testing.T) {
	p := start(t)
	// Without agloop.v1 a refusal is an event.
	c := trial.Connect(t, "ws://"+p.Addr+"/ws?user=ada", client.Config{Resume: client.Resume{Off: true}})
	ended := map[agui.EventType]int{}
	for range 100 {
		_, end := trial.Ask(t, c, "hello", nil)
		ended[end.Type()]++
		if e, ok := end.(*agui.RunError); ok {
			if e.Code == nil || *e.Code != "rate_limited" {
				t.Fatalf("the run was refused with %+v", e)
			}
			break
		}
	}
	if ended[agui.EventTypeRunFinished] < 10 || ended[agui.EventTypeRunError] != 1 {
		t.Errorf("the runs have ended with %v", ended)
	}
	awaitPresent(t, p, `{"ada":1}`)
}

// TestGreet: the agent alone, without a server.
func TestGreet(t *testing.T) {
	got := aguitest.Config{Principal: server.Principal{Value: "ada"}}.Run(t, server.AgentFunc(greet), aguitest.Input("hello"))
	got.WantSuccess()
	got.WantText("Hello ada.")
}
