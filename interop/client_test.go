package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// accepter runs a server that calls serve with its end of every connection, and
// closes it afterwards.
type accepter = func(t testing.TB, serve func(peer)) (url string)

// accepters are the servers that every test of a client runs with.
var accepters = []struct {
	name   string
	accept accepter
}{
	{"gorilla", func(t testing.TB, serve func(peer)) string {
		up := gorilla.Upgrader{Subprotocols: []string{"agui.v1"}}
		return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			p := &gorillaPeer{conn: conn, pongs: make(chan string, 1)}
			conn.SetPongHandler(func(s string) error { p.pongs <- s; return nil })
			serve(p)
		})
	}},
	{"coder", func(t testing.TB, serve func(peer)) string {
		return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			conn, err := coder.Accept(w, r, &coder.AcceptOptions{Subprotocols: []string{"agui.v1"}})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			conn.SetReadLimit(-1)
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			serve(&coderPeer{conn, ctx})
		})
	}},
}

func eachServer(t *testing.T, f func(t *testing.T, accept accepter)) {
	for _, lib := range accepters {
		t.Run(lib.name, func(t *testing.T) { f(t, lib.accept) })
	}
}

// connect is client.Dial that must succeed.
func connect(t testing.TB, url string, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// toChannel gives each message, and the end, to channels with room for them.
type toChannel struct {
	client.NopHandler
	got  chan string
	ends chan *client.CloseError
}

func newToChannel() toChannel {
	return toChannel{got: make(chan string, 16), ends: make(chan *client.CloseError, 1)}
}

func (h toChannel) OnMessage(_ *client.Conn, op server.Opcode, p []byte) {
	h.got <- fmt.Sprint(op == server.Text) + string(p)
}

func (h toChannel) OnClose(_ *client.Conn, why *client.CloseError) { h.ends <- why }

func TestClientEcho(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		url := accept(t, func(p peer) {
			if err := p.send(true, []byte("hello from "+p.protocol())); err != nil {
				t.Error(err)
			}
			for n := 1; ; n++ {
				text, b, err := p.receive()
				if err != nil {
					return
				}
				if n%2 == 0 {
					err = p.send(text, b)
				} else {
					err = p.sendInPieces(text, b, 1+len(b)/7)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
		h := newToChannel()
		cfg := clientConfig()
		cfg.Handler, cfg.Protocols = h, []string{"agui.v0", "agui.v1"}
		c := connect(t, url, cfg)
		if got := <-h.got; got != "truehello from agui.v1" || c.Protocol() != "agui.v1" {
			t.Errorf("got %q, protocol %q", got, c.Protocol())
		}
		for _, n := range []int{0, 8, 120, 128, 65528, 65536, 1 << 20} {
			for _, op := range []server.Opcode{server.Text, server.Binary} {
				for range 2 {
					c.Conn().Send(op, payload(n))
					if got, want := <-h.got, fmt.Sprint(op == server.Text)+string(payload(n)); got != want {
						t.Fatalf("%d bytes: got %d back", n, len(got))
					}
				}
			}
		}
		c.Close()
		if why := <-h.ends; why.Code != 1000 || why.Remote {
			t.Errorf("OnClose was told %v", why)
		}
	})
}

func TestClientPing(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		done := make(chan error, 1)
		url := accept(t, func(p peer) {
			done <- p.ping("are you there?")
			_, _, _ = p.receive()
		})
		cfg := clientConfig()
		cfg.Handler = echo{}
		connect(t, url, cfg)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestClientCloseCodes(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		seen := make(chan error, 1)
		todo := make(chan int, 1)
		url := accept(t, func(p peer) {
			if code := <-todo; code != 0 {
				seen <- p.close(code, "server")
				return
			}
			_, _, err := p.receive()
			seen <- err
		})
		for _, code := range []int{1000, 1001, 1008, 1011, 3000, 4999} {
			h := newToChannel()
			cfg := clientConfig()
			cfg.Handler = h
			todo <- code
			connect(t, url, cfg)
			if why := <-h.ends; int(why.Code) != code || why.Reason != "server" || !why.Remote {
				t.Errorf("the server closed with %d: OnClose was told %v", code, why)
			}
			if err := <-seen; err != nil {
				t.Errorf("the server closed with %d: %v", code, err)
			}

			todo <- 0
			c := connect(t, url, cfg)
			c.Conn().Close(server.CloseCode(code), "client")
			if got, reason := closedWith(<-seen); got != code || reason != "client" {
				t.Errorf("the client closed with %d: the server saw %d %q", code, got, reason)
			}
			if why := <-h.ends; int(why.Code) != code || why.Remote {
				t.Errorf("the client closed with %d: OnClose was told %v", code, why)
			}
		}
	})
}

const (
	started  = `{"type":"RUN_STARTED","threadId":"thread","runId":"run"}`
	finished = `{"type":"RUN_FINISHED","threadId":"thread","runId":"run"}`
)

// scripted serves one run: it sends the events and waits for the client to leave,
// whose close it reports.
func scripted(t *testing.T, accept accepter, frames []string, end func(peer)) (url string, seen chan error) {
	seen = make(chan error, 1)
	return accept(t, func(p peer) {
		_, b, err := p.receive()
		var in struct{ ThreadID, RunID, ProtocolVersion string }
		if err == nil {
			err = json.Unmarshal(b, &in)
		}
		if err != nil || in.ThreadID != "thread" || in.RunID != "run" || in.ProtocolVersion != agui.ProtocolVersion {
			t.Errorf("input %q, %v", b, err)
		}
		for _, frame := range frames {
			text := !strings.HasPrefix(frame, "binary:")
			if err := p.send(text, []byte(strings.TrimPrefix(frame, "binary:"))); err != nil {
				t.Error(err)
			}
		}
		if end != nil {
			end(p)
		}
		for err = nil; err == nil; {
			_, _, err = p.receive()
		}
		seen <- err
	}), seen
}

// runAll makes a run and returns the types it yields, and its error.
func runAll(t testing.TB, c *client.Client) (types string, err error) {
	t.Helper()
	for ev, e := range c.Run(within(t), runInput("run")) {
		if e != nil {
			err = e
			continue
		}
		if err != nil {
			t.Error("an event after an error")
		}
		types = strings.TrimPrefix(types+" "+string(ev.Type()), " ")
	}
	return types, err
}

func TestClientRun(t *testing.T) {
	text := func(member string) string { return `{"type":"TEXT_MESSAGE_` + member + `}` }
	isFieldError := func(event, field string) func(error) bool {
		return func(err error) bool {
			fe, ok := errors.AsType[*agloop.FieldError](err)
			return ok && fe.Event == event && fe.Field == field
		}
	}
	isOrderError := func(event agui.EventType, rule string) func(error) bool {
		return func(err error) bool {
			oe, ok := errors.AsType[*agloop.OrderError](err)
			return ok && oe.Event == event && oe.Rule == rule
		}
	}
	truncatedWith := func(code server.CloseCode) func(error) bool {
		return func(err error) bool {
			ce, ok := errors.AsType[*client.CloseError](err)
			return errors.Is(err, agloop.ErrTruncated) && ok && ce.Code == code
		}
	}
	tests := []struct {
		name   string
		frames []string
		end    func(peer) // what the server does then; nil waits
		types  string
		wrong  func(error) bool // nil: no error
		sees   int              // the code the server sees; 0: the connection stays
		stats  client.Stats
	}{
		{
			name:   "good",
			frames: []string{started, text(`START","messageId":"m"`), text(`CONTENT","messageId":"m","delta":""`), text(`END","messageId":"m"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED",
		},
		{
			name:   "chunks",
			frames: []string{started, text(`CHUNK","messageId":"m","delta":"a"`), text(`CHUNK","delta":"b"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED",
		},
		{name: "RUN_ERROR is an event", frames: []string{started, `{"type":"RUN_ERROR","message":"sorry"}`}, types: "RUN_STARTED RUN_ERROR"},
		{name: "refused", frames: []string{`{"type":"RUN_ERROR","message":"no"}`}, types: "RUN_ERROR"},
		{
			name:   "unknown event",
			frames: []string{started, `{"type":"SOMETHING_NEW","x":[1]}`, `{"type":"ping"}`, finished},
			types:  "RUN_STARTED RUN_FINISHED", stats: client.Stats{UnknownEvents: 2},
		},
		{
			name:   "unknown members",
			frames: []string{started, `{"type":"CUSTOM","name":"n","value":{"open":1},"toString":1}`, `{"type":"RUN_FINISHED","threadId":"thread","runId":"run","outcome":{"type":"novel"}}`},
			types:  "RUN_STARTED CUSTOM RUN_FINISHED", stats: client.Stats{Stripped: 2},
		},
		{
			name:   "malformed field",
			frames: []string{started, text(`START","messageId":7`), finished},
			types:  "RUN_STARTED", wrong: isFieldError("TEXT_MESSAGE_START", "messageId"), sees: 1002,
		},
		{
			name:   "missing field",
			frames: []string{started, text(`CONTENT","messageId":"m"`), finished},
			types:  "RUN_STARTED", wrong: isFieldError("TEXT_MESSAGE_CONTENT", "delta"), sees: 1002,
		},
		{
			name:   "null for absent",
			frames: []string{`{"type":"RUN_STARTED","threadId":"thread","runId":"run","parentRunId":null}`},
			wrong:  isFieldError("RUN_STARTED", "parentRunId"), sees: 1002,
		},
		{name: "no type", frames: []string{started, `{"kind":"x"}`}, types: "RUN_STARTED", wrong: isFieldError("", "type"), sees: 1002},
		{
			name: "no JSON", frames: []string{started, `data: {}`}, types: "RUN_STARTED",
			wrong: func(err error) bool { _, ok := errors.AsType[*agloop.FieldError](err); return ok }, sees: 1002,
		},
		{
			name:   "content of nothing",
			frames: []string{started, text(`CONTENT","messageId":"m","delta":"x"`), finished},
			types:  "RUN_STARTED", wrong: isOrderError(agui.EventTypeTextMessageContent, agui.RuleNotOpen), sees: 1002,
		},
		{
			name: "started late", frames: []string{text(`START","messageId":"m"`), started},
			wrong: isOrderError(agui.EventTypeTextMessageStart, agui.RuleFirstEvent), sees: 1002,
		},
		{
			name:   "finished too early",
			frames: []string{started, text(`START","messageId":"m"`), finished},
			types:  "RUN_STARTED TEXT_MESSAGE_START", wrong: isOrderError(agui.EventTypeRunFinished, agui.RuleStillOpen), sees: 1002,
		},
		{
			name: "cut off", frames: []string{started}, end: peer.drop,
			types: "RUN_STARTED", wrong: truncatedWith(1006),
		},
		{
			name: "closed in the middle", frames: []string{started}, end: func(p peer) { _ = p.close(1000, "") },
			types: "RUN_STARTED", wrong: truncatedWith(1000),
		},
		{
			name: "closed before the start", end: func(p peer) { _ = p.close(1011, "broken") },
			wrong: truncatedWith(1011),
		},
		{name: "binary", frames: []string{started, "binary:" + finished}, types: "RUN_STARTED", wrong: truncatedWith(1003), sees: 1003},
	}
	eachServer(t, func(t *testing.T, accept accepter) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				url, seen := scripted(t, accept, tt.frames, tt.end)
				c := connect(t, url, clientConfig())
				types, err := runAll(t, c)
				if types != tt.types {
					t.Errorf("got %q, want %q", types, tt.types)
				}
				if (err == nil) != (tt.wrong == nil) || err != nil && !tt.wrong(err) {
					t.Errorf("got error %v", err)
				}
				if got := c.Stats(); got != tt.stats {
					t.Errorf("got %+v, want %+v", got, tt.stats)
				}
				want := tt.sees
				if want == 0 {
					c.Close()
					want = 1000
				}
				if code, _ := closedWith(<-seen); tt.end == nil && code != want {
					t.Errorf("the server saw the client close with %d, want %d", code, want)
				}
				if tt.wrong != nil {
					if types, err := runAll(t, c); err == nil || types != "" {
						t.Errorf("another run on a dead connection: %q, %v", types, err)
					}
				}
			})
		}
	})
}

