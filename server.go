package agloop

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/control"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
	"github.com/agloop/agloop/topic"
)

// ServerConfig says what a Server does. Agent or Handler must be set; every other zero is the
// default given beside it.
type ServerConfig struct {
	// Agent answers the runs of clients, in goroutines of their own.
	Agent Agent
	// Handler receives messages as bytes, on the loops. Exclusive with Agent.
	Handler Handler

	// Path of the WebSocket on the server's own listeners; other paths go to HTTP. "" is "/ws";
	// AnyPath takes all. A mounted server (ServeHTTP) takes every path it is asked for.
	Path string
	// HTTPPath is where the runs of an Agent are served over HTTP as well, to stock AG-UI clients and to
	// curl: POST to it starts one, and is answered by its events (SSE, or protobuf where Accept names
	// it); GET and DELETE of HTTPPath/{thread}/{run} join and cancel one, GET of HTTPPath/capabilities
	// tells Capabilities. Pages of Origins may use it (CORS). "" is "/agui"; NoPath serves none. A
	// mounted server takes every POST, and GET and DELETE below HTTPPath or where the pattern of the mux
	// has {thread} and {run}.
	HTTPPath string
	// Capabilities are what GET of HTTPPath/capabilities says the agent can do. Its Transport, unless it
	// is set, is what the server has: streaming, websocket, httpBinary and resumable. nil is that alone.
	Capabilities *agui.AgentCapabilities
	// AgentCore serves the contract of Amazon Bedrock AgentCore on the server's own listeners: POST of
	// /invocations is one of HTTPPath, the WebSocket is at /ws, which Path must be, and GET of /ping
	// says "Healthy", or "HealthyBusy" while runs are active, and since when. It asks for port 8080.
	AgentCore bool
	// HTTP serves requests on the server's own listeners that ask for no WebSocket at Path, nor for a
	// run at HTTPPath. It may
	// be a ServeMux with other servers mounted in it. nil answers GET /ping with
	// {"status":"Healthy"} and everything else with 426. It is called also while connections are
	// refused because all slots are taken or memory is short.
	HTTP http.Handler
	// Origins are pages that may connect besides those of the server's own origin, such as
	// "https://app.example"; "*" is all, "null" what browsers call pages without an origin. The
	// scheme counts: behind a proxy that ends TLS list the https origin, or name the proxy in
	// TrustedProxies. Clients that send no Origin are let in: they are no browsers.
	Origins []string
	// Hosts are the names that requests for a WebSocket may have in Host, such as "app.example",
	// with any port, or "app.example:8443"; "*" is all. Empty is all, but for listeners on a
	// loopback address: those answer to localhost and loopback addresses, so that no page can have
	// its own name resolve to this machine and pass for its own origin (DNS rebinding). A mounted
	// server goes by http.Server.Addr, and where that is empty by the address of the connection.
	Hosts []string
	// TrustedProxies are the proxies whose X-Forwarded-For and X-Forwarded-Proto count. Those of
	// other peers change nothing. Peers on unix sockets are trusted as soon as one network is.
	TrustedProxies []netip.Prefix
	// ProxyProtocol expects the PROXY protocol, version 2, at the start of every connection on the
	// server's own listeners. It counts where TrustedProxies has the peer.
	ProxyProtocol bool
	// TLS has the server's own listeners speak TLS: clients use wss and https. It must have a
	// certificate, or a function that gives one; GetCertificate and GetConfigForClient replace it while
	// the server runs, and ClientAuth asks for the client's, see Request. Where NextProtos is empty,
	// http/1.1 is offered, and h2 before it if HTTP is set or runs are served at HTTPPath: those connections go to net/http whole, and
	// browsers open others for WebSockets. There is no renegotiation, and records are as large as what
	// is written. The handshake counts for Limits.HandshakeTimeout. nil is plain.
	TLS *tls.Config
	// TrimTLS gives back what crypto/tls keeps of the largest record and handshake message a
	// connection has read, 3 to 20 KB each, while nothing of them is left: by their place in memory,
	// since crypto/tls offers no way (golang/go #81348). NewServer checks that this toolchain has them
	// there, or Serve returns a *ConfigError. It costs two allocations for each larger message.
	TrimTLS bool
	// Compression has messages compressed for clients that offer it. The zero value compresses none.
	// Clients that Authorize lets in by ErrAuthLater are not offered it.
	Compression Compression
	// Protocols are the subprotocols offered, in order of preference. A server with an Agent offers
	// agloop.v1.proto and agloop.v1.json besides, see docs/protocol.md: first, and in this order, since
	// clients that offer both want the former; unless they are named here.
	Protocols []string
	// Authorize says who a request that asks for a WebSocket, or for a run over HTTP, is from, and lets it in. It runs in a
	// goroutine of its own and may block: 256 at once, the others wait their turn, all within
	// Limits.HandshakeTimeout. ctx ends when nobody waits for the answer any more; of a mounted
	// server it is the request's. A *RefusedError is answered as it says, any other error with 403
	// and logged. nil lets everybody in as anonymous, without leaving the loop.
	//
	// ErrAuthLater lets a client in that offers agloop.v1, of a server with an Agent, and others
	// are answered 401: for browsers, which cannot set Authorization. That subprotocol is chosen then,
	// and the client's first message must be an auth with its token, accepted within 10 s and of at
	// most 16 KiB with all that comes behind it meanwhile; else it is closed with 4010. Authorize is
	// asked again, with the same request and "Bearer " and the token in its field Authorization: ctx
	// is then one of BaseContext, and of the Grant only Principal and Values count. The Principal must
	// have a Key: who needs none is let in at once. Until then the connection is nobody's, no hook is
	// told of it, and it counts for no quota by principal. What is no Grant, ErrAuthLater included,
	// closes it with 1008 and the Reason of a RefusedError.
	//
	// A client of agloop.v1 may send fresh tokens in the same way, such as before ExpiresAt: what
	// is granted replaces Principal and Values for that and for runs to come, within 5 s. The Key must
	// stay. A token that is refused changes nothing then.
	Authorize func(ctx context.Context, req *Request) (Grant, error)

	// Loops is the number of event loops. 0 is one less than GOMAXPROCS, at least 1.
	Loops int
	// Limits bound each connection.
	Limits Limits
	// Rates bound how often things may happen. None but Rates.Control is on by itself; PublicRates
	// are a set for the open internet.
	Rates Rates
	// Quotas bound how much there may be at one moment.
	Quotas Quotas
	// Runs says how runs begin, and how long they go on.
	Runs RunsConfig
	// Topics says what holds for a topic: whether it has a history, what becomes of subscribers who do not
	// keep up. It is asked when the topic comes to be, with a lock held, and must not use the server's
	// topics. nil is the zero TopicConfig for all.
	Topics func(name string) TopicConfig
	// Store keeps the logs of runs. nil is one in memory.
	Store Store
	// Hooks are told what happens.
	Hooks Hooks
	// BaseContext is what the contexts that the server makes descend from: runs have its values,
	// and when it is cancelled all of them are, and none begins any more. nil is
	// context.Background.
	BaseContext context.Context
	// Performance sets the performance system. The zero value is DefaultPerformanceConfig with the
	// window of Limits, connections by the descriptor limit and memory by the limits of the
	// process.
	Performance PerformanceConfig
	// DrainTimeout is how long Shutdown lets active runs go on before it cancels them. 0 cancels
	// them at once.
	DrainTimeout time.Duration
	// Logger receives warnings and errors. nil is slog.Default.
	Logger *slog.Logger
}

