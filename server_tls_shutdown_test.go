package agloop_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// TestShutdownOverTLS: a response under way is finished in either version of HTTP, a run is cancelled
// in order, and connections at rest end with close_notify.
func TestShutdownOverTLS(t *testing.T) {
	eachHTTP(t, func(t *testing.T, _ int, client *http.Client) {
		running, answering, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
		srv, addr := serve(t, agloop.ServerConfig{
			TLS: testkit.ServerTLS(t),
			Agent: agloop.AgentFunc(func(ctx context.Context, _ *agloop.Run) error {
				close(running)
				<-ctx.Done()
				return ctx.Err()
			}),
			HTTP: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "first")
				http.NewResponseController(w).Flush()
				close(answering)
				<-goOn
				io.WriteString(w, " last")
			}),
		})
		p := testkit.ConnectTLS(t, addr, 0, nil)
		p.Put(testkit.Request(), testkit.Text(inputOf("r", 0)))
		p.WantSwitch()
		testkit.Receive(t, "the run", running)
		res, err := client.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		testkit.Receive(t, "the request", answering)
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
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
		p.WantEnd()
		close(goOn)
		if body, err := io.ReadAll(res.Body); string(body) != "first last" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		if err := testkit.Receive(t, "Shutdown", down); err != nil {
			t.Error(err)
		}
	})
}

// TestShutdownDoesNotWaitForHTTPSPeers: a body that does not come and a response that nobody reads do
// not hold up an orderly end, though their own deadlines are far.
func TestShutdownDoesNotWaitForHTTPSPeers(t *testing.T) {
	eachHTTP(t, func(t *testing.T, _ int, client *http.Client) {
		served := make(chan struct{}, 2)
		srv, addr := serve(t, agloop.ServerConfig{
			Handler: echo{}, TLS: testkit.ServerTLS(t), Limits: agloop.Limits{MessageTimeout: time.Hour, WriteTimeout: time.Hour},
			HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served <- struct{}{}
				if r.Method == http.MethodPost {
					io.Copy(io.Discard, r.Body)
					return
				}
				for {
					if _, err := w.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}),
		})
		silent, never := io.Pipe()
		defer never.Close()
		posted := make(chan struct{})
		go func() {
			defer close(posted)
			if res, err := client.Post("https://"+addr, "", silent); err == nil {
				res.Body.Close()
			}
		}()
		testkit.Receive(t, "the request", served)
		res, err := client.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		testkit.Receive(t, "the request", served)
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		never.Close()
		testkit.Receive(t, "the answer to the body", posted)
	})
}
