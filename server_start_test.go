package agloop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop"
)

// TestServeAfterAFailedStart: an engine that cannot start leaves the server as it
// was before.
func TestServeAfterAFailedStart(t *testing.T) {
	for name, fail := range map[string]func(*agloop.Server) (mend func(), want error){
		"engine": func(srv *agloop.Server) (func(), error) {
			return srv.FailEngine(io.ErrNoProgress), io.ErrNoProgress
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
			mend, want := fail(srv)
			for range 2 {
				err := srv.Serve("127.0.0.1:0")
				if err == nil || want != nil && !errors.Is(err, want) {
					t.Fatalf("Serve: %v", err)
				}
				isOneLine(t, err)
			}
			if err := srv.Ready(); err == nil {
				t.Error("ready")
			}
			if st := srv.Stats(); st.Connections != 0 || st.Runs != 0 {
				t.Errorf("%+v", st)
			}
			if srv.Conn(1) != nil || srv.Addr() != nil {
				t.Error("it has connections")
			}
			mend()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			_, addr := serveOn(t, ln, srv)
			c, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := types(t, c, "r"); got != helloTypes {
				t.Errorf("got %s", got)
			}
		})
		t.Run(name+" and an end", func(t *testing.T) {
			for _, end := range []func(*agloop.Server) error{
				(*agloop.Server).Close,
				func(srv *agloop.Server) error {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					return srv.Shutdown(ctx)
				},
			} {
				srv := agloop.NewServer(agloop.ServerConfig{Agent: hello})
				fail(srv)
				if err := srv.Serve("127.0.0.1:0"); err == nil || errors.Is(err, agloop.ErrServerClosed) {
					t.Errorf("Serve: %v", err)
				}
				if err := end(srv); err != nil {
					t.Error(err)
				}
				if err := srv.Serve("127.0.0.1:0"); !errors.Is(err, agloop.ErrServerClosed) {
					t.Errorf("Serve at the end: %v", err)
				}
			}
		})
	}
}
