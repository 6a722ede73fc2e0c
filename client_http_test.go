package agloop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// cutter dials, and cuts what was dialled.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns = append(c.conns, nc)
	}
	return nc, err
}

// cut resets all there are, and returns how many.
func (c *cutter) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.conns)
	for _, nc := range c.conns {
		_ = nc.(*net.TCPConn).SetLinger(0)
		nc.Close()
	}
	c.conns = nil
	return n
}

// httpClient is a client over HTTP, without pauses worth the name.
func httpClient(t testing.TB, addr string, cfg agloop.ClientConfig) *agloop.Client {
	t.Helper()
	cfg.Resume.MinBackoff = time.Millisecond
	c, err := agloop.Dial(t.Context(), "http://"+addr+"/agui", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestClientOverHTTP: runs, at once, of a server of agloop.
func TestClientOverHTTP(t *testing.T) {
	s := newTeller(3, 0)
	_, addr := serve(t, agloop.ServerConfig{Agent: s})
	c := httpClient(t, addr, agloop.ClientConfig{})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { s.runWhole(t, c, "t"+fmt.Sprint(i), "r") })
	}
	all.Wait()
	if len(c.Secret()) < 20 {
		t.Errorf("the secret is %q", c.Secret())
	}
	s.runWhole(t, c, "later", "r")
	if st := c.State(); st.Phase != agloop.ConnOpen {
		t.Errorf("%+v", st)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, err := range c.Run(t.Context(), inThread("t", "closed")) {
		if !errors.Is(err, agloop.ErrClientClosed) {
			t.Errorf("%v", err)
		}
	}
}

// TestClientOverHTTPInProtobuf: the same runs, in the other framing.
func TestClientOverHTTPInProtobuf(t *testing.T) {
	s := newTeller(5, 0)
	_, addr := serve(t, agloop.ServerConfig{Agent: s})
	c := httpClient(t, addr, agloop.ClientConfig{Protocols: []string{"agloop.v1.proto"}})
	s.runWhole(t, c, "t", "r")
	res := newSSE(t, addr).as("Accept", "text/event-stream;q=0.1, Application/Vnd.Ag-ui.Event+proto;q=0.01").do("POST", "", inputOf("r", 0))
	if got := res.Header.Get("Content-Type"); got != "application/vnd.ag-ui.event+proto" {
		t.Errorf("%s", got)
	}
	for _, accept := range []string{"", "*/*", "application/*", "application/vnd.ag-ui.event+proto;q=0", "text/event-stream"} {
		s := newSSE(t, addr).as("Accept", accept).open("POST", "", inputOf("r", 0))
		s.rest()
	}
}

// TestClientOverHTTPS: over HTTP/2 the runs share one connection.
func TestClientOverHTTPS(t *testing.T) {
	s := newTeller(2, 0)
	srv, addr := serve(t, agloop.ServerConfig{Agent: s, TLS: testkit.ServerTLS(t)})
	var k cutter
	c, err := agloop.Dial(t.Context(), "https://"+addr+"/agui", agloop.ClientConfig{TLS: testkit.ClientTLS(), Dial: k.dial})
	if err != nil {
		t.Fatal(err)
	}
	s.runWhole(t, c, "first", "r")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { s.runWhole(t, c, "t"+fmt.Sprint(i), "r") })
	}
	all.Wait()
	testkit.Await(t, "all streams are over", func() bool { return srv.Stats().Logged.Streams == 0 })
	c.Close()
	if n := k.cut(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestClientOverHTTPGoesOn: a response that is cut at each event is asked for again at the cursor, and
// nothing is lost or doubled, also where the server has folded what was missed.
func TestClientOverHTTPGoesOn(t *testing.T) {
	s := newTeller(20, 0)
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Runs: folding()})
	var k cutter
	c := httpClient(t, addr, agloop.ClientConfig{Dial: k.dial})
	var got chronicle
	cuts := 0
	for ev, err := range c.Run(t.Context(), inThread("t", "r")) {
		if err != nil {
			t.Fatal(err)
		}
		got.hear(ev)
		if cuts < 200 {
			cuts += k.cut()
		}
	}
	s.wantWhole(t, "t", "r", got, nil)
	if cuts < 3 {
		t.Errorf("only %d connections were cut", cuts)
	}
	if n := s.calls("t", "r"); n != 1 {
		t.Errorf("the agent was called %d times", n)
	}
}

