package agloop_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// get sends a request on a connection that may have had others, and reads the response.
func get(t *testing.T, p *testkit.Peer, request string) (*http.Response, string) {
	t.Helper()
	p.Put([]byte(request))
	res, err := http.ReadResponse(bufio.NewReader(oneByte{p}), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// oneByte keeps a buffered reader from reading further than it must.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

const ping = "GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

// TestUpgradeAfterHTTP: a connection that carried plain HTTP, as a proxy keeps one, becomes a
// WebSocket with a later request, early bytes included.
func TestUpgradeAfterHTTP(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, before := range []string{
		ping,
		ping + ping,
		"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
		"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HEAD /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" + ping,
	} {
		p := testkit.Connect(t, addr, 0)
		p.Put([]byte(before))
		buf := bufio.NewReader(oneByte{p})
		for i := range strings.Count(before, "HTTP/1.1\r\n") {
			method := http.MethodGet
			if i == 0 && strings.HasPrefix(before, "HEAD") {
				method = http.MethodHead
			}
			res, err := http.ReadResponse(buf, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
		}
		if n := srv.Stats().HTTP; n != 1 {
			t.Errorf("%d connections speak HTTP", n)
		}
		p.Put(testkit.Request(), testkit.Text("early"))
		p.WantSwitch()
		p.WantMessage(frame.Text, "early")
		if st := srv.Stats(); st.HTTP != 0 || st.Connections != 1 {
			t.Errorf("%d connections speak HTTP, %d slots are taken", st.HTTP, st.Connections)
		}
		p.HangUp()
		testkit.Await(t, "the slot is free", func() bool { return srv.Stats().Connections == 0 })
	}
}

// TestRefusedUpgradeCloses: whatever the path and the reason, and whether it is the first request or
// a later one.
func TestRefusedUpgradeCloses(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}})
	for _, later := range []string{"", ping} {
		for request, status := range map[string]int{
			string(at("/other")): 426,
			strings.Replace(string(testkit.Request()), ": 13", ": 12", 1): 426,
			string(testkit.Request("Origin: https://evil.example")):       403,
			strings.Replace(string(testkit.Request()), "GET", "PUT", 1):   405,
		} {
			p := testkit.Connect(t, addr, 0)
			if later != "" {
				get(t, p, later)
			}
			res, _ := get(t, p, request)
			if res.StatusCode != status || !res.Close {
				t.Errorf("after %q: %.20q was answered %s, close %t", later, request, res.Status, res.Close)
			}
			if status == 426 && res.Header.Get("Upgrade") != "websocket" {
				t.Errorf("426 without Upgrade: %v", res.Header)
			}
			if b, err := io.ReadAll(p); len(b) > 0 || err != nil {
				t.Errorf("after %q: behind the answer to %.20q: %q, %v", later, request, b, err)
			}
		}
	}
}

// TestShutdownDoesNotWaitForHTTPPeers: a body that does not come and a response that nobody reads do
// not hold up an orderly end, though their own deadlines are far.
func TestShutdownDoesNotWaitForHTTPPeers(t *testing.T) {
	served := make(chan struct{}, 2)
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}), Limits: agloop.Limits{MessageTimeout: time.Hour, WriteTimeout: time.Hour}})
	post := testkit.Connect(t, addr, 0)
	post.Put([]byte("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nabc"))
	testkit.Receive(t, "the request", served)
	deaf := testkit.Connect(t, addr, 4096)
	deaf.Put([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	testkit.Receive(t, "the request", served)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// TestResponseByProgress: a response may last longer than any deadline while its reader goes on, and
// fails when nothing of it is taken.
func TestResponseByProgress(t *testing.T) {
	const stall = 200 * time.Millisecond
	failed := make(chan error, 1)
	next := make(chan struct{})
	_, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, Limits: agloop.Limits{WriteTimeout: stall, MessageTimeout: stall, HandshakeTimeout: time.Second},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				for {
					fmt.Fprintln(w, "tick")
					http.NewResponseController(w).Flush()
					select {
					case <-next:
					case <-r.Context().Done():
						return
					}
				}
			}
			for {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					failed <- err
					return
				}
			}
		}),
	})
	stream := testkit.Connect(t, addr, 0)
	stream.Put([]byte("POST /stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"))
	res, err := http.ReadResponse(bufio.NewReader(oneByte{stream}), nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); line != "tick\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		time.Sleep(2 * stall) // nothing is to happen
		next <- struct{}{}
	}
	stream.Close()

	deaf := testkit.Connect(t, addr, 4096)
	deaf.Put([]byte("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	if err := testkit.Receive(t, "the write that fails", failed); err == nil {
		t.Error("no error")
	}

	slow := testkit.Connect(t, addr, 4096)
	slow.Put([]byte("GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	for range 20 { // longer than the deadline in all, but never at once
		slow.Fill(make([]byte, 64<<10))
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(stall / 10):
		}
	}
	slow.Close()
	testkit.Receive(t, "the handler's end", failed)
}

