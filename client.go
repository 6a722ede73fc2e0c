package agloop

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/loop"
)

// ClientConfig says how a Client connects. Every zero is the default given beside it.
type ClientConfig struct {
	// Handler receives messages as bytes, on a loop; Run is of no use then. nil is a client that
	// runs agents.
	Handler Handler
	// Header holds further fields of the request, such as Origin.
	Header http.Header
	// Auth gives fields that may be others each time, such as Authorization with a token that
	// expires. It is asked before each dial, of a Transport before each redial, in the goroutine
	// that dials; a Transport asks several at once. A name in any case of letters replaces that of
	// Header, and without values removes it. Only the context bounds it: that of Dial, of a
	// Transport one of DialTimeout. Its error fails the dial and can be found in that of Dial. nil
	// adds nothing.
	Auth func(context.Context) (http.Header, error)
	// Protocols are the subprotocols to offer, in order of preference.
	Protocols []string
	// Proxy names the proxy on the way to a URL; nil as its result is none. It is asked as Auth is.
	// The proxy must be "http://[user:password@]host[:port]" and is asked to CONNECT to the server;
	// its refusal is a *DialError, any other scheme a *ConfigError. nil is ProxyFromEnvironment, but
	// none with a Dial: who dials a unix socket, say, wants no proxy of the environment.
	Proxy func(*url.URL) (*url.URL, error)
	// Dial opens the connection below, which must be a *net.TCPConn or *net.UnixConn: to the proxy
	// if Proxy names one. nil is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// MaxPending bounds the memory of events that wait for the caller of Run, in bytes. An event
	// takes a buffer, whose size is a power of two from 256 bytes up, and about 100 bytes besides.
	// One event may always wait. More end the run with ErrSlowConsumer: a reactor cannot stop
	// reading. 0 is 16 MiB, or Limits.MaxMessage if that is more.
	MaxPending int
	// Limits bound the connection. IdleTimeout is off unless set: whether a connection is worth
	// keeping is the server's business.
	Limits Limits
	// Logger receives warnings and errors. nil is slog.Default.
	Logger *slog.Logger
}

// Client is one connection to a server of AG-UI. All clients of a process share one set of loops,
// which ends with the last of them.
type Client struct {
	// Immutable.
	conn     *Conn
	protocol string
	release  func()
	inbox    *inbox // nil with a Handler

	// Any goroutine.
	running  atomic.Bool
	unknown  atomic.Uint64
	stripped atomic.Uint64
}

// Dial connects to rawURL, "ws://host[:port][/path][?query]". ctx bounds all of it, and
// Limits.HandshakeTimeout what comes behind the TCP connection. Errors: a *ConfigError, ErrTLS for
// wss, those of cfg's functions and of dialling, a *DialError when the server does not upgrade or
// the proxy does not connect to it, context.DeadlineExceeded when one does not answer.
func Dial(ctx context.Context, rawURL string, cfg ClientConfig) (*Client, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	if cfg.MaxPending < 0 {
		return nil, &ConfigError{Field: "MaxPending", Reason: "must not be negative"}
	}
	limits, err := clientLimits(cfg.Limits, cfg.Handler == nil)
	if err != nil {
		return nil, err
	}
	cfg.Limits = limits
	cfg.setDefaults()

	engine, err := clientLoops.acquire(cfg.Logger)
	if err != nil {
		return nil, err
	}
	c := &Client{release: sync.OnceFunc(clientLoops.release)}
	connected := false
	defer func() {
		if !connected { // a function of cfg may have panicked
			c.release()
		}
	}()
	handler := cfg.Handler
	if handler == nil {
		if err := event.Pretouch(); err != nil {
			return nil, err
		}
		c.inbox = newInbox(cfg.MaxPending)
		handler = c.inbox
	}
	nc, dial, err := cfg.connect(ctx, u)
	if err != nil {
		return nil, err
	}
	dialer := engine.NewDialer(loop.EndpointConfig{
		Handler: releaseOnClose{handler, c.release}, Limits: limits, Log: cfg.Logger,
	})
	c.conn, c.protocol, err = dialer.Dial(ctx, nc, dial)
	if err != nil {
		return nil, err
	}
	connected = true
	return c, nil
}

// maxPending is the default of ClientConfig.MaxPending.
const maxPending = 16 << 20

// setDefaults replaces the zeros of a config whose Limits have their defaults.
func (cfg *ClientConfig) setDefaults() {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = max(maxPending, cfg.Limits.MaxMessage)
	}
	if cfg.Dial == nil {
		if cfg.Proxy == nil {
			cfg.Proxy = ProxyFromEnvironment
		}
		cfg.Dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
}

// clientLimits are l with the defaults of a client. One that receives events takes, unless l says
// otherwise, those of a server with the same limits, and some larger ones that others may send.
func clientLimits(l Limits, events bool) (Limits, error) {
	const headroom = 1 << 20
	implied := l.MaxMessage == 0
	if l.IdleTimeout == 0 {
		l.IdleTimeout = -1
	}
	l, err := l.WithDefaults()
	if events && implied {
		l.MaxMessage = l.MaxEvent + headroom
	}
	return l, err
}

// Conn is the connection below, for sending bytes with a Handler.
func (c *Client) Conn() *Conn { return c.conn }

// Protocol is the subprotocol the server chose, or "".
func (c *Client) Protocol() string { return c.protocol }

// ClientStats count what a client's runs left out as the protocol asks.
type ClientStats struct {
	UnknownEvents uint64 // events of a type nobody knows, dropped
	Stripped      uint64 // unknown members and elements, removed
}

// Stats returns the counts so far.
func (c *Client) Stats() ClientStats {
	return ClientStats{UnknownEvents: c.unknown.Load(), Stripped: c.stripped.Load()}
}

// Close begins the closing handshake with 1000 and returns; that goes on by itself for at most
// Limits.CloseTimeout. An active Run ends with ErrClientClosed.
func (c *Client) Close() error {
	if c.inbox != nil {
		c.inbox.fail(ErrClientClosed)
	}
	c.conn.Close(CloseNormal, "")
	return nil
}

// releaseOnClose gives the shared loops back when the connection is gone.
type releaseOnClose struct {
	Handler
	release func()
}

func (h releaseOnClose) OnClose(c *Conn, why *CloseError) {
	// The loop cannot stop itself.
	defer func() { go h.release() }()
	h.Handler.OnClose(c, why)
}

// clientLoops are the loops of all clients of the process.
var clientLoops sharedEngine

// sharedEngine is an engine that lives from its first user to its last.
type sharedEngine struct {
	mu     sync.Mutex
	engine *loop.Engine
	users  int
}

func (s *sharedEngine) acquire(log *slog.Logger) (*loop.Engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		e, err := loop.NewEngine(0, nil, log)
		if err != nil {
			return nil, err
		}
		s.engine = e
	}
	s.users++
	return s.engine, nil
}

func (s *sharedEngine) release() {
	s.mu.Lock()
	var last *loop.Engine
	if s.users--; s.users == 0 {
		last, s.engine = s.engine, nil
	}
	s.mu.Unlock()
	if last != nil { // not under mu: Stop waits for handlers, and nobody else should
		_ = last.Stop(context.Background())
	}
}
