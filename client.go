package agloop

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/codec/control"
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
	// expires. It is asked before each dial and each redial, in the goroutine that dials; a Transport asks several at once. A name in any case of letters replaces that of
	// Header, and without values removes it. Only the context bounds it: that of Dial, of a
	// Transport one of DialTimeout. Its error fails the dial and can be found in that of Dial. nil
	// adds nothing.
	Auth func(context.Context) (http.Header, error)
	// Protocols are the subprotocols to offer, in order of preference. A client without a Handler
	// offers agloop.v1.json before them, unless Resume is Off.
	Protocols []string
	// Resume says how runs outlive their connection, where the server offers that.
	Resume Resume
	// Cursors keeps how far each run was applied. nil is this client's memory.
	Cursors CursorStore
	// OnState is told of each state of the connection, in order, in a goroutine of its own, so it
	// may block: that holds up nothing but what it is told next. nil is not told; see Client.State.
	OnState func(ConnState)
	// Proxy names the proxy on the way to a URL; nil as its result is none. It is asked as Auth is.
	// The proxy must be "http://[user:password@]host[:port]" and is asked to CONNECT to the server;
	// its refusal is a *DialError, any other scheme a *ConfigError. nil is ProxyFromEnvironment, but
	// none with a Dial: who dials a unix socket, say, wants no proxy of the environment.
	Proxy func(*url.URL) (*url.URL, error)
	// TLS says how a wss URL is dialled. ServerName is the URL's host unless it is set; NextProtos is
	// http/1.1 whatever it is, and there is no renegotiation. nil trusts the certificates of the system.
	TLS *tls.Config
	// Compression has messages compressed where the server agrees. The zero value offers it to none.
	Compression Compression
	// Dial opens the connection below, which must be a *net.TCPConn or *net.UnixConn: to the proxy
	// if Proxy names one. nil is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// MaxPending bounds the memory of events that wait for one loop over Run, Attach or Follow, in
	// bytes; each has so much. An event takes a buffer, whose size is a power of two from 256 bytes
	// up, and about 200 bytes besides. One event may always wait. Where more come, a run of
	// agloop.v1 is left until half of that is taken, and goes on then; the other runs of the
	// connection do not notice. On a bare wire they end the run with ErrSlowConsumer: a reactor
	// cannot stop reading. 0 is 16 MiB, or Limits.MaxMessage if that is more.
	MaxPending int
	// Limits bound the connection. IdleTimeout is off unless set: whether a connection is worth
	// keeping is the server's business.
	Limits Limits
	// Logger receives warnings and errors. nil is slog.Default.
	Logger *slog.Logger
}

// Client is a connection to a server of AG-UI, and the ones after that: see Resume. All clients of a
// process share one set of loops, which ends with the last connection. A client has a goroutine only
// while it dials again.
type Client struct {
	// Immutable.
	cfg      ClientConfig
	url      *url.URL
	life     context.Context // of everything dialled again
	cancel   context.CancelFunc
	mux      *mux        // nil with a Handler
	http     *httpClient // nil unless the URL is http or https
	backoff  backoff
	pause    func(ctx context.Context, wait time.Duration) bool
	states   states
	dialling chan struct{} // held by the call that dials

	// Any goroutine.
	running atomic.Bool // a run of a bare wire goes on
	counts  streamCounts

	// Any goroutine, under mu.
	mu         sync.Mutex
	current    *connection // nil while there is none, or it is about to be closed
	latest     *connection // the last one that was current
	redialling bool        // a goroutine dials again
	closed     bool        // by Close

	// The goroutine that dials again; while there is none, the loop of the connection, under mu.
	failures int       // in a row: failed dials, and connections that ended soon
	outage   time.Time // since when there was no connection that lasted
}

// Dial connects to rawURL, "ws[s]://host[:port][/path][?query]", or prepares requests to
// "http[s]://…", see below. ctx bounds all of it, and
// Limits.HandshakeTimeout what comes behind the TCP connection. Errors: a *ConfigError, those of
// cfg's functions, of dialling, and of crypto/tls for wss, a *DialError when the server does not
// upgrade or the proxy does not connect to it, a *ProtocolError when it does not speak agloop.v1 as
// it has said, context.DeadlineExceeded when one does not answer.
//
// A client of an http or https URL speaks the HTTP binding of AG-UI, to any server of that: each run is
// a POST whose response has the events, over HTTP/1.1 or HTTP/2, and nothing is dialled before. Its runs
// go on at once. Events are read as they are taken, so that none waits; one larger than Limits.MaxMessage
// ends its run. At a server of agloop a response that breaks off is asked for again at the cursor, as Resume
// says, and Attach and Cancel work as well: there leaving the loop stops no run, unless Resume.Off.
// Another one has neither (ErrNoResume): a run that is left ends, and one that breaks off is truncated.
// Follow and Steer need agloop.v1, and Conn is nil.
func Dial(ctx context.Context, rawURL string, cfg ClientConfig) (*Client, error) {
	u, err := parseURL(rawURL, "ws", "wss", "http", "https")
	if err != nil {
		return nil, err
	}
	if isHTTP(u) {
		return dialHTTP(u, cfg)
	}
	if cfg, err = cfg.parse(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, url: u, pause: pause, backoff: newBackoff(cfg.Resume),
		states:   states{hook: cfg.OnState, log: cfg.Logger},
		dialling: make(chan struct{}, 1),
	}
	if cfg.Handler == nil {
		if err := event.Pretouch(); err != nil {
			return nil, err
		}
		c.mux = &mux{
			limit: cfg.MaxPending, store: cfg.Cursors, secret: cfg.Resume.Secret,
			tell: func() { c.states.set(ConnState{Phase: ConnGoing}) },
		}
	}
	c.life, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	connected := false
	defer func() {
		if !connected { // a function of cfg may have panicked
			c.cancel()
		}
	}()
	c.states.set(ConnState{Phase: ConnConnecting})
	k, err := c.dialBy(ctx, c.cfg.connect)
	if err != nil {
		c.states.set(ConnState{Phase: ConnClosed, Err: err})
		return nil, err
	}
	connected = true
	return c, c.adopt(k)
}

