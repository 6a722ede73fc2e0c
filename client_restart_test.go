package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// outcome is how a loop over a run has ended.
type outcome struct {
	run string
	got chronicle
	err error
}

// TestR41ServerRestarts: the next server at that address knows none of the runs. Each is truncated,
// and none begins again by itself.
func TestR41ServerRestarts(t *testing.T) {
	before, after := newTeller(6, 10), newTeller(6, 0)
	_, second := serve(t, agloop.ServerConfig{Agent: after, Logger: quiet})
	srv, first := serve(t, agloop.ServerConfig{Agent: before, Logger: quiet})
	r := newBreaker(t, first)
	c := r.client(t, nil)
	stuck := make(chan outcome, 3)
	var heard atomic.Int64
	for i := range 3 {
		id := fmt.Sprint(i)
		go func() { // its loop lets the agent wait
			o := outcome{run: id}
			for ev, err := range c.Run(t.Context(), inThread("t"+id, id)) {
				if o.err = err; err == nil {
					o.got.hear(ev)
					heard.Add(1)
				}
			}
			stuck <- o
		}()
		testkit.Receive(t, "the agent", before.of("t"+id, id).began)
	}
	followed := make(chan error, 10)
	go func() {
		defer close(followed)
		for _, err := range c.Follow(t.Context(), "t9") {
			followed <- err
		}
	}()
	testkit.Await(t, "all that there is has come", func() bool {
		return before.waiting.Load() == 3 && heard.Load() == 3*10
	})
	r.down() // before the server can say how its runs end, as when its machine fails
	r.moveTo(second)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	r.up()
	for range 3 {
		o := testkit.Receive(t, "the end of a run", stuck)
		if !errors.Is(o.err, agloop.ErrTruncated) || !errors.Is(o.err, agloop.ErrGone) {
			t.Errorf("run %s ended with %v", o.run, o.err)
		}
		if len(o.got.lines) == 0 || after.calls("t"+o.run, o.run) != 0 {
			t.Errorf("run %s heard %d lines, and was begun again %d times", o.run, len(o.got.lines), after.calls("t"+o.run, o.run))
		}
	}
	after.runWhole(t, c, "t0", "another")
	other := r.client(t, func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = c.Secret() })
	after.runWhole(t, other, "t9", "followed")
	select {
	case err := <-followed:
		if err != nil {
			t.Errorf("the follow got %v", err)
		}
	case <-time.After(testkit.Patience):
		t.Error("the follow got nothing")
	}
	c.Close()
	for range followed {
	}
}

// TestR15StartAgain: a start whose answer was lost is sent again to the same server, and the agent is
// called once.
func TestR15StartAgain(t *testing.T) {
	s := newTeller(4, 0)
	for i, way := range []cutWay{cutClosed, cutReset} {
		_, addr := serve(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
		r := newBreaker(t, addr)
		c := r.client(t, nil)
		id := fmt.Sprint(i)
		r.deafen()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.runWhole(t, c, "t", id)
		}()
		testkit.Receive(t, "the agent", s.of("t", id).began)
		r.cutAll(way)
		testkit.Receive(t, "the end", ended)
	}
}

// TestR17StartUnknown: the next server is another one, so nobody knows whether the run began.
func TestR17StartUnknown(t *testing.T) {
	before, after := newTeller(4, 1), newTeller(4, 0)
	_, second := serve(t, agloop.ServerConfig{Agent: after, Logger: quiet})
	srv, first := serve(t, agloop.ServerConfig{Agent: before, Logger: quiet})
	r := newBreaker(t, first)
	c := r.client(t, nil)
	r.deafen()
	ended := make(chan error, 1)
	go func() { _, err := before.hear("t", "r", c.Run(t.Context(), inThread("t", "r"))); ended <- err }()
	testkit.Receive(t, "the agent", before.of("t", "r").began)
	r.moveTo(second)
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	if err := testkit.Receive(t, "the end", ended); !errors.Is(err, agloop.ErrStartUnknown) {
		t.Errorf("the run ended with %v", err)
	}
	if n := after.calls("t", "r"); n != 0 {
		t.Errorf("the other server's agent was called %d times", n)
	}
	after.runWhole(t, c, "t", "r")
}

// TestR41ShutdownIsWaitedFor: a client of a server that goes finishes its runs there, and begins the
// next one at the server that follows.
func TestR41ShutdownIsWaitedFor(t *testing.T) {
	before, after := newTeller(6, 10), newTeller(6, 0)
	_, second := serve(t, agloop.ServerConfig{Agent: after, Logger: quiet})
	srv, first := serve(t, agloop.ServerConfig{Agent: before, Logger: quiet, DrainTimeout: time.Minute})
	r := newBreaker(t, first)
	c := r.client(t, nil)
	asked, goOn := pauses(c)
	var loops sync.WaitGroup
	hold := make(chan struct{})
	for i := range 2 {
		id := fmt.Sprint(i)
		loops.Go(func() {
			tale := before.of("t"+id, id)
			var got chronicle
			var err error
			for ev, e := range c.Run(t.Context(), inThread("t"+id, id)) {
				if err = e; e == nil {
					if got.hear(ev); got.units == 10 {
						<-hold
					}
					tale.advance(got.units)
				}
			}
			before.wantWhole(t, "t"+id, id, got, err)
		})
	}
	testkit.Await(t, "both go on", func() bool { return before.waiting.Load() == 2 })
	r.moveTo(second)
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	testkit.Await(t, "the client is told", func() bool { return c.State().Phase == agloop.ConnGoing })
	late := make(chan struct{})
	go func() {
		defer close(late)
		after.runWhole(t, c, "t", "late")
	}()
	close(hold)
	loops.Wait()
	if err := testkit.Receive(t, "the end of the server", down); err != nil {
		t.Error(err)
	}
	wantPause(t, asked, goOn, time.Second+time.Millisecond)
	testkit.Receive(t, "the run at the next server", late)
	if n := before.calls("t", "late"); n != 0 {
		t.Error("a server that goes has begun a run")
	}
}

