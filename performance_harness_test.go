package agloop_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/agloop/agloop"
	"github.com/agloop/agloop/bufpool"
	"github.com/agloop/agloop/internal/testkit"
)

// outOfReach is a budget that no reading comes near, so that no tier changes by itself.
const outOfReach = 1 << 50

// performance is the default config with memory out of the way.
func performance() agloop.PerformanceConfig {
	cfg := agloop.DefaultPerformanceConfig()
	cfg.MaxMemoryUsage = outOfReach
	return cfg
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
	peer    *testkit.Peer
	handler *opened
	addr    string
	sent    int // messages, by what follows
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

func (l *line) another() (*agloop.Conn, *testkit.Peer) {
	l.t.Helper()
	return l.narrow(0)
}

// narrow is another whose peer takes so many bytes before it reads.
func (l *line) narrow(rcvbuf int) (*agloop.Conn, *testkit.Peer) {
	l.t.Helper()
	p := testkit.Connect(l.t, l.addr, rcvbuf)
	p.Upgrade()
	return <-l.handler.conns, p
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
		if _, _, err := l.peer.Message(); err != nil {
			l.t.Fatalf("message %d of %d: %v", i, n, err)
		}
	}
}

// window is the longest that a message may wait for others.
const window = time.Second

// openWindow sends a message that leaves at once, so that what follows waits.
func (l *line) openWindow() {
	l.t.Helper()
	if r := l.conn.SendNow(agloop.Text, []byte("token")); r != agloop.Sent {
		l.t.Fatal(r)
	}
	l.sent++
	l.expect(1)
	l.settled()
}

// writes sends groups of messages into an open window, waits for all of each before the next, and
// returns how many writes they took. Where the machine stood still for so long that the window may
// have ended, the group says nothing and is sent again.
func (l *line) writes(groups, size int) (n uint64) {
	l.t.Helper()
	last := time.Now() // a write came later
	l.openWindow()
	for groups > 0 {
		began, before := time.Now(), l.settled()
		for range size {
			if r := l.conn.Send(agloop.Text, []byte("token")); r != agloop.Sent {
				l.t.Fatal(r)
			}
		}
		l.sent += size
		late := time.Since(last) > window/2
		l.expect(size)
		took := l.settled() - before
		if last = began; !late {
			n += took
			groups--
		}
	}
	return n
}

// settled is the number of writes once none is under way: a peer may have what the loop has not
// counted yet.
func (l *line) settled() uint64 {
	l.t.Helper()
	testkit.Await(l.t, "what was sent has left and is counted", func() bool { return l.conn.Buffered() == 0 })
	return l.srv.Stats().Writes
}

// status asks for a WebSocket and returns the answer's status and Retry-After. A connection that it
// got is closed by then, and what its handshake wrote is counted.
func (l *line) status() (int, string) {
	l.t.Helper()
	p := testkit.Connect(l.t, l.addr, 0)
	defer p.Close()
	p.Put(testkit.Request())
	code, fields := p.Head()
	if code == http.StatusSwitchingProtocols {
		c := <-l.handler.conns
		p.Close()
		testkit.Await(l.t, "the connection has ended", func() bool { _, gone := l.handler.closed.Load(c); return gone })
	}
	return code, fields["Retry-After"]
}

// pressed sends up to most messages of 1 kB into an open window and returns after how many
// Backpressure was answered; most+1 is never. It begins again where the window may have ended
// meanwhile.
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
	for {
		began := time.Now()
		sent = 0
		last()
		r := agloop.Sent
		for r == agloop.Sent && sent < most {
			r = l.conn.Send(agloop.Text, kilobyte)
			sent++
		}
		late := time.Since(began) > window/2
		last()
		switch {
		case late:
		case r == agloop.Sent:
			return sent + 1
		default:
			return sent
		}
	}
}
