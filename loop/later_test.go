package loop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
)

// awaiting is a house whose clients send their tokens as messages, and Authorize asks the test about
// them. The handler says what became of each; "?" asks who a connection is.
func awaiting(t *testing.T, loops int, change func(*loop.DoorConfig)) (*house, <-chan question) {
	t.Helper()
	cfg := loop.DoorConfig{Later: []string{"later"}, Protocols: []string{"other"}, Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, p []byte) {
		if string(p) == "?" {
			who, values := loop.GrantOf(c)
			c.Send(op, fmt.Appendf(nil, "%s %v %v %t", who.Key, who.Value, values, loop.AwaitsToken(c)))
			return
		}
		told := func(err error) {
			switch {
			case err == nil:
				c.Send(op, []byte("accepted"))
			case loop.IsLate(err):
				c.Send(op, []byte("late"))
			default:
				c.Send(op, []byte(loop.PublicReason(err)))
			}
		}
		if !loop.Present(c, string(p), 5*time.Second, told) {
			c.Send(op, []byte("nobody to ask"))
		}
	}}}
	questions := asking(&cfg)
	ask := cfg.Authorize
	cfg.Authorize = func(ctx context.Context, req *auth.Request) (auth.Grant, error) {
		if req.Header.Get("Authorization") == "" && len(req.Protocols) > 0 {
			return auth.Grant{}, auth.ErrAuthLater
		}
		if len(req.Protocols) == 0 { // who is known already
			return auth.Grant{}, nil
		}
		return ask(ctx, req)
	}
	if change != nil {
		change(&cfg)
	}
	return openLoops(t, loops, cfg, slog.New(slog.DiscardHandler)), questions
}

// dialLater is dial without a token.
func (h *house) dialLater(t *testing.T) *peer {
	t.Helper()
	p := h.connect(t)
	p.Put(request("Sec-WebSocket-Protocol: other, later"))
	if got := p.WantSwitch()["Sec-WebSocket-Protocol"]; got != "later" {
		t.Fatalf("subprotocol %q", got)
	}
	return p
}

// says sends a message and reads one.
func (p *peer) says(send, want string) {
	p.t.Helper()
	p.Put(text(send))
	p.WantMessage(frame.Text, want)
}

// TestR32AuthLate: a connection whose token is not accepted within 10 s is closed, whether it came or
// not, and whatever else the client does.
func TestR32AuthLate(t *testing.T) {
	for _, sent := range []bool{false, true} {
		h, questions := awaiting(t, 1, func(cfg *loop.DoorConfig) { cfg.Limits.HandshakeTimeout = -1 })
		p := h.dialLater(t)
		var q question
		if sent {
			p.Put(text("token"))
			q = receive(t, "Authorize is asked", questions)
		}
		h.eng.Advance(9 * time.Second)
		p.Put(masked(0b1_000_1001, []byte("ping")))
		p.WantMessage(frame.Pong, "ping")
		p.says("?", " <nil> [] true")
		h.eng.Advance(1100 * time.Millisecond)
		if reason := p.CloseFrame(frame.CloseAuthTimeout); reason != "no authorization in time" {
			t.Errorf("sent %t: reason %q", sent, reason)
		}
		if sent { // it is told before the connection has ended
			receive(t, "Authorize is told", q.ctx.Done())
			q.answer <- grant(auth.Grant{Principal: auth.Principal{Key: "ann"}})
		}
		p.Put(closing(1000, ""))
		p.WantEnd()
	}
}

// TestR32AuthRefreshMovesExpiry: a fresh token has the connection closed later, earlier or never, and
// the time for the first one ends with it.
func TestR32AuthRefreshMovesExpiry(t *testing.T) {
	h, questions := awaiting(t, 1, func(cfg *loop.DoorConfig) { cfg.Limits = untimed })
	p := h.dialLater(t)
	for i, step := range []struct {
		lives, then time.Duration // 0: for ever
	}{
		{20 * time.Second, 15 * time.Second},
		{time.Minute, 30 * time.Second}, // it would have ended after 20 s
		{0, time.Hour},
		{time.Minute, 50 * time.Second},
	} {
		p.Put(text("token"))
		g := auth.Grant{Principal: auth.Principal{Key: "ann", Value: i}, Values: []any{"step", i}}
		if step.lives > 0 {
			g.Principal.ExpiresAt = time.Now().Add(step.lives)
		}
		receive(t, "Authorize is asked", questions).answer <- grant(g)
		p.WantMessage(frame.Text, "accepted")
		h.eng.Advance(step.then)
		p.says("?", fmt.Sprintf("ann %d [step %d] false", i, i))
	}
	h.eng.Advance(11 * time.Second)
	if reason := p.WantGoodbye(frame.CloseExpired); reason != "authorization expired" {
		t.Errorf("reason %q", reason)
	}
}

