package testkit

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agloop/agloop/codec/frame"
)

// Peer is the other end of a connection: it writes bytes as it likes and reads frames. What it
// waits for must come within Patience, so that no test waits for ever; Read and Write alone have
// that for all that is read and written since the last wait.
type Peer struct {
	net.Conn
	t    testing.TB
	r    *bufio.Reader
	head [8]byte
	buf  []byte
}

// Attach makes a peer of a connection, which is closed with the test.
func Attach(t testing.TB, nc net.Conn) *Peer {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	p := &Peer{Conn: nc, t: t, r: bufio.NewReaderSize(nc, 4<<10)}
	p.renew()
	return p
}

// renew begins a wait. That the connection was closed meanwhile is for what is read or written next
// to say.
func (p *Peer) renew() { _ = p.SetDeadline(time.Now().Add(Patience)) }

// Connect makes a TCP connection and sends nothing. Its receive buffer has rcvbuf bytes, so that
// the other end's kernel takes no more than it must; 0 leaves it alone.
func Connect(t testing.TB, addr string, rcvbuf int) *Peer {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) (err error) {
		if rcvbuf == 0 {
			return nil
		}
		return rc.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, rcvbuf)
		})
	}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return Attach(t, nc)
}

// Dial connects and does the opening handshake, with more header fields behind its own.
func Dial(t testing.TB, addr string, fields ...string) *Peer {
	t.Helper()
	p := Connect(t, addr, 0)
	p.Upgrade(fields...)
	return p
}

