package agloop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/internal/testkit"
)

// TestDialProxy: through a real proxy, to a host that it alone knows, as somebody and as nobody.
func TestDialProxy(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Hosts: []string{"agent.example"}, Agent: hello})
	proxy := testkit.NewProxy(t, addr, nil)
	for _, user := range []*url.Userinfo{nil, url.UserPassword("me@home", "päss:wörd"), url.User("me")} {
		var dialled []string
		c, err := agloop.Dial(t.Context(), "ws://agent.example/ws?token=secret", agloop.ClientConfig{
			Proxy: proxy.Through(user),
			Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialled = append(dialled, addr)
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := types(t, c, "r"); got != helloTypes {
			t.Errorf("got %s", got)
		}
		c.Close()
		if fmt.Sprint(dialled) != "["+proxy.URL.Host+"]" {
			t.Errorf("Dial was asked for %v", dialled)
		}
		asked := proxy.Asked()
		last := asked[len(asked)-1]
		if last.Host != "agent.example:80" || len(last.Header) != 0 && user == nil {
			t.Errorf("the proxy was asked for %s with %v", last.Host, last.Header)
		}
		last.Header["Authorization"] = last.Header["Proxy-Authorization"] // for BasicAuth
		name, password, ok := last.BasicAuth()
		want, _ := user.Password()
		if ok != (user != nil) || ok && (name != user.Username() || password != want) {
			t.Errorf("the proxy was asked by %q %q", name, password)
		}
	}
}

// TestDialProxyRefuses: the error says that it was the proxy, and not who asked.
func TestDialProxyRefuses(t *testing.T) {
	proxy := testkit.NewProxy(t, "127.0.0.1:1", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Proxy-Authorization") == "" {
			return true // and finds nobody there
		}
		w.Header().Set("Proxy-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return false
	})
	dial := func(user *url.Userinfo) *agloop.DialError {
		t.Helper()
		_, err := agloop.Dial(t.Context(), "ws://agent.example/", agloop.ClientConfig{Proxy: proxy.Through(user)})
		e, ok := errors.AsType[*agloop.DialError](err)
		if !ok || e.Proxy != proxy.URL.Host || !strings.Contains(err.Error(), "proxy "+e.Proxy) {
			t.Fatalf("got %v", err)
		}
		return e
	}
	e := dial(url.UserPassword("me", "secret"))
	if e.Status != 407 || e.Header.Get("Proxy-Authenticate") != "Basic" || string(e.Body) != "who are you?\n" ||
		strings.Contains(e.Error(), "secret") || strings.Contains(e.Error(), "bWU6c2VjcmV0") {
		t.Errorf("got %+v: %v", *e, e)
	}
	if e := dial(nil); e.Status != 502 {
		t.Errorf("got %v", e)
	}
}

// TestDialProxyConfig: proxies that cannot be used, named without who asks.
func TestDialProxyConfig(t *testing.T) {
	for proxy, want := range map[string]string{
		"https://me:secret@p.example":   `scheme "https"`,
		"socks5://me:secret@p.example":  `scheme "socks5"`,
		"http://me:secret@":             "has no host",
		"http://me:secret@:3128":        "has no host",
		"//me:secret@p.example:3128":    `scheme ""`,
		"p.example:3128":                `scheme "p.example"`,
		"socks5h://me:secret@127.0.0.1": `scheme "socks5h"`,
	} {
		_, err := agloop.Dial(t.Context(), "ws://agent.example/", agloop.ClientConfig{
			Proxy: func(*url.URL) (*url.URL, error) { return url.Parse(proxy) },
		})
		ce, ok := errors.AsType[*agloop.ConfigError](err)
		if !ok || ce.Field != "Proxy" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", proxy, err)
		}
	}
	unwell := errors.New("unwell")
	_, err := agloop.Dial(t.Context(), "ws://agent.example/ws", agloop.ClientConfig{
		Proxy: func(u *url.URL) (*url.URL, error) {
			if u.String() != "ws://agent.example/ws" {
				t.Errorf("Proxy was asked for %s", u)
			}
			return nil, unwell
		},
	})
	if !errors.Is(err, unwell) || !strings.Contains(err.Error(), "Proxy") {
		t.Errorf("got %v", err)
	}
	_, err = agloop.Dial(t.Context(), "ws://agent.example/", agloop.ClientConfig{
		Proxy: func(*url.URL) (*url.URL, error) { return url.Parse("http://me:secret@127.0.0.1:1") },
	})
	if _, ok := errors.AsType[*net.OpError](err); !ok || !strings.Contains(err.Error(), "proxy 127.0.0.1:1: ") || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestDialProxySlow: the proxy's time counts, and the error says who took it.
