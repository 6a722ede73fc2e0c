package loop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
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

// question is what Authorize is asked; the test answers.
type question struct {
	ctx    context.Context
	req    *auth.Request
	answer chan func() (auth.Grant, error)
}

// grant is an answer that lets in.
func grant(g auth.Grant) func() (auth.Grant, error) {
	return func() (auth.Grant, error) { return g, nil }
}

// asking makes the config's Authorize ask the test.
func asking(cfg *loop.DoorConfig) <-chan question {
	questions := make(chan question, 10)
	cfg.Authorize = func(ctx context.Context, req *auth.Request) (auth.Grant, error) {
		q := question{ctx, req, make(chan func() (auth.Grant, error), 1)}
		questions <- q
		return (<-q.answer)()
	}
	return questions
}

func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	return testkit.Receive(t, what, ch)
}

// TestAuthorizeInParallel: of 5,000 requests that come at once, 256 are judged at a time and none is
// refused.
func TestAuthorizeInParallel(t *testing.T) {
	const conns, most = 5000, 256
	var now, peak, asked atomic.Int64
	gate := make(chan struct{})
	h := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.Authorize = func(context.Context, *auth.Request) (g auth.Grant, err error) {
			n := now.Add(1)
			defer now.Add(-1)
			for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
			}
			asked.Add(1)
			<-gate
			return g, nil
		}
	})
	peers := make([]net.Conn, conns)
	for i := range peers {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		peers[i] = nc
		if _, err := nc.Write(request()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "every request has been read", func() bool { return h.eng.BytesIn() == uint64(conns*len(request())) })
	await(t, "as many as may are asked", func() bool { return asked.Load() == most })
	if n := h.door.Slots().Used(); n != conns {
		t.Errorf("%d slots taken", n)
	}
	close(gate)
	for i, nc := range peers {
		nc.SetDeadline(time.Now().Add(testkit.Patience))
		head := make([]byte, len("HTTP/1.1 101"))
		if _, err := io.ReadFull(nc, head); err != nil || string(head) != "HTTP/1.1 101" {
			t.Fatalf("connection %d: %q, %v", i, head, err)
		}
		nc.Close()
	}
	if p := peak.Load(); p != most {
		t.Errorf("%d at once, want %d", p, most)
	}
}

// TestAuthorizeHangs: requests that wait for it are forgotten when nobody waits for them any more.
func TestAuthorizeHangs(t *testing.T) {
	const most = 256
	asked, gate := make(chan struct{}, most), make(chan struct{})
	h := serveWire(t, &handler{}, func(cfg *loop.DoorConfig) {
		cfg.Authorize = func(context.Context, *auth.Request) (g auth.Grant, err error) {
			asked <- struct{}{}
			<-gate
			return g, nil
		}
	})
	t.Cleanup(func() { close(gate) })
	for range most {
		h.connect(t).Put(request())
		receive(t, "Authorize is asked", asked)
	}
	for range 3 {
		var peers []*peer
		for i := range 20 {
			p := h.connect(t)
			p.Put(request())
			await(t, "it waits", func() bool { return h.door.Waiting() == i+1 })
			peers = append(peers, p)
		}
		for _, p := range peers {
			p.Reset()
		}
		await(t, "they are gone", func() bool { return h.door.Slots().Used() == most })
	}
}

// TestJudging: what can happen to a connection while Authorize is asked. Whatever it answers then
// matters to nobody.
func TestJudging(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(t *testing.T, h *house, p *peer)
		status  int // 0: the connection just ends
	}{
		"the peer hangs up": {func(_ *testing.T, _ *house, p *peer) { p.Close() }, 0},
		"the peer resets":   {func(_ *testing.T, _ *house, p *peer) { p.Reset() }, 0},
		"Close": {func(_ *testing.T, h *house, _ *peer) {
			h.door.Slots().Each(func(c *loop.Conn) { c.Close(frame.CloseGoingAway, "") })
		}, 0},
		"the deadline": {func(_ *testing.T, h *house, _ *peer) { h.eng.Advance(6 * time.Second) }, 503},
		"too much": {func(_ *testing.T, _ *house, p *peer) {
			p.Put(make([]byte, 16<<10))
			p.Put(make([]byte, 1))
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := loop.DoorConfig{Handler: &handler{}}
			questions := asking(&cfg)
			h := open(t, cfg)
			p := h.connect(t)
			p.Put(request())
			q := receive(t, "Authorize is asked", questions)
			tt.happens(t, h, p)
			select {
			case <-q.ctx.Done():
			case <-time.After(testkit.Patience):
				t.Error("Authorize was not told")
			}
			if tt.status != 0 {
				if status, fields := p.Head(); status != tt.status || fields["Connection"] != "close" {
					t.Errorf("got status %d, %v", status, fields)
				}
				p.Close()
			}
			await(t, "the slot is free", func() bool { return h.door.Slots().Used() == 0 })
			q.answer <- grant(auth.Grant{})
			h.dialJudged(t, questions).HangUp() // the next one finds everything as it was
		})
	}
}

