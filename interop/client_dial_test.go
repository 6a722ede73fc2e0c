package interop

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/internal/testkit"
	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// TestClientProxy: to the servers of other libraries, which send early, through a tunnel.
func TestClientProxy(t *testing.T) {
	eachServer(t, func(t *testing.T, accept accepter) {
		url := accept(t, func(p peer) {
			if err := p.send(true, []byte("early")); err != nil {
				t.Error(err)
			}
			for {
				text, b, err := p.receive()
				if err != nil {
					return
				}
				if err := p.send(text, b); err != nil {
					t.Error(err)
				}
			}
		})
		scheme, addr, _ := strings.Cut(url, "://")
		proxy := testkit.NewProxy(t, addr, nil)
		h := newToChannel()
		cfg := clientConfig()
		cfg.Handler, cfg.Proxy = h, proxy.Through(nil)
		c := connect(t, scheme+"://agent.example/ws", cfg)
		if got := <-h.got; got != "trueearly" {
			t.Errorf("got %q", got)
		}
		for _, n := range []int{0, 120, 65536, 1 << 20} {
			c.Conn().Send(client.Text, payload(n))
			if got := <-h.got; got != "true"+string(payload(n)) {
				t.Errorf("%d bytes: got %d back", n, len(got))
			}
		}
		c.Close()
		if why := <-h.ends; why.Code != client.CloseNormal {
			t.Errorf("OnClose was told %v", why)
		}
	})
}

// TestClientRefusalSays: what servers of other libraries say when they refuse, however they frame
// it.
func TestClientRefusalSays(t *testing.T) {
	long := strings.Repeat("because ", 1000)
	over := make(chan struct{})
	for _, c := range []struct {
		name   string
		refuse http.HandlerFunc
		status int
		header string // "Name: value"
		body   string
	}{
		{"gorilla", func(w http.ResponseWriter, r *http.Request) {
			up := gorilla.Upgrader{CheckOrigin: func(*http.Request) bool { return false }}
			if _, err := up.Upgrade(w, r, nil); err == nil {
				t.Error("upgraded")
			}
		}, 403, "Sec-Websocket-Version: 13", "Forbidden\n"},
		{"coder", func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Origin", "http://other.example")
			if _, err := coder.Accept(w, r, nil); err == nil {
				t.Error("accepted")
			}
		}, 403, "X-Content-Type-Options: nosniff", "request Origin \"other.example\" is not authorized for Host"},
		{"no such page", http.NotFound, 404, "Content-Type: text/plain; charset=utf-8", "404 page not found\n"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusFound)
		}, 302, "Location: /other", `<a href="/other">Found</a>`},
		{"no body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(http.StatusUnauthorized)
		}, 401, "Www-Authenticate: Bearer", ""},
		{"long", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(long)))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, long)
		}, 429, "Content-Length: 8000", long[:4<<10]},
		{"chunked", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			for word := range strings.FieldsSeq("not now") {
				fmt.Fprint(w, word)
				w.(http.Flusher).Flush()
			}
		}, 503, "", "notnow"},
		{"never ends", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "wait ")
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-over:
			}
		}, 503, "", "wait "},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			for {
				if _, err := fmt.Fprint(w, long); err != nil {
					return
				}
			}
		}, 503, "", long[:4<<10]},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := client.Dial(within(t), serveHTTP(t, c.refuse), clientConfig())
			e, ok := errors.AsType[*client.DialError](err)
			if !ok || e.Status != c.status || e.Proxy != "" {
				t.Fatalf("got %v", err)
			}
			if name, value, _ := strings.Cut(c.header, ": "); e.Header.Get(name) != value {
				t.Errorf("header %v lacks %s", e.Header, c.header)
			}
			if got := string(e.Body); !strings.HasPrefix(got, c.body) || c.body == "" && got != "" || len(got) > 4<<10 {
				t.Errorf("body %q, want %q", got, c.body)
			}
			if asks := strings.Contains(err.Error(), `"/ws"?`); asks != (c.status == 404) {
				t.Errorf("got %v", err)
			}
		})
	}
	close(over)
}