// TestR25SecretIsShared: a client that was given the secret of another one joins its runs, others do
// not, and each has them after its connection has ended as well.
func TestR25SecretIsShared(t *testing.T) {
	s := newTeller(6, 0)
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Runs: folding(), Logger: quiet})
	r := newBreaker(t, addr)
	owner := r.client(t, nil)
	s.runWhole(t, owner, "t", "r")
	friend := r.client(t, func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = owner.Secret() })
	stranger := r.client(t, nil)
	for range 3 {
		for _, c := range []*agloop.Client{owner, friend} {
			got, err := s.hear("t", "r", c.Attach(t.Context(), "t", "r", agloop.Cursor{}))
			s.wantWhole(t, "t", "r", got, err)
		}
		if _, err := s.hear("t", "r", stranger.Attach(t.Context(), "t", "r", agloop.Cursor{})); !errors.Is(err, agloop.ErrGone) {
			t.Errorf("a stranger's attach ends with %v", err)
		}
		r.cutAll(cutReset)
	}
	if owner.Secret() != friend.Secret() || owner.Secret() == stranger.Secret() {
		t.Errorf("secrets %q, %q, %q", owner.Secret(), friend.Secret(), stranger.Secret())
	}
}

// TestR41TokenExpires in the middle of runs: the server closes, and the client comes back with a
// fresh one, as the same principal.
func TestR41TokenExpires(t *testing.T) {
	s := newTeller(6, 10)
	asked, seen := make(chan string, 100), make(chan string, 100)
	_, addr := serve(t, agloop.ServerConfig{
		Agent: s, Runs: folding(), Logger: quiet,
		Authorize: func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
			token := req.Header.Get("Authorization")
			seen <- token
			p := agloop.Principal{Key: "ann"}
			if token == "1" {
				p.ExpiresAt = time.Now().Add(20 * time.Millisecond)
			}
			return agloop.Grant{Principal: p}, nil
		},
	})
	r := newBreaker(t, addr)
	tokens := 0
	ends := make(chan *agloop.CloseError, 100)
	c := r.client(t, func(cfg *agloop.ClientConfig) {
		cfg.Auth = func(context.Context) (http.Header, error) {
			tokens++
			token := fmt.Sprint(tokens)
			asked <- token
			return http.Header{"Authorization": {token}}, nil
		}
		cfg.OnState = func(s agloop.ConnState) {
			if why, ok := errors.AsType[*agloop.CloseError](s.Err); ok && s.Phase == agloop.ConnReconnecting && !s.At.IsZero() {
				ends <- why
			}
		}
	})
	var loops sync.WaitGroup
	fresh := make(chan struct{})
	for i := range 3 {
		id := fmt.Sprint(i)
		loops.Go(func() {
			tale := s.of("t"+id, id)
			var got chronicle
			var err error
			for ev, e := range c.Run(t.Context(), inThread("t"+id, id)) {
				if err = e; e == nil {
					if got.hear(ev); got.units == 5 {
						<-fresh
					}
					tale.advance(got.units)
				}
			}
			s.wantWhole(t, "t"+id, id, got, err)
		})
	}
	for _, want := range []string{"1", "2"} {
		if got := testkit.Receive(t, "Auth", asked); got != want {
			t.Errorf("token %s, want %s", got, want)
		}
		if got := testkit.Receive(t, "Authorize", seen); got != want {
			t.Errorf("the server saw token %s, want %s", got, want)
		}
	}
	if why := testkit.Receive(t, "the end of the first connection", ends); why.Code != agloop.CloseExpired {
		t.Errorf("the first connection ended with %v", why)
	}
	close(fresh)
	loops.Wait()
	r.cutAll(cutReset)
	s.runWhole(t, c, "t", "later")
	if got := testkit.Receive(t, "Auth", asked); got != "3" {
		t.Errorf("token %s", got)
	}
}

// TestR25SessionOutlivesKills: a session that has a run is there for a client whose connections end
// again and again, also right behind their bind.
func TestR25SessionOutlivesKills(t *testing.T) {
	const kills = 200
	s := newTeller(1, 0)
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Logger: quiet})
	r := newBreaker(t, addr)
	up := make(chan struct{}, 10*kills)
	c := r.client(t, func(cfg *agloop.ClientConfig) {
		cfg.OnState = func(s agloop.ConnState) {
			if s.Phase == agloop.ConnOpen {
				up <- struct{}{}
			}
		}
	})
	s.runWhole(t, c, "t", "r")
	secret := c.Secret()
	for range kills {
		testkit.Receive(t, "a connection", up)
		r.cutAll(cutReset)
	}
	testkit.Receive(t, "a connection", up)
	got, err := s.hear("t", "r", c.Attach(t.Context(), "t", "r", agloop.Cursor{}))
	s.wantWhole(t, "t", "r", got, err)
	if c.Secret() != secret {
		t.Error("the session is another one")
	}
}
