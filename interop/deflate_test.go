package interop

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/server"
	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// traffic counts the bytes of connections, in both directions.
type traffic struct{ read, written atomic.Int64 }

func (c *traffic) of(nc net.Conn) net.Conn { return &countedConn{nc, c} }

// dial is for dialOptions.
func (c *traffic) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c.of(nc), nil
}

// take returns what was counted since the last call.
func (c *traffic) take() (read, written int) { return int(c.read.Swap(0)), int(c.written.Swap(0)) }

type countedConn struct {
	net.Conn
	c *traffic
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.c.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.c.written.Add(int64(n))
	return n, err
}

type countedListener struct {
	net.Listener
	c *traffic
}

func (l countedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.c.of(nc), nil
}

// deflaters are the ways in which other libraries compress, as clients and as servers.
var deflaters = []struct {
	name     string
	takeover bool // it keeps its context where it may
	dial     opener
	accept   func(t testing.TB, c *traffic, serve func(peer)) (url string)
}{
	{"gorilla", false, dialGorillaDeflate, acceptGorillaDeflate},
	{"coder", true, dialCoderDeflate(coder.CompressionContextTakeover), acceptCoderDeflate(coder.CompressionContextTakeover)},
	{"coder without takeover", false, dialCoderDeflate(coder.CompressionNoContextTakeover), acceptCoderDeflate(coder.CompressionNoContextTakeover)},
}

func dialGorillaDeflate(t testing.TB, url string, o dialOptions) (peer, *http.Response, error) {
	d := gorilla.Dialer{NetDialContext: o.dial, HandshakeTimeout: patience, EnableCompression: true}
	conn, resp, err := d.DialContext(within(t), url, o.header)
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { conn.Close() })
	return deflatingGorilla(conn), resp, nil
}

func deflatingGorilla(conn *gorilla.Conn) peer {
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	p := &gorillaPeer{conn: conn, pongs: make(chan string, 1)}
	conn.SetPongHandler(func(s string) error { p.pongs <- s; return nil })
	return p
}

func acceptGorillaDeflate(t testing.TB, c *traffic, serve func(peer)) string {
	up := gorilla.Upgrader{EnableCompression: true}
	return serveCounted(t, c, func(w http.ResponseWriter, r *http.Request) {
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		serve(deflatingGorilla(conn))
	})
}

func dialCoderDeflate(mode coder.CompressionMode) opener {
	return func(t testing.TB, url string, o dialOptions) (peer, *http.Response, error) {
		ctx := within(t)
		conn, resp, err := coder.Dial(ctx, url, &coder.DialOptions{
			HTTPClient:      &http.Client{Transport: &http.Transport{DialContext: o.dial}},
			CompressionMode: mode, CompressionThreshold: 1,
		})
		if err != nil {
			return nil, resp, err
		}
		t.Cleanup(func() { conn.CloseNow() })
		conn.SetReadLimit(-1)
		return &coderPeer{conn, ctx}, resp, nil
	}
}

func acceptCoderDeflate(mode coder.CompressionMode) func(testing.TB, *traffic, func(peer)) string {
	return func(t testing.TB, c *traffic, serve func(peer)) string {
		return serveCounted(t, c, func(w http.ResponseWriter, r *http.Request) {
			conn, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.CloseNow()
			conn.SetReadLimit(-1)
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			serve(&coderPeer{conn, ctx})
		})
	}
}

// serveCounted is serveHTTP with every byte counted.
func serveCounted(t testing.TB, c *traffic, h http.HandlerFunc) (url string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Listener = countedListener{srv.Listener, c}
	srv.Start()
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

// speech are messages of many kinds, most of which resemble the one before.
func speech(n int, seed uint64) (list [][]byte) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		m := fmt.Sprintf(`{"type":"TEXT_MESSAGE_CONTENT","timestamp":%d,"messageId":"m-1","delta":"token %d·"}`, 1_700_000_000_000+i*37, i)
		switch rnd.IntN(8) {
		case 0:
			m = strings.Repeat(m, 1+rnd.IntN(80))
		case 1:
			b := make([]byte, rnd.IntN(3000))
			for k := range b {
				b[k] = byte(' ' + rnd.IntN(95))
			}
			m = string(b)
		case 2:
			m = m[:rnd.IntN(70)]
		}
		list = append(list, []byte(m))
	}
	return append(list, payload(200_000), payload(1<<20), nil, []byte("the last"))
}

