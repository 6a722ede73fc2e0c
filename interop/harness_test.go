package interop

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/client"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/server"
	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

// patience bounds every wait of these tests.
const patience = testkit.Patience

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// serve runs a server on a loopback port until the end of the test and returns the URL of its
// WebSocket.
func serve(t testing.TB, cfg server.Config) (*server.Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, cfg), "ws://" + ln.Addr().String() + "/ws"
}

func serveOn(t testing.TB, ln net.Listener, cfg server.Config) *server.Server {
	t.Helper()
	cfg.Logger = quiet()
	cfg.Loops = 1
	srv := server.New(cfg)
	served := make(chan error, 1)
	go func() { served <- srv.ServeListener(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, server.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if st := srv.Stats(); st.Connections != 0 || st.Runs != 0 || st.Opened != st.Closed {
			t.Errorf("after Shutdown: %d connections, %d runs, %d opened, %d closed", st.Connections, st.Runs, st.Opened, st.Closed)
		}
	})
	testkit.Await(t, "the server to run", func() bool { return srv.Addr() != nil })
	return srv
}

// echo answers every message with itself.
type echo struct{ server.NopHandler }

func (echo) OnMessage(c *server.Conn, op server.Opcode, p []byte) { c.Send(op, p) }

// peer is a WebSocket client of another library.
type peer interface {
	send(text bool, payload []byte) error
	sendInPieces(text bool, payload []byte, piece int) error
	receive() (text bool, payload []byte, err error)
	ping(payload string) error // returns when the pong is here
	close(code int, reason string) error
	protocol() string
	drop() // without a closing handshake
}

// closedWith is the code and reason of a receive's error, 1006 when there was no close frame.
func closedWith(err error) (code int, reason string) {
	if e, ok := errors.AsType[*gorilla.CloseError](err); ok {
		return e.Code, e.Text
	}
	if e, ok := errors.AsType[coder.CloseError](err); ok {
		return int(e.Code), e.Reason
	}
	return 1006, ""
}

// opener connects a client.
type opener = func(t testing.TB, url string, o dialOptions) (peer, *http.Response, error)

// libraries are the clients that every test of a server runs with.
var libraries = []struct {
	name string
	dial opener
}{
	{"gorilla", dialGorilla},
	{"coder", dialCoder},
}

type dialOptions struct {
	protocols []string
	header    http.Header
	tls       *tls.Config // of wss
	dial      func(ctx context.Context, network, addr string) (net.Conn, error)
}

// dial connects a client that must succeed.
func dial(t testing.TB, open opener, url string) peer {
	t.Helper()
	p, _, err := open(t, url, dialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type gorillaPeer struct {
	conn  *gorilla.Conn
	pongs chan string
}

func dialGorilla(t testing.TB, url string, o dialOptions) (peer, *http.Response, error) {
	d := gorilla.Dialer{Subprotocols: o.protocols, NetDialContext: o.dial, TLSClientConfig: o.tls, HandshakeTimeout: patience}
	conn, resp, err := d.DialContext(within(t), url, o.header)
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { conn.Close() })
	deadline := time.Now().Add(patience)
	_ = conn.SetReadDeadline(deadline)
	_ = conn.SetWriteDeadline(deadline)
	p := &gorillaPeer{conn: conn, pongs: make(chan string, 1)}
	conn.SetPongHandler(func(s string) error { p.pongs <- s; return nil })
	return p, resp, nil
}

func kind(text bool) int {
	if text {
		return gorilla.TextMessage
	}
	return gorilla.BinaryMessage
}

func (p *gorillaPeer) send(text bool, payload []byte) error {
	return p.conn.WriteMessage(kind(text), payload)
}

// sendInPieces relies on gorilla sending a frame whenever its buffer is full or flushed.
func (p *gorillaPeer) sendInPieces(text bool, payload []byte, _ int) error {
	w, err := p.conn.NextWriter(kind(text))
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, onlyReader{strings.NewReader(string(payload))}); err != nil {
		return err
	}
	return w.Close()
}

type onlyReader struct{ io.Reader }

func (p *gorillaPeer) receive() (bool, []byte, error) {
	k, b, err := p.conn.ReadMessage()
	return k == gorilla.TextMessage, b, err
}

func (p *gorillaPeer) ping(payload string) error {
	if err := p.conn.WriteControl(gorilla.PingMessage, []byte(payload), time.Now().Add(patience)); err != nil {
		return err
	}
	// gorilla handles control frames while it reads: an echo stands behind the pong.
	if err := p.send(true, []byte("behind the ping")); err != nil {
		return err
	}
	if _, _, err := p.receive(); err != nil {
		return err
	}
	select {
	case got := <-p.pongs:
		if got != payload {
			return errors.New("pong with another payload: " + got)
		}
		return nil
	default:
		return errors.New("no pong before the echo")
	}
}