// Server serves AG-UI over WebSocket. Make one with NewServer. After Shutdown or Close it does not
// serve again.
type Server struct {
	// Immutable.
	cfg        ServerConfig // limits and rates with their defaults
	configErr  error        // what is wrong with the config; nil if nothing is
	log        *slog.Logger
	decode     func(raw []byte) (*agui.RunAgentInput, []Note, error)
	startLoops func(loops int) error // the engine's Start

	controlTime time.Duration // how long one control may take

	engine      *loop.Engine // without loops until the server runs
	door        *loop.Door
	http        *httpServer
	performance *PerformanceManager
	hooks       hookCalls

	// Any goroutine.
	decoding  admission
	active    activeSessions
	peers     keyed[peerConn]
	live      keyed[*Run] // whose agents are being called
	places    *runPlaces
	hub       *run.Hub         // nil with a Handler
	ownStore  *run.MemoryStore // nil where the host has given one
	topics    *topic.Hub
	threads   topicThreads
	scopes    scopes
	controls  controlSessions
	streams   httpStreams
	agentCore agentCore
	gone      goneCounts
	// unknownControls are those of agloop.v1 that nobody knows.
	unknownControls atomic.Uint64

	// Any goroutine, under mu.
	mu        sync.Mutex
	state     serverState
	startErr  error // why it could not start when that was last tried
	listeners map[net.Listener]struct{}
	addr      net.Addr
	accepting sync.WaitGroup
}

