package agloop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
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

// TestPerformanceBeforeServe: what is set before the server runs holds then, and a server that
// cannot listen has started nothing.
func TestPerformanceBeforeServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := agloop.NewServer(agloop.ServerConfig{Handler: echo{}})
	taken.GetPerformanceManager().OptimizeForThroughput()
	if err := taken.Serve(ln.Addr().String()); err == nil || errors.Is(err, agloop.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
	if n := taken.Loops(); n != 0 {
		t.Errorf("%d loops run", n) // and the end of the package's tests looks for goroutines
	}

	srv := agloop.NewServer(agloop.ServerConfig{Handler: echo{}})
	srv.GetPerformanceManager().OptimizeForLatency()
	if srv.GetPerformanceManager().GetMetrics() == nil {
		t.Error("no metrics")
	}
	_, addr := serveOn(t, ln, srv)
	testkit.Dial(t, addr).HangUp()
	if p := srv.GetPerformanceManager().Profile(); p != agloop.ProfileLatency {
		t.Errorf("profile %s", p)
	}

	bad := agloop.NewServer(agloop.ServerConfig{})
	bad.GetPerformanceManager().EnableAdaptiveOptimization()
	if _, ok := errors.AsType[*agloop.ConfigError](bad.Serve("127.0.0.1:0")); !ok {
		t.Error("a bad config serves")
	}
}

// TestControlRate: a flood of pings is cut off by default, and pongs that answer nothing are one.
func TestControlRate(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, op := range []byte{0x89, 0x8A} {
		p := testkit.Dial(t, addr)
		for range 21 {
			p.Put(testkit.Masked(op, []byte("x")))
		}
		for {
			op, payload, err := p.Message()
			if err != nil {
				t.Fatal(err)
			}
			if op == frame.Close {
				if code, reason, _ := frame.ParseClose(payload); code != agloop.ClosePolicy || string(reason) != "too many control frames" {
					t.Errorf("closed with %v, %q", code, reason)
				}
				break
			}
		}
		p.Close()
	}
}
