package agloop_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
)

// TestBodyThatNeverComes: its connection is gone by the deadline of the body, and holds no slot of
// the WebSocket's meanwhile, however many there are.
func TestBodyThatNeverComes(t *testing.T) {
	const posts = 600 // more than may speak HTTP
	for name, body := range map[string]string{
		"length": "Content-Length: 5\r\n\r\nabc",
		"chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			srv, addr := serve(t, agloop.ServerConfig{
				Handler: echo{}, Quotas: agloop.Quotas{Conns: 1}, Limits: agloop.Limits{MessageTimeout: 300 * time.Millisecond},
				HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.ReadAll(r.Body); err != nil {
						http.Error(w, "no body", http.StatusRequestTimeout)
					}
				}),
			})
			var peers []*testkit.Peer
			for range posts {
				p := testkit.Connect(t, addr, 0)
				p.Put([]byte("POST / HTTP/1.1\r\nHost: localhost\r\n" + body))
				peers = append(peers, p)
			}
			p := testkit.Dial(t, addr)
			p.Put(testkit.Text("in"))
			p.WantMessage(frame.Text, "in")
			p.HangUp()
			for _, p := range peers {
				if _, err := io.Copy(io.Discard, p); err != nil && !strings.Contains(err.Error(), "reset") {
					t.Fatal(err)
				}
				p.Close()
			}
			testkit.Await(t, "all are gone", func() bool { return srv.Stats().HTTP == 0 })
		})
	}
}

// TestBodyThatNobodyReads has a deadline all the same: of an upgrade that is refused, and of a head
// that is too large, net/http would wait for it as long as the peer likes.
func TestBodyThatNobodyReads(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, Limits: agloop.Limits{MessageTimeout: 100 * time.Millisecond, MaxHeader: 1 << 10}})
	for name, request := range map[string]string{
		"upgrade":    string(testkit.Request("Content-Length: 5")),
		"other path": string(at("/other", "Content-Length: 5")),
		"large head": "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nX: " + strings.Repeat("x", 1<<10) + "\r\n\r\n",
		"plain":      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := testkit.Connect(t, addr, 0)
			get(t, p, ping)
			p.Put([]byte(request))
			if _, err := io.Copy(io.Discard, p); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStreamBehindBody: the deadline of a body says nothing of the response, whoever has read the
// body to its end.
func TestStreamBehindBody(t *testing.T) {
	const wait = 100 * time.Millisecond
	for name, leave := range map[string]func(*http.Request){
		"read":   func(r *http.Request) { io.Copy(io.Discard, r.Body) },
		"closed": func(r *http.Request) { r.Body.Close() },
		"begun":  func(r *http.Request) { r.Body.Read(make([]byte, 1)) },
		"unread": func(*http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			_, addr := serve(t, agloop.ServerConfig{
				Handler: echo{}, Limits: agloop.Limits{MessageTimeout: wait},
				HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					leave(r)
					http.NewResponseController(w).Flush()
					select { // nothing is to happen
					case <-r.Context().Done():
					case <-time.After(2 * wait):
					}
					ended <- r.Context().Err()
				}),
			})
			p := testkit.Connect(t, addr, 0)
			for range 2 {
				get(t, p, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
				if err := testkit.Receive(t, "the handler's end", ended); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestExpectContinue: who waits to be asked for a body that the handler does not want is answered at
// once.
func TestExpectContinue(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{
		Handler: echo{}, Limits: agloop.Limits{MessageTimeout: time.Hour},
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/read" {
				io.Copy(w, r.Body)
				return
			}
			http.Error(w, "no", http.StatusForbidden)
		}),
	})
	const request = " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	p := testkit.Connect(t, addr, 0)
	p.Put([]byte("POST /" + request))
	if status, _ := p.Head(); status != 403 {
		t.Errorf("got status %d", status)
	}
	p.Close()
	p = testkit.Connect(t, addr, 0)
	p.Put([]byte("POST /read" + request))
	if status, _ := p.Head(); status != 100 {
		t.Errorf("got status %d", status)
	}
	if res, body := get(t, p, "abcde"); res.StatusCode != 200 || body != "abcde" {
		t.Errorf("got %s, %q", res.Status, body)
	}
}

// TestFormFilesAreRemoved as net/http does it when a handler has returned.
func TestFormFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	parsed := make(chan int, 1)
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.ParseMultipartForm(1)
		files, _ := os.ReadDir(dir)
		parsed <- len(files)
	})})
	const form = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\ncontent\r\n--b--\r\n"
	p := testkit.Connect(t, addr, 0)
	get(t, p, fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(form), form))
	if n := testkit.Receive(t, "the form", parsed); n != 1 {
		t.Fatalf("%d files", n)
	}
	testkit.Await(t, "the file is gone", func() bool {
		files, _ := os.ReadDir(dir)
		return len(files) == 0
	})
}

// TestTrailers of a request are there when its body has been read, also those that nothing announced.
func TestTrailers(t *testing.T) {
	_, addr := serve(t, agloop.ServerConfig{Handler: echo{}, HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, r.Trailer.Get("X"))
	})})
	for _, announced := range []string{"", "Trailer: X\r\n"} {
		p := testkit.Connect(t, addr, 0)
		if _, body := get(t, p, "POST / HTTP/1.1\r\nHost: localhost\r\n"+announced+"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n"); body != "y" {
			t.Errorf("with %q: got %q", announced, body)
		}
	}
}
