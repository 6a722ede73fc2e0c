package agloop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestR33PostAgain: who posts the same input once more is attached to the run that there is: from its
// start, or behind its Last-Event-ID.
func TestR33PostAgain(t *testing.T) {
	var calls atomic.Int64
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		calls.Add(1)
		return hello.Run(ctx, r)
	})})
	c := newSSE(t, addr)
	s := c.open("POST", "", inputOf("r", 0))
	events := s.rest()
	c = c.as("Agloop-Secret", s.res.Header.Get("Agloop-Secret"))
	again := c.as("Agloop-Boot", s.res.Header.Get("Agloop-Boot")).open("POST", "", inputOf("r", 0))
	if got := again.rest(); fmt.Sprint(got) != fmt.Sprint(events) || again.res.Header.Get("Agloop-Secret") != "" {
		t.Errorf("got %v, %v", got, again.res.Header)
	}
	if got := c.as("Last-Event-ID", events[2].id).open("POST", "", inputOf("r", 0)).rest(); fmt.Sprint(got) != fmt.Sprint(events[3:]) {
		t.Errorf("got %v", got)
	}
	if got := c.open("GET", "/t/r?after="+events[2].id, "").rest(); fmt.Sprint(got) != fmt.Sprint(events[3:]) {
		t.Errorf("got %v", got)
	}
	// A browser that comes back has the URL it began with, and a newer field.
	if got := c.as("Last-Event-ID", events[3].id).open("GET", "/t/r?after="+events[0].id, "").rest(); fmt.Sprint(got) != fmt.Sprint(events[4:]) {
		t.Errorf("got %v", got)
	}
	c.wants("POST", "", inputOf("r", 100), 409, "conflict", "")
	c.as("Last-Event-ID", events[2].id).wants("POST", "", inputOf("r", 100), 409, "conflict", "")
	if n := calls.Load(); n != 1 {
		t.Errorf("the agent was called %d times", n)
	}
	// A session that was asked for before is that of the first POST, so that its response may be lost.
	early := newSSE(t, addr).as("Agloop-Secret", "new").do("GET", "/capabilities", "")
	c2 := newSSE(t, addr).as("Agloop-Secret", early.Header.Get("Agloop-Secret"))
	for range 2 {
		c2.open("POST", "", inputOf("r", 0)).rest()
	}
	if n := calls.Swap(1); n != 2 {
		t.Errorf("the agent was called %d times", n)
	}
	// Two that are nobody have a run each.
	newSSE(t, addr).open("POST", "", inputOf("r", 0)).rest()
	if n := calls.Load(); n != 2 {
		t.Errorf("the agent was called %d times", n)
	}
	// Who has seen a run that is not there any more does not start it.
	c.as("Last-Event-ID", events[2].id).wants("POST", "", strings.Replace(inputOf("r", 0), `"r"`, `"unknown"`, 1), 404, "gone", "")
	c.wants("GET", "/t/r?after="+events[4].id, "", 404, "gone", "")
	if n := calls.Load(); n != 2 {
		t.Errorf("the agent was called %d times", n)
	}
}

// TestStreamThatIsLeft: a client that closes the response stops the run, as stock clients do.
func TestStreamThatIsLeft(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error, 1)
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		close(began)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil
	})})
	s := newSSE(t, addr).open("POST", "", inputOf("r", 0))
	if e, err := s.next(); err != nil || e.kind != "RUN_STARTED" {
		t.Fatalf("%+v, %v", e, err)
	}
	testkit.Receive(t, "the agent", began) // which is not called for a run that nobody waits for any more
	s.res.Body.Close()
	if err := testkit.Receive(t, "the cause", ended); !errors.Is(err, agloop.ErrAbandoned) {
		t.Errorf("%v", err)
	}
}

