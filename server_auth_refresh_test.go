package agloop_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// over waits until the context of a question has ended.
func (q *tokenQuestion) over(t *testing.T) {
	t.Helper()
	testkit.Receive(t, "Authorize is told that nobody waits", q.ctx.Done())
}

// TestR32AuthTwice: the second is asked about when the first is answered, and is a refresh.
func TestR32AuthTwice(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	for _, second := range []string{"ann", "bob"} {
		v := l.comes()
		v.auth("1", "first")
		v.auth("2", "second")
		q := l.asked()
		if q.token != "first" || len(l.questions) != 0 {
			t.Errorf("asked about %s, and %d more", q.token, len(l.questions))
		}
		q.grants("ann")
		l.asked().grants(second)
		if second != "ann" {
			v.want(control.NameRejected, &control.Rejected{Ref: "2", Code: control.CodeAuth})
		}
		v.alive()
		value := map[string]string{"ann": "second", "bob": "first"}[second]
		if list := l.srv.Peer("ann").Conns(); len(list) != 1 || list[0].Principal.Value != value || l.srv.Peers() != 1 {
			t.Errorf("%s: ann has %+v", second, list)
		}
		v.HangUp()
		l.empties()
	}
	want := strings.ReplaceAll("+ann first agloop.v1.json, -ann second 1000, +ann first agloop.v1.json, -ann first 1000", control.Protocol, wireProtocol())
	testkit.Await(t, "hooks are told", func() bool { return l.hooks() == want })
}

// TestR32AuthWhileItEnds: whatever ends a connection while Authorize is asked, what that says matters
// to nobody, and nothing is left.
func TestR32AuthWhileItEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		happens func(l *latecomers, v *viewer)
		closed  bool // by the server
		code    frame.CloseCode
	}{
		"the client resets":   {func(_ *latecomers, v *viewer) { v.Reset() }, false, agloop.CloseAbnormal},
		"the client hangs up": {func(_ *latecomers, v *viewer) { v.HangUp() }, false, agloop.CloseNormal},
		"Close": {func(l *latecomers, _ *viewer) {
			l.srv.Conns(func(c *agloop.Conn) { c.Close(agloop.ClosePolicy, "out") })
		}, true, agloop.ClosePolicy},
		"Shutdown": {func(l *latecomers, _ *viewer) {
			down := make(chan error, 1)
			go func() { down <- l.srv.Shutdown(context.Background()) }()
			l.t.Cleanup(func() {
				if err := testkit.Receive(l.t, "Shutdown", down); err != nil {
					l.t.Error(err)
				}
			})
		}, true, agloop.CloseGoingAway},
	} {
		for _, refresh := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", refresh ", refresh), func(t *testing.T) {
				l := serveLater(t, agloop.ServerConfig{
					Quotas: agloop.Quotas{ConnsPerPrincipal: 1},
					Limits: agloop.Limits{CloseTimeout: time.Hour}, // Authorize is told before the client answers
				})
				var v *viewer
				var want []string
				if refresh {
					v = l.joins("ann", "first")
					want = append(want, "+ann first "+wireProtocol(), fmt.Sprint("-ann first ", tt.code))
				} else {
					v = l.comes()
				}
				v.auth("b", "second")
				v.start("1", namedInput("t", "r"))
				q := l.asked()
				tt.happens(l, v)
				if tt.closed {
					f := v.Frame()
					for ; f.Head != 0b1_000_1000; f = v.Frame() { // going comes first, and what is rejected
					}
					if got := testkit.ShowClose(f.Payload); !strings.HasPrefix(got, fmt.Sprint(tt.code)) {
						t.Errorf("closed with %s", got)
					}
					q.over(t)
					v.Put(testkit.Closing(1000, ""))
				}
				q.over(t)
				q.grants("ann")
				l.empties()
				if name != "Shutdown" {
					l.joins("ann", "third").HangUp() // her place is free
					l.empties()
					want = append(want, "+ann third "+wireProtocol(), "-ann third 1000")
				}
				testkit.Await(t, "hooks are told", func() bool { return l.hooks() == strings.Join(want, ", ") })
				if l.srv.RunsTaken() != 0 || l.log.count("level=ERROR") != 0 {
					t.Errorf("%d runs, log %s", l.srv.RunsTaken(), l.log.b.String())
				}
			})
		}
	}
}

// TestR32AuthKick: who is kicked while a fresh token is judged is out.
func TestR32AuthKick(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	v := l.joins("ann", "first")
	v.auth("b", "second")
	q := l.asked()
	if n := l.srv.Peer("ann").Kick(agloop.ClosePolicy, "out"); n != 1 {
		t.Errorf("%d are kicked", n)
	}
	q.over(t)
	q.grants("ann")
	if reason := v.WantGoodbye(agloop.ClosePolicy); reason != "out" {
		t.Errorf("reason %q", reason)
	}
	l.empties()
	want := strings.ReplaceAll("+ann first agloop.v1.json, -ann first 1008", control.Protocol, wireProtocol())
	testkit.Await(t, "hooks are told", func() bool { return l.hooks() == want })
}

