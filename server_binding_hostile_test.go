package agloop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/run"
)

// chatter is an agent that emits events of so many bytes until its run is cancelled.
func chatter(size int) agloop.Agent {
	value, _ := json.Marshal(strings.Repeat("x", size))
	return agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		for ctx.Err() == nil {
			if err := r.Emit(&agui.Custom{Name: "n", Value: value}); err != nil {
				return err
			}
		}
		return nil
	})
}

// post is a request for a run.
func post(id string) []byte {
	body := inputOf(id, 0)
	return fmt.Appendf(nil, "POST /agui HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestStreamsThatAreCut: of streams whose clients vanish while much is sent to them nothing stays.
func TestStreamsThatAreCut(t *testing.T) {
	cfg := agloop.ServerConfig{Agent: chatter(1 << 10)}
	own, addr := serve(t, cfg)
	mounted := closing(t, agloop.NewServer(cfg))
	for name, s := range map[string]struct {
		srv  *agloop.Server
		addr string
	}{"own": {own, addr}, "mounted": {mounted, mount(t, mounted)}} {
		t.Run(name, func(t *testing.T) {
			for i := range 50 {
				p := testkit.Connect(t, s.addr, 0)
				p.Put(post(fmt.Sprint(i)))
				p.Fill(make([]byte, 64<<10))
				p.Reset()
			}
			testkit.Await(t, "the streams are gone", func() bool {
				st := s.srv.Stats()
				return st.Logged.Streams == 0 && st.Connections == 0 && st.Logged.Viewers == 0 && st.Runs == 0
			})
			testkit.Await(t, "nothing is held", func() bool { return s.srv.Stats().Memory.Held == 0 })
		})
	}
}

// TestStuckStreamExpires: a stream ends with its principal also while a write waits for its reader.
func TestStuckStreamExpires(t *testing.T) {
	ends := make(chan agloop.CloseCode, 1)
	cfg := agloop.ServerConfig{
		Agent:  chatter(64 << 10),
		Limits: agloop.Limits{WriteTimeout: time.Hour},
		Authorize: func(context.Context, *agloop.Request) (agloop.Grant, error) {
			return agloop.Grant{Principal: agloop.Principal{Key: "ann", ExpiresAt: time.Now().Add(time.Second)}}, nil
		},
		Hooks: agloop.Hooks{Disconnected: func(_ agloop.ConnInfo, why *agloop.CloseError) { ends <- why.Code }},
	}
	_, own := serve(t, cfg)
	for name, addr := range map[string]string{"own": own, "mounted": mount(t, closing(t, agloop.NewServer(cfg)))} {
		t.Run(name, func(t *testing.T) {
			p := testkit.Connect(t, addr, 8<<10)
			p.Put(post("r"))
			if code := testkit.Receive(t, "the end", ends); code != agloop.CloseExpired {
				t.Errorf("%v", code)
			}
		})
	}
}

// slowStore opens a log when it is told to.
type slowStore struct {
	agloop.Store
	opens, begin chan struct{}
}

func (s *slowStore) Open(ctx context.Context, k agloop.RunKey, o run.Opening) (run.Log, error) {
	s.opens <- struct{}{}
	select {
	case <-s.begin:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.Open(ctx, k, o)
}

// TestStreamThatBeginsWhileTheServerEnds: a run that was on its way when the server was told to end has its
// stream, and DrainTimeout.
func TestStreamThatBeginsWhileTheServerEnds(t *testing.T) {
	values := make(chan string)
	store := &slowStore{run.NewMemoryStore(nil), make(chan struct{}), make(chan struct{})}
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values), Store: store, DrainTimeout: time.Minute})
	p := testkit.Connect(t, addr, 0)
	p.Put(post("r"))
	testkit.Receive(t, "the run is opened", store.opens)
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(t.Context()) }()
	testkit.Await(t, "the server ends", func() bool {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
		}
		return err != nil
	})
	close(store.begin)
	if status, _ := p.Head(); status != 200 {
		t.Errorf("status %d", status)
	}
	values <- "one"
	close(values)
	if text, err := io.ReadAll(p); err != nil || !strings.HasSuffix(string(text), "\r\n0\r\n\r\n") || !strings.Contains(string(text), "RUN_FINISHED") {
		t.Errorf("%q, %v", text, err)
	}
	if err := testkit.Receive(t, "the end of the server", ended); err != nil {
		t.Error(err)
	}
}

