package agloop_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// https is a client of net/http that speaks this version of HTTP, and ends with the test.
func https(t *testing.T, major int) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: testkit.ClientTLS(), ForceAttemptHTTP2: major == 2}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// eachHTTP runs a test with either version.
func eachHTTP(t *testing.T, f func(t *testing.T, major int, client *http.Client)) {
	for _, major := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP %d", major), func(t *testing.T) { f(t, major, https(t, major)) })
	}
}

// TestHTTPS: requests on the port of the WebSocket, in either version of HTTP, several at once, with
// bodies, large responses, and what the handler is told of the connection.
func TestHTTPS(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	mux := http.NewServeMux()
	mux.HandleFunc("/", agloop.DefaultHTTP)
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) { w.Write(large) })
	mux.HandleFunc("GET /how", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.ProtoMajor, r.TLS != nil && r.TLS.HandshakeComplete && r.TLS.Version == tls.VersionTLS13)
	})
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: mux, TLS: testkit.ServerTLS(t), Limits: agloop.Limits{HandshakeTimeout: testkit.Patience}})
	eachHTTP(t, func(t *testing.T, major int, client *http.Client) {
		ask := func(method, path string, body []byte) (*http.Response, []byte) {
			req, err := http.NewRequestWithContext(t.Context(), method, "https://"+addr+path, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return nil, nil
			}
			res, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return nil, nil
			}
			defer res.Body.Close()
			got, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
			}
			if res.ProtoMajor != major {
				t.Errorf("answered by %s", res.Proto)
			}
			return res, got
		}
		want := func(method, path string, body []byte, status int, want []byte) {
			if res, got := ask(method, path, body); res != nil && (res.StatusCode != status || !bytes.Equal(got, want)) {
				t.Errorf("%s %s: %s, %d bytes %.80q", method, path, res.Status, len(got), got)
			}
		}
		want("GET", "/ping", nil, 200, []byte(`{"status":"Healthy"}`))
		want("HEAD", "/ping", nil, 200, nil)
		want("GET", "/how", nil, 200, fmt.Append(nil, major, true))
		want("POST", "/echo", large, 200, large)
		res, _ := ask("GET", "/ws", nil)
		if res.StatusCode != 426 || (res.Header.Get("Upgrade") != "") != (major == 1) {
			t.Errorf("without an upgrade: %s, %v", res.Status, res.Header)
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { want("POST", "/echo", fmt.Appendf(nil, "body %d", i), 200, fmt.Appendf(nil, "body %d", i)) })
			if i%4 == 0 {
				all.Go(func() { want("GET", "/large", nil, 200, large) })
			}
		}
		all.Wait()
		if n := srv.Stats().HTTP; major == 2 && n != 1 {
			t.Errorf("%d connections speak HTTP", n)
		}
		client.CloseIdleConnections()
		testkit.Await(t, "all are gone", func() bool { return srv.Stats().HTTP == 0 })
	})
	if n := srv.Stats().Connections; n != 0 {
		t.Errorf("%d slots are taken", n)
	}
}

// TestDefaultHTTPS: where neither runs nor a handler's pages are served HTTP/1.1 alone is spoken, and
// health is told.
func TestDefaultHTTPS(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Agent: hello, HTTPPath: agloop.NoPath, TLS: testkit.ServerTLS(t)})
	res, err := https(t, 2).Get("https://" + addr + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.ProtoMajor != 1 || string(body) != `{"status":"Healthy"}` || err != nil {
		t.Errorf("%s, %q, %v", res.Proto, body, err)
	}
}

// TestHTTPSBodyThatNeverComes is given up by Limits.MessageTimeout, and one that comes slowly in time
// is not. In HTTP/2 the other requests of the connection go on.
func TestHTTPSBodyThatNeverComes(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, TLS: testkit.ServerTLS(t), Limits: agloop.Limits{MessageTimeout: 300 * time.Millisecond},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		}),
	})
	eachHTTP(t, func(t *testing.T, major int, client *http.Client) {
		body, more := io.Pipe()
		defer more.Close()
		go func() {
			_, _ = io.WriteString(more, "slow")
			_, _ = io.WriteString(more, "ly")
			more.Close()
		}()
		res, err := client.Post("https://"+addr, "", body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("in time: %s", res.Status)
		}

		silent, never := io.Pipe()
		defer never.Close()
		res, err = client.Post("https://"+addr, "", silent)
		switch {
		case err == nil:
			res.Body.Close()
			if res.StatusCode != http.StatusRequestTimeout {
				t.Errorf("a body that never comes: %s", res.Status)
			}
		case major == 2:
			t.Error(err)
		}
		if res, err = client.Get("https://" + addr); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	})
}

// TestHTTP2ResponseByProgress: a response that nobody reads fails by Limits.WriteTimeout, alone among
// those of its connection, also what net/http writes of it in the end; one that pauses does not.
func TestHTTP2ResponseByProgress(t *testing.T) {
	const stall = 200 * time.Millisecond
	failed, next := make(chan error, 1), make(chan struct{})
	srv, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, TLS: testkit.ServerTLS(t), Limits: agloop.Limits{WriteTimeout: stall},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/stream":
				for range 3 {
					fmt.Fprintln(w, "tick")
					http.NewResponseController(w).Flush()
					<-next
				}
			case "/end":
				w.Write(make([]byte, 4<<20+1000)) // what the client lets come unread, and little more
			case "/endless":
				for err := error(nil); ; _, err = w.Write(make([]byte, 1<<20)) {
					if err != nil {
						failed <- err
						return
					}
				}
			}
		}),
	})
	client := https(t, 2)
	open := func(path string) *http.Response {
		res, err := client.Get("https://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	stream, endless, end := open("/stream"), open("/endless"), open("/end")
	lines := bufio.NewReader(stream.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); line != "tick\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		time.Sleep(2 * stall) // nothing is to happen
		next <- struct{}{}
	}
	if _, err := lines.ReadByte(); err != io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	if err := testkit.Receive(t, "the write that fails", failed); err == nil {
		t.Error("no error")
	}
	for what, res := range map[string]*http.Response{"endless": endless, "end": end} {
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Errorf("%s: it was whole", what)
		}
		res.Body.Close()
	}
	if n := srv.Stats().HTTP; n != 1 {
		t.Errorf("%d connections speak HTTP", n)
	}
}

