package agloop_test

import (
	"net"
	"strings"
	"testing"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
)

// serve starts a server for a test and returns its address.
func serve(t testing.TB, cfg agloop.ServerConfig) (*agloop.Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, agloop.NewServer(cfg))
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