// TestClientRuns: runs follow one another on one connection, and not at once.
func TestClientRuns(t *testing.T) {
	_, url := serve(t, server.Config{Agent: agentFunc(story)})
	c := connect(t, url, clientConfig())
	for range 3 {
		var got []string
		for ev, err := range c.Run(within(t), runInput("run")) {
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				if _, err := runAll(t, c); !errors.Is(err, agloop.ErrRunActive) {
					t.Errorf("a run inside a run: %v", err)
				}
			}
			got = append(got, string(ev.Type()))
		}
		if strings.Join(got, " ") != strings.Join(storyTypes, " ") {
			t.Errorf("got %q", got)
		}
	}
	for _, err := range c.Run(within(t), &agui.RunAgentInput{ThreadID: "thread", RunID: "run", State: json.RawMessage("{")}) {
		if _, ok := errors.AsType[*agloop.FieldError](err); !ok {
			t.Errorf("a malformed input: %v", err)
		}
	}
	if _, err := runAll(t, c); err != nil {
		t.Errorf("after a malformed input: %v", err)
	}
	c.Close()
	if _, err := runAll(t, c); !errors.Is(err, agloop.ErrClientClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestClientLeaves: however a caller leaves a run, the agent is told.
func TestClientLeaves(t *testing.T) {
	agent := newHeld()
	srv, url := serve(t, server.Config{Agent: agent})
	tests := []struct {
		name  string
		leave func(c *client.Client, cancel context.CancelFunc) bool // whether to go on reading
		want  error
	}{
		{"break", func(*client.Client, context.CancelFunc) bool { return false }, nil},
		{"cancel", func(_ *client.Client, cancel context.CancelFunc) bool { cancel(); return true }, context.Canceled},
		{"Close", func(c *client.Client, _ context.CancelFunc) bool { c.Close(); return true }, agloop.ErrClientClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			c := connect(t, url, clientConfig())
			var last error
			for ev, err := range c.Run(ctx, runInput("run")) {
				if last = err; err == nil && ev.Type() == agui.EventTypeTextMessageStart && !tt.leave(c, cancel) {
					break
				}
			}
			if !errors.Is(last, tt.want) {
				t.Errorf("the run ended with %v, want %v", last, tt.want)
			}
			testkit.Await(t, "the run to end", func() bool { return srv.Stats().Runs == 0 })
			testkit.Await(t, "the connection to end", func() bool { return srv.Stats().Connections == 0 })
			if _, err := runAll(t, c); err == nil {
				t.Error("another run was possible")
			}
		})
	}
}