// TestClientOverHTTPStartsOnce: a start whose response is lost is sent again to the server that has it, and
// to no other one.
func TestClientOverHTTPStartsOnce(t *testing.T) {
	s := newTeller(2, 0)
	asked, answer := make(chan string, 4), make(chan bool, 4)
	cfg := agloop.ServerConfig{Agent: s, Runs: agloop.RunsConfig{
		FilterInput: func(_ context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			if in.ThreadID == "lost" {
				asked <- in.RunID
				<-answer
			}
			return nil
		},
	}}
	_, addr := serve(t, cfg)
	var k cutter
	c := httpClient(t, addr, agloop.ClientConfig{Dial: k.dial})
	s.runWhole(t, c, "first", "r") // so that the server is known
	ended := make(chan error, 1)
	go func() {
		got, err := s.hear("lost", "r", c.Run(t.Context(), inThread("lost", "r")))
		s.wantWhole(t, "lost", "r", got, err)
		ended <- err
	}()
	testkit.Receive(t, "the start", asked)
	k.cut()
	answer <- true
	close(answer) // for one that comes before the first is through
	if err := testkit.Receive(t, "the end of the run", ended); err != nil {
		t.Error(err)
	}
	if n := s.calls("lost", "r"); n != 1 {
		t.Errorf("the agent was called %d times", n)
	}
	// Before anything is known of the server, nobody knows whether it has begun.
	asked, answer = make(chan string, 4), make(chan bool)
	_, addr = serve(t, cfg)
	c = httpClient(t, addr, agloop.ClientConfig{Dial: k.dial})
	go func() {
		_, err := s.hear("lost", "u", c.Run(t.Context(), inThread("lost", "u")))
		ended <- err
	}()
	testkit.Receive(t, "the start", asked)
	k.cut()
	if err := testkit.Receive(t, "the end of the run", ended); !errors.Is(err, agloop.ErrStartUnknown) {
		t.Errorf("%v", err)
	}
	close(answer)
}

// TestClientOverHTTPJoins: Attach sees what another client has started, from its start or a cursor, and
// Cancel ends it.
func TestClientOverHTTPJoins(t *testing.T) {
	values := make(chan string)
	_, addr := serveEach(t, agloop.ServerConfig{Agent: steps(values)})
	ann := agloop.ClientConfig{Header: http.Header{"Authorization": {"ann"}}}
	a, b := httpClient(t, addr, ann), httpClient(t, addr, ann)
	started := make(chan struct{})
	ended := make(chan string)
	go func() {
		var types []string
		for ev, err := range a.Run(t.Context(), inThread("a/b c", "r?%")) {
			if err != nil {
				t.Error(err)
				break
			}
			if len(types) == 0 {
				close(started)
			}
			types = append(types, string(ev.Type()))
		}
		ended <- strings.Join(types, " ")
	}()
	<-started
	values <- "one"
	values <- "more"
	for ev, err := range b.Attach(t.Context(), "a/b c", "r?%", agloop.Cursor{}) {
		if err != nil {
			t.Fatal(err)
		}
		if custom, ok := ev.(*agui.Custom); ok && string(custom.Value) == `"more"` {
			break // it was not applied
		}
	}
	at := b.Cursor("a/b c", "r?%")
	values <- "two"
	n := 0
	for ev, err := range b.Attach(t.Context(), "a/b c", "r?%", at) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if custom, ok := ev.(*agui.Custom); ok && string(custom.Value) == `"two"` {
			if err := b.Cancel(t.Context(), "a/b c", "r?%"); err != nil {
				t.Fatal(err)
			}
		}
		if finished, ok := ev.(*agui.RunFinished); ok && finished.Outcome.Type != agui.OutcomeCancelled {
			t.Errorf("%+v", finished.Outcome)
		}
	}
	if n != 3 || at.Offset != 2 {
		t.Errorf("%d events came behind %v", n, at)
	}
	if got := <-ended; got != "RUN_STARTED CUSTOM CUSTOM CUSTOM RUN_FINISHED" {
		t.Errorf("got %s", got)
	}
	bob := httpClient(t, addr, agloop.ClientConfig{Header: http.Header{"Authorization": {"bob"}}})
	for _, err := range bob.Attach(t.Context(), "a/b c", "r?%", agloop.Cursor{}) {
		if !errors.Is(err, agloop.ErrGone) {
			t.Errorf("%v", err)
		}
	}
	if err := bob.Cancel(t.Context(), "nobody", "knows"); err != nil {
		t.Error(err)
	}
	if _, err := b.Steer(t.Context(), "t", "r", "left"); !errors.Is(err, agloop.ErrNoResume) {
		t.Errorf("%v", err)
	}
	for _, err := range b.Follow(t.Context(), "t") {
		if !errors.Is(err, agloop.ErrNoResume) {
			t.Errorf("%v", err)
		}
	}
}