// TestPlainHTTPWhileNobodyIsLetIn: with all slots taken, and with memory short, health checks are
// answered, and only upgrades are refused.
func TestPlainHTTPWhileNobodyIsLetIn(t *testing.T) {
	srv, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Quotas: agloop.Quotas{Conns: 1}, Performance: performance(), Logger: quiet})
	check := func(status int) {
		t.Helper()
		kept := testkit.Connect(t, addr, 0)
		for range 2 {
			if res, body := get(t, kept, ping); res.StatusCode != 200 || body != `{"status":"Healthy"}` {
				t.Errorf("ping: %s, %q", res.Status, body)
			}
		}
		for _, p := range []*testkit.Peer{kept, nil} {
			if p == nil {
				p = testkit.Connect(t, addr, 0)
			}
			res, _ := get(t, p, string(testkit.Request()))
			if res.StatusCode != status || status == 503 && (!res.Close || res.Header.Get("Retry-After") == "") {
				t.Errorf("upgrade: %s, %v", res.Status, res.Header)
			}
			p.Close()
			testkit.Await(t, "it is gone", func() bool { return srv.Stats().Connections <= 1 })
		}
	}
	p := testkit.Dial(t, addr)
	check(503)
	p.HangUp()
	testkit.Await(t, "the slot is free", func() bool { return srv.Stats().Connections == 0 })
	perf := srv.GetPerformanceManager()
	perf.ChangeTier(agloop.MemoryNormal, agloop.MemoryHigh)
	check(503)
	perf.ChangeTier(agloop.MemoryHigh, agloop.MemoryNormal)
	if r := srv.Stats().Refusals; r.Slots != 2 || r.Memory != 2 {
		t.Errorf("%+v", r)
	}
}

// TestHTTPSlots: when as many connections as may speak HTTP, one that rests makes room, and if none
// does the next is answered 503.
func TestHTTPSlots(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	entered := make(chan struct{}, 3)
	srv := agloop.NewServer(agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			entered <- struct{}{}
			<-gate
		}
	}), Quotas: agloop.Quotas{Conns: 1}}) // half of which is none
	srv.SetHTTPSlots(2)
	_, addr := serveOn(t, ln, srv)
	wait := strings.Replace(ping, "/ping", "/wait", 1)
	first, second, third := testkit.Connect(t, addr, 0), testkit.Connect(t, addr, 0), testkit.Connect(t, addr, 0)
	get(t, first, ping)
	testkit.Await(t, "the first rests", func() bool { return srv.HTTPIdle() == 1 })
	get(t, second, ping)
	testkit.Await(t, "both rest", func() bool { return srv.HTTPIdle() == 2 })
	third.Put([]byte(wait))
	testkit.Receive(t, "the third", entered)
	first.WantEnd() // it rested longest
	second.Put([]byte(wait))
	testkit.Receive(t, "the second", entered)
	fourth := testkit.Connect(t, addr, 0)
	if res, _ := get(t, fourth, ping); res.StatusCode != 503 {
		t.Errorf("with no slot: %s", res.Status)
	}
	close(gate)
}

// TestHTTPBeyondItsSlots: many requests at once take up to half of the slots, and none that rests keeps
// one.
func TestHTTPBeyondItsSlots(t *testing.T) {
	const places, slots = 2, 8
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	entered := make(chan struct{}, places+slots)
	srv := agloop.NewServer(agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-gate
	}), Quotas: agloop.Quotas{Conns: slots}})
	srv.SetHTTPSlots(places)
	_, addr := serveOn(t, ln, srv)
	var waiting []*testkit.Peer
	for range places + slots/2 {
		p := testkit.Connect(t, addr, 0)
		p.Put([]byte(ping))
		testkit.Receive(t, "the request", entered)
		waiting = append(waiting, p)
	}
	if res, _ := get(t, testkit.Connect(t, addr, 0), ping); res.StatusCode != 503 {
		t.Errorf("more than half: %s", res.Status)
	}
	testkit.Await(t, "the others have no slot", func() bool {
		st := srv.Stats()
		return st.HTTP == places+slots/2 && st.Connections == 0
	})
	testkit.Dial(t, addr) // there is room for a WebSocket
	close(gate)
	for _, p := range waiting {
		if res, err := http.ReadResponse(bufio.NewReader(oneByte{p}), nil); err != nil || res.StatusCode != 200 {
			t.Errorf("got %v, %v", res, err)
		}
	}
	testkit.Await(t, "the slots are given back", func() bool {
		return srv.SlotsUsed() == 1 && srv.HTTPIdle() == places && srv.Stats().HTTP == places
	})
}

// TestHeaderLimitOfLaterRequests is that of the first.
func TestHeaderLimitOfLaterRequests(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Limits: agloop.Limits{MaxHeader: 8 << 10}})
	sized := func(n int) string {
		const head = "GET /ping HTTP/1.1\r\nHost: localhost\r\nX: \r\n\r\n"
		return strings.Replace(head, "X: ", "X: "+strings.Repeat("x", n-len(head)), 1)
	}
	for _, first := range []bool{true, false} {
		for n, status := range map[int]int{8<<10 - 10: 200, 8<<10 + 10: 431} {
			p := testkit.Connect(t, addr, 0)
			if !first {
				get(t, p, ping)
			}
			if res, _ := get(t, p, sized(n)); res.StatusCode != status {
				t.Errorf("%d bytes, first %t: %s", n, first, res.Status)
			}
			p.Close()
		}
	}
}
