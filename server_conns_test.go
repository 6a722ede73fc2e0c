package agloop_test

import (
	"context"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// TestConnHooks: each connection is told of once, in order, off the loops; Shutdown waits for it.
func TestConnHooks(t *testing.T) {
	var mu sync.Mutex
	told := map[agloop.ConnID]string{}
	gate := make(chan struct{})
	tell := func(info agloop.ConnInfo, what string) {
		mu.Lock()
		defer mu.Unlock()
		told[info.ID] += what
	}
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Logger: quiet, Hooks: agloop.Hooks{
		Connected: func(info agloop.ConnInfo) {
			<-gate
			if info.Path != "/ws" || !info.Remote.IsValid() || info.Opened.IsZero() {
				t.Errorf("%+v", info)
			}
			tell(info, "connected ")
			panic("in a hook")
		},
		Disconnected: func(info agloop.ConnInfo, why *agloop.CloseError) { tell(info, why.Code.String()) },
	}})
	const conns = 50
	for range conns {
		p := testkit.Dial(t, addr)
		p.Put(testkit.Text("while the hook blocks"))
		p.WantMessage(frame.Text, "while the hook blocks")
		p.HangUp()
	}
	close(gate)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(told) != conns {
		t.Errorf("%d connections", len(told))
	}
	for id, what := range told {
		if what != "connected 1000" {
			t.Errorf("%d: %s", id, what)
		}
	}
}

// TestPeer: the connections of a principal are found by its key, and no others.
func TestPeer(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
		g.Principal.Key = req.RawQuery
		return g, nil
	}})
	dial := func(who string) *testkit.Peer {
		p := testkit.Connect(t, addr, 0)
		p.Put(at("/ws?" + who))
		p.WantSwitch()
		return p
	}
	ann := []*testkit.Peer{dial("ann"), dial("ann")}
	bob, anonymous := dial("bob"), dial("")
	if n := srv.Peer("ann").Count(); n != 2 {
		t.Errorf("ann has %d connections", n)
	}
	for _, info := range srv.Peer("ann").Conns() {
		if info.Principal.Key != "ann" || srv.Conn(info.ID) == nil {
			t.Errorf("%+v", info)
		}
	}
	if n := srv.Peer("").Count() + srv.Peer("nobody").Kick(agloop.ClosePolicy, ""); n != 0 {
		t.Errorf("nobody has %d connections", n)
	}
	if n := srv.Peer("ann").Kick(agloop.ClosePolicy, "out"); n != 2 {
		t.Errorf("%d were kicked", n)
	}
	for _, p := range ann {
		if reason := p.WantGoodbye(frame.ClosePolicy); reason != "out" {
			t.Errorf("reason %q", reason)
		}
	}
	testkit.Await(t, "she is gone", func() bool { return srv.Peer("ann").Count() == 0 })
	for _, p := range []*testkit.Peer{bob, anonymous} {
		p.Put(testkit.Text("still here"))
		p.WantMessage(frame.Text, "still here")
		p.HangUp()
	}
	testkit.Await(t, "nobody is known", func() bool { return srv.Peers() == 0 })
}
