package agloop_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// echo is a Handler that sends messages back.
type echo struct{ agloop.NopHandler }

func (echo) OnMessage(c *agloop.Conn, op agloop.Opcode, payload []byte) { c.Reply(op, payload) }

// mount serves a handler by net/http, and ends it.
func mount(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// closing closes a server at the end of its test.
func closing(t *testing.T, srv *agloop.Server) *agloop.Server {
	t.Helper()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// recorder is what middleware wraps a ResponseWriter with.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int)      { r.status = status; r.ResponseWriter.WriteHeader(status) }
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// at is a request for a WebSocket at another path.
func at(path string, fields ...string) []byte {
	return []byte(strings.Replace(string(testkit.Request(fields...)), "/ws", path, 1))
}

// TestMounted: two servers and a plain route in one mux, behind middleware that wraps the response.
func TestMounted(t *testing.T) {
	agent := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: hello}))
	bytes := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}}))
	mux := http.NewServeMux()
	mux.Handle("/agent/ws", agent)
	mux.Handle("/bytes", bytes)
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") })
	addr := mount(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(&recorder{ResponseWriter: w}, r)
	}))

	c, err := agloop.Dial(t.Context(), "ws://"+addr+"/agent/ws", agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
	frames := append(testkit.Text("first"), testkit.Text(strings.Repeat("x", 3000))...)
	for cut := 0; cut <= len(frames); cut += 200 { // early bytes, however they are cut
		p := testkit.Connect(t, addr, 0)
		p.Put(append(at("/bytes"), frames[:cut]...))
		p.Put(frames[cut:])
		p.WantSwitch()
		p.WantMessage(frame.Text, "first")
		p.WantMessage(frame.Text, strings.Repeat("x", 3000))
		p.HangUp()
	}
	res, err := http.Get("http://" + addr + "/plain")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "plain" {
		t.Errorf("got %q", body)
	}
	http.DefaultClient.CloseIdleConnections()
	if st := agent.Stats(); st.Connections != 1 || st.Opened != 1 {
		t.Errorf("%+v", st)
	}
}

// TestServersOnOnePort: a server whose HTTP side is a mux with another one in it.
func TestServersOnOnePort(t *testing.T) {
	agent := closing(t, agloop.NewServer(agloop.ServerConfig{Agent: hello}))
	mux := http.NewServeMux()
	mux.Handle("/agent", agent)
	mux.HandleFunc("/ping", agloop.DefaultHTTP)
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: mux})
	for _, before := range []string{"", ping} {
		p := testkit.Connect(t, addr, 0)
		if before != "" {
			get(t, p, before)
		}
		p.Put(at("/agent"), testkit.Text(inputOf("r", 0)))
		p.WantSwitch()
		if _, first, err := p.Message(); err != nil || !strings.Contains(string(first), "RUN_STARTED") {
			t.Errorf("got %s, %v", first, err)
		}
		p.Close()
	}
	p := testkit.Dial(t, addr)
	p.Put(testkit.Text("the first server"))
	p.WantMessage(frame.Text, "the first server")
	p.HangUp()
	testkit.Await(t, "all are gone", func() bool { return agent.Stats().Connections == 0 })
}

// TestMountedOnLoopback: a server that is mounted on a loopback address answers to its names alone,
// and sends the fields that middleware has set.
func TestMountedOnLoopback(t *testing.T) {
	for name, tt := range map[string]struct {
		addr   string // of the http.Server
		hosts  []string
		status int
	}{
		"by the connection": {"", nil, 403},
		"by the server":     {"localhost:8080", nil, 403},
		"all addresses":     {":8080", nil, 101},
		"listed":            {"", []string{"evil.example"}, 101},
	} {
		srv := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}, Hosts: tt.hosts}))
		host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "7")
			w.Header().Set("Connection", "of no use")
			srv.ServeHTTP(w, r)
		}))
		host.Config.Addr = tt.addr
		host.Start()
		t.Cleanup(host.Close)
		p := testkit.Connect(t, host.Listener.Addr().String(), 0)
		p.Put([]byte(strings.Replace(string(testkit.Request("Origin: http://evil.example")), "localhost", "evil.example", 1)))
		if status, fields := p.Head(); status != tt.status || fields["X-Request-Id"] != "7" {
			t.Errorf("%s: got status %d, %v", name, status, fields)
		}
		p.Close()
	}
}