// TestStreamOfClientThatReturns: a run whose client has said that it comes back goes on without it, and is
// there when it does.
func TestStreamOfClientThatReturns(t *testing.T) {
	values := make(chan string)
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values)})
	c := newSSE(t, addr)
	s := c.as("Agloop-Disconnect", "continue").open("POST", "", inputOf("r", 0))
	first, err := s.next()
	if err != nil || s.res.Header.Get("Agloop-Last") != "1" {
		t.Fatalf("%+v, %v, %v", first, err, s.res.Header)
	}
	s.res.Body.Close()
	testkit.Await(t, "the response has ended", func() bool { return srv.Stats().Logged.Streams == 0 })
	for range 3 { // which a run that was cancelled does not take
		values <- "step"
	}
	c = c.as("Agloop-Secret", s.res.Header.Get("Agloop-Secret"))
	s = c.open("GET", "/t/r?after="+first.id, "")
	if last := s.res.Header.Get("Agloop-Last"); last != "3" && last != "4" { // the last step may be on its way
		t.Errorf("%s", last)
	}
	close(values)
	if got := kindsOf(s.rest()); got != "CUSTOM CUSTOM CUSTOM RUN_FINISHED" {
		t.Errorf("%s", got)
	}
}

// TestStreamPings: a stream that has nothing to say says so.
func TestStreamPings(t *testing.T) {
	values := make(chan string)
	_, addr := serve(t, agloop.ServerConfig{Agent: steps(values), Limits: agloop.Limits{PingInterval: time.Millisecond}})
	s := newSSE(t, addr).open("POST", "", inputOf("r", 0))
	pings := 0
	for pings < 3 {
		line, err := s.r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line == ":\n" {
			pings++
		}
	}
	close(values)
	if events := s.rest(); kindsOf(events) != "RUN_FINISHED" {
		t.Errorf("%v", events)
	}
}

// TestStreamOfOneLine: what a host has written with line ends is one line of an event stream.
func TestStreamOfOneLine(t *testing.T) {
	state := "{\n  \"a\": [1,\r\n 2],\t\"b\": \"line\\nend\"\n}"
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(_ context.Context, r *agloop.Run) error {
		return r.Emit(&agui.StateSnapshot{Snapshot: json.RawMessage(state)})
	})})
	for _, e := range newSSE(t, addr).open("POST", "", inputOf("r", 0)).rest() {
		if e.kind == "STATE_SNAPSHOT" && !strings.Contains(e.data, `{"a":[1,2],"b":"line\nend"}`) {
			t.Errorf("%s", e.data)
		}
	}
}

// TestStreamOfSlowReader: the agent is as fast as its reader, and a reader that stops ends its stream.
func TestStreamOfSlowReader(t *testing.T) {
	for name, front := range map[string]func(t *testing.T, cfg agloop.ServerConfig) (*agloop.Server, string){
		"own": func(t *testing.T, cfg agloop.ServerConfig) (*agloop.Server, string) { return serve(t, cfg) },
		"mounted": func(t *testing.T, cfg agloop.ServerConfig) (*agloop.Server, string) {
			srv := closing(t, agloop.NewServer(cfg))
			return srv, mount(t, srv)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var emitted atomic.Int64
			ended := make(chan error, 1)
			srv, addr := front(t, agloop.ServerConfig{
				Limits: agloop.Limits{WriteTimeout: 200 * time.Millisecond},
				Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
					value, _ := json.Marshal(strings.Repeat("x", 10<<10))
					for range 10_000 {
						if err := r.Emit(&agui.Custom{Name: "n", Value: value}); err != nil {
							break
						}
						emitted.Add(1)
					}
					ended <- context.Cause(ctx)
					return nil
				}),
			})
			p := testkit.Connect(t, addr, 8<<10)
			body := inputOf("r", 0)
			p.Put(fmt.Appendf(nil, "POST /agui HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
			if err := testkit.Receive(t, "the end of a run that nobody reads", ended); !errors.Is(err, agloop.ErrAbandoned) {
				t.Errorf("%v", err)
			}
			if n := emitted.Load(); n > 1000 { // ten of a hundred megabytes
				t.Errorf("%d events were emitted", n)
			}
			testkit.Await(t, "the stream is gone", func() bool { return srv.Stats().Logged.Streams == 0 && srv.Stats().Memory.Held == 0 })
		})
	}
}