// TestClientOverHTTPLeaves: a run whose loop was left goes on, and with Resume.Off it ends.
func TestClientOverHTTPLeaves(t *testing.T) {
	values := make(chan string)
	ends := make(chan agloop.RunEnd, 2)
	cfg := agloop.ServerConfig{Agent: steps(values)}
	cfg.Hooks.RunEnded = func(end agloop.RunEnd) { ends <- end }
	srv, addr := serve(t, cfg)
	for _, off := range []bool{false, true} {
		c := httpClient(t, addr, agloop.ClientConfig{Resume: agloop.Resume{Off: off}})
		for range c.Run(t.Context(), inThread("t", fmt.Sprint("r", off))) {
			break
		}
		testkit.Await(t, "the response has ended", func() bool { return srv.Stats().Logged.Streams == 0 })
		if !off {
			values <- "step" // which a run that was cancelled does not take
			if err := c.Cancel(t.Context(), "t", fmt.Sprint("r", off)); err != nil {
				t.Error(err)
			}
		}
		want := agloop.ErrCancelled
		if off {
			want = agloop.ErrAbandoned
		}
		if end := testkit.Receive(t, "an end", ends); !errors.Is(end.Err, want) {
			t.Errorf("%v, want %v", end.Err, want)
		}
	}
}

// foreign is a server of AG-UI that is not ours.
func foreign(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *agloop.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(srv.Close)
	return httpClient(t, srv.Listener.Addr().String(), agloop.ClientConfig{Limits: agloop.Limits{MaxMessage: 64 << 10}})
}

const (
	startedLine  = `{"type":"RUN_STARTED","threadId":"t","runId":"r"}`
	finishedLine = `{"type":"RUN_FINISHED","threadId":"t","runId":"r"}`
)

