package agloop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// hello is an agent that says one word.
var hello = agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
	msg, err := run.TextMessage()
	if err != nil {
		return err
	}
	if err := msg.Write("hello"); err != nil {
		return err
	}
	return msg.Close()
})

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, tc := range []struct {
		field string
		cfg   agloop.ServerConfig
	}{
		{"Agent", agloop.ServerConfig{}},
		{"Handler", agloop.ServerConfig{Agent: hello, Handler: agloop.NopHandler{}}},
		{"Path", agloop.ServerConfig{Agent: hello, Path: "ws"}},
		{"TLS", agloop.ServerConfig{Agent: hello, TLS: new(tls.Config)}},
		{"Loops", agloop.ServerConfig{Agent: hello, Loops: -1}},
		{"Loops", agloop.ServerConfig{Agent: hello, Loops: 257}},
		{"Runs", agloop.ServerConfig{Handler: agloop.NopHandler{}, Runs: agloop.RunsConfig{FilterInput: agloop.StrictInput()}}},
		{"Hooks", agloop.ServerConfig{Handler: agloop.NopHandler{}, Hooks: agloop.Hooks{RunEnded: func(agloop.RunEnd) {}}}},
		{"Quotas.RunsPerNetwork", agloop.ServerConfig{Agent: hello, Quotas: agloop.Quotas{Runs: 1, RunsPerNetwork: 2}}},
		{"Origins", agloop.ServerConfig{Agent: hello, Origins: []string{"https://a.example/path"}}},
		{"Protocols", agloop.ServerConfig{Agent: hello, Protocols: []string{"a", "b c"}}},
		{"Protocols", agloop.ServerConfig{Agent: hello, Protocols: []string{""}}},
		{"Protocols", agloop.ServerConfig{Agent: hello, Protocols: []string{"a", "b", "a"}}},
		{"DrainTimeout", agloop.ServerConfig{Agent: hello, DrainTimeout: -time.Second}},
		{"Limits.MaxMessage", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxMessage: -1}}},
		{"Limits.LowWater", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{SoftLimit: 10, LowWater: 11}}},
		{"Limits.HardLimit", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{SoftLimit: 100, HardLimit: 50}}},
		{"Limits.HardLimit", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{HardLimit: 600 << 10}}}, // and MaxEvent is 1 MiB
		{"Limits.MaxInputMessages", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxInputMessages: -1}}},
		{"Limits.MaxInputTools", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxInputTools: -1}}},
		{"Limits.MaxPatchOps", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxPatchOps: -1}}},
		{"Limits.MaxDepth", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxDepth: -1}}},
		{"Limits.MaxDepth", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxDepth: 15}}},
		{"Limits.MaxDepth", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxDepth: 1025}}},
		{"Limits.MaxID", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxID: -1}}},
		{"Limits.MaxID", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxEvent: 8 << 10, MaxID: 1153}}},
		{"Limits.MaxEvent", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxEvent: -1}}},
		{"Limits.MaxEvent", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MaxEvent: 100}}},
		{"Limits.MessageBatchTimeout", agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{MessageBatchTimeout: time.Minute}}},
		{"Quotas.RunsPerPrincipal", agloop.ServerConfig{Agent: hello, Quotas: agloop.Quotas{Runs: 1, RunsPerPrincipal: 2}}},
		{"Rates.Runs", agloop.ServerConfig{Agent: hello, Rates: agloop.Rates{Runs: math.NaN()}}},
		{"Rates.BytesBurst", agloop.ServerConfig{Agent: hello, Rates: agloop.Rates{Bytes: 1000, BytesBurst: 1000}}},
	} {
		err := agloop.NewServer(tc.cfg).Serve("127.0.0.1:0")
		ce, ok := errors.AsType[*agloop.ConfigError](err)
		if !ok || ce.Field != tc.field || !strings.Contains(err.Error(), tc.field) {
			t.Errorf("%s: Serve returned %v", tc.field, err)
		}
	}
}

func TestServeReportsListening(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
	if srv.Addr() != nil {
		t.Error("an address before listening")
	}
	if err := srv.Serve(ln.Addr().String()); err == nil || errors.Is(err, agloop.ErrServerClosed) {
		t.Errorf("Serve on a taken port returned %v", err)
	}
}

func TestServerEndsOnce(t *testing.T) {
	ctx := t.Context()
	srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
	if err := srv.Shutdown(ctx); err != nil { // never served
		t.Fatal(err)
	}
	err := srv.Serve("127.0.0.1:0")
	if !errors.Is(err, agloop.ErrServerClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve after Shutdown returned %v", err)
	}

	srv, addr := serve(t, agloop.ServerConfig{Agent: hello})
	nc := testkit.Dial(t, addr)
	for range 2 {
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		if err := srv.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection outlived Close")
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is still open")
	}
}

func TestUnixSocketAndStaleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // the second time over the file the first left, or did not
		srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
		served := make(chan error, 1)
		go func() { served <- srv.Serve("unix://" + path) }()
		testkit.Await(t, "it listens", func() bool { return srv.Addr() != nil })
		dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }
		c, err := agloop.Dial(t.Context(), "ws://local/ws", agloop.ClientConfig{Dial: dial})
		if err != nil {
			t.Fatal(err)
		}
		if got := types(t, c, "r"); got != "RUN_STARTED TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END RUN_FINISHED" {
			t.Errorf("events %s", got)
		}
		c.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, agloop.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	}
}

func TestDefaultHTTP(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	for _, tc := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/ping", 200, `{"status":"Healthy"}`},
		{"HEAD", "/ping", 200, ""},
		{"POST", "/ping", 426, "this is a WebSocket endpoint\n"},
		{"GET", "/", 426, "this is a WebSocket endpoint\n"},
		{"GET", "/ws", 426, "this is a WebSocket endpoint\n"}, // no upgrade asked for
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+addr+tc.path, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status || string(body) != tc.body {
			t.Errorf("%s %s: %d %q %v, want %d %q", tc.method, tc.path, res.StatusCode, body, err, tc.status, tc.body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAuthorize(t *testing.T) {
	users := make(chan any, 1)
	_, addr := serve(t, agloop.ServerConfig{
		Authorize: func(_ context.Context, req *agloop.Request) (g agloop.Grant, err error) {
			if req.Header.Get("authorization") == "" {
				return g, &agloop.RefusedError{Status: 401, Reason: "who are you"}
			}
			g.Principal.Value = req.RawQuery
			return g, nil
		},
		Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
			users <- run.Principal.Value
			return nil
		}),
	})
	url := "ws://" + addr + "/ws?user=1"
	_, err := agloop.Dial(t.Context(), url, agloop.ClientConfig{})
	if de, ok := errors.AsType[*agloop.DialError](err); !ok || de.Status != 401 {
		t.Errorf("without credentials: %v", err)
	}
	c, err := agloop.Dial(t.Context(), url, agloop.ClientConfig{Header: http.Header{"Authorization": {"x"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := types(t, c, "r"); got != "RUN_STARTED RUN_FINISHED" {
		t.Errorf("events %s", got)
	}
	if u := <-users; u != "user=1" {
		t.Errorf("the run's user is %v", u)
	}
}

func TestDialErrors(t *testing.T) {
	for _, url := range []string{
		"ftp://127.0.0.1/",
		"ws:///path",
		"://",
		"ws://127.0.0.1:1/", // nobody listens there
		"wss://127.0.0.1:1/",
	} {
		if _, err := agloop.Dial(t.Context(), url, agloop.ClientConfig{}); err == nil {
			t.Errorf("%s: no error", url)
		}
	}
	// A server that accepts and says nothing is given up with the context.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := agloop.Dial(ctx, "ws://"+ln.Addr().String(), agloop.ClientConfig{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent server: %v", err)
	}
}

func TestStats(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello})
	c, err := agloop.Dial(t.Context(), "ws://"+addr+"/ws", agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	types(t, c, "r")
	testkit.Await(t, "all is counted, what came in at the end of its turn", func() bool {
		st := srv.Stats()
		return st.FramesOut >= 5 && st.MessagesIn == 1
	})
	st := srv.Stats()
	if st.Connections != 1 || st.Opened != 1 || st.MessagesIn != 1 || st.Writes == 0 || st.Memory.Total == 0 {
		t.Errorf("%+v", st)
	}
}

// TestShutdownDoesNotWaitForHandshakes: browsers open connections ahead of need and say nothing on
// them.
func TestShutdownDoesNotWaitForHandshakes(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello, Limits: agloop.Limits{HandshakeTimeout: time.Hour}})
	silent, open := testkit.Connect(t, addr, 0), testkit.Dial(t, addr)
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	if _, err := silent.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the silent connection ended with %v", err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(open, head); err != nil || string(head[2:]) != "\x03\xe9" {
		t.Errorf("the open connection got % x %v, want a close frame with 1001", head, err)
	}
	open.Close()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestEightInputsWait: behind the active run, however quickly they come.
func TestEightInputsWait(t *testing.T) {
	release := make(chan struct{})
	ran := make(chan string, 10)
	_, addr := serve(t, agloop.ServerConfig{Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		select {
		case <-release:
		case <-ctx.Done():
			return ctx.Err()
		}
		ran <- run.Input.RunID
		return nil
	})})
	input := func(n int) (frames []byte) {
		for i := range n {
			frames = append(frames, testkit.Text(`{"threadId":"t","runId":"`+strconv.Itoa(i)+`","messages":[]}`)...)
		}
		return frames
	}
	for range 20 { // in one read the inputs race with the start of the first run
		nc := testkit.Dial(t, addr)
		nc.Write(input(9))
		for i := range 9 {
			release <- struct{}{}
			if got := <-ran; got != strconv.Itoa(i) {
				t.Fatalf("run %s in place %d", got, i)
			}
		}
		nc.Close()
	}
}