// dialJudged is dial with a verdict.
func (h *house) dialJudged(t *testing.T, questions <-chan question) *peer {
	t.Helper()
	p := h.connect(t)
	p.Put(request())
	receive(t, "Authorize is asked", questions).answer <- grant(auth.Grant{})
	p.WantSwitch()
	return p
}

// TestJudgingWhileTheDoorStops: who is being judged then is told so, and Authorize is told.
func TestJudgingWhileTheDoorStops(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}}
	questions := asking(&cfg)
	h := open(t, cfg)
	p := h.connect(t)
	p.Put(request())
	q := receive(t, "Authorize is asked", questions)
	h.door.StopAccepting()
	<-q.ctx.Done()
	q.answer <- func() (auth.Grant, error) { return auth.Grant{}, q.ctx.Err() }
	p.WantRefusal(503)
}

// TestAtRestWhenJudged: of being judged nothing stays with the connection.
func TestAtRestWhenJudged(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{message: func(c *loop.Conn, op frame.Opcode, _ []byte) {
		c.Send(op, fmt.Append(nil, c.AtRest()))
	}}}
	questions := asking(&cfg)
	p := open(t, cfg).dialJudged(t, questions)
	p.Put(text("?"))
	p.WantMessage(frame.Text, "true")
}

// TestEarlyBytes: what a client sends while it is judged reaches the handler once and in order,
// however it is cut, and the peer hears nothing before the verdict.
func TestEarlyBytes(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}}
	questions := asking(&cfg)
	h := open(t, cfg)
	frames := join(text("one"), text(strings.Repeat("x", 10_000)), text("three"))
	for _, cut := range []int{0, 1, 7, 5000, len(frames)} {
		p := h.connect(t)
		p.Put(request(), frames[:cut])
		q := receive(t, "Authorize is asked", questions)
		p.putApart(frames[cut:])
		q.answer <- grant(auth.Grant{})
		p.WantSwitch()
		p.WantMessage(frame.Text, "one")
		p.WantMessage(frame.Text, strings.Repeat("x", 10_000))
		p.WantMessage(frame.Text, "three")
		p.HangUp()
	}
}

// TestAuthorizeThatDoesNotReturn: a panic and runtime.Goexit refuse one request, and the judges go
// on, the one whose goroutine has ended included.
func TestAuthorizeThatDoesNotReturn(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}}
	questions := asking(&cfg)
	h := open(t, cfg)
	for name, end := range map[string]func() (auth.Grant, error){
		"panic":  func() (auth.Grant, error) { panic("in Authorize") },
		"Goexit": func() (auth.Grant, error) { runtime.Goexit(); return auth.Grant{}, nil },
	} {
		for range 300 { // more than there are judges
			p := h.connect(t)
			p.Put(request())
			receive(t, "Authorize is asked", questions).answer <- end
			if status, _ := p.Head(); status != 500 {
				t.Fatalf("%s: got status %d", name, status)
			}
			p.Close()
		}
	}
	if n := h.stats().Panics; n != 300 {
		t.Errorf("%d panics counted", n)
	}
	h.dialJudged(t, questions).HangUp()
}

