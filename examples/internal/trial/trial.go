// Package trial is what the tests of the examples share: it runs a program and talks to it as its
// clients do. No example imports it.
package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/gorilla/websocket"
)

// Patience bounds every wait: who waits longer waits for something that does not happen.
const Patience = 30 * time.Second

// Program is the server of an example while it runs.
type Program struct {
	Addr string // host and port
	// Stop does what SIGTERM does. It does not wait.
	Stop context.CancelFunc

	done chan struct{} // closed when serve has returned
	err  error
}

// Start runs serve on a free loopback port until Stop, at the latest until the end of the test, and
// fails the test if it returns an error.
func Start(t testing.TB, serve func(context.Context, net.Listener) error) *Program {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Program{Addr: ln.Addr().String(), Stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = serve(ctx, ln)
	}()
	t.Cleanup(func() {
		cancel()
		p.Wait(t)
	})
	return p
}

// Wait waits until the program has ended, and fails the test if it has failed.
func (p *Program) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			t.Errorf("the program has failed: %v", p.err)
		}
	case <-time.After(Patience):
		t.Errorf("the program has not ended within %v", Patience)
	}
}

// Within is a context that bounds a wait.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Dial connects gorilla's client, with websocket.ErrBadHandshake and the response if it is refused.
func Dial(t testing.TB, url string, header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: Patience}
	conn, resp, err := d.DialContext(Within(t), url, header)
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(Patience))
	_ = conn.SetWriteDeadline(time.Now().Add(Patience))
	return conn, resp, nil
}

// CloseCode reads up to the close frame and returns its code. It closes the connection, for which
// the server waits.
func CloseCode(t testing.TB, conn *websocket.Conn) int {
	t.Helper()
	defer conn.Close()
	for {
		_, _, err := conn.ReadMessage()
		if err == nil {
			continue
		}
		why, ok := errors.AsType[*websocket.CloseError](err)
		if !ok {
			t.Fatalf("waiting for a close frame: %v", err)
		}
		return why.Code
	}
}

// Connect connects agloop's client until the end of the test.
func Connect(t testing.TB, url string, cfg client.Config) *client.Client {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := client.Dial(Within(t), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// runs counts what Input has made.
var runs atomic.Int64

// Input is the input of a run that says words to the agent. No two have the same name: they would be
// one run.
func Input(words string) *agui.RunAgentInput {
	return &agui.RunAgentInput{
		ThreadID: "thread", RunID: fmt.Sprint("run-", runs.Add(1)),
		Messages: []agui.Message{{ID: "m", Role: agui.RoleUser, Content: agui.TextContent(words)}},
	}
}

// Ask says words to the agent, and returns what it answers and the event that ends the run. heard
// is told each piece of the answer; nil is skipped.
func Ask(t testing.TB, c *client.Client, words string, heard func(string)) (answer string, end agui.Event) {
	t.Helper()
	for ev, err := range c.Run(Within(t), Input(words)) {
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := ev.(*agui.TextMessageContent); ok {
			answer += text.Delta
			if heard != nil {
				heard(text.Delta)
			}
		}
		end = ev
	}
	return answer, end
}

// Said is Ask for an answer that must come to a good end.
func Said(t testing.TB, c *client.Client, words string) string {
	t.Helper()
	answer, end := Ask(t, c, words, nil)
	if f, ok := end.(*agui.RunFinished); !ok || f.Outcome != nil {
		t.Fatalf("the run has ended with %#v", end)
	}
	return answer
}

// Fetch makes a request of plain HTTP, without a body, and returns the status and what was said.
func Fetch(t testing.TB, method, url string, header http.Header) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(Within(t), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	web := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}