// TestStreamKickedAndExpired: a stream is a connection of its principal: Peer finds and ends it, and it
// ends with the principal.
func TestStreamKickedAndExpired(t *testing.T) {
	values := make(chan string)
	cfg := forEach(agloop.ServerConfig{Agent: steps(values), Runs: agloop.RunsConfig{OnDisconnect: agloop.DisconnectContinue}})
	authorize := cfg.Authorize
	cfg.Authorize = func(ctx context.Context, req *agloop.Request) (agloop.Grant, error) {
		g, err := authorize(ctx, req)
		if g.Principal.Key == "expires" {
			g.Principal.ExpiresAt = time.Now().Add(50 * time.Millisecond)
		}
		return g, err
	}
	ends := make(chan string, 2)
	cfg.Hooks.Connected = func(info agloop.ConnInfo) { ends <- "in " + info.Principal.Key + info.Path }
	cfg.Hooks.Disconnected = func(info agloop.ConnInfo, why *agloop.CloseError) {
		ends <- fmt.Sprintf("out %s %d", info.Principal.Key, why.Code)
	}
	srv, addr := serve(t, cfg)
	s := newSSE(t, addr).as("Authorization", "ann").open("POST", "", inputOf("r", 0))
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	if got := testkit.Receive(t, "a hook", ends); got != "in ann/agui" {
		t.Errorf("got %s", got)
	}
	ann := srv.Peer("ann")
	if conns := ann.Conns(); len(conns) != 1 || conns[0].Principal.Key != "ann" || ann.Kick(agloop.ClosePolicy, "out") != 1 {
		t.Errorf("%+v", conns)
	}
	if _, err := io.ReadAll(s.r); err == nil { // it would pass for a run that has ended
		t.Error("the response ended in order")
	}
	if got := testkit.Receive(t, "a hook", ends); got != fmt.Sprintf("out ann %d", agloop.ClosePolicy) {
		t.Errorf("got %s", got)
	}
	s = newSSE(t, addr).as("Authorization", "expires").open("POST", "", inputOf("r", 0))
	if _, err := io.ReadAll(s.r); err == nil {
		t.Error("the response ended in order")
	}
	testkit.Receive(t, "a hook", ends)
	if got := testkit.Receive(t, "a hook", ends); got != fmt.Sprintf("out expires %d", agloop.CloseExpired) {
		t.Errorf("got %s", got)
	}
}

// TestStreamsWhileTheServerEnds: runs are cancelled after DrainTimeout, and their viewers have the end.
func TestStreamsWhileTheServerEnds(t *testing.T) {
	values := make(chan string)
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values)})
	s := newSSE(t, addr).open("POST", "", inputOf("r", 0))
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if events := s.rest(); kindsOf(events) != "RUN_FINISHED" || !strings.Contains(events[0].data, "cancelled") {
		t.Errorf("%v", events)
	}
	if st := srv.Stats(); st.Logged.Streams != 0 || st.Connections != 0 {
		t.Errorf("%+v", st)
	}
}

// TestMountedStreamsWhileTheServerCloses: Close ends the streams of a server that another one has.
func TestMountedStreamsWhileTheServerCloses(t *testing.T) {
	srv := agloop.NewServer(agloop.ServerConfig{Agent: steps(make(chan string))})
	s := newSSE(t, mount(t, srv)).open("POST", "", inputOf("r", 0))
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	_, _ = io.ReadAll(s.r)
	testkit.Await(t, "the stream is gone", func() bool { return srv.Stats().Logged.Streams == 0 })
	newSSE(t, mount(t, srv)).do("POST", "", inputOf("r", 0))
	if res := newSSE(t, mount(t, srv)).do("POST", "", inputOf("r", 0)); res.StatusCode != 503 {
		t.Errorf("%s", res.Status)
	}
}

