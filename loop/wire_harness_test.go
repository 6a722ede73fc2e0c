package loop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/metrics"
)

// patience bounds every wait of these tests.
const patience = 10 * time.Second

// await polls until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// wireHandler counts what it is told, echoes messages, and does what its functions say instead
// where they are set.
type wireHandler struct {
	open    func(*loop.Conn)
	message func(*loop.Conn, frame.Opcode, []byte)
	drain   func(*loop.Conn)
	gone    func(*loop.Conn, *loop.CloseError)

	opened, closed, messages, drains atomic.Int64
	why                              atomic.Pointer[loop.CloseError] // the latest
	conns                            sync.Map                        // *loop.Conn → whether it is open
	wrong                            atomic.Pointer[string]          // the first call out of order
}

func (h *wireHandler) OnOpen(c *loop.Conn) {
	if _, again := h.conns.LoadOrStore(c, true); again {
		h.complain("OnOpen twice")
	}
	h.opened.Add(1)
	if h.open != nil {
		h.open(c)
	}
}

func (h *wireHandler) OnMessage(c *loop.Conn, op frame.Opcode, payload []byte) {
	h.mustBeOpen(c, "OnMessage")
	h.messages.Add(1)
	if h.message != nil {
		h.message(c, op, payload)
		return
	}
	c.Send(op, payload)
}

func (h *wireHandler) OnDrain(c *loop.Conn) {
	h.mustBeOpen(c, "OnDrain")
	h.drains.Add(1)
	if h.drain != nil {
		h.drain(c)
	}
}

func (h *wireHandler) OnClose(c *loop.Conn, why *loop.CloseError) {
	h.mustBeOpen(c, "OnClose")
	h.conns.Store(c, false)
	h.why.Store(why)
	h.closed.Add(1)
	if why == nil {
		h.complain("OnClose without a reason")
	}
	if h.gone != nil {
		h.gone(c, why)
	}
}

func (h *wireHandler) mustBeOpen(c *loop.Conn, call string) {
	if open, met := h.conns.Load(c); !met || open != true {
		h.complain(fmt.Sprintf("%s on a connection that is not open (met: %t)", call, met))
	}
}

func (h *wireHandler) complain(s string) { h.wrong.CompareAndSwap(nil, &s) }

// wireServer is a door on a loopback port. At the end of its test it holds the door to its
// promises: one OnClose for every OnOpen, every slot given back.
type wireServer struct {
	engine  *loop.Engine
	door    *loop.Door
	handler *wireHandler
	addr    string
}

func serveWire(t *testing.T, h *wireHandler, change func(*loop.DoorConfig)) *wireServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	engine, err := loop.NewEngine(1, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg := loop.DoorConfig{Handler: h, Path: "/ws", Log: log, HTTP: func(nc net.Conn) { nc.Close() }}
	if change != nil {
		change(&cfg)
	}
	door, err := engine.NewDoorWithDefaults(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { accepted <- door.Accept(ln) }()
	s := &wireServer{engine: engine, door: door, handler: h, addr: ln.Addr().String()}
	t.Cleanup(func() {
		await(t, "OnClose for every OnOpen", func() bool { return h.opened.Load() == h.closed.Load() })
		await(t, "all slots free", func() bool { return door.Slots().Used() == 0 })
		await(t, "nothing held", func() bool { return engine.Held() == 0 })
		ln.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if err := engine.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if wrong := h.wrong.Load(); wrong != nil {
			t.Error(*wrong)
		}
	})
	return s
}

// stats are the counters of the loops and of accepting.
func (s *wireServer) stats() (sum metrics.Snapshot) {
	s.engine.AddTo(&sum)
	s.door.Counters.AddTo(&sum)
	return sum
}

// wirePeer is the other end of a connection: it writes bytes and reads frames.
type wirePeer struct {
	t      testing.TB
	server *wireServer // nil when the peer is the server
	nc     net.Conn
	r      *bufio.Reader
}

func newWirePeer(t testing.TB, nc net.Conn, server *wireServer) *wirePeer {
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wirePeer{t: t, server: server, nc: nc, r: bufio.NewReader(nc)}
}

// connect makes a TCP connection and sends nothing.
func (s *wireServer) connect(t testing.TB) *wirePeer {
	t.Helper()
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newWirePeer(t, nc, s)
}

// idleFor checks that the server sends nothing for d.
func (p *wirePeer) idleFor(d time.Duration) {
	p.t.Helper()
	p.setReadDeadline(d)
	if _, err := p.r.Peek(1); !os.IsTimeout(err) {
		p.t.Fatalf("the server was to wait for %v; got %v", d, err)
	}
	p.setReadDeadline(patience)
}

func (p *wirePeer) setReadDeadline(d time.Duration) {
	if err := p.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
		p.t.Fatal(err)
	}
}

