package agloop

import (
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/loop"
)

// connection is one connection of a client, and its Handler.
type connection struct {
	NopHandler

	// Immutable once the client has it.
	client   *Client
	release  func() // gives the shared loops back
	conn     *Conn
	protocol string
	wire     *wire  // nil with a Handler
	inbox    *inbox // nil with a Handler
	since    time.Time

	// Any goroutine.
	bare atomic.Bool // the server did not choose agloop.v1

	// Any goroutine, under Client.mu.
	ended bool
	why   *CloseError // when ended
}

// connector is ClientConfig.connect, or connectGuarded.
type connector func(context.Context, *url.URL) (net.Conn, loop.DialConfig, error)

// dialBy opens a connection, and waits for the hello of a server that speaks agloop.v1.
func (c *Client) dialBy(ctx context.Context, connect connector) (*connection, error) {
	engine, err := clientLoops.acquire(c.cfg.Logger)
	if err != nil {
		return nil, err
	}
	k := &connection{client: c, release: sync.OnceFunc(clientLoops.release)}
	connected := false
	defer func() {
		if !connected { // a function of the config may have panicked
			k.release()
		}
	}()
	if c.mux != nil {
		k.wire, k.inbox = newWire(c.mux), newInbox(c.cfg.MaxPending)
	}
	k.bare.Store(!c.cfg.resumes())
	nc, dial, err := connect(ctx, c.url)
	if err != nil {
		return nil, err
	}
	dialer := engine.NewDialer(loop.EndpointConfig{Handler: k, Limits: c.cfg.Limits, Log: c.cfg.Logger, Compression: c.cfg.Compression})
	if k.conn, k.protocol, err = dialer.Dial(ctx, nc, dial); err != nil {
		return nil, err
	}
	connected = true // OnClose gives the loops back
	k.since = time.Now()
	if c.cfg.resumes() {
		k.bare.Store(!control.Speaks(k.protocol))
	}
	if !k.bare.Load() {
		if err := k.wire.awaitHello(ctx, k.protocol, c.cfg.Limits.HandshakeTimeout); err != nil {
			abandon(k.conn, err)
			return nil, err
		}
	}
	return k, nil
}

// OnOpen implements Handler.
func (k *connection) OnOpen(c *Conn) {
	if h := k.client.cfg.Handler; h != nil {
		h.OnOpen(c)
	}
}

// OnMessage implements Handler. Which wire it is becomes known behind the first messages: until then
// they are taken for agloop.v1, since a bare wire drops what comes before an input.
func (k *connection) OnMessage(c *Conn, op Opcode, payload []byte) {
	switch h := k.client.cfg.Handler; {
	case h != nil:
		h.OnMessage(c, op, payload)
	case k.bare.Load():
		k.inbox.receive(c, op, payload)
	default:
		k.wire.receive(c, op, payload)
	}
}

// OnDrain implements Handler.
func (k *connection) OnDrain(c *Conn) {
	if h := k.client.cfg.Handler; h != nil {
		h.OnDrain(c)
	}
}

// OnClose implements Handler.
func (k *connection) OnClose(c *Conn, why *CloseError) {
	// The loop cannot stop itself.
	defer func() { go k.release() }()
	defer k.client.connectionEnded(k, why)
	if h := k.client.cfg.Handler; h != nil {
		h.OnClose(c, why)
		return
	}
	k.inbox.closed(why)
	k.client.mux.disconnected(k.wire)
}