func TestDialProxySlow(t *testing.T) {
	asked, release := make(chan struct{}, 2), make(chan struct{})
	proxy := testkit.NewProxy(t, "127.0.0.1:1", func(http.ResponseWriter, *http.Request) bool {
		asked <- struct{}{}
		<-release
		return true
	})
	defer close(release)
	dial := func(ctx context.Context, limit time.Duration, want error) {
		t.Helper()
		_, err := agloop.Dial(ctx, "ws://agent.example/ws?secret", agloop.ClientConfig{
			Proxy: proxy.Through(nil), Limits: agloop.Limits{HandshakeTimeout: limit},
		})
		if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), "agloop: dial ws://agent.example/ws: waited ") ||
			!strings.HasSuffix(err.Error(), " for the response of the proxy "+proxy.URL.Host+": "+want.Error()) {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-asked
		cancel()
	}()
	dial(ctx, -1, context.Canceled)
	dial(t.Context(), 20*time.Millisecond, context.DeadlineExceeded)
}

// TestDialProxyCloses: before its answer, and in the middle of a run.
func TestDialProxyCloses(t *testing.T) {
	proxy := testkit.NewProxy(t, "127.0.0.1:1", func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	_, err := agloop.Dial(t.Context(), "ws://agent.example/", agloop.ClientConfig{Proxy: proxy.Through(nil)})
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "proxy "+proxy.URL.Host) {
		t.Errorf("got %v", err)
	}

	started := make(chan struct{})
	_, addr := serve(t, agloop.ServerConfig{Hosts: []string{"agent.example"}, Agent: agloop.AgentFunc(func(ctx context.Context, run *agloop.Run) error {
		close(started)
		<-ctx.Done()
		return nil
	})})
	proxy = testkit.NewProxy(t, addr, nil)
	c, err := agloop.Dial(t.Context(), "ws://agent.example/ws", agloop.ClientConfig{
		Proxy: proxy.Through(nil), Logger: quiet, Resume: agloop.Resume{Off: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		<-started
		proxy.Cut()
	}()
	if _, err := told(c.Run(t.Context(), &agui.RunAgentInput{ThreadID: "t", RunID: "r"})); !errors.Is(err, agloop.ErrTruncated) {
		t.Errorf("got %v", err)
	}
}

// environmentMark tells TestDialInEnvironment that it is the other process.
const environmentMark = "AGLOOP_TEST_ENVIRONMENT"

// TestDialEnvironment: the environment names the proxy, for a process that is started in it.
func TestDialEnvironment(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Hosts: []string{"agent.example"}, Agent: hello})
	proxy := testkit.NewProxy(t, addr, nil)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDialInEnvironment$", "-test.timeout=1m")
	child.Env = append(os.Environ(), environmentMark+"="+proxy.URL.Host,
		"HTTP_PROXY=http://me:secret@"+proxy.URL.Host, "HTTPS_PROXY=http://127.0.0.1:1",
		"NO_PROXY=other.example", "http_proxy=", "https_proxy=", "no_proxy=", "REQUEST_METHOD=")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	asked := proxy.Asked()
	if len(asked) != 1 || asked[0].Host != "agent.example:80" || asked[0].Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
		t.Errorf("the proxy was asked %v", asked)
	}
}

// TestDialInEnvironment is the other process of TestDialEnvironment. Started by itself it has
// nothing to do.
func TestDialInEnvironment(t *testing.T) {
	proxy := os.Getenv(environmentMark)
	if proxy == "" {
		return
	}
	dialled := func(rawURL string, proxy func(*url.URL) (*url.URL, error)) (got string) {
		_, err := agloop.Dial(t.Context(), rawURL, agloop.ClientConfig{Proxy: proxy, Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			got = addr
			return nil, net.ErrClosed
		}})
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		return got
	}
	for rawURL, want := range map[string]string{
		"ws://agent.example/ws": proxy,
		"ws://other.example/ws": "other.example:80",
		"ws://localhost:1/":     "localhost:1",
		"ws://127.0.0.1:1/":     "127.0.0.1:1",
	} {
		if got := dialled(rawURL, agloop.ProxyFromEnvironment); got != want {
			t.Errorf("%s: Dial was asked for %s, want %s", rawURL, got, want)
		}
	}
	if got := dialled("ws://agent.example/ws", nil); got != "agent.example:80" {
		t.Errorf("without a Proxy Dial was asked for %s", got)
	}
	if u, err := agloop.ProxyFromEnvironment(&url.URL{Scheme: "wss", Host: "agent.example"}); err != nil || u.String() != "http://127.0.0.1:1" {
		t.Errorf("for wss: %v, %v", u, err)
	}
	c, err := agloop.Dial(t.Context(), "ws://agent.example/ws", agloop.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := types(t, c, "r"); got != helloTypes {
		t.Errorf("got %s", got)
	}
}