type serverState uint8

const (
	serverIdle serverState = iota
	serverRunning
	serverStopping
)

// NewServer returns a server. A bad config is reported by Serve. Loops and goroutines start with
// the first Serve, ServeListener or ServeHTTP.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{listeners: make(map[net.Listener]struct{}), controlTime: controlTime}
	s.cfg, s.configErr = cfg.parse()
	s.log = s.cfg.Logger
	s.hooks.log = s.log
	if s.configErr != nil { // it never runs, but what a host calls before Serve says so works
		s.cfg, _ = ServerConfig{Handler: NopHandler{}, Logger: s.log}.parse()
	}
	s.decode, s.decoding.budget = s.decodeBytes, s.decodeBudget
	ledger := memmon.NewLedger()
	s.engine = loop.PrepareEngine(ledger, s.log)
	s.startLoops = s.engine.Start
	s.http = newHTTPServer(s)
	s.topics = topic.NewHub(s.cfg.Topics, s.cfg.Quotas.MaxTopics())
	s.door = s.engine.NewDoor(s.doorConfig())
	// The config is valid, so there is no error.
	s.performance, _ = newPerformanceManager(s.cfg.performanceConfig(s.door.Slots().Cap()),
		&s.cfg.Limits, ledger, s.door.Slots(), serverTarget{s.engine, s.door, s.runFigures, s.topicFigures}, s.log)
	s.hooks.panics = &s.door.Counters.Panics
	s.places = newRunPlaces(s.cfg.Quotas, s.mayBeOpen)
	if s.cfg.Agent != nil {
		s.hub = run.NewHub(s.hubConfig())
	}
	return s
}

// Serve listens on addr and serves until Shutdown or Close. addr is "host:port", "tcp://host:port"
// or "unix:///path"; a stale socket file is replaced. The error is never nil: ErrServerClosed after
// Shutdown or Close, a *ConfigError naming the field for a bad config, or that of listening.
func (s *Server) Serve(addr string) error {
	if s.configErr != nil {
		return s.configErr
	}
	network, address := "tcp", strings.TrimPrefix(addr, "tcp://")
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, address = "unix", path
		removeStaleSocket(path)
	}
	// The kernel's keepalive is redundant: silent peers are pinged.
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		return err
	}
	return s.ServeListener(ln)
}

// removeStaleSocket removes a socket file that nobody listens on any more.
func removeStaleSocket(path string) {
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	if nc, err := net.Dial("unix", path); err == nil {
		nc.Close()
		return
	}
	_ = os.Remove(path)
}

// ServeListener is Serve on a listener of the host's, which it closes. It may be called for several
// listeners at once.
func (s *Server) ServeListener(ln net.Listener) error {
	defer ln.Close()
	if err := s.addListener(ln); err != nil {
		return err
	}
	defer s.accepting.Done()
	err := s.door.Accept(ln)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	if s.state == serverStopping {
		return ErrServerClosed
	}
	return err
}

// addListener registers a listener, and starts the server with the first one.
func (s *Server) addListener(ln net.Listener) error {
	if s.configErr != nil {
		return s.configErr
	}
	if err := loop.CheckListener(ln); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ensureRunning(); err != nil {
		return err
	}
	if s.addr == nil {
		s.addr = ln.Addr()
	}
	s.listeners[ln] = struct{}{}
	s.accepting.Add(1)
	return nil
}