// TestStreamThatCannotFlush: where middleware keeps the response back no run is begun for it.
func TestStreamThatCannotFlush(t *testing.T) {
	var calls atomic.Int64
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: agloop.AgentFunc(func(context.Context, *agloop.Run) error {
		calls.Add(1)
		return nil
	})}))
	c := newSSE(t, mount(t, http.TimeoutHandler(srv, time.Minute, "")))
	c.wants("POST", "", inputOf("r", 0), 500, "internal_error", "")
	testkit.Await(t, "no run is left", func() bool { st := srv.Stats(); return st.Runs == 0 && st.Connections == 0 })
	if n := calls.Load(); n != 0 || srv.Stats().Logged.Started != 0 {
		t.Errorf("the agent was called %d times", n)
	}
}

// TestBindingOfSlowHosts: a store or a host that does not decide in time is no end of the server, and no
// failure: the client may ask again.
func TestBindingOfSlowHosts(t *testing.T) {
	store := &slowStore{run.NewMemoryStore(nil), make(chan struct{}, 1), make(chan struct{})}
	srv := agloop.NewServer(agloop.ServerConfig{
		Agent: hello, Store: store,
		Runs: agloop.RunsConfig{AuthorizeRun: func(ctx context.Context, _ agloop.Principal, _ agloop.Action, key agloop.RunKey) (agloop.RunKey, error) {
			if key.Thread == "slow" {
				<-ctx.Done()
			}
			return key, ctx.Err()
		}},
	})
	srv.SetControlTime(50 * time.Millisecond)
	c := newSSE(t, mount(t, closing(t, srv)))
	for _, body := range []string{inputOf("r", 0), `{"threadId":"slow","runId":"r","messages":[]}`} {
		res := c.wants("POST", "", body, 503, "timeout", "")
		if res.Header.Get("Retry-After") == "" {
			t.Errorf("%v", res.Header)
		}
	}
}

// TestCursorsThatLeadNowhere: who asks behind a cursor is told why there is nothing, however it asks.
func TestCursorsThatLeadNowhere(t *testing.T) {
	_, addr := serveEach(t, agloop.ServerConfig{Agent: hello})
	c := newSSE(t, addr).as("Authorization", "ann")
	events := c.open("POST", "", inputOf("r", 0)).rest()
	epoch, _, _ := strings.Cut(events[0].id, "-")
	for cursor, reason := range map[string]string{
		events[len(events)-1].id:  "ended",
		epoch + "-9999":           "future",
		"0123456789abcdef-1":      "epoch",
		"0123456789abcdef-999999": "epoch",
	} {
		for _, method := range []string{"GET", "POST"} {
			path, body := "/t/r", ""
			if method == "POST" {
				path, body = "", inputOf("r", 0)
			}
			res := c.as("Last-Event-ID", cursor).do(method, path, body)
			var problem struct{ Code, Reason string }
			if err := json.NewDecoder(res.Body).Decode(&problem); err != nil || res.StatusCode != 404 || problem.Code != "gone" || problem.Reason != reason {
				t.Errorf("%s %s: %s %+v %v", method, cursor, res.Status, problem, err)
			}
		}
	}
}

// TestMountedBodyThatDoesNotCome: a request whose body stops gives back its slot, whatever the time limits of
// the host's server are; a body that comes in time has no limit behind it.
func TestMountedBodyThatDoesNotCome(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MessageTimeout: 200 * time.Millisecond}, Runs: agloop.RunsConfig{
		FilterInput: func(ctx context.Context, _ agloop.Principal, _ *agui.RunAgentInput) error {
			select {
			case <-ctx.Done():
			case <-time.After(400 * time.Millisecond): // longer than MessageTimeout
			}
			return ctx.Err()
		},
	}}))
	addr := mount(t, srv)
	p := testkit.Connect(t, addr, 0)
	whole := post("r")
	p.Put(whole[:len(whole)-1])
	if status, _ := p.Head(); status != 400 {
		t.Errorf("status %d", status)
	}
	testkit.Await(t, "its slot is free", func() bool { return srv.Stats().Connections == 0 })
	if got := kindsOf(newSSE(t, addr).open("POST", "", inputOf("r", 0)).rest()); got != helloTypes {
		t.Errorf("got %s", got)
	}
}
