package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// TestTransportAuthEachTime: every redial of every connection has a token of its own, and the proxy
// is asked for anew.
func TestTransportAuthEachTime(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	addr := front(t, func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Authorization")]++
	})
	u, err := url.Parse(addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := testkit.NewProxy(t, u.Host, nil)
	var tokens, ways atomic.Int64
	tr := startTransport(t, agloop.TransportConfig{
		URLs: []string{"ws://agent.example/ws"}, ConnectionsPerURL: 2, ReconnectMin: time.Millisecond, ReconnectMax: 2 * time.Millisecond,
		Client: agloop.ClientConfig{
			Header: http.Header{"authorization": {"old"}},
			Auth: func(context.Context) (http.Header, error) {
				return http.Header{"Authorization": {fmt.Sprintf("Bearer %d", tokens.Add(1))}}, nil
			},
			Proxy: func(*url.URL) (*url.URL, error) {
				ways.Add(1)
				return proxy.URL, nil
			},
		},
	})
	for round := range 3 {
		lost := tr.Stats().Lost
		proxy.Cut()
		testkit.Await(t, "both connections are replaced", func() bool { st := tr.Stats(); return st.Lost >= lost+2 && st.Up == 2 })
		if types, err := transportRun(t.Context(), tr, fmt.Sprint(round)); types != helloTypes || err != nil {
			t.Error(types, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	st := tr.Stats()
	if uint64(tokens.Load()) != st.Dials || uint64(ways.Load()) != st.Dials || st.Dials < 8 || len(seen) < 8 || seen["old"] != 0 {
		t.Errorf("%d tokens and %d proxies for %d dials; the server saw %v", tokens.Load(), ways.Load(), st.Dials, seen)
	}
	for token, n := range seen {
		if n != 1 {
			t.Errorf("%q was sent %d times", token, n)
		}
	}
}

// TestTransportAuthFails: an error, a panic or the end of the goroutine in a function of the host's
// costs an attempt, and dialling goes on.
func TestTransportAuthFails(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Hosts: []string{"*"}, Agent: hello})
	unwell := errors.New("unwell")
	for _, c := range []struct {
		name string
		fail func() error
		text string
	}{
		{"error", func() error { return unwell }, "unwell"},
		{"panic", func() error { panic("oh") }, "panic in a function of ClientConfig: oh"},
		{"Goexit", func() error { runtime.Goexit(); return nil }, "ended its goroutine"},
	} {
		for _, where := range []string{"Auth", "Proxy"} {
			t.Run(c.name+" in "+where, func(t *testing.T) {
				var asked atomic.Int64
				failing := true // Start has returned when it changes
				ask := func(in string) error {
					if in == where && asked.Add(1) > 0 && failing {
						return c.fail()
					}
					return nil
				}
				tr := newTransport(t, agloop.TransportConfig{
					URLs: []string{wsURL(addr)}, ReconnectMin: time.Millisecond, ReconnectMax: 2 * time.Millisecond,
					Client: agloop.ClientConfig{
						Auth:  func(context.Context) (http.Header, error) { return nil, ask("Auth") },
						Proxy: func(*url.URL) (*url.URL, error) { return nil, ask("Proxy") },
					},
				})
				err := tr.Start(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.text) || c.name == "error" && !errors.Is(err, unwell) {
					t.Errorf("Start: %v", err)
				}
				isOneLine(t, err)
				if st := tr.Stats(); st.DialFailures.Network == 0 || st.Dialling != 0 || st.LastError == nil {
					t.Errorf("%+v", st)
				}
				failing = false
				if err := tr.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				if types, err := transportRun(t.Context(), tr, "r"); types != helloTypes || err != nil {
					t.Error(types, err)
				}
			})
		}
	}
}

// TestTransportAuthIsBounded: by DialTimeout, and by Stop.
func TestTransportAuthIsBounded(t *testing.T) {
	ended := make(chan error, 1)
	tr := newTransport(t, agloop.TransportConfig{
		URLs: []string{"ws://a/"}, DialTimeout: 20 * time.Millisecond, ReconnectMin: time.Hour, ReconnectMax: time.Hour,
		Client: agloop.ClientConfig{Auth: func(ctx context.Context) (http.Header, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}},
	})
	if err := tr.Start(t.Context()); !errors.Is(err, context.DeadlineExceeded) || <-ended != context.DeadlineExceeded {
		t.Errorf("Start: %v", err)
	}
	if f := tr.Stats().DialFailures; f != (agloop.DialFailures{Timeout: 1}) {
		t.Errorf("%+v", f)
	}
}