// parse returns c with its zeros replaced, or what is wrong with it.
func (c ServerConfig) parse() (_ ServerConfig, err error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Path == "" {
		c.Path = "/ws"
	}
	if c.Handler != nil && c.HTTPPath != "" {
		return c, &ConfigError{Field: "HTTPPath", Reason: "needs an Agent: a Handler has no runs"}
	}
	if c.HTTPPath == "" {
		c.HTTPPath = "/agui"
	}
	if c.BaseContext == nil {
		c.BaseContext = context.Background()
	}
	switch {
	case c.Agent == nil && c.Handler == nil:
		return c, &ConfigError{Field: "Agent", Reason: "Agent or Handler must be set"}
	case c.Agent != nil && c.Handler != nil:
		return c, &ConfigError{Field: "Handler", Reason: "excludes Agent"}
	case c.Handler != nil && !reflect.ValueOf(c.Runs).IsZero():
		return c, &ConfigError{Field: "Runs", Reason: "needs an Agent: a Handler has no runs"}
	case c.Handler != nil && (c.Hooks.InputNoted != nil || c.Hooks.RunStarted != nil || c.Hooks.RunEnded != nil):
		return c, &ConfigError{Field: "Hooks", Reason: "RunStarted and RunEnded need an Agent: a Handler has no runs"}
	case c.Path != AnyPath && c.Path[0] != '/':
		return c, &ConfigError{Field: "Path", Reason: `must begin with "/"`}
	case c.AgentCore && (c.Agent == nil || c.HTTPPath == NoPath || c.Path != "/ws"):
		return c, &ConfigError{Field: "AgentCore", Reason: "needs an Agent, its runs over HTTP, and \"/ws\" as Path"}
	case c.HTTPPath != NoPath && c.HTTPPath[0] != '/':
		return c, &ConfigError{Field: "HTTPPath", Reason: `must begin with "/", or be NoPath`}
	case c.Loops < 0 || c.Loops > 256:
		return c, &ConfigError{Field: "Loops", Reason: "must lie between 0 and 256"}
	case c.DrainTimeout < 0:
		return c, &ConfigError{Field: "DrainTimeout", Reason: fmt.Sprintf("%v must not be negative; 0 cancels runs at once", c.DrainTimeout)}
	case c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil:
		return c, &ConfigError{Field: "TLS", Reason: "has no certificate: set Certificates, GetCertificate or GetConfigForClient"}
	case c.ProxyProtocol && len(c.TrustedProxies) == 0:
		return c, &ConfigError{Field: "ProxyProtocol", Reason: "counts for nobody: name the proxies in TrustedProxies"}
	}
	for _, p := range c.TrustedProxies {
		if !p.IsValid() {
			return c, &ConfigError{Field: "TrustedProxies", Reason: "holds a prefix that is not valid"}
		}
	}
	if c.TrimTLS {
		if err := loop.CheckTrimTLS(); err != nil {
			return c, err
		}
	}
	if err := handshake.CheckProtocols(c.Protocols); err != nil {
		return c, &ConfigError{Field: "Protocols", Reason: err.Error()}
	}
	if err := (handshake.HostPolicy{Allowed: c.Hosts}).Validate(); err != nil {
		return c, &ConfigError{Field: "Hosts", Reason: err.Error()}
	}
	if err := c.Runs.check(); err != nil {
		return c, err
	}
	if err := c.Quotas.Check(); err != nil {
		return c, err
	}
	if err := (handshake.OriginPolicy{Allowed: c.Origins}).Validate(); err != nil {
		return c, &ConfigError{Field: "Origins", Reason: err.Error()}
	}
	if c.Agent != nil {
		if c.Limits.MaxMessage == 0 {
			c.Limits.MaxMessage = maxInput
		}
		for _, protocol := range []string{control.Protocol, control.ProtocolProto} { // the latter is the first
			if !slices.Contains(c.Protocols, protocol) {
				c.Protocols = append([]string{protocol}, c.Protocols...)
			}
		}
	}
	if c.Limits, err = c.Limits.WithDefaults(); err != nil {
		return c, err
	}
	if c.Agent != nil {
		if err := c.Limits.CheckRuns(); err != nil {
			return c, err
		}
	}
	if c.Rates, err = c.Rates.WithDefaults(c.Limits); err != nil {
		return c, err
	}
	return c, c.performanceConfig(1).Validate()
}

// maxInput is the default of Limits.MaxMessage for inputs: they bring back the messages and the
// state of a whole thread.
const maxInput = 10 << 20

// Addr is the address of the first listener, nil before Serve listens.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Ready returns nil while the server takes connections. Otherwise it says why it does not: its
// config is wrong, it could not start, its BaseContext has ended, it shuts down, or a handler has
// blocked a loop for a second. A readiness probe asks this. A server that nobody has used yet is
// ready, for the first request that ServeHTTP is given starts it; that Serve listens is told by
// Addr.
func (s *Server) Ready() error {
	if s.configErr != nil {
		return s.configErr
	}
	if s.cfg.BaseContext.Err() != nil {
		return fmt.Errorf("agloop: ServerConfig.BaseContext has ended: %w", context.Cause(s.cfg.BaseContext))
	}
	s.mu.Lock()
	state, err := s.state, s.startErr
	s.mu.Unlock()
	switch state {
	case serverIdle:
		return err
	case serverStopping:
		return ErrServerClosed
	}
	return s.engine.Ready()
}

// Conn returns the connection that id names, or nil when it is gone.
func (s *Server) Conn(id ConnID) *Conn { return s.door.Slots().Conn(id) }
