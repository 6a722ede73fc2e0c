package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR27LimitsOfHello are kept to.
func TestR27LimitsOfHello(t *testing.T) {
	p := newPeer(t, helloDurable)
	c, conn := p.dial(nil)
	in := inputFor("big")
	in.State = []byte(`"` + strings.Repeat("x", 400) + `"`)
	if _, err := told(c.Run(t.Context(), in)); !errors.Is(err, agloop.ErrInputTooBig) {
		t.Errorf("a large input: %v", err)
	}
	a, b := running(t, c, inputFor("a")), (*watch)(nil)
	refA := conn.want("start")
	b = running(t, c, inputFor("b"))
	refB := conn.want("start")
	_, err := told(c.Attach(t.Context(), "t", "c", agloop.Cursor{}))
	if full, ok := errors.AsType[*agloop.RejectedError](err); !ok || full.Code != control.CodeAttachments {
		t.Errorf("a third attachment of two: %v", err)
	}
	conn.say(selects(1, refA, "a", 1), startedOf("a"), selects(2, refB, "b", 1), startedOf("b"))
	a.want("started a")
	b.want("started b")
	conn.say(onto(1, 2), finishedOf("a"), onto(2, 2), finishedOf("b"))
	a.want("finished a")
	b.want("finished b")
}

// TestR27FewControlsWait: after a reconnect no more are unanswered than a server lets wait.
func TestR27FewControlsWait(t *testing.T) {
	p := newPeer(t, strings.Replace(helloProcess, `"controls":64`, `"controls":4`, 1))
	c, conn := p.dial(nil)
	const n = 5
	var all [n]*watch
	for i := range n {
		id := fmt.Sprint(i)
		all[i] = running(t, c, inputFor(id))
		conn.say(selects(i+1, conn.want("start"), id, 1), startedOf(id))
		all[i].want("started " + id)
	}
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	refs, sent := map[string]string{}, []string{}
	read := func() {
		_, m := conn.next()
		refs[m["runId"].(string)] = m["ref"].(string)
		sent = append(sent, m["runId"].(string))
	}
	read()
	read()
	for i := range n {
		id := sent[i]
		conn.silent()
		if id == "2" {
			conn.say(`["gone",{"ref":"` + refs[id] + `"}]`)
			all[2].wantEnd(agloop.ErrGone)
		} else {
			conn.say(selects(i+1, refs[id], id, 2))
		}
		if i+2 < n {
			read()
		}
	}
	conn.silent()
}

// TestR25Secret: the session of the first connection is joined by the later ones, and by another
// client that was given its secret.
func TestR25Secret(t *testing.T) {
	hello := func(secret string) string {
		return strings.Replace(helloProcess, `"boot"`, `"secret":"`+secret+`","boot"`, 1)
	}
	p := newPeer(t, hello("s1"), hello("s2"), hello("s3"), hello("s4"))
	c, conn := p.dial(nil)
	conn.silent()
	if got := c.Secret(); got != "s1" {
		t.Errorf("secret %q", got)
	}
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	conn.Close(agloop.CloseRestart, "")
	conn = p.accept()
	conn.want("bind", "secret", "s1")
	ref := conn.want("attach", "threadId", "t", "runId", "r", "epoch", epoch1, "offset", 1.0)
	conn.say(selects(1, ref, "r", 2), says("2"))
	w.want("2")

	other, conn2 := p.dial(func(cfg *agloop.ClientConfig) { cfg.Resume.Secret = c.Secret() })
	ref = conn2.want("bind", "secret", "s1")
	if got := other.Secret(); got != "s1" {
		t.Errorf("secret %q", got)
	}
	conn2.say(`["gone",{"ref":"` + ref + `"}]`)
	testkit.Await(t, "the session is another one", func() bool { return other.Secret() == "s3" })
}

