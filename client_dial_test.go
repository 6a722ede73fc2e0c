package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/internal/testkit"
)

// listenSilently is a listener whose connections nobody takes.
func listenSilently(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// front is a net/http server in front of a server with hello, which sees the requests first.
func front(t *testing.T, see func(*http.Request)) string {
	t.Helper()
	_, addr := serve(t, agloop.ServerConfig{Hosts: []string{"*"}, Agent: hello})
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		see(r)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return wsURL(srv.Listener.Addr().String())
}

// TestDialAuth: what Auth says lies over Header, whatever the letters of a name.
func TestDialAuth(t *testing.T) {
	headers := make(chan http.Header, 1)
	addr := front(t, func(r *http.Request) { headers <- r.Header })
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "ours")
	fixed := http.Header{"authorization": {"old"}, "X-Kept": {"kept"}, "X-GONE": {"gone"}}
	before := fmt.Sprint(fixed)
	c, err := agloop.Dial(ctx, addr, agloop.ClientConfig{
		Header: fixed,
		Auth: func(ctx context.Context) (http.Header, error) {
			if ctx.Value(key{}) != "ours" {
				t.Error("Auth did not get the context of Dial")
			}
			return http.Header{"Authorization": {"Bearer new"}, "x-gone": nil, "X-Two": {"1", "2"}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := testkit.Receive(t, "the request", headers)
	for name, want := range map[string]string{"Authorization": "[Bearer new]", "X-Kept": "[kept]", "X-Gone": "[]", "X-Two": "[1 2]"} {
		if fmt.Sprint(got[name]) != want {
			t.Errorf("%s: %v, want %s", name, got[name], want)
		}
	}
	if fmt.Sprint(fixed) != before {
		t.Errorf("the config's Header was changed: %v", fixed)
	}
}

// TestDialAuthFails: before anything is dialled.
func TestDialAuthFails(t *testing.T) {
	unwell := errors.New("unwell")
	dial := func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, net.ErrClosed
	}
	_, err := agloop.Dial(t.Context(), "ws://a/", agloop.ClientConfig{
		Dial: dial,
		Auth: func(context.Context) (http.Header, error) { return nil, unwell },
	})
	if !errors.Is(err, unwell) || !strings.Contains(err.Error(), "Auth") {
		t.Errorf("got %v", err)
	}
	func() { // the loops are given back: the leak check of this package sees them
		defer func() {
			if v := recover(); v != "oh" {
				t.Errorf("recovered %v", v)
			}
		}()
		_, _ = agloop.Dial(t.Context(), "ws://a/", agloop.ClientConfig{
			Dial: dial,
			Auth: func(context.Context) (http.Header, error) { panic("oh") },
		})
	}()
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	_, err = agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{
		Auth: func(context.Context) (http.Header, error) { return http.Header{"X": {"secret\r\n"}}, nil },
	})
	if _, ok := errors.AsType[*agloop.DialError](err); !ok || strings.Contains(err.Error(), "secret") {
		t.Errorf("a value that no head can hold: %v", err)
	}
}

// TestDialOfAnotherKind: what no loop can take is refused by its type, and closed.
func TestDialOfAnotherKind(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Agent: hello})
	for want, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"<nil>": func(context.Context, string, string) (net.Conn, error) { return nil, nil },
		"struct { net.Conn }": func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return struct{ net.Conn }{nc}, err
		},
	} {
		_, err := agloop.Dial(t.Context(), wsURL(addr), agloop.ClientConfig{Dial: dial})
		ce, ok := errors.AsType[*agloop.ConfigError](err)
		if !ok || ce.Field != "Dial" || !strings.Contains(ce.Reason, want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	testkit.Await(t, "the connection is closed", func() bool { return srv.Stats().Connections == 0 })
}

// TestDialTimeoutNamesTheURL: but not what may be secret of it.
func TestDialTimeoutNamesTheURL(t *testing.T) {
	addr := listenSilently(t).Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := agloop.Dial(ctx, "ws://me:secret@"+addr+"/a%20path?token=secret", agloop.ClientConfig{})
	const want = " for the response to the opening handshake: context deadline exceeded"
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "agloop: dial ws://"+addr+"/a%20path: waited ") ||
		!strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

// TestDialBadURL: a URL that is none says what is wrong, and what may be secret of it stays unsaid.
func TestDialBadURL(t *testing.T) {
	for rawURL, want := range map[string]string{
		"ws://me:se cret@a.example/":              "is not a valid URL",
		"ws://me:secret/@a.example/":              "is not a valid URL",
		"ws://me:secret@a.example:8o/":            "is not a valid URL",
		"ws://me:secret@a.example/%zz":            "is not a valid URL",
		"ws://a.example/?token=secret\n":          "is not a valid URL",
		"ftp://me:secret@a.example/?token=secret": `scheme "ftp"`,
		"localhost:8080/ws":                       `scheme "localhost"`,
		"/ws?token=secret":                        `scheme ""`,
		"ws:///ws?token=secret":                   "has no host",
	} {
		_, err := agloop.Dial(t.Context(), rawURL, agloop.ClientConfig{})
		_, atOnce := agloop.NewTransport(agloop.TransportConfig{URLs: []string{rawURL}})
		for field, err := range map[string]error{"URL": err, "URLs[0]": atOnce} {
			ce, ok := errors.AsType[*agloop.ConfigError](err)
			if !ok || ce.Field != field || !strings.Contains(ce.Reason, want) || strings.Contains(err.Error(), "cret") {
				t.Errorf("%s: got %v", rawURL, err)
			}
		}
	}
}

// TestDialWrongPath: the error asks for what is wrong most often.
func TestDialWrongPath(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	_, err := agloop.Dial(t.Context(), "ws://"+addr+"/wss", agloop.ClientConfig{})
	e, ok := errors.AsType[*agloop.DialError](err)
	if !ok || e.Status != 404 && e.Status != 426 || !strings.Contains(err.Error(), `"/ws"?`) || e.Header == nil {
		t.Errorf("got %#v: %v", err, err)
	}
}

// TestDialLeavesNothing: whatever a dial fails with, its socket is closed.
func TestDialLeavesNothing(t *testing.T) {
	sockets := func() (n int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		for _, fd := range list { // io.Copy keeps pipes for others
			if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(to, "socket:") {
				n++
			}
		}
		return n
	}
	_, addr := serve(t, agloop.ServerConfig{Agent: hello})
	silent := listenSilently(t).Addr().String()
	refusing := testkit.NewProxy(t, silent, func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusForbidden)
		return false
	})
	tunnel := testkit.NewProxy(t, silent, nil)
	const each = 20
	before := sockets()
	var dials sync.WaitGroup
	for range each {
		for rawURL, cfg := range map[string]agloop.ClientConfig{
			"ws://" + addr + "/wrong":    {},
			"ws://" + silent + "/":       {},
			"ws://refused.example/":      {Proxy: refusing.Through(nil)},
			"ws://agent.example/":        {Proxy: tunnel.Through(nil)},
			"ws://" + addr + "/ws?wrong": {Auth: func(context.Context) (http.Header, error) { return http.Header{"Host": {"x"}}, nil }},
		} {
			cfg.Limits.HandshakeTimeout = 50 * time.Millisecond
			dials.Go(func() {
				if _, err := agloop.Dial(t.Context(), rawURL, cfg); err == nil {
					t.Errorf("%s: connected", rawURL)
				}
			})
		}
	}
	dials.Wait()
	tunnel.Cut()
	// What serves may have some of its own by now.
	testkit.Await(t, "the sockets are closed", func() bool { return sockets() < before+each })
}