// TestClientSlowConsumer: events that nobody takes are bounded.
func TestClientSlowConsumer(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		frames := []string{started}
		for range 40 {
			frames = append(frames, `{"type":"CUSTOM","name":"n","value":"`+strings.Repeat("x", 1000)+`"}`)
		}
		sent := make(chan struct{})
		url, seen := scripted(t, accept, frames, func(peer) { close(sent) })
		cfg := clientConfig()
		cfg.MaxPending = 20_000
		c := connect(t, url, cfg)
		n := 0
		for _, err := range c.Run(within(t), runInput("run")) {
			if n == 0 {
				<-sent
				if code, _ := closedWith(<-seen); code != 1008 {
					t.Errorf("the server saw close %d, want 1008", code)
				}
			}
			n++
			if err != nil && !errors.Is(err, agloop.ErrSlowConsumer) {
				t.Error(err)
			}
		}
		if n < 10 || n > 22 {
			t.Errorf("%d events and errors, want what fits into MaxPending", n)
		}
	})
}

func TestClientRefused(t *testing.T) {
	type answer struct {
		status int
		header string
	}
	for _, a := range []answer{{401, ""}, {403, ""}, {404, ""}, {503, "7"}, {200, ""}} {
		url := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			if a.header != "" {
				w.Header().Set("Retry-After", a.header)
			}
			w.WriteHeader(a.status)
		})
		_, err := client.Dial(within(t), url, clientConfig())
		de, ok := errors.AsType[*client.DialError](err)
		if !ok || de.Status != a.status || a.header != "" && de.RetryAfter != 7*time.Second {
			t.Errorf("status %d: got %#v", a.status, err)
		}
	}
	accept := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	raw := []struct{ name, response string }{
		{"accept key of another request", accept + "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n\r\n"},
		{"endless", accept + strings.Repeat("x", 20_000)},
	}
	for _, tt := range raw {
		_, err := client.Dial(within(t), rawServer(t, tt.response), clientConfig())
		if _, ok := errors.AsType[*client.DialError](err); !ok {
			t.Errorf("%s: got %v, want a DialError", tt.name, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, rawServer(t, "HTTP/1.1 101"), clientConfig()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("half a response: %v", err)
	}
	if _, err := client.Dial(within(t), rawServer(t, ""), client.Config{Limits: client.Limits{HandshakeTimeout: 50 * time.Millisecond}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no response: %v", err)
	}
	if _, err := client.Dial(within(t), "wss://127.0.0.1:1/", clientConfig()); !errors.Is(err, agloop.ErrTLS) {
		t.Errorf("wss: %v", err)
	}
	if _, err := client.Dial(within(t), "http://127.0.0.1:1/", clientConfig()); err == nil {
		t.Error("http: no error")
	}
}

// rawServer answers the first connection with bytes and keeps it open for the test.
func rawServer(t testing.TB, response string) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, response)
		_, _ = io.Copy(io.Discard, nc) // until the client gives up
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "ws://" + ln.Addr().String() + "/ws"
}