// TestR32AuthOneAtATime: while Authorize is asked about a token, another is not taken; and it is not
// asked where there is nobody to ask about.
func TestR32AuthOneAtATime(t *testing.T) {
	h, questions := awaiting(t, 1, nil)
	p := h.dialLater(t)
	p.Put(text("one"))
	q := receive(t, "Authorize is asked", questions)
	p.says("two", "nobody to ask")
	q.answer <- grant(auth.Grant{Principal: auth.Principal{Key: "ann"}})
	p.WantMessage(frame.Text, "accepted")
	p.HangUp()
	known := h.dial(t)
	known.says("one", "nobody to ask")
	known.says("?", " <nil> [] false")
	known.HangUp()
}

// TestR32AuthHangs: a fresh token that nobody judges in time changes nothing, and what is said of it
// afterwards neither.
func TestR32AuthHangs(t *testing.T) {
	h, questions := awaiting(t, 1, func(cfg *loop.DoorConfig) {
		cfg.Handler.(*handler).message = func(c *loop.Conn, op frame.Opcode, p []byte) {
			within := loop.AuthTime
			if string(p) == "hangs" {
				within = time.Millisecond
			}
			loop.Present(c, string(p), within, func(err error) {
				who, _ := loop.GrantOf(c)
				c.Send(op, fmt.Append(nil, loop.IsLate(err), " ", who.Value))
			})
		}
	})
	p := h.dialLater(t)
	for _, token := range []string{"one", "hangs", "two"} {
		p.Put(text(token))
		q := receive(t, "Authorize is asked", questions)
		g := grant(auth.Grant{Principal: auth.Principal{Key: "ann", Value: token}})
		if token == "hangs" {
			p.WantMessage(frame.Text, "true one")
		}
		q.answer <- g
		if token != "hangs" {
			p.WantMessage(frame.Text, "false "+token)
		}
	}
	p.HangUp()
}