// TestR30BareServer: what needs agloop.v1 says so, and Resume can be off.
func TestR30BareServer(t *testing.T) {
	_, addr := serveBare(t, agloop.ServerConfig{Agent: hello})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, attach := told(c.Attach(t.Context(), "t", "r", agloop.Cursor{}))
	_, follow := told(c.Follow(t.Context(), "t"))
	_, steer := c.Steer(t.Context(), "t", "r", "x")
	for _, err := range []error{attach, follow, steer, c.Cancel(t.Context(), "t", "r")} {
		if !errors.Is(err, agloop.ErrNoResume) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	}
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
	offered := make(chan []string, 1)
	_, addr = serve(t, agloop.ServerConfig{Agent: hello, Authorize: func(_ context.Context, r *agloop.Request) (agloop.Grant, error) {
		offered <- r.Protocols
		return agloop.Grant{}, nil
	}})
	for _, tt := range []struct {
		protocols string
		off       bool
		want      string
	}{
		{"other", false, "[agloop.v1.json other]"},
		{"other", true, "[other]"},
		{"agloop.v1.proto", false, "[agloop.v1.proto agloop.v1.json]"},
		{"agloop.v1.proto", true, "[agloop.v1.proto]"},
		{"other agloop.v1.proto more", false, "[other agloop.v1.proto agloop.v1.json more]"},
		{"agloop.v1.json agloop.v1.proto", false, "[agloop.v1.json agloop.v1.proto]"},
	} {
		cfg := agloop.ClientConfig{Protocols: strings.Fields(tt.protocols), Resume: agloop.Resume{Off: tt.off}}
		c, err := agloop.Dial(t.Context(), wsURL(addr), cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := fmt.Sprint(testkit.Receive(t, "the offer", offered)); got != tt.want {
			t.Errorf("offered %s, want %s", got, tt.want)
		}
	}
}

// TestR30ServerChanges: the next server does not speak agloop.v1, and the one after that does.
func TestR30ServerChanges(t *testing.T) {
	p := newPeer(t)
	_, bare := serveBare(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		<-ctx.Done()
		return nil
	})})
	var mu sync.Mutex
	addr := strings.TrimSuffix(strings.TrimPrefix(p.url, "ws://"), "/ws")
	resumable := addr
	set := func(to string) {
		mu.Lock()
		defer mu.Unlock()
		addr = to
	}
	c, conn := p.dial(func(cfg *agloop.ClientConfig) {
		cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	w := running(t, c, inputFor("r"))
	conn.say(selects(1, conn.want("start"), "r", 1), startedOf("r"))
	w.want("started r")
	set(bare)
	conn.Close(agloop.CloseRestart, "")
	if err := w.wantEnd(agloop.ErrTruncated); !errors.Is(err, agloop.ErrNoResume) {
		t.Errorf("the run ended with %v", err)
	}
	set(resumable)
	n := 0
	for _, err := range c.Run(t.Context(), inputFor("bare")) {
		if n++; err != nil {
			t.Error(err)
		}
		break // closes the connection
	}
	if n != 1 {
		t.Errorf("%d events of a bare run", n)
	}
	again := running(t, c, inputFor("again"))
	conn = p.accept()
	conn.say(selects(1, conn.want("start"), "again", 1), startedOf("again"), finishedOf("again"))
	again.want("started again", "finished again")
	again.wantEnd(nil)
}

// TestR27ManyStartsAtOnce: a client starts as many runs as it may have at once on a server that is slow to
// let each in, and cancels some meanwhile, without being cut for controls that wait.
func TestR27ManyStartsAtOnce(t *testing.T) {
	const most = 64
	gate := make(chan struct{})
	srv, addr := serveEach(t, agloop.ServerConfig{Agent: hello, Runs: agloop.RunsConfig{
		AuthorizeRun: func(_ context.Context, _ agloop.Principal, _ agloop.Action, k agloop.RunKey) (agloop.RunKey, error) {
			<-gate
			return k, nil
		},
	}})
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all sync.WaitGroup
	for i := range most {
		all.Go(func() {
			in := inputFor(fmt.Sprint(i))
			in.ThreadID = fmt.Sprint("thread", i)
			for _, err := range c.Run(t.Context(), in) {
				if err != nil {
					t.Errorf("run %d: %v", i, err)
				}
			}
		})
	}
	testkit.Await(t, "half of what may wait has come", func() bool { return srv.Stats().MessagesIn >= most/2 })
	for i := range most / 2 {
		if err := c.Cancel(t.Context(), "none", fmt.Sprint(i)); err != nil {
			t.Error(err)
		}
	}
	testkit.Await(t, "the cancels have come", func() bool { return srv.Stats().MessagesIn >= most })
	close(gate)
	all.Wait()
	if n := srv.Stats().Opened; n != 1 {
		t.Errorf("%d connections", n)
	}
}