// TestRateOfTheInnerServer counts also for connections that another server has accepted.
func TestRateOfTheInnerServer(t *testing.T) {
	inner := closing(t, agloop.NewServer(agloop.ServerConfig{
		Handler: echo{}, Rates: agloop.Rates{AcceptsPerIP: 0.001, AcceptsPerIPBurst: 1},
	}))
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: inner})
	for _, status := range []int{101, 429} {
		p := testkit.Connect(t, addr, 0)
		p.Put(at("/inner"))
		if got, _ := p.Head(); got != status {
			t.Errorf("got status %d, want %d", got, status)
		}
		p.Close()
	}
	if n := inner.Stats().Refusals.AddressRate; n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestMountedRefuses: the rules are those of the reactor, and a refused connection is not used
// again.
func TestMountedRefuses(t *testing.T) {
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{
		Handler: echo{}, Origins: []string{"https://app.example"}, Hosts: []string{"localhost"},
		Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			if req.Header.Get("Cookie") == "" {
				return g, errors.Join(&agloop.RefusedError{Status: 401, Header: http.Header{"WWW-Authenticate": {"Bearer"}}}, errors.New("secret"))
			}
			return g, nil
		},
	}))
	addr := mount(t, srv)
	good := string(testkit.Request("Cookie: a"))
	for name, tt := range map[string]struct {
		request string
		status  int
		field   string
	}{
		"good":            {good, 101, "Sec-WebSocket-Accept"},
		"no cookie":       {string(testkit.Request()), 401, "WWW-Authenticate"},
		"origin":          {string(testkit.Request("Cookie: a", "Origin: https://evil.example")), 403, ""},
		"origin listed":   {string(testkit.Request("Cookie: a", "Origin: https://app.example")), 101, ""},
		"rebound host":    {strings.Replace(good, "localhost", "evil.example", 1), 403, ""},
		"version":         {strings.Replace(good, ": 13", ": 12", 1), 426, "Sec-WebSocket-Version"},
		"key":             {strings.Replace(good, "Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x", 1), 400, ""},
		"key twice":       {string(testkit.Request("Cookie: a", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")), 400, ""},
		"body":            {string(testkit.Request("Cookie: a", "Content-Length: 3")) + "abc", 400, ""},
		"body in chunks":  {string(testkit.Request("Cookie: a", "Transfer-Encoding: chunked")) + "0\r\n\r\n", 400, ""},
		"POST":            {strings.Replace(good, "GET", "POST", 1), 405, "Allow"},
		"two in Upgrade":  {strings.Replace(good, ": websocket", ": websocket, h2c", 1), 400, ""},
		"HTTP/1.0":        {strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 505, ""},
		"no upgrade":      {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "Upgrade"},
		"other upgrade":   {strings.Replace(good, ": websocket", ": h2c", 1), 426, "Upgrade"},
		"no Connection":   {strings.Replace(good, "Connection: Upgrade\r\n", "", 1), 400, ""},
		"many protocols":  {string(testkit.Request("Cookie: a", "Sec-WebSocket-Protocol: "+strings.Repeat("a,", 17))), 400, ""},
		"field not a one": {string(testkit.Request("Cookie: a", "Bad Name: x")), 400, ""},
	} {
		p := testkit.Connect(t, addr, 0)
		p.Put([]byte(tt.request))
		res, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		if res.StatusCode != tt.status || tt.field != "" && res.Header.Get(tt.field) == "" {
			t.Errorf("%s: got %s, %v; want %d, %s", name, res.Status, res.Header, tt.status, tt.field)
		}
		if res.StatusCode != 101 && strings.Contains(tt.request, "websocket") && !res.Close {
			t.Errorf("%s: the connection stays", name)
		}
		if strings.Contains(string(body), "secret") {
			t.Errorf("%s: told %q", name, body)
		}
		p.Close()
	}
	testkit.Await(t, "every slot is free", func() bool { return srv.Stats().Connections == 0 })
}

// wrapped is a listener whose connections no loop can take.
type wrapped struct{ net.Listener }

func (w wrapped) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	return struct{ net.Conn }{nc}, err
}

// TestListenersThatNoLoopCanTake are refused by name when the server is to listen on them, and by a
// response where it is mounted behind them.
func TestListenersThatNoLoopCanTake(t *testing.T) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{Handler: echo{}, Logger: quiet}))
	err := srv.ServeListener(wrapped{listen()})
	if ce, ok := errors.AsType[*agloop.ConfigError](err); !ok || !strings.Contains(ce.Error(), "agloop_test.wrapped") {
		t.Errorf("got %v", err)
	}
	if n := srv.Loops(); n != 0 {
		t.Errorf("%d loops run", n)
	}
	if err := srv.Ready(); err != nil { // it can be mounted
		t.Error(err)
	}
	behind := httptest.NewUnstartedServer(srv)
	behind.Listener.Close()
	behind.Listener = wrapped{listen()}
	behind.Start()
	defer behind.Close()
	p := testkit.Connect(t, behind.Listener.Addr().String(), 0)
	p.Put(testkit.Request())
	p.WantRefusal(500)
	if n := srv.Stats().Connections; n != 0 {
		t.Errorf("%d slots taken", n)
	}
}