// dial connects and does the opening handshake.
func (s *wireServer) dial(t testing.TB) *wirePeer {
	t.Helper()
	p := s.connect(t)
	p.write(wireRequest())
	p.wantSwitch()
	return p
}

const (
	wireKey    = "dGhlIHNhbXBsZSBub25jZQ==" // and its answer: RFC 6455 section 1.3
	wireAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// wireRequest is a flawless opening handshake with more fields behind its own.
func wireRequest(fields ...string) []byte {
	return wireHead(append([]string{
		"GET /ws HTTP/1.1", "Host: example.com", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + wireKey, "Sec-WebSocket-Version: 13",
	}, fields...)...)
}

func wireHead(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

func (p *wirePeer) write(parts ...[]byte) {
	p.t.Helper()
	if _, err := p.nc.Write(join(parts...)); err != nil {
		p.t.Fatal(err)
	}
}

// writeApart writes the parts so that the loop reads each by itself.
func (p *wirePeer) writeApart(parts ...[]byte) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for _, part := range parts {
		want := p.server.stats().BytesIn + uint64(len(part))
		p.write(part)
		for p.server.stats().BytesIn < want {
			if time.Now().After(deadline) {
				p.t.Fatal("the loop did not read what was sent")
			}
			runtime.Gosched()
		}
	}
}

// eachByte cuts b into single bytes.
func eachByte(b []byte) (parts [][]byte) {
	for i := range b {
		parts = append(parts, b[i:i+1])
	}
	return parts
}

// response reads one HTTP response head and returns its status line and fields.
func (p *wirePeer) response() (status string, fields map[string]string) {
	p.t.Helper()
	fields = map[string]string{}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("response: %v after %q %v", err, status, fields)
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case line == "":
			return status, fields
		case status == "":
			status = line
		default:
			fields[name] = value
		}
	}
}

func (p *wirePeer) wantSwitch() map[string]string {
	p.t.Helper()
	status, fields := p.response()
	if status != "HTTP/1.1 101 Switching Protocols" || fields["Sec-WebSocket-Accept"] != wireAccept {
		p.t.Fatalf("not upgraded: %s %v", status, fields)
	}
	return fields
}

// wantRefusal reads a whole refusal: its status, and the end of the connection.
func (p *wirePeer) wantRefusal(status int) map[string]string {
	p.t.Helper()
	line, fields := p.response()
	if !strings.HasPrefix(line, fmt.Sprintf("HTTP/1.1 %d ", status)) {
		p.t.Fatalf("got %q, want status %d", line, status)
	}
	if !strings.Contains(fields["Connection"], "close") {
		p.t.Errorf("Connection: %q does not say close", fields["Connection"])
	}
	body, err := io.ReadAll(p.r)
	if err != nil || fmt.Sprint(len(body)) != fields["Content-Length"] {
		p.t.Errorf("body %q, %v, Content-Length %s", body, err, fields["Content-Length"])
	}
	p.nc.Close()
	return fields
}

// wireFrame is a frame as it was read: its first byte, its payload unmasked.
type wireFrame struct {
	b0      byte // FIN, RSV, opcode
	masked  bool
	mask    [4]byte
	payload []byte
}

func readWireFrame(r io.Reader) (f wireFrame, err error) {
	var h [8]byte
	if _, err = io.ReadFull(r, h[:2]); err != nil {
		return f, err
	}
	f.b0, f.masked = h[0], h[1]&0x80 != 0
	n := uint64(h[1] & 0x7F)
	least := uint64(0)
	switch n {
	case 126:
		_, err = io.ReadFull(r, h[:2])
		n, least = uint64(binary.BigEndian.Uint16(h[:2])), 126
	case 127:
		_, err = io.ReadFull(r, h[:8])
		n, least = binary.BigEndian.Uint64(h[:8]), 1<<16
	}
	if err == nil && (n < least || n > 64<<20) {
		return f, fmt.Errorf("frame length %d in the wrong form, or absurd", n)
	}
	if f.masked && err == nil {
		_, err = io.ReadFull(r, f.mask[:])
	}
	if err == nil {
		f.payload = make([]byte, n)
		_, err = io.ReadFull(r, f.payload)
	}
	if f.masked {
		maskWire(f.payload, f.mask)
	}
	return f, err
}