// TestRequest: what Authorize is given is a copy of the head.
func TestRequest(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}, Path: "/a%20b/ws"}
	questions := asking(&cfg)
	h := open(t, cfg)
	p := h.connect(t)
	p.Put([]byte(strings.Replace(string(request("authorization: Bearer x", "X-Two: 1", "x-two: 2", "Sec-WebSocket-Protocol: a, b")), "/ws", "/a%20b/ws?q=%20", 1)))
	q := receive(t, "Authorize is asked", questions)
	p.putApart(make([]byte, 5000)) // over the buffer of the head
	r := q.req
	got := fmt.Sprint(r.Method, r.Path, r.RawQuery, r.Host, r.Scheme, r.Header.Get("AUTHORIZATION"), r.Header["X-Two"], r.Protocols, r.Header["Host"])
	if want := fmt.Sprint("GET", "/a b/ws", "q=%20", "localhost", "http", "Bearer x", []string{"1", "2"}, []string{"a", "b"}, []string(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Remote.String() != p.LocalAddr().String() {
		t.Errorf("from %s, want %s", r.Remote, p.LocalAddr())
	}
	q.answer <- func() (auth.Grant, error) { return auth.Grant{}, errors.New("no") }
	p.WantRefusal(403)
}

// TestGrant: what a grant says holds, and one that makes no sense refuses.
func TestGrant(t *testing.T) {
	type key struct{}
	var infos sync.Map
	cfg := loop.DoorConfig{Protocols: []string{"x", "y"}, Handler: &handler{open: func(c *loop.Conn) {
		infos.Store(c.Info().Principal.Key, []any{c.User(), c.Info().Protocol, c.Values()})
		c.SetUser("mine")
		c.Send(frame.Text, []byte(fmt.Sprint(c.User())))
	}}}
	questions := asking(&cfg)
	h := open(t, cfg)
	for name, tt := range map[string]struct {
		grant    auth.Grant
		status   int
		protocol string
	}{
		"nothing":           {auth.Grant{}, 101, "x"},
		"protocol":          {auth.Grant{Protocol: "z"}, 101, "z"},
		"protocol unasked":  {auth.Grant{Protocol: "w"}, 500, ""},
		"header":            {auth.Grant{Header: http.Header{"Set-Cookie": {"a=b"}}}, 101, "x"},
		"header reserved":   {auth.Grant{Header: http.Header{"upgrade": {"h2c"}}}, 500, ""},
		"header bad":        {auth.Grant{Header: http.Header{"X": {"a\r\nb: c"}}}, 500, ""},
		"values":            {auth.Grant{Values: []any{key{}, 1}}, 101, "x"},
		"values odd":        {auth.Grant{Values: []any{key{}}}, 500, ""},
		"expired":           {auth.Grant{Principal: auth.Principal{ExpiresAt: time.Now().Add(-time.Second)}}, 401, ""},
		"expires in a year": {auth.Grant{Principal: auth.Principal{ExpiresAt: time.Now().AddDate(1, 0, 0)}}, 101, "x"},
		"expires too late":  {auth.Grant{Principal: auth.Principal{ExpiresAt: time.Now().AddDate(200, 0, 0)}}, 101, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			p := h.connect(t)
			p.Put(request("Sec-WebSocket-Protocol: z, y, x"))
			tt.grant.Principal.Key, tt.grant.Principal.Value = name, 7
			receive(t, "Authorize is asked", questions).answer <- grant(tt.grant)
			if tt.status != 101 {
				p.WantRefusal(tt.status)
				return
			}
			fields := p.WantSwitch()
			if fields["Sec-WebSocket-Protocol"] != tt.protocol || fields["Set-Cookie"] != tt.grant.Header.Get("Set-Cookie") {
				t.Errorf("got %v", fields)
			}
			p.WantMessage(frame.Text, "mine")
			got, _ := infos.Load(name)
			if want := fmt.Sprint([]any{7, tt.protocol, tt.grant.Values}); fmt.Sprint(got) != want {
				t.Errorf("got %v, want %v", got, want)
			}
			p.HangUp()
		})
	}
}

// TestExpiry: the connection of a principal that expires is closed with a code of its own, whatever
// it does.
func TestExpiry(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}}
	cfg.Authorize = func(_ context.Context, req *auth.Request) (g auth.Grant, err error) {
		if req.RawQuery == "short" {
			g.Principal.ExpiresAt = time.Now().Add(time.Minute)
		}
		return g, nil
	}
	h := open(t, cfg)
	p := h.connect(t)
	p.Put([]byte(strings.Replace(string(request()), "/ws", "/ws?short", 1)))
	p.WantSwitch()
	for range 3 {
		h.step(t, 15*time.Second)
		p.Put(text("busy"))
		p.WantMessage(frame.Text, "busy")
	}
	h.step(t, 16*time.Second)
	if reason := p.WantGoodbye(frame.CloseExpired); reason != "authorization expired" {
		t.Errorf("reason %q", reason)
	}
}

// TestConnQuotas: places are counted by principal and by network, and given back however a
// connection ends, also when it was never let in.
func TestConnQuotas(t *testing.T) {
	cfg := loop.DoorConfig{Handler: &handler{}, Quotas: loop.Quotas{ConnsPerPrincipal: 2, ConnsPerNetwork: 3}}
	cfg.Authorize = func(_ context.Context, req *auth.Request) (g auth.Grant, err error) {
		g.Principal.Key = req.RawQuery
		if g.Principal.Key == "nobody" {
			return g, &auth.RefusedError{Status: 401}
		}
		return g, nil
	}
	h := open(t, cfg)
	ask := func(who, ip string) (*testkit.Peer, int) {
		p := testkit.Attach(t, dialFrom(t, ip, h.addr))
		p.Put([]byte(strings.Replace(string(request()), "/ws", "/ws?"+who, 1)))
		status, _ := p.Head()
		if status != 101 {
			p.Close()
		}
		return p, status
	}
	for range 3 {
		var in []*testkit.Peer
		for _, step := range []struct {
			who, ip string
			status  int
		}{
			{"ann", "127.0.1.1", 101},
			{"ann", "127.0.2.1", 101},
			{"ann", "127.0.3.1", 429}, // her third
			{"nobody", "127.0.1.2", 401},
			{"bob", "127.0.1.2", 101},
			{"", "127.0.1.3", 101}, // anonymous, and the network's third
			{"eve", "127.0.1.4", 429},
			{"", "127.0.4.1", 101},
		} {
			p, status := ask(step.who, step.ip)
			if status != step.status {
				t.Fatalf("%s from %s: got status %d, want %d", step.who, step.ip, status, step.status)
			}
			if status == 101 {
				in = append(in, p)
			}
		}
		for i, p := range in {
			if i == 1 {
				p.Reset()
			} else {
				p.HangUp()
			}
		}
		await(t, "all are gone", func() bool { return h.door.Slots().Used() == 0 })
	}
	if r := h.door.Refusals(); r.ConnQuota != 6 || r.Authorize != 3 {
		t.Errorf("%+v", r)
	}
}