// agreed is the answer to what each offers.
func agreed(offered, ours bool) string {
	switch {
	case !offered:
		return "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	case ours:
		return "permessage-deflate"
	default:
		return "permessage-deflate; client_no_context_takeover"
	}
}

// TestServerDeflate: what others compress comes back as it was, as one frame and in pieces, with pings
// between; large messages are small on the wire in both directions.
func TestServerDeflate(t *testing.T) {
	for _, lib := range deflaters {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprint(lib.name, " takeover=", takeover), func(t *testing.T) {
				_, url := serve(t, server.Config{
					Handler: echo{}, Limits: server.Limits{MaxMessage: 1 << 20},
					Compression: server.Compression{Enabled: true, Takeover: takeover},
				})
				var wire traffic
				p, resp, err := lib.dial(t, url, dialOptions{dial: wire.dial})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := resp.Header.Get("Sec-WebSocket-Extensions"), agreed(lib.takeover, takeover); got != want {
					t.Errorf("agreed on %q, want %q", got, want)
				}
				echoAll(t, p, &wire)
				if err := p.close(1000, "bye"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func echoAll(t *testing.T, p peer, wire *traffic) {
	t.Helper()
	for i, m := range speech(200, 1) {
		wire.take()
		text := i%5 != 0
		var err error
		if i%3 == 0 {
			err = p.sendInPieces(text, m, 1+len(m)/3)
		} else {
			err = p.send(text, m)
		}
		if err != nil {
			t.Fatal(err)
		}
		gotText, got, err := p.receive()
		if err != nil || gotText != text || !bytes.Equal(got, m) {
			t.Fatalf("message %d, %d bytes: got %d bytes, text %t, %v", i, len(m), len(got), gotText, err)
		}
		if in, out := wire.take(); len(m) > 100_000 && (in > len(m)/20 || out > len(m)/20) {
			t.Errorf("%d bytes cost %d in and %d out", len(m), in, out)
		}
		if i%50 == 0 {
			if err := p.ping("ping"); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestServerDeflateNotAgreed: who offers no compression gets none, and nobody does from a server that
// has none.
func TestServerDeflateNotAgreed(t *testing.T) {
	plain := func(t *testing.T, open opener, url string) {
		t.Helper()
		var wire traffic
		p, resp, err := open(t, url, dialOptions{dial: wire.dial})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("agreed on %q", got)
		}
		wire.take()
		for _, m := range speech(50, 2) {
			if err := p.send(true, m); err != nil {
				t.Fatal(err)
			}
			if _, got, err := p.receive(); err != nil || !bytes.Equal(got, m) { // a library refuses RSV1 now
				t.Fatalf("%d bytes: got %d, %v", len(m), len(got), err)
			}
			if in, out := wire.take(); in < len(m) || out < len(m) {
				t.Fatalf("%d bytes cost %d in and %d out", len(m), in, out)
			}
		}
		if err := p.close(1000, ""); err != nil {
			t.Error(err)
		}
	}
	_, url := serve(t, server.Config{Handler: echo{}, Limits: server.Limits{MaxMessage: 1 << 20}, Compression: server.Compression{Enabled: true, Takeover: true}})
	each(t, func(t *testing.T, open opener) { plain(t, open, url) })
	_, without := serve(t, server.Config{Handler: echo{}, Limits: server.Limits{MaxMessage: 1 << 20}})
	for _, lib := range deflaters {
		t.Run(lib.name, func(t *testing.T) { plain(t, lib.dial, without) })
	}
}

// TestServerDeflateRefuses: a compressed message that becomes too large, or is no text, ends the
// connection with its code; nothing of it reaches the handler.
func TestServerDeflateRefuses(t *testing.T) {
	for _, lib := range deflaters {
		t.Run(lib.name, func(t *testing.T) {
			h := newToChannel()
			_, url := serve(t, server.Config{
				Handler: h, Limits: server.Limits{MaxMessage: 1 << 20}, Compression: server.Compression{Enabled: true, Takeover: true},
			})
			for _, tt := range []struct {
				text bool
				m    []byte
				code int
			}{{false, make([]byte, 1<<20+1), 1009}, {true, make([]byte, 8<<20), 1009}, {true, bytes.Repeat([]byte("a\xff"), 1000), 1007}} {
				var wire traffic
				p, _, err := lib.dial(t, url, dialOptions{dial: wire.dial})
				if err != nil {
					t.Fatal(err)
				}
				if err := p.send(true, []byte("first")); err != nil {
					t.Fatal(err)
				}
				if got := <-h.got; got != "truefirst" {
					t.Errorf("got %q", got)
				}
				if err := p.send(tt.text, tt.m); err != nil {
					t.Fatal(err)
				}
				_, _, err = p.receive()
				if got, _ := closedWith(err); got != tt.code {
					t.Errorf("%d bytes, text %t: closed with %v, want %d", len(tt.m), tt.text, err, tt.code)
				}
				p.drop()
				if why := <-h.ends; int(why.Code) != tt.code || why.Remote {
					t.Errorf("OnClose was told %v, want %d", why, tt.code)
				}
			}
			if len(h.got) > 0 {
				t.Errorf("the handler got %.20q", <-h.got)
			}
		})
	}
}

// TestClientDeflate: our client and the servers of others, with takeover and without; a server that
// does not compress is understood too.
func TestClientDeflate(t *testing.T) {
	for _, lib := range deflaters {
		for _, takeover := range []bool{false, true} {
			t.Run(fmt.Sprint(lib.name, " takeover=", takeover), func(t *testing.T) {
				var wire traffic
				url := lib.accept(t, &wire, echoInTurn(t))
				h, c := connectDeflate(t, url, takeover)
				exchange(t, h, c, &wire, true)
			})
		}
	}
	eachServer(t, func(t *testing.T, accept accepter) {
		h, c := connectDeflate(t, accept(t, echoInTurn(t)), true)
		exchange(t, h, c, nil, false)
	})
}

// echoInTurn sends each message back, every other one in pieces.
func echoInTurn(t testing.TB) func(peer) {
	return func(p peer) {
		for n := 1; ; n++ {
			text, b, err := p.receive()
			if err != nil {
				return
			}
			if n%2 == 0 {
				err = p.send(text, b)
			} else {
				err = p.sendInPieces(text, b, 1+len(b)/7)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
}

func connectDeflate(t testing.TB, url string, takeover bool) (toChannel, *client.Client) {
	t.Helper()
	h := newToChannel()
	cfg := clientConfig()
	cfg.Handler, cfg.Limits.MaxMessage, cfg.Limits.MessageBatchTimeout = h, 1<<20, -1
	cfg.Compression = client.Compression{Enabled: true, Takeover: takeover}
	return h, connect(t, url, cfg)
}

func exchange(t *testing.T, h toChannel, c *client.Client, wire *traffic, compressed bool) {
	t.Helper()
	for i, m := range speech(200, 3) {
		op := server.Text
		if i%5 == 0 {
			op = server.Binary
		}
		if wire != nil {
			wire.take()
		}
		c.Conn().Send(op, m)
		if got, want := <-h.got, fmt.Sprint(op == server.Text)+string(m); got != want {
			t.Fatalf("message %d, %d bytes: got %d back", i, len(m), len(got))
		}
		if compressed && len(m) > 100_000 {
			if in, out := wire.take(); in > len(m)/20 || out > len(m)/20 {
				t.Errorf("%d bytes cost %d in and %d out", len(m), in, out)
			}
		}
	}
	c.Conn().Close(1000, "bye")
	if why := <-h.ends; why.Code != 1000 || why.Remote {
		t.Errorf("OnClose was told %v", why)
	}
}

// TestClientDeflateRefuses: as TestServerDeflateRefuses, of a server.
func TestClientDeflateRefuses(t *testing.T) {
	for _, lib := range deflaters {
		t.Run(lib.name, func(t *testing.T) {
			for _, tt := range []struct {
				text bool
				m    []byte
				code int
			}{{false, make([]byte, 1<<20+1), 1009}, {true, bytes.Repeat([]byte("a\xff"), 1000), 1007}} {
				seen := make(chan error, 1)
				var wire traffic
				url := lib.accept(t, &wire, func(p peer) {
					if err := p.send(tt.text, tt.m); err != nil {
						t.Error(err)
					}
					_, _, err := p.receive()
					seen <- err
				})
				h, _ := connectDeflate(t, url, true)
				if why := <-h.ends; int(why.Code) != tt.code || why.Remote {
					t.Errorf("OnClose was told %v, want %d", why, tt.code)
				}
				if got, _ := closedWith(<-seen); got != tt.code {
					t.Errorf("the server saw %d, want %d", got, tt.code)
				}
			}
		})
	}
}