// Key is what a peer asks with, and Accept the answer to it: RFC 6455 §1.3.
const (
	Key    = "dGhlIHNhbXBsZSBub25jZQ=="
	Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// Request is a flawless opening handshake for /ws, with more fields behind its own.
func Request(fields ...string) []byte {
	return HTTP(append([]string{
		"GET /ws HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + Key, "Sec-WebSocket-Version: 13",
	}, fields...)...)
}

// HTTP is the head of a request or of a response.
func HTTP(lines ...string) []byte { return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n") }

// Upgrade does the opening handshake and returns the fields of the response.
func (p *Peer) Upgrade(fields ...string) map[string]string {
	p.t.Helper()
	p.Put(Request(fields...))
	return p.WantSwitch()
}

// Put writes the parts in one go.
func (p *Peer) Put(parts ...[]byte) {
	p.t.Helper()
	p.renew()
	if _, err := p.Write(bytes.Join(parts, nil)); err != nil {
		p.t.Fatal(err)
	}
}

// Read reads behind what has been read of frames.
func (p *Peer) Read(b []byte) (int, error) { return p.r.Read(b) }

// Fill fills b with what comes.
func (p *Peer) Fill(b []byte) {
	p.t.Helper()
	p.renew()
	if _, err := io.ReadFull(p.r, b); err != nil {
		p.t.Fatal(err)
	}
}

// Peek waits for the next byte, at most so long, and leaves it there.
func (p *Peer) Peek(within time.Duration) error {
	defer p.renew()
	if err := p.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := p.r.Peek(1)
	return err
}

// TCP is the socket.
func (p *Peer) TCP() *net.TCPConn {
	if secured, ok := p.Conn.(*tls.Conn); ok {
		return secured.NetConn().(*net.TCPConn)
	}
	return p.Conn.(*net.TCPConn)
}

// ConnectTLS is Connect, and the handshake of TLS; a nil config trusts TestAuthority.
func ConnectTLS(t testing.TB, addr string, rcvbuf int, cfg *tls.Config) *Peer {
	t.Helper()
	plain := Connect(t, addr, rcvbuf)
	if cfg == nil {
		cfg = ClientTLS()
	}
	secured := tls.Client(plain.Conn, cfg)
	if err := secured.Handshake(); err != nil {
		t.Fatal(err)
	}
	return Attach(t, secured)
}

// Reset ends the connection as a peer does that is killed.
func (p *Peer) Reset() {
	_ = p.TCP().SetLinger(0)
	p.Close()
}

// Head reads one HTTP response head and returns its status and its fields.
func (p *Peer) Head() (status int, fields map[string]string) {
	p.t.Helper()
	p.renew()
	fields = map[string]string{}
	for first := true; ; first = false {
		line, err := p.r.ReadString('\n')
		if err != nil {
			p.t.Fatalf("response: %v after status %d, %v, %q", err, status, fields, line)
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ": "); {
		case line == "":
			return status, fields
		case first:
			code, _, _ := strings.Cut(strings.TrimPrefix(line, "HTTP/1.1 "), " ")
			if status, err = strconv.Atoi(code); err != nil {
				p.t.Fatalf("response: %q", line)
			}
		default:
			fields[name] = value
		}
	}
}

// WantSwitch reads the response to a handshake, which must be accepted.
func (p *Peer) WantSwitch() map[string]string {
	p.t.Helper()
	status, fields := p.Head()
	if status != 101 || fields["Sec-WebSocket-Accept"] != Accept {
		p.t.Fatalf("not upgraded: status %d, %v", status, fields)
	}
	return fields
}

// WantRefusal reads a whole refusal: its status, and the end of the connection.
func (p *Peer) WantRefusal(status int) map[string]string {
	p.t.Helper()
	got, fields := p.Head()
	if got != status {
		p.t.Fatalf("got status %d, want %d", got, status)
	}
	if !strings.Contains(fields["Connection"], "close") {
		p.t.Errorf("Connection: %q does not say close", fields["Connection"])
	}
	body, err := io.ReadAll(p.r)
	if err != nil || fmt.Sprint(len(body)) != fields["Content-Length"] {
		p.t.Errorf("body %q, %v, Content-Length %s", body, err, fields["Content-Length"])
	}
	p.Close()
	return fields
}

// Next reads the next frame.
func (p *Peer) Next() (f Frame, err error) {
	p.renew()
	f, err = readFrame(p.r, &p.head, p.buf)
	if f.Payload != nil {
		p.buf = f.Payload[:0]
	}
	return f, err
}

// Message reads the next frame of a server that sends its messages in one frame each.
func (p *Peer) Message() (op frame.Opcode, payload []byte, err error) {
	f, err := p.Next()
	return frame.Opcode(f.Head & 0xF), f.Payload, err
}

// Frame reads the next frame, which must not be masked: it is a server's.
func (p *Peer) Frame() Frame {
	p.t.Helper()
	f, err := p.Next()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	if f.Masked {
		p.t.Fatal("the server masked a frame")
	}
	return f
}

// Want reads the next frame, whose first byte and payload must be these.
func (p *Peer) Want(head byte, payload []byte) {
	p.t.Helper()
	f := p.Frame()
	if f.Head == 0b1_000_1000 && head != f.Head {
		p.t.Fatalf("got close %s, want frame %08b", ShowClose(f.Payload), head)
	}
	if f.Head != head || !bytes.Equal(f.Payload, payload) {
		p.t.Fatalf("got frame %08b %.40q (%d bytes), want %08b %.40q (%d bytes)",
			f.Head, f.Payload, len(f.Payload), head, payload, len(payload))
	}
}

// WantMessage is Want for a message or a control frame in one frame.
func (p *Peer) WantMessage(op frame.Opcode, payload string) {
	p.t.Helper()
	p.Want(0b1_000_0000|byte(op), []byte(payload))
}

// CloseFrame reads the close frame, which is the next frame. 1005 is one without a code.
func (p *Peer) CloseFrame(code frame.CloseCode) (reason string) {
	p.t.Helper()
	f := p.Frame()
	if f.Head != 0b1_000_1000 {
		p.t.Fatalf("got frame %08b %.40q, want a close", f.Head, f.Payload)
	}
	got := frame.CloseNoStatus
	if len(f.Payload) >= 2 {
		got, reason = frame.CloseCode(binary.BigEndian.Uint16(f.Payload)), string(f.Payload[2:])
	}
	if got != code || len(f.Payload) == 1 {
		p.t.Fatalf("got close %s, want %d", ShowClose(f.Payload), code)
	}
	return reason
}

// WantClose reads the close frame, which is the last thing the server sends, and ends the
// connection.
func (p *Peer) WantClose(code frame.CloseCode) (reason string) {
	p.t.Helper()
	reason = p.CloseFrame(code)
	p.WantEnd()
	return reason
}

// WantGoodbye is WantClose for a close that the server begins: it is answered.
func (p *Peer) WantGoodbye(code frame.CloseCode) (reason string) {
	p.t.Helper()
	reason = p.CloseFrame(code)
	p.Put(Closing(uint16(code), reason))
	p.WantEnd()
	return reason
}

// WantEnd reads the end of the stream and closes.
func (p *Peer) WantEnd() {
	p.t.Helper()
	p.renew()
	if rest, err := io.ReadAll(p.r); err != nil || len(rest) > 0 {
		p.t.Fatalf("want the end of the stream, got %.40q, %v", rest, err)
	}
	p.Close()
}

// HangUp does the closing handshake from the peer's side.
func (p *Peer) HangUp() {
	p.t.Helper()
	p.Put(Closing(1000, ""))
	p.WantClose(1000)
}