// TestR32AuthRefresh: a fresh token replaces what was granted, for what comes; what is refused changes
// nothing, and the connection stays.
func TestR32AuthRefresh(t *testing.T) {
	w := newWriter("r1", "r2")
	seen := make(chan string, 10)
	write := w.agent()
	l := serveLater(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		seen <- fmt.Sprint(r.Input.RunID, " ", r.Principal.Value, " ", r.Value("token"))
		return write.Run(ctx, r)
	})})
	v := l.joins("ann", "one")
	v.start("1", namedInput("t", "r1"))
	v.await("TEXT_MESSAGE_START")
	v.auth("b", "two")
	l.asked().grants("ann")
	v.start("2", namedInput("t2", "r2"))
	v.await("TEXT_MESSAGE_START")
	w.end("r1")
	w.end("r2")
	v.ends()
	v.ends()
	for _, want := range []string{"r1 one one", "r2 two two"} {
		if got := testkit.Receive(t, "a run", seen); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for name, answer := range map[string]func() (agloop.Grant, error){
		"another's": func() (agloop.Grant, error) { return agloop.Grant{Principal: agloop.Principal{Key: "bob"}}, nil },
		"nobody's":  func() (agloop.Grant, error) { return agloop.Grant{}, nil },
		"refused":   func() (agloop.Grant, error) { return agloop.Grant{}, &agloop.RefusedError{Reason: "no"} },
		"odd values": func() (agloop.Grant, error) {
			return agloop.Grant{Principal: agloop.Principal{Key: "ann"}, Values: []any{1}}, nil
		},
		"expired": func() (agloop.Grant, error) {
			return agloop.Grant{Principal: agloop.Principal{Key: "ann", ExpiresAt: time.Unix(1, 0)}}, nil
		},
	} {
		v.auth(name, "three")
		l.asked().answer <- answer
		v.want(control.NameRejected, &control.Rejected{Ref: name, Code: control.CodeAuth})
		v.alive()
		if list := l.srv.Peer("ann").Conns(); len(list) != 1 || list[0].Principal.Value != "two" || l.srv.Peers() != 1 {
			t.Errorf("%s: ann has %+v", name, list)
		}
	}
	// One that expires at once ends the connection by itself.
	v.auth("c", "four")
	l.asked().answer <- func() (agloop.Grant, error) {
		return agloop.Grant{Principal: agloop.Principal{Key: "ann", ExpiresAt: time.Now().Add(10 * time.Millisecond), Value: "four"}}, nil
	}
	if reason := v.WantGoodbye(agloop.CloseExpired); reason != "authorization expired" {
		t.Errorf("reason %q", reason)
	}
	l.empties()
	want := strings.ReplaceAll("+ann one agloop.v1.json, -ann four 4011", control.Protocol, wireProtocol())
	testkit.Await(t, "hooks are told", func() bool { return l.hooks() == want })
}

// TestR32AuthRefreshOfTheField: who was let in by a field of its request sends fresh tokens in the
// same way.
func TestR32AuthRefreshOfTheField(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	first := make(chan *tokenQuestion, 1)
	go func() {
		q := l.asked()
		q.grants("ann")
		first <- q
	}()
	v := newViewer(t, l.addr, "Bearer one")
	if v.hello.Secret != "" || l.srv.Peer("ann").Count() != 1 {
		t.Errorf("hello %+v", v.hello)
	}
	v.auth("a", "two")
	q := l.asked()
	if got := q.req.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer two" {
		t.Errorf("asked with %q", got)
	}
	if got := (<-first).req.Header.Get("Authorization"); got != "Bearer one" { // the host may have kept it
		t.Errorf("the first request has %q now", got)
	}
	q.grants("ann")
	v.alive()
	if list := l.srv.Peer("ann").Conns(); len(list) != 1 || list[0].Principal.Value != "two" {
		t.Errorf("ann has %+v", list)
	}
	v.HangUp()
	l.empties()
}

// TestR32AuthLate: what nobody said anything about in time is no refusal.
func TestR32AuthLate(t *testing.T) {
	base, end := context.WithCancel(t.Context())
	l := serveLater(t, agloop.ServerConfig{BaseContext: base})
	fresh, known := l.comes(), l.joins("ann", "one")
	fresh.auth("a", "two")
	first := l.asked()
	known.auth("b", "three")
	second := l.asked()
	for q, most := range map[*tokenQuestion]time.Duration{first: 10 * time.Second, second: 5 * time.Second} {
		within, ok := q.ctx.Deadline()
		if left := time.Until(within); !ok || left > most || left <= 0 {
			t.Errorf("%v for %s", left, q.token)
		}
	}
	end() // as if the time were up
	if reason := fresh.WantGoodbye(agloop.CloseAuthTimeout); reason != "authorization took too long" {
		t.Errorf("reason %q", reason)
	}
	known.want(control.NameRejected, &control.Rejected{Ref: "b", Code: control.CodeTimeout})
	first.grants("eve")
	second.grants("ann")
	if list := l.srv.Peer("ann").Conns(); len(list) != 1 || list[0].Principal.Value != "one" || l.srv.Peers() != 1 {
		t.Errorf("ann has %+v", list)
	}
	known.HangUp()
	l.empties()
	if n := l.srv.Stats().Refusals.Authorize; n != 0 {
		t.Errorf("%d are refused", n)
	}
}

