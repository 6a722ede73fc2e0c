package agloop_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/bufpool"
)

// outOfReach is a budget that no reading comes near, so that no tier changes by itself.
const outOfReach = 1 << 50

// performance is the default config with memory out of the way.
func performance() agloop.PerformanceConfig {
	cfg := agloop.DefaultPerformanceConfig()
	cfg.MaxMemoryUsage = outOfReach
	return cfg
}

// frameReader reads what a server writes.
type frameReader struct {
	nc  net.Conn
	r   *bufio.Reader
	buf []byte
}

func newFrameReader(nc net.Conn, size int) *frameReader {
	return &frameReader{nc: nc, r: bufio.NewReaderSize(nc, size)}
}

// next is valid until the next call.
func (f *frameReader) next() (op agloop.Opcode, payload []byte, err error) {
	var head [10]byte
	if _, err = io.ReadFull(f.r, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(f.r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(f.r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	if uint64(cap(f.buf)) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	_, err = io.ReadFull(f.r, f.buf)
	return agloop.Opcode(head[0] & 0xf), f.buf, err
}

// opened hands its connections on, and messages to a function if there is one.
type opened struct {
	agloop.NopHandler
	conns   chan *agloop.Conn
	closed  sync.Map // of *agloop.Conn
	message func(p []byte)
}

func (o *opened) OnOpen(c *agloop.Conn) { o.conns <- c }

func (o *opened) OnClose(c *agloop.Conn, _ *agloop.CloseError) { o.closed.Store(c, true) }

func (o *opened) OnMessage(_ *agloop.Conn, _ agloop.Opcode, p []byte) {
	if o.message != nil {
		o.message(p)
	}
}

// line is one open connection with both its ends.
type line struct {
	t       *testing.T
	srv     *agloop.Server
	manager *agloop.PerformanceManager
	conn    *agloop.Conn // the server's end
	peer    *frameReader
	handler *opened
	addr    string
}

// newLine starts a server and opens a connection to it.
func newLine(t *testing.T, cfg agloop.ServerConfig, message func(p []byte)) *line {
	t.Helper()
	l := &line{t: t, handler: &opened{conns: make(chan *agloop.Conn, 1), message: message}}
	cfg.Handler = l.handler
	cfg.Logger = slog.New(slog.DiscardHandler)
	l.srv, l.addr = serve(t, cfg)
	l.conn, l.peer = l.another()
	l.manager = l.srv.GetPerformanceManager()
	t.Cleanup(restorePool)
	return l
}

// restorePool undoes what a test did to the pool of the process.
func restorePool() {
	bufpool.Default.SetSize(1000)
	bufpool.Default.SetMaxBuffer(bufpool.MaxSize)
}

func (l *line) another() (*agloop.Conn, *frameReader) {
	l.t.Helper()
	nc := upgraded(l.t, l.addr)
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		l.t.Fatal(err)
	}
	return <-l.handler.conns, newFrameReader(nc, 4096)
}

// set edits the config of the running server.
func (l *line) set(edit func(*agloop.PerformanceConfig)) {
	l.t.Helper()
	cfg := l.manager.Config()
	edit(&cfg)
	if err := l.manager.SetConfig(cfg); err != nil {
		l.t.Fatal(err)
	}
	if got := l.manager.Config(); got != cfg {
		l.t.Fatalf("config %+v, want %+v", got, cfg)
	}
}

// expect reads n messages.
func (l *line) expect(n int) {
	l.t.Helper()
	for i := range n {
		if _, _, err := l.peer.next(); err != nil {
			l.t.Fatalf("message %d of %d: %v", i, n, err)
		}
	}
}

// writes sends groups of messages, waits for all of each before the next, and returns
// how many writes they took.
func (l *line) writes(groups, size int) uint64 {
	l.t.Helper()
	before := l.settled()
	for range groups {
		for range size {
			if r := l.conn.Send(agloop.Text, []byte("token")); r != agloop.Sent {
				l.t.Fatal(r)
			}
		}
		l.expect(size)
	}
	return l.settled() - before
}

// settled is the number of writes once none is under way: a peer may have what the loop has
// not counted yet.
func (l *line) settled() uint64 {
	l.t.Helper()
	await(l.t, func() bool { return l.conn.Buffered() == 0 })
	return l.srv.Stats().Writes
}

// status asks for a WebSocket and returns the answer's status and Retry-After. A connection that it got is closed by then,
// and what its handshake wrote is counted.
func (l *line) status() (int, string) {
	l.t.Helper()
	nc, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "GET /ws HTTP/1.1\r\nHost: "+l.addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		c := <-l.handler.conns
		nc.Close()
		await(l.t, func() bool { _, gone := l.handler.closed.Load(c); return gone })
	}
	return res.StatusCode, res.Header.Get("Retry-After")
}

// pressed sends up to most messages of 1 kB into an open window and returns after how many
// Backpressure was answered; most+1 is never.
func (l *line) pressed(most int) (sent int) {
	l.t.Helper()
	kilobyte := bytes.Repeat([]byte("x"), 1<<10)
	last := func() { // ends one window and opens the next
		l.t.Helper()
		if r := l.conn.SendNow(agloop.Text, kilobyte); r == agloop.Dropped {
			l.t.Fatal(r)
		}
		l.expect(sent + 1)
		l.settled()
	}
	last()
	r := agloop.Sent
	for sent = 0; r == agloop.Sent && sent < most; sent++ {
		r = l.conn.Send(agloop.Text, kilobyte)
	}
	last()
	if r == agloop.Sent {
		sent++
	}
	return sent
}