// TestMountedShutdown: http.Server.Shutdown knows nothing of these connections; Shutdown of the
// server, called from RegisterOnShutdown, ends them in order.
func TestMountedShutdown(t *testing.T) {
	running := make(chan struct{})
	srv := agloop.NewServer(agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
		close(running)
		<-ctx.Done()
		return ctx.Err()
	})})
	host := &http.Server{Handler: srv}
	ended := make(chan error, 1)
	host.RegisterOnShutdown(func() { ended <- srv.Shutdown(context.Background()) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go host.Serve(ln)
	p := testkit.Connect(t, ln.Addr().String(), 0)
	p.Put(testkit.Request(), testkit.Text(inputOf("r", 0)))
	p.WantSwitch()
	testkit.Receive(t, "the run", running)
	if err := host.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	var last string
	for {
		op, payload, err := p.Message()
		if err != nil {
			t.Fatal(err)
		}
		if op == frame.Close {
			if code, _, _ := frame.ParseClose(payload); code != agloop.CloseGoingAway {
				t.Errorf("closed with %v", code)
			}
			break
		}
		last = string(payload)
	}
	if !strings.Contains(last, `"cancelled"`) {
		t.Errorf("the last event is %s", last)
	}
	p.Put(testkit.Closing(1001, ""))
	p.Close()
	if err := testkit.Receive(t, "Shutdown", ended); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || w.Header().Get("Connection") != "close" {
		t.Errorf("after Shutdown: %d, %v", w.Code, w.Header())
	}
}

// TestMountedAuthorize: the context is the request's, with what middleware put there, and ends with
// the handshake's deadline.
func TestMountedAuthorize(t *testing.T) {
	type key struct{}
	late := make(chan error, 1)
	srv := closing(t, agloop.NewServer(agloop.ServerConfig{
		Handler: echo{}, Limits: agloop.Limits{HandshakeTimeout: 50 * time.Millisecond}, Logger: quiet,
		Authorize: func(ctx context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			switch ctx.Value(key{}) {
			case "slow":
				<-ctx.Done()
				late <- ctx.Err()
				return g, ctx.Err()
			case "panic":
				panic("in Authorize")
			}
			return g, nil
		},
	}))
	addr := mount(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		srv.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, r.URL.RawQuery)))
	}))
	for query, status := range map[string]int{"slow": 503, "panic": 500, "": 101} {
		p := testkit.Connect(t, addr, 0)
		p.Put(at("/?" + query))
		if got, _ := p.Head(); got != status {
			t.Errorf("%q: got status %d, want %d", query, got, status)
		}
		p.Close()
	}
	if err := testkit.Receive(t, "Authorize was told", late); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
