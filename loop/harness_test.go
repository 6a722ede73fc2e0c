package loop_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/internal/testkit"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/metrics"
)

// handler counts what it is told, echoes messages, and does what its functions say instead where
// they are set.
type handler struct {
	open    func(*loop.Conn)
	message func(*loop.Conn, frame.Opcode, []byte)
	drain   func(*loop.Conn)
	gone    func(*loop.Conn, *loop.CloseError)

	opened, closed, messages, drains atomic.Int64
	why                              atomic.Pointer[loop.CloseError] // the latest
	conns                            sync.Map                        // *loop.Conn → whether it is open
	wrong                            atomic.Pointer[string]          // the first call out of order
}

func (h *handler) OnOpen(c *loop.Conn) {
	if _, again := h.conns.LoadOrStore(c, true); again {
		h.complain("OnOpen twice")
	}
	h.opened.Add(1)
	if h.open != nil {
		h.open(c)
	}
}

func (h *handler) OnMessage(c *loop.Conn, op frame.Opcode, payload []byte) {
	h.mustBeOpen(c, "OnMessage")
	h.messages.Add(1)
	if h.message != nil {
		h.message(c, op, payload)
		return
	}
	c.Send(op, payload)
}

func (h *handler) OnDrain(c *loop.Conn) {
	h.mustBeOpen(c, "OnDrain")
	h.drains.Add(1)
	if h.drain != nil {
		h.drain(c)
	}
}

func (h *handler) OnClose(c *loop.Conn, why *loop.CloseError) {
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

func (h *handler) mustBeOpen(c *loop.Conn, call string) {
	if open, met := h.conns.Load(c); !met || open != true {
		h.complain(fmt.Sprintf("%s on a connection that is not open (met: %t)", call, met))
	}
}

func (h *handler) complain(s string) { h.wrong.CompareAndSwap(nil, &s) }

// house is an engine with one door on a loopback port. At the end of its test it holds the door to
// its promises: one OnClose for every OnOpen, every slot given back, nothing held.
type house struct {
	eng  *loop.Engine
	door *loop.Door
	addr string
	tls  bool
}

// overTLS has every house speak TLS: "go test ./loop -tls".
var overTLS = flag.Bool("tls", false, "have servers and peers speak TLS")

func open(t testing.TB, cfg loop.DoorConfig) *house {
	t.Helper()
	return openLoops(t, 1, cfg, slog.New(slog.DiscardHandler))
}

// openLoops is open with so many loops, whose log is also the door's if that has none.
func openLoops(t testing.TB, loops int, cfg loop.DoorConfig, log *slog.Logger) *house {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, ln, loops, cfg, log)
}

func openOn(t testing.TB, ln net.Listener, loops int, cfg loop.DoorConfig, log *slog.Logger) *house {
	t.Helper()
	eng, err := loop.NewEngine(loops, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Log == nil {
		cfg.Log = log
	}
	if cfg.Path == "" {
		cfg.Path = "/ws"
	}
	if cfg.HTTP == nil {
		cfg.HTTP = func(nc *loop.HTTPConn) { nc.Close() }
	}
	if *overTLS && cfg.TLS == nil {
		cfg.TLS = loop.NewTLSConfig(testkit.ServerTLS(t), false)
	}
	door, err := eng.NewDoorWithDefaults(cfg)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { accepted <- door.Accept(ln) }()
	t.Cleanup(func() { // its peers are closed by now
		h, _ := cfg.Handler.(*handler)
		if h != nil && eng.Ready() == nil { // a loop that has ended tells nobody
			await(t, "OnClose for every OnOpen", func() bool { return h.opened.Load() == h.closed.Load() })
			await(t, "all slots free", func() bool { return door.Slots().Used() == 0 })
			await(t, "nothing held", func() bool { return eng.Held() == 0 })
		}
		ln.Close()
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if err := eng.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if n := door.Slots().Used(); n != 0 {
			t.Errorf("%d slots taken after the end", n)
		}
		if h != nil {
			if wrong := h.wrong.Load(); wrong != nil {
				t.Error(*wrong)
			}
		}
	})
	return &house{eng, door, ln.Addr().String(), cfg.TLS != nil}
}

// serveWire is open for a handler, without deadlines, as on a busy machine a frame that comes byte
// by byte takes longer than any; with changes to the config.
func serveWire(t testing.TB, h *handler, change func(*loop.DoorConfig)) *house {
	t.Helper()
	cfg := loop.DoorConfig{Handler: h, Limits: untimed}
	if change != nil {
		change(&cfg)
	}
	return open(t, cfg)
}

// stats are the counters of the loops and of accepting.
func (h *house) stats() (sum metrics.Snapshot) {
	h.eng.AddTo(&sum)
	h.door.Counters.AddTo(&sum)
	return sum
}

// connect makes a TCP connection and sends nothing.
func (h *house) connect(t testing.TB) *peer {
	t.Helper()
	return h.connectNarrow(t, 0)
}

// connectNarrow is connect with a receive buffer of so many bytes.
func (h *house) connectNarrow(t testing.TB, rcvbuf int) *peer {
	t.Helper()
	if h.tls {
		return &peer{testkit.ConnectTLS(t, h.addr, rcvbuf, nil), t, h}
	}
	return &peer{testkit.Connect(t, h.addr, rcvbuf), t, h}
}

// dial connects and does the opening handshake.
func (h *house) dial(t testing.TB) *peer {
	t.Helper()
	return h.narrow(t, 0)
}

// narrow is dial with a receive buffer of so many bytes.
func (h *house) narrow(t testing.TB, rcvbuf int) *peer {
	t.Helper()
	p := h.connectNarrow(t, rcvbuf)
	p.Upgrade()
	return p
}

// peer is one of a house.
type peer struct {
	*testkit.Peer
	t     testing.TB
	house *house
}

// putApart writes the parts so that the loop reads each by itself.
func (p *peer) putApart(parts ...[]byte) {
	p.t.Helper()
	for _, part := range parts {
		want := p.house.eng.BytesIn() + uint64(len(part))
		p.Put(part)
		await(p.t, "the loop reads what was sent", func() bool { return p.house.eng.BytesIn() >= want })
	}
}

// echoes shows that the connection is alive.
func (p *peer) echoes() {
	p.t.Helper()
	for range 2 {
		p.Put(text("still here"))
		p.WantMessage(frame.Text, "still here")
	}
}

// eachByte cuts b into single bytes.
func eachByte(b []byte) (parts [][]byte) {
	for i := range b {
		parts = append(parts, b[i:i+1])
	}
	return parts
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Short names for what fills the tables of these tests.
var (
	await   = testkit.Await
	masked  = testkit.Masked
	plain   = testkit.Plain
	text    = testkit.Text
	message = testkit.Message
	closing = testkit.Closing
	request = testkit.Request
)

// listen is a listener on a loopback port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
