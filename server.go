package agloop

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/agloop/agloop/agui"
	"github.com/agloop/agloop/codec/event"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/loop"
	"github.com/agloop/agloop/memmon"
	"github.com/agloop/agloop/run"
)

// ServerConfig says what a Server does. Agent or Handler must be set; every other zero is the
// default given beside it.
type ServerConfig struct {
	// Agent answers the runs of clients, in goroutines of their own.
	Agent Agent
	// Handler receives messages as bytes, on the loops. Exclusive with Agent.
	Handler Handler

	// Path of the WebSocket; other paths go to HTTP. "" is "/ws"; AnyPath takes all.
	Path string
	// HTTP serves requests that ask for no WebSocket at Path. nil answers GET /ping with
	// {"status":"Healthy"} and everything else with 426.
	HTTP http.Handler
	// Origins are pages that may connect besides those of the server's own origin, such as
	// "https://app.example"; "*" is all. Behind a proxy that ends TLS list the https origin.
	// Clients that send no Origin are always let in: they are no browsers.
	Origins []string
	// Protocols are the subprotocols offered, in order of preference.
	Protocols []string
	// Authorize judges a handshake before it is accepted. It runs on the loop and must not block.
	// user becomes Conn.User and Run.User; an error refuses: an *UpgradeError with its status,
	// others with 403.
	Authorize func(req *UpgradeRequest) (user any, err error)

	// Loops is the number of event loops. 0 is one less than GOMAXPROCS, at least 1.
	Loops int
	// MaxConnections bounds the open connections; further ones are answered
	// 503. 0 is what the descriptor limit of the process allows.
	MaxConnections int
	// Limits bound each connection.
	Limits Limits
	// Rates bound how often things may happen. None is on by itself.
	Rates Rates
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
	cfg       ServerConfig // limits and rates with their defaults
	configErr error        // what is wrong with the config; nil if nothing is
	log       *slog.Logger
	decode    func(raw []byte) (*agui.RunAgentInput, error)
	newEngine func(loops int, ledger *memmon.Ledger, log *slog.Logger) (*loop.Engine, error)

	// Any goroutine.
	decoding admission
	active   activeSessions

	// Any goroutine, under mu.
	mu          sync.Mutex
	state       serverState
	engine      *loop.Engine
	door        *loop.Door
	http        *httpServer
	performance *PerformanceManager
	listeners   map[net.Listener]struct{}
	addr        net.Addr
	accepting   sync.WaitGroup
}

type serverState uint8

const (
	serverIdle serverState = iota
	serverRunning
	serverStopping
)

// NewServer returns a server. A bad config is reported by Serve.
func NewServer(cfg ServerConfig) *Server {
	s := &Server{}
	s.cfg, s.configErr = cfg.parse()
	s.log = s.cfg.Logger
	s.decode, s.decoding.budget = decodeInput, s.decodeBudget
	s.newEngine = loop.NewEngine
	s.listeners = make(map[net.Listener]struct{})
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
	door, err := s.addListener(ln)
	if err != nil {
		return err
	}
	defer s.accepting.Done()
	err = door.Accept(ln)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	if s.state == serverStopping {
		return ErrServerClosed
	}
	return err
}

// addListener registers a listener, and starts the engine for the first one.
func (s *Server) addListener(ln net.Listener) (*loop.Door, error) {
	if s.configErr != nil {
		return nil, s.configErr
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case serverStopping:
		return nil, ErrServerClosed
	case serverIdle:
		if err := s.start(); err != nil {
			return nil, err
		}
		s.state = serverRunning
		s.addr = ln.Addr()
	}
	s.listeners[ln] = struct{}{}
	s.accepting.Add(1)
	return s.door, nil
}

// parse returns c with its zeros replaced, or what is wrong with it.
func (c ServerConfig) parse() (_ ServerConfig, err error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Path == "" {
		c.Path = "/ws"
	}
	switch {
	case c.Agent == nil && c.Handler == nil:
		return c, &ConfigError{Field: "Agent", Reason: "Agent or Handler must be set"}
	case c.Agent != nil && c.Handler != nil:
		return c, &ConfigError{Field: "Handler", Reason: "excludes Agent"}
	case c.Path != AnyPath && c.Path[0] != '/':
		return c, &ConfigError{Field: "Path", Reason: `must begin with "/"`}
	case c.Loops < 0 || c.Loops > 256:
		return c, &ConfigError{Field: "Loops", Reason: "must lie between 0 and 256"}
	case c.MaxConnections < 0:
		return c, &ConfigError{Field: "MaxConnections", Reason: "must not be negative"}
	}
	if err := (handshake.OriginPolicy{Allowed: c.Origins}).Validate(); err != nil {
		return c, &ConfigError{Field: "Origins", Reason: err.Error()}
	}
	if c.Agent != nil && c.Limits.MaxMessage == 0 {
		c.Limits.MaxMessage = maxInput
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

// start makes the engine, the door and what watches them. After an error nothing of it is left.
// Under mu.
func (s *Server) start() (err error) {
	handler, tooBig := s.cfg.Handler, []byte(nil)
	if handler == nil {
		if err := event.Pretouch(); err != nil {
			return err
		}
		handler = agentHandler{s}
		tooBig = run.Refusal(run.CodeTooLarge,
			fmt.Sprintf("input has more than %d bytes", s.cfg.Limits.MaxMessage))
	}
	ledger := memmon.NewLedger() // before the engine, which writes in it
	engine, err := s.newEngine(s.cfg.Loops, ledger, s.log)
	if err != nil {
		return err
	}
	http := newHTTPSide(s.cfg.HTTP, s.log)
	door := engine.NewDoor(loop.DoorConfig{
		Handler:        handler,
		Limits:         s.cfg.Limits,
		Log:            s.log,
		Path:           s.cfg.Path,
		Origins:        handshake.OriginPolicy{Allowed: s.cfg.Origins},
		Protocols:      s.cfg.Protocols,
		Authorize:      s.cfg.Authorize,
		MaxConnections: s.cfg.maxConnections(),
		Rates:          s.cfg.Rates,
		TooBig:         tooBig,
		HTTP:           http.serve,
	})
	performance, err := newPerformanceManager(s.cfg.performanceConfig(door.Slots().Cap()),
		s.cfg.Limits.Tuning(), ledger, door.Slots(), serverTarget{engine, door}, s.log)
	if err != nil {
		http.close()
		return joinErrors(err, engine.Stop(context.Background()))
	}
	s.engine, s.http, s.door, s.performance = engine, http, door, performance
	performance.start()
	return nil
}

// Addr is the address of the first listener, nil before Serve listens.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Ready returns nil while the server takes connections. Otherwise it says why it does not: it does
// not serve yet, it shuts down, or a handler has blocked a loop for a second. A readiness probe
// asks this.
func (s *Server) Ready() error {
	s.mu.Lock()
	state, engine := s.state, s.engine
	s.mu.Unlock()
	switch state {
	case serverIdle:
		return errNotServing
	case serverStopping:
		return ErrServerClosed
	}
	return engine.Ready()
}

// Conn returns the connection that id names, or nil when it is gone.
func (s *Server) Conn(id ConnID) *Conn {
	s.mu.Lock()
	door := s.door
	s.mu.Unlock()
	if door == nil {
		return nil
	}
	return door.Slots().Conn(id)
}