func maskWire(p []byte, mask [4]byte) {
	for i := range p {
		p[i] ^= mask[i&3]
	}
}

// frame reads the next frame, which must not be masked: it is the server's.
func (p *wirePeer) frame() wireFrame {
	p.t.Helper()
	f, err := readWireFrame(p.r)
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	if f.masked {
		p.t.Fatal("the server masked a frame")
	}
	return f
}

// want reads the next frame, whose first byte and payload must be these.
func (p *wirePeer) want(b0 byte, payload []byte) {
	p.t.Helper()
	f := p.frame()
	if f.b0 == 0b1_000_1000 && b0 != f.b0 {
		p.t.Fatalf("got close %s, want frame %08b", showClose(f.payload), b0)
	}
	if f.b0 != b0 || !bytes.Equal(f.payload, payload) {
		p.t.Fatalf("got frame %08b %.40q (%d bytes), want %08b %.40q (%d bytes)",
			f.b0, f.payload, len(f.payload), b0, payload, len(payload))
	}
}

// wantClose reads the close frame, which is the next frame and the last thing the server sends, and
// ends the connection. 1005 is a close frame without a code.
func (p *wirePeer) wantClose(code frame.CloseCode) (reason string) {
	p.t.Helper()
	reason = p.closeFrame(code)
	p.wantEnd()
	return reason
}

// wantGoodbye is wantClose for a close that the server begins: it is answered.
func (p *wirePeer) wantGoodbye(code frame.CloseCode) (reason string) {
	p.t.Helper()
	reason = p.closeFrame(code)
	p.write(closing(uint16(code), reason))
	p.wantEnd()
	return reason
}

func (p *wirePeer) closeFrame(code frame.CloseCode) (reason string) {
	p.t.Helper()
	f := p.frame()
	if f.b0 != 0b1_000_1000 {
		p.t.Fatalf("got frame %08b %.40q, want a close", f.b0, f.payload)
	}
	got := frame.CloseNoStatus
	if len(f.payload) >= 2 {
		got, reason = frame.CloseCode(binary.BigEndian.Uint16(f.payload)), string(f.payload[2:])
	}
	if got != code || len(f.payload) == 1 {
		p.t.Fatalf("got close %s, want %s", showClose(f.payload), code)
	}
	return reason
}

// wantEnd reads the end of the stream and closes.
func (p *wirePeer) wantEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.r); err != nil || len(rest) > 0 {
		p.t.Fatalf("want the end of the stream, got %.40q, %v", rest, err)
	}
	p.nc.Close()
}

// hangUp does the closing handshake from the peer's side.
func (p *wirePeer) hangUp() {
	p.t.Helper()
	p.write(closing(1000, ""))
	p.wantClose(1000)
}

func showClose(payload []byte) string {
	if len(payload) < 2 {
		return fmt.Sprintf("%q", payload)
	}
	return fmt.Sprintf("%d %q", binary.BigEndian.Uint16(payload), payload[2:])
}

// masked is a client's frame. b0 is FIN, RSV and opcode, best written as bits.
func masked(b0 byte, payload []byte) []byte { return wireBytes(b0, 0b1_0000000, payload) }

// plain is a server's frame.
func plain(b0 byte, payload []byte) []byte { return wireBytes(b0, 0, payload) }

func wireBytes(b0, maskBit byte, payload []byte) []byte {
	b := []byte{b0}
	switch n := len(payload); {
	case n > 0xFFFF:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = append(b, maskBit|byte(n))
	}
	if maskBit == 0 {
		return append(b, payload...)
	}
	mask := [4]byte{0x37, 0xFA, 0x21, 0x3D} // of RFC 6455 section 5.7
	b = append(b, mask[:]...)
	b = append(b, payload...)
	maskWire(b[len(b)-len(payload):], mask)
	return b
}

// closing is a client's close frame.
func closing(code uint16, reason string) []byte {
	return masked(0b1_000_1000, append(binary.BigEndian.AppendUint16(nil, code), reason...))
}

func text(s string) []byte { return masked(0b1_000_0001, []byte(s)) }

// read fills b with what the server sends.
func (p *wirePeer) read(b []byte) {
	p.t.Helper()
	if _, err := io.ReadFull(p.r, b); err != nil {
		p.t.Fatal(err)
	}
}
