package loop

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/agloop/agloop/auth"
	"github.com/agloop/agloop/codec/frame"
	"github.com/agloop/agloop/codec/handshake"
	"github.com/agloop/agloop/metrics"
	"golang.org/x/time/rate"
)

// AnyPath as DoorConfig.Path upgrades requests for every path.
const AnyPath = "*"

// DoorConfig says whom a server lets in, and what its connections are for.
type DoorConfig struct {
	Handler Handler
	// Limits must come from Limits.WithDefaults.
	Limits    Limits
	Log       *slog.Logger
	Path      string // requests for other paths go to HTTP; AnyPath takes all
	Origins   handshake.OriginPolicy
	Hosts     handshake.HostPolicy
	Protocols []string // in order of preference
	// Proxies are those whose word about the client counts. ProxyProtocol expects its version 2 at
	// the start of every connection that Accept takes.
	Proxies       handshake.Proxies
	ProxyProtocol bool
	// Authorize judges a flawless request in a goroutine of its own. An *auth.RefusedError is
	// answered as it says, other errors with 403. nil lets everybody in, on the loop.
	Authorize func(context.Context, *auth.Request) (auth.Grant, error)
	// Later are the subprotocols whose clients Authorize may let in by auth.ErrAuthLater, and whose
	// handler calls Present.
	Later []string
	// TLS has every connection that Accept takes speak TLS. It must come from NewTLSConfig. nil is plain.
	TLS *tls.Config
	// TrimTLS and Compression: see EndpointConfig.
	TrimTLS     bool
	Compression Compression
	Feed        Feed // see EndpointConfig
	// BaseContext is what Authorize's context descends from.
	BaseContext context.Context
	// Notes has the door note the ConnInfo of every connection, not only where it has to itself.
	Notes  bool
	Quotas Quotas
	// Rates must come from Rates.WithDefaults.
	Rates Rates
	// TooBig is a text that a peer whose message is larger than Limits.MaxMessage gets before the
	// close frame, unless it speaks a subprotocol of Later. nil for none.
	TooBig []byte
	// HTTP receives connections that ask for no WebSocket here, in a goroutine of their own, with
	// the bytes read so far still to be read.
	HTTP func(*HTTPConn)
}

// Door lets connections in: it accepts them, gives them a slot and a loop, judges their handshakes,
// and refuses the others. Those that are in belong to its Endpoint.
type Door struct {
	Endpoint

	// Immutable.
	slots         *Slots
	path          string
	origins       handshake.OriginPolicy
	hosts         handshake.HostPolicy
	protocols     []string
	proxies       handshake.Proxies
	proxyProtocol bool
	authorize     func(context.Context, *auth.Request) (auth.Grant, error)
	later         []string           // subprotocols whose clients may send tokens
	early         frame.Limits       // of connections that await one
	base          context.Context    // ends with StopAccepting
	endBase       context.CancelFunc // ends base
	head          handshake.HeadLimits
	notes         bool // every connection has an entry
	tls           *tls.Config
	http          func(*HTTPConn)
	accepts       *rate.Limiter

	// Any goroutine.
	networks      networks
	guesses       networks
	runs          networks             // that are asked for over HTTP
	perPrincipal  *Tally[string]       // connections
	perNetwork    *Tally[netip.Prefix] // connections
	judges        judges
	pumped        sync.Once        // that it is done was said
	handshakes    *tlsHandshakes   // nil without tls
	Counters      metrics.Counters // of accepting; loops have their own
	shedding      atomic.Bool      // memory is short: upgrades are answered 503
	refused       refusals
	refusalTokens chan struct{} // a token for each connection whose request is read to be refused
	quit          chan struct{} // closed by StopAccepting
	quitOnce      sync.Once
}

// NewDoor makes a server's door.
func (e *Engine) NewDoor(cfg DoorConfig) *Door {
	rates := &cfg.Rates
	d := &Door{
		slots: newSlots(cfg.Quotas.Conns, cfg.Log), path: cfg.Path,
		origins: cfg.Origins, hosts: cfg.Hosts, protocols: cfg.Protocols,
		proxies: cfg.Proxies, proxyProtocol: cfg.ProxyProtocol,
		authorize: cfg.Authorize, http: cfg.HTTP,
		head:          handshake.HeadLimits{MaxBytes: cfg.Limits.MaxHeader, MaxRequestLine: -1},
		accepts:       limiter(rates.Accepts, rates.AcceptsBurst),
		networks:      networks{perSecond: rates.AcceptsPerIP, burst: rates.AcceptsPerIPBurst},
		guesses:       networks{perSecond: rates.Guesses, burst: rates.GuessesBurst},
		runs:          networks{perSecond: rates.Runs, burst: rates.RunsBurst},
		perPrincipal:  NewTally[string](cfg.Quotas.ConnsPerPrincipal),
		perNetwork:    NewTally[netip.Prefix](cfg.Quotas.ConnsPerNetwork),
		refusalTokens: make(chan struct{}, refusalReserve), quit: make(chan struct{}),
	}
	if cfg.BaseContext == nil {
		cfg.BaseContext = context.Background()
	}
	if d.tls = cfg.TLS; d.tls != nil {
		d.handshakes = newTLSHandshakes()
	}
	d.base, d.endBase = context.WithCancel(cfg.BaseContext)
	d.notes = cfg.Notes || d.authorize != nil || d.perNetwork != nil || len(d.proxies) > 0
	d.init(e, EndpointConfig{Handler: cfg.Handler, Limits: cfg.Limits, Log: cfg.Log, TrimTLS: cfg.TrimTLS, Compression: cfg.Compression, Feed: cfg.Feed})
	d.later, d.early = cfg.Later, d.frames
	d.early.MaxMessage = min(d.early.MaxMessage, MaxToken)
	d.door, d.rates, d.tooBig = d, cfg.Rates, cfg.TooBig
	return d
}

// Slots are the connections of this door.
func (d *Door) Slots() *Slots { return d.slots }

// SetMaxConnections changes how many connections may be open, up to what the descriptors allow; 0
// is that. Connections beyond a smaller number stay until they end. Any goroutine.
func (d *Door) SetMaxConnections(n int) { d.slots.setCap(n) }

// Descriptors that connections may not take.
const (
	refusalReserve = 32  // to refuse connections with after reading their request
	fileReserve    = 256 // left to the rest of the process, the refusals among them
	headReserve    = 256 // of connections whose request is read though no more are let in
	httpReserve    = 512 // of connections that speak plain HTTP
)

// fileLimit is how many descriptors the process may have, at most 16 million.
func fileLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 16<<20))
}

// shareFiles divides the descriptors of the process: among connections, those whose request is read
// to refuse them, and those that speak plain HTTP.
func shareFiles() (conns, heads, http int) {
	files := fileLimit()
	files -= min(fileReserve, files/2)
	heads, http = min(headReserve, files/8), min(httpReserve, files/8)
	return files - heads - http, heads, http
}

// HTTPConns is how many connections may speak plain HTTP at one moment.
func HTTPConns() int {
	_, _, http := shareFiles()
	return http
}

// newSlots makes a slot for every connection that the descriptors of the process allow, of which
// want may be let in. Of the table only what is used is made.
func newSlots(want int, log *slog.Logger) *Slots {
	conns, heads, _ := shareFiles()
	if want > conns {
		log.Warn("agloop: fewer descriptors than connections asked for", "conns", want, "allowed", conns)
	}
	s := newSlotTable(conns, heads)
	s.setCap(want)
	return s
}
