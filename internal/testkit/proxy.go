package testkit

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Proxy is an HTTP proxy on net/http that makes tunnels.
type Proxy struct {
	// Immutable.
	URL   *url.URL
	to    string
	admit func(http.ResponseWriter, *http.Request) bool
	t     testing.TB

	// Any goroutine, under mu.
	mu    sync.Mutex
	asked []*http.Request
	conns []net.Conn
	over  bool // the test is
}

// NewProxy starts a proxy whose tunnels lead to the address to, whatever they are asked for. admit
// may refuse, and answers then; nil refuses nobody. It ends with the test.
func NewProxy(t testing.TB, to string, admit func(http.ResponseWriter, *http.Request) bool) *Proxy {
	t.Helper()
	p := &Proxy{to: to, admit: admit, t: t}
	var serving sync.WaitGroup
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving.Add(1)
		defer serving.Done()
		p.serve(w, r)
	}))
	t.Cleanup(func() {
		srv.Close()
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
		p.Cut()
		serving.Wait()
	})
	var err error
	if p.URL, err = url.Parse(srv.URL); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	p.mu.Unlock()
	switch {
	case r.Method != http.MethodConnect:
		p.t.Errorf("the proxy was asked to %s %s", r.Method, r.RequestURI)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case p.admit != nil && !p.admit(w, r):
		return
	}
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	defer client.Close()
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	over := p.over
	p.mu.Unlock()
	if over {
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	var there sync.WaitGroup
	there.Go(func() {
		_, _ = io.Copy(server, in)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(client, server)
	_ = client.(*net.TCPConn).CloseWrite()
	there.Wait()
}

// Asked are the requests so far.
func (p *Proxy) Asked() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[:len(p.asked):len(p.asked)]
}

// Cut closes all tunnels in the middle.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, nc := range p.conns {
		nc.Close()
	}
}

// Through names the proxy for a client's config, to be asked as user unless that is nil.
func (p *Proxy) Through(user *url.Userinfo) func(*url.URL) (*url.URL, error) {
	named := *p.URL
	named.User = user
	return func(*url.URL) (*url.URL, error) { return &named, nil }
}