// dialHTTP makes a client of the HTTP binding.
func dialHTTP(u *url.URL, cfg ClientConfig) (*Client, error) {
	if cfg.Handler != nil {
		return nil, &ConfigError{Field: "Handler", Reason: "needs a WebSocket: use a ws or wss URL"}
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
		if cfg.Proxy == nil {
			cfg.Proxy = ProxyFromEnvironment
		}
	}
	cfg, err := cfg.parse()
	if err != nil {
		return nil, err
	}
	if err := event.Pretouch(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, url: u, pause: pause, backoff: newBackoff(cfg.Resume), states: states{hook: cfg.OnState, log: cfg.Logger},
		mux: &mux{store: cfg.Cursors, secret: cfg.Resume.Secret},
	}
	c.life, c.cancel = context.WithCancel(context.Background())
	c.http = newHTTPClient(c)
	c.states.set(ConnState{Phase: ConnOpen})
	return c, nil
}

// parse returns cfg with its zeros replaced, or what is wrong with it.
func (cfg ClientConfig) parse() (_ ClientConfig, err error) {
	if cfg.MaxPending < 0 {
		return cfg, &ConfigError{Field: "MaxPending", Reason: "must not be negative"}
	}
	if cfg.Limits, err = clientLimits(cfg.Limits, cfg.Handler == nil); err != nil {
		return cfg, err
	}
	if cfg.Resume, err = cfg.Resume.withDefaults(); err != nil {
		return cfg, err
	}
	cfg.setDefaults()
	return cfg, nil
}

// maxPending is the default of ClientConfig.MaxPending.
const maxPending = 16 << 20

// setDefaults replaces the zeros of a config whose Limits have their defaults.
func (cfg *ClientConfig) setDefaults() {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.resumes() && !slices.Contains(cfg.Protocols, control.Protocol) {
		cfg.Protocols = append([]string{control.Protocol}, cfg.Protocols...)
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

// resumes reports whether the client offers agloop.v1.
func (cfg *ClientConfig) resumes() bool { return cfg.Handler == nil && !cfg.Resume.Off }

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

// Conn is the connection below, for sending bytes with a Handler. Of another client it is the latest,
// over HTTP nil.
func (c *Client) Conn() *Conn {
	if k := c.last(); k != nil {
		return k.conn
	}
	return nil
}

// Protocol is the subprotocol the server chose, or "".
func (c *Client) Protocol() string {
	if k := c.last(); k != nil {
		return k.protocol
	}
	return ""
}

// last is the latest connection there was; nil over HTTP.
func (c *Client) last() *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// State is what the connection does now.
func (c *Client) State() ConnState { return c.states.get() }

// Secret names the session of a client without a principal, for Resume.Secret of another: who has
// it may do with the runs of this client what this client may. "" with a principal, and where the
// server does not speak agloop.v1.
func (c *Client) Secret() string {
	if c.mux == nil {
		return ""
	}
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.mux.secret
}

// ClientStats count what a client's runs left out as the protocol asks.
type ClientStats struct {
	UnknownEvents uint64 // events of a type nobody knows, dropped
	Stripped      uint64 // unknown members and elements, removed
}

// Stats returns the counts so far.
func (c *Client) Stats() ClientStats {
	return ClientStats{UnknownEvents: c.counts.unknown.Load(), Stripped: c.counts.stripped.Load()}
}

// Close begins the closing handshake with 1000 and returns; that goes on by itself for at most
// Limits.CloseTimeout. Every sequence of the client ends with ErrClientClosed. On agloop.v1 that
// stops no run.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	k := c.latest
	c.mu.Unlock()
	c.cancel()
	c.states.set(ConnState{Phase: ConnClosed, Err: ErrClientClosed})
	if c.http != nil {
		c.http.http.CloseIdleConnections()
		return nil
	}
	if c.mux != nil {
		k.inbox.fail(ErrClientClosed)
		c.mux.failAll(ErrClientClosed)
	}
	k.conn.Close(CloseNormal, "")
	return nil
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