// TestClientOverHTTPForeignStreams: streams as other servers write them, and broken ones.
func TestClientOverHTTPForeignStreams(t *testing.T) {
	long := `{"type":"CUSTOM","name":"n","value":"` + strings.Repeat("x", 60<<10) + `"}`
	for name, c := range map[string]struct {
		stream string
		events int
		err    error  // nil: the run comes to its end
		text   string // of the error
	}{
		"plain":             {"data: " + startedLine + "\n\ndata: " + finishedLine + "\n\n", 2, nil, ""},
		"without spaces":    {"data:" + startedLine + "\n\ndata:" + finishedLine + "\n\n", 2, nil, ""},
		"CRLF":              {"data: " + startedLine + "\r\n\r\ndata: " + finishedLine + "\r\n\r\n", 2, nil, ""},
		"comments":          {":hello\n\n: ping\n\ndata: " + startedLine + "\n\n:\n\ndata: " + finishedLine + "\n\n", 2, nil, ""},
		"several lines":     {"data: {\"type\":\ndata: \"RUN_STARTED\",\ndata: \"threadId\":\"t\",\"runId\":\"r\"}\n\ndata: " + finishedLine + "\n\n", 2, nil, ""},
		"event and id":      {"event: message\nid: 17\nretry: 3\ndata: " + startedLine + "\n\nid: 18\ndata: " + finishedLine + "\n\n", 2, nil, ""},
		"a byte order mark": {"\uFEFFdata: " + startedLine + "\n\ndata: " + finishedLine + "\n\n", 2, nil, ""},
		"a large event":     {"data: " + startedLine + "\n\ndata: " + long + "\n\ndata: " + finishedLine + "\n\n", 3, nil, ""},
		"truncated":         {"data: " + startedLine + "\n\n", 1, agloop.ErrTruncated, ""},
		"cut in an event":   {"data: " + startedLine + "\n\ndata: {\"type\":\"CUS", 1, agloop.ErrTruncated, ""},
		"empty":             {"", 0, agloop.ErrTruncated, ""},
		"no JSON":           {"data: " + startedLine + "\n\ndata: <html>\n\n", 1, nil, "not valid JSON"},
		"out of order":      {"data: " + finishedLine + "\n\n", 0, nil, "RUN_STARTED"},
		"too large":         {"data: " + startedLine + "\n\ndata: " + strings.Repeat(long, 2) + "\n\n", 1, agloop.ErrTruncated, "larger than Limits.MaxMessage"},
		"endless":           {"data: " + startedLine + "\n\ndata: " + strings.Repeat("x", 1<<20), 1, agloop.ErrTruncated, "larger than Limits.MaxMessage"},
	} {
		t.Run(name, func(t *testing.T) {
			client := foreign(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				io.WriteString(w, c.stream)
			})
			events, failed := 0, error(nil)
			for _, err := range client.Run(t.Context(), inThread("t", "r")) {
				if err != nil {
					failed = err
				} else {
					events++
				}
			}
			switch {
			case events != c.events:
				t.Errorf("%d events, want %d: %v", events, c.events, failed)
			case c.err == nil && c.text == "" && failed != nil:
				t.Error(failed)
			case c.err != nil && !errors.Is(failed, c.err):
				t.Errorf("%v, want %v", failed, c.err)
			case c.text != "" && (failed == nil || !strings.Contains(failed.Error(), c.text)):
				t.Errorf("%v, want %q", failed, c.text)
			}
		})
	}
}

// TestClientOverHTTPForeignAnswers: what is no stream is told with its status, and without waiting.
func TestClientOverHTTPForeignAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		kind, body string
		want       agloop.RejectedError
	}{
		"401":      {401, "text/plain", "who are you?\nsecret", agloop.RejectedError{Status: 401, Message: "who are you?"}},
		"422":      {422, "application/json", `{"detail":[]}`, agloop.RejectedError{Status: 422, Message: `{"detail":[]}`}},
		"a page":   {200, "text/html", "<html>", agloop.RejectedError{Status: 200, Message: "the response is text/html, and no stream of events"}},
		"redirect": {303, "text/plain", "", agloop.RejectedError{Status: 303}},
		"ours":     {400, "application/json", `{"code":"invalid_input","field":"messages[0].role","message":"m"}`, agloop.RejectedError{Status: 400, Code: "invalid_input", Field: "messages[0].role", Message: "m"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := foreign(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			for _, err := range client.Run(t.Context(), inThread("t", "r")) {
				rejected, ok := errors.AsType[*agloop.RejectedError](err)
				if !ok || *rejected != c.want {
					t.Errorf("%v", err)
				}
			}
		})
	}
	client := foreign(t, http.NotFound)
	if err := client.Cancel(t.Context(), "t", "r"); !errors.Is(err, agloop.ErrNoResume) {
		t.Errorf("%v", err)
	}
}