// TestUpgradeAfterHTTPS: a connection that carried https, as a proxy keeps one, becomes a WebSocket
// with a later request, and nothing that was sent early is lost, in whatever records it came.
func TestUpgradeAfterHTTPS(t *testing.T) {
	const post = "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t)})
	late := strings.Repeat("z", 40_000) // more than two records
	for _, before := range []string{ping, ping + ping, post} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, together := range []bool{true, false} {
				cfg := testkit.ClientTLS()
				cfg.MaxVersion = version
				p := testkit.ConnectTLS(t, addr, 0, cfg)
				p.Put([]byte(before))
				buf := bufio.NewReader(oneByte{p})
				for range strings.Count(before, "HTTP/1.1\r\n") {
					res, err := http.ReadResponse(buf, nil)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, res.Body)
				}
				if n := srv.Stats().HTTP; n != 1 {
					t.Errorf("%d connections speak HTTP", n)
				}
				if together {
					p.Put(testkit.Request(), testkit.Text("early"), testkit.Text(late))
				} else {
					p.Put(testkit.Request())
					p.Put(testkit.Text("early"))
					p.Put(testkit.Text(late))
				}
				p.WantSwitch()
				p.WantMessage(frame.Text, "early")
				p.WantMessage(frame.Text, late)
				if st := srv.Stats(); st.HTTP != 0 || st.Connections != 1 {
					t.Errorf("%d connections speak HTTP, %d slots are taken", st.HTTP, st.Connections)
				}
				p.HangUp()
				testkit.Await(t, "the slot is free", func() bool { return srv.Stats().Connections == 0 })
			}
		}
	}
}

// TestHTTPSAndGone: the request of who says nothing more, not even that the connection lives, is
// answered.
func TestHTTPSAndGone(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t)})
	p := testkit.ConnectTLS(t, addr, 0, nil)
	p.Put([]byte(ping))
	if err := p.Conn.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(p), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); string(body) != `{"status":"Healthy"}` || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestRefusedUpgradeOverTLS closes in order, whether it is the first request or a later one.
func TestRefusedUpgradeOverTLS(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, TLS: testkit.ServerTLS(t)})
	for _, later := range []string{"", ping} {
		for request, status := range map[string]int{
			string(at("/other")): 426,
			string(testkit.Request("Origin: https://evil.example")):     403,
			strings.Replace(string(testkit.Request()), "GET", "PUT", 1): 405,
		} {
			p := testkit.ConnectTLS(t, addr, 0, nil)
			if later != "" {
				get(t, p, later)
			}
			res, _ := get(t, p, request)
			if res.StatusCode != status || !res.Close {
				t.Errorf("after %q: %.20q was answered %s, close %t", later, request, res.Status, res.Close)
			}
			if b, err := io.ReadAll(p); len(b) > 0 || err != nil {
				t.Errorf("after %q: behind the answer to %.20q: %q, %v", later, request, b, err)
			}
		}
	}
}

// TestHTTPSSlots: those that speak https are among those that speak HTTP; one that rests makes room,
// and if none does the next is answered 503, or closed if it speaks HTTP/2.
func TestHTTPSSlots(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate, entered := make(chan struct{}), make(chan struct{}, 3)
	srv := agloop.NewServer(agloop.ServerConfig{
		Handler: echo{}, TLS: testkit.ServerTLS(t), Quotas: agloop.Quotas{Conns: 1}, // half of which is none
		HTTP: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				entered <- struct{}{}
				<-gate
			}
		}),
	})
	srv.SetHTTPSlots(2)
	_, addr := serveOn(t, ln, srv)
	wait := strings.Replace(ping, "/ping", "/wait", 1)
	first, second := testkit.ConnectTLS(t, addr, 0, nil), testkit.ConnectTLS(t, addr, 0, nil)
	get(t, first, ping)
	testkit.Await(t, "the first rests", func() bool { return srv.HTTPIdle() == 1 })
	get(t, second, ping)
	testkit.Await(t, "both rest", func() bool { return srv.HTTPIdle() == 2 })
	third := testkit.ConnectTLS(t, addr, 0, nil)
	third.Put([]byte(wait))
	testkit.Receive(t, "the third", entered)
	if _, err := io.Copy(io.Discard, first); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // it rested longest
		t.Error(err)
	}
	second.Put([]byte(wait))
	testkit.Receive(t, "the second", entered)
	fourth := testkit.ConnectTLS(t, addr, 0, nil)
	if res, _ := get(t, fourth, ping); res.StatusCode != 503 {
		t.Errorf("with no slot: %s", res.Status)
	}
	if _, err := https(t, 2).Get("https://" + addr); err == nil {
		t.Error("with no slot, by HTTP/2: answered")
	}
	close(gate)
}