func (p *gorillaPeer) close(code int, reason string) error {
	if err := p.conn.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(patience)); err != nil {
		return err
	}
	for {
		if _, _, err := p.conn.ReadMessage(); err != nil {
			if got, _ := closedWith(err); got != code {
				return err
			}
			return p.conn.Close()
		}
	}
}

func (p *gorillaPeer) protocol() string { return p.conn.Subprotocol() }
func (p *gorillaPeer) drop()            { p.conn.Close() }

type coderPeer struct {
	conn *coder.Conn
	ctx  context.Context
}

func dialCoder(t testing.TB, url string, o dialOptions) (peer, *http.Response, error) {
	opts := &coder.DialOptions{Subprotocols: o.protocols, HTTPHeader: o.header}
	if o.dial != nil || o.tls != nil {
		opts.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: o.dial, TLSClientConfig: o.tls}}
	}
	ctx := within(t)
	conn, resp, err := coder.Dial(ctx, url, opts)
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { conn.CloseNow() })
	conn.SetReadLimit(-1)
	return &coderPeer{conn, ctx}, resp, nil
}

func coderKind(text bool) coder.MessageType {
	if text {
		return coder.MessageText
	}
	return coder.MessageBinary
}

func (p *coderPeer) send(text bool, payload []byte) error {
	return p.conn.Write(p.ctx, coderKind(text), payload)
}

func (p *coderPeer) sendInPieces(text bool, payload []byte, piece int) error {
	w, err := p.conn.Writer(p.ctx, coderKind(text))
	if err != nil {
		return err
	}
	for len(payload) > 0 {
		n := min(piece, len(payload))
		if _, err := w.Write(payload[:n]); err != nil {
			return err
		}
		payload = payload[n:]
	}
	return w.Close()
}

func (p *coderPeer) receive() (bool, []byte, error) {
	k, b, err := p.conn.Read(p.ctx)
	return k == coder.MessageText, b, err
}

// ping chooses its own payload and waits for it, while something else reads.
func (p *coderPeer) ping(string) error {
	read := make(chan error, 1)
	go func() {
		_, _, err := p.receive()
		read <- err
	}()
	if err := p.conn.Ping(p.ctx); err != nil {
		return err
	}
	if err := p.send(true, []byte("behind the ping")); err != nil {
		return err
	}
	return <-read
}

func (p *coderPeer) close(code int, reason string) error {
	return p.conn.Close(coder.StatusCode(code), reason)
}

func (p *coderPeer) protocol() string { return p.conn.Subprotocol() }
func (p *coderPeer) drop()            { p.conn.CloseNow() }

// input is the input of one run, as a client sends it.
func input(run string) []byte {
	return []byte(`{"threadId":"thread","runId":"` + run + `","messages":[],"tools":[],"context":[],"state":{},"forwardedProps":{}}`)
}

// wireEvent is what these tests look at of an event.
type wireEvent struct {
	Type     string
	RunID    string
	ThreadID string
	Message  string
	Code     string
	Delta    string
	Name     string
	Value    json.RawMessage
	Outcome  struct{ Type string }
}

// nextEvent receives one event.
func nextEvent(t testing.TB, p peer) (ev wireEvent) {
	t.Helper()
	text, b, err := p.receive()
	if err != nil {
		t.Fatalf("waiting for an event: %v", err)
	}
	if err := json.Unmarshal(b, &ev); err != nil || !text || ev.Type == "" {
		t.Fatalf("no event: %q (text: %t)", b, text)
	}
	return ev
}

// events receives events up to the terminal one and returns their types.
func events(t testing.TB, p peer) (types []string, last wireEvent) {
	t.Helper()
	for last.Type != "RUN_FINISHED" && last.Type != "RUN_ERROR" {
		last = nextEvent(t, p)
		types = append(types, last.Type)
	}
	return types, last
}

// serveHTTP runs a server of another library and returns its ws URL.
func serveHTTP(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

// serveHTTPS is serveHTTP for wss, in that version of TLS.
func serveHTTPS(t testing.TB, h http.HandlerFunc, version uint16) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = testkit.ServerTLS(t)
	srv.TLS.MaxVersion = version
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

// runInput is the input of agloop's client.
func runInput(run string) *agui.RunAgentInput {
	return &agui.RunAgentInput{ThreadID: "thread", RunID: run}
}

func clientConfig() client.Config {
	return client.Config{Logger: quiet(), TLS: testkit.ClientTLS()}
}