// TestClientOverHTTPRedirects: a redirect is followed on the same server; what the host and the user say is
// for no other one.
func TestClientOverHTTPRedirects(t *testing.T) {
	s := newTeller(2, 0)
	var seen []http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header) }))
	t.Cleanup(other.Close)
	srv, away := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: s})), false
	addr := mount(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case away:
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		case strings.HasPrefix(r.URL.Path, "/agui"):
			http.Redirect(w, r, "/new"+r.URL.EscapedPath(), http.StatusPermanentRedirect)
		default:
			http.StripPrefix("/new", srv).ServeHTTP(w, r)
		}
	}))
	c := httpClient(t, addr, agloop.ClientConfig{Header: http.Header{"Authorization": {"Bearer x"}, "X-Api-Key": {"y"}}})
	s.runWhole(t, c, "t", "r")
	away = true
	for _, run := range []iter.Seq2[agui.Event, error]{c.Run(t.Context(), inThread("t", "other")), c.Attach(t.Context(), "t", "r", agloop.Cursor{})} {
		for _, err := range run {
			if rejected, ok := errors.AsType[*agloop.RejectedError](err); !ok || rejected.Status != 307 {
				t.Errorf("%v", err)
			}
		}
	}
	if len(seen) > 0 || c.Secret() == "" {
		t.Errorf("another server was told %v", seen)
	}
}

// TestClientOverHTTPStartsOnceWithoutSession: a client that knows the server, but had no session when its
// start was lost, does not have the run begun a second time in another one.
func TestClientOverHTTPStartsOnceWithoutSession(t *testing.T) {
	s := newTeller(2, 0)
	asked, answer := make(chan string, 4), make(chan bool)
	_, addr := serve(t, agloop.ServerConfig{Agent: s, Limits: agloop.Limits{MaxMessage: 4 << 10}, Runs: agloop.RunsConfig{
		FilterInput: func(_ context.Context, _ agloop.Principal, in *agui.RunAgentInput) error {
			asked <- in.RunID
			<-answer
			return nil
		},
	}})
	var k cutter
	c := httpClient(t, addr, agloop.ClientConfig{Dial: k.dial})
	large := inThread("t", "large")
	large.State = json.RawMessage(`"` + strings.Repeat("x", 8<<10) + `"`)
	for _, err := range c.Run(t.Context(), large) { // its refusal says which server that is
		if !errors.Is(err, agloop.ErrInputTooBig) {
			t.Errorf("%v", err)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.hear("lost", "r", c.Run(t.Context(), inThread("lost", "r")))
		ended <- err
	}()
	testkit.Receive(t, "the start", asked)
	k.cut()
	close(answer)
	if err := testkit.Receive(t, "the end of the run", ended); !errors.Is(err, agloop.ErrStartUnknown) {
		t.Errorf("%v", err)
	}
	if n := s.calls("lost", "r"); n > 1 || len(asked) > 0 {
		t.Errorf("the agent was called %d times, the filter %d", n, 1+len(asked))
	}
}

// TestClientOverHTTPCloses: a client that is closed while it reads leaves no connection.
func TestClientOverHTTPCloses(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: steps(make(chan string)), TLS: testkit.ServerTLS(t)})
	c, err := agloop.Dial(t.Context(), "https://"+addr+"/agui", agloop.ClientConfig{TLS: testkit.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, last = range c.Run(t.Context(), inThread("t", "r")) {
		if last == nil {
			c.Close()
		}
	}
	if !errors.Is(last, agloop.ErrClientClosed) {
		t.Errorf("%v", last)
	}
	testkit.Await(t, "its connection is gone", func() bool { return srv.Stats().HTTP == 0 })
}