// TestMountedBinding: in a mux a POST starts a run wherever the mux has the server, and its pattern may
// name the run.
func TestMountedBinding(t *testing.T) {
	values := make(chan string)
	srv := closing(t, agloop.NewServer(forEach(agloop.ServerConfig{Agent: steps(values)})))
	mux := http.NewServeMux()
	mux.Handle("POST /chat/{room}", srv)
	mux.Handle("/runs/{thread}/{run}", srv)
	mux.Handle("/behind/", http.StripPrefix("/behind", srv))
	mux.HandleFunc("/wrapped", func(w http.ResponseWriter, r *http.Request) { srv.ServeHTTP(&recorder{ResponseWriter: w}, r) })
	mux.HandleFunc("/dull", func(w http.ResponseWriter, r *http.Request) { srv.ServeHTTP(struct{ http.ResponseWriter }{w}, r) })
	addr := mount(t, mux)
	at := func(path string) *sse {
		return &sse{t, "http://" + addr + path, http.Header{"Authorization": {"ann"}}}
	}
	s := at("/chat/lobby").open("POST", "", inputOf("r/1", 0))
	s.next()
	joined := at("/runs").open("GET", "/t/r%2F1", "")
	joined.next()
	stripped := at("/behind/agui").open("GET", "/t/r%2F1", "")
	stripped.next()
	if res := at("/runs").do("DELETE", "/t/r%2F1", ""); res.StatusCode != 204 {
		t.Errorf("%s", res.Status)
	}
	for _, s := range []*sseStream{s, joined, stripped} {
		if got := kindsOf(s.rest()); got != "RUN_FINISHED" {
			t.Errorf("got %s", got)
		}
	}
	wrapped := at("/wrapped").open("POST", "", inputOf("w", 0))
	wrapped.next()
	at("/dull").wants("POST", "", inputOf("d", 0), 500, "internal_error", "")
	if res := at("/runs").do("GET", "/t", ""); res.StatusCode != 404 { // of the mux
		t.Errorf("%s", res.Status)
	}
}

// TestManyStreams: more than there are connections for other requests over HTTP, which are still served.
func TestManyStreams(t *testing.T) {
	values := make(chan string)
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values), Quotas: agloop.Quotas{Conns: 700}})
	var streams []*sseStream
	for i := range 600 {
		s := newSSE(t, addr).open("POST", "", inputOf(fmt.Sprint(i), 0))
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	testkit.Await(t, "each stream has a slot and no other has", func() bool {
		st := srv.Stats()
		return st.Logged.Streams == 600 && st.Connections == 600
	})
	p := testkit.Connect(t, addr, 0)
	if res, _ := get(t, p, ping); res.StatusCode != 200 {
		t.Errorf("%s", res.Status)
	}
	close(values)
	for _, s := range streams {
		if got := kindsOf(s.rest()); got != "RUN_FINISHED" {
			t.Errorf("got %s", got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	testkit.Await(t, "all slots are free", func() bool { return srv.Stats().Connections == 0 })
}

// flushes counts those of a response.
type flushes struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (f flushes) Flush() { f.n.Add(1); f.ResponseWriter.(http.Flusher).Flush() }

// TestStreamOfABurst: what is emitted at once leaves at once, on a loop and where net/http keeps the
// response.
func TestStreamOfABurst(t *testing.T) {
	const bursts, size = 5, 9
	cfg := agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, r *agloop.Run) error {
		for range bursts {
			for range size {
				if err := r.Emit(&agui.Custom{Name: "n", Value: json.RawMessage(`1`)}); err != nil {
					return err
				}
			}
			time.Sleep(20 * time.Millisecond) // longer than the batch window
		}
		return nil
	})}
	own, addr := serve(t, cfg)
	newSSE(t, addr).open("POST", "", inputOf("r", 0)).rest()
	var flushed atomic.Int64
	mounted := closing(t, agloop.NewServer(cfg))
	at := mount(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mounted.ServeHTTP(flushes{w, &flushed}, r) }))
	newSSE(t, at).open("POST", "", inputOf("r", 0)).rest()
	// The first of a burst may leave alone; the head and the end of the run take two more.
	for name, n := range map[string]int64{"a loop": int64(own.Stats().Writes), "net/http": flushed.Load()} {
		if n < bursts || n > 2*bursts+3 {
			t.Errorf("%s: %d events left in %d writes", name, bursts*size+2, n)
		}
	}
}

