package agloop_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// serve starts a server for a test and returns its address.
func serve(t testing.TB, cfg agloop.ServerConfig) (*agloop.Server, string) {
	t.Helper()
	return serveNew(t, agloop.NewServer(cfg))
}

// serveNew starts a server that a test has prepared, on a listener of its own.
func serveNew(t testing.TB, srv *agloop.Server) (*agloop.Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, srv)
}

// serveOn starts a server that a test has prepared.
func serveOn(t testing.TB, ln net.Listener, srv *agloop.Server) (*agloop.Server, string) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return srv, ln.Addr().String()
}

// serveBare starts a server whose clients are not offered any subprotocol.
func serveBare(t testing.TB, cfg agloop.ServerConfig) (*agloop.Server, string) {
	t.Helper()
	srv := agloop.NewServer(cfg)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Sec-WebSocket-Protocol")
		srv.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		front.Close()
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv, front.Listener.Addr().String()
}

// serveEach starts a server whose connections belong each to the principal that their field
// Authorization names; its Value is the name in upper case, and "name" is granted as its value.
func serveEach(t testing.TB, cfg agloop.ServerConfig) (*agloop.Server, string) {
	t.Helper()
	return serve(t, forEach(cfg))
}

// forEach is the config of such a server.
func forEach(cfg agloop.ServerConfig) agloop.ServerConfig {
	cfg.Authorize = func(_ context.Context, req *agloop.Request) (agloop.Grant, error) {
		key := req.Header.Get("Authorization")
		return agloop.Grant{
			Principal: agloop.Principal{Key: key, Value: strings.ToUpper(key)},
			Values:    []any{"name", key},
		}, nil
	}
	return cfg
}

// serveTight is serveEach for connections of which the server's kernel takes little, so that much is
// never on its way.
func serveTight(t testing.TB, cfg agloop.ServerConfig) (*agloop.Server, string) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) { // what is accepted has it too
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10)
		})
	}}
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, agloop.NewServer(forEach(cfg)))
}

// newWireOf connects as the principal of that key, "" as nobody.
func newWireOf(t *testing.T, srv *agloop.Server, addr, key string) *wire {
	t.Helper()
	var fields []string
	if key != "" {
		fields = []string{"Authorization: " + key}
	}
	return &wire{testkit.Dial(t, addr, fields...), t, srv, srv.Stats().MessagesIn}
}

func wsURL(addr string) string { return "ws://" + addr + "/ws" }

// types runs once and returns the types of the events.
func types(t *testing.T, c *agloop.Client, runID string) string {
	t.Helper()
	var got []string
	for ev, err := range c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: runID}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(ev.Type()))
	}
	return strings.Join(got, " ")
}