// TestR32AuthInParallel: tokens are judged by the same judges as requests, 256 at a time.
func TestR32AuthInParallel(t *testing.T) {
	const conns, most = 600, 256
	var now, peak atomic.Int64
	gate := make(chan struct{})
	h, _ := awaiting(t, 1, func(cfg *loop.DoorConfig) {
		door := cfg.Authorize
		cfg.Authorize = func(ctx context.Context, req *auth.Request) (g auth.Grant, err error) {
			token := req.Header.Get("Authorization")
			if token == "" {
				return door(ctx, req)
			}
			n := now.Add(1)
			defer now.Add(-1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			<-gate
			g.Principal.Key = token
			return g, nil
		}
	})
	var peers []*peer
	for range conns {
		peers = append(peers, h.dialLater(t))
	}
	for i, p := range peers {
		p.Put(text(fmt.Sprint(i)))
	}
	await(t, "as many as may are asked, the others wait", func() bool { return now.Load() == most && h.door.Waiting() == conns-most })
	for _, p := range peers[:50] { // who goes while it waits is forgotten, or judged in vain
		p.Reset()
	}
	await(t, "they are gone", func() bool { return h.door.Slots().Used() == conns-50 })
	close(gate)
	for i, p := range peers[50:] {
		p.WantMessage(frame.Text, "accepted")
		p.says("?", fmt.Sprintf("Bearer %d <nil> [] false", i+50))
		p.HangUp()
	}
	if p := peak.Load(); p != most {
		t.Errorf("%d at once, want %d", p, most)
	}
}

// TestR32AuthThatDoesNotReturn: a panic and runtime.Goexit refuse one token.
func TestR32AuthThatDoesNotReturn(t *testing.T) {
	h, questions := awaiting(t, 1, nil)
	p := h.dialLater(t)
	for range 3 {
		p.Put(text("token"))
		receive(t, "Authorize is asked", questions).answer <- func() (auth.Grant, error) { panic("in Authorize") }
		p.WantMessage(frame.Text, "the server failed")
	}
	p.Put(text("token"))
	receive(t, "Authorize is asked", questions).answer <- func() (auth.Grant, error) { return auth.Grant{}, errors.New("secret") }
	p.WantMessage(frame.Text, "refused")
	p.Put(text("token"))
	receive(t, "Authorize is asked", questions).answer <- grant(auth.Grant{Principal: auth.Principal{Key: "ann"}})
	p.WantMessage(frame.Text, "accepted")
	p.HangUp()
}

// TestR32AuthHeld: what is kept of a request to ask again is in the ledger, and a large message is
// refused by its first bytes.
func TestR32AuthHeld(t *testing.T) {
	h, _ := awaiting(t, 1, nil)
	p := h.connect(t)
	p.Put(request("Sec-WebSocket-Protocol: later", "X-Large: "+strings.Repeat("x", 5000)))
	p.WantSwitch()
	await(t, "the request is counted", func() bool { return h.eng.Held() > 5000 })
	held := h.eng.Held()
	p.Put([]byte{0b1_000_0001, 0b1_1111111, 0, 0, 0, 0, 0, 0x10, 0, 0}) // 1 MiB will come
	if held := h.eng.Held() - held; held > 0 {
		t.Errorf("%d bytes more are held", held)
	}
	p.Put([]byte{1, 2, 3, 4}) // its mask
	if reason := p.CloseFrame(frame.CloseAuthTimeout); reason != "message is too big before authorization" {
		t.Errorf("reason %q", reason)
	}
	p.Close()
	await(t, "nothing is held", func() bool { return h.eng.Held() == 0 })
	// So is one that comes byte by byte.
	p = h.dialLater(t)
	p.putApart(eachByte(testkit.Text(strings.Repeat("x", 20<<10))[:9])...)
	p.CloseFrame(frame.CloseAuthTimeout)
	p.Close()
}

// TestR32AuthOnBlockedLoop: a connection that is nobody's yet stays so when it goes to another loop
// than the one that does not take it.
func TestR32AuthOnBlockedLoop(t *testing.T) {
	block, blocked := make(chan struct{}), make(chan struct{}, 1)
	release := sync.OnceFunc(func() { close(block) })
	h, questions := awaiting(t, 2, func(cfg *loop.DoorConfig) {
		known := cfg.Handler.(*handler)
		present := known.message
		known.message = func(c *loop.Conn, op frame.Opcode, p []byte) {
			if string(p) == "block" {
				blocked <- struct{}{}
				<-block
			}
			present(c, op, p)
		}
	})
	t.Cleanup(release)
	srv := httptest.NewServer(h.door)
	defer srv.Close()
	stuck := h.dial(t)
	stuck.Put(text("block"))
	receive(t, "the handler blocks", blocked)
	var peers []*peer
	for range 6 { // some of them to the loop that is not known to be blocked yet
		p := &peer{testkit.Connect(t, srv.Listener.Addr().String(), 0), t, h}
		p.Put(request("Sec-WebSocket-Protocol: later"), text("?"))
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.WantSwitch()
		p.WantMessage(frame.Text, " <nil> [] true")
		p.Put(text("token"))
		receive(t, "Authorize is asked", questions).answer <- grant(auth.Grant{Principal: auth.Principal{Key: "ann"}})
		p.WantMessage(frame.Text, "accepted")
		p.says("?", "ann <nil> [] false")
	}
	release()
	stuck.WantMessage(frame.Text, "nobody to ask")
	for _, p := range append(peers, stuck) { // the loop that was blocked lets go of them
		p.HangUp()
	}
}

// TestR32AuthCloseIsFirst: what Authorize grants is for nobody where Close was called before the loop
// has seen it.
func TestR32AuthCloseIsFirst(t *testing.T) {
	block, blocked := make(chan struct{}), make(chan struct{})
	awaits := make(chan bool, 2)
	h, questions := awaiting(t, 1, func(cfg *loop.DoorConfig) {
		known := cfg.Handler.(*handler)
		present := known.message
		known.message = func(c *loop.Conn, op frame.Opcode, p []byte) {
			if string(p) == "block" {
				close(blocked)
				<-block
			}
			present(c, op, p)
		}
		known.gone = func(c *loop.Conn, _ *loop.CloseError) { awaits <- loop.AwaitsToken(c) }
	})
	p := h.dialLater(t)
	p.Put(text("token"))
	q := receive(t, "Authorize is asked", questions)
	stuck := h.dial(t)
	stuck.Put(text("block"))
	receive(t, "the loop is blocked", blocked)
	h.door.Slots().Each(func(c *loop.Conn) { c.Close(frame.CloseGoingAway, "") })
	q.answer <- grant(auth.Grant{Principal: auth.Principal{Key: "ann"}})
	await(t, "Authorize has answered", func() bool { return h.door.Judging() == 0 })
	close(block)
	p.WantGoodbye(frame.CloseGoingAway)
	if !receive(t, "the connection is gone", awaits) {
		t.Error("it is somebody's")
	}
	stuck.WantGoodbye(frame.CloseGoingAway)
}