// TestClientEarly: frames that the server sends in one write with its response.
func TestClientEarly(t *testing.T) {
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		nc, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		response := handshake.AppendSwitchingProtocols(nil, []byte(r.Header.Get("Sec-WebSocket-Key")), "")
		response = append(response, "\x81\x05early\x88\x02\x03\xE8"...)
		_, _ = nc.Write(response)
		_, _ = io.Copy(io.Discard, buf)
	})
	h := newToChannel()
	cfg := clientConfig()
	cfg.Handler = h
	connect(t, url, cfg)
	if got := <-h.got; got != "trueearly" {
		t.Errorf("got %q", got)
	}
	if why := <-h.ends; why.Code != 1000 || !why.Remote {
		t.Errorf("OnClose was told %v", why)
	}
}

// TestClientMany: clients of one process share their loops and do not mix their runs.
func TestClientMany(t *testing.T) {
	_, url := serve(t, server.Config{Agent: agentFunc(func(_ context.Context, run *server.Run) error {
		for i := range 50 {
			if err := run.Emit(&agui.Custom{Name: run.Input.RunID, Value: fmt.Append(nil, i)}); err != nil {
				return err
			}
		}
		return nil
	})})
	errs := make(chan error)
	const clients = 20
	for i := range clients {
		go func() {
			errs <- func() error {
				c, err := client.Dial(within(t), url, clientConfig())
				if err != nil {
					return err
				}
				defer c.Close()
				for j := range 5 {
					id, n := fmt.Sprint(i, "-", j), 0
					for ev, err := range c.Run(within(t), runInput(id)) {
						if err != nil {
							return err
						}
						if e, ok := ev.(*agui.Custom); ok {
							if e.Name != id || !bytes.Equal(e.Value, fmt.Append(nil, n)) {
								return fmt.Errorf("run %s: event %s of run %s", id, e.Value, e.Name)
							}
							n++
						}
					}
					if n != 50 {
						return fmt.Errorf("run %s: %d events", id, n)
					}
				}
				return nil
			}()
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