// TestR32AuthWhileItDrains: a server that shuts down asks nobody, and lets runs go on.
func TestR32AuthWhileItDrains(t *testing.T) {
	w := newWriter("r")
	l := serveLater(t, agloop.ServerConfig{Agent: w.agent(), DrainTimeout: testkit.Patience})
	v := l.joins("ann", "one")
	v.start("1", namedInput("t", "r"))
	v.await("TEXT_MESSAGE_START")
	v.auth("b", "two")
	q := l.asked()
	down := make(chan error, 1)
	go func() { down <- l.srv.Shutdown(context.Background()) }()
	q.over(t)
	f := v.next()
	for f.name == control.NameGoing {
		f = v.next()
	}
	if f.name != control.NameRejected || !strings.Contains(string(f.body), run.CodeShutdown) {
		t.Errorf("got %s %s", f.name, f.body)
	}
	q.fails(q.ctx.Err())
	w.end("r")
	v.await("RUN_FINISHED")
	if reason := v.WantGoodbye(agloop.CloseGoingAway); reason != "server shuts down" {
		t.Errorf("reason %q", reason)
	}
	if err := testkit.Receive(t, "Shutdown", down); err != nil {
		t.Error(err)
	}
}

// TestR32AuthOfNobody: an anonymous connection has nothing to refresh, and stays.
func TestR32AuthOfNobody(t *testing.T) {
	_, everybody := serve(t, agloop.ServerConfig{Agent: hello})
	srv, asked := serve(t, agloop.ServerConfig{Agent: hello, Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
		if req.Header.Get("Authorization") != "" {
			t.Error("asked about a token")
		}
		return g, nil
	}})
	for _, addr := range []string{everybody, asked} {
		other, v := newViewer(t, addr, ""), newViewer(t, addr, "")
		v.auth("a", "token")
		v.want(control.NameRejected, &control.Rejected{Ref: "a", Code: control.CodeAuth})
		v.ask(control.NameBind, &control.Bind{Ref: "b", Secret: other.hello.Secret}) // auth may come before it
		v.alive()
		testkit.Await(t, "nothing is held, no request either", func() bool { return srv.Held() == 0 })
		v.HangUp()
		other.HangUp()
	}
}

// TestR32AuthMounted: the connection of a server in net/http comes to the same, early bytes included.
func TestR32AuthMounted(t *testing.T) {
	l, cfg := later(t, agloop.ServerConfig{})
	l.srv = closing(t, agloop.NewServer(cfg))
	l.addr = mount(t, l.srv)
	auth := testkit.Message(wireOpcode(), []byte(`["auth",{"ref":"a","token":"x"}]`))
	for _, early := range []int{0, 5, len(auth)} {
		p := testkit.Connect(t, l.addr, 0)
		p.Put(testkit.Request("Sec-WebSocket-Protocol: "+wireProtocol()), auth[:early])
		p.WantSwitch()
		p.Put(auth[early:])
		v := viewerOf(t, p)
		v.await(control.NameHello)
		q := l.asked()
		if q.ctx.Err() != nil {
			t.Error("its context ended with the request")
		}
		q.grants("ann")
		v.start("1", namedInput("t", fmt.Sprint("r", early)))
		v.await("RUN_FINISHED")
		if l.srv.Peer("ann").Count() != 1 {
			t.Error("ann is not there")
		}
		v.HangUp()
		l.empties()
	}
	p := testkit.Connect(t, l.addr, 0)
	p.Put(testkit.Request())
	if status, fields := p.Head(); status != 401 || fields["Www-Authenticate"] != "Bearer" {
		t.Errorf("got %d, %v", status, fields)
	}
	p.Close()
	l.empties()
}

// TestR32AuthBeside: who a connection is may be read, and its principal kicked, while tokens replace
// it.
func TestR32AuthBeside(t *testing.T) {
	l := serveLater(t, agloop.ServerConfig{})
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case q := <-l.questions:
				q.grants("ann")
			case <-stop:
				return
			}
		}
	})
	beside.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, info := range l.srv.Peer("ann").Conns() {
				if info.Principal.Key != "ann" || info.Principal.Value == nil || info.Path != "/ws" {
					t.Errorf("%+v", info)
				}
			}
		}
	})
	var clients sync.WaitGroup
	for i := range 4 {
		v := l.comes()
		clients.Go(func() {
			for n := range 50 {
				v.auth("a", fmt.Sprint("token ", i, n))
				v.start("", namedInput(fmt.Sprint("t", i), fmt.Sprint("r", i, " ", n)))
				v.await("RUN_FINISHED")
			}
		})
	}
	clients.Wait()
	if n := l.srv.Peer("ann").Kick(agloop.CloseNormal, ""); n != 4 {
		t.Errorf("%d are kicked", n)
	}
	close(stop)
	beside.Wait()
}