// TestStreamsOverTLS: also over HTTP/1.1, where the stream is on a loop.
func TestStreamsOverTLS(t *testing.T) {
	for _, major := range []int{1, 2} {
		values := make(chan string)
		srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values), TLS: testkit.ServerTLS(t)})
		client := https(t, major)
		res, err := client.Post("https://"+addr+"/agui", "application/json", strings.NewReader(inputOf("r", 0)))
		if err != nil {
			t.Fatal(err)
		}
		s := &sseStream{t, res, bufio.NewReader(res.Body)}
		if _, err := s.next(); err != nil || res.ProtoMajor != major {
			t.Fatalf("%s, %v", res.Proto, err)
		}
		for range 100 { // as many records
			values <- strings.Repeat("x", 1000)
		}
		close(values)
		if events := s.rest(); len(events) != 101 || events[100].kind != "RUN_FINISHED" {
			t.Errorf("%d events", len(events))
		}
		res.Body.Close()
		client.CloseIdleConnections()
		testkit.Await(t, "all slots are free", func() bool { return srv.Stats().Connections == 0 })
	}
}

// TestStreamIsNoWebSocket: what a host sends to the connection of a stream does not get into that.
func TestStreamIsNoWebSocket(t *testing.T) {
	values, in := make(chan string), make(chan agloop.ConnID, 1)
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(values), Hooks: agloop.Hooks{
		Connected: func(info agloop.ConnInfo) { in <- info.ID },
	}})
	s := newSSE(t, addr).open("POST", "", inputOf("r", 0))
	c := srv.Conn(testkit.Receive(t, "the connection", in))
	if r := c.Send(agloop.Text, []byte("hello")); r != agloop.Dropped {
		t.Errorf("%v", r)
	}
	close(values)
	if got := kindsOf(s.rest()); got != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("got %s", got)
	}
}

// TestAgentCore: the contract of Amazon Bedrock AgentCore.
func TestAgentCore(t *testing.T) {
	values := make(chan string)
	_, addr := serve(t, agloop.ServerConfig{Agent: steps(values), AgentCore: true})
	core := &sse{t, "http://" + addr, http.Header{}}
	health := func() string {
		res := core.do("GET", "/ping", "")
		var h struct {
			Status string
			Since  int64 `json:"time_of_last_update"`
		}
		if err := json.NewDecoder(res.Body).Decode(&h); err != nil || res.StatusCode != 200 || time.Since(time.Unix(h.Since, 0)) > time.Minute {
			t.Errorf("%s %+v %v", res.Status, h, err)
		}
		return h.Status
	}
	if got := health(); got != "Healthy" {
		t.Errorf("got %s", got)
	}
	s := core.as("X-Amzn-Bedrock-AgentCore-Runtime-Session-Id", "x").open("POST", "/invocations", inputOf("r", 0))
	s.next()
	if got := health(); got != "HealthyBusy" {
		t.Errorf("got %s", got)
	}
	core.wants("POST", "/invocations", `{"prompt":"hello"}`, 400, "invalid_input", "threadId")
	core.wants("GET", "/invocations", "", 405, "method_not_allowed", "")
	c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	close(values)
	if got := kindsOf(s.rest()); got != "RUN_FINISHED" {
		t.Errorf("got %s", got)
	}
	testkit.Await(t, "it is not busy", func() bool { return health() == "Healthy" })
}

// TestCapabilities: what the host says of its agent, and what the server is.
func TestCapabilities(t *testing.T) {
	ask := func(cfg agloop.ServerConfig) (got map[string]map[string]any) {
		cfg.Agent = hello
		_, addr := serve(t, cfg)
		res := newSSE(t, addr).do("GET", "/capabilities", "")
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %v", res.Status, res.Header, err)
		}
		return got
	}
	transport := map[string]any{"streaming": true, "websocket": true, "httpBinary": true, "resumable": true}
	if got := ask(agloop.ServerConfig{}); fmt.Sprint(got["transport"]) != fmt.Sprint(transport) || len(got) != 1 {
		t.Errorf("%v", got)
	}
	named := &agui.AgentCapabilities{Identity: &agui.IdentityCapabilities{Name: new("Ann")}}
	if got := ask(agloop.ServerConfig{Capabilities: named}); got["identity"]["name"] != "Ann" || len(got["transport"]) != 4 || named.Transport != nil {
		t.Errorf("%v", got)
	}
}
